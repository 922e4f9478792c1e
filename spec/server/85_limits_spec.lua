-- Ceilings of security.md 6 as `limits = {}` says them: what is at the ceiling passes, one more does not.
local lib0 = require "lib0"
local process = require "process"
local socket = require "socket"
local WebSocket = require "websocket"
local World = require "world"

describe("a configured limit", function()
  local world

  after_each(function()
    if world then world:close() end
    world = nil
  end)
  teardown(process.clean)

  local function start(limits)
    world = World.new { config = "limits = { " .. limits .. " }" }
    return world
  end

  --- A message of exactly `size` bytes that types one run, as an update (2) or the answer to a Step1 (1).
  local function message(client, subtype, size)
    for len = size - 60, size do
      local text = client.text
      local update = "\1\1" .. lib0.uint(client.id) .. lib0.uint(text:clock(client.id)) .. "\4\1\7content" .. lib0.bytes(("x"):rep(len)) .. "\0"
      local bytes = client.message(0, subtype, update)
      if #bytes == size then return bytes end
    end
    error "no such size"
  end

  --- Sends it from a client of its own; answers whether it came back, else the code.
  local function fate(document, subtype, size)
    local anna = world:client "anna":joins(document)
    anna.is_opaque = true
    local before = anna:received(0, 2)
    anna.socket:send(message(anna, subtype, size))
    world:wait(function() return anna.socket.closed or anna:received(0, 2) > before end, "an echo or a close")
    local closed = anna.socket.closed
    anna.socket:drop()
    return closed and closed.code or "taken"
  end

  it("of message_bytes", function()
    start "message_bytes = 1000, reply_bytes = 1000"
    assert.equal("taken", fate("a", 2, 1000))
    assert.equal(1009, fate("b", 2, 1001))
  end)

  it("of reply_bytes is for answers to a Step1 only", function()
    start "message_bytes = 1000, reply_bytes = 2000"
    assert.equal("taken", fate("a", 1, 2000))
    assert.equal(1009, fate("b", 1, 2001))
    assert.equal(1009, fate("c", 2, 2000))
  end)

  it("of outboxes is none for a document that comes in one piece, nor for those who are told", function()
    start "outbox_soft_bytes = 16384, outbox_hard_bytes = 65536, frame_bytes = 4096"
    local ben = world:client "ben":joins "a"
    local anna = world:client "anna":joins "a"
    local text = ("long "):rep(60000)
    anna:types(0, text):is_acknowledged()
    ben:sees(text)
    assert.is_nil(ben.socket.closed)
  end)

  it("that nobody has set: a document of 50 MB comes in one answer to a Step1", function()
    start ""
    local anna = world:client "anna":joins "a"
    anna.is_opaque = true
    local before = anna:received(0, 2)
    local update = "\1\1" .. lib0.uint(anna.id) .. lib0.uint(anna.text:clock(anna.id)) .. "\4\1\7content" .. lib0.bytes(("x"):rep(50000000)) .. "\0"
    anna.socket:send(anna.message(0, 1, update))
    world:wait(function() return anna.socket.closed or anna:received(0, 2) > before end, "an echo or a close", 120)
    assert.is_nil(anna.socket.closed)
    anna.socket:drop()
  end)

  it("of update_bytes", function()
    start "update_bytes = 996" -- of 1000, with a header of two bytes and a length of two
    assert.equal("taken", fate("a", 2, 1000))
    assert.equal(4413, fate("b", 2, 1001))
  end)

  it("of document_bytes: the document stays readable, and may shrink", function()
    start "document_bytes = 2000"
    local anna = world:client "anna":joins "a"
    anna:types(0, ("x"):rep(1900)):is_acknowledged()
    anna:types(0, ("y"):rep(100))
    assert.equal(4413, (anna:is_closed()))
    local ben = world:client "ben":joins "a":sees(("x"):rep(1900))
    ben:deletes(0, 1800)
    local cleo = world:client "cleo":joins "a"
    world:wait(function() return cleo.text:string() == ("x"):rep(100) end, "it is shorter")
    ben:types(0, ("z"):rep(1000)):is_acknowledged()
  end)

  it("of clients of one document", function()
    start "clients = 2"
    for i = 1, 2 do world:client("c" .. i):joins "a":types(0, "x"):is_acknowledged():leaves() end
    local third = world:client "third":joins "a"
    third:types(0, "x")
    assert.equal(4413, (third:is_closed()))
  end)

  it("of fragments", function()
    start "fragments = 4"
    local function in_pieces(document, count)
      local anna = world:client "anna":joins(document)
      anna.is_opaque = true
      local bytes = message(anna, 2, 200)
      local before = anna:received(0, 2)
      for i = 1, count do
        local from, to = math.floor((i - 1) * #bytes / count) + 1, math.floor(i * #bytes / count)
        anna.socket:send(bytes:sub(from, to), { opcode = i == 1 and 2 or 0, final = i == count })
      end
      world:wait(function() return anna.socket.closed or anna:received(0, 2) > before end, "an echo or a close")
      return anna.socket.closed and anna.socket.closed.code or "taken"
    end
    assert.equal("taken", in_pieces("a", 4))
    assert.equal(1002, in_pieces("b", 5))
  end)

  it("of updates: the burst at once, the next when its time has come, who never stops is sent away", function()
    start "updates_per_second = 2, updates_burst = 10"
    local anna = world:client "anna":joins "a" -- Step1 and Step2 are two of the ten
    local began = process.now()
    for _ = 1, 8 do anna:types(0, "x") end
    anna:is_acknowledged()
    assert.truthy(process.now() - began < 0.45, "the burst had to wait")
    anna:types(0, "y"):is_acknowledged()
    assert.truthy(process.now() - began > 0.4, "nothing had to wait")
    for _ = 1, 200 do anna:types(0, "z") end
    assert.equal(4529, (anna:is_closed()))
  end)

  it("of bytes in updates", function()
    start "update_bytes_per_second = 4096, update_bytes_burst = 8192"
    local anna = world:client "anna":joins "a"
    local began = process.now()
    for _ = 1, 2 do anna:types(0, ("x"):rep(4000)) end
    anna:is_acknowledged()
    assert.truthy(process.now() - began < 0.5, "the burst had to wait")
    anna:types(0, ("y"):rep(4000)):is_acknowledged()
    assert.truthy(process.now() - began > 0.7, "nothing had to wait")
    -- What one message has more than the bucket holds is not asked for: an offline week comes in one piece.
    world:client "ben":joins "b":types(0, ("z"):rep(20000)):is_acknowledged(1)
  end)

  it("of presence: bytes of a state, states of a member", function()
    start "presence_state_bytes = 100, presence_clients = 3"
    local anna, ben = world:client "anna":joins "a", world:client "ben":joins "a"
    local function shows(id, bytes)
      anna:sends(1, nil, "\1" .. lib0.uint(id) .. lib0.uint(1) .. lib0.bytes('{"cursor":"' .. ("x"):rep(bytes - 13) .. '"}'))
    end
    shows(701, 100)
    shows(702, 101)
    shows(703, 20)
    shows(704, 20)
    shows(705, 20)
    anna:types(0, "x")
    ben:sees "x"
    world:wait(function() return ben.people[704] end, "the last that is allowed")
    ben:catches_up()
    assert.truthy(ben.people[701] and ben.people[703] and ben.people[704])
    assert.is_nil(ben.people[702])
    assert.is_nil(ben.people[705])
  end)

  local function status(document)
    local ws, code = WebSocket.open { port = world.port, path = "/sync/default/" .. document }
    if not ws then return code end
    world.sockets = world.sockets or {}
    table.insert(world.sockets, ws)
    return "open"
  end

  it("of members of one document, of rooms, of sessions", function()
    start "members = 2, rooms = 2, sessions = 5"
    assert.equal("open", status "a")
    assert.equal("open", status "a")
    assert.equal(503, status "a")
    assert.equal("open", status "b")
    assert.equal(503, status "c")
    assert.equal("open", status "b")
    assert.equal(503, status "b")
    world:close()
    start "sessions = 3"
    for i = 1, 3 do assert.equal("open", status("s" .. i)) end
    assert.equal(503, status "s4")
  end)

  it("of the time for a request head, and of silence", function()
    start "head_ms = 500, keepalive_ms = 400"
    local sock = assert(socket.connect("127.0.0.1", world.port))
    sock:settimeout(0)
    sock:send "GET / HTTP/1.1\r\n"
    local began = process.now()
    process.until_true(function() return select(2, sock:receive(1)) == "closed" end, "the server gives up", 3)
    assert.truthy(process.now() - began >= 0.4)
    sock:close()
    local anna = world:client "anna":joins "quiet"
    world:wait(function() return anna:received(1) >= 2 end, "something is said", 5)
  end)

  it("of handshakes: the oldest goes for the newest", function()
    start "handshakes = 3"
    local socks = {}
    for i = 1, 4 do
      socks[i] = assert(socket.connect("127.0.0.1", world.port))
      socks[i]:settimeout(0)
      socket.sleep(0.02) -- accepted in this order
    end
    process.until_true(function() return select(2, socks[1]:receive(1)) == "closed" end, "the first is cut off", 3)
    for i = 2, 4 do assert.equal("timeout", (select(2, socks[i]:receive(1)))) end
    for i = 1, 4 do socks[i]:close() end
  end)

  it("that is none is a complaint with its line and the nearest name", function()
    local config = process.write(process.folder() .. "/moonloom.lua", 'log = "info"\nlimits = { mesage_bytes = 1000 }\nloops = 0.5\n')
    local code, out, err = process.run { World.BIN, "check-config", config }
    assert.equal(1, code)
    local said = out .. err
    assert.truthy(said:find(":2: limits: unknown limit \"mesage_bytes\"; did you mean \"message_bytes\"?", 1, true), said)
    assert.truthy(said:find(":3: loops: not a whole number", 1, true), said)
  end)
end)
