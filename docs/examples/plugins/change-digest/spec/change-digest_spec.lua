local t = require "moonloom.test"
local HOOK = "https://chat.example/hook"

describe("change-digest", function()
  local app, hook, ana
  before_each(function()
    app  = t.app { plugins = { { "change-digest", config = { webhook = HOOK, quiet = { "drafts/**" } } } } }
    hook = app.http:on("POST", HOOK)
    ana  = app:client { user = "ana", roles = { "admin" }, doc = "notes/1" }
  end)

  local function edit(n)
    for _ = 1, n do ana:text("body"):insert(0, "x") end
    app:settle()
  end

  it("posts one summary per interval and then starts over", function()
    hook:reply(200)
    edit(3)
    app:advance("15m")
    assert.equal("notes/1: 3", hook.calls[1].json.text)
    app:advance("15m")
    assert.equal(1, #hook.calls)
  end)

  it("tries again, with the same key, when the other side fails", function()
    hook:reply(503):reply(200)
    edit(1)
    app:advance("16m")
    assert.equal(2, #hook.calls)
    assert.equal(hook.calls[1].headers["idempotency-key"], hook.calls[2].headers["idempotency-key"])
  end)

  it("leaves quiet documents out", function()
    app:client { user = "ben", doc = "drafts/9" }:text("body"):insert(0, "x")
    app:advance("15m")
    assert.equal(0, #hook.calls)
  end)

  it("loses nothing over a reload", function()
    hook:reply(200)
    edit(2)
    app:reload("change-digest")
    edit(1)
    app:advance("15m")
    assert.equal("notes/1: 3", hook.calls[1].json.text)
  end)

  it("answers its route to admins only", function()
    edit(1)
    app:advance("10s")
    assert.same({ ["notes/1"] = 1 }, ana:get("/x/change-digest/digest").json)
    assert.equal(403, app:client { user = "eve", doc = "notes/1" }:get("/x/change-digest/digest").status)
  end)

  it("understands the old name of a setting", function()
    local cfg = t.config("change-digest", { webhook = HOOK, period = "5m" })
    assert.equal(300, cfg.interval)
    assert.is_nil(cfg.period)
  end)
end)
