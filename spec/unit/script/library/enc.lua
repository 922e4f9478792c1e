-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local enc = ml.enc

local P = {}

local function both(name, plain, text)
  same(text, enc[name].encode(plain), name)
  same(plain, enc[name].decode(text), name)
end

local function refused(name, ...)
  for i = 1, select("#", ...) do
    local value, kind, why = enc[name].decode((select(i, ...)))
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
  same("\171", enc.hex.decode "AB")
  refused("hex", "0", "0g", "0x", " 00", "00 ")
  both("url", "a-b_c.d~9", "a-b_c.d~9")
  both("url", "a b/ü?&+%", "a%20b%2F%C3%BC%3F%26%2B%25")
  same("a+b", enc.url.decode "a+b")
  same("a/b", enc.url.decode "a%2fb")
  refused("url", "%", "%1", "%zz", "a b", "a\0b", "ü", "%%20")
  -- every byte
  local all = {}
  for i = 0, 255 do all[#all + 1] = string.char(i) end
  all = table.concat(all)
  for _, name in ipairs { "base64", "base64url", "hex", "url" } do
    for n = 0, 5 do
      local part = all:sub(1, #all - n)
      same(part, enc[name].decode(enc[name].encode(part)), name)
    end
  end
  same("YQ==", enc.base64.encode(ml.bytes "a"))
  raises("text expected, got number", enc.base64.encode, 1)
  raises("ml.enc is read-only", function() enc.x = 1 end)
  raises("ml.enc.hex is read-only", function() enc.hex.encode = nil end)
  raises("text expected, got nil", enc.hex.decode, nil)
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
