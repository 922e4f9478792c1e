local t = require "moonloom.test"

describe("org-sharding", function()
  local POOLS = { "a", "b", "c" }
  local function place(plugin, org, pools)
    local answer = plugin:place_document { org = org, pools = pools or POOLS }
    if not answer then return nil end
    assert.equal(org, answer.key)
    return answer.pool
  end
  local function count(plugin, pools)
    local of = { a = 0, b = 0, c = 0 }
    for i = 1, 600 do
      local pool = place(plugin, "org-" .. i, pools)
      of[pool] = of[pool] + 1
    end
    return of
  end

  it("spreads orgs over the pools by their weight", function()
    local of = count(t.instance("org-sharding", { pools = { { name = "a" }, { name = "b" }, { name = "c", weight = 2 } } }))
    assert.truthy(of.a > 110 and of.a < 190, of.a)
    assert.truthy(of.b > 110 and of.b < 190, of.b)
    assert.truthy(of.c > 250 and of.c < 350, of.c)
  end)

  it("says the same for the same org, on every node and whatever the order of the pools", function()
    local one = t.instance("org-sharding", { pools = { { name = "a" }, { name = "b" } } })
    local two = t.instance("org-sharding", { pools = { { name = "b" }, { name = "a" } } })
    for i = 1, 200 do assert.equal(place(one, "org-" .. i), place(two, "org-" .. i)) end
  end)

  it("moves only to the pool that was added", function()
    local before = t.instance("org-sharding", { pools = { { name = "a" }, { name = "b" } } })
    local after = t.instance("org-sharding", { pools = { { name = "a" }, { name = "b" }, { name = "c" } } })
    for i = 1, 300 do
      local was, is = place(before, "org-" .. i), place(after, "org-" .. i)
      assert.truthy(is == was or is == "c")
    end
  end)

  it("gives nothing new to pools that are full, draining, without weight or not there", function()
    local plugin = t.instance("org-sharding", { pools = { { name = "a" }, { name = "b", state = "full" },
      { name = "c", state = "draining" }, { name = "d" } } })
    assert.same({ a = 600, b = 0, c = 0 }, count(plugin))
    assert.is_nil(place(plugin, "acme", { "b", "c" }))
    assert.is_nil(place(t.instance("org-sharding", { pools = { { name = "a", weight = 0 } } }), "acme"))
  end)

  it("puts what is pinned where it is pinned", function()
    local plugin = t.instance("org-sharding", { pools = { { name = "a" } }, pin = { acme = "b", gone = "z" } })
    assert.equal("b", place(plugin, "acme"))
    assert.equal("a", place(plugin, "gone"))
  end)
end)
