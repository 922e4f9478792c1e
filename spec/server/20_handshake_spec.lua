-- From a request to a session: addresses, origins, sub-protocols, and what is refused before there is a socket.
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

describe("the handshake", function()
  local world

  setup(function() world = World.new() end)
  teardown(function()
    world:close()
    process.clean()
  end)

  --- The status of an attempt; 101 closes again.
  local function try(options)
    options.port = world.port
    local opened, status, head = WebSocket.open(options)
    if opened then
      head = opened.head
      opened:close()
      return 101, head
    end
    return status, head
  end

  it("opens a document that does not exist yet", function()
    local status, head = try { path = "/sync/default/new" }
    assert.equal(101, status)
    assert.truthy(head:lower():find "upgrade: websocket")
  end)

  it("refuses organisations that cannot exist, and those that are not open", function()
    for _, org in ipairs { "Default", "-a", "", "a_b", "a.b", ("a"):rep(64), "%64efault%00", "..", "%2e%2e", "default%20", "other" } do
      local status = try { path = "/sync/" .. org .. "/x" }
      assert.truthy(status == 404 or status == 400, ("%q answers %s"):format(org, status))
    end
  end)

  it("refuses names that cannot exist", function()
    local names = {
      "", "%00", "a%00b", "%0a", "a%1fb", "%7f", "%ff", "%c3", "%ed%a0%80", "%c0%80", "%f5%80%80%80", ("a"):rep(513),
      ("%C3%BC"):rep(257), "a%", "a%2", "a%zz", "e%CC%81" --[[ not NFC ]], "%80",
    }
    for _, name in ipairs(names) do
      local status = try { path = "/sync/default/" .. name }
      assert.truthy(status == 404 or status == 400, ("%q answers %s"):format(name, status))
    end
  end)

  it("takes every other name, to the last byte", function()
    for _, name in ipairs { ("a"):rep(512), ("%C3%BC"):rep(256), "a/b/c", "a%2Fb", "%F0%9F%8C%99", "%C3%A9", "a+b", "a%3Fb", "a%23b", "~", "a//b", "%20" } do
      assert.equal(101, (try { path = "/sync/default/" .. name }), name)
    end
  end)

  it("undoes percent escapes once, and a slash is a slash either way", function()
    local anna, ben = world:client "anna", world:client "ben"
    anna:joins "deep%2Fname":types(0, "one document"):is_acknowledged()
    ben:joins "deep/name":sees "one document"
    world:client "c":joins "%C3%BCber%20uns":types(0, "x"):is_acknowledged()
    world:client "d":joins "%2541":types(0, "x"):is_acknowledged()
    world:client "e":joins "a+b":types(0, "x"):is_acknowledged()
    local names = world:documents()
    for _, name in ipairs { "deep/name", "über uns", "%41", "a+b" } do assert.truthy(names[name], name) end
    assert.is_nil(names["A"])
    assert.is_nil(names["deep%2Fname"])
  end)

  it("does not take part of a query into the name", function()
    world:client "anna":joins("plain", { query = "token=s3%20cret&x=%C3%BC" }):types(0, "x"):is_acknowledged()
    assert.truthy(world:documents()["plain"])
  end)

  it("refuses pages of other origins with 403", function()
    local port = world.port
    local foreign = {
      "https://evil.example", "null", "http://127.0.0.1.evil.example:" .. port, "http://evil.example#127.0.0.1:" .. port,
      "http://127.0.0.1:" .. port .. "@evil.example", "http://127.0.0.1:" .. (port == 80 and 81 or 80), "http://localhost.evil.example",
      "file://", "http://127.0.0.1:" .. port .. ".evil.example", "http://", "127.0.0.1:" .. port, "http://127.0.0.1:" .. port .. "/evil",
      "chrome-extension://abc", "",
    }
    for _, origin in ipairs(foreign) do
      assert.equal(403, (try { path = "/sync/default/x", headers = { Origin = origin } }), origin)
    end
  end)

  it("takes its own pages, and programs without an origin", function()
    local port = world.port
    assert.equal(101, (try { path = "/sync/default/x", headers = { Origin = "http://127.0.0.1:" .. port } }))
    assert.equal(101, (try { path = "/sync/default/x", host = "localhost:" .. port, headers = { Origin = "http://localhost:" .. port } }))
    assert.equal(101, (try { path = "/sync/default/x" }))
  end)

  it("is not fooled by a name that was rebound to this machine", function()
    assert.equal(403, (try { path = "/sync/default/x", host = "evil.example", headers = { Origin = "http://evil.example" } }))
  end)

  it("takes the origins that the configuration lists", function()
    local other = World.new { config = [[origins = { "https://docs.example.com", "https://*.example.org" }]] }
    local function status(origin)
      local opened, code = WebSocket.open { port = other.port, path = "/sync/default/x", headers = { Origin = origin } }
      if opened then opened:close() end
      return opened and 101 or code
    end
    assert.equal(101, status "https://docs.example.com")
    assert.equal(101, status "https://team.example.org")
    for _, origin in ipairs { "http://docs.example.com", "https://docs.example.com:444", "https://a.b.example.org", "https://example.org", "https://xexample.org", "https://docs.example.com.evil.example" } do
      assert.equal(403, status(origin), origin)
    end
    other:close()
  end)

  it("echoes the first sub-protocol that was offered, and none if none was", function()
    local _, head = try { path = "/sync/default/x", headers = { ["Sec-WebSocket-Protocol"] = "yauth-abc.def, other" } }
    assert.equal("yauth-abc.def", head:match "[Ss]ec%-[Ww]eb[Ss]ocket%-[Pp]rotocol: ([^\r\n]+)")
    _, head = try { path = "/sync/default/x" }
    assert.falsy(head:lower():find "sec%-websocket%-protocol")
  end)

  it("accepts no extension", function()
    local status, head = try { path = "/sync/default/x", headers = { ["Sec-WebSocket-Extensions"] = "permessage-deflate; client_max_window_bits" } }
    assert.equal(101, status)
    assert.falsy(head:lower():find "sec%-websocket%-extensions")
  end)

  it("refuses other upgrades and broken ones", function()
    local function with(fields)
      return (try { path = "/sync/default/x", headers = fields })
    end
    assert.equal(400, with { Upgrade = "h2c", ["HTTP2-Settings"] = "AAMAAABkAARAAAAAAAIAAAAA" })
    assert.equal(426, with { ["Sec-WebSocket-Version"] = "8" })
    assert.equal(426, with { Upgrade = false })
    assert.equal(426, with { Connection = "keep-alive" })
    assert.equal(400, with { ["Sec-WebSocket-Key"] = false })
    assert.equal(400, with { ["Sec-WebSocket-Key"] = "short" })
    local answer = world:get "/sync/default/x"
    assert.equal(426, answer.status)
    assert.equal("13", answer.fields["sec-websocket-version"])
  end)

  it("upgrades nothing but documents", function()
    for _, path in ipairs { "/", "/healthz", "/api/v1/orgs/default/docs", "/edit/default/x", "/sync", "/sync/", "/sync/default" } do
      assert.not_equal(101, (try { path = path }), path)
    end
  end)

  it("opens several connections to one document, and many documents", function()
    local clients = {}
    for i = 1, 50 do clients[i] = world:client("c" .. i):joins("many/" .. i % 5) end
    for i = 1, 5 do clients[i]:types(0, "from " .. i) end
    for i, client in ipairs(clients) do client:sees("from " .. (i - 1) % 5 + 1) end
    for _, client in ipairs(clients) do client:leaves() end
  end)
end)
