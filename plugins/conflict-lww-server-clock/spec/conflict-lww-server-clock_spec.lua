local t = require "moonloom.test"

describe("conflict-lww-server-clock", function()
  local function plugin(config) return t.instance("conflict-lww-server-clock", config) end
  local function clash(current, incoming, more)
    local given = { path = "meta", key = "title", current = current, incoming = incoming }
    for key, value in pairs(more or {}) do given[key] = value end
    return t.conflict(given)
  end

  it("lets the later one stand, whatever the CRDT would pick", function()
    for _, natural in ipairs { "current", "incoming" } do
      assert.equal("incoming", plugin():conflict(clash({ value = 1, at = 10 }, { value = 2, at = 11 }, { natural = natural })))
      assert.equal("current", plugin():conflict(clash({ value = 1, at = 12 }, { value = 2, at = 11 }, { natural = natural })))
    end
  end)

  it("judges edits made offline by what their writer had seen, or by arrival", function()
    local c = clash({ value = 1, at = 10 }, { value = 2, at = 20, based_on = 5, offline = true })
    assert.equal("current", plugin():conflict(c))
    assert.equal("incoming", plugin { offline = "arrival" }:conflict(c))
  end)

  it("takes what it knows nothing of for old", function()
    assert.equal("incoming", plugin():conflict(clash({ value = 1 }, { value = 2, at = 11 })))
    assert.is_nil(plugin():conflict(clash({ value = 1 }, { value = 2, offline = true })))
  end)

  it("has no opinion within the window", function()
    local p = plugin { window = "2s" }
    assert.is_nil(p:conflict(clash({ value = 1, at = 10 }, { value = 2, at = 11 })))
    assert.equal("incoming", p:conflict(clash({ value = 1, at = 10 }, { value = 2, at = 13 })))
  end)

  it("decides only about its paths and keys", function()
    local p = plugin { paths = { "meta/*" }, keys = { "title" } }
    local function at(path, key)
      return p:conflict(t.conflict { path = path, key = key, current = { value = 1, at = 1 }, incoming = { value = 2, at = 2 } })
    end
    assert.equal("incoming", at("meta/a", "title"))
    assert.is_nil(at("meta/a", "other"))
    assert.is_nil(at("body/a", "title"))
  end)

  it("puts the loser beside the key", function()
    local p = plugin { keep_loser = "beside", beside_key = "lost" }
    local answer = p:conflict(clash({ value = 1, at = 10 }, { value = 2, at = 11 }, { natural = "incoming" }))
    assert.equal("lost", answer.name)
    assert.equal("incoming", p:conflict(clash({ value = 1, at = 10 }, { value = 2, at = 11 }, { natural = "current" })))
  end)

  it("gives everybody the value that came last", function()
    for order in t.orders { "ana", "ben" } do
      local app = t.app { plugins = { { "conflict-lww-server-clock", config = { offline = "arrival" } } } }
      for _, name in ipairs { "ana", "ben" } do app:client { user = name, doc = "notes" } end
      app:settle()
      app:user("ana"):map("meta"):set("title", "first")
      app:settle()
      app:offline()
      app:user("ana"):map("meta"):set("title", "ana")
      app:user("ben"):map("meta"):set("title", "ben")
      for _, name in ipairs(order) do
        app:user(name):online()
        app:settle()
        app:advance(1)
      end
      assert.converged(app, "notes")
      assert.equal(order[2], app:doc("notes"):get("meta/title"))
    end
  end)
end)
