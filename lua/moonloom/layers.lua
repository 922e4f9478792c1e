-- SPDX-License-Identifier: MIT
-- Which instances an org has, and with which config (plugin-api 12):
--
--   built-in defaults -> server file -> plan -> org -> the instance's document filter
--
-- A deeper layer overrides field by field, records inside too; lists and maps are taken whole. The
-- built-in defaults stand in the schema and are filled in by the check of the result.
local grants = require "moonloom.grants"
local hook_defs = require "moonloom.defs.hooks"
local manifest_check = require "moonloom.manifest"
local nearest = require "moonloom.nearest"
local schema = require "moonloom.schema"
local units = require "moonloom.units"

local layers = {}

local SERVER_KEYS = { "plugin", "config", "version", "docs", "mode", "watch", "enforce", "hidden", "lock", "bounds" }
local ORG_KEYS = { "plugin", "config", "version", "docs", "mode" }
local PLAN_KEYS = { "allow", "budget", "own_code", "plugins" }
local ORG_FILE_KEYS = { "plan", "plugins", "labels", "region", "trace_text" }
local BUDGET_KEYS = { "cpu", "memory" }
local DOCS_MAX = 64

-- ---- Words ---------------------------------------------------------------------------------------------

local Report = {}
Report.__index = Report

local function new_report(org) return setmetatable({ org = org }, Report) end

function Report:add(field, rule, suggestion, value)
  local text = schema.describe { field = field, rule = rule, suggestion = suggestion, value = value }
  self[#self + 1] = self.org and ("org %s: %s"):format(self.org, text) or text
end

function Report:unknown(field, word, known)
  local near = nearest(tostring(word), known)
  self:add(field, ("unknown key '%s'"):format(tostring(word)), near and ("did you mean '%s'?"):format(near) or nil)
end

local function at(instance, field)
  local text = ("plugins[%q]"):format(instance)
  return field and text .. "." .. field or text
end

local function contains(list, word)
  for _, item in ipairs(list or {}) do if item == word then return true end end
  return false
end

local function sorted_names(t)
  local names = {}
  for name in pairs(t or {}) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

local function list_of_text(report, field, value, max)
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" or #value == 0 then return report:add(field, "must be a list of text") end
  for i, item in ipairs(value) do
    if type(item) ~= "string" or item == "" then return report:add(("%s[%d]"):format(field, i), "must be text") end
  end
  if #value > max then return report:add(field, ("must have at most %d entries"):format(max)) end
  return value
end

--- "webhook/crm": plugin "webhook", label "crm". nil: no such name can be.
function layers.parse_name(name)
  local plugin, label = tostring(name):match("^([a-z][a-z0-9-]*)/([a-z0-9][a-z0-9-]*)$")
  if not plugin then plugin = tostring(name):match("^[a-z][a-z0-9-]*$") end
  if not plugin or #plugin > 40 or (label and #label > 40) then return nil end
  return plugin, label
end

-- ---- One layer -----------------------------------------------------------------------------------------

-- The shape of an entry; answers the name of its plugin, or nil.
local function check_entry(report, name, entry, keys, known)
  local plugin = layers.parse_name(name)
  if not plugin then
    report:add(at(name), "is not the name of an instance", 'write "webhook" or "webhook/crm", in a-z, 0-9 and \'-\'')
    return nil
  end
  for _, key in ipairs(sorted_names(entry)) do
    if not contains(keys, key) then report:unknown(at(name), key, keys) end
  end
  if entry.plugin ~= nil then
    if type(entry.plugin) ~= "string" then
      report:add(at(name, "plugin"), "must be the name of a plugin")
      return nil
    end
    plugin = entry.plugin
  end
  if not known[plugin] then
    local near = nearest(plugin, sorted_names(known))
    report:add(at(name), ("there is no plugin '%s'"):format(plugin), near and ("did you mean '%s'?"):format(near) or nil)
    return nil
  end
  if entry.config ~= nil and type(entry.config) ~= "table" then
    report:add(at(name, "config"), "must be a table")
    return nil
  end
  if entry.mode ~= nil and entry.mode ~= "live" and entry.mode ~= "shadow" then
    report:add(at(name, "mode"), 'must be "live" or "shadow"')
  end
  return plugin
end

local function is_map(value)
  return type(value) == "table" and #value == 0 and next(value) ~= nil
end

local function record_of(fields, name)
  for _, field in ipairs(fields or {}) do
    if field[1] == name then return field.type == "record" and field.fields or nil end
  end
end

-- `over` over `under`; `from` remembers for each field which layer it came from.
local function merge(under, over, fields, layer, from, path)
  local out = {}
  for key, value in pairs(under) do out[key] = value end
  for key, value in pairs(over) do
    local inner, where = record_of(fields, key), path .. tostring(key)
    if inner and is_map(value) and is_map(out[key]) then
      out[key] = merge(out[key], value, inner, layer, from, where .. ".")
    else
      out[key] = value
      from[where] = layer
    end
  end
  return out
end

-- A layer's config in the words of the current version.
local function migrated(report, name, entry, plugin)
  local config, version = entry.config or {}, plugin.manifest.config.version or 1
  local given = entry.version or version
  if type(given) ~= "number" or given < 1 or given ~= math.floor(given) then
    report:add(at(name, "version"), "must be a whole number from 1")
    return config
  end
  if given > version then
    report:add(at(name, "version"), ("%d is newer than the plugin's config, which is %d"):format(given, version))
    return config
  end
  for n = given, version - 1 do
    local ok, result = plugin.migrate(n, config)
    if not ok then
      report:add(at(name, "config"), ("cannot be brought from version %d to %d"):format(n, n + 1), tostring(result))
      return config
    end
    config = result
  end
  return config
end

-- ---- What the operator allows --------------------------------------------------------------------------

local function measure(spec, value)
  if value == nil then return nil end
  if spec == "duration" then return (units.duration(value)) end
  if spec == "size" then return (units.size(value)) end
  if spec == "rate" then
    local rate = units.rate(value)
    return rate and rate.n / rate.per
  end
  return tonumber(value)
end

local function type_of(fields, name)
  for _, field in ipairs(fields or {}) do if field[1] == name then return field.type end end
end

local function check_bounds(report, name, given, bounds, fields)
  for _, key in ipairs(sorted_names(bounds)) do
    local kind, bound = type_of(fields, key), bounds[key]
    local value = given[key] ~= nil and measure(kind, given[key])
    local low, high = measure(kind, bound.min), measure(kind, bound.max)
    if value and low and value < low then
      report:add(at(name, "config." .. key), ("must be at least %s here"):format(tostring(bound.min)), nil, tostring(given[key]))
    elseif value and high and value > high then
      report:add(at(name, "config." .. key), ("must be at most %s here"):format(tostring(bound.max)), nil, tostring(given[key]))
    end
  end
end

local function may_enable(plan, plugin, name)
  if not plan or plan.allow == "*" then return true end
  return contains(plan.allow, plugin) or contains(plan.allow, name)
end

-- ---- One org -------------------------------------------------------------------------------------------

local function add_layer(report, found, name, entry, layer, plugin_name, plugin)
  local one = found[name]
  if one and one.plugin ~= plugin_name then
    report:add(at(name, "plugin"), ("is '%s' in the layer above"):format(one.plugin))
    return
  end
  one = one or { name = name, plugin = plugin_name, config = {}, from = {}, mode = "live", watch = true }
  found[name] = one
  one.config = merge(one.config, migrated(report, name, entry, plugin), plugin.manifest.config.fields, layer, one.from, "")
  if entry.docs ~= nil then one.docs = list_of_text(report, at(name, "docs"), entry.docs, DOCS_MAX) end
  if entry.mode ~= nil then one.mode = entry.mode end
  if entry.watch == false then one.watch = false end
  for _, key in ipairs { "enforce", "hidden", "lock", "bounds" } do
    if entry[key] ~= nil then one[key] = entry[key] end
  end
end

-- Is this entry about a plugin that nobody asked about?
local function is_outside(only, name, entry)
  if not only then return false end
  local plugin = type(entry) == "table" and type(entry.plugin) == "string" and entry.plugin or layers.parse_name(name)
  return not only[plugin or ""]
end

local function add_operator_layer(report, found, entries, layer, known, only)
  for _, name in ipairs(sorted_names(entries)) do
    local entry = entries[name]
    if entry == false then
      found[name] = nil
    elseif type(entry) ~= "table" then
      report:add(at(name), "must be a table, or false")
    elseif not is_outside(only, name, entry) then
      local plugin = check_entry(report, name, entry, SERVER_KEYS, known)
      if plugin then add_layer(report, found, name, entry, layer, plugin, known[plugin]) end
    end
  end
end

local function visible(found, known)
  local names = {}
  for name in pairs(known) do names[name] = known[name] end
  for _, one in pairs(found) do if one.hidden then names[one.plugin] = nil end end
  return names
end

-- The operator's secrets are not an org's: its file names those that are called `ORG/…`.
local function check_secrets(report, name, value, path)
  if type(value) == "table" then
    for key, item in pairs(value) do check_secrets(report, name, item, path .. "." .. tostring(key)) end
    return
  end
  local secret = type(value) == "string" and value:match("^secret://(.+)$")
  if secret and secret:sub(1, #report.org + 1) ~= report.org .. "/" then
    report:add(at(name, path), ("an org's file names only secrets of its own, as secret://%s/NAME"):format(report.org))
  end
end

local function add_org_entry(report, found, name, entry, plan, known)
  local one = found[name]
  if one and one.hidden then one = nil end
  if entry == false then
    if one and one.enforce then
      report:add(at(name), "is enforced by the operator and cannot be switched off")
    elseif one then
      found[name] = nil
    elseif not known[layers.parse_name(name) or ""] then
      report:add(at(name), ("there is no plugin '%s'"):format(name))
    end
    return
  end
  if type(entry) ~= "table" then return report:add(at(name), "must be a table, or false") end
  local plugin = check_entry(report, name, entry, ORG_KEYS, known)
  if not plugin then return end
  if known[plugin].manifest.tier == "operator" then
    return report:add(at(name), "runs server-wide; only the server file can configure it")
  end
  if not one and not may_enable(plan, plugin, name) then
    return report:add(at(name), "is not among the plugins that this plan allows")
  end
  check_secrets(report, name, entry.config, "config")
  if one then
    for _, field in ipairs(one.lock or {}) do
      if entry.config and entry.config[field] ~= nil then
        report:add(at(name, "config." .. field), "is locked by the operator")
      end
    end
    if one.bounds and entry.config then
      check_bounds(report, name, entry.config, one.bounds, known[plugin].manifest.config.fields)
    end
    if one.enforce and (entry.docs ~= nil or entry.mode ~= nil) then
      report:add(at(name, entry.docs ~= nil and "docs" or "mode"), "cannot be set: the operator enforces this plugin everywhere")
      return
    end
  end
  add_layer(report, found, name, entry, "org", plugin, known[plugin])
end

local function list_of(found)
  local list = {}
  for _, name in ipairs(sorted_names(found)) do list[#list + 1] = found[name] end
  return list
end

local function check_plan(report, server, settings)
  if settings.plan == nil then return nil end
  local plan = (server.plans or {})[settings.plan]
  if not plan then
    local near = nearest(tostring(settings.plan), sorted_names(server.plans))
    report:add("plan", ("there is no plan '%s'"):format(tostring(settings.plan)), near and ("did you mean '%s'?"):format(near) or nil)
  end
  return plan
end

--- The instances of one org.
---@param name string?     nil: any org that has no file of its own
---@param settings table?  what its file says: plan, plugins, labels, region
---@param server table     plugins and plans of the server file
---@param known table<string, { manifest: table, migrate: function, check: function }>  plugins by name
---@param only table<string, boolean>?  plugins that are looked at; nil: all
---@return table[] instances  in order of their names: name, plugin, config, docs, mode, from
---@return string[] errors    sentences for a person
---@return table facts        plan, labels, region, cpu (share of a core), memory (bytes), trace_text, where given
function layers.org(name, settings, server, known, only)
  local report, found = new_report(name), {}
  settings = settings or {}
  for _, key in ipairs(sorted_names(settings)) do
    if not contains(ORG_FILE_KEYS, key) then report:unknown("orgs file", key, ORG_FILE_KEYS) end
  end
  if settings.trace_text ~= nil and type(settings.trace_text) ~= "boolean" then report:add("trace_text", "must be true or false") end
  local plan = check_plan(report, server, settings)
  add_operator_layer(report, found, server.plugins, "server", known, only)
  add_operator_layer(report, found, plan and plan.plugins, "plan", known, only)
  if settings.plugins ~= nil and type(settings.plugins) ~= "table" then
    report:add("plugins", "must be a table of instances")
  else
    local seen = visible(found, known)
    for _, instance in ipairs(sorted_names(settings.plugins)) do
      if not is_outside(only, instance, settings.plugins[instance]) then
        add_org_entry(report, found, instance, settings.plugins[instance], plan, seen)
      end
    end
  end
  local list = list_of(found)
  for _, one in ipairs(list) do
    for _, e in ipairs(known[one.plugin].check(one.config)) do
      report:add(at(one.name, "config." .. e.field), e.rule, e.suggestion, e.value)
    end
  end
  local budget = plan and plan.budget or {}
  local percent = type(budget.cpu) == "string" and tonumber(budget.cpu:match("^([%d.]+)%%$"))
  return list, report, { plan = settings.plan, labels = settings.labels, region = settings.region,
    cpu = percent and percent / 100 or nil, memory = budget.memory and (units.size(budget.memory)) or nil,
    trace_text = settings.trace_text == true or nil }
end

--- Names of the plugins that the server file, its plans or some org mean.
function layers.mentions(server, orgs)
  local seen = {}
  local function look(entries)
    if type(entries) ~= "table" then return end
    for name, entry in pairs(entries) do
      local plugin = type(entry) == "table" and type(entry.plugin) == "string" and layers.parse_name(entry.plugin)
        or layers.parse_name(name)
      if plugin then seen[plugin] = true end
    end
  end
  look(server.plugins)
  for _, plan in pairs(type(server.plans) == "table" and server.plans or {}) do
    look(type(plan) == "table" and plan.plugins)
  end
  for _, settings in ipairs(orgs) do look(settings.plugins) end
  return sorted_names(seen)
end

--- What layers.org wants to know of a plugin: how its config is migrated and checked.
function layers.known(manifest, plugin, options)
  local known = { manifest = manifest }
  function known.migrate(n, config)
    local step = type(plugin.migrate) == "table" and plugin.migrate[n]
    if type(step) ~= "function" then return false, ("there is no Plugin.migrate[%d]"):format(n) end
    local ok, result = pcall(step, config)
    if ok and type(result) ~= "table" then return false, ("Plugin.migrate[%d] must return a table"):format(n) end
    return ok, result
  end
  function known.check(config)
    local out, errors = schema.check(manifest.config, config, options)
    if not out then return errors end
    if plugin.validate == nil then return {} end
    local ok, list = pcall(plugin.validate, out)
    if not ok then return { { field = "validate", rule = "raised: " .. tostring(list) } } end
    local found = {}
    for i, e in ipairs(type(list) == "table" and list or {}) do
      if type(e) ~= "table" or type(e[1]) ~= "string" or type(e[2]) ~= "string" then
        return { { field = "validate", rule = "must return a list of { field, message }" } }
      end
      found[i] = { field = e[1], rule = e[2] }
    end
    return found
  end
  return known
end

--- Do the instances of an org get along: requires, conflicts, order?
---@return string[] errors
function layers.together(instances, manifests, server, org)
  local report = new_report(org)
  local wrong = manifest_check.clash(manifests)
  if wrong then report[1] = org and ("org %s: %s"):format(org, wrong) or wrong end
  for _, def in ipairs(hook_defs) do
    local pins = (server.order or {})[def.name]
    local chain, cycle = manifest_check.chain(instances, def.name, type(pins) == "table" and pins or nil)
    if not chain then
      report[#report + 1] = org and ("org %s: %s: %s"):format(org, def.name, cycle) or ("%s: %s"):format(def.name, cycle)
      break
    end
  end
  return report
end

--- What is wrong with the server file's own tables, whatever the orgs say.
function layers.server(server)
  local report = new_report(nil)
  grants.check(server.grants, report)
  for _, name in ipairs(sorted_names(server.plans)) do
    local plan, field = server.plans[name], ("plans[%q]"):format(name)
    if type(plan) ~= "table" then
      report:add(field, "must be a table")
    else
      for _, key in ipairs(sorted_names(plan)) do
        if not contains(PLAN_KEYS, key) then report:unknown(field, key, PLAN_KEYS) end
      end
      if plan.allow ~= nil and plan.allow ~= "*" then list_of_text(report, field .. ".allow", plan.allow, 1000) end
      if plan.own_code ~= nil and plan.own_code ~= false then
        report:add(field .. ".own_code", "is not available in this version")
      end
      if plan.budget ~= nil and type(plan.budget) ~= "table" then
        report:add(field .. ".budget", "must be a table { cpu, memory }")
      else
        for _, key in ipairs(sorted_names(plan.budget)) do
          if not contains(BUDGET_KEYS, key) then report:unknown(field .. ".budget", key, BUDGET_KEYS) end
        end
        local budget = plan.budget or {}
        local percent = type(budget.cpu) == "string" and tonumber(budget.cpu:match("^([%d.]+)%%$"))
        if budget.cpu ~= nil and not (percent and percent > 0 and percent <= 100) then
          report:add(field .. ".budget.cpu", 'must be a share of one core, as "5%"')
        end
        local bytes, wrong = 1, nil
        if budget.memory ~= nil then bytes, wrong = units.size(budget.memory) end
        if not bytes then report:add(field .. ".budget.memory", wrong) end
      end
    end
  end
  for _, name in ipairs(sorted_names(server.plugins)) do
    local entry = server.plugins[name]
    for _, key in ipairs { "enforce", "hidden", "watch" } do
      if type(entry) == "table" and entry[key] ~= nil and type(entry[key]) ~= "boolean" then
        report:add(at(name, key), "must be true or false")
      end
    end
    if type(entry) == "table" and entry.lock ~= nil then list_of_text(report, at(name, "lock"), entry.lock, 1000) end
    if type(entry) == "table" and entry.bounds ~= nil then
      for _, key in ipairs(type(entry.bounds) == "table" and sorted_names(entry.bounds) or { "" }) do
        if key == "" or type(entry.bounds[key]) ~= "table" then
          report:add(at(name, "bounds"), 'must be a table such as { updates = { max = "60/s" } }')
        end
      end
    end
  end
  for _, hook in ipairs(sorted_names(server.order)) do
    local known = {}
    for i, def in ipairs(hook_defs) do known[i] = def.name end
    if not contains(known, hook) then report:unknown("order", hook, known) end
    list_of_text(report, "order." .. hook, server.order[hook], 1000)
  end
  return report
end

return layers
