-- Every kind of credential, offered to everybody who takes one: each is taken where its own kind is meant, and nowhere else
-- (SEC-JWT-06).
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local signer = require "signer"
local socket = require "socket"
local Collab = require "collab"
local WebSocket = require "websocket"
local World = require "world"

local SECRET = ("s"):rep(32)
local DOC = "/api/v1/orgs/default/docs/live"

describe("kinds of credentials", function()
  local world, kinds, session

  local function moonloom(...)
    local argv = { World.BIN, ... }
    argv[#argv + 1], argv[#argv + 2] = "--data", world.data
    local status, out, err = process.run(argv)
    assert(status == 0, err)
    return (out:gsub("\n$", ""))
  end
  local function raw(method, path, headers, body)
    local sock = assert(socket.tcp())
    sock:settimeout(30)
    assert(sock:connect("127.0.0.1", world.port))
    headers = headers or {}
    headers.Connection = "close"
    if method ~= "GET" then headers["Content-Type"] = "application/json" end
    sock:send(http.text(world.port, method, path, headers, body and cjson.encode(body)))
    local text = sock:receive "*a"
    sock:close()
    local answer = { status = tonumber(text:match "^HTTP/1.1 (%d+)"), cookies = {} }
    for name, value in text:gmatch "Set%-Cookie: ([^=]+)=([^;\r]*)" do answer.cookies[name] = value end
    local rest = text:match "\r\n\r\n(.*)$"
    if rest and rest:sub(1, 1) == "{" then answer.json = cjson.decode(rest) end
    return answer
  end
  local function origin() return "http://127.0.0.1:" .. world.port end
  local function sign_in() return raw("POST", "/auth/login", {}, { user = "ana", password = "correct horse" }).cookies end
  local function own_page(jar, more)
    local headers = { Cookie = jar, Origin = origin() }
    for name, value in pairs(more or {}) do headers[name] = value end
    return headers
  end

  setup(function()
    world = World.new { config = ([[
      auth = { mode = "password" }
      plugins = { ["auth-jwt"] = { config = { grants = "roles", cookie = "elsewhere", issuers = {
        { issuer = "https://id", audience = "docs", secret = "%s", algorithms = { "HS256" } } } } },
        ["auth-apikey"] = { config = { header = "x-service-key", prefix = "svc_", keys = { { name = "ci", sha256 = "%s", roles = { "editor" } } } } } }
    ]]):format(SECRET, (signer.sha256 "svc_0123456789abcdef":gsub(".", function(c) return ("%02x"):format(c:byte()) end))) }
    local file = process.write(process.folder() .. "/password", "correct horse\n")
    assert.equal(0, (process.run { "sh", "-c", ("'%s' user add ana --org default --role owner --password-stdin --data '%s' < '%s'")
      :format(World.BIN, world.data, file) }))
    session = sign_in()
    local spare = sign_in()
    kinds = {
      ["access"] = moonloom("token", "--org", "default", "--user", "tom", "--role", "editor"),
      ["access of a login"] = session.ml_at, ["refresh"] = spare.ml_rt, ["csrf"] = session.ml_csrf,
      ["key"] = moonloom("key", "add", "--org", "default", "--name", "shop", "--role", "editor"),
      ["service key"] = "svc_0123456789abcdef",
      ["foreign"] = signer.hs256(SECRET, { iss = "https://id", aud = "docs", sub = "eve", roles = { "editor" }, iat = os.time(), exp = os.time() + 600 }),
      ["foreign ticket"] = signer.hs256(SECRET, { iss = "https://id", aud = "docs", sub = "eve", roles = { "editor" }, exp = os.time() + 60 },
        { alg = "HS256", typ = "ml-ticket+jwt" }),
      ["foreign as ours"] = signer.hs256(SECRET, { iss = "moonloom", aud = "moonloom", sub = "eve", org = "default", roles = { "editor" }, exp = os.time() + 60 },
        { alg = "HS256", typ = "at+jwt" }),
      ["password"] = "correct horse", ["nothing"] = "", ["word"] = "true",
    }
    assert(raw("POST", "/api/v1/orgs/default/docs", { Authorization = "Bearer " .. kinds.access }, { name = "live", content = "text" }).status == 201)
    local function given(name, path, body, key, method)
      local answer = raw(method or "POST", path, own_page("ml_at=" .. session.ml_at, { ["X-ML-CSRF"] = session.ml_csrf }), body)
      kinds[name] = assert(answer.json and answer.json[key or "token"], name)
    end
    given("ticket", "/auth/ticket", { org = "default", doc = "live" }, "ticket")
    given("invite", "/api/v1/orgs/default/invites", { role = "viewer" })
    given("second invite", "/api/v1/orgs/default/invites", { role = "viewer" })
    given("link", DOC .. "/shares/kinds", { kind = "link", role = "editor" }, nil, "PUT")
    local guest = raw("POST", "/auth/guest", {}, { token = kinds.link })
    assert.equal(200, guest.status)
    kinds["access of a guest"], kinds["csrf of a guest"] = guest.cookies.ml_at, guest.cookies.ml_csrf
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  -- Who takes which, and how it is seen that it was taken.
  local takers = {
    { "the API, as bearer", { "access", "access of a login", "access of a guest", "foreign" }, function(text)
      return raw("GET", DOC .. "/content", { Authorization = "Bearer " .. text }).status == 200
    end },
    { "the API, as the access cookie", { "access", "access of a login", "access of a guest" }, function(text)
      return raw("GET", DOC .. "/content", { Cookie = "ml_at=" .. text }).status == 200
    end },
    { "the API, as the cookie of a plugin", { "foreign" }, function(text)
      return raw("GET", DOC .. "/content", { Cookie = "elsewhere=" .. text }).status == 200
    end },
    { "the API, in the address", {}, function(text)
      return raw("GET", DOC .. "/content?token=" .. (text:gsub("[^%w._-]", "%%20"))).status == 200
    end },
    { "the API, as a service", { "service key" }, function(text)
      -- Nobody gives a service rights here: that it is known is seen by its name.
      local user = raw("GET", "/auth/session", { ["X-Service-Key"] = text }).json.user
      return user ~= cjson.null and user ~= nil and user.id == "service:ci"
    end },
    { "a socket, in the address", { "access", "access of a login", "access of a guest", "foreign", "ticket" }, function(text)
      local opened = WebSocket.open { port = world.port, path = "/sync/default/live?token=" .. (text:gsub("[^%w._-]", "%%20")) }
      if opened then opened:drop() end
      return opened ~= nil
    end },
    { "Hocuspocus", { "access", "access of a login", "access of a guest", "foreign" }, function(text)
      local it = assert(Collab.open(world))
      local ok, scope = pcall(it.token, it, "live", text)
      it:drop()
      return ok and scope == "read-write"
    end },
    { "the minter of tokens", { "key" }, function(text)
      return raw("POST", "/api/v1/orgs/default/tokens", { Authorization = "Bearer " .. text }, { user = "x" }).status == 201
    end },
    { "the proof of a page", { "csrf" }, function(text)
      return raw("POST", DOC .. "/ops", own_page("ml_at=" .. session.ml_at, { ["X-ML-CSRF"] = text }), { ops = {} }).status ~= 403
    end },
    { "refreshing", { "refresh" }, function(text)
      -- What the page has to say belongs to the session that is refreshed.
      local mine = text:find("^%x+%.%x+$") ~= nil
      local jar = sign_in()
      if mine then text = jar.ml_rt end
      return raw("POST", "/auth/refresh", own_page("ml_rt=" .. text, { ["X-ML-CSRF"] = jar.ml_csrf }), {}).status == 200
    end },
    { "signing in", { "password" }, function(text) return raw("POST", "/auth/login", {}, { user = "ana", password = text }).status == 200 end, tries = 4 },
    { "the first account", {}, function(text)
      return raw("POST", "/auth/setup", {}, { token = text, user = "mallory", password = "long enough" }).status == 200
    end },
    { "the proof of a guest's page", { "csrf of a guest" }, function(text)
      return raw("POST", DOC .. "/ops", own_page("ml_at=" .. kinds["access of a guest"], { ["X-ML-CSRF"] = text }), { ops = {} }).status ~= 403
    end },
    { "a link's page", { "link" }, function(text) return raw("POST", "/auth/guest", {}, { token = text }).status == 200 end },
    { "the ticket office", { "access", "access of a login", "access of a guest" }, function(text)
      return raw("POST", "/auth/ticket", { Authorization = "Bearer " .. text }, { org = "default", doc = "live" }).status == 200
    end },
    { "an open Hocuspocus socket, for one more document", { "access", "access of a login", "access of a guest", "foreign" }, function(text)
      local it = assert(Collab.open(world))
      assert(it:token("other", kinds.access))
      local ok, scope = pcall(it.token, it, "live", text)
      it:drop()
      return ok and scope == "read-write"
    end },
    { "an invitation's page, of somebody new", { "invite" }, function(text)
      return raw("POST", "/auth/invite", {}, { token = text, user = "newcomer", password = "long enough" }).status == 200
    end },
    { "an invitation's page, of who is signed in", { "second invite" }, function(text)
      local jar = sign_in()
      local cookies = ("ml_at=%s; ml_rt=%s"):format(jar.ml_at, jar.ml_rt)
      return raw("POST", "/auth/invite", own_page(cookies, { ["X-ML-CSRF"] = jar.ml_csrf }), { token = text }).status == 200
    end },
  }

  it("are taken where they are meant, and nowhere else", function()
    local names, wrong, cells = {}, {}, 0
    for name in pairs(kinds) do names[#names + 1] = name end
    table.sort(names)
    for _, taker in ipairs(takers) do
      local left = taker.tries
      for _, name in ipairs(names) do
        local meant = false
        for _, one in ipairs(taker[2]) do meant = meant or one == name end
        -- Passwords are tried only so often.
        if not left or meant or left > 0 then
          if left and not meant then left = left - 1 end
          cells = cells + 1
          local taken = taker[3](kinds[name])
          if taken ~= meant then wrong[#wrong + 1] = ("%s: %s is %staken"):format(taker[1], name, taken and "" or "not ") end
        end
      end
    end
    assert.same({}, wrong)
    print(("# %d kinds, %d takers, %d cells"):format(#names, #takers, cells))
    assert.is_true(cells >= 310, cells)
  end)
end)
