-- ml.jwks: keys of an issuer that is slow, silent, broken, rotating. By a clock that the spec sets.
local t = require "moonloom.test"

local URL = "https://id.example.com/jwks"
local MANIFEST = [[return { name = "keys", version = "1.0.0", api = 1, summary = "of a spec", hooks = { rpc = { ["keys.sign"] = {}, ["keys.check"] = {} } },
  needs = { http = { "config.issuers.url" } },
  config = { version = 1, fields = { { "ttl", type = "duration", default = "10m", doc = "x" },
    { "issuers", type = "array", default = {}, doc = "x", items = { type = "record", fields = { { "url", type = "url", doc = "x" } } } } } } }]]
local CODE = [[
local ml = require "moonloom"
local P = { rpc = {} }
function P:setup()
  self.state.keys = ml.jwks { url = self.config.issuers[1].url, ttl = self.config.ttl, stale = "1h" }
end
P.rpc["keys.sign"] = function(_, call)
  return { token = ml.jwt.sign(call.args.claims, call.args.key, { alg = "EdDSA", ttl = 300 }) }
end
P.rpc["keys.check"] = function(self, call)
  local claims, kind, why = ml.jwt.verify(call.args.token, { keys = self.state.keys, alg = call.args.alg or "EdDSA" })
  return { sub = claims and claims.sub, kind = kind, why = why }
end
return P
]]
-- RFC 8037, A.1, under different ids.
local D, X = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
local function private(kid) return { kty = "OKP", crv = "Ed25519", kid = kid, d = D, x = X } end
local function set(...)
  local keys = {}
  for i, kid in ipairs { ... } do keys[i] = { kty = "OKP", crv = "Ed25519", kid = kid, x = X } end
  return { keys = keys }
end

describe("ml.jwks", function()
  local dir, plugins_dir, app, ana, route

  local function write(path, text)
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
  end

  setup(function()
    dir, plugins_dir = os.tmpname(), t.plugins_dir
    os.remove(dir)
    os.execute("mkdir -p " .. dir .. "/keys")
    write(dir .. "/keys/plugin.lua", MANIFEST)
    write(dir .. "/keys/init.lua", CODE)
    t.plugins_dir = dir
  end)
  teardown(function()
    t.plugins_dir = plugins_dir
    os.execute("rm -r " .. dir)
  end)

  local function start(config)
    config = config or {}
    config.issuers = config.issuers or { { url = URL } }
    app = t.app { plugins = { { "keys", config = config } }, open = true }
    ana = app:client { user = "ana", doc = "d" }
    route = app.http:on("GET", URL)
  end
  local function token(kid, sub) return ana:rpc("keys.sign", { claims = { sub = sub or "ana" }, key = private(kid) }).token end
  local function check(text, alg)
    local answer = ana:rpc("keys.check", { token = text, alg = alg })
    return answer.sub, answer.kind, answer.why
  end

  it("fetches when the first token comes, and then no more", function()
    start()
    route:reply(200, set "a")
    assert.equal(0, #route.calls)
    for _ = 1, 5 do assert.equal("ana", (check(token "a"))) end
    assert.equal(1, #route.calls)
    app:advance "9m"
    assert.equal("ana", (check(token "a")))
    assert.equal(1, #route.calls)
    app:advance "2m"
    assert.equal("ana", (check(token "a")))
    assert.equal(2, #route.calls)
  end)

  it("keeps them as long as the answer says, but a minute at least and the ttl at most", function()
    start()
    route:reply(200, set "a", { ["Cache-Control"] = "public, max-age=120" }):reply(200, set "a", { ["Cache-Control"] = "max-age=1" })
      :reply(200, set "a", { ["Cache-Control"] = "no-store" }):reply(200, set "a", { ["Cache-Control"] = "max-age=99999999" })
    local text = token "a"
    local function after(time, calls)
      app:advance(time)
      text = token "a"
      check(text)
      assert.equal(calls, #route.calls, time)
    end
    check(text)
    after("119s", 1)
    after("2s", 2)  -- max-age=1
    after("58s", 2)
    after("3s", 3)  -- no-store
    after("58s", 3)
    after("3s", 4)
    after("9m", 4)
    after("2m", 5)
  end)

  it("fetches for an id that nobody knows, once a minute whoever asks", function()
    start()
    route:reply(200, set "a"):reply(200, set("a", "b"))
    assert.equal("ana", (check(token "a")))
    assert.equal("ana", (check(token "b"))) -- rotated: found at once
    assert.equal(2, #route.calls)
    for i = 1, 200 do assert.equal("ENOTFOUND", select(2, check(token("x" .. i)))) end
    assert.equal(2, #route.calls)
    app:advance "61s"
    for i = 1, 50 do check(token("y" .. i)) end
    assert.equal(3, #route.calls)
  end)

  it("goes on with old keys while the issuer is down, for a bounded time", function()
    start()
    route:reply(200, set "a"):fail("EIO")
    assert.equal("ana", (check(token "a")))
    app:advance "11m"
    for _ = 1, 10 do assert.equal("ana", (check(token "a"))) end
    assert.equal(2, #route.calls) -- a failure is not repeated at once
    app:advance "20s"
    assert.equal("ana", (check(token "a")))
    assert.equal(3, #route.calls)
    app:advance "50m"
    local sub, kind = check(token "a")
    assert.is_nil(sub)
    assert.equal("EIO", kind)
    route:reply(200, set "a")
    app:advance "20s"
    assert.equal("ana", (check(token "a")))
  end)

  it("takes nothing but a set of keys for one, and keeps the old", function()
    start { ttl = "1m" }
    route:reply(200, set "a")
    assert.equal("ana", (check(token "a")))
    local many = set()
    for i = 1, 33 do many.keys[i] = set("k" .. i).keys[1] end
    local bad = { { 404, set "b" }, { 200, "<html>" }, { 200, "[]" }, { 200, '{"keys":[]}' }, { 200, '{"keys":7}' }, { 200, many } }
    for _, one in ipairs(bad) do route:reply(one[1], one[2]) end
    for i = 1, #bad do
      app:advance "61s"
      assert.equal("ana", (check(token "a")))
      assert.equal(i + 1, #route.calls)
    end
    assert.equal("ENOTFOUND", select(2, check(token "b")))
  end)

  it("asks nobody about what is no token", function()
    start()
    route:reply(200, set "a")
    for _, junk in ipairs { "", "x", "a.b", "a.b.c.d", "a b.c.d", ("a"):rep(9000) .. ".b.c", "é.b.c" } do
      assert.equal("EFORMAT", select(2, check(junk)))
    end
    assert.equal(0, #route.calls)
  end)

  it("does not take a key for another algorithm", function()
    start()
    route:reply(200, set "a")
    assert.equal("ENOTFOUND", select(2, check(token "a", "ES256")))
    assert.equal("ana", (check(token "a", { "ES256", "EdDSA" })))
  end)

  it("reaches only hosts that were asked for", function()
    assert.has_error(function() start { issuers = { { url = "https://id.example.com/jwks" } }, ttl = "30s" } end)
    local other = dir .. "/keys/init.lua"
    write(other, [[local ml = require "moonloom" local P = { rpc = {} }
      function P:setup() ml.jwks "https://elsewhere.example.com/jwks" end
      P.rpc["keys.sign"] = function() end P.rpc["keys.check"] = P.rpc["keys.sign"] return P]])
    local ok, wrong = pcall(start)
    write(other, CODE)
    assert.is_false(ok)
    assert.truthy(tostring(wrong):find("needs http = { \"elsewhere.example.com\" }", 1, true), tostring(wrong))
  end)
end)

describe("a secret", function()
  local dir, plugins_dir

  setup(function()
    dir, plugins_dir = os.tmpname(), t.plugins_dir
    os.remove(dir)
    for name, needs in pairs { shut = "", open = 'needs = { "secrets.reveal" },' } do
      os.execute(("mkdir -p %s/%s"):format(dir, name))
      local f = assert(io.open(("%s/%s/plugin.lua"):format(dir, name), "w"))
      f:write(([[return { name = "%s", version = "1.0.0", api = 1, summary = "of a spec", rpc_prefix = "s", %s
        hooks = { rpc = { ["s.shows"] = {}, ["s.reveals"] = {}, ["s.macs"] = {} } },
        config = { version = 1, fields = { { "token", type = "secret", required = true, doc = "x" },
          { "list", type = "array", default = {}, items = { type = "secret" }, doc = "x" } } } }]]):format(name, needs))
      f:close()
      f = assert(io.open(("%s/%s/init.lua"):format(dir, name), "w"))
      f:write [[
        local ml = require "moonloom"
        local P = { rpc = {} }
        P.rpc["s.shows"] = function(self) return { text = tostring(self.config.token), json = pcall(ml.json.encode, { self.config.token }) } end
        P.rpc["s.reveals"] = function(self) local ok, text = pcall(function() return self.config.token:reveal() end) return { ok = ok, text = tostring(text) } end
        P.rpc["s.macs"] = function(self) return { mac = ml.enc.hex.encode(ml.crypto.hmac(self.config.token, "x")) } end
        return P]]
      f:close()
    end
    t.plugins_dir = dir
  end)
  teardown(function()
    t.plugins_dir = plugins_dir
    os.execute("rm -r " .. dir)
  end)

  local SECRETS = { crm = "hunter2hunter2", file = "of a file\n", ["acme/own"] = "acme's" }
  local function client(plugin, config) return t.app({ plugins = { { plugin, config = config } }, open = true, secrets = SECRETS }):client { user = "ana", doc = "d" } end

  it("is used and not seen", function()
    local ana, plain = client("shut", { token = "secret://crm" }), client("shut", { token = "hunter2hunter2" })
    assert.equal("secret:***", ana:rpc("s.shows").text)
    assert.same(plain:rpc "s.macs", ana:rpc "s.macs")
    local said = ana:rpc "s.reveals"
    assert.is_false(said.ok)
    assert.truthy(said.text:find("secrets.reveal", 1, true))
  end)

  it("is seen by who asked for that", function()
    assert.same({ ok = true, text = "hunter2hunter2" }, client("open", { token = "secret://crm" }):rpc "s.reveals")
    assert.same({ ok = true, text = "of a file" }, client("open", { token = "secret://file" }):rpc "s.reveals")
    assert.same({ ok = true, text = "literal" }, client("open", { token = "literal", list = { "secret://crm" } }):rpc "s.reveals")
  end)

  it("that is not there is an error that tells its name", function()
    local ok, wrong = pcall(client, "open", { token = "secret://nowhere" })
    assert.is_false(ok)
    assert.truthy(tostring(wrong):find("token", 1, true), tostring(wrong))
    assert.truthy(tostring(wrong):find("nowhere", 1, true), tostring(wrong))
  end)

  it("comes into a single instance, too", function()
    assert.is_false(pcall(t.instance, "shut", { token = "secret://one" }))
    assert.is_true(pcall(t.instance, "shut", { token = "secret://one" }, { secrets = { one = "1" } }))
  end)
end)
