local t = require "moonloom.test"

local URL = "https://hooks.example/moonloom"

describe("webhook", function()
  local app, hook, ana
  local function start(config)
    config = config or {}
    config.url = URL
    app = t.app { plugins = { { "webhook", config = config } } }
    hook = app.http:on("POST", URL)
    ana = app:client { user = "ana", doc = "notes/1" }
  end

  local function write(text)
    ana:text("content"):insert(0, text)
    app:settle()
  end

  -- The calls about one event.
  local function calls(event)
    local list = {}
    for _, call in ipairs(hook.calls) do if call.json.event == event then list[#list + 1] = call end end
    return list
  end

  it("tells about a change when the document is still, once for all of a moment", function()
    start()
    hook:reply(200)
    write "a"
    app:advance "3s"
    write "b"
    app:advance "3s"
    assert.equal(0, #calls "updated")
    app:advance "3s"
    assert.equal(1, #calls "updated")
    local message = calls "updated"[1].json
    assert.equal("notes/1", message.doc)
    assert.equal(2, message.seq)
    assert.equal(2, message.changes)
    assert.same({ "ana" }, message.authors)
    write "c"
    app:advance "6s"
    assert.equal(2, #calls "updated")
    assert.equal(3, calls "updated"[2].json.seq)
  end)

  it("does not wait for ever for a document that never rests", function()
    start { debounce = "5s", max_wait = "20s" }
    hook:reply(200)
    for _ = 1, 12 do
      write "a"
      app:advance "2s"
    end
    assert.equal(1, #calls "updated")
    assert.is_true(calls "updated"[1].json.changes >= 9)
  end)

  it("tells of a new document at once", function()
    start()
    hook:reply(200)
    write "a"
    app:advance "1s"
    assert.equal(1, #calls "created")
    write "b"
    app:advance "10s"
    assert.equal(1, #calls "created")
  end)

  it("tells of people who come and go, if it is asked to", function()
    start { events = { "joined", "left" } }
    hook:reply(200)
    app:advance "1s"
    assert.equal(1, #calls "joined")
    assert.equal("ana", calls "joined"[1].json.user)
    ana:offline()
    app:advance "1s"
    assert.equal(1, #calls "left")
    write "a"
    app:advance "1m"
    assert.equal(0, #calls "updated")
  end)

  it("signs timestamp and body, with the old secret too while receivers change", function()
    start { secret = ("s"):rep(32), secret_old = ("o"):rep(32), events = { "created" }, headers = { authorization = "Bearer x" } }
    hook:reply(200)
    write "a"
    app:advance "1s"
    local call = hook.calls[1]
    assert.truthy(call.headers["ml-signature"]:match "^t=%d+,v1=%x+,v1=%x+$")
    local plugin = t.instance("webhook", { url = URL, secret = ("s"):rep(32), secret_old = ("o"):rep(32) })
    local new = "3b20f4e8ff286a644da8fa3ba461e2803384471efa2f5de2896a73b2f3be7ade"
    local old = "86b0abfbb60fc77e4f8e7dd3c8cf19009f87974fbc70987ce5f94c6806f05e9f"
    assert.equal("t=1000,v1=" .. new .. ",v1=" .. old, plugin:signature(1000, "{}"))
    assert.equal("Bearer x", call.headers.authorization)
    assert.equal(call.json.id, call.headers["idempotency-key"])
  end)

  it("tries again, with the same key, until it is taken", function()
    start { events = { "created" } }
    hook:reply(500):reply(200)
    write "a"
    app:advance "1m"
    assert.equal(2, #hook.calls)
    assert.equal(hook.calls[1].headers["idempotency-key"], hook.calls[2].headers["idempotency-key"])
  end)

  it("keeps the order of one document while a message fails", function()
    start { backoff = "10s..1m" }
    hook:reply(500):reply(500):reply(200)
    write "a"
    app:advance "2m"
    local told = {}
    for _, call in ipairs(hook.calls) do told[#told + 1] = call.json.event end
    assert.same({ "created", "created", "created", "updated" }, told)
  end)

  it("drops a message that has failed too often, and goes on with the next", function()
    start { retries = 1, backoff = "1s..1s" }
    hook:reply(500):reply(500):reply(200)
    write "a"
    app:advance "1m"
    assert.equal(2, #calls "created")
    assert.equal(1, #calls "updated")
  end)

  it("stops when the receiver is gone (410), until somebody enables it", function()
    start { events = { "created", "updated" } }
    local boss = app:client { user = "bo", doc = "notes/2", roles = { "admin" } }
    hook:reply(410)
    write "a"
    app:advance "1h"
    assert.equal(1, #hook.calls)
    assert.is_true(app:request("GET", "/x/webhook/status", nil, boss).json.disabled)
    hook:reply(200)
    app:request("POST", "/x/webhook/enable", nil, boss)
    write "b"
    app:advance "1m"
    assert.equal(2, #hook.calls)
  end)

  it("is switched off when nothing has arrived for days", function()
    start { disable_after = "1h", retries = 50, backoff = "10m..10m", events = { "created" } }
    hook:reply(500)
    write "a"
    app:advance "3h"
    local boss = app:client { user = "bo", doc = "notes/2", roles = { "admin" } }
    assert.is_true(app:request("GET", "/x/webhook/status", nil, boss).json.disabled)
    local before = #hook.calls
    assert.is_true(before >= 6 and before <= 9, before)
    app:advance "3h"
    assert.equal(before, #hook.calls)
  end)

  it("takes a change without a fault", function()
    start()
    hook:reply(200)
    write "a"
    app:advance "1m"
    for _, line in ipairs(app.logs) do assert.is_nil(line.text:find("failed", 1, true), line.text) end
  end)

  it("tells only about the documents it is asked to", function()
    start { docs = { "boards/**" } }
    write "a"
    app:advance "1m"
    assert.equal(0, #hook.calls)
  end)

  it("needs an address, and times in order", function()
    assert.has_error(function() t.config("webhook") end)
    assert.has_error(function() t.config("webhook", { url = URL, backoff = "1h..5s" }) end)
    assert.has_error(function() t.config("webhook", { url = URL, secret_old = "x" }) end)
    assert.has_error(function() t.config("webhook", { url = URL, debounce = "1h", max_wait = "1s" }) end)
  end)
end)
