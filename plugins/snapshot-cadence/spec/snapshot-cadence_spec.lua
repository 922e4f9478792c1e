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
end)
