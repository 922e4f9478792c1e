-- Pages and where they come from: which of them may use somebody's cookies, at every door that takes cookies (SEC-CS-01, SEC-WS-01).
local Accounts = require "accounts"
local Collab = require "collab"
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

local LISTED = { "https://docs.example.com", "https://*.apps.example.org", "https://xn--bcher-kva.example", "https://[2001:db8::1]:8443" }
local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
local DOC = "/api/v1/orgs/default/docs/notes"

describe("the origin of a page", function()
  local world, people, ana

  setup(function()
    world = World.new { config = ("auth = { mode = 'password' }\norigins = { '%s' }\n"):format(table.concat(LISTED, "', '")) }
    people = Accounts.new(world)
    people:add("ana", "owner")
    ana = people:login "ana"
    assert.equal(200, people:ask("POST", DOC .. "/ops", ana, OPS).status)
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  -- Each door: do Ana's cookies count for this page? And how it was refused.
  local doors = {
    { "/sync", function(headers)
      local opened, status = WebSocket.open { port = world.port, path = "/sync/default/notes", headers = headers }
      if opened then opened:drop() end
      return opened ~= nil, status
    end },
    { "/collab", function(headers)
      local opened, status = Collab.open(world, { headers = headers })
      if not opened then return false, status end
      local scope = opened:token("notes", "")
      opened:drop()
      return scope == "read-write"
    end },
    { "an edit", function(headers)
      local answer = people:raw("POST", DOC .. "/ops", headers, OPS)
      return answer.status == 200, answer.status
    end },
    { "a ticket", function(headers)
      local answer = people:raw("POST", "/auth/ticket", headers, { org = "default", doc = "notes" })
      return answer.status == 200, answer.status
    end },
  }

  local function headers_of(origin, site)
    local jar = people:jar(ana)
    return { Cookie = jar.Cookie, ["X-ML-CSRF"] = jar["X-ML-CSRF"], Origin = origin or nil, ["Sec-Fetch-Site"] = site }
  end

  it("is judged byte by byte, at every door", function()
    local port = world.port
    local own, host = "http://127.0.0.1:" .. port, "127.0.0.1:" .. port
    local cases = {
      -- Ours, and what looks like it.
      { own, true }, { own:upper(), true }, { "  " .. own .. " \t", true },
      { false, false }, { "", false }, { "null", false }, { "NULL", false }, { "undefined", false }, { "*", false },
      { "https://" .. host, false }, { "ws://" .. host, false }, { "file://" .. host, false }, { host, false }, { "//" .. host, false },
      { "http:" .. host, false }, { "http://", false }, { "http:///" .. host, false },
      { "http://127.0.0.1:" .. (port == 65535 and 1 or port + 1), false }, { "http://127.0.0.1", false }, { "http://127.0.0.1:", false },
      { "http://127.0.0.1:0" .. port, false }, { "http://127.0.0.1:80", false },
      { "http://localhost:" .. port, false }, { "http://[::1]:" .. port, false }, { "http://[::ffff:127.0.0.1]:" .. port, false },
      { "http://2130706433:" .. port, false }, { "http://0x7f.0.0.1:" .. port, false }, { "http://127.1:" .. port, false },
      { "http://sub." .. host, false }, { "http://evil" .. host, false }, { "http://127.0.0.1.:" .. port, false },
      { own .. ".evil.example", false }, { "http://127.0.0.1.evil.example:" .. port, false }, { own .. "evil", false },
      { "http://ana@" .. host, false }, { own .. "@evil.example", false }, { "http://ana:x@" .. host, false },
      { own .. "/", false }, { own .. "/edit/default/notes", false }, { own .. "?x", false }, { own .. "#x", false },
      { own .. "\\@evil.example", false }, { own .. "%00", false }, { own .. ";x", false },
      { own .. ", https://evil.example", false }, { "https://evil.example, " .. own, false }, { own .. " https://evil.example", false },
      { own .. "," .. own, false }, { "http:// " .. host, false },
      { own .. "\r\nOrigin: https://evil.example", false, 400 }, { "https://evil.example\r\norigin: " .. own, false, 400 },
      { own .. "\r\nOrigin: " .. own, false, 400 },
      -- Those in the configuration.
      { "https://docs.example.com", true }, { "https://Docs.EXAMPLE.com", true }, { "HTTPS://docs.example.com", true },
      { "http://docs.example.com", false }, { "https://docs.example.com:443", false }, { "https://docs.example.com:8443", false },
      { "https://example.com", false }, { "https://a.docs.example.com", false }, { "https://evildocs.example.com", false },
      { "https://docs.example.com.", false }, { "https://docs.example.com.evil.example", false }, { "https://docs.example.comevil", false },
      { "https://evil.example#docs.example.com", false }, { "https://evil.example/docs.example.com", false },
      { "https://docs.example.com@evil.example", false }, { "https://docs%2eexample.com", false }, { "javascript://docs.example.com", false },
      -- One label before a pattern.
      { "https://one.apps.example.org", true }, { "https://ONE.apps.example.org", true }, { "https://a.b.apps.example.org", false },
      { "https://apps.example.org", false }, { "https://.apps.example.org", false }, { "https://*.apps.example.org", false },
      { "https://evil.example:1.apps.example.org", false }, { "https://evil?.apps.example.org", false }, { "https://xapps.example.org", false },
      { "https://one.apps.example.org.evil.example", false }, { "https://one.apps.example.org:444", false },
      -- Names in other letters, addresses of IPv6.
      { "https://xn--bcher-kva.example", true }, { "https://b\195\188cher.example", false }, { "https://xn--dcs-jhb.example.com", false },
      { "https://d\208\190cs.example.com", false },
      { "https://[2001:db8::1]:8443", true }, { "https://[2001:DB8::1]:8443", true }, { "https://[2001:db8::1]", false },
      { "https://[2001:db8:0::1]:8443", false }, { "https://2001:db8::1:8443", false }, { "https://[2001:db8::1%25lo]:8443", false },
    }
    local wrong, counted = {}, 0
    for _, case in ipairs(cases) do
      local origin, may, how = case[1], case[2], case[3]
      for _, door in ipairs(doors) do
        local is_in, status = door[2](headers_of(origin))
        counted = counted + 1
        if is_in ~= may then wrong[#wrong + 1] = ("%s, %s: %s"):format(door[1], tostring(origin), is_in and "taken" or "refused") end
        if not may and origin and status ~= (how or 403) then wrong[#wrong + 1] = ("%s, %s: %s"):format(door[1], tostring(origin), tostring(status)) end
      end
    end
    assert.same({}, wrong)
    assert.is_true(#cases >= 90, #cases)
    print(("# %d origins, %d doors, %d answers"):format(#cases, #doors, counted))
  end)

  it("may be told by the browser instead, for requests", function()
    local own = "http://127.0.0.1:" .. world.port
    local cases = {
      { nil, "same-origin", true }, { nil, "same-site", false }, { nil, "cross-site", false }, { nil, "none", false }, { nil, "", false },
      { nil, "same-origin, cross-site", false },
      { own, "same-origin", true }, { "https://docs.example.com", "cross-site", true }, { "https://docs.example.com", "same-site", true },
      { "https://evil.example", "same-origin", false }, { "null", "same-origin", false }, { "https://evil.example", "none", false },
    }
    for _, case in ipairs(cases) do
      for i, door in ipairs(doors) do
        local may = case[3]
        if i <= 2 and not case[1] then may = false end -- a socket has to say where it is from
        assert.equal(may, (door[2](headers_of(case[1], case[2]))), ("%s, %s, %s"):format(door[1], tostring(case[1]), case[2]))
      end
    end
  end)

  it("has the scheme of public_url, behind a proxy too", function()
    local other = World.new { config = "auth = { mode = 'password' }\npublic_url = 'https://docs.example.com/'\n" }
    local there = Accounts.new(other)
    there:add("ana", "owner")
    local jar = there:login("ana").cookies
    local cases = {
      { "docs.example.com", "https://docs.example.com", 200 }, { "docs.example.com", "http://docs.example.com", 403 },
      { "node-3:8080", "https://docs.example.com", 200 }, { "node-3:8080", "http://docs.example.com", 403 },
      { "node-3:8080", "http://node-3:8080", 403 }, { "node-3:8080", "https://evil.example", 403 },
      { "docs.example.com", "https://docs.example.com:8443", 403 }, { "docs.example.com", "https://a.docs.example.com", 403 },
      { "127.0.0.1:" .. other.port, "http://127.0.0.1:" .. other.port, 200 },
    }
    for _, case in ipairs(cases) do
      local headers = { Cookie = "__Host-ml_at=" .. jar["__Host-ml_at"], ["X-ML-CSRF"] = jar["__Host-ml_csrf"], Host = case[1], Origin = case[2] }
      assert.equal(case[3], there:raw("POST", "/auth/ticket", headers, { org = "default", doc = "notes" }).status, case[1] .. " " .. case[2])
    end
    other:close()
  end)

  -- What the pages of other origins may read (SEC-CS-02).
  local function cors(answer)
    local found = { vary = answer.head:match "Vary: ([^\r]*)" }
    for name, value in answer.head:gmatch "Access%-Control%-([%w-]+): ([^\r]*)" do found[name] = value end
    return found
  end
  local TOKEN = { ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Headers"] = "authorization,content-type" }

  it("may ask before it writes, and is told what it may, if it is listed as it is", function()
    for _, origin in ipairs { "https://docs.example.com", "https://xn--bcher-kva.example", "https://[2001:db8::1]:8443" } do
      local headers = { Origin = origin }
      for name, value in pairs(TOKEN) do headers[name] = value end
      local answer = people:raw("OPTIONS", DOC .. "/ops", headers)
      assert.equal(204, answer.status)
      assert.same({
        vary = "Origin", ["Allow-Origin"] = origin, ["Allow-Credentials"] = "true", ["Allow-Methods"] = "POST, OPTIONS",
        ["Allow-Headers"] = "Authorization, Content-Type, If-Match, If-None-Match, X-ML-CSRF", ["Max-Age"] = "600",
        ["Expose-Headers"] = "ETag, Location, Retry-After",
      }, cors(answer))
    end
    local plain = people:raw("OPTIONS", DOC .. "/ops", { Origin = "https://docs.example.com" })
    assert.is_nil(cors(plain)["Allow-Methods"]) -- no preflight
  end)

  it("reads answers, and refusals, with a token or with cookies", function()
    local token = people:token("--org", "default", "--user", "tom", "--role", "editor")
    local origin, jar = "https://docs.example.com", people:jar(ana)
    local function ask(method, path, headers, body)
      headers.Origin = origin
      local answer = people:raw(method, path, headers, body)
      return answer.status, cors(answer)
    end
    local may = { vary = "Origin", ["Allow-Origin"] = origin, ["Allow-Credentials"] = "true", ["Expose-Headers"] = "ETag, Location, Retry-After" }
    for _, case in ipairs {
      { 200, "GET", DOC .. "/content", { Authorization = "Bearer " .. token } }, { 200, "GET", DOC .. "/content", { Cookie = jar.Cookie } },
      { 200, "POST", DOC .. "/ops", { Authorization = "Bearer " .. token }, OPS },
      { 200, "POST", DOC .. "/ops", { Cookie = jar.Cookie, ["X-ML-CSRF"] = jar["X-ML-CSRF"] }, OPS },
      { 403, "POST", DOC .. "/ops", { Cookie = jar.Cookie }, OPS }, -- no proof
      { 404, "GET", DOC .. "/content", {} }, { 404, "GET", "/api/v1/nothing", {} }, { 405, "PUT", DOC .. "/ops", {}, OPS },
      { 401, "GET", DOC .. "/content", { Authorization = "Bearer " .. token .. "x" } },
    } do
      local status, fields = ask(case[2], case[3], case[4], case[5])
      assert.equal(case[1], status, case[2] .. " " .. case[3])
      assert.same(may, fields)
    end
    -- Signing in is for the server's own pages; what is no API says nothing about origins.
    for _, path in ipairs { "/auth/session", "/auth/jwks", "/healthz", "/", "/api/v2/orgs" } do
      local _, fields = ask("GET", path, {})
      assert.same({}, fields, path)
    end
    local headers = { Origin = origin }
    for name, value in pairs(TOKEN) do headers[name] = value end
    assert.same({}, cors(people:raw("OPTIONS", "/auth/login", headers)))
  end)

  it("reads nothing if it is another, or a pattern lets it in", function()
    local token = people:token("--org", "default", "--user", "tom", "--role", "editor")
    local own = "http://127.0.0.1:" .. world.port
    for _, origin in ipairs {
      "https://evil.example", "null", "", "*", own, "http://docs.example.com", "https://docs.example.com:443", "https://docs.example.com.",
      "https://docs.example.com.evil.example", "https://a.docs.example.com", "https://one.apps.example.org", "https://*.apps.example.org",
      "https://docs.example.com, https://evil.example", "https://docs.example.com/", "https://" .. ("a"):rep(400) .. ".example",
    } do
      local headers = { Origin = origin, Authorization = "Bearer " .. token }
      assert.same({ vary = "Origin" }, cors(people:raw("GET", DOC .. "/content", headers)), origin)
      for name, value in pairs(TOKEN) do headers[name] = value end
      assert.same({ vary = "Origin" }, cors(people:raw("OPTIONS", DOC .. "/ops", headers)), origin)
    end
    assert.same({ vary = "Origin" }, cors(people:raw("GET", DOC .. "/content", { Authorization = "Bearer " .. token })))
    -- The next request on a connection is another one.
    local http, socket = require "http", require "socket"
    local sock = assert(socket.tcp())
    sock:settimeout(30)
    assert(sock:connect("127.0.0.1", world.port))
    local seen = {}
    for i, origin in ipairs { "https://docs.example.com", "https://evil.example", "https://docs.example.com" } do
      sock:send(http.text(world.port, "GET", DOC .. "/content", { Origin = origin, Authorization = "Bearer " .. token }))
      seen[i] = http.read(sock).fields["access-control-allow-origin"] or "none"
    end
    sock:send "broken\r\n\r\n"
    seen[4] = http.read(sock).fields["access-control-allow-origin"] or "none"
    sock:close()
    assert.same({ "https://docs.example.com", "none", "https://docs.example.com", "none" }, seen)
  end)
end)
