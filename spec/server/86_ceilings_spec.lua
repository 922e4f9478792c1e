-- More of security.md 6: a row says what passes at the ceiling, and what is refused one above it, and how. docs/limits.md.
local Collab = require "collab"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local socket = require "socket"
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

  --- So many connections that say nothing.
  local function connect(count)
    local socks = {}
    for i = 1, count do
      socks[i] = assert(socket.connect("127.0.0.1", world.port))
      socks[i]:settimeout(0)
    end
    return socks
  end

  it("address_handshakes: so many of one address, the next is closed", function()
    start "count_loopback = 1, address_handshakes = 3"
    -- What has started the server may still be among them.
    local socks
    world:wait(function()
      for _, sock in ipairs(socks or {}) do sock:close() end
      socks = connect(4)
      local closed
      process.until_true(function()
        for i, sock in ipairs(socks) do
          if select(2, sock:receive(1)) == "closed" then closed = i end
        end
        return closed
      end, "one too many is closed", 5)
      return closed == 4
    end, "only the fourth is closed")
    for i = 1, 3 do assert.equal("timeout", (select(2, socks[i]:receive(1)))) end
    for _, sock in ipairs(socks) do sock:close() end
  end)

  it("address_sessions: so many of one address, and a place that is left is free again", function()
    start "count_loopback = 1, address_sessions = 2"
    local one, two = assert(Collab.open(world)), assert(Collab.open(world))
    local none, status = Collab.open(world)
    assert.is_nil(none)
    assert.equal(503, status)
    one:drop()
    world:wait(function()
      one = Collab.open(world)
      return one
    end, "a place")
    one:drop()
    two:drop()
  end)

  it("accepts_per_second: as many at once, the next wait for their turn", function()
    start "count_loopback = 1, accepts_per_second = 2"
    local began = process.now()
    -- Two at most are in store, so seven take 2.5 s, however slow this machine is.
    for _ = 1, 7 do assert.equal(200, http.get(world.port, "/healthz").status) end
    assert.truthy(process.now() - began > 2.3, ("seven within %.1f s"):format(process.now() - began))
  end)

  it("questions: so many wait for plugins, the next is refused at once", function()
    -- Who takes a request and never answers, for the two seconds that the plugin gives it.
    local mute = assert(socket.bind("127.0.0.1", 0))
    local folder = process.folder()
    World.plugin(folder, "slow", {
      ["plugin.lua"] = [[return { name = 'slow', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} }, needs = { http = { '127.0.0.1' } } }]],
      ["init.lua"] = ([[
        local ml = require "moonloom"
        local P = {}
        function P:authenticate()
          pcall(ml.http.get, "http://127.0.0.1:%s/", { timeout = 2 })
          return { user = "u" }
        end
        return P]]):format(select(2, mute:getsockname())),
    })
    world = World.new { args = { "--plugins", folder }, config = "limits = { questions = 2 }\nloops = 1\n"
      .. "auth = { mode = 'plugins' }\noutgoing = { '127.0.0.0/8' }\nplugins = { slow = {} }" }
    local socks = {}
    for i = 1, 3 do
      socks[i] = assert(socket.connect("127.0.0.1", world.port))
      socks[i]:settimeout(0)
      socks[i]:send(http.text(world.port, "GET", "/api/v1/orgs/default/docs/a", { Authorization = "Bearer wait" }))
    end
    -- One is answered before the two that wait.
    local statuses = {}
    world:wait(function()
      for i, sock in pairs(socks) do
        local line = sock:receive "*l"
        if line then
          statuses[#statuses + 1] = line:match "^HTTP/1.1 (%d+)"
          socks[i] = nil
          sock:close()
        end
      end
      return #statuses == 3
    end, "three answers", 20)
    assert.equal("503", statuses[1])
    assert.not_equal("503", statuses[2])
    assert.not_equal("503", statuses[3])
    mute:close()
  end)

  --- So many people sign in at once; how many were told 401, and 503.
  local function sign_in(count)
    local told = { ["401"] = 0, ["503"] = 0 }
    local socks = connect(count)
    for i, sock in ipairs(socks) do
      sock:settimeout(30)
      sock:send(http.text(world.port, "POST", "/auth/login", { ["Content-Type"] = "application/json" },
        ('{"user":"%s%d","password":"wrong horse"}'):format(tostring(process.now()):gsub("%D", ""), i)))
    end
    for _, sock in ipairs(socks) do
      local status = assert(sock:receive "*l"):match "^HTTP/1.1 (%d+)"
      told[status] = (told[status] or 0) + 1
      sock:close()
    end
    return told["401"], told["503"]
  end

  it("password_checks: so many at once, the next may come again", function()
    world = World.new { config = "limits = { password_checks = 6 }\nloops = 1\nauth = { mode = 'password' }" }
    assert.same({ 6, 0 }, { sign_in(6) })
    world:close()
    world = World.new { config = "limits = { password_checks = 1 }\nloops = 1\nauth = { mode = 'password' }" }
    assert.same({ 1, 0 }, { sign_in(1) })
    -- Two are at once only if the second comes while the first is being checked.
    world:wait(function()
      local checked, refused = sign_in(2)
      assert.equal(2, checked + refused)
      assert.truthy(checked >= 1)
      return refused == 1
    end, "one too many", 20)
  end)

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
