local order = require "moonloom.order"

local function item(name, phase, after, before)
  return { name = name, phase = phase or "policy", after = after or {}, before = before or {} }
end

local function names(items)
  local sorted, cycle = order.sort(items)
  if not sorted then return nil, cycle end
  local out = {}
  for i, one in ipairs(sorted) do out[i] = one.name end
  return table.concat(out, " ")
end

describe("order", function()
  it("is by phase, then by name", function()
    assert.equal("z b a c", names { item "c", item("z", "edge"), item "a", item("b", "validate") })
  end)

  it("honours after and before within a phase", function()
    assert.equal("b c a", names { item("a", nil, { "c" }), item "b", item "c" })
    assert.equal("b c a", names { item "a", item "b", item("c", nil, nil, { "a" }) })
  end)

  it("never moves a plugin out of its phase", function()
    assert.equal("a b", names { item("a", "auth", { "b" }), item("b", "observe") })
  end)

  it("ignores names it does not know", function()
    assert.equal("a b", names { item("b", nil, { "ghost" }), item("a", nil, nil, { "ghost" }) })
  end)

  it("does not depend on the order it is given", function()
    local items = { item("a", nil, { "d" }), item "b", item("c", nil, nil, { "b" }), item "d" }
    local expected = names(items)
    for _ = 1, 50 do
      for i = #items, 2, -1 do
        local j = math.random(i)
        items[i], items[j] = items[j], items[i]
      end
      assert.equal(expected, names(items))
    end
  end)

  it("shows a cycle", function()
    local sorted, cycle = names { item("a", nil, { "b" }), item("b", nil, { "c" }), item("c", nil, { "a" }), item "d" }
    assert.is_nil(sorted)
    assert.equal("plugins of phase policy wait for each other: a -> b -> c -> a", cycle)
    sorted, cycle = names { item("a", nil, { "a" }) }
    assert.is_nil(sorted)
    assert.matches("a %-> a", cycle)
  end)
end)
