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
    assert.same({ "ops" }, who.groups)
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
end)
