-- Rights that change while somebody is connected (SEC-WS-05, SEC-WS-06).
local cjson = require "cjson"
local Collab = require "collab"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local World = require "world"

local HI = Collab.unhex "010165000401017402486900"       -- client 101: "Hi" in "t"
local MORE = Collab.unhex "01016502846501012100"         -- and "!" behind it
local LATER = Collab.unhex "01016503846502013f00"        -- and "?"

--- Everybody may do what `mode` says of them; `door.mode` sets it.
local DOOR = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  function P:authenticate(req)
    if not req.token or req.token == "" then return end
    if req.token == "wrong" then return ml.deny("wrong", "No such key.") end
    local user, life = req.token:match "^(%a+):?(%d*)$"
    return { user = user, name = user, expires_at = life ~= "" and math.floor(ml.time.now()) + tonumber(life) or nil }
  end
  function P:authorize(ask)
    if ask.action:sub(1, 4) == "rpc." then return ml.grant { read = true, write = true } end
    if ask.identity.user == "root" then return ml.grant { read = true, write = true } end
    if ask.action ~= "doc.open" then return end
    local mode = ml.cache.get(ask.identity.user) or "write"
    if mode == "slow" then
      for _ = 1, 5000 do ml.time.now() end
      mode = "read"
    end
    if mode == "broken" then error "boom" end
    if mode == "none" then return ml.deny("gone", "Not any more.") end
    return ml.grant { read = true, presence = true, write = mode == "write", ttl = ml.cache.get "ttl" }
  end
  P.rpc["door.mode"] = function(self, call)
    ml.cache.set(call.args.user, call.args.mode, "1h")
    return true
  end
  P.rpc["door.sessions"] = function(self, call)
    local filter = ml.json.decode(call.args.filter)
    return { result = { ml.sessions[call.args.what](filter) } }
  end
  return P
]]

describe("rights", function()
  local world, open

  local function start(options)
    options = options or {}
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', needs = { "cache", "sessions" },
        hooks = { authenticate = {}, authorize = {},
          rpc = { ["door.mode"] = { args = { { "user", type = "string", required = true }, { "mode", type = "string", required = true } } },
            ["door.sessions"] = { args = { { "what", type = "string", required = true }, { "filter", type = "string", required = true } } } } } }]],
      ["init.lua"] = DOOR,
    })
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { door = {} }\nauth = { mode = 'plugins' }\nloops = %d\nlimits = { %s }"):format(options.loops or 1, options.limits or ""),
    }
    open = {}
  end

  local function call(name, args)
    local headers = { Authorization = "Bearer root", ["Content-Type"] = "application/json" }
    local answer = http.request(world.port, "POST", "/api/v1/orgs/default/rpc/door." .. name, headers, cjson.encode(args))
    assert.equal(200, answer.status, answer.body)
    return cjson.decode(answer.body)
  end

  local function set(user, mode) call("mode", { user = user, mode = mode }) end

  --- What ml.sessions answers.
  local function sessions(what, filter)
    return call("sessions", { what = what, filter = next(filter) and cjson.encode(filter) or "{}" }).result[1]
  end

  local function collab()
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    return it
  end

  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
  end)
  teardown(process.clean)

  --- The newest frame of type 2: subtype and text.
  local function said(client, subtype, text)
    world:wait(function()
      for _, frame in ipairs(client.frames) do
        if frame.type == 2 and frame.subtype == subtype and (not text or frame.payload == text) then return true end
      end
    end, ("02 %02x %s"):format(subtype, text or ""), 20)
  end

  for _, loops in ipairs { 1, 2 } do
    describe(("on %d loops, "):format(loops), function()
      before_each(function()
        start { loops = loops }
        set("ttl", "2s")
      end)

      it("that are taken away and given back reach a provider, and it stays", function()
        local anna = collab():joins("notes", "anna")
        anna:sends("notes", 0, 2, HI)
        anna:awaits("notes", "0801")
        set("anna", "read")
        assert.equal("0202" .. Collab.hex(lib0.bytes "readonly"), anna:awaits("notes", "02", 20))
        anna:sends("notes", 0, 2, MORE)
        assert.equal("0800", anna:awaits("notes", "08"))
        set("anna", "write")
        assert.equal("0202" .. Collab.hex(lib0.bytes "read-write"), anna:awaits("notes", "02", 20))
        anna:sends("notes", 0, 2, MORE):sends("notes", 0, 2, LATER)
        assert.equal("0801", anna:awaits("notes", "08"))
        assert.equal("0801", anna:awaits("notes", "08"))
        set("anna", "none")
        assert.equal("07" .. Collab.hex(lib0.bytes "Not any more."), anna:awaits("notes", "07", 20))
        assert.equal(4403, (anna:is_closed(20)))
      end)

      it("that are taken away and given back reach y-websocket, and it stays", function()
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        anna:types(0, "one"):is_acknowledged()
        set("anna", "read")
        said(anna, 0)
        said(anna, 2, "readonly")
        set("anna", "write")
        said(anna, 2, "read-write")
        anna:types(3, " two"):is_acknowledged()
        set("anna", "none")
        local code, reason = anna:is_closed(20)
        assert.equal(4403, code)
        assert.equal("Not any more.", reason)
      end)

      it("that are gone are not had any more: what is written then is refused aloud", function()
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        set("anna", "read")
        said(anna, 2, "readonly")
        anna:types(0, "x")
        assert.equal(4403, (anna:is_closed(20)))
      end)
    end)
  end

  for _, loops in ipairs { 1, 3 } do
    describe(("asked for by name on %d loops, "):format(loops), function()
      local clients

      before_each(function()
        start { loops = loops }
        clients = {}
        for _, doc in ipairs { "a", "b", "c", "d" } do
          clients[doc] = world:client("anna at " .. doc):joins(doc, { query = "token=anna" })
        end
        clients.ben = world:client "ben":joins("a", { query = "token=ben" })
        clients.collab = collab():joins("a", "anna"):joins("d", "ben")
      end)

      it("are listed, by user and by document", function()
        assert.equal(7, #sessions("list", {}))
        assert.equal(5, #sessions("list", { user = "anna" }))
        local list = sessions("list", { user = "ben", doc = "d" })
        assert.equal(1, #list)
        assert.equal("ben", list[1].name)
        assert.equal("d", list[1].doc)
        assert.is_true(list[1].write)
        assert.equal(1, #sessions("list", { session = list[1].session }))
        assert.equal(0, #sessions("list", { user = "nobody" }))
      end)

      it("of very many seats are asked for in slices, and every one gets its answer", function()
        set("ttl", "1h")
        local anna = collab()
        for i = 1, 60 do anna:joins("many" .. i, "anna") end
        set("anna", "slow")
        sessions("recheck", { user = "anna" })
        for i = 1, 60 do assert.equal("0202" .. Collab.hex(lib0.bytes "readonly"), anna:awaits("many" .. i, "02", 30)) end
      end)

      it("are asked for again, and nothing is taken before the answer", function()
        set("anna", "read")
        assert.equal(5, sessions("recheck", { user = "anna" }))
        for _, doc in ipairs { "a", "b", "c", "d" } do said(clients[doc], 2, "readonly") end
        assert.equal("0202" .. Collab.hex(lib0.bytes "readonly"), clients.collab:awaits("a", "02"))
        clients.ben:types(0, "still"):is_acknowledged()
        clients.collab:sends("d", 0, 2, HI)
        assert.equal("0801", clients.collab:awaits("d", "08"))
        set("anna", "write")
        assert.equal(1, sessions("recheck", { user = "anna", doc = "b" }))
        said(clients.b, 2, "read-write")
        clients.b:types(0, "again"):is_acknowledged()
        set("anna", "none")
        assert.equal(5, sessions("recheck", {}) - 2)
        for _, doc in ipairs { "a", "b", "c", "d" } do assert.equal(4403, (clients[doc]:is_closed(20))) end
      end)

      it("wait for a plugin that fails, and are lost if it goes on", function()
        set("anna", "broken")
        assert.equal(1, sessions("recheck", { user = "anna", doc = "c" }))
        clients.c:types(0, "held")
        clients.b:types(0, "not held"):is_acknowledged()
        assert.equal(0, clients.c.echoed)
        set("anna", "write")
        clients.c:is_acknowledged(20)
      end)

      it("end for a user, a session, a document", function()
        assert.equal(5, sessions("revoke", { user = "anna" }))
        for _, doc in ipairs { "a", "b", "c", "d" } do
          local code, reason = clients[doc]:is_closed(20)
          assert.equal(4403, code)
          assert.equal("removed", reason)
        end
        assert.equal("07" .. Collab.hex(lib0.bytes "removed"), clients.collab:awaits("a", "07"))
        clients.ben:types(0, "still"):is_acknowledged()
        clients.a:joins("a", { query = "token=anna" }) -- still let in
        local id = sessions("list", { user = "ben", doc = "a" })[1].session
        assert.equal(1, sessions("revoke", { session = id }))
        assert.equal(4403, (clients.ben:is_closed(20)))
        assert.equal(1, sessions("revoke", { doc = "a" }))
        assert.equal(4403, (clients.a:is_closed(20)))
      end)

      it("are told notices, those who understand them", function()
        assert.equal(2, sessions("notify", { code = "soon", data = { minutes = 5 } }))
        local text = Collab.unhex(clients.collab:awaits("d", "05"))
        local notice = cjson.decode(lib0.reader(text:sub(2)):bytes())
        assert.same({ kind = "notice", code = "soon", data = { minutes = 5 } }, notice)
      end)

      it("end through the API, wherever the session is", function()
        for _, item in ipairs(sessions("list", {})) do
          local path = ("/api/v1/orgs/default/docs/%s/sessions/%s"):format(item.doc, item.session)
          local answer = http.request(world.port, "DELETE", path, { Authorization = "Bearer root" })
          assert.equal(204, answer.status, answer.body)
        end
        for _, doc in ipairs { "a", "b", "c", "d", "ben" } do assert.equal(4403, (clients[doc]:is_closed(20))) end
        assert.equal(4403, (clients.collab:is_closed(20)))
        local answer = http.request(world.port, "DELETE", "/api/v1/orgs/default/docs/a/sessions/none", { Authorization = "Bearer root" })
        assert.equal(404, answer.status)
      end)
    end)
  end

  it("that nobody can judge hold until they end, and no longer", function()
    start()
    set("ttl", "3s")
    local anna = world:client "anna":joins("notes", { query = "token=anna" })
    set("anna", "broken")
    assert.equal(1013, (anna:is_closed(20)))
    set("anna", "write")
    anna:joins("notes", { query = "token=anna" })
    set("anna", "broken")
    set("anna", "write")
    anna:types(0, "still here"):is_acknowledged()
  end)

  describe("of a new credential", function()
    before_each(function() start() end)

    it("are asked for before the old one ends, and y-websocket can show one", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna:6" })
      said(anna, 3)
      anna:sends(2, 0, "anna:900")
      anna:types(0, "one"):is_acknowledged()
      local till = os.time() + 8
      world:wait(function() return os.time() > till or anna.socket.closed end, "the old one has ended", 20)
      anna:types(3, " two"):is_acknowledged()
    end)

    it("end the connection, if it is wrong or somebody else's", function()
      for _, token in ipairs { "wrong", "ben" } do
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        anna:sends(2, 0, token)
        assert.equal(4403, (anna:is_closed(20)))
      end
    end)

    it("end the connection, if there is none in time", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna:3" })
      said(anna, 3)
      assert.equal(4401, (anna:is_closed(20)))
    end)
  end)
end)
