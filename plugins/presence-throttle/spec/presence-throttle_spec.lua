local t = require "moonloom.test"

describe("presence-throttle", function()
  before_each(function() t.reset() end)
  after_each(function() t.reset() end)

  local ANA = { user = { id = "ana", name = "Ana", color = "#ff0000" }, cursor = 3 }

  local function ask(plugin, state, more)
    more = more or {}
    more.state = state
    return plugin:awareness(t.presence(more))
  end

  --- What others see of it: another state, or nil for the same.
  local function show(plugin, state, more)
    local answer = ask(plugin, state, more)
    if type(answer) == "table" and answer.kind == "slow" then return answer.state end
    return answer
  end
  local function gap(...)
    local answer = ask(...)
    return answer and answer.seconds or 0
  end

  it("leaves an honest, quiet cursor as it is", function()
    assert.is_nil(show(t.instance("presence-throttle"), ANA))
  end)

  it("writes the session's name on it", function()
    local plugin = t.instance("presence-throttle")
    local seen = show(plugin, { user = { id = "boss", name = "The Boss", color = "#00ff00" }, cursor = 1 })
    assert.same({ user = { id = "ana", name = "Ana", color = "#00ff00" }, cursor = 1 }, seen)
    assert.same({ user = { id = "ana", name = "Ana" } }, show(plugin, { user = "boss" }, { client = 2 }))
    assert.same({ user = { id = "ana", name = "Ana" }, x = 1 }, show(plugin, { x = 1 }, { client = 3 }))
    assert.is_nil(show(t.instance("presence-throttle", { verify_user = false }), { user = { name = "The Boss" } }))
  end)

  it("has others told of a cursor so often and no oftener, and loses nothing", function()
    local plugin = t.instance("presence-throttle", { rate = "3/s", coalesce = "50ms" })
    local function moved(n, more) return gap(plugin, { user = ANA.user, cursor = n }, more) end
    for n = 1, 3 do assert.near(0.05, moved(n), 1e-6) end
    for n = 4, 9 do assert.near(1 / 3, moved(n), 1e-6) end
    assert.near(0.05, moved(1, { client = 2 }), 1e-6)
    assert.near(0.05, moved(1, { doc_id = "notes/2" }), 1e-6)
    t.clock(1767225600 + 1)
    assert.near(0.05, moved(10), 1e-6)
    assert.is_nil(ask(t.instance("presence-throttle", { coalesce = "0s" }), ANA))
    assert.equal("drop", ask(t.instance("presence-throttle", { rate = "0/s" }), ANA).kind)
  end)

  it("has others told seldom of a cursor that stands still, and at once when it moves", function()
    local plugin = t.instance("presence-throttle", { idle_after = "10s" })
    assert.near(0.1, gap(plugin, ANA), 1e-6)
    t.clock(1767225600 + 5)
    assert.near(0.1, gap(plugin, ANA), 1e-6)
    t.clock(1767225600 + 10)
    assert.equal(15, gap(plugin, ANA))
    assert.near(0.1, gap(plugin, { user = ANA.user, cursor = 4 }), 1e-6)
  end)

  it("does not show what is too large", function()
    local plugin = t.instance("presence-throttle", { max_bytes = 100, verify_user = false })
    assert.is_nil(show(plugin, { note = ("x"):rep(80) }))
    assert.is_not_nil(show(plugin, { note = ("x"):rep(100) }))
  end)

  it("shows only the fields that may be seen", function()
    local plugin = t.instance("presence-throttle", { allow_fields = { "user", "cursor" } })
    assert.same(ANA, show(plugin, { user = ANA.user, cursor = 3, email = "ana@example.org" }))
  end)

  it("remembers no more cursors than there may be", function()
    local plugin = t.instance("presence-throttle")
    for i = 1, 400 do assert.is_nil(show(plugin, ANA, { client = i })) end
  end)
end)
