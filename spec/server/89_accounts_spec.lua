-- Accounts with a password: signing in, staying signed in, signing out, and pages of other sites (docs/identity.md).
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local WebSocket = require "websocket"
local World = require "world"

describe("accounts", function()
  local world

  -- The password stands in a file: a spec has no terminal.
  local function user(password, ...)
    local argv = { World.BIN, "user", ... }
    argv[#argv + 1] = "--data"
    argv[#argv + 1] = world.data
    if not password then return process.run(argv) end
    argv[#argv + 1] = "--password-stdin"
    local file = process.write(process.folder() .. "/password", password .. "\n")
    for i, word in ipairs(argv) do argv[i] = "'" .. word .. "'" end
    return process.run { "sh", "-c", table.concat(argv, " ") .. " < '" .. file .. "'" }
  end

  -- Set-Cookie may come several times; the fields of http.lua keep one.
  local function raw(method, path, headers, body)
    local sock = assert(socket.tcp())
    sock:settimeout(30)
    assert(sock:connect("127.0.0.1", world.port))
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
    headers.Connection = "close"
    sock:send(http.text(world.port, method, path, headers, body and (type(body) == "string" and body or cjson.encode(body)) or nil))
    local all = sock:receive "*a"
    sock:close()
    local head, rest = all:match "^(.-\r\n)\r\n(.*)$"
    local answer = { status = tonumber(head:match "^HTTP/1.1 (%d+)"), head = head, cookies = {}, lines = {} }
    for line in head:gmatch "Set%-Cookie: ([^\r]*)\r" do
      local name, value = line:match "^([^=]+)=([^;]*)"
      answer.cookies[name], answer.lines[name] = value, line
    end
    if rest ~= "" and head:find("application/json", 1, true) then answer.json = cjson.decode(rest) end
    return answer
  end

  local function login(name, password, more)
    local headers = more or {}
    return raw("POST", "/auth/login", headers, { user = name, password = password })
  end

  local function jar(answer, more)
    local list = {}
    for name, value in pairs(answer.cookies) do list[#list + 1] = name .. "=" .. value end
    local headers = { Cookie = table.concat(list, "; "), ["X-ML-CSRF"] = answer.cookies.ml_csrf, Origin = "http://127.0.0.1:" .. world.port,
      Host = "127.0.0.1:" .. world.port }
    for name, value in pairs(more or {}) do headers[name] = value or nil end
    for name, value in pairs(more or {}) do if value == false then headers[name] = nil end end
    return headers
  end

  setup(function()
    world = World.new { config = "auth = { mode = 'password' }\n" }
    assert.equal(0, (user("correct horse", "add", "ana", "--org", "default", "--role", "owner", "--name", "Ana Bell")))
    assert.equal(0, (user("battery staple", "add", "vic", "--org", "default", "--role", "viewer")))
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
  local DOC = "/api/v1/orgs/default/docs/a"

  it("sign in with three cookies that say what they have to", function()
    local answer = login("ana", "correct horse")
    assert.equal(200, answer.status)
    assert.same({ id = "ana", name = "Ana Bell", org = "default", roles = { "owner" } }, answer.json.user)
    assert.truthy(answer.lines.ml_at:find("HttpOnly", 1, true) and answer.lines.ml_at:find("SameSite=Lax", 1, true))
    assert.truthy(answer.lines.ml_rt:find("HttpOnly", 1, true) and answer.lines.ml_rt:find("Path=/auth;", 1, true))
    assert.truthy(answer.lines.ml_rt:find("SameSite=Strict", 1, true))
    assert.falsy(answer.lines.ml_csrf:find("HttpOnly", 1, true))
    assert.falsy(answer.head:find("Secure", 1, true))
    assert.equal(200, raw("POST", DOC .. "/ops", jar(answer), OPS).status)
    local session = raw("GET", "/auth/session", jar(answer))
    assert.equal("password", session.json.mode)
    assert.equal("ana", session.json.user.id)
    assert.equal(cjson.null, raw("GET", "/auth/session", {}).json.user)
  end)

  it("may do what their role may, and nobody else anything", function()
    local vic = login("vic", "battery staple")
    assert.equal(200, raw("GET", DOC .. "/content", jar(vic)).status)
    assert.equal(403, raw("POST", DOC .. "/ops", jar(vic), OPS).status)
    assert.equal(404, raw("GET", DOC, {}).status)
    assert.equal(404, raw("GET", "/api/v1/orgs/acme/docs/a", jar(vic)).status)
  end)

  it("are not told what was wrong", function()
    local wrong = login("ana", "wrong horse")
    local unknown = login("nobody-there", "wrong horse")
    assert.equal(401, wrong.status)
    assert.same({ wrong.status, wrong.json.error.code, wrong.json.error.message },
      { unknown.status, unknown.json.error.code, unknown.json.error.message })
    for _, password in ipairs { "", "undefined", "null", cjson.null, 7, {}, ("x"):rep(2000) } do
      local answer = login("someone", password)
      assert.equal(401, answer.status)
      assert.same({}, answer.cookies)
    end
    assert.equal(415, login("ana", "correct horse", { ["Content-Type"] = "text/plain" }).status)
  end)

  it("have five tries", function()
    for _ = 1, 5 do assert.equal(401, login("guessed", "guess").status) end
    local answer = login("guessed", "guess")
    assert.equal(429, answer.status)
    assert.truthy(answer.head:find("Retry-After: ", 1, true))
  end)

  it("of pages of other sites are not there", function()
    local ana = login("ana", "correct horse")
    local own = "http://127.0.0.1:" .. world.port
    for _, origin in ipairs { "null", "https://evil.example", own .. ".evil.example", "http://127.0.0.1", "https://127.0.0.1@evil.example" } do
      assert.equal(403, raw("POST", DOC .. "/ops", jar(ana, { Origin = origin }), OPS).status)
    end
    local other = login("vic", "battery staple")
    for _, csrf in ipairs { "", "x", other.cookies.ml_csrf } do
      local answer = raw("POST", DOC .. "/ops", jar(ana, { ["X-ML-CSRF"] = csrf }), OPS)
      assert.equal(403, answer.status)
      assert.equal("csrf", answer.json.error.code)
    end
    assert.equal(403, raw("POST", DOC .. "/ops", jar(ana, { ["X-ML-CSRF"] = false }), OPS).status)
    assert.equal(403, raw("POST", DOC .. "/ops", jar(ana, { Origin = false }), OPS).status)
    assert.equal(403, raw("POST", "/auth/refresh", jar(ana, { ["X-ML-CSRF"] = false }), {}).status)
    assert.equal(200, raw("GET", DOC .. "/content", jar(ana, { Origin = false, ["X-ML-CSRF"] = false })).status)
  end)

  it("open sockets from our pages only", function()
    local ana = login("ana", "correct horse")
    local cookie = jar(ana).Cookie
    local function open(origin)
      return (WebSocket.open { port = world.port, path = "/sync/default/a", headers = { Cookie = cookie, Origin = origin } })
    end
    local ours = open("http://127.0.0.1:" .. world.port)
    assert.truthy(ours)
    ours:drop()
    assert.falsy(open(nil))
    assert.falsy(open "null")
    assert.falsy(open "https://evil.example")
  end)

  it("refresh, and two at once get the same successor", function()
    local first = login("ana", "correct horse")
    local second = raw("POST", "/auth/refresh", jar(first), {})
    assert.equal(200, second.status)
    assert.not_equal(first.cookies.ml_rt, second.cookies.ml_rt)
    local successors = {}
    local socks = {}
    for i = 1, 50 do
      local sock = assert(socket.tcp())
      sock:settimeout(30)
      assert(sock:connect("127.0.0.1", world.port))
      local headers = jar(second)
      headers.Connection, headers["Content-Type"] = "close", "application/json"
      sock:send(http.text(world.port, "POST", "/auth/refresh", headers, "{}"))
      socks[i] = sock
    end
    for _, sock in ipairs(socks) do
      local all = sock:receive "*a"
      sock:close()
      successors[all:match "ml_rt=([^;]+);" or "none"] = true
    end
    successors[second.cookies.ml_rt] = nil
    local count, one = 0, nil
    for value in pairs(successors) do count, one = count + 1, value end
    assert.equal(1, count)
    assert.not_equal("none", one)
  end)

  it("whose token is used twice lose the session", function()
    local first = login("ana", "correct horse")
    local second = raw("POST", "/auth/refresh", jar(first), {})
    local third = raw("POST", "/auth/refresh", jar(second), {})
    assert.equal(200, third.status)
    local thief = raw("POST", "/auth/refresh", jar(first), {}) -- neither the newest nor the one before
    assert.equal(401, thief.status)
    assert.equal("reused", thief.json.error.code)
    assert.equal("", thief.cookies.ml_rt)
    assert.equal(401, raw("POST", "/auth/refresh", jar(third), {}).status)
  end)

  it("sign out, and are ended by a new password", function()
    local ana = login("ana", "correct horse")
    local out = raw("POST", "/auth/logout", jar(ana), {})
    assert.equal(204, out.status)
    assert.truthy(out.lines.ml_at:find("Max-Age=0", 1, true))
    assert.equal(401, raw("POST", "/auth/refresh", jar(ana), {}).status)
    local vic = login("vic", "battery staple")
    assert.equal(0, (user("new battery", "passwd", "vic")))
    assert.equal(401, raw("POST", "/auth/refresh", jar(vic), {}).status)
    assert.equal(200, login("vic", "new battery").status)
  end)

  it("are administered beside the server; the last owner stays", function()
    local status, _, err = user(nil, "rm", "ana")
    assert.equal(1, status)
    assert.truthy(err:find("last owner", 1, true))
    assert.equal(1, (user(nil, "add", "ana", "--org", "default", "--role", "viewer")))
    assert.equal(1, (user("another one", "add", "ana", "--org", "default", "--role", "owner")))
    assert.equal(1, (user("short", "add", "ben", "--org", "default", "--role", "editor")))
    assert.equal(0, (user("long enough", "add", "ben", "--org", "default", "--role", "editor")))
    assert.truthy(select(2, user(nil, "ls")):find("ben  editor", 1, true))
    local ben = login("ben", "long enough")
    assert.equal(200, ben.status)
    assert.equal(0, (user(nil, "rm", "ben")))
    assert.equal(401, raw("POST", "/auth/refresh", jar(ben), {}).status)
    assert.equal(401, login("ben", "long enough").status)
    assert.equal(2, (user(nil, "add", "Ben", "--org", "default", "--role", "editor")))
    assert.equal(2, (user(nil, "add", "ben", "--org", "default", "--role", "king")))
  end)

  it("leave no password and no token in the log", function()
    local log = process.read(world.log)
    for _, secret in ipairs { "eyJ", "correct horse", "battery", "ml_rt" } do assert.falsy(log:find(secret, 1, true), secret) end
  end)

  describe("begin with a link that", function()
    local config = "auth = { mode = 'password' }\n"
    local outer

    before_each(function()
      outer, world = world, World.new { config = config }
    end)
    after_each(function()
      world:close()
      world = outer
    end)

    local function setup_with(token, id, password, headers)
      return raw("POST", "/auth/setup", headers or {}, { token = token, user = id, name = "Ana Bell", password = password })
    end

    it("is printed at the start and makes the owner, once", function()
      local token = world.server:prints "/setup#(%x+)\n"
      assert.equal(64, #token)
      assert.equal(401, setup_with(("0"):rep(64), "ana", "correct horse").status)
      assert.equal(401, setup_with("", "ana", "correct horse").status)
      assert.equal(422, setup_with(token, "Ana Bell", "correct horse").status)
      assert.equal(422, setup_with(token, "ana", "short").status)
      assert.equal(403, setup_with(token, "ana", "correct horse", { ["X-Forwarded-For"] = "10.0.0.1" }).status)
      local ana = setup_with(token, "ana", "correct horse")
      assert.equal(200, ana.status)
      assert.same({ id = "ana", name = "Ana Bell", org = "default", roles = { "owner" } }, ana.json.user)
      assert.equal(200, raw("POST", DOC .. "/ops", jar(ana), OPS).status)
      assert.equal(401, setup_with(token, "eve", "correct horse").status)
      assert.equal(200, login("ana", "correct horse").status)
      assert.falsy(process.read(world.log):find(token, 1, true), "the token is in the log")
    end)

    it("two people use at once makes one owner", function()
      local token = world.server:prints "/setup#(%x+)\n"
      local socks = {}
      for i = 1, 8 do
        local body = cjson.encode { token = token, user = "user" .. i, password = "correct horse" }
        socks[i] = assert(socket.tcp())
        socks[i]:settimeout(30)
        assert(socks[i]:connect("127.0.0.1", world.port))
        socks[i]:send(http.text(world.port, "POST", "/auth/setup", { ["Content-Type"] = "application/json", Connection = "close" }, body))
      end
      local count = { [200] = 0, [401] = 0 }
      for i = 1, 8 do
        local status = tonumber(socks[i]:receive("*a"):match "^HTTP/1.1 (%d+)")
        count[status] = (count[status] or 0) + 1
        socks[i]:close()
      end
      assert.equal(1, count[200])
      assert.equal(7, count[401] + (count[409] or 0)) -- before there is an account somebody is at it, then somebody was there
    end)

    local function one_is_in(token)
      -- What was answered 503 may have been done or not; there is a whole account or none, and the link is good until there is.
      local answer
      world:wait(function()
        answer = setup_with(token, "ana", "correct horse")
        if answer.status == 401 then answer = login("ana", "correct horse") end
        return answer.status == 200
      end, "the first account, or the one that was made", 90)
      assert.same({ "owner" }, answer.json.user.roles)
      assert.equal(401, setup_with(token, "eve", "correct horse").status)
    end

    it("is good after a store that failed meanwhile", function()
      local token = world.server:prints "/setup#(%x+)\n"
      local outage = world.store and require("outage").postgres
      local lock = not outage and world:locks_store()
      if outage then outage.freeze() end
      local answer = setup_with(token, "ana", "correct horse")
      if lock then lock.release() else outage.thaw() end
      assert.equal(503, answer.status)
      assert.same({}, answer.cookies)
      one_is_in(token)
      if not outage then return end
      world:close()
      world = World.new { config = config }
      token = world.server:prints "/setup#(%x+)\n"
      outage.stop()
      answer = setup_with(token, "ana", "correct horse")
      outage.start()
      assert.equal(503, answer.status)
      one_is_in(token)
    end)

    it("is good after a server that was killed meanwhile", function()
      local token = world.server:prints "/setup#(%x+)\n"
      local outage = world.store and require("outage").postgres
      local lock = not outage and world:locks_store()
      if outage then outage.freeze() end
      local sock = assert(socket.tcp())
      assert(sock:connect("127.0.0.1", world.port))
      sock:send(http.text(world.port, "POST", "/auth/setup", { ["Content-Type"] = "application/json" },
        cjson.encode { token = token, user = "ana", password = "correct horse" }))
      sock:settimeout(0.5)
      sock:receive(1)
      world:kill()
      sock:close()
      if lock then lock.release() else outage.thaw() end
      world:start()
      one_is_in(token)
    end)

    it("is not printed once there is somebody, and is worth nothing then", function()
      local token = world.server:prints "/setup#(%x+)\n"
      assert.equal(0, (user("correct horse", "add", "ana", "--org", "default", "--role", "owner")))
      assert.equal(401, setup_with(token, "eve", "correct horse").status)
      world:stop()
      world:start()
      assert.falsy(world.server.text:find("/setup#", 1, true))
    end)
  end)
end)
