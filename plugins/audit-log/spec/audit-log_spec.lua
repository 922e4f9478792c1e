local t = require "moonloom.test"
local json = require "moonloom.test.json"

local URL = "https://logs.example/in"

describe("audit-log", function()
  local app
  local function start(config) app = t.app { plugins = { { "audit-log", config = config } } } end

  local function records(prefix)
    local all, keys = app.kv:all(prefix or "r/"), {}
    for key in pairs(all) do keys[#keys + 1] = key end
    table.sort(keys)
    local out = {}
    for i, key in ipairs(keys) do out[i] = json.decode(all[key]) end
    return out
  end

  local function admin() return app:client { user = "root", roles = { "admin" }, doc = "other" } end

  it("writes each event as one line of the server's log", function()
    start()
    assert.equal("done", (app:audit { { kind = "document.deleted", actor = "ana", ip = "192.0.2.7", subject = "plans/1", data = { why = "old" } } }))
    local line = app.logs[#app.logs]
    assert.equal("info", line.level)
    for _, part in ipairs { "audit", '"kind":"document.deleted"', '"actor":"ana"', '"ip":"192.0.2.7"', '"why":"old"', '"n":1' } do
      assert.truthy(line.text:find(part, 1, true), line.text)
    end
  end)

  it("keeps records in the store, in one chain, with the kinds that are wanted", function()
    start { sink = "kv", kinds = { "session.*", "document.deleted" } }
    app:audit { { kind = "session.sign_in", actor = "ana" }, { kind = "document.restored" }, { kind = "document.deleted", subject = "a" } }
    app:audit { { kind = "sessions.other" } }
    app:audit { { kind = "session.sign_out", actor = "ana" } }
    local all = records()
    assert.equal(3, #all)
    assert.same({ "session.sign_in", "document.deleted", "session.sign_out" }, { all[1].kind, all[2].kind, all[3].kind })
    assert.same({ 1, 2, 3 }, { all[1].n, all[2].n, all[3].n })
    assert.is_nil(all[1].prev)
    assert.equal(64, #all[2].prev)
    local page = admin():get "/x/audit-log/records?after=1"
    assert.equal(200, page.status)
    assert.equal(2, #page.json.items)
    assert.same({ whole = true, first = 1, last = 3 }, admin():get("/x/audit-log/verify").json)
    assert.equal(403, app:client({ user = "eve", doc = "other" }):get("/x/audit-log/records").status)
  end)

  it("leaves addresses and names of users out when it is told to", function()
    start { sink = "kv", include_ip = false, hash_users = true }
    app:audit { { kind = "share.granted", actor = "ana", ip = "192.0.2.7", data = { user = "ben", role = "editor" } } }
    app:audit { { kind = "session.sign_in", actor = "ben", ip = "192.0.2.8" } }
    local all = records()
    assert.is_nil(all[1].ip)
    assert.truthy(all[1].actor:find "^u%-%x+$")
    assert.equal(all[2].actor, all[1].data.user)
    assert.is_not.equal(all[1].actor, all[2].actor)
    assert.equal("editor", all[1].data.role)
  end)

  it("records who changed which document how often, in lots", function()
    start { sink = "kv" }
    local ana = app:client { user = "ana", doc = "notes/1" }
    ana:text("body"):insert(0, "a")
    app:settle()
    ana:text("body"):insert(0, "b")
    app:advance "6s"
    local all = records()
    assert.equal(1, #all)
    assert.equal("document.edited", all[1].kind)
    assert.equal("notes/1", all[1].subject)
    assert.equal("ana", all[1].actor)
    assert.equal(2, all[1].data.changes)
    assert.same({ 1, 2 }, { all[1].data.from, all[1].data.to })
    assert.is_nil(all[1].data.paths)
  end)

  it("records where, or nothing, when it is told to", function()
    start { sink = "kv", edits = "paths" }
    local ana = app:client { user = "ana", doc = "notes/1" }
    ana:map("meta"):set("title", "x")
    ana:text("body"):insert(0, "a")
    app:advance "6s"
    assert.same({ "body", "meta/title" }, records()[1].data.paths)
    start { sink = "kv", edits = "none" }
    app:client({ user = "ana", doc = "notes/1" }):text("body"):insert(0, "a")
    app:advance "6s"
    assert.equal(0, #records())
  end)

  it("posts records to a service, the oldest first, and again until they have arrived", function()
    start { sink = "http", http = { url = URL, token = "t0ken", batch = 2 } }
    local service = app.http:on("POST", URL)
    service:reply(503):reply(200)
    app:audit { { kind = "session.sign_in", actor = "a" }, { kind = "session.sign_in", actor = "b" }, { kind = "session.sign_in", actor = "c" } }
    app:advance "30s"
    assert.equal(3, #service.calls)
    assert.equal(service.calls[1].body, service.calls[2].body)
    assert.equal(service.calls[1].headers["idempotency-key"], service.calls[2].headers["idempotency-key"])
    assert.equal("Bearer t0ken", service.calls[1].headers.authorization)
    local lines = {}
    for line in (service.calls[2].body .. service.calls[3].body):gmatch "[^\n]+" do lines[#lines + 1] = json.decode(line) end
    assert.same({ 1, 2, 3 }, { lines[1].n, lines[2].n, lines[3].n })
    assert.equal(0, #records "q/")
  end)

  it("takes no configuration that cannot work", function()
    assert.error_matches(function() t.config("audit-log", { sink = "http" }) end, "http")
    assert.error_matches(function() t.config("audit-log", { sink = "disk" }) end, "sink")
    assert.error_matches(function() t.config("audit-log", { kinds = { "document.del*" } }) end, "star")
  end)
end)
