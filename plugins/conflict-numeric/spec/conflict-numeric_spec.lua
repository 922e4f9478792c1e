local t = require "moonloom.test"

describe("conflict-numeric", function()
  local function plugin(field) return t.instance("conflict-numeric", { fields = { field } }) end
  local function clash(base, current, incoming, key)
    return t.conflict { path = "stock/7", key = key or "count", base = base, current = current, incoming = incoming }
  end
  local function decides(field, base, current, incoming)
    field.path = "stock/*"
    local answer = plugin(field):conflict(clash(base, current, incoming))
    return answer and answer.value
  end

  it("adds both changes to what both had seen", function()
    assert.equal(9, decides({ mode = "sum" }, 10, 12, 7))
    assert.equal(5, decides({ mode = "sum" }, nil, 2, 3))
  end)

  it("has no opinion on a sum if nobody knows what both had seen", function()
    local p = plugin { path = "**", mode = "sum" }
    assert.is_nil(p:conflict(clash({ known = false }, 12, 7)))
    assert.is_nil(p:conflict(clash("text", 12, 7)))
  end)

  it("keeps a sum within bounds", function()
    assert.equal(0, decides({ mode = "clamp_sum", min = 0 }, 10, 3, 2))
    assert.equal(20, decides({ mode = "clamp_sum", min = 0, max = 20 }, 10, 18, 19))
  end)

  it("takes the larger, the smaller or the mean", function()
    assert.equal(12, decides({ mode = "max" }, 10, 12, 7))
    assert.equal(7, decides({ mode = "min" }, 10, 12, 7))
    assert.equal(9.5, decides({ mode = "average" }, 10, 12, 7))
    assert.equal(10, decides({ mode = "average", integer = true }, 10, 12, 7))
  end)

  it("leaves the rest alone", function()
    local p = plugin { path = "stock/*", keys = { "count" }, mode = "max" }
    assert.is_nil(p:conflict(clash(1, 2, 3, "name")))
    assert.is_nil(p:conflict(clash(1, "two", 3)))
    assert.is_nil(p:conflict(clash(1, { deleted = true }, 3)))
    assert.is_nil(p:conflict(t.conflict { path = "other", key = "count", base = 1, current = 2, incoming = 3 }))
  end)

  it("wants bounds that make sense", function()
    assert.has_error(function() plugin { path = "**", mode = "sum", min = 3, max = 1 } end)
    assert.has_error(function() plugin { path = "**", mode = "clamp_sum" } end)
    assert.has_error(function() plugin { path = "**", mode = "product" } end)
  end)

  it("loses nobody's change, in every order", function()
    for order in t.orders { "ana", "ben", "eve" } do
      local app = t.app { plugins = { { "conflict-numeric", config = { fields = { { path = "stock/*", mode = "sum" } } } } } }
      for _, name in ipairs(order) do app:client { user = name, doc = "shop" } end
      app:settle()
      app:user("ana"):map("stock/7"):assign { count = 10 }
      app:settle()
      app:offline()
      app:user("ana"):map("stock/7"):set("count", 11)
      app:user("ben"):map("stock/7"):set("count", 8)
      app:user("eve"):map("stock/7"):set("count", 14)
      for _, name in ipairs(order) do app:user(name):online() app:settle() end
      assert.converged(app, "shop")
      assert.equal(13, app:doc("shop"):get("stock/7/count"))
    end
  end)
end)
