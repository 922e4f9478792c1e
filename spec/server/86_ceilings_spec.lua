-- More of security.md 6: a row says what passes at the ceiling, and what is refused one above it, and how. docs/limits.md.
local Collab = require "collab"
local lib0 = require "lib0"
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

local QUIET = {
  ["plugin.lua"] = "return { name = 'quiet', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} } }",
  ["init.lua"] = "local P = {}\nfunction P:authenticate() return nil end\nreturn P",
}

--- An update of client 9: `key` of map "m" is set to `value`, an encoded Any.
local function sets(key, value)
  return "\1\1\9\0\40\1\1m" .. lib0.bytes(key) .. "\1" .. value .. "\0"
end

--- Any: a list in a list in … `depth` of them.
local function nested(depth) return ("\117\1"):rep(depth - 1) .. "\117\0" end

--- On a socket of its own: answers the code with which the server closed it, or "open" after a round trip.
local function collab(world, act)
  local it = assert(Collab.open(world))
  act(it)
  it:catches_up()
  local code = it.socket.closed and it.socket.closed.code
  it:drop()
  return code or "open"
end

--- The same at /sync: `frames`, and a status that comes back behind them.
local function sync(world, frames)
  local ws = assert(WebSocket.open { port = world.port, path = "/sync/default/doc" })
  ws:raw(frames .. WebSocket.frame(lib0.uint(102) .. lib0.bytes "x"))
  ws:wait(function()
    for _, message in ipairs(ws.messages) do
      if message.payload:byte() == 102 then return true end
    end
    return ws.closed
  end, "an answer or the end")
  ws:drop()
  return ws.closed and ws.closed.code or "open"
end

local function writes(update) return WebSocket.frame(lib0.uint(0) .. lib0.uint(2) .. lib0.bytes(update)) end

local function knocks(count, document)
  return function(it) for i = 1, count do it:sends(document or "d" .. i, 0, 0, "\0") end end
end

local rows = {
  { "held_documents = 3", closed = true, n = { collab, knocks(3), "open" }, more = { collab, knocks(4), 4205 } },
  { "held_messages = 3", closed = true, n = { collab, knocks(3, "d"), "open" }, more = { collab, knocks(4, "d"), 4205 } },
  -- Seven bytes: the length of the name, the name, kind, subtype, a vector of one byte with its length.
  { "held_bytes = 70", closed = true, n = { collab, knocks(10, "dd"), "open" }, more = { collab, knocks(11, "dd"), 4205 } },
  { "key_bytes = 8", n = { sync, writes(sets(("k"):rep(8), "\126")), "open" }, more = { sync, writes(sets(("k"):rep(9), "\126")), 4413 } },
  { "any_depth = 3", n = { sync, writes(sets("k", nested(3))), "open" }, more = { sync, writes(sets("k", nested(4))), 4413 } },
  { "controls_per_second = 5", n = { sync, WebSocket.frame("p", { opcode = 10 }):rep(5), "open" },
    more = { sync, WebSocket.frame("p", { opcode = 10 }):rep(6), 1008 } },
}

describe("a ceiling", function()
  local world

  after_each(function()
    if world then world:close() end
    world = nil
  end)
  teardown(process.clean)

  local function start(limits, is_closed)
    local folder = process.folder()
    World.plugin(folder, "quiet", QUIET)
    world = World.new {
      args = is_closed and { "--plugins", folder } or nil,
      config = ("limits = { %s }\n%s"):format(limits, is_closed and "auth = { mode = 'plugins' }\nplugins = { quiet = {} }" or ""),
    }
  end

  for _, row in ipairs(rows) do
    it(row[1] .. " holds, and one more does not", function()
      start(row[1], row.closed)
      assert.equal(row.n[3], row.n[1](world, row.n[2]))
      assert.equal(row.more[3], row.more[1](world, row.more[2]))
    end)
  end

  it("documents: one socket has so many, and another socket more", function()
    start "documents = 2"
    local it = assert(Collab.open(world)):joins("a"):joins("b")
    local scope, reason = it:token("c", "")
    assert.is_nil(scope)
    assert.equal("permission-denied", reason)
    local other = assert(Collab.open(world)):joins "c"
    it:sends("a", 0, 0, "\0"):awaits("a", "0001") -- goes on
    it:drop()
    other:drop()
  end)

  it("dead_ms: who answers pings stays, who does not is cut off", function()
    start "ping_ms = 300, dead_ms = 1200"
    local anna = world:client "anna":joins "doc"
    local mute = assert(WebSocket.open { port = world.port, path = "/sync/default/doc" })
    mute.sock:settimeout(0)
    local began = process.now()
    world:wait(function()
      -- Read without a word: the library would answer the ping.
      local _, err = mute.sock:receive(4096)
      return err == "closed"
    end, "the mute one is cut off", 15)
    assert.truthy(process.now() - began >= 1)
    assert.is_nil(anna.socket.closed)
    anna:types(0, "still here"):is_acknowledged()
    mute.sock:close()
  end)
end)
