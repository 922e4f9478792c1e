-- SPDX-License-Identifier: MIT
-- What plugin.lua may say (plugin-api 3.1), and whether the code agrees with it.
local families = require "moonloom.families"
local hook_defs = require "moonloom.defs.hooks"
local nearest = require "moonloom.nearest"
local order = require "moonloom.order"
local schema = require "moonloom.schema"
local units = require "moonloom.units"

local manifest = {}

local API_LEVEL = 1
local VERSION = "0.1.0"

local HOOKS, HOOK_NAMES = {}, {}
for i, def in ipairs(hook_defs) do
  HOOKS[def.name] = def
  HOOK_NAMES[i] = def.name
end

local NEEDS = { "cache", "kv", "limiter", "doc.read", "doc.write", "http", "cluster", "secrets.reveal", "sessions",
                "snapshots", "ffi" }
local KINDS = { "text.insert", "text.delete", "text.format", "map.set", "map.delete", "array.insert", "array.delete",
                "xml.insert", "xml.delete", "xml.attr", "subdoc" }
local ORIGINS = { "client", "sync", "import" }
-- From lax to strict: a manifest may only move to the right.
local STRICTNESS = { skip = 1, default = 1, hold = 2, refuse = 2, retry = 2 }

-- ---- Messages -----------------------------------------------------------------------------------------------

local Report = {}
Report.__index = Report

function Report:add(field, rule, hint, value)
  self[#self + 1] = schema.describe { field = field, rule = rule, suggestion = hint, value = value }
end

function Report:unknown(field, what, word, known)
  local near = nearest(word, known)
  self:add(field, ("unknown %s '%s'"):format(what, tostring(word)), near and ("did you mean '%s'?"):format(near) or nil)
end

-- ---- Small checks ----------------------------------------------------------------------------------------------

local function is_list(value)
  if type(value) ~= "table" then return false end
  local n = 0
  for key in pairs(value) do
    if type(key) ~= "number" then return false end
    n = n + 1
  end
  return n == #value
end

local function contains(list, word)
  for _, item in ipairs(list) do if item == word then return true end end
  return false
end

local function list_of_text(report, field, value)
  if not is_list(value) then
    report:add(field, "must be a list of text")
    return {}
  end
  for i, item in ipairs(value) do
    if type(item) ~= "string" or item == "" then
      report:add(("%s[%d]"):format(field, i), "must be text")
      return {}
    end
  end
  return value
end

local function words(report, field, value, known, what)
  local list = list_of_text(report, field, value)
  for _, word in ipairs(list) do
    if not contains(known, word) then report:unknown(field, what, word, known) end
  end
  return list
end

local function numbers_of(version)
  local a, b, c = tostring(version):match("^(%d+)%.(%d+)%.?(%d*)$")
  if not a then return nil end
  return { tonumber(a), tonumber(b), tonumber(c) or 0 }
end

local function compare(a, b)
  for i = 1, 3 do if a[i] ~= b[i] then return a[i] < b[i] and -1 or 1 end end
  return 0
end

--- Does `version` satisfy `wanted` (">=0.4", "=1.2.0", "1.2")? nil: `wanted` cannot be read.
function manifest.satisfies(version, wanted)
  if type(wanted) ~= "string" then return nil end
  local operator, number = wanted:match("^%s*([<>=]*)%s*([%d.]+)%s*$")
  local have, want = numbers_of(version), number and numbers_of(number)
  if not have or not want then return nil end
  local c = compare(have, want)
  if operator == ">=" or operator == "" then return c >= 0 end
  if operator == "=" or operator == "==" then return c == 0 end
  if operator == ">" then return c > 0 end
  if operator == "<" then return c < 0 end
  if operator == "<=" then return c <= 0 end
  return nil
end

-- ---- One function per key ----------------------------------------------------------------------------------------

local keys = {}

function keys.name(value, report, out, folder)
  if type(value) ~= "string" or not value:find("^[a-z][a-z0-9-]*$") or #value > 40 then
    return report:add("name", "must be a-z, 0-9 and '-', beginning with a letter, at most 40 bytes")
  end
  if folder and value ~= folder then
    report:add("name", ("'%s' must equal the folder name '%s'"):format(value, folder))
  end
  out.name = value
end

function keys.version(value, report, out)
  if type(value) ~= "string" or not value:find("^%d+%.%d+%.%d+$") then
    return report:add("version", 'must have three parts, as "1.0.0"')
  end
  out.version = value
end

function keys.api(value, report, out)
  if type(value) ~= "number" or value ~= math.floor(value) or value < 1 then
    return report:add("api", "must be a whole number")
  end
  if value > API_LEVEL then
    return report:add("api", ("level %d is newer than this server, which speaks %d"):format(value, API_LEVEL))
  end
  out.api = value
end

for _, name in ipairs { "summary", "license", "homepage" } do
  keys[name] = function(value, report, out)
    if type(value) ~= "string" or #value > 500 then return report:add(name, "must be text of at most 500 bytes") end
    out[name] = value
  end
end

function keys.authors(value, report, out)
  if type(value) == "string" then value = { value } end
  out.authors = list_of_text(report, "authors", value)
end

function keys.tier(value, report, out)
  if value ~= "org" and value ~= "operator" then return report:add("tier", 'must be "org" or "operator"') end
  out.tier = value
end

function keys.jit(value, report, out)
  if type(value) ~= "boolean" then return report:add("jit", "must be true or false") end
  if value then report:add("jit", "compiled plugins are not available in this version") end
  out.jit = value
end

function keys.phase(value, report, out)
  if type(value) ~= "string" or not order.rank[value] then
    return report:unknown("phase", "phase", value, order.phases)
  end
  out.phase = value
end

function keys.order(value, report, out)
  if type(value) ~= "table" then return report:add("order", "must be a table { after = {..}, before = {..} }") end
  for key, list in pairs(value) do
    if key == "after" or key == "before" then
      out.order[key] = list_of_text(report, "order." .. key, list)
    else
      report:unknown("order", "key", key, { "after", "before" })
    end
  end
end

manifest.NEEDS = NEEDS

function keys.needs(value, report, out)
  if type(value) ~= "table" then return report:add("needs", "must be a list such as { \"kv\" }") end
  for key, item in pairs(value) do
    local need = type(key) == "number" and item or key
    if type(need) ~= "string" or not contains(NEEDS, need) then
      report:unknown("needs", "capability", need, NEEDS)
    elseif need == "http" then
      if type(key) == "number" then
        report:add("needs.http", 'must list hosts, as http = { "api.example.com" }')
      else
        list_of_text(report, "needs.http", item)
      end
    end
    if type(need) == "string" then out.needs[need] = type(key) == "number" and true or item end
  end
end

local BUDGET = { sync = units.duration, memory = units.size, requests = tonumber, queue = tonumber }

function keys.budget(value, report, out)
  if type(value) ~= "table" then return report:add("budget", "must be a table") end
  for key, item in pairs(value) do
    local parse = BUDGET[key]
    if not parse then
      report:unknown("budget", "key", key, { "sync", "memory", "requests", "queue" })
    else
      local amount, wrong = parse(item)
      if not amount or amount <= 0 then report:add("budget." .. key, wrong or "must be a positive number") end
      out.budget[key] = amount
    end
  end
end

local METRIC_KEYS = { "type", "help", "labels", "buckets" }

function keys.metrics(value, report, out)
  if type(value) ~= "table" then return report:add("metrics", "must be a table of names") end
  for name, def in pairs(value) do
    local field = "metrics." .. tostring(name)
    if type(name) ~= "string" or not name:find("^[a-z][a-z0-9_]*$") then
      report:add(field, "a metric name is made of a-z, 0-9 and '_'")
    elseif type(def) ~= "table" then
      report:add(field, "must be a table { type, help, labels }")
    else
      for key in pairs(def) do
        if not contains(METRIC_KEYS, key) then report:unknown(field, "key", key, METRIC_KEYS) end
      end
      if def.type ~= "counter" and def.type ~= "gauge" and def.type ~= "histogram" then
        report:add(field .. ".type", 'must be "counter", "gauge" or "histogram"')
      end
    end
  end
  out.metrics = value
end

function keys.rpc_prefix(value, report, out)
  if type(value) ~= "string" or not value:find("^[a-z][a-z0-9_]*$") then
    return report:add("rpc_prefix", "must be a-z, 0-9 and '_'")
  end
  out.rpc_prefix = value
end

local REQUIRES = { "moonloom", "plugins", "conflicts" }

function keys.requires(value, report, out)
  if type(value) ~= "table" then return report:add("requires", "must be a table") end
  for key, item in pairs(value) do
    if not contains(REQUIRES, key) then
      report:unknown("requires", "key", key, REQUIRES)
    elseif key == "moonloom" then
      local fits = manifest.satisfies(VERSION, item)
      if fits == nil then
        report:add("requires.moonloom", 'is not a version; write ">=0.4"')
      elseif not fits then
        report:add("requires.moonloom", ("needs %s, this is %s"):format(item, VERSION))
      end
    elseif key == "plugins" then
      if type(item) ~= "table" then
        report:add("requires.plugins", "must be a table of names and versions")
      else
        for name, wanted in pairs(item) do
          if manifest.satisfies("0.0.0", wanted) == nil then
            report:add("requires.plugins." .. tostring(name), 'is not a version; write ">=1.2"')
          end
        end
        out.requires.plugins = item
      end
    else
      out.requires.conflicts = list_of_text(report, "requires.conflicts", item)
    end
  end
end

local CONFIG_KEYS = { "version", "fields", "rules" }

function keys.config(value, report, out)
  if type(value) ~= "table" then return report:add("config", "must be a table { version, fields, rules }") end
  for key in pairs(value) do
    if not contains(CONFIG_KEYS, key) then report:unknown("config", "key", key, CONFIG_KEYS) end
  end
  if value.version ~= nil and (type(value.version) ~= "number" or value.version < 1) then
    report:add("config.version", "must be a whole number from 1")
  end
  if value.fields == nil then return report:add("config.fields", "must be given") end
  if value.rules ~= nil and not is_list(value.rules) then return report:add("config.rules", "must be a list") end
  for _, e in ipairs(schema.wrong(value, "config")) do report:add(e.field, e.rule, e.suggestion, e.value) end
  out.config = { version = value.version or 1, fields = value.fields, rules = value.rules }
end

-- ---- Hooks ---------------------------------------------------------------------------------------------------------

local options = {}

function options.kinds(value, report, field, out, def)
  if def.kinds then
    out.kinds = words(report, field, value, def.kinds, "kind")
    return
  end
  local known = {}
  for _, kind in ipairs(KINDS) do
    known[#known + 1] = kind
    local family = kind:match("^(%a+)%.")
    if family and not contains(known, family) then known[#known + 1] = family end
  end
  out.kinds = words(report, field, value, known, "edit kind")
end

function options.origins(value, report, field, out)
  out.origins = words(report, field, value, ORIGINS, "origin")
end

function options.paths(value, report, field, out) out.paths = list_of_text(report, field, value) end
function options.keys(value, report, field, out) out.keys = list_of_text(report, field, value) end

function options.min_bytes(value, report, field, out)
  local bytes, wrong = units.size(value)
  if not bytes then report:add(field, wrong) end
  out.min_bytes = bytes
end

function options.every(value, report, field, out)
  local seconds, wrong = units.duration(value)
  if not seconds then return report:add(field, wrong) end
  if seconds > 3600 then return report:add(field, "must be an hour at most") end
  out.every = seconds
end

function options.max(value, report, field, out)
  if type(value) ~= "number" or value ~= math.floor(value) or value < 1 or value > 4096 then
    return report:add(field, "must be a whole number from 1 to 4096")
  end
  out.max = value
end

function options.durable(value, report, field, out)
  if type(value) ~= "boolean" then return report:add(field, "must be true or false") end
  out.durable = value
end

function options.proposals(value, report, field, out)
  if type(value) ~= "boolean" then return report:add(field, "must be true or false") end
  out.proposals = value
end

-- Settings of which one has to be set for the hook to be there.
local function settings(value, report, field, out)
  if type(value) == "string" then value = { value } end
  local known = {}
  for _, one in ipairs(type(out.config.fields) == "table" and out.config.fields or {}) do
    known[#known + 1] = type(one) == "table" and one[1] or nil
  end
  return words(report, field, value, known, "setting")
end

-- The failure mode in force: that of the hook, or a stricter one that the manifest asks for.
local function failure_mode(def, phase)
  if def.fails ~= "phase" then return def.fails end
  return (phase == "auth" or phase == "validate") and "hold" or "skip"
end

local function check_hook(name, value, report, out)
  local def, field = HOOKS[name], "hooks." .. tostring(name)
  if not def then return report:unknown("hooks", "hook", name, HOOK_NAMES) end
  if not def.since then return report:add(field, "known, but not available in this version") end
  if def.operator and out.tier ~= "operator" then report:add(field, 'needs tier = "operator"') end
  if def.family and families.is_here(name) then
    out.hooks[name] = families.check(name, value, report, field, out)
    return
  end
  if value == true then value = {} end
  if type(value) ~= "table" then return report:add(field, "must be a table of options, {} or true") end
  local hook = { phase = out.phase }
  local known = { "phase", "on_error", "when" }
  local later = def.later or {}
  for _, option in ipairs(def.options or {}) do known[#known + 1] = option end
  for _, option in ipairs(later) do known[#known + 1] = option end
  for key, item in pairs(value) do
    local where = field .. "." .. tostring(key)
    if not contains(known, key) then
      report:unknown(field, "option", key, known)
    elseif contains(later, key) then
      report:add(where, "known, but not available in this version")
    elseif key == "phase" then
      if type(item) == "string" and order.rank[item] then hook.phase = item
      else report:unknown(where, "phase", item, order.phases) end
    elseif key == "on_error" then
      hook.on_error = item
    elseif key == "when" then
      hook.when = settings(item, report, where, out)
    else
      options[key](item, report, where, hook, def)
    end
  end
  hook.fails = failure_mode(def, hook.phase)
  if hook.on_error ~= nil then
    local wanted = STRICTNESS[hook.on_error]
    if not wanted then
      report:unknown(field .. ".on_error", "failure mode", hook.on_error, { "hold", "refuse", "skip", "default" })
    elseif wanted < STRICTNESS[hook.fails] then
      report:add(field .. ".on_error", ("'%s' is laxer than '%s'; only the operator may choose that"):format(hook.on_error, hook.fails))
    else
      hook.fails = hook.on_error
    end
  end
  out.hooks[name] = hook
end

function keys.hooks(value, report, out)
  if type(value) ~= "table" then return report:add("hooks", "must be a table of hooks") end
  local names = {}
  for name in pairs(value) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for _, name in ipairs(names) do check_hook(name, value[name], report, out) end
end

local KEY_NAMES = {}
for name in pairs(keys) do KEY_NAMES[#KEY_NAMES + 1] = name end
table.sort(KEY_NAMES)

-- The order matters: hooks look at tier and phase.
local SEQUENCE = { "name", "version", "api", "summary", "license", "authors", "homepage", "tier", "jit", "phase",
                   "order", "needs", "budget", "metrics", "config", "rpc_prefix", "requires", "hooks" }

--- Check a manifest.
---@param given table  what plugin.lua returned
---@param folder string?
---@return table? normalised  every key there, defaults filled; nil if something is wrong
---@return string[] errors     sentences for a person
function manifest.check(given, folder)
  local report = setmetatable({}, Report)
  if type(given) ~= "table" then
    report:add("plugin.lua", "must return a table, not a " .. type(given))
    return nil, report
  end
  local out = { tier = "org", jit = false, phase = "policy", order = { after = {}, before = {} }, hooks = {}, needs = {},
                budget = {}, metrics = {}, config = { version = 1, fields = {} }, requires = {} }
  local unknown = {}
  for key in pairs(given) do
    if type(key) ~= "string" or not keys[key] then unknown[#unknown + 1] = tostring(key) end
  end
  table.sort(unknown)
  for _, key in ipairs(unknown) do report:unknown("plugin.lua", "key", key, KEY_NAMES) end
  for _, key in ipairs { "name", "version", "api" } do
    if given[key] == nil then report:add(key, "must be given") end
  end
  for _, key in ipairs(SEQUENCE) do
    if given[key] ~= nil then keys[key](given[key], report, out, folder) end
  end
  if #report > 0 then return nil, report end
  return out, report
end

--- Does the code implement what the manifest declares, and nothing else?
---@return string?  what is wrong
function manifest.disagreement(declared, plugin)
  if type(plugin) ~= "table" then return "init.lua must return the plugin table, not a " .. type(plugin) end
  for _, def in ipairs(hook_defs) do
    local has = plugin[def.name]
    if def.family and families.is_here(def.name) then
      local wrong = families.disagreement(def.name, declared.hooks[def.name], has)
      if wrong then return wrong end
    elseif def.family then
      if has ~= nil and type(has) ~= "table" then return def.name .. " must be a table" end
      has = has ~= nil and next(has) ~= nil or nil
      if has then return ("%s: known, but not available in this version"):format(def.name) end
    elseif declared.hooks[def.name] and type(has) ~= "function" then
      return ("plugin.lua declares the hook %s, but init.lua has no function of that name"):format(def.name)
    elseif has ~= nil and not declared.hooks[def.name] then
      return ("init.lua has %s, but plugin.lua does not declare it under hooks"):format(def.name)
    end
  end
end

--- Do the plugins that are switched on get along? `all`: normalised manifests.
---@return string?
function manifest.clash(all)
  local by_name = {}
  for _, one in ipairs(all) do by_name[one.name] = one end
  for _, one in ipairs(all) do
    for name, wanted in pairs(one.requires.plugins or {}) do
      local other = by_name[name]
      if not other then return ("%s requires the plugin %s, which is not switched on"):format(one.name, name) end
      if not manifest.satisfies(other.version, wanted) then
        return ("%s requires %s %s, this is %s"):format(one.name, name, wanted, other.version)
      end
    end
    for _, name in ipairs(one.requires.conflicts or {}) do
      if by_name[name] then return ("%s cannot run beside %s"):format(one.name, name) end
    end
  end
end

local function default_of(declared, name)
  for _, field in ipairs(declared.config.fields) do if field[1] == name then return field.default end end
end

-- Is one of these settings more than nothing? Without a configuration at hand: yes.
local function is_on(one, when)
  if not when or not one.config then return true end
  for _, name in ipairs(when) do
    local value = one.config[name]
    if value == nil or type(value) == "userdata" then value = default_of(one.manifest, name) end -- null is as not given
    local is_empty = value == "" or value == 0 or (type(value) == "table" and next(value) == nil)
    if value and not is_empty then return true end
  end
  return false
end

--- Who implements `hook`, in the order they are asked; or nil and the cycle.
---@param all { name: string, manifest: table, config: table? }[]  instances; config as it was given
---@param pins string[]?  order of the operator
---@return integer[]?  their indices in `all`
---@return string[]|string  why each stands where it does; or the cycle
function manifest.chain(all, hook, pins)
  local items = {}
  for i, one in ipairs(all) do
    local declared = one.manifest.hooks[hook]
    if declared and is_on(one, declared.when) then
      items[#items + 1] = { name = one.name, plugin = one.manifest.name, index = i, phase = declared.phase,
        after = one.manifest.order.after, before = one.manifest.order.before }
    end
  end
  local sorted, cycle = order.sort(items)
  if not sorted then return nil, cycle end
  if pins then sorted = order.pin(sorted, pins) end
  local indices, reasons = {}, {}
  for i, item in ipairs(sorted) do
    indices[i] = item.index
    reasons[i] = item.reason and ("%s, %s"):format(item.phase, item.reason) or item.phase
  end
  return indices, reasons
end

return manifest
