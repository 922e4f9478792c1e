-- Who asks and what they may do, decided by plugins that have to wait for it.
local cjson = require "cjson"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local socket = require "socket"
local Collab = require "collab"
local World = require "world"

local HI = Collab.unhex "01016500040101740248 6900" -- client 101 writes "Hi"

describe("a door that waits", function()
  local world, open

  local function start(code, extra, needs)
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = ("return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', needs = { 'kv', %s }, hooks = { authenticate = {}, authorize = {} } }"):format(needs or ""),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. code .. "\nreturn P\n",
    })
    open = {}
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { door = {} }\nauth = { mode = 'plugins' }\nlog = 'info'\n%s"):format(extra or ""),
    }
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

  --- The credential, without waiting for what becomes of it.
  local function brings(it, address, token)
    it.socket:send(lib0.bytes(address) .. "\2\0" .. lib0.bytes(token))
    return it
  end

  -- Both questions go to the store, several times.
  local STORE = [[
    function P:authenticate(req)
      local token = req.token
      if not token or token == "" then return end
      ml.kv.incr("asked/" .. token)
      if token == "wrong" then return ml.deny("wrong", "No such key.", { status = 401 }) end
      if token == "broken" then error "boom" end
      ml.kv.get("somewhere")
      return { user = token, name = token, groups = { "crew" } }
    end
    function P:authorize(ask)
      local user, doc, crew = ask.identity.user, ask.doc_id, ask.identity.groups[1]
      if user == "" then return end
      ml.kv.get("rights/" .. doc)
      if doc == "closed" then return ml.deny("closed", "Not today.") end
      return ml.grant { read = true, presence = true, history = true, write = crew == "crew" and user ~= "reader" }
    end
  ]]

  describe("at the store", function()
    before_each(function() start(STORE) end)

    it("lets y-websocket in, or says why not", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna" })
      anna:types(0, "Hi"):is_acknowledged()
      assert.equal(401, world:get("/api/v1/orgs/default/docs/notes", { Authorization = "Bearer wrong" }).status)
      assert.equal(503, world:get("/api/v1/orgs/default/docs/notes", { Authorization = "Bearer broken" }).status)
      assert.equal(403, world:get("/api/v1/orgs/default/docs/closed", { Authorization = "Bearer anna" }).status)
      assert.equal(404, world:get("/api/v1/orgs/default/docs/notes").status)
      assert.equal(200, world:get("/api/v1/orgs/default/docs/notes", { Authorization = "Bearer anna" }).status)
      local session = world:get("/auth/session", { Authorization = "Bearer anna" })
      assert.equal(200, session.status)
      assert.equal("anna", cjson.decode(session.body).user.id)
    end)

    it("takes the body of a request after the answer, and asks again about a template", function()
      local headers = { Authorization = "Bearer anna", ["Content-Type"] = "application/json" }
      local function post(value) return http.request(world.port, "POST", "/api/v1/orgs/default/docs", headers, cjson.encode(value)).status end
      assert.equal(201, post { name = "one", content = "First" })
      assert.equal(201, post { name = "two", template = "one" })
      assert.equal(403, post { name = "three", template = "closed" })
      assert.equal(403, post { name = "closed", template = "one" })
      local client = world:client "anna":joins("two", { query = "token=anna" })
      client:sees "First"
    end)

    it("keeps what Hocuspocus sends meanwhile, and goes on with it in order", function()
      local anna = collab()
      brings(anna, "notes", "anna"):sends("notes", 0, 0, "\0"):sends("notes", 0, 2, HI)
      assert.equal("02020a726561642d7772697465", anna:awaits("notes", "0202"))
      assert.equal("0801", anna:awaits("notes", "08"))
      brings(anna, "closed", "anna"):sends("closed", 0, 2, HI)
      anna:awaits("closed", "0201")
      brings(anna, "notes", "wrong") -- a credential for a seat that is open: asked, then taken away
      anna:awaits("notes", "07")
      assert.equal("1", world:sql("SELECT count(*) FROM records")[1])
    end)

    it("does not mind clients that are gone before the answer", function()
      for i = 1, 40 do
        local sock = socket.tcp()
        assert(sock:connect("127.0.0.1", world.port))
        sock:send(("GET /api/v1/orgs/default/docs/notes HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer gone%d\r\n\r\n"):format(i))
        sock:close()
        local it = collab()
        brings(it, "notes", "gone")
        it:drop()
      end
      world:client "anna":joins("notes", { query = "token=anna" }):types(0, "Hi"):is_acknowledged()
    end)
  end)

  -- Somebody who takes the request and never answers.
  local function silence()
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    return port, server
  end

  it("that never opens is a refusal that can be tried again, after five seconds, and keeps nobody else out", function()
    local port, server = silence()
    start(([[
      function P:authenticate(req)
        local token = req.token
        if token == "stuck" then
          -- pcall does not keep it alive: every later wait raises, too.
          local _, first, why = pcall(ml.http.get, "http://127.0.0.1:%s/", { timeout = 60 })
          ml.log.info("first=" .. tostring(first) .. tostring(why))
          ml.http.get("http://127.0.0.1:%s/", { timeout = 60 })
        end
        return { user = token or "nobody" }
      end
      function P:authorize() return ml.grant { read = true, write = true } end
    ]]):format(port, port), "outgoing = { '127.0.0.0/8' }", "http = { '127.0.0.1' }")
    local before = socket.gettime()
    local stuck = collab()
    brings(stuck, "notes", "stuck"):sends("notes", 0, 2, HI)
    local slow = socket.tcp()
    assert(slow:connect("127.0.0.1", world.port))
    slow:send "GET /api/v1/orgs/default/docs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer stuck\r\n\r\n"
    world:client "anna":joins("notes", { query = "token=anna" }):types(0, "x"):is_acknowledged()
    slow:settimeout(60)
    local line = assert(slow:receive "*l")
    assert.truthy(line:find(" 503 ", 1, true), line)
    assert.truthy(socket.gettime() - before > 4)
    stuck:is_closed(60)
    assert.equal("1", world:sql("SELECT count(*) FROM records")[1]) -- what was held is gone with it
    slow:close()
    server:close()
  end)

  it("that gives a role of the server's gives what that role may, in C", function()
    start [[
      function P:authenticate(req) return { user = req.token or "nobody" } end
      function P:authorize(ask) return ml.grant { role = ask.identity.user } end
    ]]
    local editor = world:client "editor":joins("notes", { query = "token=editor" }):types(0, "abc"):is_acknowledged()
    for _, role in ipairs { "commenter", "suggester" } do
      local it = world:client(role):joins("notes", { query = "token=" .. role }):sees "abc"
      it:types(0, "no")
      world:wait(function() return it.text:string() == "abc" end, role .. ": what is not proposed is undone")
    end
    assert.equal("abc", editor.text:string())
  end)

  describe("before anybody asks who it is", function()
    before_each(function()
      local folder = process.folder()
      World.plugin(folder, "front", {
        ["plugin.lua"] = [[return { name = 'front', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'edge', needs = { 'kv' }, tier = 'operator',
          hooks = { upgrade = {}, resolve_org = {}, authenticate = {}, authorize = {}, connected = {}, disconnected = {} } }]],
        ["init.lua"] = [[
          local ml = require 'moonloom'
          local P = {}
          function P:upgrade(req)
            local agent, socket = req.headers["x-agent"], req.is_websocket
            if not socket then error "not a socket" end
            ml.kv.get("bans")
            if agent == "bad" then return ml.deny("banned", "Not with this program.", { status = 451 }) end
            if agent == "boom" then error "boom" end
            if agent == "odd" then return 7 end
          end
          function P:resolve_org(req)
            local org = req.headers["x-org"]
            if org == "boom" then error "boom" end
            if org == "odd" then return 7 end
            return org
          end
          function P:authenticate(req)
            if req.token then return { user = req.token, roles = { "crew" }, groups = { "deck" } } end
          end
          function P:authorize() return ml.grant { read = true, write = true } end
          function P:connected(session)
            local id = session.identity
            ml.log.info(("connected=%s,%s,%s,%s,%s,%s"):format(id.user, id.roles[1], id.groups[1], session.ip, session.client.dialect, tostring(session.id ~= nil)))
            ml.kv.get("welcome")
            if id.user == "fails" then error "in connected" end
            local ok = pcall(function() return session.nonsense end)
            ml.log.info("waited=" .. id.user .. "," .. tostring(ok))
          end
          function P:disconnected(session)
            local c = session.closed
            ml.kv.get("goodbye")
            ml.log.info(("disconnected=%s,%d,%s,%s,%s"):format(session.identity.user, c.code, tostring(c.bytes_in > 0), tostring(c.bytes_out > 0), tostring(c.seconds >= 0)))
          end
          return P
        ]],
      })
      open = {}
      world = World.new { args = { "--plugins", folder }, config = "plugins = { front = {} }\nauth = { mode = 'plugins' }\nlog = 'info'" }
    end)

    local function log()
      return (process.read(world.log):gsub("\\x(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
    end
    local function logged(text)
      world:wait(function() return log():find(text, 1, true) end, "the log: " .. text)
    end
    local function status_of(path, agent, org)
      local head = { "GET " .. path .. " HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X-Agent: " .. (agent or "good"), org and "X-Org: " .. org or "X-None: 1" }
      local sock = socket.tcp()
      sock:settimeout(30)
      assert(sock:connect("127.0.0.1", world.port))
      sock:send(table.concat(head, "\r\n") .. "\r\n\r\n")
      local line = assert(sock:receive "*l")
      sock:close()
      return tonumber(line:match "^HTTP/1.1 (%d+)")
    end

    it("somebody may refuse the connection, at both doors, and only connections", function()
      for _, path in ipairs { "/sync/default/notes?token=anna", "/collab/default" } do
        assert.equal(101, status_of(path))
        assert.equal(451, status_of(path, "bad"))
        assert.equal(503, status_of(path, "boom"))
      end
      assert.equal(503, status_of("/collab/default", "odd"))
      assert.equal(200, world:get("/api/v1/orgs/default/docs", { Authorization = "Bearer anna" }).status)
    end)

    it("somebody may say which org it is; what is no org is a failure", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna", headers = { ["X-Org"] = "acme" } })
      anna:types(0, "of acme"):is_acknowledged()
      assert.same({ "acme" }, world:sql "SELECT DISTINCT org FROM records")
      local headers = { Authorization = "Bearer anna", ["X-Org"] = "acme" }
      assert.equal(200, world:get("/api/v1/orgs/default/docs/notes", headers).status)
      headers["X-Org"] = nil
      assert.equal(404, world:get("/api/v1/orgs/default/docs/notes", headers).status)
      headers["X-Org"] = "No Org"
      assert.equal(503, world:get("/api/v1/orgs/default/docs/notes", headers).status)
      assert.equal(503, status_of("/sync/default/notes?token=anna", nil, "boom"))
      assert.equal(503, status_of("/collab/default", nil, "odd"))
    end)

    it("connections are told of when it is known who it is, and when they end", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna" })
      anna:types(0, "x"):is_acknowledged()
      logged "connected=anna,crew,deck,127.0.0.1,y-websocket,true"
      logged "waited=anna,false"
      anna:leaves()
      logged "disconnected=anna,1006,true,true,true"
      local ben = collab()
      ben:joins("notes", "ben")
      logged "connected=ben,crew,deck,127.0.0.1,hocuspocus,true"
      ben:joins("other", "ben")
      local failing = collab()
      failing:joins("notes", "fails") -- a failure is nobody's business
      ben:drop()
      failing:drop()
      logged "disconnected=ben,1006,true,true,true"
      logged "disconnected=fails,1006,true,true,true"
      local _, count = log():gsub("connected=ben", "")
      assert.equal(2, count) -- once each
      collab() -- nobody yet: not told
      assert.falsy(log():find("connected=,", 1, true))
    end)
  end)
end)
