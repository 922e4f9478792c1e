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

  it("tells about a change, once for all of a moment", function()
    start()
    hook:reply(200)
    write "a"
    write "b"
    app:advance "6s"
    assert.equal(1, #hook.calls)
    assert.equal("updated", hook.calls[1].json.event)
    assert.equal("notes/1", hook.calls[1].json.doc)
    assert.same({ "ana" }, hook.calls[1].json.authors)
    write "c"
    app:advance "6s"
    assert.equal(2, #hook.calls)
  end)

  it("tries again, with the same key, until it is taken", function()
    start()
    hook:reply(500):reply(200)
    write "a"
    app:advance "1m"
    assert.equal(2, #hook.calls)
    assert.equal(hook.calls[1].headers["idempotency-key"], hook.calls[2].headers["idempotency-key"])
  end)

  it("stops when the receiver is gone (410)", function()
    start()
    hook:reply(410)
    write "a"
    app:advance "1h"
    assert.equal(1, #hook.calls)
  end)

  it("takes a change without a fault", function()
    start()
    write "a"
    for _, line in ipairs(app.logs) do assert.is_nil(line.text:find("failed", 1, true), line.text) end
  end)

  it("tells only about the documents it is asked to", function()
    start { docs = { "boards/**" } }
    write "a"
    app:advance "1m"
    assert.equal(0, #hook.calls)
  end)

  it("needs an address", function()
    assert.has_error(function() t.config("webhook") end)
  end)
end)
