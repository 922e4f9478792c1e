-- Decoded JSON of the vectors as lib0's Any, key order kept; {"$y": ...} are the values JSON has not.
local ffi = require "ffi"
local json = require "support.json"
local lib0 = require "support.lua.lib0"

local any = {}
local char = string.char
local encode

local function big_endian(kind, value)
  local box = ffi.new(kind .. "[1]", value)
  return ffi.string(box, ffi.sizeof(box)):reverse()
end

local function varint(magnitude, negative)
  local first = magnitude % 64 + (negative and 64 or 0)
  if magnitude < 64 then return char(first) end
  return char(first + 128) .. lib0.uint(math.floor(magnitude / 64))
end

local function number(x)
  if x == math.floor(x) and math.abs(x) <= 2147483647 then
    return "\125" .. varint(math.abs(x), x < 0 or 1 / x < 0)
  end
  if x == ffi.new("float[1]", x)[0] then return "\124" .. big_endian("float", x) end
  if x ~= x then return "\123\127\248" .. ("\0"):rep(6) end
  return "\123" .. big_endian("double", x)
end

local function unhex(hex)
  return (hex:gsub("%x%x", function(pair) return char(tonumber(pair, 16)) end))
end

local function special(v)
  local kind = v["$y"]
  if kind == "undefined" then return "\127" end
  if kind == "bytes" then return "\116" .. lib0.bytes(unhex(v.v)) end
  if kind == "bigint" then
    local digits, negative = v.v:gsub("^-", "")
    local value = ffi.new("uint64_t", 0)
    for d in digits:gmatch("%d") do value = value * 10 + tonumber(d) end
    return "\122" .. big_endian("uint64_t", negative > 0 and -value or value)
  end
  if kind == "num" then
    return number(({ NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge, ["-0"] = -0.0 })[v.v])
  end
  error("unknown $y " .. tostring(kind))
end

-- JavaScript's order: array indexes first.
local function ordered_keys(v)
  local keys, rank = {}, {}
  for i, key in ipairs(assert(json.keys(v), "an object that json.decode did not make")) do
    local n = key:match("^%d+$") and not key:match("^0.") and tonumber(key)
    keys[i] = key
    rank[key] = n and n < 2 ^ 32 - 1 and n or 2 ^ 32 + i
  end
  table.sort(keys, function(a, b) return rank[a] < rank[b] end)
  return keys
end

function encode(v)
  local kind = type(v)
  if v == json.null then return "\126" end
  if kind == "boolean" then return v and "\120" or "\121" end
  if kind == "number" then return number(v) end
  if kind == "string" then return "\119" .. lib0.bytes(v) end
  local out = {}
  if json.is_list(v) then
    for i, x in ipairs(v) do out[i] = encode(x) end
    return "\117" .. lib0.uint(#v) .. table.concat(out)
  end
  if v["$y"] then return special(v) end
  local keys = ordered_keys(v)
  for i, key in ipairs(keys) do out[i] = lib0.bytes(key) .. encode(v[key]) end
  return "\118" .. lib0.uint(#keys) .. table.concat(out)
end

any.encode = encode

return any
