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

  -- What comes out at the other end is told once t.app does the jobs of its plugins.
  pending("tells about a change, once for all of a moment")
  pending("tries again, with the same key, until it is taken")
  pending("stops when the receiver is gone (410)")

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
