local t = require "moonloom.test"

describe("cdn-fastly", function()
  local function purge(more)
    local p = { keys = { "d-1", "d-2", "d-3" }, urls = {}, prefixes = { "https://docs.example.com/d/acme/plan" }, reason = "published", urgent = false }
    for k, v in pairs(more or {}) do p[k] = v end
    return p
  end
  local function requests(config, p)
    local all = { service = "SU1Z0isxPaozGVKXdv0eY", token = "t0k3n" }
    for k, v in pairs(config or {}) do all[k] = v end
    local plugin = t.instance("cdn-fastly", all)
    return plugin:requests(p)
  end

  it("purges by key, softly", function()
    local one = requests(nil, purge())
    assert.equal(1, #one)
    assert.equal("POST", one[1].method)
    assert.equal("https://api.fastly.com/service/SU1Z0isxPaozGVKXdv0eY/purge", one[1].url)
    assert.equal("d-1 d-2 d-3", one[1].headers["Surrogate-Key"])
    assert.equal("1", one[1].headers["fastly-soft-purge"])
    assert.truthy(one[1].headers["Fastly-Key"])
  end)

  it("removes what is urgent", function()
    assert.is_nil(requests(nil, purge { urgent = true })[1].headers["fastly-soft-purge"])
    assert.is_nil(requests({ soft = false }, purge())[1].headers["fastly-soft-purge"])
  end)

  it("sends no more keys at once than it may", function()
    local two = requests({ batch = 2 }, purge())
    assert.equal("d-1 d-2", two[1].headers["Surrogate-Key"])
    assert.equal("d-3", two[2].headers["Surrogate-Key"])
  end)

  it("leaves out what it is not for, without a request", function()
    local plugin = t.instance("cdn-fastly", { service = "a", token = "b", reasons = { "deleted" } })
    assert.is_nil(plugin:purge(purge()))
    plugin = t.instance("cdn-fastly", { service = "a", token = "b", only = { "d/other/**" } })
    assert.is_nil(plugin:purge(purge()))
  end)

  it("needs service and token", function()
    assert.has_error(function() t.config("cdn-fastly", { service = "a" }) end)
    assert.has_error(function() t.config("cdn-fastly", { service = "a/../b", token = "x" }) end)
  end)
end)
