-- SPDX-License-Identifier: MIT
-- JSON for tools and specs, where the engine's own is not at hand. Lists are tables with a first item or
-- made by json.list; null is json.null; numbers are doubles.
local json = {}

json.null = setmetatable({}, { __tostring = function() return "null" end })

local list_mt = { __name = "list" }

--- Marks a table as a list, so that an empty one stays a list.
function json.list(t) return setmetatable(t or {}, list_mt) end

local NAMES = { ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function text_of(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c) return NAMES[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local encode

local function encode_table(value, depth)
  if depth > 64 then error("JSON: nested deeper than 64", 0) end
  local parts = {}
  if value[1] ~= nil or getmetatable(value) == list_mt then
    for i = 1, #value do parts[i] = encode(value[i], depth + 1) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys, of = {}, {}
  for key in pairs(value) do
    local name = tostring(key)
    keys[#keys + 1] = name
    of[name] = key
  end
  table.sort(keys)
  for i, name in ipairs(keys) do parts[i] = text_of(name) .. ":" .. encode(value[of[name]], depth + 1) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if value == nil or value == json.null then return "null" end
  if kind == "string" then return text_of(value) end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then
    if value ~= value or value == math.huge or value == -math.huge then error("JSON: not a number", 0) end
    if value == math.floor(value) and math.abs(value) < 1e15 then return ("%.0f"):format(value) end
    return ("%.17g"):format(value)
  end
  if kind == "table" then return encode_table(value, depth) end
  error("JSON: a " .. kind .. " is no data", 0)
end

--- The text of a value; keys in order.
function json.encode(value) return encode(value, 0) end

-- ---- Reading ----------------------------------------------------------------------------------------------------

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(c)
  local char, floor = string.char, math.floor
  if c < 0x80 then return char(c) end
  if c < 0x800 then return char(0xc0 + floor(c / 64), 0x80 + c % 64) end
  if c < 0x10000 then return char(0xe0 + floor(c / 4096), 0x80 + floor(c / 64) % 64, 0x80 + c % 64) end
  return char(0xf0 + floor(c / 262144), 0x80 + floor(c / 4096) % 64, 0x80 + floor(c / 64) % 64, 0x80 + c % 64)
end

local function fail(pos, what) error({ json = ("JSON: %s at byte %d"):format(what, pos) }, 0) end

local function read_string(text, pos)
  local out, from = {}, pos + 1
  local i = from
  while true do
    local at = text:find('["\\%c]', i)
    if not at then fail(pos, "a string does not end") end
    local c = text:sub(at, at)
    if c == '"' then
      out[#out + 1] = text:sub(from, at - 1)
      return table.concat(out), at + 1
    elseif c ~= "\\" then
      fail(at, "a control character in a string")
    end
    out[#out + 1] = text:sub(from, at - 1)
    local e = text:sub(at + 1, at + 1)
    if e == "u" then
      local code = tonumber(text:match("^%x%x%x%x", at + 2) or fail(at, "a bad escape"), 16)
      i = at + 6
      if code >= 0xd800 and code < 0xdc00 then
        local low = text:match("^\\u([dD][c-fC-F]%x%x)", i)
        if low then
          code = 0x10000 + (code - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00
          i = i + 6
        end
      end
      out[#out + 1] = utf8(code)
    else
      out[#out + 1] = ESCAPES[e] or fail(at, "a bad escape")
      i = at + 2
    end
    from = i
  end
end

local read

local function skip(text, pos) return (text:find("[^ \t\r\n]", pos)) or #text + 1 end

local function read_list(text, pos, depth)
  local out = json.list {}
  pos = skip(text, pos + 1)
  if text:sub(pos, pos) == "]" then return out, pos + 1 end
  while true do
    out[#out + 1], pos = read(text, pos, depth)
    pos = skip(text, pos)
    local c = text:sub(pos, pos)
    if c == "]" then return out, pos + 1 end
    if c ~= "," then fail(pos, "',' or ']' expected") end
    pos = skip(text, pos + 1)
  end
end

local function read_object(text, pos, depth)
  local out = {}
  pos = skip(text, pos + 1)
  if text:sub(pos, pos) == "}" then return out, pos + 1 end
  while true do
    local key
    if text:sub(pos, pos) ~= '"' then fail(pos, "a key expected") end
    key, pos = read_string(text, pos)
    pos = skip(text, pos)
    if text:sub(pos, pos) ~= ":" then fail(pos, "':' expected") end
    out[key], pos = read(text, skip(text, pos + 1), depth)
    pos = skip(text, pos)
    local c = text:sub(pos, pos)
    if c == "}" then return out, pos + 1 end
    if c ~= "," then fail(pos, "',' or '}' expected") end
    pos = skip(text, pos + 1)
  end
end

function read(text, pos, depth)
  if depth > 64 then fail(pos, "nested deeper than 64") end
  local c = text:sub(pos, pos)
  if c == "{" then return read_object(text, pos, depth + 1) end
  if c == "[" then return read_list(text, pos, depth + 1) end
  if c == '"' then return read_string(text, pos) end
  for word, value in pairs { ["true"] = true, ["false"] = false, null = json.null } do
    if text:sub(pos, pos + #word - 1) == word then return value, pos + #word end
  end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", pos)
  if not number or not tonumber(number) then fail(pos, "a value expected") end
  return tonumber(number), pos + #number
end

--- The value of a text, or nil and what is wrong with it.
function json.decode(text)
  local ok, value, pos = pcall(read, text, skip(text, 1), 0)
  if ok then
    pos = skip(text, pos)
    if pos <= #text then return nil, ("JSON: more behind the value at byte %d"):format(pos) end
    return value
  end
  if type(value) == "table" then return nil, value.json end
  error(value, 0)
end

return json
