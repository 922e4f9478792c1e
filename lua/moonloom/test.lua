-- SPDX-License-Identifier: MIT
-- Specs of plugins: `local t = require "moonloom.test"` (plugin-api 17, "one hook"). The plugin runs in the
-- real sandbox under the real limits, the updates are real bytes; the clock stands still until a spec
-- moves it.
--
-- Part of the contract that is not here yet: t.change, t.conflict, t.snapshots, t.response, t.replay and
-- the whole-server half (t.app and what hangs on it).
local core = require "moonloom.test_core"
local schema = require "moonloom.schema"

local t = {}

local PLUGINS = os.getenv("MOONLOOM_PLUGINS") or "plugins"
local START = 1767225600 -- 2026-01-01T00:00:00Z

core.clock(START)

-- ---- Config as JSON ---------------------------------------------------------------------------------------

local function json(value)
  local kind = type(value)
  if kind == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  elseif kind == "number" then
    return ("%.17g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "table" then
    error("config: a " .. kind .. " cannot be written in a configuration file", 0)
  end
  local parts = {}
  if #value > 0 then
    for i, item in ipairs(value) do parts[i] = json(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = json(key) .. ":" .. json(value[key]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function open(name, config)
  return core.open(name, config and json(config) or "", PLUGINS)
end

-- ---- Views that a hook is given ---------------------------------------------------------------------------

local function merged(given, defaults)
  local out = {}
  for key, value in pairs(defaults) do out[key] = value end
  for key, value in pairs(given or {}) do out[key] = value end
  return out
end

--- An identity; ana, a plain user without roles, unless something else is said.
function t.identity(given)
  return merged(given, { user = "ana", name = "Ana", roles = {}, kind = "user", session = "s-1" })
end

--- What `authenticate` is given.
function t.request(given)
  return merged(given, { method = "GET", path = "/", ip = "127.0.0.1", host = "localhost", is_websocket = true,
                         headers = {}, query = {}, cookies = {} })
end

--- What `authorize` is given; `identity = false`: nobody.
function t.ask(given)
  local ask = merged(given, { action = "doc.open", org = "acme", doc_id = "notes/1" })
  if ask.identity == nil then ask.identity = t.identity() end
  return ask
end

--- An update: a list of edits, and author, origin, doc_id, deleted (units that somebody else wrote).
--- An edit is { "text.insert", path =, text = } or { "map.set", path =, key =, value = }; paths are roots.
function t.update(given)
  local edits = {}
  for i, edit in ipairs(given) do
    local kind = edit[1]
    if kind ~= "text.insert" and kind ~= "map.set" then
      error(("t.update: an edit of kind %q cannot be made here yet"):format(tostring(kind)), 2)
    end
    edits[i] = edit
  end
  edits.deleted = given.deleted
  local author = t.identity(given.author)
  return {
    bytes = core.encode(edits),
    fields = { org = given.org or "acme", doc_id = given.doc_id or "notes/1", user = author.user, name = author.name,
               session = author.session, roles = author.roles, origin = given.origin or "client" },
  }
end

--- What `after_update` is told.
function t.batch(given)
  return merged(given, { org = "acme", doc_id = "notes/1", count = 1, bytes = 20, from_seq = 1, to_seq = 1, authors = { "ana" } })
end

--- A document that is not at hand, as `snapshot_policy` is given one.
function t.ref(given)
  return merged(given, { org = "acme", id = "notes/1" })
end

-- ---- Instances ---------------------------------------------------------------------------------------------

local Instance = {}
Instance.__index = Instance

function Instance:authenticate(request) return self.core:authenticate(request) end
function Instance:authorize(ask) return self.core:authorize(ask, ask.identity or nil) end
function Instance:before_update(update) return self.core:before_update(update.fields, update.bytes) end
function Instance:after_update(batch) return self.core:after_update(batch) end
function Instance:snapshot_policy(ref) return self.core:snapshot_policy(ref) end
--- What the plugin logged during the last call.
function Instance:logs() return self.core:logs() end
function Instance:close() self.core:close() end

--- An instance of a plugin with a checked configuration; its hooks are methods. Raises with the message a
--- person would see if the plugin or its configuration is broken.
function t.instance(name, config)
  return setmetatable({ core = open(name, config) }, Instance)
end

--- The configuration as the plugin would see it, or raises with the message a person would see.
function t.config(name, given)
  open(name, given):close()
  local manifest = dofile(PLUGINS .. "/" .. name .. "/plugin.lua")
  return (schema.check(manifest.config or { fields = {} }, given))
end

--- The clock of all instances: without an argument what it says, with one it is set (seconds since 1970).
function t.clock(seconds) return core.clock(seconds) end

--- Back to where every spec file begins: 2026-01-01.
function t.reset() core.clock(START) end

-- ---- Assertions ----------------------------------------------------------------------------------------------

local function denied(_, arguments)
  local code, answer = arguments[1], arguments[2]
  if type(answer) ~= "table" or not answer.denied then return false end
  return answer.code == code or answer.code:match("^[^.]+%.(.+)$") == code
end

local function granted(_, arguments)
  local right, answer = arguments[1], arguments[2]
  return type(answer) == "table" and not answer.denied and answer[right] == true
end

local function register()
  local ok, luassert = pcall(require, "luassert")
  if not ok then return end
  local say = require "say"
  say:set("assertion.denied.positive", "Expected a denial %s, got:\n%s")
  say:set("assertion.denied.negative", "Expected no denial %s, got:\n%s")
  say:set("assertion.granted.positive", "Expected %s to be granted, got:\n%s")
  say:set("assertion.granted.negative", "Expected %s not to be granted, got:\n%s")
  luassert:register("assertion", "denied", denied, "assertion.denied.positive", "assertion.denied.negative")
  luassert:register("assertion", "granted", granted, "assertion.granted.positive", "assertion.granted.negative")
end

register()

return t
