local t = require "moonloom.test"

local SECRET = "0123456789abcdef0123456789abcdef"
local NOW = 1767225600 -- where the clock of a spec begins

-- Tokens are made by a plugin beside this one: a spec has no keys.
local function minter()
  local dir, plugins_dir = os.tmpname(), t.plugins_dir
  os.remove(dir)
  os.execute("mkdir -p " .. dir .. "/mint")
  local function write(name, text)
    local f = assert(io.open(dir .. "/mint/" .. name, "w"))
    f:write(text)
    f:close()
  end
  write("plugin.lua", 'return { name = "mint", version = "1.0.0", api = 1, summary = "of a spec", hooks = { rpc = { ["mint.sign"] = {} } } }')
  write("init.lua", [[
    local ml = require "moonloom"
    local P = { rpc = {} }
    P.rpc["mint.sign"] = function(_, call) return { token = ml.jwt.sign(call.args.claims, call.args.key, call.args.options) } end
    return P]])
  t.plugins_dir = dir
  local ok, app = pcall(t.app, { plugins = { "mint" }, open = true })
  t.plugins_dir = plugins_dir
  os.execute("rm -r " .. dir)
  if not ok then error(app, 0) end
  local client = app:client { user = "ana", doc = "d" }
  return function(claims, key, options)
    options = options or { alg = "HS256" }
    local answer, kind, text = client:rpc("mint.sign", { claims = claims, key = key or SECRET, options = options })
    return answer and answer.token or error(tostring(kind) .. ": " .. tostring(text))
  end
end

describe("auth-jwt", function()
  local sign

  setup(function()
    t.reset()
    sign = minter()
  end)
  after_each(function() t.reset() end)

  local function copy(base, more)
    local out = {}
    for key, value in pairs(base) do out[key] = value end
    for key, value in pairs(more or {}) do out[key] = value end
    for key, value in pairs(out) do if value == "-" then out[key] = nil end end
    return out
  end
  local function claims(more) return copy({ iss = "https://id", aud = "docs", sub = "ana", iat = NOW, exp = NOW + 300 }, more) end
  local function issuer(more) return copy({ issuer = "https://id", audience = "docs", secret = SECRET, algorithms = { "HS256" } }, more) end
  local function plugin(config)
    return t.instance("auth-jwt", copy({ issuers = { issuer() }, revocation = false }, config))
  end
  local function ask(p, token, more)
    local request = copy({ method = "GET", headers = { authorization = "Bearer " .. token }, token = token }, more)
    return p:authenticate(t.request(request))
  end
  local function denied(code, answer)
    assert.denied(code, answer)
    assert.equal(401, answer.status)
  end

  it("knows somebody by a token of an issuer that is configured", function()
    local p = plugin()
    local who = ask(p, sign(claims { name = "Ana Bell", roles = { "editor", "lead" }, groups = { "staff" } }))
    assert.equal("ana", who.user)
    assert.equal("Ana Bell", who.name)
    assert.same({ "editor", "lead" }, who.roles)
    assert.same({ "jwt.token", "staff" }, who.groups)
    assert.equal(NOW + 330, who.expires_at)
    assert.equal("ana", ask(p, sign(claims { aud = { "other", "docs" } })).user)
  end)

  it("leaves to others what is not from its issuers", function()
    local p = plugin()
    for _, token in ipairs { "", "x", "a.b.c", "ml_0123456789abcdef", sign(claims { iss = "https://other" }), sign(claims { iss = "-" }),
      sign(claims { iss = 7 }), "e30.e30.x", ("x"):rep(9000) } do
      assert.is_nil(ask(p, token))
    end
    assert.is_nil(p:authenticate(t.request { method = "GET" }))
  end)

  it("refuses in one way what is from them and does not check", function()
    local p = plugin()
    local good = sign(claims())
    local head, body, mac = good:match("^(.-)%.(.-)%.(.-)$")
    denied("bad_token", ask(p, ("%s.%s.%s"):format(head, body, mac:reverse())))
    denied("bad_token", ask(p, ("eyJhbGciOiJub25lIn0.%s."):format(body) .. "x")) -- alg none
    denied("bad_token", ask(p, sign(claims(), ("x"):rep(32))))
    denied("bad_token", ask(p, sign(claims { aud = "elsewhere" })))
    denied("bad_token", ask(p, sign(claims { aud = "-" })))
    denied("bad_token", ask(p, sign(claims { aud = { 1, { "docs" } } })))
    denied("bad_token", ask(p, sign(claims { sub = "-" })))
    denied("bad_token", ask(p, sign(claims { sub = "" })))
    denied("bad_token", ask(p, sign(claims { sub = 7 })))
    denied("bad_token", ask(p, sign(claims { sub = "a\nb" })))
    denied("bad_token", ask(p, sign(claims { sub = ("x"):rep(256) })))
    denied("bad_token", ask(p, sign(claims { exp = NOW + 86401 })))
    denied("bad_token", ask(p, sign(claims { nbf = NOW + 31 })))
    denied("bad_token", ask(p, sign(claims { org = 7 })))
    denied("bad_token", ask(p, sign(claims { documents = { ("x"):rep(201) } })))
    for _, typ in ipairs { "ml-ticket+jwt", "ml-invite+jwt", "ml-guest+jwt", "dpop+jwt" } do
      denied("bad_token", ask(p, sign(claims(), SECRET, { alg = "HS256", typ = typ })))
    end
    assert.equal("ana", ask(p, sign(claims(), SECRET, { alg = "HS256", typ = "at+jwt" })).user)
  end)

  it("allows clocks to be apart, and no more", function()
    local p = plugin { leeway = "10s" }
    local token = sign(claims { nbf = NOW })
    t.clock(NOW + 309)
    assert.equal("ana", ask(p, token).user)
    t.clock(NOW + 310)
    denied("expired", ask(p, token))
    t.clock(NOW - 10)
    assert.equal("ana", ask(p, token).user)
    t.clock(NOW - 11)
    denied("bad_token", ask(p, token))
  end)

  it("takes rights only from texts in lists", function()
    local p = plugin()
    for _, roles in ipairs { true, 1, { true }, { { "admin" } }, { admin = true }, "no role", { "a b", "a\n", "" }, { ("r"):rep(65) } } do
      assert.same({}, ask(p, sign(claims { roles = roles })).roles)
    end
    assert.same({ "admin" }, ask(p, sign(claims { roles = "admin" })).roles)
    assert.same({ "jwt.token", "a" }, ask(p, sign(claims { groups = { "jwt.doc=**", "jwt.token", "a", 7 } })).groups)
  end)

  it("finds claims where the provider puts them", function()
    local p = plugin { claims = { user = "email", name = "profile.name", roles = "realm_access.roles", groups = "https://docs/groups" } }
    local who = ask(p, sign(claims { email = "ana@x", profile = { name = "Ana" }, realm_access = { roles = { "viewer" } }, ["https://docs/groups"] = { "g" } }))
    assert.equal("ana@x", who.user)
    assert.equal("Ana", who.name)
    assert.same({ "viewer" }, who.roles)
    assert.same({ "jwt.token", "g" }, who.groups)
    denied("bad_token", ask(p, sign(claims())))
    local long = ask(plugin(), sign(claims { name = ("é"):rep(100) })).name
    assert.equal(("é"):rep(63), long)
  end)

  it("gives an issuer's roles our names, its people a prefix and a role", function()
    local p = plugin { issuers = { issuer { prefix = "x:", roles = { ["Site Admin"] = "admin" }, default_role = "viewer" } } }
    local who = ask(p, sign(claims { roles = { "Site Admin", "editor" } }))
    assert.equal("x:ana", who.user)
    assert.same({ "admin" }, who.roles)
    assert.same({ "viewer" }, ask(p, sign(claims { roles = { "editor" } })).roles)
  end)

  it("takes a header, a parameter of a socket, a protocol's token, a cookie: each only where it counts", function()
    local p, token = plugin(), sign(claims())
    local long = sign(claims { exp = NOW + 901 })
    local function query(text, socket) return ask(p, text, { headers = {}, query = { token = text }, is_websocket = socket }) end
    assert.equal("ana", query(token, true).user)
    assert.is_nil(query(token, false))
    denied("bad_token", query(long, true))
    assert.equal("ana", ask(p, long, { headers = {}, is_websocket = true }).user) -- Hocuspocus
    assert.is_nil(ask(plugin { bearer = false }, token))
    assert.is_nil(ask(plugin { query = false }, token, { headers = {}, query = { token = token }, is_websocket = true }))
    assert.is_nil(p:authenticate(t.request { method = "GET", cookies = { session = token } }))
  end)

  it("counts a cookie only on pages of ours", function()
    local p, token = plugin { cookie = "session", origins = { "https://docs.example.com" } }, sign(claims())
    local function with(more)
      return p:authenticate(t.request(copy({ method = "GET", host = "here:8080", cookies = { session = token }, headers = {}, is_websocket = false }, more)))
    end
    assert.equal("ana", with {}.user)
    assert.equal("ana", with { is_websocket = true, origin = "https://docs.example.com" }.user)
    assert.equal("ana", with { is_websocket = true, origin = "http://here:8080" }.user)
    for _, origin in ipairs { "https://docs.example.com.evil.com", "https://evil.com", "null", "http://here", "here:8080", "https://docs.example.com:444" } do
      assert.is_nil(with { is_websocket = true, origin = origin })
      assert.denied("origin", with { method = "POST", origin = origin })
    end
    assert.is_nil(with { is_websocket = true })
    assert.denied("origin", with { method = "POST" })
    assert.equal("ana", with { method = "POST", headers = { ["sec-fetch-site"] = "same-origin" } }.user)
    assert.equal("ana", with { method = "POST", origin = "https://docs.example.com" }.user)
  end)

  it("keeps a token to its documents, whoever gives more", function()
    local p = plugin { grants = "roles" }
    local who = ask(p, sign(claims { roles = { "editor" }, documents = { "plans/*", "x" } }))
    assert.same({ "jwt.token", "jwt.doc=plans/*", "jwt.doc=x" }, who.groups)
    local function may(doc, identity) return p:authorize(t.ask { doc_id = doc, identity = t.identity(identity or who) }) end
    assert.granted("write", may "plans/q3")
    assert.granted("write", may "x")
    for _, doc in ipairs { "plans/q3/deep", "y", "" } do assert.equal("restrict", may(doc).kind) end
    local none = ask(p, sign(claims { roles = { "editor" }, documents = {} }))
    assert.equal("restrict", may("x", none).kind)
  end)

  it("gives what a role may, if it is asked to, and only to its own", function()
    local p = plugin { grants = "roles" }
    local function may(roles, path)
      local who = ask(p, sign(claims { roles = roles }))
      return p:authorize(t.ask { doc_id = "d", identity = t.identity(who) }), path
    end
    assert.granted("read", may { "viewer" })
    assert.not_granted("write", may { "viewer" })
    assert.granted("comments/ana/1", may { "viewer", "commenter" })
    assert.not_granted("body", may { "commenter" })
    assert.granted("suggestions/ana/1", may { "suggester" })
    for _, role in ipairs { "editor", "owner", "admin" } do assert.granted("write", may { role }) end
    assert.is_nil((may { "stranger" }))
    assert.is_nil((may {}))
    assert.is_nil(p:authorize(t.ask { doc_id = "d", identity = t.identity { user = "ana", roles = { "editor" } } }))
    assert.is_nil(p:authorize(t.ask { doc_id = "d", identity = t.identity { user = "", kind = "guest" } }))
    local who = ask(plugin(), sign(claims { roles = { "editor" } }))
    assert.is_nil(plugin():authorize(t.ask { doc_id = "d", identity = t.identity(who) }))
  end)

  it("takes a pair of keys as JWK set, and no key for an algorithm that is not its own", function()
    local private = { kty = "OKP", crv = "Ed25519", kid = "k1", d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
                      x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }
    local set = '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"' .. private.x .. '"}]}'
    local p = plugin { issuers = { { issuer = "https://id", audience = { "docs" }, jwks = set } } }
    assert.equal("ana", ask(p, sign(claims(), private, { alg = "EdDSA" })).user)
    denied("bad_token", ask(p, sign(claims(), SECRET)))
    denied("bad_token", ask(p, sign(claims(), private.x))) -- what is public as a secret
  end)

  it("says what is wrong with its configuration", function()
    local function wrong(more, pattern)
      local ok, text = pcall(plugin, { issuers = more })
      assert.is_false(ok, pattern)
      assert.truthy(tostring(text):find(pattern, 1, true), tostring(text))
    end
    wrong({}, "issuers")
    wrong({ issuer { secret = "-" } }, "jwks_url")
    wrong({ issuer { jwks = "{}" } }, "jwks_url")
    wrong({ issuer { algorithms = { "none" } } }, "algorithms")
    wrong({ issuer { algorithms = { "HS256", "ES256" } } }, "HS256")
    wrong({ issuer { algorithms = { "ES256" } } }, "HS256")
    wrong({ issuer { secret = "-", jwks = "{}", algorithms = { "HS256" } } }, "HS256")
    wrong({ issuer { secret = "short" } }, "issuers[1]")
    wrong({ issuer { audience = "-" } }, "audience")
    wrong({ issuer { audience = {} } }, "audience")
    wrong({ issuer(), issuer() }, "twice")
    wrong({ issuer(), issuer { issuer = "https://b" } }, "prefix")
    wrong({ issuer { secret = "-", public_key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", algorithms = { "ES256" } } }, "issuers[1]")
    assert.is_true(pcall(plugin, { issuers = { issuer(), issuer { issuer = "https://b", prefix = "b:" } } }))
  end)
end)
