local t = require "moonloom.test"

describe("quotas", function()
  before_each(function() t.reset() end)
  after_each(function() t.reset() end)

  it("says how many connections there may be, and how large a change", function()
    local plugin = t.instance("quotas", { connections = 7, connections_per_user = 2, update_bytes = "1KiB" })
    assert.same({ connections = 7, connections_per_user = 2, update_bytes = 1024 }, plugin:limits(t.identity { user = "ana" }))
    plugin:close()
  end)

  it("refuses a configuration that cannot be meant", function()
    assert.has_error(function() t.config("quotas", { documents = -1 }) end)
    assert.has_error(function() t.config("quotas", { over = { storage = "refuse" } }) end)
    assert.has_error(function() t.config("quotas", { warn_at = 2 }) end)
    assert.equal(10000, t.config("quotas", {}).documents)
  end)
end)
