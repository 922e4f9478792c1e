-- The HTTP API beside live editors: documents made once, read in every form, written by updates and operations, deleted.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

local JSON, BYTES = "application/json", "application/octet-stream"

describe("the API", function()
  local world

  setup(function() world = World.new() end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function path(name, rest)
    local escaped = name:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)
    return "/api/v1/orgs/default/docs/" .. escaped .. (rest or "")
  end

  local function ask(method, where, body, headers)
    local all = {}
    for key, value in pairs(headers or {}) do all[key] = value end
    if type(body) == "table" then
      all["Content-Type"] = all["Content-Type"] or JSON
      body = cjson.encode(body)
    elseif body then
      all["Content-Type"] = all["Content-Type"] or BYTES
    end
    local answer = http.request(world.port, method, where, all, body)
    if answer and answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end

  local function create(name, content, extra)
    local body = extra or {}
    body.name, body.content = name, content
    return ask("POST", "/api/v1/orgs/default/docs", body)
  end
  local function ops(name, list, headers) return ask("POST", path(name, "/ops"), { ops = list }, headers) end
  local function content(name, query) return world:get(path(name, "/content") .. (query and "?" .. query or "")) end
  local function refused(status, code, answer)
    assert.equal(status, answer.status, answer.body)
    assert.equal(code, answer.json.error.code, answer.body)
    assert.truthy(#answer.json.error.incident == 16 and answer.json.error.message ~= "")
  end

  describe("makes a document", function()
    it("with its content, and tells where it is", function()
      local answer = create("first/one ü", "hello")
      assert.equal(201, answer.status, answer.body)
      assert.equal("/api/v1/orgs/default/docs/first%2Fone%20%C3%BC", answer.fields.location)
      assert.same({ name = "first/one ü", seq = 1, epoch = 1 }, answer.json)
      assert.equal("hello", content("first/one ü").body)
      assert.truthy(world:documents()["first/one ü"])
    end)

    it("once, however many ask at the same moment", function()
      local socks, made = {}, 0
      for i = 1, 30 do
        local body = cjson.encode { name = "once", content = "by " .. i }
        socks[i] = assert(socket.tcp())
        socks[i]:settimeout(20)
        assert(socks[i]:connect("127.0.0.1", world.port))
        socks[i]:send(http.text(world.port, "POST", "/api/v1/orgs/default/docs", { ["Content-Type"] = JSON }, body))
      end
      for i, sock in ipairs(socks) do
        local answer = http.read(sock)
        assert.truthy(answer.status == 201 or answer.status == 409, answer.body)
        if answer.status == 201 then
          made = made + 1
          assert.equal("by " .. i, content("once").body)
        end
        sock:close()
      end
      assert.equal(1, made)
      refused(409, "exists", create "once")
    end)

    it("that is empty, or begins as another", function()
      assert.equal(201, create("empty").status)
      assert.equal(200, world:get(path "empty").status)
      assert.equal("", content("empty").body)
      assert.equal(201, create("pattern", "as it is").status)
      assert.equal(201, create("copy", nil, { template = "pattern" }).status)
      ops("pattern", { { "text.delete", "content", 0, 8 } })
      assert.equal("as it is", content("copy").body)
      refused(422, "no_template", create("copy2", nil, { template = "nothing" }))
      assert.equal(404, world:get(path "copy2").status)
    end)

    it("from operations, or from an update", function()
      assert.equal(201, create("by-ops", { ops = { { "map.set", "meta", "title", "T" }, { "text.insert", "content", 0, "x" } } }).status)
      assert.equal('{"title":"T"}', content("by-ops", "root=meta&as=json").body)
      local state = world:get(path("by-ops", "/state")).body
      local coded = require("mime").b64(state):gsub("+", "-"):gsub("/", "_"):gsub("=", "")
      assert.equal(201, create("by-update", { update = coded }).status)
      assert.equal(state, world:get(path("by-update", "/state")).body)
    end)

    it("while somebody has its address open: they get the document as it is", function()
      local anna = world:client "anna":joins "waited-for"
      assert.equal(201, create("waited-for", "here it is").status)
      anna:is_closed(5)
      anna:joins "waited-for"
      anna:sees "here it is"
    end)

    it("only from a body that says so", function()
      local bad = {
        { { content = "x" }, "bad_name" }, { { name = "" }, "bad_name" }, { { name = ".." }, "bad_name" }, { { name = 5 }, "bad_name" },
        { { name = "a\nb" }, "bad_name" }, { { name = "u\204\136" }, "bad_name" }, { { name = ("x"):rep(513) }, "bad_name" },
        { { name = "a", nane = "b" }, "unknown_field" }, { { name = "a", content = 5 }, "bad_content" },
        { { name = "a", content = { update = "%%%" } }, "bad_content" }, { { name = "a", content = { update = "AQ" } }, "bad_update" },
        { { name = "a", content = { ops = { { "no.such" } } } }, "bad_content" }, { { name = "a", content = "x", template = "y" }, "bad_content" },
        { { name = "a", content = { other = 1 } }, "bad_content" }, { { name = "a", root = 5 }, "bad_root" },
      }
      for _, row in ipairs(bad) do refused(400, row[2], ask("POST", "/api/v1/orgs/default/docs", row[1])) end
      for _, text in ipairs { "", "[]", "{", '"x"', "null", '{"name":"a"', ("["):rep(100000), '{"name":' .. ("["):rep(70) .. ("]"):rep(70) .. "}", "\255" } do
        refused(400, "bad_json", ask("POST", "/api/v1/orgs/default/docs", text, { ["Content-Type"] = JSON }))
      end
      assert.equal(404, world:get(path "a").status)
    end)
  end)

  describe("writes", function()
    it("reach live editors, the history and its author, like anybody's", function()
      local anna = world:client "anna":joins "live"
      anna:types(0, "world"):is_acknowledged()
      local answer = ops("live", { { "text.insert", "content", 0, "hello " } })
      assert.equal(200, answer.status, answer.body)
      assert.equal(2, answer.json.seq)
      anna:sees "hello world"
      anna:types(11, "!"):is_acknowledged()
      assert.equal("hello world!", content("live").body)
      local items = ask("GET", path("live", "/history")).json.items
      assert.equal(3, #items)
      assert.equal(3, items[1].seq)
      assert.equal("guest", items[2].user)
      assert.truthy(items[1].user:find("^guest%-%x+$") and items[1].user == items[3].user)
      assert.truthy(items[1].session ~= items[2].session)
    end)

    it("are durable before they are answered", function()
      local own = World.new()
      local old = world
      world = own
      local seqs = {}
      for i = 1, 20 do seqs[i] = ops("durable", { { "text.insert", "content", 0, "x" } }).json.seq end
      own:kill()
      own:start()
      assert.equal(("x"):rep(20), content("durable").body)
      for i, seq in ipairs(seqs) do assert.equal(i, seq) end
      world = old
      own:close()
    end)

    it("by operations use one client id, however many there are", function()
      for _ = 1, 30 do assert.equal(200, ops("ids", { { "text.insert", "content", 0, "x" } }).status) end
      local state = world:get(path("ids", "/state")).body
      assert.equal(1, state:byte(1), "sections of the update: one writer")
    end)

    it("by operations are all there or none", function()
      assert.equal(200, ops("atomic", { { "text.insert", "content", 0, "kept" } }).status)
      refused(400, "bad_ops", ops("atomic", { { "text.insert", "content", 0, "lost" }, { "text.delete", "content", 100, 5 } }))
      refused(400, "bad_ops", ops("atomic", { { "text.insert", "content", 99, "lost" } }))
      refused(400, "bad_ops", ops("atomic", { { "text.burn", "content" } }))
      assert.equal("kept", content("atomic").body)
      assert.equal(1, ask("GET", path "atomic").json.seq)
      for _, text in ipairs { "{}", '{"ops":{}}', '{"ops":[],"more":1}', '{"ops":"x"}', "nonsense" } do
        refused(400, "bad_json", ask("POST", path("atomic", "/ops"), text, { ["Content-Type"] = JSON }))
      end
      assert.equal(1, ask("POST", path("atomic", "/ops"), '{"ops":[]}', { ["Content-Type"] = JSON }).json.seq)
    end)

    it("are made only at the expected seq, if one is given", function()
      assert.equal(1, ops("conditional", { { "text.insert", "content", 0, "a" } }).json.seq)
      local answer = ops("conditional", { { "text.insert", "content", 1, "b" } }, { ["If-Match"] = '"1"' })
      assert.equal(2, answer.json.seq)
      assert.equal('"2"', answer.fields.etag)
      refused(412, "changed", ops("conditional", { { "text.insert", "content", 1, "c" } }, { ["If-Match"] = '"1"' }))
      refused(412, "changed", ops("conditional", { { "text.insert", "content", 1, "c" } }, { ["If-Match"] = '"3"' }))
      refused(412, "changed", ask("POST", path("conditional", "/updates"), "\0\0", { ["If-Match"] = '"1"' }))
      for _, bad in ipairs { "1", '"x"', '""', "*", '"1', '"1", "2"', 'W/"1"', '"-1"', '"99999999999999999999"' } do
        refused(400, "bad_if_match", ops("conditional", { { "text.insert", "content", 1, "c" } }, { ["If-Match"] = bad }))
      end
      assert.equal("ab", content("conditional").body)
    end)

    it("of which one wins, when many ask for the same seq", function()
      assert.equal(1, ops("race", { { "text.insert", "content", 0, "." } }).json.seq)
      local socks, won = {}, 0
      for i = 1, 20 do
        local sock = assert(socket.tcp())
        sock:settimeout(20)
        assert(sock:connect("127.0.0.1", world.port))
        sock:send(http.text(world.port, "POST", path("race", "/ops"), { ["Content-Type"] = JSON, ["If-Match"] = '"1"' },
          cjson.encode { ops = { { "text.insert", "content", 0, "x" } } }))
        socks[i] = sock
      end
      for _, sock in ipairs(socks) do
        local answer = http.read(sock)
        assert.truthy(answer.status == 200 or answer.status == 412, answer.body)
        if answer.status == 200 then won = won + 1 end
        sock:close()
      end
      assert.equal(1, won)
      assert.equal("x.", content("race").body)
    end)

    it("of bytes that are no update change nothing", function()
      for _, bytes in ipairs { "junk", "\1", "\255\255\255\255", "" } do
        local answer = ask("POST", path("no-update", "/updates"), bytes)
        refused(400, "bad_update", answer)
      end
      refused(400, "bad_update", ask("POST", path("no-update", "/updates?format=v2"), "junk"))
      assert.equal(404, world:get(path "no-update").status)
    end)

    it("of what is known already are acknowledged with where the document is", function()
      assert.equal(200, ops("known", { { "text.insert", "content", 0, "x" } }).status)
      local state = world:get(path("known", "/state")).body
      local again = ask("POST", path("known", "/updates"), state)
      assert.equal(200, again.status)
      assert.equal(1, again.json.seq)
      local v2 = world:get(path("known", "/state?format=v2")).body
      assert.equal(1, ask("POST", path("known", "/updates?format=v2"), v2).json.seq)
      assert.equal(1, #ask("GET", path("known", "/history")).json.items)
    end)
  end)

  describe("reads", function()
    setup(function()
      create("forms", { ops = {
        { "text.delta", "content", {
          { insert = "Title" }, { insert = "\n", attributes = { header = 1 } },
          { insert = "a <b> " }, { insert = "link", attributes = { link = "javascript:alert(1)" } }, { insert = "\n" },
        } },
        { "map.set", "meta", "n", 1.5 },
        { "xml.insert", "page", 0, { { ["$new"] = "xmlelement", name = "paragraph", children = { { ["$new"] = "xmltext", text = "P & Q" } } } } },
      } })
    end)

    it("in every form, none of which a browser runs", function()
      local rows = {
        { "as=text", "Title\na <b> link\n", "text/plain" },
        { "as=json&root=meta", '{"n":1.5}', "application/json" },
        { "as=xml&root=page", "<paragraph>P & Q</paragraph>", "application/xml" },
        { "as=html", "<h1>Title</h1>\n<p>a &lt;b&gt; link</p>\n", "text/html" },
        { "as=html&root=page", "<p>P &amp; Q</p>\n", "text/html" },
        { "as=markdown", "# Title\n\na \\<b\\> link\n", "text/markdown" },
        { "as=text&root=nothing", "", "text/plain" },
      }
      for _, row in ipairs(rows) do
        local answer = content("forms", row[1])
        assert.equal(200, answer.status, row[1])
        assert.equal(row[2], answer.body)
        assert.truthy(answer.fields["content-type"]:find(row[3], 1, true), row[1])
        assert.equal("no-store", answer.fields["cache-control"])
        assert.equal("nosniff", answer.fields["x-content-type-options"])
        assert.truthy(answer.fields["content-security-policy"]:find("default-src 'none'", 1, true))
        assert.equal('"1"', answer.fields.etag)
        if row[3] == "text/html" or row[3] == "application/xml" then assert.equal("attachment", answer.fields["content-disposition"]) end
      end
      local delta = cjson.decode(content("forms", "as=delta").body)
      assert.equal("Title", delta[1].insert)
      assert.equal(1, delta[2].attributes.header)
    end)

    it("the past as it was", function()
      for i, word in ipairs { "one ", "two ", "three " } do
        assert.equal(i, ops("past", { { "text.insert", "content", 0, word } }).json.seq)
        socket.sleep(0.005)
      end
      local items = ask("GET", path("past", "/history")).json.items
      assert.equal("one ", content("past", "seq=1").body)
      assert.equal("two one ", content("past", "seq=2").body)
      assert.equal("three two one ", content("past", "seq=99").body)
      assert.equal("two one ", content("past", "at=" .. items[2].at_ms).body)
      assert.equal("one ", content("past", "at=" .. items[2].at_ms - 1).body)
      assert.equal("", content("past", "at=1000").body)
      assert.equal('"2"', content("past", "seq=2").fields.etag)
      for _, query in ipairs { "seq=0", "seq=x", "at=-1", "seq=1e3", "as=pdf", "seq=99999999999999999999" } do
        assert.equal(400, content("past", query).status, query)
      end
    end)

    it("what a state vector lacks", function()
      ops("lacking", { { "text.insert", "content", 0, "first" } })
      local b64 = require("mime").b64
      local anna = world:client "anna":joins "lacking"
      local vector = b64(anna.text:state_vector()):gsub("+", "-"):gsub("/", "_")
      ops("lacking", { { "text.insert", "content", 5, " second" } })
      local all = world:get(path("lacking", "/state")).body
      local rest = world:get(path("lacking", "/state?sv=" .. vector:gsub("=", "%%3D"))).body
      assert.truthy(#rest < #all and not rest:find("first", 1, true) and rest:find(" second", 1, true))
      for _, bad in ipairs { "!!", "A", "_____w", "AQ" } do
        refused(400, "bad_state_vector", ask("GET", path("lacking", "/state?sv=" .. bad)))
      end
    end)

    it("numbers, and pages of the history", function()
      for _ = 1, 25 do ops("numbers", { { "text.insert", "content", 0, "x" } }) end
      local facts = ask("GET", path "numbers")
      assert.equal(25, facts.json.seq)
      assert.equal('"25"', facts.fields.etag)
      assert.equal(25, facts.json.authors[1].records)
      assert.truthy(facts.json.created_at_ms <= facts.json.updated_at_ms and facts.json.record_bytes > 0)
      local seen, before, pages = {}, nil, 0
      repeat
        local page = ask("GET", path("numbers", "/history?limit=10" .. (before and "&before=" .. before or ""))).json
        for _, item in ipairs(page.items) do seen[#seen + 1] = item.seq end
        before, pages = page.next, pages + 1
      until before == cjson.null
      assert.equal(3, pages)
      for i, seq in ipairs(seen) do assert.equal(26 - i, seq) end
    end)
  end)

  describe("deletes", function()
    it("for everybody, and a stale client does not bring it back", function()
      local anna, ben = world:client "anna":joins "doomed", world:client "ben":joins "doomed"
      anna:types(0, "words"):is_acknowledged()
      ben:sees "words"
      assert.equal(204, ask("DELETE", path "doomed").status)
      assert.equal(4404, (anna:is_closed(5)))
      assert.equal(4404, (ben:is_closed(5)))
      refused(404, "deleted", ask("GET", path("doomed", "/content")))
      refused(404, "deleted", ask("GET", path "doomed"))
      refused(404, "deleted", ask("GET", path("doomed", "/history")))
      refused(404, "deleted", ops("doomed", { { "text.insert", "content", 0, "x" } }))
      refused(409, "exists", create("doomed", "again"))
      refused(404, "not_found", ask("DELETE", path "doomed"))
      assert.falsy(world:documents().doomed)
      anna:types(5, " and more")
      local late = world:client "late"
      pcall(late.joins, late, "doomed", { wait = false })
      if late.socket then assert.equal(4404, (late:is_closed(5))) end
      assert.equal(204, ask("POST", path("doomed", "/undelete")).status)
      assert.equal("words", content("doomed").body)
      anna:joins "doomed"
      anna:catches_up()
      assert.equal(1, ask("GET", path "doomed").json.epoch)
      assert.equal(204, ask("POST", path("doomed", "/undelete"), {}).status)
      refused(404, "not_found", ask("POST", path("never", "/undelete")))
      refused(404, "not_found", ask("DELETE", path "never"))
    end)
  end)

  describe("sessions", function()
    it("are listed and sent away", function()
      local anna, ben = world:client "anna":joins "meeting", world:client "ben":joins "meeting"
      local items = ask("GET", path("meeting", "/sessions")).json.items
      assert.equal(2, #items)
      assert.truthy(items[1].write)
      assert.equal(204, ask("DELETE", path("meeting", "/sessions/" .. items[1].id)).status)
      world:wait(function() return anna.socket.closed or ben.socket.closed end, "one is sent away", 5)
      assert.equal(4403, (anna.socket.closed or ben.socket.closed).code)
      refused(404, "not_found", ask("DELETE", path("meeting", "/sessions/" .. items[1].id)))
      refused(404, "not_found", ask("DELETE", path("meeting", "/sessions/nobody")))
      assert.equal("[]", cjson.encode(ask("GET", path("nowhere", "/sessions")).json.items):gsub("{}", "[]"))
    end)
  end)

  describe("refuses", function()
    it("other methods, with those that there are, and answers OPTIONS", function()
      local put = ask("PUT", path "x", "y")
      refused(405, "method", put)
      assert.equal("GET, HEAD, DELETE, OPTIONS", put.fields.allow)
      local options = ask("OPTIONS", "/api/v1/orgs/default/docs")
      assert.equal(204, options.status)
      assert.equal("GET, HEAD, POST, OPTIONS", options.fields.allow)
      assert.is_nil(options.fields["access-control-allow-origin"])
      assert.equal(405, ask("GET", path("x", "/updates")).status)
    end)

    it("addresses that are none", function()
      for _, where in ipairs {
        "/api/", "/api/v1", "/api/v2/orgs/default/docs", "/api/v1/orgs", "/api/v1/orgs/default/docs/", "/api/v1/orgs//docs",
        "/api/v1/orgs/Default/docs", "/api/v1/orgs/default/docs/a/b/c", "/api/v1/orgs/default/docs/%ff/content",
        "/api/v1/orgs/default/docs/a%0Ab", "/api/v1/orgs/default/docs/%00", "/api/v1/orgs/default/docs/u%CC%88/content",
        "/api/v1/orgs/default/docs//content", "/api/v1/orgs/default/docs/%2e%2e/content", "/api/v1/orgs/default/docs/x/content/",
        "/api/v1/orgs/default/docs/%zz",
      } do
        local answer = ask("GET", where)
        assert.equal(404, answer.status, where .. ": " .. answer.body)
      end
      refused(404, "not_found", ask("GET", "/api/v1/orgs/other/docs"))
      refused(404, "not_found", ask("GET", "/api/v1/orgs/other/docs/forms/content"))
    end)

    it("what pages of other sites send", function()
      local plain = http.request(world.port, "POST", "/api/v1/orgs/default/docs", { ["Content-Type"] = "text/plain" }, '{"name":"form"}')
      assert.equal(415, plain.status)
      local rows = {
        { Origin = "https://evil.example" }, { Origin = "null" }, { Origin = "http://127.0.0.1:1" }, { ["Sec-Fetch-Site"] = "cross-site" },
        { Origin = "http://rebound.example", Host = "rebound.example" },
      }
      for _, headers in ipairs(rows) do
        local answer = ask("POST", "/api/v1/orgs/default/docs", { name = "form" }, headers)
        assert.equal(403, answer.status)
        assert.equal(403, ask("DELETE", path "forms", nil, headers).status)
      end
      assert.equal(404, world:get(path "form").status)
      local own = "http://127.0.0.1:" .. world.port
      assert.equal(201, ask("POST", "/api/v1/orgs/default/docs", { name = "form" }, { Origin = own, ["Sec-Fetch-Site"] = "same-origin" }).status)
    end)

    it("bodies that are too large, whatever they announce", function()
      local limit = 1024 * 1024
      assert.equal(413, ask("POST", path("big", "/ops"), ("x"):rep(limit + 1), { ["Content-Type"] = JSON }).status)
      local text = '{"ops":[["text.insert","content",0,"' .. ("x"):rep(limit - 60) .. '"]]}'
      assert.equal(200, ask("POST", path("big", "/ops"), text .. (" "):rep(limit - #text), { ["Content-Type"] = JSON }).status)
      assert.equal(limit - 60, #content("big").body)
      local chunk = ("%x\r\n%s\r\n"):format(65536, ("x"):rep(65536))
      local head = "POST " .. path("big", "/ops") .. " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      local answer = http.raw(world.port, head .. chunk:rep(17))
      assert.equal(413, answer and answer.status)
    end)

    it("bodies that are not what their heads announce", function()
      local function post(fields, rest)
        local answer = http.raw(world.port, "POST " .. path("framed", "/ops") .. " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" .. fields .. "\r\n\r\n" .. rest)
        return answer and answer.status
      end
      local body = '{"ops":[["text.insert","content",0,"ok"]]}'
      assert.equal(400, post("Content-Length: 5\r\nContent-Length: 6", body))
      assert.equal(400, post("Content-Length: 5\r\nTransfer-Encoding: chunked", body))
      assert.equal(400, post("Transfer-Encoding: chunked", "zz\r\n"))
      assert.equal(400, post("Transfer-Encoding: chunked", "5\nhello"))
      assert.equal(200, post("Transfer-Encoding: chunked", ("%x;e=1\r\n%s\r\n0\r\n\r\n"):format(#body, body)))
      assert.equal("ok", content("framed").body)
    end)

    it("bodies that take too long, and tells a client that waits to go on", function()
      local sock = assert(socket.tcp())
      sock:settimeout(20)
      assert(sock:connect("127.0.0.1", world.port))
      sock:send("POST " .. path("slow", "/ops") .. " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
      assert.equal("HTTP/1.1 100 Continue", sock:receive "*l")
      assert.equal("", sock:receive "*l")
      local began = socket.gettime()
      sock:send "{"
      local answer = http.read(sock)
      assert.equal(408, answer and answer.status)
      assert.truthy(socket.gettime() - began < 15)
      sock:close()
    end)

    it("an abandoned upload without a trace", function()
      local sock = assert(socket.tcp())
      assert(sock:connect("127.0.0.1", world.port))
      sock:send("POST " .. path("gone", "/updates") .. " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\n\0\0")
      sock:close()
      assert.equal(404, world:get(path "gone").status)
    end)
  end)

  it("answers HEAD as GET, several requests on one connection", function()
    local head = ask("HEAD", path("forms", "/content"))
    assert.equal(200, head.status)
    assert.truthy(tonumber(head.fields["content-length"]) > 0)
    local sock = assert(socket.tcp())
    sock:settimeout(10)
    assert(sock:connect("127.0.0.1", world.port))
    local body = cjson.encode { ops = { { "text.insert", "content", 0, "x" } } }
    local one = http.text(world.port, "POST", path("pipeline", "/ops"), { ["Content-Type"] = JSON }, body)
    sock:send(one .. one .. http.text(world.port, "GET", path("pipeline", "/content")))
    assert.equal(1, cjson.decode(http.read(sock).body).seq)
    assert.equal(2, cjson.decode(http.read(sock).body).seq)
    assert.equal("xx", http.read(sock).body)
    sock:close()
  end)

  it("describes every route", function()
    local described = ask("GET", "/api/v1/openapi.json").json
    assert.equal("3.1.0", described.openapi)
    local seen = 0
    for where, methods in pairs(described.paths) do
      for method in pairs(methods) do
        local asked = where:gsub("{org}", "default"):gsub("{doc}", "x"):gsub("{id}", "y"):gsub("{version}", "z")
        local answer = http.request(world.port, method:upper(), asked, {})
        assert.truthy(answer.status ~= 405, method .. " " .. where)
        seen = seen + 1
      end
    end
    assert.truthy(seen >= 16)
  end)
end)

describe("the API under a policy", function()
  it("asks the hooks that a member's edit would meet, and says no in their words", function()
    local folder = process.folder()
    World.plugin(folder, "no-secrets", {
      ["plugin.lua"] = "return { name = 'no-secrets', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'policy', hooks = { before_update = {} } }",
      ["init.lua"] = [[
        local ml = require 'moonloom'
        local P = {}
        function P:before_update(u)
          if u.inserted_bytes > 100 then return ml.deny("too_long", "Please write less at once.") end
        end
        return P
      ]],
    })
    local world = World.new { args = { "--plugins", folder }, config = "plugins = { ['no-secrets'] = {} }" }
    local function post(where, body)
      local answer = http.request(world.port, "POST", "/api/v1/orgs/default/docs" .. where, { ["Content-Type"] = JSON }, cjson.encode(body))
      return answer.status, cjson.decode(answer.body)
    end
    local long = ("secret"):rep(30)
    local status, said = post("", { name = "a", content = long })
    assert.equal(403, status)
    assert.equal("Please write less at once.", said.error.message)
    assert.truthy(said.error.code:find "too_long")
    assert.equal(404, world:get("/api/v1/orgs/default/docs/a").status)
    assert.equal(201, (post("", { name = "a", content = "short" })))
    status, said = post("/a/ops", { ops = { { "text.insert", "content", 0, long } } })
    assert.equal(403, status)
    assert.equal("Please write less at once.", said.error.message)
    assert.equal(200, (post("/a/ops", { ops = { { "text.insert", "content", 0, "very " } } })))
    assert.equal("very short", world:get("/api/v1/orgs/default/docs/a/content").body)
    local anna = world:client "anna":joins "a"
    anna:sees "very short"
    world:close()
    process.clean()
  end)
end)
