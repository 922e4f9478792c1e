local t = require "moonloom.test"

describe("board-merge", function()
  local p
  before_each(function() p = t.instance("board-merge") end)

  local function clash(key, base, current, incoming)
    return t.conflict { path = "tasks/7", key = key, base = base, current = current, incoming = incoming }
  end

  it("prefers the step further along, whoever came first", function()
    assert.equal("current",  p:conflict(clash("status", "todo", "done", "review")))
    assert.equal("incoming", p:conflict(clash("status", "todo", "review", "done")))
  end)

  it("has no opinion on steps outside the workflow", function()
    assert.is_nil(p:conflict(clash("status", "todo", "parked", "done")))
  end)

  it("merges labels three ways", function()
    local verdict = p:conflict(clash("labels", { "bug", "ui" }, { "bug", "urgent" }, { "bug", "ui", "ios" }))
    assert.same({ "bug", "ios", "urgent" }, verdict.value)
  end)

  it("lets the lead name the task", function()
    local c = clash("title", "Fix", { value = "Fix login", roles = { "lead" } }, { value = "Fix auth" })
    assert.equal("current", p:conflict(c))
  end)

  it("gives every replica the same board in every delivery order", function()
    for order in t.orders { "ana", "ben", "eve" } do
      local app = t.app { plugins = { "board-merge" } }
      for _, name in ipairs(order) do app:client { user = name, doc = "boards/1" } end
      app:user("ana"):map("tasks/7"):assign { status = "doing", labels = { "bug" } }
      app:settle()

      app:offline()
      app:user("ana"):map("tasks/7"):set("status", "review")
      app:user("ben"):map("tasks/7"):set("status", "done")
      app:user("eve"):map("tasks/7"):set("labels", { "bug", "ios" })
      for _, name in ipairs(order) do app:user(name):online() app:settle() end

      assert.converged(app, "boards/1")
      assert.equal("done", app:doc("boards/1"):get("tasks/7/status"))
      assert.same({ "bug", "ios" }, app:doc("boards/1"):get("tasks/7/labels"))
    end
  end)
end)
