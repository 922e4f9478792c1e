-- SPDX-License-Identifier: MIT
-- ml.set(list): a set of strings, numbers and booleans. `+` union, `-` difference, `*` intersection.
local Set = {}
local members = setmetatable({}, { __mode = "k" }) -- set -> { [value] = true }

local meta = { __index = Set, __metatable = false, __guard = true }

local function new(of)
  local set = setmetatable({}, meta)
  members[set] = of
  return set
end

local function of(set)
  local m = members[set]
  if not m then error("a set expected, got " .. type(set), 3) end
  return m
end

local function combine(a, b, keep)
  local x, y, out = of(a), of(b), {}
  keep(x, y, out)
  return new(out)
end

function meta.__add(a, b)
  return combine(a, b, function(x, y, out)
    for value in pairs(x) do out[value] = true end
    for value in pairs(y) do out[value] = true end
  end)
end

function meta.__sub(a, b)
  return combine(a, b, function(x, y, out)
    for value in pairs(x) do out[value] = not y[value] or nil end
  end)
end

function meta.__mul(a, b)
  return combine(a, b, function(x, y, out)
    for value in pairs(x) do out[value] = y[value] end
  end)
end

function meta.__eq(a, b)
  local x, y = of(a), of(b)
  for value in pairs(x) do if not y[value] then return false end end
  for value in pairs(y) do if not x[value] then return false end end
  return true
end

function meta.__newindex() error("a set is read-only", 2) end

function Set:has(value) return of(self)[value] == true end

function Set:size()
  local n = 0
  for _ in pairs(of(self)) do n = n + 1 end
  return n
end

-- Numbers before text, each in its own order.
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return ta < tb end
  if ta == "boolean" then return not a and b end
  return a < b
end

function Set:sorted()
  local list = {}
  for value in pairs(of(self)) do list[#list + 1] = value end
  table.sort(list, before)
  return list
end

---@param list any[]?  nil: the empty set
return function(list)
  local out = {}
  if list ~= nil then
    if type(list) ~= "table" then error("ml.set: a list expected, got " .. type(list), 2) end
    for _, value in ipairs(list) do
      local kind = type(value)
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        error("ml.set: a set holds text, numbers and booleans, not a " .. kind, 2)
      end
      out[value] = true
    end
  end
  return new(out)
end
