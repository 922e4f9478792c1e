-- SPDX-License-Identifier: MIT
-- What plugin.lua may say about rpc, routes, jobs, cron and tasks: tables of named functions (plugin-api 6.7).
local cron = require "moonloom.cron"
local nearest = require "moonloom.nearest"
local schema = require "moonloom.schema"
local units = require "moonloom.units"

local families = {}

local METHODS = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, HEAD = true }
local JOB_RETRIES_MAX = 100

local function is_count(value, max)
  return type(value) == "number" and value == math.floor(value) and value >= 0 and value <= max
end

local function number(max)
  return function(value)
    if not is_count(value, max) then return nil, ("must be a whole number from 0 to %d"):format(max) end
    return value
  end
end

local function flag(value) if type(value) ~= "boolean" then return nil, "must be true or false" end return value end

local function word(...)
  local known = { ... }
  return function(value)
    for _, one in ipairs(known) do if value == one then return value end end
    return nil, 'must be one of "' .. table.concat(known, '", "') .. '"'
  end
end

local function milliseconds(least, most)
  return function(value)
    local seconds, wrong = units.duration(value)
    if not seconds then return nil, wrong end
    if seconds < least or seconds > most then return nil, ("must be from %gs to %gs"):format(least, most) end
    return seconds * 1000
  end
end

-- A duration, or the name of a field of the config that is one.
local function milliseconds_or_field(least, most)
  local plain = milliseconds(least, most)
  return function(value)
    if type(value) == "string" and value:find("^config%.") then return value end
    return plain(value)
  end
end

local function roles(value)
  if type(value) ~= "table" then return nil, "must be a list of roles" end
  local n = 0
  for key, role in pairs(value) do
    if type(key) ~= "number" or type(role) ~= "string" or role == "" then return nil, "must be a list of roles" end
    n = n + 1
  end
  if n ~= #value then return nil, "must be a list of roles" end
  return value
end

local function backoff(value)
  if type(value) ~= "string" then return nil, 'must be text such as "2s..10m"' end
  local first, last = value:match("^(.-)%.%.(.+)$")
  first, last = first or value, last or value
  local a, b = units.duration(first), units.duration(last)
  if not a or not b or a <= 0 or b < a then return nil, 'must be text such as "2s..10m"' end
  return { first = a * 1000, last = b * 1000 }
end

local function size(value)
  local bytes, wrong = units.size(value)
  if not bytes then return nil, wrong end
  if bytes > 16 * 1024 * 1024 then return nil, "must be at most 16MiB" end
  return bytes
end

local function expression(value)
  local at, wrong = cron.parse(value)
  if not at then return nil, wrong end
  return value
end

local function zone(value)
  if cron.offset(value) == nil then return nil, 'must be "UTC" or an offset such as "+02:00" in this version' end
  return value
end

local function fields(value)
  if type(value) ~= "table" then return nil, "must be a list of fields" end
  local wrong = schema.wrong({ fields = value }, "args")
  if #wrong > 0 then return nil, schema.describe(wrong[1]) end
  return value
end

local OPTIONS = {
  rpc = { args = fields, roles = roles, doc = flag },
  routes = { roles = roles, public = flag, cache = word("no-store", "public"), csrf = flag, max_body = size },
  jobs = { retries = number(JOB_RETRIES_MAX), backoff = backoff,
           timeout = milliseconds(0.01, 300), concurrency = number(64), per_key = number(1) },
  cron = { every = milliseconds_or_field(1, 366 * 86400), at = expression, tz = zone, jitter = milliseconds(0, 86400),
           missed = word("once", "skip"), singleton = flag },
  tasks = {},
}

local check_name = {}

function check_name.rpc(name, out)
  local prefix, rest = name:match("^([a-z][a-z0-9_]*)%.([a-z][a-z0-9_.]*)$")
  local wanted = out.rpc_prefix or (out.name or ""):gsub("-", "_")
  if not rest or rest:find("%.%.") or rest:find("%.$") then return "must be dotted, as \"" .. wanted .. ".lock\"" end
  if prefix ~= wanted then return ("must begin with \"%s.\""):format(wanted) end
end

function check_name.routes(name)
  local method, path = name:match("^(%u+) (/[%w%-._~/:]*)$")
  if not method or not METHODS[method] then return 'must be a method and a path, as "GET /report/:doc"' end
  if path:find("//", 1, true) or path:find("/%.%.?/") then return "the path has an empty or relative part" end
end

local function plain_name(name) if not name:find("^[a-z][a-z0-9_]*$") or #name > 60 then return "must be a-z, 0-9 and '_'" end end

check_name.jobs, check_name.cron, check_name.tasks = plain_name, plain_name, plain_name

--- Is this family one that this version runs?
function families.is_here(name) return OPTIONS[name] ~= nil end

--- Check what the manifest says about one family. Returns { names = { [name] = options } }.
function families.check(family, value, report, field, out)
  local made = { names = {} }
  if type(value) ~= "table" then
    report:add(field, "must be a table of names and options")
    return made
  end
  local known = {}
  for option in pairs(OPTIONS[family]) do known[#known + 1] = option end
  table.sort(known)
  for name, options in pairs(value) do
    local where = ("%s[%s]"):format(field, type(name) == "string" and ('"' .. name .. '"') or tostring(name))
    local wrong = type(name) ~= "string" and "must be a name" or check_name[family](name, out)
    if wrong then report:add(where, wrong) end
    if options == true then options = {} end
    local checked = {}
    if type(options) ~= "table" then
      report:add(where, "must be a table of options, {} or true")
      options = {}
    end
    for option, given in pairs(options) do
      local check = OPTIONS[family][option]
      if not check then
        local near = nearest(option, known)
        report:add(where .. "." .. tostring(option), "unknown option", near and ("did you mean '%s'?"):format(near) or nil)
      else
        local taken, why = check(given)
        if taken == nil then report:add(where .. "." .. option, why) end
        checked[option] = taken
      end
    end
    if family == "cron" and (checked.every == nil) == (checked.at == nil) then
      report:add(where, "needs one of every and at")
    end
    made.names[tostring(name)] = checked
  end
  return made
end

--- Do the named functions of a family agree with what is declared? Returns what is wrong.
function families.disagreement(family, declared, has)
  if has ~= nil and type(has) ~= "table" then return family .. " must be a table of functions" end
  has = has or {}
  local names = declared and declared.names or {}
  for name in pairs(names) do
    if type(has[name]) ~= "function" then
      return ("plugin.lua declares %s[%q], but init.lua has no function of that name"):format(family, name)
    end
  end
  for name in pairs(has) do
    if names[name] == nil then return ("init.lua has %s[%q], but plugin.lua does not declare it"):format(family, tostring(name)) end
  end
end

return families
