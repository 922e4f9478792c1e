-- JSON for specs: lists and objects stay apart, null is a value, numbers are doubles. A lone
-- surrogate escape becomes its three bytes (as WTF-8), so that it can be compared.
local json = {}

json.null = setmetatable({}, { __tostring = function() return "null" end })

local list_mt = { __name = "list" }

function json.list(t)
  return setmetatable(t or {}, list_mt)
end

function json.is_list(t)
  return getmetatable(t) == list_mt
end

-- The keys of every decoded object, in the order of the text.
local orders = setmetatable({}, { __mode = "k" })

function json.keys(t)
  return orders[t]
end

local char, byte, sub, find = string.char, string.byte, string.sub, string.find

local function utf8(c)
  if c < 0x80 then return char(c) end
  if c < 0x800 then return char(0xc0 + math.floor(c / 64), 0x80 + c % 64) end
  if c < 0x10000 then
    return char(0xe0 + math.floor(c / 4096), 0x80 + math.floor(c / 64) % 64, 0x80 + c % 64)
  end
  return char(0xf0 + math.floor(c / 262144), 0x80 + math.floor(c / 4096) % 64,
    0x80 + math.floor(c / 64) % 64, 0x80 + c % 64)
end

json.utf8 = utf8

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function fail(text, pos, what)
  error(("JSON: %s at byte %d: %s"):format(what, pos, sub(text, pos, pos + 20)), 0)
end

local function parse_string(text, pos)
  local out = {}
  while true do
    local stop = find(text, '["\\%z\1-\31]', pos)
    if not stop then fail(text, pos, "string without end") end
    out[#out + 1] = sub(text, pos, stop - 1)
    local c = sub(text, stop, stop)
    if c == '"' then return table.concat(out), stop + 1 end
    if c ~= "\\" then fail(text, stop, "control byte in a string") end
    local e = sub(text, stop + 1, stop + 1)
    if e == "u" then
      local c1 = tonumber(sub(text, stop + 2, stop + 5), 16) or fail(text, stop, "broken escape")
      pos = stop + 6
      local c2 = c1 >= 0xd800 and c1 < 0xdc00 and sub(text, pos, pos + 1) == "\\u"
        and tonumber(sub(text, pos + 2, pos + 5), 16)
      if c2 and c2 >= 0xdc00 and c2 < 0xe000 then
        out[#out + 1] = utf8(0x10000 + (c1 - 0xd800) * 1024 + c2 - 0xdc00)
        pos = pos + 6
      else
        out[#out + 1] = utf8(c1)
      end
    else
      out[#out + 1] = escapes[e] or fail(text, stop, "unknown escape")
      pos = stop + 2
    end
  end
end

local parse_value

local function skip(text, pos)
  return find(text, "[^ \t\r\n]", pos) or #text + 1
end

local function parse_list(text, pos)
  local out, n = json.list(), 0
  pos = skip(text, pos)
  if sub(text, pos, pos) == "]" then return out, pos + 1 end
  while true do
    n = n + 1
    out[n], pos = parse_value(text, pos)
    pos = skip(text, pos)
    local c = sub(text, pos, pos)
    if c == "]" then return out, pos + 1 end
    if c ~= "," then fail(text, pos, "no comma") end
    pos = pos + 1
  end
end

local function parse_object(text, pos)
  local out, order = {}, {}
  orders[out] = order
  pos = skip(text, pos)
  if sub(text, pos, pos) == "}" then return out, pos + 1 end
  while true do
    local key
    pos = skip(text, pos)
    if sub(text, pos, pos) ~= '"' then fail(text, pos, "no key") end
    key, pos = parse_string(text, pos + 1)
    pos = skip(text, pos)
    if sub(text, pos, pos) ~= ":" then fail(text, pos, "no colon") end
    if out[key] == nil then order[#order + 1] = key end
    out[key], pos = parse_value(text, pos + 1)
    pos = skip(text, pos)
    local c = sub(text, pos, pos)
    if c == "}" then return out, pos + 1 end
    if c ~= "," then fail(text, pos, "no comma") end
    pos = pos + 1
  end
end

function parse_value(text, pos)
  pos = skip(text, pos)
  local c = byte(text, pos)
  if c == 0x7b then return parse_object(text, pos + 1) end
  if c == 0x5b then return parse_list(text, pos + 1) end
  if c == 0x22 then return parse_string(text, pos + 1) end
  for word, value in pairs { ["true"] = true, ["false"] = false, ["null"] = json.null } do
    if sub(text, pos, pos + #word - 1) == word then return value, pos + #word end
  end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", pos)
  if not number then fail(text, pos, "no value") end
  return tonumber(number), pos + #number
end

--- The one value in `text`; raises if there is anything else.
function json.decode(text)
  local value, pos = parse_value(text, 1)
  if skip(text, pos) <= #text then fail(text, pos, "more behind the value") end
  return value
end

--- Are two decoded values the same? Answers false and where they differ.
function json.same(a, b, path)
  path = path or "$"
  if type(a) ~= "table" or type(b) ~= "table" or a == json.null or b == json.null then
    if a == b then return true end
    return false, ("%s: %s and %s"):format(path, tostring(a), tostring(b))
  end
  if json.is_list(a) ~= json.is_list(b) then return false, path .. ": a list and an object" end
  if json.is_list(a) and #a ~= #b then return false, ("%s: %d and %d elements"):format(path, #a, #b) end
  for k, v in pairs(a) do
    if b[k] == nil then return false, path .. "." .. tostring(k) .. ": missing on the right" end
    local same, where = json.same(v, b[k], path .. "." .. tostring(k))
    if not same then return false, where end
  end
  for k in pairs(b) do
    if a[k] == nil then return false, path .. "." .. tostring(k) .. ": missing on the left" end
  end
  return true
end

return json
