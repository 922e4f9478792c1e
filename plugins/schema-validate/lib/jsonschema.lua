-- A subset of JSON Schema (2020-12) over plain values: type, enum, const, minimum, maximum, minLength,
-- maxLength, pattern, properties, additionalProperties, items, maxItems, minItems, anyOf.
local ml = require "moonloom"
local jsonschema = {}

local KEYS = ml.set { "type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern", "properties",
                      "additionalProperties", "items", "minItems", "maxItems", "anyOf", "title", "description", "$schema", "$id",
                      "default" }
local TYPES = ml.set { "string", "number", "integer", "boolean", "null", "object", "array" }

local function compile(schema, where, depth)
  if depth > 32 then error(where .. ": nested too deeply", 0) end
  if schema == true or schema == false then return { never = not schema } end
  if type(schema) ~= "table" then error(where .. ": a schema is an object, true or false", 0) end
  for key in pairs(schema) do
    if not KEYS:has(key) then error(("%s: '%s' is not one of the keywords that are known here"):format(where, tostring(key)), 0) end
  end
  local out = { min = schema.minimum, max = schema.maximum, min_len = schema.minLength, max_len = schema.maxLength,
                min_items = schema.minItems, max_items = schema.maxItems, const = schema.const, enum = schema.enum }
  if schema.type ~= nil then
    out.types = {}
    for _, one in ipairs(type(schema.type) == "table" and schema.type or { schema.type }) do
      if not TYPES:has(one) then error(("%s: there is no type '%s'"):format(where, tostring(one)), 0) end
      out.types[one] = true
    end
  end
  if schema.pattern then out.pattern = ml.re.compile(schema.pattern) end
  if schema.items ~= nil then out.items = compile(schema.items, where .. "/items", depth + 1) end
  if schema.additionalProperties ~= nil then
    out.others = compile(schema.additionalProperties, where .. "/additionalProperties", depth + 1)
  end
  if schema.properties then
    out.properties = {}
    for name, one in pairs(schema.properties) do out.properties[name] = compile(one, where .. "/" .. name, depth + 1) end
  end
  if schema.anyOf then
    out.any = {}
    for i, one in ipairs(schema.anyOf) do out.any[i] = compile(one, where .. "/anyOf", depth + 1) end
  end
  return out
end

--- Text to something that check and repair take; raises with what is wrong.
function jsonschema.compile(text, where)
  local schema, _, why = ml.json.decode(text)
  if schema == nil then error(("%s: %s"):format(where, why), 0) end
  return compile(schema, where, 1)
end

--- The schema of what stands at a path (list of segments) below; nil: nothing is said about it; false: nothing may be there.
function jsonschema.at(schema, path)
  for _, part in ipairs(path) do
    if not schema or schema.never then return false end
    local own = schema.properties and schema.properties[part]
    if own then
      schema = own
    elseif schema.items and part:find("^%d+$") then
      schema = schema.items
    elseif schema.others then
      schema = schema.others
    else
      return nil
    end
  end
  return not schema.never and schema
end

local function is_list(value)
  return #value > 0 or ml.json.encode(value) == "[]"
end

local function type_of(value)
  if value == ml.null then return "null" end
  local kind = type(value)
  if kind == "number" then return value % 1 == 0 and "integer" or "number" end
  if kind == "table" then return is_list(value) and "array" or "object" end
  return kind
end

local function among(list, value)
  for _, one in ipairs(list) do if one == value then return true end end
  return false
end

local check

local function check_members(schema, value, limits, depth)
  if type_of(value) == "array" then
    if schema.max_items and #value > schema.max_items then return "has too many items" end
    if schema.min_items and #value < schema.min_items then return "has too few items" end
    for i, item in ipairs(value) do
      local wrong = schema.items and check(schema.items, item, limits, depth + 1)
      if wrong then return wrong, i end
    end
    return nil
  end
  for key, item in pairs(value) do
    local inner = schema.properties and schema.properties[key] or schema.others
    local wrong = inner and check(inner, item, limits, depth + 1)
    if wrong then return ("%s: %s"):format(tostring(key), wrong), key end
  end
end

-- nil, or what is wrong with the value.
function check(schema, value, limits, depth)
  if schema.never then return "does not belong here" end
  if depth > limits.max_depth then return "is nested too deeply" end
  local kind = type_of(value)
  if schema.types and not schema.types[kind] and not (kind == "integer" and schema.types.number) then return "is not of its type" end
  if schema.const ~= nil and value ~= schema.const then return "is not the one value it may be" end
  if schema.enum and not among(schema.enum, value) then return "is not one of the values it may be" end
  if schema.any then
    local fits = false
    for _, one in ipairs(schema.any) do fits = fits or check(one, value, limits, depth + 1) == nil end
    if not fits then return "fits none of its forms" end
  end
  if type(value) == "number" then
    if schema.min and value < schema.min then return "is too small" end
    if schema.max and value > schema.max then return "is too large" end
  elseif type(value) == "string" then
    if #value > limits.max_string then return "is too long" end
    local len = (schema.min_len or schema.max_len) and ml.text.len16(value)
    if schema.min_len and len < schema.min_len then return "is too short" end
    if schema.max_len and len > schema.max_len then return "is too long" end
    if schema.pattern and not schema.pattern:test(value) then return "does not look as it should" end
  elseif type(value) == "table" then
    return check_members(schema, value, limits, depth)
  end
end

jsonschema.check = check

--- The longest begin of a text that fits; nil: none does.
function jsonschema.repair(schema, value, limits)
  local kept = schema.max_len and ml.text.truncate(value, schema.max_len) or value
  if #kept > limits.max_string then kept = ml.text.truncate(kept, math.floor(limits.max_string / 4)) end
  if check(schema, kept, limits, 1) then return nil end
  return kept
end

return jsonschema
