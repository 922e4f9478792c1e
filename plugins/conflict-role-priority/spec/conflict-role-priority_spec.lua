local t = require "moonloom.test"

describe("conflict-role-priority", function()
  local function plugin(more)
    local config = { order = { "owner", "editor" } }
    for key, value in pairs(more or {}) do config[key] = value end
    return t.instance("conflict-role-priority", config)
  end
  local function clash(current, incoming, more)
    local given = { path = "meta", key = "title", current = { value = 1, roles = current, at = 2 },
                    incoming = { value = 2, roles = incoming, at = 1 } }
    for key, value in pairs(more or {}) do given[key] = value end
    return t.conflict(given)
  end

  it("lets the stronger role win, on either side", function()
    assert.equal("current", plugin():conflict(clash({ "owner" }, { "editor" })))
    assert.equal("incoming", plugin():conflict(clash({ "editor" }, { "owner" })))
    assert.equal("incoming", plugin():conflict(clash({ "guest" }, { "editor" })))
    assert.equal("current", plugin():conflict(clash({ "guest", "owner" }, { "editor", "guest" })))
  end)

  it("asks the next plugin, the CRDT or the clock if both are as strong", function()
    assert.is_nil(plugin():conflict(clash({ "editor" }, { "editor" })))
    assert.is_nil(plugin():conflict(clash({}, {})))
    assert.equal("current", plugin { tie = "natural" }:conflict(clash({}, {}, { natural = "current" })))
    assert.equal("current", plugin { tie = "server_clock" }:conflict(clash({}, {})))
  end)

  it("decides only about its paths and kinds", function()
    assert.is_nil(plugin { paths = { "tasks/*" } }:conflict(clash({ "owner" }, {})))
    assert.is_nil(plugin { kinds = { "map" } }:conflict(clash({ "owner" }, {}, { kind = "attr" })))
    assert.equal("current", plugin():conflict(clash({ "owner" }, {}, { kind = "attr" })))
  end)

  it("decides about paragraphs and deletions, if it is told to", function()
    assert.is_nil(plugin():conflict(clash({ "owner" }, {}, { kind = "block" })))
    local all = plugin { kinds = { "block", "delete" }, tie = "natural" }
    assert.equal("incoming", all:conflict(clash({}, { "owner" }, { kind = "block" })))
    assert.equal("current", all:conflict(clash({ "owner" }, {}, { kind = "delete" })))
    assert.is_nil(all:conflict(clash({}, {}, { kind = "block" })))
  end)

  it("has to be told the order", function()
    assert.has_error(function() t.config("conflict-role-priority") end)
  end)

  it("gives everybody the owner's value, whoever comes first", function()
    for order in t.orders { "ana", "ben" } do
      local app = t.app { plugins = { { "conflict-role-priority", config = { order = { "owner" } } } } }
      app:client { user = "ana", roles = { "owner" }, doc = "notes" }
      app:client { user = "ben", roles = { "editor" }, doc = "notes" }
      app:settle()
      app:user("ana"):map("meta"):set("title", "first")
      app:settle()
      app:offline()
      app:user("ana"):map("meta"):set("title", "owner's")
      app:user("ben"):map("meta"):set("title", "editor's")
      for _, name in ipairs(order) do app:user(name):online() app:settle() end
      assert.converged(app, "notes")
      assert.equal("owner's", app:doc("notes"):get("meta/title"))
    end
  end)

  it("protects what a stronger role wrote for a while, if it is told to", function()
    local config = { order = { "owner", "editor" }, protect = "1m", paths = { "meta" } }
    local app = t.app { plugins = { { "conflict-role-priority", config = config } } }
    local ana = app:client { user = "ana", roles = { "owner" }, doc = "notes" }
    local ben = app:client { user = "ben", roles = { "editor" }, doc = "notes" }
    local function writes(client, key, value, map)
      client:map(map or "meta"):set(key, value)
      app:settle()
      return app:doc("notes"):get((map or "meta") .. "/" .. key)
    end
    app:settle()
    assert.equal("a", writes(ana, "title", "a"))
    assert.equal("a", writes(ben, "title", "b"))
    assert.equal("b", writes(ben, "other", "b"))
    assert.equal("b", writes(ben, "title", "b", "elsewhere"))
    assert.equal("a2", writes(ana, "title", "a2"))
    assert.equal("a", writes(ana, "other", "a")) -- the stronger takes what the weaker holds
    app:advance "61s"
    assert.equal("b", writes(ben, "title", "b"))
    assert.converged(app, "notes")
    ben:map("meta"):delete "title"
    app:settle()
    assert.is_nil(app:doc("notes"):get "meta/title")
  end)

  it("protects nothing unless it is told to", function()
    local off = t.instance("conflict-role-priority", { order = { "owner" } })
    for _, role in ipairs { "owner", "editor" } do
      local u = t.update { { "map.set", path = "meta", key = "title", value = role }, author = { user = role, roles = { role } } }
      assert.is_nil(off:before_update(u))
      assert.is_nil(u.undone)
    end
  end)
end)
