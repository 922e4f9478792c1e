-- One Hocuspocus socket, message by message: what is sent is what the spec says, what came is kept by address.
--
--   local anna = Collab.open(world)
--   anna:token "notes"                       Auth Token, and waits for the answer
--   anna:sends("notes", 0, 0, "\0")          type, subtype, payload with its length
--   anna:next "notes"                        the next message at that address, as hex
local socket = require "socket"
local lib0 = require "lib0"
local WebSocket = require "websocket"

local Collab = {}
Collab.__index = Collab

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end
Collab.hex = hex

function Collab.unhex(text)
  return (text:gsub("%s", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

--- options: org, path, query, headers. Answers nil, status if the upgrade was refused.
function Collab.open(world, options)
  options = options or {}
  local opened, status, _, body = WebSocket.open {
    port = world.port, headers = options.headers,
    path = options.path or ("/collab/%s%s"):format(options.org or "default", options.query and "?" .. options.query or ""),
  }
  if not opened then return nil, status, body end
  return setmetatable({ world = world, socket = opened, inbox = {}, all = {} }, Collab)
end

--- Type, subtype (or nil), payload (or nil: none); the payload gets its length in front.
function Collab.message(address, kind, subtype, payload)
  return lib0.bytes(address) .. lib0.uint(kind) .. (subtype and lib0.uint(subtype) or "") .. (payload and lib0.bytes(payload) or "")
end

function Collab:sends(...)
  self.socket:send(Collab.message(...))
  return self
end

--- Bytes as they are, in hex.
function Collab:says(text)
  self.socket:send(Collab.unhex(text))
  return self
end

function Collab:pump()
  self.socket:pump()
  for _, message in ipairs(self.socket.messages) do
    assert(message.opcode == 2, "the server sent a text frame")
    local address, rest = "", message.payload
    if #message.payload > 1 then
      local r = lib0.reader(message.payload)
      address = r:bytes()
      rest = message.payload:sub(r.at)
    end
    self.inbox[address] = self.inbox[address] or {}
    table.insert(self.inbox[address], hex(rest))
    table.insert(self.all, { address = address, rest = hex(rest) })
  end
  self.socket.messages = {}
end

local function wait(self, question, what, seconds)
  local deadline = socket.gettime() + (seconds or 10)
  while true do
    self:pump()
    local answer = question()
    if answer then return answer end
    if socket.gettime() > deadline then error(("not within %g s: %s"):format(seconds or 10, what), 3) end
    if not self.socket.ended then socket.select({ self.socket.sock }, nil, 0.05) end
  end
end

--- The next message at that address, as hex without the address. nil: the socket was closed before one came.
function Collab:next(address, seconds)
  return wait(self, function()
    local box = self.inbox[address]
    if box and box[1] then return { table.remove(box, 1) } end
    return self.socket.closed and {}
  end, "a message at " .. address, seconds)[1]
end

--- The next message that begins so; those before it are dropped.
function Collab:awaits(address, beginning, seconds)
  return wait(self, function()
    local box = self.inbox[address] or {}
    while box[1] do
      local message = table.remove(box, 1)
      if message:sub(1, #beginning) == beginning then return message end
    end
    assert(not self.socket.closed, "the socket was closed")
  end, beginning .. " at " .. address, seconds)
end

--- Everything that has come at that address and was not taken yet.
function Collab:rest(address)
  self:pump()
  local box = self.inbox[address] or {}
  self.inbox[address] = {}
  return box
end

--- A round trip: what was said before has been answered if it ever will be. (The server answers a Ping in order.)
function Collab:catches_up()
  self.socket:send "\9"
  wait(self, function()
    local box = self.inbox[""] or {}
    for i, message in ipairs(box) do
      if message == "0a" then
        table.remove(box, i)
        return true
      end
    end
    return self.socket.closed
  end, "a Pong")
  return self
end

--- Auth Token; answers the scope, or nil and the reason of the refusal.
function Collab:token(address, token, version)
  self.socket:send(lib0.bytes(address) .. "\2\0" .. lib0.bytes(token or "") .. (version and lib0.bytes(version) or ""))
  local answer = Collab.unhex(self:awaits(address, "02"))
  local r = lib0.reader(answer:sub(3))
  if answer:byte(2) == 2 then return r:bytes() end
  return nil, r:bytes()
end

--- Opens a document to the end of its first sync.
function Collab:joins(address, token)
  assert(self:token(address, token))
  self:sends(address, 0, 0, "\0")
  self:awaits(address, "0001")
  return self
end

function Collab:is_closed(seconds)
  wait(self, function() return self.socket.closed end, "the server closes", seconds)
  return self.socket.closed.code, self.socket.closed.reason
end

function Collab:drop()
  self.socket:drop()
end

return Collab
