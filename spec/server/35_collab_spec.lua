-- Hocuspocus, byte by byte: many documents on one socket, each with its own credential, its own acknowledgements, its own end.
local socket = require "socket"
local signal = require "posix.signal"
local lib0 = require "lib0"
local process = require "process"
local Collab = require "collab"
local World = require "world"

-- Client 101 writes "Hi", then "!" behind it; client 202 shows a name.
local HI = Collab.unhex "01016500040101740248 6900"
local MORE = Collab.unhex "01016502846501012100"
local function presence(id, clock, json)
  return "\1" .. lib0.uint(id) .. lib0.uint(clock) .. lib0.bytes(json)
end

describe("Hocuspocus", function()
  local world, open

  local function start(options)
    world = World.new(options)
    open = {}
  end
  local function collab(options)
    local it = assert(Collab.open(world, options))
    open[#open + 1] = it
    return it
  end
  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
  end)
  teardown(process.clean)

  local DOOR = [[
    function P:authenticate(req)
      if req.token == "" or not req.token then return end
      if req.token == "wrong" then return ml.deny("wrong", "No such key.") end
      if req.token == "broken" then error "boom" end
      return { user = req.token, name = req.token, expires_at = req.token == "brief" and math.floor(ml.time.now()) + 3 or nil }
    end
    function P:authorize(ask)
      local user = ask.identity.user
      if ask.action ~= "doc.open" or user == "" then return end
      if ask.doc_id:find "closed$" then return ml.deny("closed", "Not today.") end
      if user == "mayfly" then return ml.grant { read = true, write = true, presence = true, ttl = 2 } end
      return ml.grant { read = true, presence = true, write = user:sub(1, 6) ~= "reader" }
    end
  ]]

  --- A server where a plugin keeps the door.
  local function start_guarded(limits, code)
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {}, authorize = {} } }",
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. (code or DOOR) .. "\nreturn P\n",
    })
    start {
      args = { "--plugins", folder },
      config = ("plugins = { door = {} }\nauth = { mode = 'plugins' }\nlimits = { %s }"):format(limits or ""),
    }
  end

  describe("one document", function()
    before_each(function() start() end)

    it("opens as in a recorded session, and only its Step1 stands before the answer", function()
      local anna = collab()
      anna:says "05 6e6f746573 02 00 02 7441 05 342e382e30" -- Auth Token "tA", version 4.8.0
      anna:says "05 6e6f746573 00 00 03 016502"             -- Step1 {101: 2}
      anna:says "05 6e6f746573 01 06 01650002 7b7d"         -- awareness at clock 0
      assert.equal("02020a726561642d7772697465", anna:next "notes")
      assert.equal("00000100", anna:next "notes")
      assert.equal("0001020000", anna:next "notes")
      anna:sends("notes", 0, 2, HI):sends("notes", 0, 1, HI)
      assert.equal("0801", anna:next "notes")
      assert.equal("0801", anna:next "notes")
      anna:catches_up()
      assert.same({}, anna:rest "notes") -- no echo: the status is the acknowledgement
    end)

    it("answers every Step2 and Update with exactly one status, a repeat and an empty one too", function()
      local anna = collab():joins "notes"
      for _ = 1, 25 do anna:sends("notes", 0, 2, HI):sends("notes", 0, 1, "\0\0") end
      anna:sends("notes", 0, 0, "\0"):sends("notes", 1, nil, presence(101, 1, "{}"))
      for _ = 1, 50 do anna:awaits("notes", "0801") end
      anna:catches_up()
      for _, message in ipairs(anna:rest "notes") do assert.not_equal("08", message:sub(1, 2)) end
    end)

    it("says 1 only after the commit", function()
      local anna = collab():joins "notes"
      local other = world:locks_store()
      anna:sends("notes", 0, 2, HI)
      anna:catches_up()
      socket.sleep(0.2) -- what must not come has no event
      assert.same({}, anna:rest "notes")
      other:release()
      assert.equal("0801", anna:next "notes")
      assert.equal("1", world:sql("SELECT count(*) FROM records")[1])
    end)

    it("says 0 to what cannot be read, and goes on", function()
      local anna = collab():joins "notes"
      anna:sends("notes", 0, 2, "\1\1\1")
      assert.equal("0800", anna:next "notes")
      anna:sends("notes", 0, 2, HI)
      assert.equal("0801", anna:next "notes")
    end)

    it("acknowledges what waits for something else, and asks for it", function()
      local anna = collab():joins "notes"
      anna:sends("notes", 0, 2, MORE)
      assert.equal("00000100", anna:next "notes")
      assert.equal("0801", anna:next "notes")
      local ben = collab():joins "notes"
      anna:sends("notes", 0, 1, HI)
      assert.equal("0801", anna:awaits("notes", "08"))
      ben:awaits("notes", "0002")
      local late = world:client "late":joins "notes"
      assert.equal("Hi!", late.text:string())
    end)

    it("tells the others, not the sender; a commit of several once more to each who wrote a part", function()
      local anna, ben = collab():joins "notes", collab():joins "notes"
      anna:sends("notes", 0, 2, HI)
      assert.equal("0801", anna:next "notes")
      assert.equal("00020c" .. Collab.hex(HI), ben:next "notes")
      ben:sends("notes", 0, 2, HI) -- nothing new: told to nobody
      assert.equal("0801", ben:next "notes")
      anna:catches_up()
      assert.same({}, anna:rest "notes")
    end)

    it("shows cursors to the others, at once to who comes later, and takes them away", function()
      local anna, ben = collab():joins "notes", collab():joins "notes"
      anna:sends("notes", 1, nil, presence(101, 0, "{}")) -- clock 0: news to nobody
      anna:sends("notes", 1, nil, presence(101, 1, '{"u":1}'))
      local shown = "01" .. Collab.hex(lib0.bytes(presence(101, 1, '{"u":1}')))
      assert.equal(shown, ben:next "notes")
      anna:catches_up()
      assert.same({}, anna:rest "notes")
      ben:sends("notes", 1, nil, presence(101, 1, '{"u":1}')) -- an echo: told to nobody
      ben:sends("notes", 3)
      assert.equal(shown, ben:next "notes") -- a query is answered
      local late = collab()
      assert.equal("read-write", late:token "notes")
      assert.equal(shown, late:next "notes")
      anna:drop()
      assert.equal("01" .. Collab.hex(lib0.bytes(presence(101, 1, "null"))), ben:next "notes")
      assert.equal("01" .. Collab.hex(lib0.bytes(presence(101, 1, "null"))), late:next "notes")
    end)

    it("needs no token where nobody does: provider 2 without one sends none", function()
      local anna = collab():sends("notes", 0, 0, "\0")
      assert.equal("00000100", anna:next "notes") -- no Authenticated: there was nothing to answer
      assert.equal("0001020000", anna:next "notes")
    end)

    it("is the same document as at /sync", function()
      world.ids = 500 -- 101 is taken by the bytes above
      local ben = world:client "ben":joins "notes"
      ben:types(0, "from ben "):is_acknowledged()
      local anna = collab():joins "notes"
      anna:sends("notes", 0, 2, HI)
      world:wait(function() return ben.text:string():find "Hi" end, "ben sees it")
      ben:types(0, "x"):is_acknowledged()
      anna:awaits("notes", "0002")
      ben:shows { name = "Ben" }
      anna:awaits("notes", "01")
    end)

    it("takes a SyncReply for a Sync, and answers with Sync", function()
      local anna = collab()
      anna:token "notes"
      anna:sends("notes", 4, 0, "\0")
      assert.equal("00000100", anna:next "notes")
      anna:awaits("notes", "0001")
      anna:sends("notes", 4, 2, HI)
      assert.equal("0801", anna:next "notes")
    end)

    it("closes with 1001 when the server stops, a socket without a document too", function()
      local anna, nobody, past = collab():joins "notes", collab(), collab():joins "notes"
      past:says "05 6e6f746573 07"
      past:awaits("notes", "07")
      world.server:signal(signal.SIGTERM)
      for _, it in ipairs { anna, nobody, past } do assert.equal(1001, (it:is_closed(3))) end
      world:ends(5)
    end)
  end)

  describe("many documents", function()
    before_each(function() start() end)

    it("are independent: own sync, own end, and back again", function()
      local anna = collab():joins "one":joins "two/with/slashes":joins "drei ü"
      local ben = collab():joins "one":joins "two/with/slashes"
      anna:sends("one", 0, 2, HI)
      anna:awaits("one", "0801")
      ben:awaits("one", "0002")
      assert.same({}, ben:rest "two/with/slashes")
      anna:says "03 6f6e65 07"
      assert.equal("07" .. Collab.hex(lib0.bytes "provider_initiated"), anna:next "one")
      ben:sends("one", 0, 2, MORE)
      ben:awaits("one", "0801")
      anna:sends("two/with/slashes", 0, 2, HI)
      assert.equal("0801", anna:next "two/with/slashes")
      assert.same({}, anna:rest "one")
      anna:joins "one"
      anna:sends("one", 0, 2, "\0\0")
      anna:awaits("one", "0801")
    end)

    it("have sessions: the same one twice on a socket, each with its whole address", function()
      local anna = collab():joins "q\0s1":joins "q\0s2"
      local ben = collab():joins "q"
      anna:sends("q\0s1", 0, 2, HI)
      assert.equal("0801", anna:next "q\0s1")
      assert.equal("00020c" .. Collab.hex(HI), anna:next "q\0s2")
      assert.equal("00020c" .. Collab.hex(HI), ben:next "q")
      anna:sends("q\0s2", 1, nil, presence(7, 1, "{}"))
      assert.equal("01", anna:next("q\0s1"):sub(1, 2))
      ben:awaits("q", "01")
      anna:catches_up()
      assert.same({}, anna:rest "q\0s2")
      assert.equal("1", world:sql("SELECT count(*) FROM documents")[1])
      anna:says "04 71007331 07"
      assert.equal("07", anna:next("q\0s1"):sub(1, 2))
      ben:sends("q", 0, 2, MORE)
      assert.equal("0002", anna:next("q\0s2"):sub(1, 4))
    end)

    it("are a thousand at most on one socket", function()
      local anna = collab()
      for i = 1, 1001 do anna.socket:send(lib0.bytes("d" .. i) .. "\2\0\0") end
      assert.equal("0202", anna:next("d1000"):sub(1, 4))
      assert.equal("0201", anna:next("d1001"):sub(1, 4))
      anna:says "02 6431 07"
      anna:awaits("d1", "07")
      assert.equal("read-write", anna:token "d1001")
    end)
  end)

  describe("what is not in order", function()
    before_each(function() start() end)

    it("is ignored if nobody knows it, and ends the document if it is an offence", function()
      local anna = collab():joins "d"
      anna:says "01 64 2a 01 02 03" -- a type that nobody knows
      anna:says "0a"                -- a Pong
      anna:says "01 64 05 05 70696e6731" -- an application message that no plugin wants
      anna:catches_up()
      assert.same({}, anna:rest "d")
      anna:says "01 64 00 09 00"
      assert.equal("07" .. Collab.hex(lib0.bytes "Reset Connection"), anna:next "d")
      anna:joins "d" -- the same socket, anew
      anna:says "01 64 06 04 6576696c"
      assert.equal("07" .. Collab.hex(lib0.bytes "Reset Connection"), anna:next "d")
    end)

    it("closes the socket if it cannot be read", function()
      for _, broken in ipairs { "c801 02", "", "0164", "01 64 00 00 7f" } do
        local anna = collab():joins "d"
        anna:says(broken)
        assert.equal(4401, (anna:is_closed()))
      end
      local anna = collab()
      anna.socket:send("{}", { opcode = 1 })
      local code, reason = anna:is_closed()
      assert.equal(4401, code)
      assert.equal("Unauthorized", reason)
    end)

    it("is a name that no document can have: refused in its place", function()
      local anna = collab()
      anna:says "00 02 00 01 78"
      assert.equal("0201" .. Collab.hex(lib0.bytes "permission-denied"), anna:next "")
      for _, name in ipairs { ("n"):rep(513), "a\1b", ".." } do
        local scope, why = anna:token(name)
        assert.is_nil(scope)
        assert.equal("permission-denied", why)
      end
      anna:sends("a\1b", 0, 2, HI)
      assert.equal("0800", anna:next "a\1b")
      assert.equal("read-write", anna:token(("n"):rep(512)))
    end)

    it("never ends the process, whatever type comes in whatever state", function()
      for _, prepare in ipairs {
        function() end,
        function(it) it:joins "d" end,
        function(it) it:joins "d" it:says "01 64 00 09 00" end,
      } do
        for kind = 0, 255 do
          local anna = collab()
          prepare(anna)
          for _, tail in ipairs { "", "\0", "\0\1\0", "\1\5hello", "\2\2\0\0" } do
            anna.socket:send("\1d" .. lib0.uint(kind) .. tail)
          end
          anna:drop()
        end
      end
      collab():joins "d"
    end)

    it("is answered at the door if it is no WebSocket, no org, or another site's page", function()
      assert.equal(426, world:get("/collab/default").status)
      for _, path in ipairs { "/collab/", "/collab/NO", "/collab/a/b", "/collab/%64efault" } do
        local it, status = Collab.open(world, { path = path })
        assert.is_nil(it)
        assert.equal(404, status)
      end
      local it, status = Collab.open(world, { headers = { Origin = "https://evil.example" } })
      assert.is_nil(it)
      assert.equal(403, status)
      collab({ path = "/collab/default///?x=1" }):joins "d"
    end)

    it("is another org: nobody has an opinion about it, so there is nothing", function()
      local scope, why = collab({ org = "acme" }):token "notes"
      assert.is_nil(scope)
      assert.equal("permission-denied", why)
      assert.equal("0", world:sql("SELECT count(*) FROM documents")[1])
    end)
  end)

  describe("a credential", function()
    it("opens, refuses, and may be tried again on the same socket", function()
      start_guarded()
      local anna = collab()
      local scope, why = anna:token("notes", "wrong")
      assert.is_nil(scope)
      assert.equal("No such key.", why)
      scope, why = anna:token("notes", "")
      assert.is_nil(scope)
      assert.equal("permission-denied", why)
      assert.equal("read-write", anna:token("notes", "anna"))
      assert.equal("readonly", anna:token("two", "reader"))
      scope, why = anna:token("closed", "anna")
      assert.is_nil(scope)
      assert.equal("Not today.", why)
      anna:sends("notes", 0, 2, HI)
      assert.equal("0801", anna:next "notes")
    end)

    it("may come in the address of the socket as well", function()
      start_guarded()
      assert.equal("read-write", collab({ query = "token=anna" }):token "notes")
      assert.equal("readonly", collab({ query = "token=anna" }):token("notes", "reader"))
      assert.equal("read-write", collab({ headers = { Authorization = "Bearer anna" } }):token "notes")
    end)

    it("is waited for: what came before it is taken in order", function()
      start_guarded()
      local anna = collab()
      anna:sends("notes", 0, 0, "\0"):sends("notes", 0, 2, HI):sends("notes", 0, 2, MORE)
      anna:catches_up()
      assert.same({}, anna:rest "notes")
      assert.equal("read-write", anna:token("notes", "anna"))
      anna:awaits("notes", "0001")
      assert.equal("0801", anna:awaits("notes", "08"))
      assert.equal("0801", anna:awaits("notes", "08"))
    end)

    it("that failed throws away what waited for it", function()
      start_guarded()
      local anna = collab()
      anna:sends("notes", 0, 2, HI)
      anna:token("notes", "wrong")
      anna:joins("notes", "anna")
      anna:catches_up()
      assert.same({}, anna:rest "notes")
    end)

    it("of a reader: its Step2 is compared, its Update is not taken, its cursor is shown", function()
      start_guarded()
      local anna = collab():joins("notes", "anna")
      local rita = collab():joins("notes", "reader")
      anna:sends("notes", 0, 2, HI)
      anna:awaits("notes", "0801")
      rita:awaits("notes", "0002")
      rita:sends("notes", 0, 1, "\0\0"):sends("notes", 0, 1, HI)
      assert.equal("0801", rita:next "notes")
      assert.equal("0801", rita:next "notes")
      rita:sends("notes", 0, 1, MORE):sends("notes", 0, 2, MORE):sends("notes", 0, 2, HI)
      assert.equal("0800", rita:next "notes")
      assert.equal("0800", rita:next "notes")
      assert.equal("0800", rita:next "notes") -- also what is known: it is an Update
      rita:sends("notes", 1, nil, presence(9, 1, "{}"))
      anna:awaits("notes", "01")
      assert.equal("1", world:sql("SELECT count(*) FROM records")[1])
    end)

    it("may be shown anew: a good one is no news, a bad one ends the document, the last one the socket", function()
      start_guarded()
      local anna = collab():joins("notes", "anna"):joins("two", "anna")
      anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "anna")
      anna:catches_up()
      assert.same({}, anna:rest "notes")
      anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "wrong")
      assert.equal("07" .. Collab.hex(lib0.bytes "No such key."), anna:next "notes")
      anna:sends("two", 0, 2, HI)
      assert.equal("0801", anna:next "two")
      anna.socket:send(lib0.bytes "two" .. "\2\0" .. lib0.bytes "reader") -- somebody else
      assert.equal("07", anna:next("two"):sub(1, 2))
      assert.equal(4403, (anna:is_closed()))
    end)

    it("whose document is over is told once more by the socket, if its client goes on writing", function()
      start_guarded()
      local anna = collab():joins("notes", "anna"):joins("two", "anna")
      anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "wrong")
      anna:awaits("notes", "07")
      anna:sends("notes", 1, nil, presence(9, 1, "{}"))
      anna:catches_up()
      anna:sends("notes", 0, 2, HI)
      assert.equal(4403, (anna:is_closed()))
    end)

    it("that runs out is asked for in time, and is good for as long again", function()
      start_guarded()
      local anna = collab():joins("notes", "brief")
      for _ = 1, 3 do
        assert.equal("0200", anna:next("notes", 5))
        anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "brief")
      end
      assert.equal("0200", anna:next("notes", 5))
      assert.equal(4401, (anna:is_closed(8))) -- nobody answers
    end)

    it("whose rights run out is not asked for: the rights are, and the client hears nothing", function()
      start_guarded()
      local anna = collab():joins("notes", "mayfly")
      anna:catches_up()
      anna:rest "notes"
      local till = socket.gettime() + 5
      while socket.gettime() < till do anna:catches_up() end
      assert.same({}, anna:rest "notes")
      anna:sends("notes", 0, 2, HI)
      assert.equal("0801", anna:next "notes")
    end)

    it("that a plugin cannot judge now is a matter for later", function()
      start_guarded()
      local anna = collab()
      anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "broken")
      local code, reason = anna:is_closed()
      assert.equal(1013, code)
      assert.equal("policy_unavailable", reason)
      local ben = collab():joins("two", "ben")
      local _, why = ben:token("notes", "broken")
      assert.equal("policy_unavailable", why)
      ben:sends("two", 0, 2, HI)
      assert.equal("0801", ben:next "two")
    end)

    it("is not tried for ever on one socket", function()
      start_guarded()
      local anna = collab()
      for _ = 1, 101 do anna.socket:send(lib0.bytes "notes" .. "\2\0" .. lib0.bytes "wrong") end
      assert.equal(4205, (anna:is_closed()))
    end)
  end)

  describe("before a credential", function()
    it("a thousand messages may wait, and not one more", function()
      start_guarded "updates_burst = 5000"
      local anna, ben = collab(), collab()
      for _ = 1, 1000 do
        anna:sends("notes", 0, 2, HI)
        ben:sends("notes", 0, 2, HI)
      end
      assert.equal("read-write", anna:token("notes", "anna"))
      for _ = 1, 1000 do assert.equal("0801", anna:next "notes") end
      local before = socket.gettime()
      ben:sends("notes", 0, 2, HI)
      local code, reason = ben:is_closed()
      assert.equal(4205, code)
      assert.equal("Reset Connection", reason)
      assert.is_true(socket.gettime() - before > 1) -- provider 2 comes back at once
    end)

    it("a mebibyte may wait in all, and no byte more", function()
      start_guarded "held_bytes = 1000"
      local function filler(bytes) -- a whole message of so many bytes
        return Collab.message("d", 1, nil, ("x"):rep(bytes - 5))
      end
      local anna = collab()
      assert.equal(500, #filler(500))
      anna.socket:send(filler(500))
      anna.socket:send(filler(500))
      anna:catches_up()
      assert.is_nil(anna.socket.closed)
      anna:says "01 64 03"
      assert.equal(4205, (anna:is_closed()))
      local ben = collab()
      ben.socket:send(("x"):rep(1001))
      assert.equal(1009, (ben:is_closed()))
    end)

    it("a hundred documents may wait, and not one more", function()
      start_guarded()
      local anna = collab()
      for i = 1, 100 do anna:sends("d" .. i, 0, 0, "\0") end
      anna:catches_up()
      assert.equal("read-write", anna:token("d1", "anna"))
      anna:sends("d101", 0, 0, "\0"):catches_up()
      assert.is_nil(anna.socket.closed)
      anna:sends("d102", 0, 0, "\0")
      assert.equal(4205, (anna:is_closed()))
    end)

    it("nobody stays for long, and talking does not help", function()
      start_guarded "auth_ms = 1500"
      local silent, chatty, member = collab(), collab(), collab()
      member:joins("notes", "anna")
      local began = socket.gettime()
      while not chatty.socket.closed and socket.gettime() - began < 6 do
        chatty:sends("d", 1, nil, "\0"):says "09"
        chatty:pump()
        socket.sleep(0.1)
      end
      local took = socket.gettime() - began
      assert.is_true(took > 1 and took < 4, took)
      local code, reason = chatty:is_closed()
      assert.equal(4408, code)
      assert.equal("Connection Timeout", reason)
      assert.equal(4408, (silent:is_closed()))
      -- On a socket where somebody is known only that document is refused.
      member:sends("other", 0, 0, "\0")
      assert.equal("0201", member:next("other", 5):sub(1, 4))
      member:sends("notes", 0, 2, HI)
      assert.equal("0801", member:next "notes")
    end)

    it("all sockets share one pool: the oldest gives way, members are not touched", function()
      start_guarded "held_pool_bytes = 100000, held_bytes = 50000"
      local member = collab():joins("notes", "anna")
      local strangers = {}
      for i = 1, 3 do
        strangers[i] = collab()
        strangers[i].socket:send(Collab.message("d", 1, nil, ("x"):rep(40000)))
        strangers[i]:catches_up()
      end
      assert.equal(4205, (strangers[1]:is_closed()))
      strangers[3]:catches_up()
      strangers[2]:catches_up()
      assert.is_nil(strangers[2].socket.closed)
      assert.is_nil(strangers[3].socket.closed)
      member:sends("notes", 0, 2, HI)
      assert.equal("0801", member:next "notes")
    end)

    it("no document comes into being", function()
      start_guarded()
      local anna = collab()
      for i = 1, 50 do anna:sends("d" .. i, 0, 2, HI) end
      anna:catches_up()
      assert.equal("0", world:sql("SELECT count(*) FROM documents")[1])
      assert.falsy(process.read(world.log):find("room.loaded", 1, true))
    end)
  end)

  describe("a silent socket", function()
    it("hears something of one of its documents, or of none; a stranger does not", function()
      start_guarded "keepalive_ms = 300"
      local anna, stranger = collab(), collab()
      anna:joins("notes", "anna")
      assert.equal("010100", anna:next("notes", 5))
      assert.equal("010100", anna:next("notes", 5))
      anna:says "05 6e6f746573 07"
      anna:awaits("notes", "07")
      assert.equal("010100", anna:next("", 5))
      stranger:pump()
      assert.same({}, stranger.all)
    end)
  end)

  describe("a policy that refuses an edit", function()
    before_each(function()
      local folder = process.folder()
      World.plugin(folder, "no-secrets", {
        ["plugin.lua"] = "return { name = 'no-secrets', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'policy', hooks = { before_update = {} } }",
        ["init.lua"] = [[
          local ml = require "moonloom"
          local P = {}
          function P:before_update(u)
            if u.inserted_bytes > 100 then return ml.deny("fenced", "Enough.", { mode = "fence" }) end
            if u.inserted_bytes > 1 then return ml.deny("long", 'Less "please".') end
          end
          return P
        ]],
      })
      start { args = { "--plugins", folder }, config = "plugins = { ['no-secrets'] = {} }" }
    end)

    it("is acknowledged, undone for its author too, and explained", function()
      local anna, ben = collab():joins "notes", collab():joins "notes"
      anna:sends("notes", 0, 2, HI)
      local notice = Collab.unhex(anna:next "notes")
      assert.equal("\5", notice:sub(1, 1))
      local said = require("cjson").decode(lib0.reader(notice:sub(2)):bytes())
      assert.same({ kind = "refused", update = 1, code = "no-secrets.long", reason = 'Less "please".', mode = "undo", paths = {} }, said)
      local seen = {}
      for _ = 1, 2 do seen[anna:next("notes"):sub(1, 4)] = true end
      assert.same({ ["0002"] = true, ["0801"] = true }, seen)
      assert.falsy(ben:awaits("notes", "0002"):find(Collab.hex "Hi", 1, true))
    end)

    it("may fence: 0, and nothing of it anywhere", function()
      local anna = collab():joins "notes"
      local long = Collab.unhex "0101650004010174 c801" .. ("s"):rep(200) .. "\0"
      anna:sends("notes", 0, 2, long)
      assert.equal("05", anna:next("notes"):sub(1, 2))
      assert.equal("0800", anna:next "notes")
      anna:sends("notes", 0, 2, Collab.unhex "01016600040101740178 00")
      assert.equal("0800", anna:next "notes")
      assert.equal("0", world:sql("SELECT count(*) FROM records")[1])
    end)
  end)
end)
