local t = require "moonloom.test"

describe("presence-throttle", function()
  before_each(function() t.reset() end)
  after_each(function() t.reset() end)

  local ANA = { user = { id = "ana", name = "Ana", color = "#ff0000" }, cursor = 3 }

  local function show(plugin, state, more)
    more = more or {}
    more.state = state
    return plugin:awareness(t.presence(more))
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

  it("shows a cursor so often and no oftener", function()
    local plugin = t.instance("presence-throttle", { rate = "3/s" })
    local shown = 0
    for _ = 1, 10 do if show(plugin, ANA) == nil then shown = shown + 1 end end
    assert.equal(3, shown)
    t.clock(1767225600 + 1)
    assert.is_nil(show(plugin, ANA))
    assert.is_nil(show(plugin, ANA, { client = 2 }))
    assert.is_nil(show(plugin, ANA, { doc_id = "notes/2" }))
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
