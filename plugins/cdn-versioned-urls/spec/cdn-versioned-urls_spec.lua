local t = require "moonloom.test"

describe("cdn-versioned-urls", function()
  local asset = { org = "acme", doc_id = "plans/q3 ü", snapshot = 12, hash = "0123456789abcdef", file = "index.html" }

  it("puts files under the CDN's host, the name as one segment", function()
    assert.equal("https://cdn.example.com/d/acme/plans%2Fq3%20%C3%BC/s/12-0123456789abcdef/index.html",
      t.instance("cdn-versioned-urls", { base = "https://cdn.example.com/" }):asset_url(asset))
  end)

  it("takes another path", function()
    assert.equal("https://cdn.example.com/v/12/index.html?",
      t.instance("cdn-versioned-urls", { base = "https://cdn.example.com", pattern = "/v/{snapshot}/{file}?" }):asset_url(asset))
  end)

  it("says how long the pointer may be kept, and nothing of files", function()
    local function res(route)
      return t.response { route = route, method = "GET", status = 200, is_api = false, has_cookie = false, authenticated = false, doc_id = "d" }
    end
    local base = "https://cdn.example.com"
    assert.same({ shared_max_age = 0 }, t.instance("cdn-versioned-urls", { base = base }):cache_control(res "published.latest"))
    local plugin = t.instance("cdn-versioned-urls", { base = base, pointer_ttl = "5m" })
    assert.same({ shared_max_age = 300 }, plugin:cache_control(res "published.latest"))
    assert.is_nil(plugin:cache_control(res "published.file"))
  end)

  it("keeps no pointer longer than the addresses in it are good", function()
    local signed = { enabled = true, key = "k", ttl = "1h" }
    local function config(ttl) return t.config("cdn-versioned-urls", { base = "https://cdn.example.com", signed = signed, pointer_ttl = ttl }) end
    assert.has_error(function() config "1h" end)
    assert.equal(3599, config("3599s").pointer_ttl)
  end)

  it("needs a host", function()
    assert.has_error(function() t.config("cdn-versioned-urls", {}) end)
  end)
end)
