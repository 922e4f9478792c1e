local t = require "moonloom.test"

describe("auth-apikey", function()
  -- printf %s ml_0123456789abcdef | sha256sum
  local KEY, HASH = "ml_0123456789abcdef", "26081121677b2443d248ffa54f57c784aeeb4075394dc0070100e3befa4e0f2a"

  local function plugin(key, config)
    key = key or {}
    config = config or {}
    key.name, key.sha256 = key.name or "ci", HASH
    config.keys = { key }
    return t.instance("auth-apikey", config)
  end

  local function ask(p, headers, more)
    local request = more or {}
    request.headers = headers
    return p:authenticate(t.request(request))
  end

  it("knows a service by its key", function()
    local who = ask(plugin { roles = { "bot" }, groups = { "ops" } }, { Authorization = "Bearer " .. KEY })
    assert.equal("service:ci", who.user)
    assert.equal("service", who.kind)
    assert.same({ "bot" }, who.roles)
    assert.same({ "key:c" .. HASH:sub(1, 16), "ops" }, who.groups)
  end)

  it("leaves every other credential to others", function()
    local p = plugin()
    for _, header in ipairs { "Bearer eyJhbGciOiJFZERTQSJ9.e30.x", "Basic YTpi", "ml_0123456789abcdef", "Bearer", "Bearer ml" } do
      assert.is_nil(ask(p, { Authorization = header }))
    end
    assert.is_nil(ask(p, {}))
  end)

  it("refuses a key that it does not know, in one way", function()
    local p = plugin { expires = "2026-01-02", cidrs = { "10.0.0.0/8" } }
    local wrong = ask(p, { Authorization = "Bearer ml_wrong" }, { ip = "10.1.2.3" })
    assert.denied("unknown_key", wrong)
    assert.equal(401, wrong.status)
    local elsewhere = ask(p, { Authorization = "Bearer " .. KEY }, { ip = "11.0.0.1" })
    assert.same(wrong, elsewhere)
    assert.equal("service:ci", ask(p, { Authorization = "Bearer " .. KEY }, { ip = "10.1.2.3" }).user)
    t.clock(1767225600 + 86400)
    assert.same(wrong, ask(p, { Authorization = "Bearer " .. KEY }, { ip = "10.1.2.3" }))
    t.reset()
  end)

  it("takes another header, which holds the key by itself", function()
    local p = plugin(nil, { header = "x-api-key" })
    assert.equal("service:ci", ask(p, { ["X-Api-Key"] = KEY, ["x-api-key"] = KEY }).user)
    assert.is_nil(ask(p, { Authorization = "Bearer " .. KEY }))
  end)

  it("understands address ranges of both kinds", function()
    local function from(cidr, ip)
      local answer = ask(plugin { cidrs = { cidr } }, { Authorization = "Bearer " .. KEY }, { ip = ip })
      return answer.user ~= nil
    end
    assert.is_true(from("192.168.1.0/24", "192.168.1.255"))
    assert.is_false(from("192.168.1.0/24", "192.168.2.1"))
    assert.is_true(from("192.168.1.7", "192.168.1.7"))
    assert.is_false(from("192.168.1.7", "192.168.1.8"))
    assert.is_true(from("0.0.0.0/0", "8.8.8.8"))
    assert.is_true(from("2001:db8::/32", "2001:db8:1::1"))
    assert.is_false(from("2001:db8::/32", "2001:db9::1"))
    assert.is_true(from("::1/128", "::1"))
    assert.is_true(from("10.0.0.0/8", "::ffff:10.9.8.7"))
    assert.is_false(from("10.0.0.0/8", "::1"))
    assert.is_false(from("10.0.0.0/8", "nonsense"))
  end)

  it("says what is wrong with its configuration", function()
    assert.has_error(function() t.instance("auth-apikey", { keys = { { name = "a", sha256 = "short" } } }) end)
    assert.has_error(function() t.instance("auth-apikey", { keys = { { name = "a", sha256 = HASH:upper() } } }) end)
    assert.has_error(function() t.instance("auth-apikey", { keys = { { name = "a", sha256 = HASH }, { name = "b", sha256 = HASH } } }) end)
    assert.has_error(function() plugin { expires = "never" } end)
  end)

  it("takes a key of the protocol, and one from an address only if it is told to", function()
    local p = plugin()
    assert.equal("service:ci", ask(p, {}, { token = KEY, is_websocket = true }).user)
    local address = { token = KEY, is_websocket = true, query = { token = KEY } }
    assert.is_nil(ask(p, {}, address))
    assert.equal("service:ci", ask(plugin(nil, { query = true }), {}, address).user)
    assert.is_nil(ask(plugin(nil, { query = true }), {}, { token = KEY, is_websocket = false, query = { token = KEY } }))
  end)

  it("counts how often a key asks", function()
    local p = plugin { rate = "3/m" }
    for _ = 1, 3 do assert.equal("service:ci", ask(p, { Authorization = "Bearer " .. KEY }).user) end
    local refused = ask(p, { Authorization = "Bearer " .. KEY })
    assert.denied("too_often", refused)
    assert.equal(429, refused.status)
    assert.is_true(refused.retry_after >= 1 and refused.retry_after <= 20)
    t.clock(t.clock() + 20)
    assert.equal("service:ci", ask(p, { Authorization = "Bearer " .. KEY }).user)
    assert.denied("too_often", ask(plugin { rate = "0/m" }, { Authorization = "Bearer " .. KEY }))
    t.reset()
  end)

  it("keeps a key to its documents, and gives by its roles only if it is told to", function()
    local service = { user = "service:ci", kind = "service", roles = { "editor" }, groups = { "key:c" .. HASH:sub(1, 16) } }
    local function asks(p, doc, who, action) return p:authorize(t.ask { action = action, doc_id = doc, identity = t.identity(who or service) }) end
    local p = plugin({ docs = { "notes/*" } }, { grants = "roles" })
    assert.granted("write", asks(p, "notes/1"))
    assert.equal("restrict", asks(p, "boards/1").kind)
    assert.denied("elsewhere", asks(p, "boards/1", nil, "rpc.x.y"))
    assert.equal("restrict", asks(p, "", nil, "org.documents").kind)
    assert.is_nil(asks(plugin { docs = { "notes/*" } }, "notes/1"))
    -- Who only says so is none.
    assert.is_nil(asks(p, "notes/1", { user = "ana", kind = "user", roles = { "editor" }, groups = service.groups }))
    assert.is_nil(asks(p, "notes/1", { user = "ana", kind = "service", roles = { "editor" }, groups = service.groups }))
    assert.denied("unknown_key", asks(p, "notes/1", { user = "service:x", kind = "service", groups = { "key:c0000000000000000" } }))
  end)

  describe("with keys in the store", function()
    local app, boss
    before_each(function()
      app = t.app { plugins = { ["auth-apikey"] = {} }, open = true }
      boss = app:client { user = "bo", roles = { "owner" }, doc = "notes/1" }
    end)
    after_each(function() app:close() end)
    local function make(body, client) return app:request("POST", "/x/auth-apikey/keys", body, client or boss) end

    it("shows a key once, and keeps only its hash", function()
      local made = make { name = "ci", roles = { "editor" }, docs = { "notes/*" }, rate = "600/m", cidrs = { "10.0.0.0/8" }, expires = "2027-01-01" }
      assert.equal(201, made.status)
      assert.matches("^ml_%x+_%x+$", made.json.key)
      assert.equal(84, #made.json.key)
      local items = app:request("GET", "/x/auth-apikey/keys", nil, boss).json.items
      assert.equal(1, #items)
      assert.equal("ci", items[1].name)
      assert.equal("bo", items[1].by)
      assert.is_nil(items[1].key)
      assert.is_nil(items[1].hash)
      for _, value in pairs(app.kv:all "key/") do assert.equal(64, #value.hash) end
      assert.equal(204, app:request("DELETE", "/x/auth-apikey/keys/" .. made.json.id, nil, boss).status)
      assert.equal(404, app:request("DELETE", "/x/auth-apikey/keys/" .. made.json.id, nil, boss).status)
      assert.equal(404, app:request("DELETE", "/x/auth-apikey/keys/no", nil, boss).status)
    end)

    it("is for owners and admins, who give no more than they have", function()
      local ana = app:client { user = "ana", roles = { "editor" }, doc = "notes/1" }
      assert.equal(403, make({ name = "x" }, ana).status)
      assert.equal(403, app:request("GET", "/x/auth-apikey/keys", nil, ana).status)
      assert.equal(403, make { name = "x", roles = { "admin" } }.status)
      assert.equal(201, make({ name = "x", roles = { "admin" } }, app:client { user = "al", roles = { "admin" }, doc = "notes/1" }).status)
    end)

    it("says what is wrong with a key", function()
      for _, body in ipairs { {}, { name = "" }, { name = "x", roles = "editor" }, { name = "x", roles = { "a b" } }, { name = "x", groups = { "key:1" } },
                              { name = "x", docs = { "/x" } }, { name = "x", cidrs = { "ten" } }, { name = "x", expires = "soon" },
                              { name = "x", expires = "2020-01-01" }, { name = "x", rate = "fast" }, { name = "x", rate = "0/s" }, { name = "x", role = "editor" } } do
        assert.equal(422, make(body).status)
      end
      assert.equal(0, #app:request("GET", "/x/auth-apikey/keys", nil, boss).json.items)
    end)
  end)
end)
