-- SPDX-License-Identifier: MIT
-- What the specs in this folder share: lib/check.lua of the plugin that each of them is.
local check = {}

local function show(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for key, value in pairs(v) do parts[#parts + 1] = "[" .. show(key) .. "]=" .. show(value) end
  table.sort(parts)
  return "{" .. table.concat(parts, " ") .. "}"
end

local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not equal(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

check.count = 0

function check.same(expected, got, about)
  check.count = check.count + 1
  if not equal(expected, got) then
    error(("%sexpected %s, got %s"):format(about and about .. ": " or "", show(expected), show(got)), 2)
  end
end

function check.raises(text, fn, ...)
  check.count = check.count + 1
  local ok, why = pcall(fn, ...)
  if ok then error("no error, expected: " .. text, 2) end
  if not tostring(why):find(text, 1, true) then error(("another error than %q: %s"):format(text, tostring(why)), 2) end
end

return check
