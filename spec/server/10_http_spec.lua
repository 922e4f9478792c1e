-- The HTTP face: the page, its assets, health, the session, the list, and requests that are refused.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

describe("HTTP", function()
  local world

  setup(function() world = World.new() end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function get(path, headers) return world:get(path, headers) end
  local function status_of(text, seconds)
    local answer = http.raw(world.port, text, seconds)
    return answer and answer.status
  end

  local EVERYWHERE = {
    ["x-content-type-options"] = "nosniff", ["referrer-policy"] = "same-origin",
    ["cross-origin-opener-policy"] = "same-origin", ["cross-origin-resource-policy"] = "same-origin",
  }

  it("answers with the security fields, whatever it answers", function()
    for _, path in ipairs { "/", "/healthz", "/auth/session", "/api/v1/orgs/default/docs", "/no-such-page", "/edit/default/x" } do
      local answer = get(path)
      for name, value in pairs(EVERYWHERE) do assert.equal(value, answer.fields[name], path .. " " .. name) end
      assert.truthy(answer.fields["permissions-policy"], path)
      assert.truthy(answer.fields.date, path)
    end
  end)

  describe("the page", function()
    it("carries a policy with a nonce that stands in the page too", function()
      local answer = get "/"
      assert.equal(200, answer.status)
      assert.equal("text/html; charset=utf-8", answer.fields["content-type"]:lower())
      assert.equal("no-store", answer.fields["cache-control"])
      local policy = answer.fields["content-security-policy"]
      local nonce = policy:match "'nonce%-([^']+)'"
      assert.truthy(nonce and #nonce >= 22, "128 bits of nonce")
      assert.equal(("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-%s'; img-src 'self' data: blob:; "
        .. "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
        .. "form-action 'self'; frame-ancestors 'none'; object-src 'none'"):format(nonce), policy)
      assert.truthy(answer.body:find(nonce, 1, true), "the nonce is in the page")
      assert.falsy(answer.body:find("__ML_NONCE__", 1, true))
      assert.falsy(answer.body:find "<script>", "no inline script")
    end)

    it("gets a fresh nonce each time", function()
      local seen = {}
      for _ = 1, 20 do
        local nonce = get("/").fields["content-security-policy"]:match "'nonce%-([^']+)'"
        assert.falsy(seen[nonce])
        seen[nonce] = true
      end
    end)

    it("is the same for the address of any document that can exist", function()
      for _, path in ipairs { "/sign-in", "/setup", "/invite", "/password", "/edit/default/notes", "/edit/default/a/b%20c", "/edit/default/%C3%BC" } do
        local answer = get(path)
        assert.equal(200, answer.status, path)
        assert.truthy(answer.fields["content-security-policy"]:find "nonce", path)
      end
    end)

    it("is not there for addresses that cannot be a document", function()
      for _, path in ipairs { "/sign-in/", "/setup/x", "/invite/x", "/edit/", "/edit/default", "/edit/default/", "/edit/Default/x", "/edit/-a/x", "/edit/default/%00", "/edit/default/a%0Ab", "/edit/default/%ff" } do
        assert.equal(404, get(path).status, path)
      end
    end)
  end)

  describe("assets", function()
    local paths

    setup(function()
      paths = {}
      for path in get("/").body:gmatch '["\'](/assets/[^"\']+)["\']' do paths[#paths + 1] = path end
      for line in process.read(World.ROOT .. "/www/dist/files.tsv"):gmatch "[^\n]+" do
        local path = line:match "^(/[^\t]+)"
        if path and path ~= "/index.html" then paths[#paths + 1] = path end
      end
      assert(#paths > 3, "the page refers to its scripts")
    end)

    it("are there with type, tag and, if their name is hashed, for a year", function()
      for _, path in ipairs(paths) do
        local answer = get(path)
        assert.equal(200, answer.status, path)
        assert.truthy(answer.fields["content-type"], path)
        assert.truthy(answer.fields.etag, path)
        assert.equal(tonumber(answer.fields["content-length"]), #answer.body, path)
        local year = answer.fields["cache-control"] == "public, max-age=31536000, immutable"
        assert.truthy(year or answer.fields["cache-control"] == "no-cache", path)
        if path:find "^/assets/" then assert.truthy(year, path) end
      end
    end)

    it("come compressed to who asks for it, and plain to others, with the same content", function()
      local compressed = 0
      for _, path in ipairs(paths) do
        local plain, small = get(path), get(path, { ["Accept-Encoding"] = "gzip, br" })
        if small.fields["content-encoding"] then
          compressed = compressed + 1
          assert.equal("gzip", small.fields["content-encoding"])
          assert.truthy((small.fields.vary or ""):lower():find "accept%-encoding", path)
          assert.truthy((plain.fields.vary or ""):lower():find "accept%-encoding", path)
          assert.not_equal(plain.fields.etag, small.fields.etag, path)
          local file = process.write(process.folder() .. "/x.gz", small.body)
          local status, out = process.run { "gzip", "-dc", file }
          assert.equal(0, status)
          assert.truthy(out == plain.body, path .. ": the compressed one is something else")
        end
      end
      assert.truthy(compressed > 0, "something is compressed")
    end)

    it("are not sent again to who has them", function()
      for _, path in ipairs(paths) do
        local tag = get(path).fields.etag
        local again = get(path, { ["If-None-Match"] = tag })
        assert.equal(304, again.status, path)
        assert.equal("", again.body)
        assert.equal(200, get(path, { ["If-None-Match"] = '"something-else"' }).status)
      end
    end)

    it("are never found by tricks of the path", function()
      local tricks = {
        "/assets/", "/assets", "/assets/../index.html", "/assets/..%2findex.html", "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/../../../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/..%5c..%5cetc%5cpasswd", "/%2e%2e/%2e%2e/etc/passwd",
        "/%c0%ae%c0%ae/etc/passwd", "/assets/%00", "/index.html%00.js", "//etc/passwd", "/./index.js", "/files.tsv",
        "/assets/" .. ("a"):rep(4000), "/.git/config", "/moonloom.db", "/data/moonloom.db", "/proc/self/environ",
        "/assets/..;/index.html", "/%252e%252e/etc/passwd", "/assets//" .. paths[1]:sub(2),
      }
      for _, path in ipairs(tricks) do
        local answer = get(path)
        assert.truthy(answer.status == 404 or answer.status == 400, path .. " answers " .. answer.status)
        assert.falsy(answer.body:find("root:", 1, true), path)
      end
    end)
  end)

  it("answers HEAD with the fields of GET and without a body", function()
    for _, path in ipairs { "/", "/healthz", "/no-such-page" } do
      local head, full = http.request(world.port, "HEAD", path), get(path)
      assert.equal(full.status, head.status)
      assert.equal(full.fields["content-length"], head.fields["content-length"], path)
      assert.equal(full.fields["content-type"], head.fields["content-type"], path)
    end
    local sock = assert(socket.connect("127.0.0.1", world.port))
    sock:settimeout(10)
    sock:send(http.text(world.port, "HEAD", "/healthz", { Connection = "close" }))
    local all, _, part = sock:receive "*a"
    all = all or part
    assert.truthy(all:find "\r\n\r\n$", "nothing after the blank line")
    sock:close()
  end)

  it("is alive and ready", function()
    assert.equal(200, get("/healthz").status)
    assert.equal(200, get("/readyz").status)
  end)

  it("tells who asks: a guest, in open mode", function()
    local answer = get "/auth/session"
    assert.equal(200, answer.status)
    assert.equal("open", cjson.decode(answer.body).mode)
    assert.equal("no-store", answer.fields["cache-control"])
  end)

  describe("the list of documents", function()
    setup(function()
      for _, name in ipairs { "list/a", "list/b", "list/c", "list/%C3%BC", "other" } do
        world:client("anna"):joins(name):types(0, "x"):is_acknowledged():leaves()
      end
    end)

    local function list(query)
      local answer = get("/api/v1/orgs/default/docs" .. (query or ""))
      assert.equal(200, answer.status)
      local decoded, names = cjson.decode(answer.body), {}
      for _, item in ipairs(decoded.items) do names[#names + 1] = item.name end
      return names, decoded
    end

    it("has names, heads and times", function()
      local names, decoded = list()
      assert.same({ "list/a", "list/b", "list/c", "list/ü", "other" }, names)
      for _, item in ipairs(decoded.items) do
        assert.equal(1, item.seq)
        assert.truthy(math.abs(item.updated_at_ms / 1000 - os.time()) < 60)
      end
      assert.equal(cjson.null, decoded.next)
    end)

    it("goes on where it stopped", function()
      local names, decoded = list "?limit=2"
      assert.same({ "list/a", "list/b" }, names)
      local rest = list("?limit=10&after=" .. decoded.next:gsub("/", "%%2F"))
      assert.same({ "list/c", "list/ü", "other" }, rest)
    end)

    it("can be narrowed to a prefix", function()
      assert.same({ "list/a", "list/b", "list/c", "list/ü" }, (list "?prefix=list/"))
      assert.same({ "list/ü" }, (list "?prefix=list/%C3%BC"))
      assert.same({}, (list "?prefix=100%25"))
    end)

    it("refuses limits that are none", function()
      for _, limit in ipairs { "0", "-1", "1001", "x", "", "99999999999999999999" } do
        assert.equal(400, get("/api/v1/orgs/default/docs?limit=" .. limit).status, limit)
      end
    end)

    it("does not tell one org's from no org's", function()
      assert.equal(404, get("/api/v1/orgs/other/docs").status)
      assert.equal(404, get("/api/v1/orgs/Other/docs").status)
      assert.equal("not_found", cjson.decode(get("/api/v1/orgs/other/docs").body).error.code)
    end)
  end)

  it("has errors that people can quote", function()
    local answer = get "/api/v1/nothing"
    assert.equal(404, answer.status)
    local err = cjson.decode(answer.body).error
    assert.truthy(err.code and err.message and #err.incident >= 8)
  end)

  it("does not answer under a name that was rebound to this machine", function()
    for _, host in ipairs { "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80" } do
      assert.equal(403, get("/api/v1/orgs/default/docs", { Host = host }).status, host)
      assert.equal(403, get("/auth/session", { Host = host }).status, host)
    end
    assert.equal(200, get("/auth/session", { Host = "localhost:" .. world.port }).status)
  end)

  describe("refuses", function()
    local function request(line, ...)
      local lines = { line, "Host: x", ... }
      return table.concat(lines, "\r\n") .. "\r\n\r\n"
    end

    it("other methods with 405", function()
      for _, method in ipairs { "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW" } do
        local answer = http.request(world.port, method, "/")
        assert.equal(405, answer.status, method)
        assert.truthy(answer.fields.allow:find "GET", method)
      end
    end)

    it("long targets with 414, at the limit and not before", function()
      local room = 8192 - #"GET / HTTP/1.1" -- the line without its end
      assert.equal(404, status_of(request("GET /" .. ("a"):rep(room) .. " HTTP/1.1")))
      assert.equal(414, status_of(request("GET /" .. ("a"):rep(room + 1) .. " HTTP/1.1")))
      assert.equal(414, status_of("GET /" .. ("a"):rep(9000)))
    end)

    it("long or many header fields with 431", function()
      assert.equal(431, status_of(request("GET /healthz HTTP/1.1", "X: " .. ("a"):rep(17000))))
      local many = {}
      for i = 1, 99 do many[i] = "X-" .. i .. ": 1" end
      assert.equal(200, status_of(request("GET /healthz HTTP/1.1", unpack(many))))
      many[100] = "X-100: 1"
      assert.equal(431, status_of(request("GET /healthz HTTP/1.1", unpack(many))))
    end)

    it("what two programs could read in two ways, with 400", function()
      local ambiguous = {
        "GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\255 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /# HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", "GET /\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\n",
        "\r\n\r\n", "\0\0\0\0\r\n\r\n", "\22\3\1\2\0\1\0\1\252\r\n\r\n",
      }
      for _, text in ipairs(ambiguous) do
        assert.equal(400, status_of(text), ("%q"):format(text))
      end
    end)

    it("HTTP/2, asked for in either way", function()
      local preface = status_of "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
      assert.truthy(preface == 400 or preface == 505, tostring(preface))
      assert.equal(400, status_of(request("GET / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")))
      assert.equal(505, status_of(request "GET / HTTP/2.0"))
    end)

    it("bodies over the limit with 413", function()
      assert.equal(413, status_of(request("POST / HTTP/1.1", "Content-Length: 2000000")))
    end)

    it("a request after a body that nobody read: no smuggling", function()
      local sock = assert(socket.connect("127.0.0.1", world.port))
      sock:settimeout(5)
      local inner = request "GET /healthz HTTP/1.1"
      sock:send(request("POST / HTTP/1.1", "Content-Length: " .. #inner) .. inner)
      local first = http.read(sock)
      assert.equal(405, first.status)
      assert.equal("close", first.fields.connection)
      assert.is_nil(http.read(sock))
      sock:close()
    end)
  end)

  it("answers several requests of one connection, also when they come at once", function()
    local sock = assert(socket.connect("127.0.0.1", world.port))
    sock:settimeout(5)
    sock:send(http.text(world.port, "GET", "/healthz"):rep(3))
    for _ = 1, 3 do assert.equal(200, http.read(sock).status) end
    sock:send(http.text(world.port, "GET", "/auth/session"))
    assert.equal(200, http.read(sock).status)
    sock:send(http.text(world.port, "GET", "/healthz", { Connection = "close" }))
    assert.equal("close", http.read(sock).fields.connection)
    assert.is_nil(http.read(sock))
    sock:close()
  end)

  it("reads a request that comes byte by byte", function()
    local sock = assert(socket.connect("127.0.0.1", world.port))
    sock:setoption("tcp-nodelay", true)
    sock:settimeout(5)
    for byte in http.text(world.port, "GET", "/healthz"):gmatch "." do sock:send(byte) end
    assert.equal(200, http.read(sock).status)
    sock:close()
  end)
end)
