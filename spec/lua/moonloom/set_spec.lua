local set = require "moonloom.set"

describe("set", function()
  it("unites, subtracts and intersects", function()
    local a, b = set { "bug", "ui" }, set { "ui", "ios" }
    assert.same({ "bug", "ios", "ui" }, (a + b):sorted())
    assert.same({ "bug" }, (a - b):sorted())
    assert.same({ "ui" }, (a * b):sorted())
    assert.same({ "bug", "ui" }, a:sorted())
  end)

  it("merges three ways", function()
    local base, current, incoming = set { "bug", "ui" }, set { "bug", "urgent" }, set { "bug", "ui", "ios" }
    local removed = (base - current) + (base - incoming)
    assert.same({ "bug", "ios", "urgent" }, (current + incoming - removed):sorted())
  end)

  it("answers questions", function()
    local s = set { 1, "1", true, 1 }
    assert.is_true(s:has(1))
    assert.is_true(s:has("1"))
    assert.is_false(s:has(2))
    assert.equal(3, s:size())
    assert.equal(0, set():size())
    assert.is_true(set { 1, 2 } == set { 2, 1 })
    assert.is_false(set { 1 } == set { 1, 2 })
    assert.same({ 2, 10, "1", "b" }, set { "b", 10, "1", 2 }:sorted())
  end)

  it("holds plain values only, and is not to be changed", function()
    assert.has_error(function() set { {} } end, "ml.set: a set holds text, numbers and booleans, not a table")
    assert.has_error(function() set("x") end, "ml.set: a list expected, got string")
    assert.has_error(function() set { 1 }.x = 1 end, "a set is read-only")
    assert.has_error(function() return set { 1 } + { 1 } end)
  end)
end)
