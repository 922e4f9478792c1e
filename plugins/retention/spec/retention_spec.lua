local t = require "moonloom.test"

describe("retention", function()
  local HOUR, DAY = 3600, 86400

  --- Versions of these ages in seconds, newest first, named by their place.
  local function versions(plugin, ages, change)
    local now = t.clock()
    local list = {}
    for i, age in ipairs(ages) do
      list[i] = { name = "v" .. i, version = #ages - i + 1, at = now - age, bytes = 100, labels = {}, pinned = false }
    end
    if change then change(list) end
    local kept = plugin:retain { doc_id = "notes/1", snapshots = list, held = false }
    return kept and table.concat(kept, " ")
  end

  local FEW = { keep_all = "1h", hourly = 0, daily = 0, weekly = 0, monthly = 0 }
  local function config(extra)
    local all = {}
    for k, v in pairs(FEW) do all[k] = v end
    for k, v in pairs(extra or {}) do all[k] = v end
    return all
  end

  it("keeps what is young, and the newest always", function()
    assert.equal("v1 v2", versions(t.instance("retention", FEW), { 60, 120, 2 * HOUR, DAY }))
    assert.equal("v1", versions(t.instance("retention", FEW), { 5 * DAY, 6 * DAY }))
  end)

  it("keeps the newest of each day", function()
    local plugin = t.instance("retention", config { daily = 3 })
    t.clock(20000 * DAY + 12 * HOUR)
    local now = 12 * HOUR
    assert.equal("v1 v2 v4", versions(plugin, { 60, now + 60, now + 120, now + DAY + 60, now + 9 * DAY }))
  end)

  it("keeps labels and what is pinned", function()
    local plugin = t.instance("retention", FEW)
    assert.equal("v1 v2 v3 v4", versions(plugin, { 60, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY }, function(list)
      list[2].labels = { release = "1.0" }
      list[3].labels = { reason = "legal" }
      list[4].pinned = true
    end))
  end)

  it("keeps no more than so many, and so much", function()
    assert.equal("v1 v2", versions(t.instance("retention", config { max_versions = 2 }), { 1, 2, 3, 4 }))
    assert.equal("v1 v2 v3", versions(t.instance("retention", config { max_bytes = 300 }), { 1, 2, 3, 4 }))
  end)

  it("touches nothing that is held", function()
    local plugin = t.instance("retention", config { hold = { "notes/**" } })
    assert.is_nil(versions(plugin, { 60, 9 * DAY }))
    assert.is_false(plugin:compact { doc_id = "notes/1", safe_seq = 5 })
    assert.same({ keep_history = 30 * DAY }, plugin:compact { doc_id = "other", safe_seq = 5 })
  end)
end)
