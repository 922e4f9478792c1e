-- Signing in at a provider of identities (docs/identity.md), with a small one that is part of the tests.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local signer = require "signer"
local socket = require "socket"
local World = require "world"

local START, BACK = "/auth/oidc/idp", "/auth/oidc/idp/callback"

describe("signing in elsewhere", function()
  local issuer, port, iss, world

  local function control(values)
    return cjson.decode(http.request(port, values and "POST" or "GET", "/control", { Host = "127.0.0.1" }, values and cjson.encode(values)).body)
  end
  -- What a spec has changed is as before.
  local function calm()
    control { kids = { "k1" }, claims = cjson.decode "{}", sub = "ana", iss = cjson.null, status = cjson.null, header = cjson.null, named = cjson.null }
  end

  -- Several Set-Cookie: http.lua keeps one.
  local function visit(to, path, headers)
    local sock = assert(socket.tcp())
    sock:settimeout(30)
    assert(sock:connect("127.0.0.1", to))
    headers = headers or {}
    headers.Connection = "close"
    sock:send(http.text(to, "GET", path, headers))
    local all = sock:receive "*a"
    sock:close()
    local head, body = all:match "^(.-\r\n)\r\n(.*)$"
    local answer = { status = tonumber(head:match "^HTTP/1.1 (%d+)"), head = head, body = body, cookies = {}, lines = {},
                     location = head:match "\r\nLocation: ([^\r]*)\r" }
    for line in head:gmatch "Set%-Cookie: ([^\r]*)\r" do
      local name, value = line:match "^([^=]+)=([^;]*)"
      answer.cookies[name], answer.lines[name] = value, line
    end
    if body:sub(1, 1) == "{" then answer.json = cjson.decode(body) end
    return answer
  end

  local function query_of(address)
    local out = {}
    for name, value in address:match("%?(.*)$"):gmatch "([^&=]+)=([^&]*)" do
      out[name] = value:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)
    end
    return out
  end

  local function start(path) return visit(world.port, START .. (path or "")) end
  --- What the browser does in between: to the provider, and its address to come back to.
  local function at_provider(begun) return visit(port, begun.location:match "^http://[^/]+(.*)$").location:match "^http://[^/]+(.*)$" end
  local function come_back(path, begun, cookie)
    return visit(world.port, path, { Cookie = cookie or ("ml_oidc=" .. begun.cookies.ml_oidc) })
  end
  local function whole(path)
    local begun = start(path)
    return come_back(at_provider(begun), begun), begun
  end
  local function refused(answer)
    assert.equal(401, answer.status)
    assert.equal("oidc", answer.json.error.code)
    assert.is_nil(answer.cookies.ml_at)
    assert.is_nil(answer.location)
  end

  setup(function()
    issuer = process.spawn({ "luajit", "-e", ("package.path = '%s/spec/support/lua/?.lua;' .. package.path"):format(World.ROOT),
      World.ROOT .. "/spec/support/lua/issuer.lua" }, { log = process.folder() .. "/issuer" })
    port = tonumber((issuer:prints "(%d+)\n"))
    iss = "http://127.0.0.1:" .. port
    world = World.new { config = ([[
      log = "debug"
      outgoing = { "127.0.0.0/8" }
      auth = { mode = "password", oidc = {
        idp = { issuer = "%s", client_id = "docs", client_secret = "hunter2", role = "editor" },
        known = { issuer = "%s", client_id = "docs" },
        mail = { issuer = "%s", client_id = "docs", link = "email" },
      } } ]]):format(iss, iss, iss) }
  end)
  before_each(calm)
  teardown(function()
    world:close()
    issuer:kill()
    process.clean()
  end)

  it("goes there with state, nonce and a challenge, and comes back signed in", function()
    local answer, begun = whole "?return=/edit/default/notes"
    assert.equal(302, begun.status)
    local asked = query_of(begun.location)
    assert.equal(iss .. "/authorize", begun.location:match "^[^?]*")
    assert.equal("code", asked.response_type)
    assert.equal("docs", asked.client_id)
    assert.equal("openid profile", asked.scope)
    assert.equal("S256", asked.code_challenge_method)
    assert.equal(("http://127.0.0.1:%d%s"):format(world.port, BACK), asked.redirect_uri)
    assert.equal(64, #asked.state)
    assert.equal(64, #asked.nonce)
    assert.equal(43, #asked.code_challenge)
    assert.truthy(begun.lines.ml_oidc:find("HttpOnly", 1, true) and begun.lines.ml_oidc:find("SameSite=Lax", 1, true))
    assert.truthy(begun.head:find("no-store", 1, true))
    local sent = control().sent
    assert.equal("hunter2", sent.client_secret)
    assert.equal(asked.code_challenge, signer.base64url(signer.sha256(sent.code_verifier)))
    assert.falsy(begun.location:find(sent.code_verifier, 1, true))

    assert.equal(303, answer.status, answer.body)
    assert.equal("/edit/default/notes", answer.location)
    assert.equal("", answer.cookies.ml_oidc)
    assert.truthy(answer.lines.ml_at:find("HttpOnly", 1, true) and answer.lines.ml_rt:find("SameSite=Strict", 1, true))
    local providers = visit(world.port, "/auth/session").json.providers
    table.sort(providers)
    assert.same({ "idp", "known", "mail" }, providers)
    local session = visit(world.port, "/auth/session", { Cookie = "ml_at=" .. answer.cookies.ml_at })
    assert.equal("Ana of the Provider", session.json.user.name)
    assert.same({ "editor" }, session.json.user.roles)
    assert.equal(200, visit(world.port, "/api/v1/orgs/default/docs", { Cookie = "ml_at=" .. answer.cookies.ml_at }).status)
    for _, secret in ipairs { "hunter2", sent.code, sent.code_verifier, "eyJ" } do
      assert.falsy(process.read(world.log):find(secret, 1, true))
    end
  end)

  it("is the same account for the same issuer and subject, whatever else is said", function()
    local function who(answer) return visit(world.port, "/auth/session", { Cookie = "ml_at=" .. answer.cookies.ml_at }).json.user.id end
    local first = who((whole()))
    control { claims = { name = "Another Name", email = "other@id.example" } }
    assert.equal(first, who((whole())))
    control { sub = "ben", claims = { email = "ana@id.example" } }
    assert.not_equal(first, who((whole())))
  end)

  it("comes back only in the browser that went, once, and with an answer to its question", function()
    local begun, other = start(), start()
    local path = at_provider(begun)
    refused(visit(world.port, path))                                               -- no cookie
    refused(come_back(path, other))                                                -- the cookie of another one
    refused(come_back((path:gsub("state=%x", "state=g")), begun))
    refused(come_back((path:gsub("&state=[^&]*", "")), begun))
    refused(come_back((path:gsub("code=[^&]*", "code=")), begun))
    refused(come_back((path:gsub("&iss=[^&]*", "&iss=http%%3A%%2F%%2Fevil.example")), begun))
    refused(come_back(path .. "&error=access_denied", begun))
    local cookie = begun.cookies.ml_oidc
    local at = #cookie - 80
    refused(come_back(path, begun, "ml_oidc=" .. cookie:sub(1, at - 1) .. (cookie:sub(at, at) == "a" and "b" or "a") .. cookie:sub(at + 1)))
    refused(come_back(path, begun, "ml_oidc=" .. cookie:gsub("^idp", "known")))
    refused(come_back((path:gsub("/idp/", "/known/")), begun))
    refused(come_back(path, begun, "ml_oidc="))
    refused(come_back(path, begun, "ml_oidc=" .. ("x"):rep(3000)))
    assert.equal(303, come_back(path, begun).status)
    refused(come_back(path, begun)) -- the code is used
  end)

  it("believes no ID token that is not for this", function()
    local now = os.time()
    local bad = {
      { iss = "http://evil.example" }, { aud = "other" }, { aud = "-" }, { nonce = "x" }, { nonce = "-" }, { sub = "-" }, { sub = "" },
      { exp = now - 60 }, { exp = now + 90000 }, { exp = "-" }, { iat = now + 600 }, { aud = { "docs", "other" } }, { azp = "other" },
    }
    for i, claims in ipairs(bad) do
      control { claims = claims }
      local answer = whole()
      assert.equal(401, answer.status, i)
      assert.is_nil(answer.cookies.ml_at)
    end
    calm()
    for _, header in ipairs { { alg = "none" }, { alg = "HS256", kid = "k1" }, { alg = "EdDSA", kid = "k9" }, { alg = "EdDSA", kid = "k1", typ = "ml-ticket+jwt" } } do
      control { header = header }
      refused((whole()))
    end
    calm()
    control { claims = { aud = { "docs" } } }
    assert.equal(303, whole().status)
    control { kids = { "k2", "k1" } } -- new keys count at once
    assert.equal(303, whole().status)
  end)

  it("lets nobody in who is not there, unless new accounts have a role", function()
    control { sub = "stranger" }
    local begun = visit(world.port, "/auth/oidc/known")
    refused(come_back(at_provider(begun), begun))
    assert.equal(404, visit(world.port, "/auth/oidc/nowhere").status)
    assert.equal(404, visit(world.port, "/auth/oidc/nowhere/callback?code=x").status)
  end)

  it("gives nobody an account that somebody else has made under its name", function()
    local function part(text) return string.char(#text) .. ("\0"):rep(7) .. text end
    local name = "idp-" .. signer.sha256(part(iss) .. part "victim"):gsub(".", function(c) return ("%02x"):format(c:byte()) end):sub(1, 16)
    local file = process.write(process.folder() .. "/password", "correct horse\n")
    assert.equal(0, (process.run { "sh", "-c", ("'%s' user add %s --org default --role viewer --password-stdin --data '%s' < '%s'")
      :format(World.BIN, name, world.data, file) }))
    control { sub = "victim" }
    refused((whole()))
    control { sub = "another" }
    assert.equal(303, whole().status)
  end)

  it("leads to an account whose name is the verified address, if that is configured, and else says so", function()
    local file = process.write(process.folder() .. "/password", "correct horse\n")
    local function add(name)
      assert.equal(0, (process.run { "sh", "-c", ("'%s' user add %s --org default --role viewer --password-stdin --data '%s' < '%s'")
        :format(World.BIN, name, world.data, file) }))
    end
    local function by(provider, sub, claims)
      control { sub = sub, claims = claims }
      local begun = visit(world.port, "/auth/oidc/" .. provider)
      local it = come_back(at_provider(begun), begun)
      control { claims = {} }
      return it
    end
    local function who(answer)
      assert.equal(303, answer.status)
      local headers = { Cookie = "ml_at=" .. answer.cookies.ml_at }
      return cjson.decode(http.get(world.port, "/auth/session", headers).body).user.id
    end
    add "mia@example.com"
    local mia = { email = "Mia@Example.com", email_verified = true }
    -- Not configured: a clear word, and no second account.
    local answer = by("idp", "mia-1", mia)
    assert.equal(409, answer.status)
    assert.equal("exists", answer.json.error.code)
    assert.is_nil(answer.cookies.ml_at)
    -- Not verified, or not by the word of true: the address says nothing.
    for i, said in ipairs { false, "true", 1, "-" } do
      refused(by("mail", "stranger-" .. i, { email = "mia@example.com", email_verified = said }))
      assert.truthy(who(by("idp", "stranger-" .. i, { email = "mia@example.com", email_verified = said })):find("^idp%-"))
    end
    refused(by("mail", "nobody-1", { email = "nobody@example.com", email_verified = true }))
    refused(by("mail", "nobody-2", { email = "mia", email_verified = true }))
    refused(by("mail", "nobody-3", { email = { "mia@example.com" }, email_verified = true }))
    -- Configured: that account. From then on issuer and subject lead there, whatever the address.
    assert.equal("mia@example.com", who(by("mail", "mia-1", mia)))
    assert.equal("mia@example.com", who(by("mail", "mia-1", {})))
    assert.equal("mia@example.com", who(by("idp", "mia-1", { email = "else@example.com", email_verified = true })))
    -- Suspended accounts stay out.
    add "sam@example.com"
    assert.equal(0, (process.run { World.BIN, "user", "suspend", "sam@example.com", "--data", world.data }))
    refused(by("mail", "sam-1", { email = "sam@example.com", email_verified = true }))
  end)

  it("leads to no other server", function()
    local bad = { "", "x", "edit", "//evil.example", "/\\evil.example", "\\/evil", "https://evil.example", "HTTPS://evil.example", "javascript:alert(1)",
      "///evil.example", "/\t/evil", "/\n/evil", "/\r\nSet-Cookie: a=b", " /x", "/ x", "\0/x", "/x\0", "/x\127", "data:text/html,x", "http:/evil",
      "evil.example/x", "@evil.example", ".evil", "./x", "../x", "?x", "#x", "%2f%2fevil", "/x\\y", "/<script>", "/\"x", "/é", ("/"):rep(2), "/" .. ("x"):rep(512),
      "ftp://x", "//", "/\\", "\t//evil", "/x y", "mailto:a@b", "/{x}", "/`x`", "/x|y", "/^" }
    assert.is_true(#bad >= 40)
    for _, path in ipairs(bad) do
      local escaped = path:gsub(".", function(c) return ("%%%02X"):format(c:byte()) end)
      local answer = start("?return=" .. escaped)
      assert.equal(400, answer.status, path)
      assert.is_nil(answer.location)
      assert.is_true(answer.json.error.code == "bad_return" or answer.json.error.code == "bad_query", path)
    end
    for _, path in ipairs { "/", "/edit/default/a%20b", "/x?y=1&z=2#part", "/a/b.c" } do
      local escaped = path:gsub("[^%w/]", function(c) return ("%%%02X"):format(c:byte()) end)
      assert.equal(path, (whole("?return=" .. escaped)).location)
    end
    assert.equal("/", (whole()).location)
  end)

  it("can be tried again when the provider is down", function()
    local begun = start()
    local path = at_provider(begun)
    control { status = 503 }
    assert.equal(503, come_back(path, begun).status)
    calm()
    assert.equal(303, whole().status)
    local other = World.new { config = ([[auth = { mode = "password", oidc = { idp = { issuer = "%s", client_id = "docs" } } }]]):format(iss) }
    assert.equal(503, visit(other.port, START).status) -- private addresses are for who lists them
    other:close()
  end)

  it("needs a configuration that says where", function()
    local function wrong(text, pattern)
      local path = process.write(process.folder() .. "/moonloom.lua", "auth = " .. text)
      local status, out, err = process.run { World.BIN, "check-config", path }
      assert.equal(1, status, text)
      assert.truthy((out .. err):find(pattern, 1, true), out .. err)
    end
    wrong("{ mode = 'password', oidc = 7 }", "auth.oidc")
    wrong("{ mode = 'password', oidc = { a = {} } }", "auth.oidc.a.issuer")
    wrong("{ mode = 'password', oidc = { a = { issuer = 'https://x' } } }", "client_id")
    wrong("{ mode = 'password', oidc = { a = { issuer = 'x', client_id = 'y' } } }", "issuer")
    wrong("{ mode = 'password', oidc = { ['a b'] = { issuer = 'https://x', client_id = 'y' } } }", "a b")
    wrong("{ mode = 'password', oidc = { a = { issuer = 'https://x', client_id = 'y', role = 'owner' } } }", "role")
    wrong("{ mode = 'password', oidc = { a = { issuer = 'https://x', client_id = 'y', rolle = 'viewer' } } }", "rolle")
    wrong("{ mode = 'password', oidc = { a = { issuer = 'https://x', client_id = 'y', algorithms = { 'HS256' } } } }", "algorithms")
    wrong("{ mode = 'open', oidc = {} }", "oidc")
  end)
end)
