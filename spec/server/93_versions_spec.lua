-- Versions and restore over HTTP, beside live editors.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("versions", function()
  local world

  setup(function() world = World.new() end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function path(name, rest) return "/api/v1/orgs/default/docs/" .. name .. (rest or "") end

  local function ask(method, where, body, headers)
    local all = { ["Content-Type"] = body and JSON or nil }
    for key, value in pairs(headers or {}) do all[key] = value end
    local answer = http.request(world.port, method, where, all, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function ops(name, list) return assert(ask("POST", path(name, "/ops"), { ops = list }).json.seq) end
  local function content(name, rest) return world:get(path(name, rest or "/content")).body end
  local function make(name, body) return ask("POST", path(name, "/versions"), body or {}) end
  local function refused(status, code, answer)
    assert.equal(status, answer.status, answer.body)
    assert.equal(code, answer.json.error.code, answer.body)
  end

  --- A document whose text was "one", then "one two", then "three": seqs 1, 2, 3.
  local function story(name)
    ops(name, { { "text.insert", "content", 0, "one" } })
    ops(name, { { "text.insert", "content", 3, " two" } })
    ops(name, { { "text.delete", "content", 0, 7 }, { "text.insert", "content", 0, "three" } })
  end

  it("are made of what is there, with a name or without", function()
    story "made"
    local first = make "made"
    assert.equal(201, first.status, first.body)
    assert.equal(1, first.json.version)
    assert.truthy(first.json.name:match "^000001%-%d%d%d%d%d%d%d%dT%d%d%d%d%d%dZ$", first.json.name)
    local second = make("made", { name = "release 1", labels = { reason = "it is \"done\"" }, pinned = true })
    assert.equal("release 1", second.json.name)
    assert.equal(3, second.json.seq)
    assert.same({ reason = 'it is "done"' }, second.json.labels)
    assert.is_true(second.json.pinned)
    assert.equal("release 1-2", make("made", { name = "release 1" }).json.name)
    local list = ask("GET", path("made", "/versions")).json
    assert.same({ 3, 2, 1 }, { list.items[1].version, list.items[2].version, list.items[3].version })
    assert.equal(cjson.null, list.next)
    local page = ask("GET", path("made", "/versions?limit=2")).json
    assert.equal(2, #page.items)
    page = ask("GET", path("made", "/versions?limit=2&before=" .. page.next)).json
    assert.equal(1, page.items[1].version)
  end)

  it("are made of the past too, and read in every form, by number and by name", function()
    story "read"
    assert.equal(2, make("read", { name = "second", seq = 2 }).json.seq)
    assert.equal("one two", content("read", "/versions/second/content"))
    assert.equal("one two", content("read", "/versions/1/content?as=text"))
    assert.equal('[{"insert":"one two"}]', content("read", "/versions/1/content?as=delta"))
    assert.equal(content("read", "/state?seq=2"), content("read", "/versions/1/state"))
    assert.equal(2, ask("GET", path("read", "/versions/second")).json.seq)
    assert.equal("three", content "read")
    refused(404, "no_version", ask("GET", path("read", "/versions/third")))
    refused(404, "no_version", ask("GET", path("read", "/versions/9/content")))
    refused(404, "not_found", ask("GET", path("nothing", "/versions/1")))
    refused(404, "not_found", ask("GET", path("nothing", "/versions")))
    refused(404, "not_found", make "nothing")
    refused(409, "empty", make("read", { seq = 99 }))
  end)

  it("come only from bodies that say so", function()
    story "bad"
    refused(400, "bad_name", make("bad", { name = "" }))
    refused(400, "bad_name", make("bad", { name = "12" }))
    refused(400, "bad_name", make("bad", { name = "a\nb" }))
    refused(400, "bad_name", make("bad", { name = ("x"):rep(201) }))
    refused(400, "bad_seq", make("bad", { seq = 0 }))
    refused(400, "bad_seq", make("bad", { seq = "1" }))
    refused(400, "bad_labels", make("bad", { labels = { a = 1 } }))
    refused(400, "bad_labels", make("bad", { labels = "x" }))
    refused(400, "bad_labels", make("bad", { labels = { a = ("x"):rep(5000) } }))
    refused(400, "bad_pinned", make("bad", { pinned = 1 }))
    refused(400, "unknown_field", make("bad", { nane = "x" }))
    assert.equal(0, #ask("GET", path("bad", "/versions")).json.items)
  end)

  it("are pinned and removed", function()
    story "gone"
    make("gone", { name = "a", pinned = true })
    make("gone", { name = "b" })
    refused(409, "kept", ask("DELETE", path("gone", "/versions/a")))
    refused(400, "bad_pinned", ask("POST", path("gone", "/versions/a"), { pinned = "no" }))
    assert.equal(204, ask("POST", path("gone", "/versions/a"), { pinned = false }).status)
    assert.equal(204, ask("DELETE", path("gone", "/versions/a")).status)
    refused(404, "no_version", ask("DELETE", path("gone", "/versions/a")))
    assert.equal(3, make("gone", { name = "c" }).json.version)
    assert.equal("three", content "gone")
  end)

  it("show what became of a text between them", function()
    story "diff"
    local function changes(query)
      local answer = ask("GET", path("diff", "/changes?" .. query))
      assert.equal(200, answer.status, answer.body)
      return answer.json
    end
    assert.same({ { insert = "one" }, { insert = " two", attributes = { ychange = { type = "added" } } } }, changes "from=1&to=2")
    local last = changes "from=2"
    local seen = {}
    for _, part in ipairs(last) do seen[part.insert] = part.attributes.ychange.type end
    assert.same({ three = "added", ["one two"] = "removed" }, seen)
    refused(400, "bad_query", ask("GET", path("diff", "/changes")))
    refused(400, "bad_query", ask("GET", path("diff", "/changes?from=2&to=1")))
  end)

  describe("are restored", function()
    it("as an edit that live editors see, and nothing of the history is lost", function()
      story "back"
      make("back", { name = "end" })
      local anna = world:client "anna":joins "back"
      anna:sees "three"
      local answer = ask("POST", path("back", "/restore"), { seq = 2 })
      assert.equal(200, answer.status, answer.body)
      assert.equal(4, answer.json.seq)
      assert.equal(2, answer.json.restored_seq)
      anna:sees "one two"
      assert.equal("one two", content "back")
      assert.equal("three", content("back", "/content?seq=3"))
      assert.equal("three", content("back", "/versions/" .. answer.json.before .. "/content"))
      assert.equal("before restoring 2", ask("GET", path("back", "/versions/" .. answer.json.before)).json.labels.reason)
      -- and back again, by name
      assert.equal(5, ask("POST", path("back", "/restore"), { version = "end" }).json.seq)
      anna:sees "three"
      assert.equal(5, #ask("GET", path("back", "/history")).json.items)
    end)

    it("while somebody types: what is typed stays", function()
      story "busy"
      local anna = world:client "anna":joins "busy"
      anna:sees "three"
      anna:types(5, "!")
      anna:sees "three!"
      world:wait(function() return content "busy" == "three!" end, "the edit")
      assert.equal(200, ask("POST", path("busy", "/restore"), { seq = 1 }).status)
      anna:sees "one"
      anna:types(3, " more")
      world:wait(function() return content "busy" == "one more" end, "the next edit")
    end)

    it("only if nothing came in between, where that is asked", function()
      story "conditional"
      refused(412, "changed", ask("POST", path("conditional", "/restore"), { seq = 1 }, { ["If-Match"] = '"2"' }))
      assert.equal("three", content "conditional")
      assert.equal(4, ask("POST", path("conditional", "/restore"), { seq = 1 }, { ["If-Match"] = '"3"' }).json.seq)
    end)

    it("to themselves without an edit", function()
      story "same"
      assert.equal(3, ask("POST", path("same", "/restore"), { seq = 3 }).json.seq)
      assert.equal(3, #ask("GET", path("same", "/history")).json.items)
    end)

    it("only where there is such a moment", function()
      story "moments"
      refused(404, "no_moment", ask("POST", path("moments", "/restore"), { seq = 9 }))
      refused(404, "no_version", ask("POST", path("moments", "/restore"), { version = "x" }))
      refused(404, "not_found", ask("POST", path("none", "/restore"), { seq = 1 }))
      for _, body in ipairs { { seq = 0 }, { seq = "1" }, { version = "" }, { seq = 1, version = "x" }, { version = true } } do
        refused(400, "bad_moment", ask("POST", path("moments", "/restore"), body))
      end
    end)
  end)

  it("stay when the server is killed", function()
    story "killed"
    make("killed", { name = "kept" })
    world:kill()
    world:start()
    assert.equal("three", content("killed", "/versions/kept/content"))
  end)
end)
