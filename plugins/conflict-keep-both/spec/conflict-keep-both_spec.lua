local t = require "moonloom.test"

describe("conflict-keep-both", function()
  local function plugin(more)
    local config = { paths = { "tasks/*" } }
    for key, value in pairs(more or {}) do config[key] = value end
    return t.instance("conflict-keep-both", config)
  end
  local function clash(more)
    local given = { path = "tasks/7", key = "title", current = "a", incoming = "b" }
    for key, value in pairs(more or {}) do given[key] = value end
    return t.conflict(given)
  end

  it("keeps both in the list it was told", function()
    assert.equal("conflicts", plugin():conflict(clash()).name)
    assert.equal("both", plugin { key = "both" }:conflict(clash()).name)
  end)

  it("decides only about its paths, and never about the list itself", function()
    assert.is_nil(plugin():conflict(clash { path = "meta" }))
    assert.is_nil(plugin():conflict(clash { key = "conflicts" }))
  end)

  it("stops when the list is long", function()
    local doc = { content = { tasks = { ["7"] = { conflicts = { 1, 2, 3 } } } } }
    assert.is_nil(plugin { max = 3 }:conflict(clash { doc = doc }))
    assert.equal("conflicts", plugin { max = 4 }:conflict(clash { doc = doc }).name)
  end)

  it("loses neither value, in every order", function()
    for order in t.orders { "ana", "ben", "eve" } do
      local app = t.app { plugins = { { "conflict-keep-both", config = { paths = { "tasks/*" } } } } }
      for _, name in ipairs(order) do app:client { user = name, doc = "board" } end
      app:settle()
      app:user("ana"):map("tasks/7"):assign { title = "Fix" }
      app:settle()
      app:offline()
      for _, name in ipairs { "ana", "ben", "eve" } do app:user(name):map("tasks/7"):set("title", name .. "'s") end
      for _, name in ipairs(order) do app:user(name):online() app:settle() end
      assert.converged(app, "board")
      local task, found = app:doc("board"):get("tasks/7"), {}
      found[task.title] = true
      assert.equal(2, #task.conflicts)
      for _, entry in ipairs(task.conflicts) do
        found[entry.value] = true
        assert.equal(entry.author .. "'s", entry.value)
        assert.equal("title", entry.key)
        assert.is_true(entry.at > 0)
      end
      assert.same({ ["ana's"] = true, ["ben's"] = true, ["eve's"] = true }, found)
    end
  end)

  it("counts only what is not over", function()
    local doc = { content = { tasks = { ["7"] = { conflicts = {
      { id = "1:1", path = "tasks/7", key = "title", at = 0 }, { id = "1:2", path = "tasks/7", key = "title", at = t.clock() },
    } } } } }
    assert.equal("conflicts", plugin { max = 2 }:conflict(clash { doc = doc, now = t.clock() }).name)
    assert.is_nil(plugin { max = 1 }:conflict(clash { doc = doc, now = t.clock() }))
  end)

  describe("afterwards", function()
    local app, ana, ben
    local function start(config)
      config = config or {}
      config.paths = { "tasks/*" }
      app = t.app { plugins = { { "conflict-keep-both", config = config } } }
      ana, ben = app:client { user = "ana", doc = "board" }, app:client { user = "ben", doc = "board" }
      ana:map("tasks/7"):assign { title = "Fix" }
      app:settle()
      app:offline()
      ana:map("tasks/7"):set("title", "ana's")
      ben:map("tasks/7"):set("title", "ben's")
      app:online()
      app:settle()
      assert.converged(app, "board")
    end
    local function codes(client)
      local out = {}
      for _, notice in ipairs(client.notices) do if notice.code == "conflict" then out[#out + 1] = notice end end
      return out
    end
    local function kept() return app:doc("board"):get("tasks/7/conflicts") or {} end
    before_each(function() t.reset() end)
    after_each(function() t.reset() end)

    it("says against whom an entry lost, and tells both", function()
      start()
      assert.equal(1, #kept())
      local entry = kept()[1]
      assert.equal(entry.author == "ana" and "ben" or "ana", entry.against)
      app:advance "2s"
      for _, client in ipairs { ana, ben } do
        assert.equal(1, #codes(client))
        local data = codes(client)[1].data
        assert.same({ entry.id, "tasks/7", "title", entry.against == client.user }, { data.id, data.path, data.key, data.stands })
      end
    end)

    it("tells nobody if it is told not to", function()
      start { notify = false }
      app:advance "2s"
      assert.equal(0, #codes(ana) + #codes(ben))
    end)

    it("drops what is over when something comes to the list, and when the document is opened", function()
      start { ttl = "1h" }
      app:advance "2s"
      assert.equal(1, #kept())
      app:advance "2h"
      assert.equal(1, #kept())
      app:offline()
      ana:map("tasks/7"):set("title", "ana's 2")
      ben:map("tasks/7"):set("title", "ben's 2")
      app:online()
      app:advance "2s"
      assert.equal(1, #kept())
      assert.truthy(kept()[1].value:find("2", 1, true))
      assert.converged(app, "board")
    end)
  end)
end)
