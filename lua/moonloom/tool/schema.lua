-- SPDX-License-Identifier: MIT
-- `moonloom plugin schema`: JSON Schema (2020-12) of a plugin's configuration, for forms and editors.
local folder = require "moonloom.tool.folder"
local json = require "moonloom.test.json"

local schema = {}

local TEXT = { string = true, url = true, host = true, cidr = true, email = true, role = true, glob = true, path = true, regex = true, cron = true,
               secret = true, duration = true, size = true, rate = true }
local FORMAT = { url = "uri", host = "hostname", email = "email", regex = "regex" }
local PATTERN = { rate = "^[0-9]+/[smhd]$" }

local convert

local function properties(fields)
  local props, required = {}, {}
  for _, field in ipairs(fields) do
    props[field[1]] = convert(field)
    if field.required then required[#required + 1] = field[1] end
  end
  local out = { type = "object", properties = props, additionalProperties = false }
  if #required > 0 then out.required = json.list(required) end
  return out
end

function convert(field)
  local kind, out = field.type, {}
  if kind == "integer" or kind == "number" then
    out.type, out.minimum, out.maximum = kind, field.min, field.max
  elseif kind == "boolean" then
    out.type = "boolean"
  elseif kind == "enum" then
    out.enum = json.list { unpack(field.of or {}) }
  elseif kind == "array" then
    out.type, out.items, out.minItems, out.maxItems = "array", field.items and convert(field.items), field.min_items, field.max_items
    out.uniqueItems = field.unique
  elseif kind == "map" then
    out.type = "object"
    out.additionalProperties = field.values and convert(field.values) or true
  elseif kind == "record" then
    out = properties(field.fields or {})
  elseif kind == "any_of" then
    out.anyOf = json.list {}
    for i, one in ipairs(field.of or {}) do out.anyOf[i] = convert(one) end
  elseif kind == "duration" or kind == "size" then
    out.type = json.list { "string", "number" }
  elseif TEXT[kind] then
    out.type, out.format, out.minLength, out.maxLength, out.pattern = "string", FORMAT[kind], field.min_len, field.max_len, PATTERN[kind]
  end
  out.description = field.doc
  if field.default ~= nil then
    out.default = field.default
    if type(field.default) == "table" and kind == "array" then out.default = json.list { unpack(field.default) } end
  end
  if field.example ~= nil then out.examples = json.list { field.example } end
  if field.secret or kind == "secret" then out.writeOnly = true end
  if field.deprecated then out.deprecated = true end
  return out
end

--- JSON Schema of a normalised manifest, as a table.
function schema.of(manifest)
  local out = properties(manifest.config.fields)
  out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
  out.title = manifest.name
  out.description = manifest.summary
  return out
end

function schema.run(_, words)
  local plugin = folder.find(words[1])[1]
  local manifest, report, short = folder.manifest(plugin)
  if short then folder.fail(plugin.path .. ": there is no plugin.lua") end
  if not manifest then
    for _, line in ipairs(report) do io.stderr:write(plugin.name, "/plugin.lua: ", line, "\n") end
    return 1
  end
  io.stdout:write(json.encode(schema.of(manifest)), "\n")
  return 0
end

return schema
