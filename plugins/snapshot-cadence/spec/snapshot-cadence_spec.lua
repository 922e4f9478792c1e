local t = require "moonloom.test"

describe("snapshot-cadence", function()
  it("comes with a sensible cadence", function()
    assert.same({ every_ops = 500, every_bytes = 262144, every = 600, idle = 30, min_gap = 60, on_unload = true, on_shutdown = true },
      t.instance("snapshot-cadence"):snapshot_policy(t.ref()))
  end)

  it("takes every value from its configuration", function()
    local plugin = t.instance("snapshot-cadence",
      { ops = 5, bytes = "1MiB", every = "1h", idle = "2m", min_gap = 0, on_unload = false, on_shutdown = false })
    assert.same({ every_ops = 5, every_bytes = 1048576, every = 3600, idle = 120, min_gap = 0, on_unload = false, on_shutdown = false },
      plugin:snapshot_policy(t.ref()))
  end)

  it("uses the first pattern that matches a document, field by field", function()
    local plugin = t.instance("snapshot-cadence", { ops = 100, per_docs = {
      { docs = "boards/**", ops = 10 }, { docs = "**", idle = "5s" } } })
    local board, note = plugin:snapshot_policy(t.ref { id = "boards/a/b" }), plugin:snapshot_policy(t.ref { id = "notes/1" })
    assert.equal(10, board.every_ops)
    assert.equal(30, board.idle)
    assert.equal(100, note.every_ops)
    assert.equal(5, note.idle)
  end)

  it("refuses what makes no sense", function()
    assert.has_error(function() t.config("snapshot-cadence", { ops = -1 }) end,
      "snapshot-cadence: config: ops = -1: must be at least 0")
    assert.has_error(function() t.config("snapshot-cadence", { per_docs = { { ops = 1 } } }) end,
      "snapshot-cadence: config: per_docs[1].docs: must be given")
  end)

  local function due(given)
    local s = { doc_id = "d", seq = 42, at = 1767312000, trigger = "ops", labels = {} } -- 2026-01-02T00:00:00Z
    for k, v in pairs(given or {}) do s[k] = v end
    return s
  end

  it("names versions by a pattern, also for some documents only", function()
    assert.is_nil(t.instance("snapshot-cadence"):snapshot_name(due()))
    local plugin = t.instance("snapshot-cadence", {
      name = "{date} no. {seq} ({trigger}) {other}", per_docs = { { docs = "x", name = "{utc}" } } })
    assert.equal("2026-01-02 no. 42 (ops) {other}", plugin:snapshot_name(due()))
    assert.equal("2026-01-02T00:00:00Z", plugin:snapshot_name(due { doc_id = "x" }))
  end)

  it("says who wrote, in labels and names", function()
    local plugin = t.instance("snapshot-cadence", { name = "{author} {seq}", per_docs = { { docs = "x", label_authors = false } } })
    assert.same({ authors = "cem, ana" }, plugin:before_snapshot(due { authors = { "ana", "cem" } }))
    assert.equal("cem 42", plugin:snapshot_name(due { authors = { "ana", "cem" } }))
    assert.is_nil(plugin:before_snapshot(due { authors = { "ana" }, doc_id = "x" }))
    assert.is_nil(plugin:before_snapshot(due { authors = {} }))
    assert.is_nil(plugin:before_snapshot(due()))
    local many = {}
    for i = 1, 32 do many[i] = ("u"):rep(250) .. i end
    local label = plugin:before_snapshot(due { authors = many }).authors
    assert.is_true(#label <= 1010)
    assert.equal("…", label:sub(-3))
  end)

  it("takes one when a place has changed, and not again until it changes again", function()
    local plugin = t.instance("snapshot-cadence", { on_paths = { "meta/status" } })
    plugin:after_update(t.batch { { "text.insert", path = "content", text = "x" }, doc_id = "d" })
    assert.is_nil(plugin:snapshot_due(due()))
    plugin:after_update(t.batch { { "map.set", path = "meta", key = "status", value = "done" }, doc_id = "d" })
    assert.is_true(plugin:snapshot_due(due()))
    assert.is_true(plugin:snapshot_due(due())) -- not taken yet: min_gap
    assert.is_nil(plugin:before_snapshot(due()))
    assert.is_nil(plugin:snapshot_due(due()))
  end)

  it("is quiet in some hours, but not when a document goes", function()
    local plugin = t.instance("snapshot-cadence")
    local midnight = 1767312000
    local night = { from = "22:00", to = "06:00", tz = "+00:00" }
    assert.is_true(plugin:is_quiet(night, midnight))
    assert.is_true(plugin:is_quiet(night, midnight - 7200))
    assert.is_false(plugin:is_quiet(night, midnight - 7201))
    assert.is_false(plugin:is_quiet(night, midnight + 6 * 3600))
    assert.is_false(plugin:is_quiet({ from = "22:00", to = "06:00", tz = "+07:30" }, midnight))
    assert.is_true(plugin:is_quiet({ from = "16:00", to = "17:00", tz = "-07:30" }, midnight))
    assert.is_false(plugin:is_quiet({ from = "00:00", to = "00:00", tz = "+00:00" }, midnight))

    t.clock(midnight)
    plugin = t.instance("snapshot-cadence", { quiet_hours = { from = "22:00", to = "06:00" } })
    assert.denied("quiet_hours", plugin:before_snapshot(due()))
    assert.is_nil(plugin:before_snapshot(due { trigger = "unload" }))
    assert.has_error(function() t.config("snapshot-cadence", { quiet_hours = { from = "25:00", to = "06:00" } }) end)
  end)
end)
