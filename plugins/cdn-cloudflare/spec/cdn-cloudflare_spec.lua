local t = require "moonloom.test"

describe("cdn-cloudflare", function()
  local p = { keys = { "d-1", "d-2" }, urls = { "https://docs.example.com/d/a/b" }, prefixes = { "https://docs.example.com/d/a/b" },
    reason = "made_private", urgent = true }
  local function instance(config)
    local all = { zone = "023e105f4ecef8ad9ca31a8372d0c353", token = "t0k3n" }
    for k, v in pairs(config or {}) do all[k] = v end
    return t.instance("cdn-cloudflare", all)
  end
  local function requests(config)
    local plugin = instance(config)
    return plugin:requests(p)
  end

  it("purges by tag", function()
    local one = requests()[1]
    assert.equal("https://api.cloudflare.com/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache", one.url)
    assert.equal("POST", one.method)
    assert.equal("Bearer t0k3n", one.headers.Authorization)
    assert.same({ tags = { "d-1", "d-2" } }, one.json)
  end)

  it("purges by address, and by prefix without a scheme", function()
    assert.same({ files = { "https://docs.example.com/d/a/b" } }, requests({ by = "url" })[1].json)
    assert.same({ prefixes = { "docs.example.com/d/a/b" } }, requests({ by = "prefix" })[1].json)
  end)

  it("sends no more at once than it may", function()
    local two = requests { batch = 1 }
    assert.equal(2, #two)
    assert.same({ tags = { "d-2" } }, two[2].json)
  end)

  it("sends the tags with what is published", function()
    local res = { route = "published.file", doc_id = "a", is_api = false }
    assert.same({ keys = { "org", "doc" }, key_header = "cache-tag" }, instance():cache_control(res))
    assert.is_nil(instance({ by = "url" }):cache_control(res))
  end)

  it("leaves out what it is not for", function()
    assert.is_nil(instance({ reasons = { "manual" } }):purge(p))
  end)
end)
