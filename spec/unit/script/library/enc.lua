-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local enc = ml.enc

local P = {}

local function both(name, plain, text)
  same(text, enc[name](plain), name)
  same(plain, enc["from_" .. name](text), name)
end

local function refused(name, ...)
  for i = 1, select("#", ...) do
    local value, kind, why = enc["from_" .. name]((select(i, ...)))
    same(nil, value, name .. " " .. (select(i, ...)))
    same("EFORMAT", kind)
    same("string", type(why))
  end
end

function P:setup()
  both("base64", "", "")
  both("base64", "\251\255\254\0", "+//+AA==")
  both("base64url", "\251\255\254\0", "-__-AA")
  refused("base64", "AA", "AA=", "A===", "AB==", "-__-", "AA==\n", " AAA", "AA==AA==")
  refused("base64url", "AA==", "AA=", "AB", "A", "+//+", "AA\n", "A A")
  both("hex", "\0\255a", "00ff61")
  same("\171", enc.from_hex "AB")
  refused("hex", "0", "0g", "0x", " 00", "00 ")
  both("url", "a-b_c.d~9", "a-b_c.d~9")
  both("url", "a b/ü?&+%", "a%20b%2F%C3%BC%3F%26%2B%25")
  same("a+b", enc.from_url "a+b")
  same("a/b", enc.from_url "a%2fb")
  refused("url", "%", "%1", "%zz", "a b", "a\0b", "ü", "%%20")
  -- every byte
  local all = {}
  for i = 0, 255 do all[#all + 1] = string.char(i) end
  all = table.concat(all)
  for _, name in ipairs { "base64", "base64url", "hex", "url" } do
    for n = 0, 5 do
      local part = all:sub(1, #all - n)
      same(part, enc["from_" .. name](enc[name](part)), name)
    end
  end
  same("YQ==", enc.base64(ml.bytes "a"))
  raises("text expected, got number", enc.base64, 1)
  raises("text expected, got nil", enc.from_hex, nil)
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
