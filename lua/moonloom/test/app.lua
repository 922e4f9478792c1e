-- SPDX-License-Identifier: MIT
-- t.app: a whole server in the process of a spec (plugin-api 17). Rooms, journal, engine and plugins are the
-- real ones; wires, clock and the outside world are made of Lua.
--
--   client --- wire (queue) ---> room ... journal ... room --- wire ---> client
--
-- Nothing moves until app:settle or app:advance. A client is what a Yjs provider is: a replica of its own, a
-- first sync, then every edit as one update; offline it goes on writing, and syncs when it is back.
local core = require "moonloom.test_core"
local engine = require "moonloom.engine"
local json = require "moonloom.test.json"
local paths = require "moonloom.test.paths"

local module = {}
local App, Client = {}, {}
App.__index = App

local SETTLE_MAX = 100000
local TICK = 0.05

-- ---- Wire format of y-websocket -----------------------------------------------------------------------------------

local function varuint(n)
  local out = {}
  while n >= 128 do
    out[#out + 1] = string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  out[#out + 1] = string.char(n)
  return table.concat(out)
end

local function read_varuint(s, pos)
  local n, scale = 0, 1
  while true do
    local b = s:byte(pos)
    pos = pos + 1
    n = n + b % 128 * scale
    if b < 128 then return n, pos end
    scale = scale * 128
  end
end

local function read_varbytes(s, pos)
  local n
  n, pos = read_varuint(s, pos)
  return s:sub(pos, pos + n - 1), pos + n
end

local SYNC, AWARENESS, QUERY = 0, 1, 3
local SYNC_KINDS = { [0] = "step1", "step2", "update" }

-- What a frame is: kind, payload.
local function frame_of(bytes)
  local kind, pos = read_varuint(bytes, 1)
  if kind == SYNC then
    local sub
    sub, pos = read_varuint(bytes, pos)
    return SYNC_KINDS[sub], (read_varbytes(bytes, pos))
  elseif kind == AWARENESS then
    return "awareness", (read_varbytes(bytes, pos))
  elseif kind == QUERY then
    return "query", ""
  end
  return "other", bytes:sub(pos)
end

-- ---- Clients ----------------------------------------------------------------------------------------------------

local Handles = {} -- kind → methods

function Client.__index(_, key)
  if Client[key] then return Client[key] end
  return Handles[key]
end

local function remember(client)
  local text = client:json_text()
  if text ~= client.last_seen then
    client.last_seen = text
    client.seen[#client.seen + 1] = text
  end
end

--- The document as JSON text, roots in order.
function Client:json_text()
  local parts = {}
  for i, root in ipairs(self.replica:roots()) do parts[i] = ("%q:%s"):format(root, paths.read(self.replica, root)) end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- Has `text` ever been visible to this client?
function Client:has_seen(text)
  local escaped = json.encode(text):sub(2, -2)
  for _, one in ipairs(self.seen) do if one:find(escaped, 1, true) then return true end end
  return false
end

function Client:send(kind, bytes, counts)
  if not self.seat then return end
  if counts then self.no = self.no + 1 end
  self.outgoing[#self.outgoing + 1] = { kind = kind, bytes = bytes, no = counts and self.no or 0 }
end

--- Runs operations of the engine on the replica and sends what they make.
function Client:write(ops)
  local any = assert(engine.any(json.encode(ops)))
  local emitted, kind, text = self.replica:transact(any)
  if not emitted then error(("this cannot be written: %s (%s)"):format(tostring(text), tostring(kind)), 3) end
  remember(self)
  if self.has_answered and emitted ~= "" then self:send("update", emitted, true) end
  return emitted
end

local function connect(client)
  local app = client.app
  local rights = app:rights_of(client)
  client.outgoing, client.no, client.acked = {}, 0, 0
  client.has_answered, client.synced, client.held = false, false, false
  client.denied = rights.denied and { code = rights.code, kind = rights.denied } or nil
  client.grant = rights
  if rights.denied or not rights.read then
    client.closed = { code = rights.code or "denied" }
    return
  end
  local seat, kind = app.core:join(app.org, client.doc, client.identity, rights)
  if not seat then
    client.closed = { code = kind }
    return
  end
  client.closed = nil
  client.seat = seat
  client.readonly = not rights.write
  app.seats[seat] = client
  client:send("step1", client.replica:sv())
end

--- Cuts the wire. What is written from now on stays here until online().
function Client:offline()
  if self.seat then
    local seat = self.seat
    self.seat = nil
    self.app.seats[seat] = nil
    self.app.core:leave(seat)
  end
  self.outgoing, self.incoming, self.has_answered, self.held, self.paused, self.joined = {}, {}, false, false, false, false
  return self
end

--- Back again: an ordinary sync.
function Client:online()
  if not self.seat then connect(self) end
  return self
end

--- Leaves for good.
function Client:close()
  self:offline()
  self.gone = true
  for i, one in ipairs(self.app.clients) do if one == self then table.remove(self.app.clients, i) break end end
  if self.app.users[self.user] == self then self.app.users[self.user] = nil end
end

--- A cursor: what the others see of this client.
function Client:awareness(state)
  self.presence_clock = (self.presence_clock or 0) + 1
  local text = state == nil and "null" or json.encode(state)
  self:send("awareness", varuint(1) .. varuint(self.id) .. varuint(self.presence_clock) .. varuint(#text) .. text)
end

local function take_awareness(client, payload)
  local n, pos = read_varuint(payload, 1)
  for _ = 1, n do
    local id, text
    id, pos = read_varuint(payload, pos)
    local _, after = read_varuint(payload, pos)
    text, pos = read_varbytes(payload, after)
    client.presences[id] = text ~= "null" and json.decode(text) or nil
  end
end

-- A frame has arrived.
local function take(client, bytes)
  local kind, payload = frame_of(bytes)
  if kind == "step1" then
    client.has_answered = true
    client:send("step2", client.replica:state(payload), true)
  elseif kind == "step2" or kind == "update" then
    assert(client.replica:apply(payload))
    if kind == "step2" then client.synced = true end
    remember(client)
  elseif kind == "awareness" then
    take_awareness(client, payload)
  end
end

-- Hands the first waiting message to the server; answers whether it was taken.
local function deliver(client)
  local message = client.outgoing[1]
  if not message or not client.seat or client.paused or not client.joined then return false end
  local kind = client.app.core:receive(client.seat, message.kind, message.bytes, message.no)
  client.app:pump()
  if kind == "EBUSY" then
    client.paused = true
    return false
  end
  if client.outgoing[1] == message then table.remove(client.outgoing, 1) end
  if kind == "EDENIED" then
    client.readonly = true
  elseif kind then
    client.closed = { code = kind }
  end
  return true
end

-- ---- Reading and writing through a client -----------------------------------------------------------------------

local function is_there(client, path) return paths.value(client.replica, path) ~= nil end

-- Operations that make what is missing on the way to `path`; what stands there becomes a `kind`.
local function containers(client, path, kind, ops)
  local parts = paths.split(path)
  for i = 2, #parts do
    local at = paths.join(parts, i)
    if not is_there(client, at) then
      ops[#ops + 1] = { "map.set", paths.join(parts, i - 1), parts[i], { ["$new"] = i == #parts and kind or "map" } }
      for j = i + 1, #parts do
        ops[#ops + 1] = { "map.set", paths.join(parts, j - 1), parts[j], { ["$new"] = j == #parts and kind or "map" } }
      end
      break
    end
  end
  return ops
end

local function plain(value) if value == json.null then return nil end return value end

local function writer(client, path, kind)
  return function(op, ...)
    local ops = containers(client, path, kind, {})
    ops[#ops + 1] = { op, path, ... }
    client:write(ops)
  end
end

function Handles.text(client, path)
  local put = writer(client, path, "text")
  local h = { kind = "text" }
  function h.tostring() return paths.text(client.replica, path) end
  function h.len() return paths.len16(h.tostring()) end
  function h.insert(_, i, s, attrs) put("text.insert", i, s, attrs) return h end
  function h.delete(_, i, n) put("text.delete", i, n) return h end
  function h.format(_, i, n, attrs) put("text.format", i, n, attrs) return h end
  function h.delta() return json.decode(client.replica:read(path, "delta")) end
  function h.set(_, s)
    local ops = containers(client, path, "text", {})
    local n = h.len()
    if n > 0 then ops[#ops + 1] = { "text.delete", path, 0, n } end
    ops[#ops + 1] = { "text.insert", path, 0, s }
    client:write(ops)
    return h
  end
  return h
end

function Handles.map(client, path)
  local put = writer(client, path, "map")
  local h = { kind = "map" }
  function h.get(_, key) return plain((paths.value(client.replica, path) or {})[key]) end
  function h.has(_, key) return (paths.value(client.replica, path) or {})[key] ~= nil end
  function h.json() return paths.value(client.replica, path) or {} end
  function h.keys()
    local out = {}
    for key in pairs(h.json()) do out[#out + 1] = key end
    table.sort(out)
    return out
  end
  function h.set(_, key, value) put("map.set", key, value) return h end
  function h.delete(_, key) put("map.delete", key) return h end
  function h.create(_, key, kind) put("map.set", key, { ["$new"] = kind }) return h end
  function h.assign(_, values)
    local ops, keys = containers(client, path, "map", {}), {}
    for key in pairs(values) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do ops[#ops + 1] = { "map.set", path, key, values[key] } end
    client:write(ops)
    return h
  end
  return h
end

function Handles.array(client, path)
  local put = writer(client, path, "array")
  local h = { kind = "array" }
  function h.json() return paths.value(client.replica, path) or {} end
  function h.get(_, i) return plain(h.json()[i + 1]) end
  function h.len() return #h.json() end
  function h.insert(_, i, ...) put("array.insert", i, json.list { ... }) return h end
  function h.push(_, ...) put("array.push", json.list { ... }) return h end
  function h.delete(_, i, n) put("array.delete", i, n or 1) return h end
  return h
end

-- { tag =, attrs =, children = { … } } or text, as the engine takes it
local function node_of(node)
  if type(node) == "string" then return { ["$new"] = "xmltext", text = node } end
  local children = json.list {}
  for i, child in ipairs(node.children or {}) do children[i] = node_of(child) end
  return { ["$new"] = "xmlelement", name = node.tag, attrs = node.attrs or {}, children = children }
end

function Handles.xml(client, path)
  local h = { kind = "xml" }
  function h.tostring() return (client.replica:read(path, "xml")) end
  function h.insert(_, i, ...)
    local nodes = json.list {}
    for k, node in ipairs { ... } do nodes[k] = node_of(node) end
    client:write { { "xml.insert", path, i, nodes } }
    return h
  end
  function h.delete(_, i, n) client:write { { "xml.delete", path, i, n or 1 } } return h end
  function h.attr(_, key, value) client:write { { "attr.set", path, key, value } } return h end
  function h.remove_attr(_, key) client:write { { "attr.remove", path, key } } return h end
  return h
end

--- The whole document as a plain table.
function Client:json() return (json.decode(self:json_text())) end

--- GET of a route of a plugin, as this client's user: { status, headers, body, json }.
function Client:get(url, headers) return self.app:request("GET", url, nil, self, headers) end
--- POST of a value as JSON (or a string as it is).
function Client:post(url, value, headers) return self.app:request("POST", url, value, self, headers) end
--- PUT, PATCH and DELETE likewise.
function Client:put(url, value, headers) return self.app:request("PUT", url, value, self, headers) end
function Client:patch(url, value, headers) return self.app:request("PATCH", url, value, self, headers) end
function Client:delete(url, headers) return self.app:request("DELETE", url, nil, self, headers) end
--- A call of an rpc; answers its value, or nil, kind, text.
function Client:rpc(name, args) return self.app:call(name, args, self) end

-- ---- The app ----------------------------------------------------------------------------------------------------

--- Rights of a client, as `authorize` says. Without that hook everybody may everything; with it, no grant is a
--- no, unless the app is `open = true` (the server's open mode).
function App:rights_of(client)
  local asked = self.core:authorize({ action = "doc.open", org = self.org, doc_id = client.doc }, client.identity)
  local rights = asked and self.core:authorized()
  self:pump()
  for _ = 1, SETTLE_MAX do -- the hook may wait
    if rights or not asked then break end
    local moved = self.core:step()
    moved = self:pump() or moved
    moved = self.outside:step() or moved
    rights = self.core:authorized()
    if not rights and not moved then error("app: authorize waits for something that never comes", 2) end
  end
  if rights and (rights.given or rights.denied or not self.given.open) then return rights end
  return { read = true, write = true, presence = true, messages = true, history = true }
end

--- A client: user, roles, name, doc, kind. `yjs` is accepted: all clients here are as stock Yjs.
function App:client(given)
  if type(given.doc) ~= "string" then error("app:client: which doc?", 2) end
  self.next_client = self.next_client + 1
  local user = given.user or "guest-" .. self.next_client
  local client = setmetatable({
    app = self, user = user, doc = given.doc, id = 1000 + self.next_client, notices = {}, seen = {}, presences = {}, incoming = {}, outgoing = {}, held = false, readonly = false,
    identity = { user = user, name = given.name or user, roles = given.roles or {}, groups = given.groups or {}, kind = given.kind or "user",
                 session = ("s-%d"):format(self.next_client) },
  }, Client)
  client.replica = engine.new { client = client.id }
  self.clients[#self.clients + 1] = client
  self.users[user] = client
  connect(client)
  self:settle()
  return client
end

--- The newest client of a user.
function App:user(name) return self.users[name] or error(("nobody called %s is here"):format(tostring(name)), 2) end

--- Everybody goes offline.
function App:offline() for _, client in ipairs(self.clients) do client:offline() end end
function App:online() for _, client in ipairs(self.clients) do client:online() end end

local on = {} -- what the core says

function on.frame(app, event)
  local client = app.seats[event.seat]
  if client then client.incoming[#client.incoming + 1] = event.bytes end
end

function on.ack(app, event)
  local client = app.seats[event.seat]
  if client then client.acked = event.no end
end

function on.joined(app, event)
  local client = app.seats[event.seat]
  if client then client.joined = true end
end

function on.closed(app, event)
  local client = app.seats[event.seat]
  if client then
    client.closed = { code = event.why, reason = event.reason }
    client.leaving = true
  end
end

function on.paused(app, event)
  local client = app.seats[event.seat]
  if client then client.paused, client.held = true, true end
end

function on.resumed(app, event)
  local client = app.seats[event.seat]
  if client then client.paused, client.held = false, false end
end

function on.refused(app, event)
  local client = app.seats[event.seat]
  if not client then return end
  client.notices[#client.notices + 1] = { kind = "refused", code = event.code, reason = event.reason, mode = event.mode, paths = event.paths }
  if event.mode == "fence" then client.readonly = true end
end

function on.failed(app, event)
  local client = app.seats[event.seat]
  if client then client.readonly = client.readonly or event.err == "EDENIED" end
end

function on.record(app, event)
  local doc = app:truth(event.doc)
  doc.seq, doc.updated_at = event.seq, core.clock()
  doc.created_at = doc.created_at or doc.updated_at
  doc.records = doc.records + 1
  assert(doc.replica:apply(event.bytes))
end

local LEVELS = { [0] = "error", "warn", "info", "debug", "trace" }

--- What plugins logged as errors since the test began: a failing test shows it.
module.complaints = {}

function on.log(app, event)
  if event.level == 0 and #module.complaints < 5 then
    module.complaints[#module.complaints + 1] = ("%s logged: %s"):format(tostring(event.plugin), tostring(event.text))
  end
  app.logs[#app.logs + 1] = { plugin = event.plugin, level = LEVELS[event.level] or event.level, text = event.text, at = core.clock() }
end

function on.made(app, event)
  local doc = app:truth(event.doc)
  doc.made, doc.created_at, doc.updated_at = true, doc.created_at or core.clock(), doc.updated_at or core.clock()
end

function on.deleted(app, event) app:truth(event.doc).deleted = true end
function on.op(app, event) app.outside:begin(event) end
function on.ended(app, event) app.outside:ended(event) end
function on.cancel(app, event) app.outside:cancel(event.ticket) end

--- Takes in what the core has said. Answers whether it said anything.
function App:pump()
  local any = false
  while true do
    local events = self.core:events()
    if #events == 0 then return any end
    any = true
    for _, event in ipairs(events) do on[event.kind](self, event) end
  end
end

local function give_up_seats(app)
  for _, client in ipairs(app.clients) do
    if client.leaving and client.seat then
      client.leaving = nil
      client:offline()
    end
  end
end

--- Runs until nothing moves.
function App:settle()
  for _ = 1, SETTLE_MAX do
    local moved = self:pump()
    for _, client in ipairs(self.clients) do
      if deliver(client) then moved = true end
      while client.incoming[1] do
        take(client, table.remove(client.incoming, 1))
        moved = true
      end
    end
    if self.core:step() then moved = true end
    if self:pump() then moved = true end
    give_up_seats(self)
    if self.outside:step() then moved = true end
    if not moved and self.outside:work() then moved = true end
    if not moved then
      local broken = self.broken
      self.broken = nil
      if broken then error(broken, 2) end
      return
    end
  end
  error("app:settle: it never comes to rest", 2)
end

--- Moves the clock ("15m" or seconds), firing what is due on the way.
function App:advance(duration)
  local units = require "moonloom.units"
  local seconds, wrong = units.duration(duration)
  if not seconds then error("app:advance: " .. tostring(wrong), 2) end
  local stop = core.clock() + seconds
  local step = seconds <= 30 and TICK or 0.25
  self:settle()
  while core.clock() < stop - 1e-4 do -- the clock has whole milliseconds, and a number of today is exact to 2e-7
    core.clock(math.min(core.clock() + step, stop) + 1e-4)
    self.core:tick()
    self:settle()
  end
end

-- ---- Looking ----------------------------------------------------------------------------------------------------

--- What the journal folds to.
function App:truth(id)
  local doc = self.documents[id]
  if not doc then
    doc = { id = id, seq = 0, records = 0, replica = engine.new { client = 1 } }
    self.documents[id] = doc
  end
  return doc
end

local Doc = {}
Doc.__index = Doc
function Doc:get(path) return plain(paths.value(self.replica, path)) end
function Doc:text(path)
  local replica = self.replica
  return { tostring = function() return paths.text(replica, path) end, len = function() return paths.len16(paths.text(replica, path)) end }
end
function Doc:map(path)
  local value = paths.value(self.replica, path) or {}
  return { get = function(_, key) return plain(value[key]) end, has = function(_, key) return value[key] ~= nil end, json = function() return value end }
end
function Doc:array(path)
  local value = paths.value(self.replica, path) or {}
  return { get = function(_, i) return plain(value[i + 1]) end, len = function() return #value end, json = function() return value end }
end
function Doc:xml(path)
  local replica = self.replica
  return { tostring = function() return (replica:read(path, "xml")) end }
end

--- The document as the journal has it: :get(path), :text(path), :map, :array, :xml, .seq, .records.
function App:doc(id)
  local truth = self:truth(id)
  return setmetatable({ id = id, seq = truth.seq, records = truth.records, replica = truth.replica }, Doc)
end

--- nil if every replica of the document has what the journal has (content, state vector, delete set).
function App:why_not_converged(id)
  self:settle()
  local truth = self:truth(id)
  local wanted = truth.replica:state()
  local ok, _, text = truth.replica:check()
  if not ok then return "the journal's document is broken: " .. tostring(text) end
  for _, client in ipairs(self.clients) do
    if client.doc == id and client.seat then
      local same = client.replica:state() == wanted
      if not same then
        return ("%s has %s, the journal %s"):format(client.user, client:json_text(), Client.json_text { replica = truth.replica })
      end
    end
  end
end

App.__tostring = function(app) return ("app (%d clients, seed %s)"):format(#app.clients, tostring(app.seed)) end
Client.__tostring = function(client) return ("client %s of %s, has seen %s"):format(client.user, client.doc, client.last_seen or "nothing") end

local RAISED = { timeout = "stopped: over its time limit", memory = "out of memory" }

--- Breaks a hook on purpose: a text it raises, "timeout", "memory"; nil: whole again.
function App:fault(plugin, hook, what)
  local ok, wrong = pcall(self.core.fault, self.core, plugin, hook, RAISED[what] or what)
  if not ok then error(wrong, 2) end
  self:pump()
end

--- A route, as a user asks for it.
function App:request(method, url, value, client, headers)
  return self.outside:request(method, url, value, client, headers)
end

function App:call(name, args, client) return self.outside:call(name, args, client) end

-- As the server does it: the new generation's setup may wait, for ten seconds, while the old one serves.
local function redeploy(app)
  local done = app.core:redeploy(module.server_json(app.instances, app.given.secrets), app.plugins_dir)
  while not done do
    app:settle()
    done = app.core:redeploy()
    if not done then app:advance "1s" end
  end
end

--- A new generation of a plugin, from its files and `opts.config` (else the one it has). Raises with what a person
--- would be told; then the old generation goes on.
function App:reload(plugin, opts)
  for key in pairs(opts or {}) do if key ~= "config" then error(("app:reload: unknown key '%s'"):format(tostring(key)), 2) end end
  local found, config
  for _, one in ipairs(self.instances) do
    if one.name == plugin then
      found, config = one, one.config
      if opts and opts.config then one.config = opts.config end
    end
  end
  if not found then error(("app:reload: %s is not in this app"):format(tostring(plugin)), 2) end
  local ok, wrong = pcall(redeploy, self)
  if not ok then
    found.config = config
    error(wrong, 2)
  end
  self.before[plugin] = { config = config }
  self:settle()
end

--- Back to the configuration before the last reload.
function App:rollback(plugin)
  local before = self.before[plugin] or error(("app:rollback: %s was not reloaded"):format(tostring(plugin)), 2)
  for _, one in ipairs(self.instances) do if one.name == plugin then one.config = before.config end end
  redeploy(self)
  self:settle()
end

--- Events of the security log, as an instance (the first, if none is named) is told of them; each { kind =, … }.
--- Answers "done", or "again" or "failed" and why: then the server would tell it once more.
function App:audit(events, instance)
  local list = {}
  self.audited = self.audited or 0
  for i, event in ipairs(events) do
    self.audited = self.audited + 1
    list[i] = { n = self.audited, at = math.floor(core.clock() * 1000), org = self.org, result = "ok" }
    for name, value in pairs(event) do list[i][name] = value end
  end
  local ended
  self.outside:start("job", instance or self.instances[1].name, "@audit",
    { args = json.encode(list), id = "audit" .. self.audited, try = 1, at_ms = 0 }, function(event) ended = event end)
  self:settle()
  return ended and ended.how, ended and ended.text
end

--- Ends everything. Apps end by themselves too.
function App:close()
  if self.core then self.core:close() end
  self.core = nil
end

-- ---- Making one -------------------------------------------------------------------------------------------------

-- What the server file would say.
function module.server_json(instances, secrets)
  if #instances == 0 then return nil end
  local plugins = {}
  for _, one in ipairs(instances) do
    plugins[one.name] = { config = one.config and next(one.config) ~= nil and one.config or nil, plugin = one.plugin,
                          docs = one.docs and json.list(one.docs) or nil }
  end
  return json.encode { plugins = plugins, secrets = secrets }
end

local GIVEN = { plugins = true, org = true, orgs = true, nodes = true, regions = true, seed = true, open = true, secrets = true }

local ONE = { true, config = true, docs = true, plugin = true }

-- A list of names or { name, config = … }, or names to settings as in moonloom.lua.
local function listed(plugins)
  local out = {}
  for key, one in pairs(plugins) do
    if type(key) == "string" then
      if type(one) ~= "table" then error(("t.app: plugins[%q] must be a table such as { config = { … } }"):format(key), 4) end
      out[#out + 1] = { key, config = one.config, docs = one.docs, plugin = one.plugin }
    else
      out[#out + 1] = type(one) == "string" and { one } or one
    end
    for name in pairs(type(one) == "table" and one or {}) do
      if not ONE[name] then error(("t.app: unknown key '%s' of a plugin; it takes config, docs, plugin"):format(tostring(name)), 4) end
    end
  end
  if #plugins == 0 then table.sort(out, function(a, b) return a[1] < b[1] end) end
  return out
end

function module.new(t, given)
  given = given or {}
  for key in pairs(given) do if not GIVEN[key] then error(("t.app: unknown key '%s'"):format(tostring(key)), 3) end end
  if given.nodes and given.nodes > 1 then error("t.app: more than one node is not available in this version", 3) end
  if given.orgs or given.regions then error("t.app: orgs and regions are not available in this version", 3) end
  local instances = {}
  for i, one in ipairs(listed(given.plugins or {})) do
    instances[i] = { name = one[1], config = one.config, docs = one.docs, plugin = one.plugin }
  end
  local org = given.org or "acme"
  if type(org) == "table" then org = org.id end
  local seed = given.seed or tonumber(os.getenv("MOONLOOM_SEED")) or 1
  local ok, made = pcall(core.app, { server = module.server_json(instances, given.secrets), plugins_dir = t.plugins_dir, org = org, seed = seed })
  if not ok then error(made, 3) end
  local self = setmetatable({ core = made, org = org, seed = seed, clients = {}, users = {}, seats = {}, documents = {}, logs = {},
                              next_client = 0, given = given, instances = instances, before = {}, plugins_dir = t.plugins_dir }, App)
  self.outside = require("moonloom.test.outside").new(self)
  self.http, self.kv, self.jobs, self.metrics = self.outside.http, self.outside.kv, self.outside.jobs, self.outside.metrics
  self:settle()
  return self
end

--- n random edits by a client, from the app's seed: text, map, array; deletes too.
function module.random_edits(client, n)
  local owner = client.app
  owner.random = owner.random or require("moonloom.test").random(owner.seed)
  local random = owner.random
  for _ = 1, n do
    local what = random(1, 6)
    if what <= 2 then
      local text = client:text("text")
      text:insert(random(0, text:len()), string.char(random(97, 122)))
    elseif what == 3 then
      local text = client:text("text")
      if text:len() > 0 then text:delete(random(0, text:len() - 1), 1) end
    elseif what == 4 then
      client:map("map"):set("k" .. random(1, 4), random(1, 100))
    elseif what == 5 then
      client:array("list"):push(random(1, 100))
    else
      local list = client:array("list")
      if list:len() > 0 then list:delete(random(0, list:len() - 1), 1) end
    end
  end
end

return module
