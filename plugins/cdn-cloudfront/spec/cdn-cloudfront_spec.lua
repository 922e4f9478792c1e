local t = require "moonloom.test"

describe("cdn-cloudfront", function()
  local p = { keys = { "d-1" }, urls = { "https://docs.example.com/d/a/b%20&c", "https://docs.example.com/d/a/b%20&c?format=json" },
    prefixes = { "https://docs.example.com/d/a/b%20&c" }, reason = "deleted", urgent = true }
  local function instance(config)
    local all = { distribution = "EDFDVBD6EXAMPLE", key_id = "AKIDEXAMPLE", key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }
    for k, v in pairs(config or {}) do all[k] = v end
    return t.instance("cdn-cloudfront", all)
  end
  local function requests(config)
    local plugin = instance(config)
    return plugin:requests(p, 1440938160) -- 2015-08-30T12:36:00Z
  end

  it("asks for an invalidation by path, each once", function()
    local one = requests()
    assert.equal(1, #one)
    assert.equal("https://cloudfront.amazonaws.com/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation", one[1].url)
    assert.truthy(one[1].body:find("<Quantity>1</Quantity><Items><Path>/d/a/b%20&amp;c</Path></Items>", 1, true), one[1].body)
    assert.equal("20150830T123600Z", one[1].headers["X-Amz-Date"])
    assert.truthy(one[1].headers.Authorization:match
      "^AWS4%-HMAC%-SHA256 Credential=AKIDEXAMPLE/20150830/us%-east%-1/cloudfront/aws4_request, SignedHeaders=host;x%-amz%-content%-sha256;x%-amz%-date, Signature=%x+$")
  end)

  it("asks for all of a document with one path", function()
    assert.truthy(requests({ by = "wildcard" })[1].body:find("<Path>/d/a/b%20&amp;c*</Path>", 1, true))
  end)

  it("signs as another implementation of Signature Version 4 does", function()
    local plugin = instance()
    local headers = plugin:sign("cloudfront", "POST",
      "cloudfront.amazonaws.com", "/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation", "<x/>", "20150830T123600Z")
    assert.equal("9d3d78a9bde17959c6b93bdb362fbf7b21ce487eeb4f68ebdf15aa86d28288a2", headers.Authorization:match "Signature=(%x+)$")
  end)

  it("leaves out what it is not for", function()
    assert.is_nil(instance({ reasons = { "manual" } }):purge(p))
  end)
end)
