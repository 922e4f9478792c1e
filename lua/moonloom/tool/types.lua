-- SPDX-License-Identifier: MIT
-- Editor stubs in the annotations of the Lua language server (plugin-api 19): types/moonloom.lua from the
-- definition, types/<plugin>.lua from a manifest, and the settings that make an editor find them.
local read = require "moonloom.defs.read"

local types = {}

--- Values that only `ml` makes and only hooks answer.
types.opaque = { "Deny", "Grant", "Restriction", "Merge", "KeepBoth", "Slow", "Allow", "Drop", "Retry", "Dead", "Null", "Bytes",
                 "Int64", "KeySet" }

local HEAD = [[
---@meta moonloom
-- Made by `moonloom plugin types`. Do not edit: it is written anew.

---Seconds, or text such as "90s", "15m", "7d".
---@alias moonloom.Duration number|string
---Bytes, or text such as "64KiB".
---@alias moonloom.Size number|string
---@alias moonloom.EditKind "text"|"map"|"array"|"xml"|"text.insert"|"text.delete"|"text.format"|"map.set"|"map.delete"|"array.insert"|"array.delete"|"xml.insert"|"xml.delete"|"xml.attr"|"subdoc"
---@alias moonloom.ConflictAnswer "current"|"incoming"|moonloom.Merge|moonloom.KeepBoth|nil
]]

local function notes(out, member)
  if member.doc and member.doc ~= "" then out[#out + 1] = "---" .. member.doc end
  if member.waits then out[#out + 1] = "---Waits: only in hooks that may wait." end
  if member.need then out[#out + 1] = ("---Needs `%s` in plugin.lua."):format(member.need) end
  if not member.since then out[#out + 1] = "---Not available in this version." end
  if member.deprecated then
    out[#out + 1] = "---@deprecated"
    out[#out + 1] = "---" .. tostring(member.deprecated[2])
  end
end

local function write_function(out, name, member)
  notes(out, member)
  local names = {}
  for i, p in ipairs(member.params) do
    names[i] = p.name
    out[#out + 1] = ("---@param %s%s %s"):format(p.name, p.optional and "?" or "", p.type)
  end
  for i, kind in ipairs(member.results) do
    out[#out + 1] = "---@return " .. (member.fails and i == 1 and not kind:find("%?$") and kind .. "?" or kind)
  end
  if member.fails then
    for _ = math.max(#member.results, 1) + 1, 3 do out[#out + 1] = "---@return string? kind, or text" end
  end
  out[#out + 1] = ("function %s(%s) end"):format(name, table.concat(names, ", "))
  out[#out + 1] = ""
end

local function write_class(out, class)
  if class.doc then out[#out + 1] = "---" .. class.doc end
  out[#out + 1] = "---@class " .. class.class
  for _, field in ipairs(class.fields) do
    local kind = field.type
    out[#out + 1] = ("---@field %s %s %s"):format(field.name, kind, field.doc .. (field.since and "" or " (not in this version)"))
  end
  for _, op in ipairs(class.operators) do out[#out + 1] = ("---@operator %s(%s): %s"):format(op[1], op[2], op[3]) end
  local name = class.class:gsub("%.", "_")
  out[#out + 1] = ("local %s = {}"):format(name)
  out[#out + 1] = ""
  for _, method in ipairs(class.methods) do
    write_function(out, name .. (class.plain and "." or ":") .. method.name, method)
  end
end

--- The stub of the whole API.
---@return string
function types.api()
  local all, out = read.all(), { HEAD }
  for _, name in ipairs(types.opaque) do
    out[#out + 1] = ("---@class moonloom.%s"):format(name)
    if name == "Merge" then out[#out + 1] = "---@field value any" end
    if name == "Deny" then
      out[#out + 1] = "---@field code string"
      out[#out + 1] = "---@field reason string"
    end
  end
  out[#out + 1] = ""
  for _, class in ipairs(all.classes) do write_class(out, class) end

  out[#out + 1] = "---@class moonloom"
  out[#out + 1] = "local ml = {}"
  out[#out + 1] = ""
  for _, module in ipairs(all.modules) do
    if module.name then
      out[#out + 1] = "---" .. module.doc
      out[#out + 1] = ("ml.%s = {}"):format(module.name)
      out[#out + 1] = ""
    end
    for _, member in ipairs(module.members) do
      if member.params then
        write_function(out, member.path, member)
      else
        notes(out, member)
        out[#out + 1] = "---@type " .. member.signature
        out[#out + 1] = member.path .. " = nil"
        out[#out + 1] = ""
      end
    end
  end

  out[#out + 1] = "---@class moonloom.Plugin"
  out[#out + 1] = "local Plugin = {}"
  out[#out + 1] = ""
  for _, hook in ipairs(all.hooks) do
    if not hook.family then
      out[#out + 1] = "---" .. hook.text
      if not hook.since then out[#out + 1] = "---Not available in this version." end
      out[#out + 1] = hook.waits and "---May wait." or "---May not wait."
      out[#out + 1] = ("---@param %s %s"):format(hook.arg[1], hook.arg[2])
      if hook.answer then out[#out + 1] = "---@return " .. hook.answer end
      out[#out + 1] = ("function Plugin:%s(%s) end"):format(hook.name, hook.arg[1])
      out[#out + 1] = ""
    end
  end
  out[#out + 1] = "return ml"
  return table.concat(out, "\n") .. "\n"
end

local SIMPLE = { string = "string", integer = "integer", number = "number", boolean = "boolean", duration = "number", size = "number",
                 url = "string", host = "string", cidr = "string", email = "string", role = "string", glob = "string",
                 path = "string", regex = "string", cron = "string", secret = "moonloom.Secret",
                 rate = "{ n: number, per: number }" }

local function type_of(field)
  if field.secret then return "moonloom.Secret" end
  if field.type == "enum" then
    local words = {}
    for i, word in ipairs(field.of or {}) do words[i] = ("%q"):format(word) end
    return table.concat(words, "|")
  elseif field.type == "array" then
    local item = type_of(field.items or {})
    return (item:find("[|{]") and "(" .. item .. ")" or item) .. "[]"
  elseif field.type == "map" then
    return ("table<%s, %s>"):format(field.keys and type_of(field.keys) or "string", type_of(field.values or {}))
  elseif field.type == "record" then
    local parts = {}
    for i, one in ipairs(field.fields or {}) do parts[i] = ("%s: %s"):format(one[1], type_of(one)) end
    return "{ " .. table.concat(parts, ", ") .. " }"
  elseif field.type == "any_of" then
    local kinds = {}
    for i, one in ipairs(field.of or {}) do kinds[i] = type_of(one) end
    return table.concat(kinds, "|")
  end
  return SIMPLE[field.type] or "any"
end

--- "board-merge" → "BoardMerge"
function types.class_name(plugin)
  return (("-" .. plugin):gsub("-(%w)", string.upper):gsub("-", ""))
end

--- The stub of one plugin's configuration.
---@param manifest table  as manifest.check answers it
---@return string
function types.plugin(manifest)
  local name = types.class_name(manifest.name)
  local out = { "---@meta", "-- Made by `moonloom plugin types` from plugin.lua. Do not edit: it is written anew.", "",
                "---@class " .. name .. ".Config" }
  for _, field in ipairs(manifest.config.fields) do
    if not field.deprecated then
      local optional = field.default == nil and not field.required
      local kind = type_of(field)
      if optional then kind = kind:find("|", 1, true) and kind .. "|nil" or kind .. "?" end
      out[#out + 1] = ("---@field %s %s %s"):format(field[1], kind, field.doc or "")
    end
  end
  out[#out + 1] = ""
  out[#out + 1] = ("---@class %s : moonloom.Plugin"):format(name)
  out[#out + 1] = ("---@field config %s.Config"):format(name)
  return table.concat(out, "\n") .. "\n"
end

--- Settings of the language server (.luarc.json).
types.settings = [[
{
  "$schema": "https://raw.githubusercontent.com/LuaLS/vscode-lua/master/setting/schema.json",
  "runtime.version": "LuaJIT",
  "workspace.library": ["types"],
  "diagnostics.globals": ["describe", "it", "before_each", "after_each", "setup", "teardown", "pending"]
}
]]

return types
