local nearest = require "moonloom.nearest"

describe("nearest", function()
  local known = { "before_update", "after_update", "authorize", "authenticate", "min", "max" }

  it("finds the word that was meant", function()
    assert.equal("before_update", nearest("befor_update", known))
    assert.equal("authorize", nearest("authorise", known))
    assert.equal("min", nearest("mni", known))
    assert.equal("max", nearest("MAX", known))
  end)

  it("keeps quiet when nothing is near", function()
    assert.is_nil(nearest("colour", known))
    assert.is_nil(nearest(("x"):rep(1000), known))
    assert.is_nil(nearest("x", {}))
  end)

  it("prefers the first in the alphabet among equals", function()
    assert.equal("bat", nearest("xat", { "cat", "bat" }))
  end)
end)
