-- The conversation player: a server of its own and clients that speak y-websocket, so that a spec reads like a play.
--
--   local anna, ben = world:client "anna", world:client "ben"
--   anna:joins "notes"
--   anna:types(0, "hello")
--   ben:joins "notes"
--   ben:sees "hello"
--
-- Nobody sleeps: every wait pumps all clients of the world and has a deadline.
local socket = require "socket"
local cjson = require "cjson"
local signal = require "posix.signal"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local Text = require "text"
local WebSocket = require "websocket"
local now = socket.gettime

local World, Client = {}, {}
World.__index, Client.__index = World, Client

World.BIN = os.getenv "MOONLOOM_BIN" or "build/dev/moonloom"
World.ROOT = os.getenv "MOONLOOM_ROOT" or "."
World.LONG = (os.getenv "MOONLOOM_LONG" or "") ~= ""

--- The release build for what measures; else the one under test, and it says so.
function World.fast_binary()
  local release = os.getenv "MOONLOOM_RELEASE_BIN" or ""
  local file = release ~= "" and io.open(release)
  if file then
    file:close()
    return release, true
  end
  print("# no release build: measured with " .. World.BIN)
  return World.BIN, false
end

-- Plugins of specs may do what they ask for, unless the spec is about that.
local function with_grants(config)
  return ("\n" .. config):find "\n%s*grants%s*=" and config or config .. '\ngrants = "*"\n'
end

-- With MOONLOOM_TEST_STORE=postgres every world has a database of its own (with-postgres), and so have the commands beside the last one
-- that is open: they find it in the environment, as the server does.
local stdlib = require "posix.stdlib"
local function put_on_postgres(world)
  if os.getenv "MOONLOOM_TEST_STORE" ~= "postgres" then return end
  local env = { MOONLOOM_STORE = require("outage").store "world", MOONLOOM_SEAL_KEY = ("5e"):rep(32) }
  world.store, world.before = env.MOONLOOM_STORE, os.getenv "MOONLOOM_STORE"
  for name, value in pairs(world.options.env or {}) do env[name] = value end
  world.options.env = env
  stdlib.setenv("MOONLOOM_STORE", world.store)
  stdlib.setenv("MOONLOOM_SEAL_KEY", env.MOONLOOM_SEAL_KEY)
end

--- options: config (text of moonloom.lua), args, env, bin, data, port (0). Starts unless `start` is false.

function World.new(options)
  local world = setmetatable({ options = options or {}, clients = {}, ids = 100 }, World)
  world.data = world.options.data or process.folder()
  world.log = process.folder() .. "/log"
  put_on_postgres(world)
  if world.options.start ~= false then world:start() end
  return world
end

--- A plugin of the spec's own: `files` is { ["plugin.lua"] = text, ["init.lua"] = text }.
function World.plugin(folder, name, files)
  os.execute(("mkdir -p '%s/%s'"):format(folder, name))
  for file, text in pairs(files) do process.write(("%s/%s/%s"):format(folder, name, file), text) end
end

function World:start()
  local argv = { self.options.bin or World.BIN, "serve", "--listen", "127.0.0.1:" .. (self.options.port or 0), "--data", self.data }
  for _, argument in ipairs(self.options.args or {}) do argv[#argv + 1] = argument end
  if self.options.config then
    argv[#argv + 1] = "--config"
    argv[#argv + 1] = process.write(process.folder() .. "/moonloom.lua", with_grants(self.options.config))
  end
  self.server = process.spawn(argv, { log = self.log, env = self.options.env, folder = self.data })
  self.port = tonumber((self.server:prints "http://127%.0%.0%.1:(%d+)"))
  return self
end

--- SIGTERM was sent; the exit has to be clean.
function World:ends(seconds)
  self:wait(function() return self.server:ended() end, "the server exits", seconds or 26)
  local how, status = self.server:ended()
  if how ~= "exited" or status ~= 0 then
    error(("after SIGTERM: %s %s\n%s"):format(how, status, self.server:tail()), 2)
  end
end

--- SIGTERM, and a clean exit.
function World:stop(seconds)
  self.server:signal(signal.SIGTERM)
  self:ends(seconds)
end

function World:kill()
  self.server:kill()
end

--- Ends everything; for after_each and teardown. A server that is not asked has to be alive still.
function World:close()
  if self.store then stdlib.setenv("MOONLOOM_STORE", self.before) end
  local how, status = self.server:ended()
  if self.other and not self.other:ended() then self.other:kill() end -- a failed spec has not released it
  for _, client in ipairs(self.clients) do
    if client.socket then client.socket:drop() end
  end
  if not how then
    self.clients = {}
    self:stop()
  elseif how ~= "exited" or (status ~= 0 and status ~= 137) then
    if not (how == "killed" and status == 9) then
      error(("the server had ended: %s %s\n%s"):format(how, status, self.server:tail()), 2)
    end
  end
end

function World:get(path, headers)
  return http.get(self.port, path, headers)
end

--- Names of the documents, as the list says.
function World:documents()
  local answer = self:get "/api/v1/orgs/default/docs?limit=1000"
  assert(answer.status == 200, "the list answers " .. answer.status)
  local names = {}
  for _, item in ipairs(cjson.decode(answer.body).items) do names[item.name] = item end
  return names
end

--- Rows of the store, read with its own shell: list of lines.
function World:sql(statement)
  local name, host = (self.store or ""):match "^postgres:///([^?]*)%?host=([^&]*)"
  if name then
    local ended, rows_text, complaint = process.run { "psql", ("host=%s user=moonloom dbname=%s"):format(host, name), "-XqAtc", statement }
    assert(ended == 0, complaint)
    local list = {}
    for line in rows_text:gmatch "[^\n]+" do list[#list + 1] = line end
    return list
  end
  local status, out, err = process.run({ "sqlite3", "-batch", "-cmd", ".timeout 5000", self.data .. "/moonloom.db", statement })
  assert(status == 0, err)
  local rows = {}
  for line in out:gmatch "[^\n]+" do rows[#rows + 1] = line end
  return rows
end

--- Somebody else holds the store's write lock: nothing can be committed until the answer's :release.
function World:locks_store()
  local other = process.spawn({ "sqlite3", "-batch", self.data .. "/moonloom.db" }, { log = process.folder() .. "/sqlite" })
  other:says ".timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'held';\n"
  other:prints "held"
  self.other = other
  function other.release()
    other:says "ROLLBACK;\n.quit\n"
    other:wait(5)
  end
  return other
end

function World:wait(question, what, seconds)
  local deadline = now() + (seconds or 10)
  while true do
    local socks = {}
    for _, client in ipairs(self.clients) do
      if client.socket and not client.is_deaf then
        client:pump()
        if not client.socket.ended then socks[#socks + 1] = client.socket.sock end
      end
    end
    local answer = question()
    if answer then return answer end
    if now() > deadline then
      error(("not within %g s: %s%s"):format(seconds or 10, what, self.server:ended() and "\nthe server has ended:\n" .. self.server:tail() or ""), 2)
    end
    if #socks > 0 then socket.select(socks, nil, 0.02) else socket.sleep(0.005) end
  end
end

function World:client(name)
  self.ids = self.ids + 1
  local client = setmetatable({ world = self, name = name, id = self.ids }, Client)
  client.text = Text.new(client.id)
  client.clock = 0 -- of its presence
  client:forget()
  self.clients[#self.clients + 1] = client
  return client
end

---- One client ---------------------------------------------------------------------------------------------------------

--- What belongs to one connection.
function Client:forget()
  self.synced, self.echoed, self.status, self.denied = false, 0, -1, nil
  self.people = {} -- client id → { clock, state (a table) or nil }
  self.frames = {} -- received: { type, subtype, payload, at }
  self.socket = nil
end

--- Opens the connection and waits until it is synced. options: path, headers, query, org, wait = false.
function Client:joins(document, options)
  options = options or {}
  self:forget()
  local path = options.path or ("/sync/%s/%s%s"):format(options.org or "default", document, options.query and "?" .. options.query or "")
  local opened, status, head, body = WebSocket.open {
    port = self.world.port, path = path, headers = options.headers, receive_buffer = options.receive_buffer,
  }
  if not opened then error(("%s was refused: %s %s"):format(self.name, status, body ~= "" and body or head), 2) end
  self.socket, self.document = opened, document
  self:sends(0, 0, self.text:state_vector())
  if options.wait ~= false then
    self.world:wait(function() return self.synced or self.socket.closed end, self.name .. " is synced")
    if self.socket.closed then error(("%s was closed: %s %s"):format(self.name, self.socket.closed.code, self.socket.closed.reason), 2) end
  end
  return self
end

--- A message of type and, for sync, subtype; `payload` gets its length in front.
function Client.message(kind, subtype, payload)
  return lib0.uint(kind) .. (subtype and lib0.uint(subtype) or "") .. lib0.bytes(payload)
end

World.message = Client.message

function Client:sends(kind, subtype, payload)
  self.socket:send(Client.message(kind, subtype, payload))
  return self
end

--- Says, as our own client does, that it knows what a notice is.
function Client:asks_for_notices()
  self.notices = {}
  return self:sends(103, nil, "")
end

function Client:has_asked_for_notices() return self.notices ~= nil end

function Client:types(index, text)
  local update = self.text:insert(index, text)
  if self.socket then self:sends(0, 2, update) end
  return self
end

function Client:deletes(index, len)
  local update = self.text:delete(index, len)
  if self.socket then self:sends(0, 2, update) end
  return self
end

--- Shows a state (a table) to the others; false: hides.
function Client:shows(state)
  self.clock = self.clock + 1
  self.state = state
  local json = state and cjson.encode(state) or "null"
  self:sends(1, nil, "\1" .. lib0.uint(self.id) .. lib0.uint(self.clock) .. lib0.bytes(json))
  return self
end

--- A y-sweet status.
function Client:asks(version)
  return self:sends(102, nil, lib0.uint(version))
end

local function read_people(self, payload)
  local r, entries = lib0.reader(payload), {}
  for _ = 1, r:uint() do
    local id, clock, json = r:uint(), r:uint(), r:bytes()
    entries[#entries + 1] = { id = id, clock = clock, json = json }
    local known = self.people[id]
    if clock > (known and known.clock or 0) or (known and known.state and clock == known.clock and json == "null") then
      self.people[id] = { clock = clock, state = json ~= "null" and cjson.decode(json) or nil, at = now() }
    end
  end
  return entries
end

local takers = {
  [0] = function(self, frame, r)
    frame.subtype, frame.payload = r:uint(), r:bytes()
    if frame.subtype == 0 then
      if not self.is_mute then self:sends(0, 1, self.text:diff(Text.read_vector(frame.payload))) end
      return
    end
    if self.is_opaque then
      self.synced = self.synced or frame.subtype == 1
      return
    end
    local runs, ranges = self.text:apply(frame.payload)
    frame.runs, frame.ranges = runs, ranges
    if frame.subtype == 1 then
      self.synced = true
    else
      for _, run in ipairs(runs) do
        if run.client == self.id then self.echoed = math.max(self.echoed, run.clock + run.len) end
      end
    end
  end,
  [1] = function(self, frame, r)
    frame.payload = r:bytes()
    frame.entries = read_people(self, frame.payload)
  end,
  [2] = function(self, frame, r)
    frame.subtype = r:uint()
    frame.payload = frame.subtype ~= 3 and r:bytes() or nil
    if frame.subtype == 0 then self.denied = frame.payload end
  end,
  [102] = function(self, frame, r)
    frame.payload = r:bytes()
    local ok, version = pcall(function() return lib0.reader(frame.payload):uint() end)
    self.status = ok and version or self.status
  end,
  [103] = function(self, frame, r)
    assert(self:has_asked_for_notices(), "the server sent a notice to somebody who did not ask")
    frame.payload = r:bytes()
    self.notices[#self.notices + 1] = cjson.decode(frame.payload)
  end,
}

--- Read what has come.
function Client:pump()
  self.socket:pump()
  for _, message in ipairs(self.socket.messages) do
    assert(message.opcode == 2, "the server sent a text frame")
    local r = lib0.reader(message.payload)
    local frame = { type = r:uint(), at = message.at, bytes = #message.payload }
    assert(takers[frame.type], "the server sent a message of type " .. frame.type)(self, frame, r)
    assert(r:left() == 0, "more than one message in a frame")
    self.frames[#self.frames + 1] = frame
  end
  self.socket.messages = {}
end

--- Waits until its text is `text`.
function Client:sees(text, seconds)
  local ok, err = pcall(self.world.wait, self.world, function() return self.text:string() == text end, "", seconds)
  if not ok then error(("%s sees %q, not %q (%s)"):format(self.name, self.text:string():sub(1, 300), text:sub(1, 300), err), 2) end
  return self
end

--- Waits until everything it has typed has come back to it: that is the acknowledgement.
function Client:is_acknowledged(seconds)
  self.world:wait(function() return self.echoed >= self.text:clock(self.id) end, self.name .. " is acknowledged", seconds)
  return self
end

--- Waits until it sees `other` with a state for which `question` holds (or at all).
function Client:sees_person(other, question, seconds)
  self.world:wait(function()
    local person = self.people[other.id]
    return person and person.state and (not question or question(person.state))
  end, self.name .. " sees " .. other.name, seconds)
  return self
end

function Client:misses_person(other, seconds)
  self.world:wait(function()
    local person = self.people[other.id]
    return not person or not person.state
  end, other.name .. " is gone from the screen of " .. self.name, seconds)
  return self
end

--- Code and reason of the server's close.
function Client:is_closed(seconds)
  self.world:wait(function() return self.socket.closed end, self.name .. " is closed", seconds)
  return self.socket.closed.code, self.socket.closed.reason
end

--- How many received frames fit; all fields given have to be equal.
function Client:received(kind, subtype)
  local count = 0
  for _, frame in ipairs(self.frames) do
    if frame.type == kind and (subtype == nil or frame.subtype == subtype) then count = count + 1 end
  end
  return count
end

--- A round trip through the room: what the server had to say before is here now. (A query has an answer only if
--- somebody is online; a state vector always has one.)
function Client:catches_up(seconds)
  local answers = self:received(0, 1)
  self:sends(0, 0, self.text:state_vector())
  self.world:wait(function() return self:received(0, 1) > answers or self.socket.closed end, self.name .. " gets an answer", seconds)
  return self
end

--- Polite: presence off, close frame.
function Client:leaves()
  if self.state then self:shows(false) end
  self.socket:close()
  self.socket = nil
  return self
end

--- Rude: the connection is gone without a word.
function Client:vanishes()
  self.socket:drop()
  self.socket = nil
  return self
end

return World
