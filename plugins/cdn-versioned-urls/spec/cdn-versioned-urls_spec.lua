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

  it("needs a host", function()
    assert.has_error(function() t.config("cdn-versioned-urls", {}) end)
  end)
end)
