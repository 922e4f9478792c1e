-- auth = { mode = "jwt" }: tokens of an identity provider, from configuration alone (docs/identity.md, plugins/auth-jwt).
local cjson = require "cjson"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local signer = require "signer"
local Collab = require "collab"
local World = require "world"

local HI = Collab.unhex "01016500040101740248 6900" -- client 101 writes "Hi"
local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
local function document(name, org) return ("/api/v1/orgs/%s/docs/%s"):format(org or "default", name) end

describe("tokens of a provider", function()
  local issuer, port, iss, world, open
  local key = signer.key "k1"

  local function control(values)
    return cjson.decode(http.request(port, values and "POST" or "GET", "/control", { Host = "127.0.0.1" }, values and cjson.encode(values)).body)
  end

  setup(function()
    issuer = process.spawn({ "luajit", "-e", ("package.path = '%s/spec/support/lua/?.lua;' .. package.path"):format(World.ROOT),
      World.ROOT .. "/spec/support/lua/issuer.lua" }, { log = process.folder() .. "/issuer" })
    port = tonumber((issuer:prints "(%d+)\n"))
    iss = "http://127.0.0.1:" .. port
    world = World.new { config = ([[
      log = "debug"
      outgoing = { "127.0.0.0/8" }
      auth = { mode = "jwt", leeway = "1s", issuers = { { issuer = "%s", audience = "docs", jwks_url = "%s/jwks" } } }
    ]]):format(iss, iss) }
    open = {}
  end)
  teardown(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
    issuer:kill()
    process.clean()
  end)

  local function token(more, signed)
    local claims = { iss = iss, aud = "docs", sub = "ana", name = "Ana Bell", roles = { "editor" }, iat = os.time(), exp = os.time() + 300 }
    for name, value in pairs(more or {}) do claims[name] = value end
    return (signed or key):sign(claims)
  end
  local function broken(text)
    return (text:gsub("%.(.)([^.]*)$", function(c, rest) return "." .. (c == "A" and "B" or "A") .. rest end))
  end
  local function ask(method, path, bearer, body)
    local headers = { ["Content-Type"] = "application/json", Authorization = bearer and "Bearer " .. bearer }
    local answer = http.request(world.port, method, path, headers, body and cjson.encode(body))
    if answer.body:sub(1, 1) == "{" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function collab()
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    return it
  end
  local function status_of(query)
    local ok, wrong = pcall(function() world:client "x":joins("sock", { query = query }):leaves() end)
    return ok and 101 or tonumber(tostring(wrong):match "was refused: (%d+)") or tostring(wrong)
  end

  it("name people, and let them do what their role may", function()
    assert.equal(200, ask("POST", document "a/ops", token(), OPS).status)
    assert.equal("Ana Bell", ask("GET", "/auth/session", token()).json.user.name)
    local viewer = token { roles = { "viewer" } }
    assert.equal(200, ask("GET", document "a/content", viewer).status)
    assert.equal(403, ask("POST", document "a/ops", viewer, OPS).status)
    assert.equal(404, ask("GET", document "a/content", token { roles = {} }).status)
    assert.equal(404, ask("GET", document "a/content").status)
    assert.equal(1, control().jwks)
  end)

  it("go on when the provider changes its keys, and when it is down", function()
    local new = signer.key "k2"
    control { kids = { "k2", "k1" } }
    assert.equal(200, ask("GET", document "a", token({}, new)).status)
    local before = control().jwks
    for i = 1, 50 do assert.equal(401, ask("GET", document "a", token({}, signer.key("x", "x" .. i))).status) end
    assert.equal(before, control().jwks) -- once a minute
    control { status = 500 }
    assert.equal(200, ask("GET", document "a", token({}, new)).status)
    control { status = cjson.null }
  end)

  it("are of one org", function()
    assert.equal(404, ask("GET", document("a", "acme"), token()).status)
    assert.equal(404, ask("GET", document "a", token { org = "acme" }).status)
    assert.equal(201, ask("POST", "/api/v1/orgs/acme/docs", token { org = "acme" }, { name = "a", content = "x" }).status)
    assert.equal(404, ask("GET", document("a", "acme"), token()).status)
  end)

  it("that do not check are refused in one way; those of others are nobody's", function()
    local good = token()
    local bad = {
      broken(good), token { aud = "other" }, token { exp = os.time() + 90000 }, token { sub = "" }, token { nbf = os.time() + 60 },
      token({}, signer.key("other", "k1")), -- another key under the same id
      signer.hs256(("s"):rep(32), { iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }),
      signer.hs256(key.jwk.x, { iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }, { alg = "HS256", kid = "k1" }),
      key:sign({ iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }, { alg = "EdDSA", kid = "k1", typ = "ml-ticket+jwt" }),
      key:sign({ iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }, { alg = "none", kid = "k1" }),
      key:sign({ iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }, { alg = "EdDSA", kid = "k1", jwk = key.jwk }),
    }
    -- Of the table in spec/unit/auth/token_test.c, as far as it says who it is from.
    local claims = cjson.encode { iss = iss, aud = "docs", sub = "ana", exp = os.time() + 60 }
    for _, header in ipairs {
      '{"alg":"nOnE","kid":"k1"}', '{"alg":"","kid":"k1"}', '{"alg":null,"kid":"k1"}', '{"alg":["EdDSA"],"kid":"k1"}', '{"kid":"k1"}',
      '{"alg":"eddsa","kid":"k1"}', '{"alg":"ES256","kid":"k1"}', '{"alg":"RS256","kid":"k1"}', '{"alg":"HS256","kid":"k1"}',
      '{"alg":"EdDSA","kid":"k1","jku":"https://evil.example/keys"}', '{"alg":"EdDSA","kid":"k1","x5u":"https://evil.example/c"}',
      '{"alg":"EdDSA","kid":"k1","x5c":["MIIB"]}', '{"alg":"EdDSA","kid":"k1","crit":[]}', '{"alg":"EdDSA","kid":"k1","crit":["exp"]}',
      '{"alg":"EdDSA","kid":"k1","zip":"DEF"}', '{"alg":"EdDSA","kid":"k1","b64":true}', '{"alg":"EdDSA","kid":""}', '{"alg":"EdDSA","kid":1}',
      '{"alg":"EdDSA","kid":"../../etc/passwd"}', "{\"alg\":\"EdDSA\",\"kid\":\"' OR 1=1 --\"}", '{"alg":"EdDSA","kid":"a\\u0000b"}',
      '{"alg":"EdDSA","kid":"k1","typ":"ml-invite+jwt"}', '{"alg":"EdDSA","kid":"k1","typ":"ml-guest+jwt"}', '{"alg":"EdDSA","kid":"k1","typ":1}',
      '{"alg":"EdDSA","kid":"k1","alg":"EdDSA"}', '{"alg":"none","kid":"k1","alg":"EdDSA"}', '{"alg":"EdDSA","kid":"k1"}}', "[]", "null" } do
      bad[#bad + 1] = key:sign(claims, header)
    end
    local head = claims:sub(1, -2)
    for _, more in ipairs { ',"sub":"root"}', ',"exp":99999999999}', ',"nbf":"0"}', ',"iat":-5}', ',"iat":1.5}', ',"a":[[[[[[[[1]]]]]]]]}', "} x" } do
      bad[#bad + 1] = key:sign(head .. more)
    end
    for i, text in ipairs(bad) do
      local answer = ask("GET", document "a", text)
      -- Claims that are no JSON at all say nobody whom they are from.
      local is_known = i <= 11 + 29 or signer.from_base64url(text:match "%.(.-)%."):sub(-3) ~= "} x"
      assert.equal(is_known and 401 or 404, answer.status, i)
      if is_known then assert.truthy(answer.json.error.code:find("bad_token", 1, true), i) end
    end
    assert.equal(47, #bad)
    local over = ask("GET", document "a", token { iat = os.time() - 100, exp = os.time() - 50 })
    assert.equal(401, over.status)
    assert.truthy(over.json.error.code:find("expired", 1, true))
    assert.equal(404, ask("GET", document "a", token { iss = "http://elsewhere" }).status)
    assert.falsy(process.read(world.log):find("eyJ", 1, true))
  end)

  it("open a socket through ?token= if they live shortly", function()
    local anna = world:client "anna":joins("sock", { query = "token=" .. token() })
    anna:types(0, "hello"):is_acknowledged()
    assert.equal(101, status_of("token=" .. token { exp = os.time() + 890 }))
    assert.equal(401, status_of("token=" .. token { exp = os.time() + 1000 }))
    assert.equal(404, ask("GET", document "a" .. "?token=" .. token()).status) -- only sockets
  end)

  it("end with their sockets, unless a new one comes in time", function()
    local anna, ben = collab(), collab()
    assert.equal("read-write", anna:token("soon", token { exp = os.time() + 3 }))
    assert.equal("read-write", ben:token("soon", token { exp = os.time() + 3 }))
    local function renews(text) anna.socket:send(lib0.bytes "soon" .. "\2\0" .. lib0.bytes(text)) end
    renews(token { exp = os.time() + 600 })
    ben:is_closed(30)
    anna:sends("soon", 0, 2, HI)
    assert.equal("0801", anna:awaits("soon", "08"))
    -- Fewer rights come with a new one, too.
    renews(token { roles = { "viewer" } })
    assert.equal("0202" .. "08" .. Collab.hex "readonly", anna:awaits("soon", "0202"))
    local client = world:client "cleo":joins("soon", { query = "token=" .. token { exp = os.time() + 2 } })
    client:is_closed(30)
  end)

  it("may be for some documents only", function()
    local plans = token { documents = { "plans/*" } }
    assert.equal(200, ask("POST", document "plans%2Fq3/ops", plans, OPS).status)
    assert.equal(404, ask("POST", document "other/ops", plans, OPS).status)
    assert.equal(404, ask("GET", "/api/v1/orgs/default/docs", plans).status)
    local anna = collab()
    assert.equal("read-write", (anna:token("plans/q3", plans)))
    assert.is_nil((anna:token("other", plans)))
  end)

  it("are taken back, one or all of somebody, and their sockets with them", function()
    local admin = token { sub = "root", roles = { "admin" } }
    local function revoke(body, bearer) return ask("POST", "/api/v1/orgs/default/rpc/jwt.revoke", bearer or admin, body).status end
    local one, other = token { sub = "rob", jti = "t1" }, token { sub = "rob", jti = "t2" }
    assert.equal(200, ask("GET", document "a", one).status)
    assert.equal(403, revoke({ jti = "t1" }, token()))
    local mine = world:client "with t1":joins("back", { query = "token=" .. one })
    local collab_client = collab()
    assert.equal("read-write", (collab_client:token("back", one)))
    local stays = world:client "with t2":joins("back", { query = "token=" .. other })
    assert.equal(200, revoke { jti = "t1" })
    assert.equal(401, ask("GET", document "a", one).status)
    assert.equal(4401, (mine:is_closed(30)))
    collab_client:is_closed(30)
    stays:types(0, "another token "):is_acknowledged()
    stays:leaves()
    assert.equal(200, ask("GET", document "a", other).status)
    local client = world:client "rob":joins("back", { query = "token=" .. other })
    assert.equal(200, revoke { user = "rob" })
    client:is_closed(30)
    assert.equal(401, ask("GET", document "a", other).status)
    assert.equal(401, status_of("token=" .. other))
    assert.equal(200, ask("GET", document "a", token { sub = "rob", iat = os.time() + 1 }).status)
    for _, body in ipairs { {}, { jti = "a", user = "b" }, { jti = 7 }, { user = "" } } do assert.not_equal(200, revoke(body)) end
  end)

  it("of a provider that was never reached can be tried again", function()
    local other = World.new { config = ([[
      outgoing = { "127.0.0.0/8" }
      auth = { mode = "jwt", issuers = { { issuer = "%s", audience = "docs", jwks_url = "%s/nothing" } } }]]):format(iss, iss) }
    local answer = http.get(other.port, document "a", { Authorization = "Bearer " .. token() })
    assert.equal(503, answer.status)
    assert.equal(404, http.get(other.port, document "a").status)
    other:close()
  end)

  it("need a configuration that says from whom", function()
    local function wrong(text, pattern)
      local path = process.write(process.folder() .. "/moonloom.lua", text)
      local status, out, err = process.run { World.BIN, "check-config", path }
      assert.equal(1, status, text)
      assert.truthy((out .. err):find(pattern, 1, true), out .. err)
    end
    wrong("auth = { mode = 'jwt' }", "issuers")
    wrong("auth = { mode = 'jwt', issuers = {} }", "issuers")
    wrong("auth = { mode = 'jwt', issuers = { { issuer = 'x', audience = 'y' } } }", "jwks_url")
    wrong("auth = { mode = 'jwt', issuers = { { isuer = 'x' } } }", "isuer")
    wrong("auth = { mode = 'jwt', issuers = { { issuer = 'x', audience = 'y', jwks_url = 'https://x/y' } } }\nplugins = { ['auth-jwt'] = {} }", "auth-jwt")
    wrong("auth = { mode = 'open', issuers = {} }", "issuers")
  end)
end)
