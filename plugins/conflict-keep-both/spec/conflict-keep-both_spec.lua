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
end)
