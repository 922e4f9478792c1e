-- SPDX-License-Identifier: MIT
-- Specs of plugins: `local t = require "moonloom.test"` (plugin-api 17). They run in the `moonloom` binary
-- (`moonloom plugin test`) and under plain busted. The plugin runs in the real sandbox under the real
-- limits; the clock stands still until a spec moves it. One hook is here, a whole server (t.app) in
-- moonloom.test.app.
local core = require "moonloom.test_core"
local json = require "moonloom.test.json"
local manifest = require "moonloom.manifest"
local read = require "moonloom.defs.read"
local schema = require "moonloom.schema"
local units = require "moonloom.units"
local views = require "moonloom.test.views"
local assertions = require "moonloom.test.assertions"

local t = {}

local START = 1767225600 -- 2026-01-01T00:00:00Z

--- The folder in which plugins are looked for by name.
t.plugins_dir = os.getenv("MOONLOOM_PLUGINS") or "plugins"
t.null = json.null

core.clock(START)

for name, make in pairs(views) do
  if name ~= "shapes" then t[name] = make end
end

-- ---- The code that runs beside the plugin ----------------------------------------------------------------------

local function source_of(module)
  local ok, host = pcall(require, "moonloom.host")
  if ok then return host.source(module) end
  local path = assert(package.searchpath(module, package.path))
  local f = assert(io.open(path, "rb"))
  local text = f:read("*a")
  f:close()
  return text
end

local inner -- its text

local function plain(value)
  if value == json.null then return nil end
  return value
end

-- ---- Instances --------------------------------------------------------------------------------------------------

local defs

local function definition()
  defs = defs or read.all()
  return defs
end

local Instance = {}

--- Times of every hook that ran: { instance, hook, took, soft }. `moonloom plugin test --budget` prints it.
t.timings = {}
local measuring -- set by t.measure

local SOFT = 0.001

local function note(p, hook, took)
  local def = definition().by_hook[hook]
  local soft = def and def.soft or SOFT
  local entry = t.timings[p.name .. "#" .. hook] or { plugin = p.name, hook = hook, calls = 0, total = 0, worst = 0, soft = soft }
  t.timings[p.name .. "#" .. hook] = entry
  entry.calls, entry.total = entry.calls + 1, entry.total + took
  entry.worst = math.max(entry.worst, took)
  if measuring then
    measuring.calls = measuring.calls + 1
    measuring.took = measuring.took + took
    if took > soft then measuring.over = hook end
  end
end

--- Runs fn and tells what the hooks it called did: { calls, took (seconds), over = hook above its soft limit, waited }.
function t.measure(fn)
  local outer = measuring
  measuring = { calls = 0, took = 0 }
  local ok, wrong = pcall(fn)
  local out = measuring
  measuring = outer
  if not ok then error(wrong, 0) end
  return out
end

-- A hook that may wait nowhere is told what the server says.
local function reworded(text, hook)
  local def = definition().by_hook[hook or ""]
  if not def or def.waits or def.kind == "work" then return text end
  return (text:gsub("a call cannot wait in a spec of one hook: (.-)%. Ask it through t%.app",
    hook .. " cannot wait: %1. Use ml.cache, load it in setup, or do it in after_update"))
end

local function ask(p, request)
  inner = inner or source_of("moonloom.test.inner")
  request.shapes = views.shapes()
  request.path = request.path or {}
  local result, wrong = p.core:ask(inner, request)
  if not result then error(wrong, 3) end
  if result.failed then error(reworded(result.failed, request.path[1]), 3) end
  return result
end

-- What a hook said, as a spec wants it.
local function value_of(p, one)
  if one == nil then return nil end
  local answer = one.answer
  if answer then
    if answer.kind == "deny" then
      answer.denied = true
      answer.mode = answer.mode or "undo"
      if not answer.code:find("^" .. p.name:gsub("%-", "%%-") .. "%.") then answer.code = p.name .. "." .. answer.code end
    end
    return answer
  end
  if one.odd then error(("the plugin answered a %s"):format(one.odd), 4) end
  return plain(one.value)
end

local function values_of(p, result)
  local out, n = {}, 0
  for i, one in pairs(result.results or {}) do
    out[i] = value_of(p, one)
    n = math.max(n, i)
  end
  return unpack(out, 1, n)
end

local function same_answer(a, b) return assertions.same(a, b) end

-- The answers of some hooks are put into the words the core uses.
local normal = {}

function normal.snapshot_policy(answer)
  local out = { every_ops = 0, every_bytes = 0, every = 0, idle = 0, min_gap = 0, on_unload = false, on_shutdown = false }
  for key, value in pairs(type(answer) == "table" and answer or {}) do
    if key == "every" or key == "idle" or key == "min_gap" then
      value = units.duration(value) or error("snapshot_policy: " .. key .. " is no duration", 3)
    elseif key == "every_bytes" then
      value = units.size(value) or error("snapshot_policy: every_bytes is no size", 3)
    end
    out[key] = value
  end
  return out
end

function normal.authorize(answer)
  if type(answer) == "table" and answer.ttl then answer.ttl = units.duration(answer.ttl) end
  return answer
end

-- A view for the probe: an argument made by t.something, or plain data.
local function argument(given)
  if type(given) == "table" and given.class then
    given.record = {}
    return { class = given.class, values = given.values }
  end
  return { value = given }
end

-- What the plugin did to a view stands in it afterwards.
local CLEARED = { "replaced", "undone", "removed", "amended", "ops", "labels", "notified", "closed" }

local function take_records(args, result)
  for i, given in ipairs(args) do
    if type(given) == "table" and given.class then
      for _, key in ipairs(CLEARED) do given[key] = nil end
      for key, value in pairs(result.records and result.records[i] or {}) do given[key] = value end
    end
  end
end

local BARE = { after_update = "batch", snapshot_policy = "ref", authorize = "ask", authenticate = "request", upgrade = "request" }

local function call(p, path, method, ...)
  local args, sent = { ... }, {}
  local hook = path[1]
  local def = definition().by_hook[hook]
  if def and BARE[hook] and args[1] == nil then args[1] = t[BARE[hook]]() end
  for i = 1, select("#", ...) > #args and select("#", ...) or #args do sent[i] = argument(args[i]) end
  local result = ask(p, { path = path, method = method, args = sent, nargs = #sent, state = p.given_state })
  p.given_state = nil
  take_records(args, result)
  if not result.filtered then note(p, hook, result.took) end
  return result
end

-- A function of a family: rpc, routes, jobs, cron, tasks.
local FAMILIES = {}

local function family_call(p, family, name, first, ...)
  if family == "rpc" then
    if first == nil or not first.class then first = t.call { args = first } end
    return values_of(p, call(p, { family, name }, true, first))
  elseif family == "routes" then
    local req = first or t.request()
    req.class = "moonloom.WebRequest"
    if req.values.identity == nil then req.values.identity = t.identity() end
    if req.values.identity == false then req.values.identity = nil end
    local res = { class = "moonloom.WebResponse", values = {} }
    call(p, { family, name }, true, req, res)
    res.status = res.status or 200
    return res
  elseif family == "jobs" then
    return values_of(p, call(p, { family, name }, true, first or {}, ... or t.job()))
  elseif family == "cron" then
    return values_of(p, call(p, { family, name }, true, first or t.run()))
  end
  return values_of(p, call(p, { family, name }, true, first or t.doc(), ...))
end

for _, family in ipairs { "rpc", "routes", "jobs", "cron", "tasks" } do
  FAMILIES[family] = function(p)
    return setmetatable({}, {
      __call = function(_, _, name, ...) return family_call(p, family, name, ...) end, -- p:rpc("name", …)
      __index = function(_, name) return function(_, ...) return family_call(p, family, name, ...) end end, -- p.rpc["name"](p, …)
    })
  end
end

function Instance.__index(p, key)
  if FAMILIES[key] then return FAMILIES[key](p) end
  if Instance[key] then return Instance[key] end
  if key == "config" or key == "state" or key == "metrics" then return ask(p, { what = key }).value end
  if key == "manifest" then return p.core_manifest end
  return function(self, ...)
    if self ~= p then error(("call it with ':', as p:%s(…)"):format(tostring(key)), 2) end
    local result = call(p, { key }, true, ...)
    if key == "conflict" then
      -- Asked twice, on fresh instances: a policy that is not pure is found here.
      local other = t.instance(p.name, rawget(p, "given_config"), rawget(p, "given_opts"))
      local again = call(other, { key }, true, ...)
      other:close()
      if not same_answer(result.results, again.results) then
        error(("%s: conflict answered differently when asked again: only its argument, config and state of setup may count")
          :format(p.name), 2)
      end
    end
    if normal[key] then return normal[key]((values_of(p, result))) end
    return values_of(p, result)
  end
end

--- What the plugin logged during the last call.
function Instance.logs(p) return p.core:logs() end
function Instance.close(p) p.core:close() end

local function config_json(config)
  if config == nil then return "" end
  local ok, text = pcall(json.encode, config)
  if not ok then error("config: " .. tostring(text), 3) end
  if text == "[]" then text = "{}" end
  return text
end

local function open(name, config, opts)
  local ok, instance = pcall(core.open, name, config_json(config), t.plugins_dir, nil, config_json(opts and opts.secrets))
  if ok then return instance end
  local said = tostring(instance):gsub("^[^\n]-test%.lua:%d+: ", "")
  if type(config) == "table" and said:find("config: config: unknown field", 1, true) then
    said = said .. "; give the settings themselves, not { config = … }"
  end
  error(said, 3)
end

--- An instance of a plugin with a checked configuration; its hooks are methods. Raises with the message a
--- person would see if the plugin or its configuration is broken. `opts.state`: what self.state begins with
--- after setup; `opts.secrets`: what secret://NAME in the configuration stands for.
function t.instance(name, config, opts)
  local p = { name = name, core = open(name, config, opts), given_config = config, given_opts = opts, given_state = opts and opts.state }
  setmetatable(p, Instance)
  rawset(p, "core_manifest", ask(p, { what = "manifest" }).value)
  return p
end

--- The configuration as the plugin would see it, or raises with the message a person would see.
function t.config(name, given)
  local p = setmetatable({ name = name, core = open(name, given) }, Instance)
  local config = ask(p, { what = "config" }).value
  p:close()
  return config
end

--- The clock of all instances: without an argument what it says, with one it is set (seconds since 1970).
function t.clock(seconds) return core.clock(seconds) end

--- Back to where every spec file begins: 2026-01-01.
function t.reset() core.clock(START) end

-- ---- Orders, properties -----------------------------------------------------------------------------------------

--- Iterates over every order of a list (at most eight items).
function t.orders(list)
  local n = #list
  if n > 8 then error("t.orders: at most eight items", 2) end
  local found = {}
  local function walk(order, used)
    if #order == n then
      found[#found + 1] = { unpack(order) }
      return
    end
    for i = 1, n do
      if not used[i] then
        used[i], order[#order + 1] = true, list[i]
        walk(order, used)
        used[i], order[#order] = nil, nil
      end
    end
  end
  walk({}, {})
  local i = 0
  return function()
    i = i + 1
    return found[i]
  end
end

-- A generator of numbers with a seed, so that a failure can be repeated. Source: Park and Miller 1988.
local function random(seed)
  local state = seed % 2147483647
  if state <= 0 then state = state + 2147483646 end
  for _ = 1, 5 do state = state * 48271 % 2147483647 end -- small seeds begin with small numbers
  return function(low, high)
    state = state * 48271 % 2147483647
    return low + math.floor(state / 2147483647 * (high - low + 1))
  end
end

t.random = random

--- What is smaller than a failing input: lists with a part left out, texts cut, numbers nearer to 0.
local function smaller(value)
  local out = {}
  if type(value) == "number" and value ~= 0 then
    out = { 0, math.floor(value / 2), value - (value > 0 and 1 or -1) }
  elseif type(value) == "string" and #value > 0 then
    out = { "", value:sub(1, math.floor(#value / 2)), value:sub(2) }
  elseif type(value) == "table" and value[1] ~= nil then
    local n = #value
    for size = math.floor(n / 2), 1, -1 do
      for from = 1, n - size + 1, size do
        local rest = {}
        for i = 1, n do if i < from or i >= from + size then rest[#rest + 1] = value[i] end end
        out[#out + 1] = rest
      end
      if #out > 60 then break end
    end
    if n == 1 then out[#out + 1] = {} end
    for i = 1, n do
      for _, one in ipairs(type(value[i]) ~= "table" and smaller(value[i]) or {}) do
        local copy = { unpack(value) }
        copy[i] = one
        out[#out + 1] = copy
      end
    end
  end
  return out
end

local function show(value) return type(value) == "table" and json.encode(value) or ("%q"):format(tostring(value)) end

--- Runs fn on what gen(random) makes, 100 times; a failure is made smaller and printed with its seed.
--- `opts`: runs, seed.
function t.property(gen, fn, opts)
  opts = opts or {}
  local seed = opts.seed or tonumber(os.getenv("MOONLOOM_SEED")) or 1
  for run = 1, opts.runs or 100 do
    local input = gen(random(seed + run))
    local ok, wrong = pcall(fn, input)
    if not ok then
      local tries = 0
      local found = true
      while found and tries < 500 do
        found = false
        for _, candidate in ipairs(smaller(input)) do
          tries = tries + 1
          local fine, why = pcall(fn, candidate)
          if not fine then
            input, wrong, found = candidate, why, true
            break
          end
        end
      end
      local text = type(wrong) == "table" and (wrong.message or tostring(wrong[1])) or tostring(wrong)
      error(("for %s (seed %d, run %d): %s"):format(show(input), seed, run, text), 2)
    end
  end
end

--- n random edits by a client of t.app, with the app's seed.
function t.random_edits(client, n)
  return require("moonloom.test.app").random_edits(client, n)
end

--- A whole server in memory.
function t.app(given)
  return require("moonloom.test.app").new(t, given)
end

-- ---- Assertions -------------------------------------------------------------------------------------------------

local ok, luassert = pcall(require, "luassert")
if ok then assertions.register(t, luassert, require "say") end

-- Kept for what the whole server needs of this file.
local function inner_code()
  inner = inner or source_of("moonloom.test.inner")
  return inner
end

t.internal = { config_json = config_json, inner = inner_code, manifest = manifest, schema = schema,
               -- code of a person, in the sandbox of the plugin, with plain content as `doc`
               eval = function(p, code, content, doc)
                 local request = { what = "eval", shapes = views.shapes(), path = {}, content = content, doc = doc }
                 local chunk = "local eval_chunk = function(ml, self, plugin, doc) " .. code .. "\nend " .. inner_code()
                 local result, wrong = p.core:ask(chunk, request)
                 if not result then error(wrong, 0) end
                 if result.failed then error(result.failed, 0) end
                 return result
               end,
               fakes = function(p) return ask(p, { what = "fakes" }).value end }

return t
