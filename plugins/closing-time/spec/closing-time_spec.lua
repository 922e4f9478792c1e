local t = require "moonloom.test"

describe("closing-time", function()
  local CLOSES = 1767225600 + 3600
  local plugin
  before_each(function()
    t.reset()
    plugin = t.instance("closing-time", { closes_at = CLOSES })
  end)
  after_each(function() t.reset() end)

  local function write()
    return plugin:before_update(t.update { { "text.insert", path = "body", text = "late" } })
  end

  it("lets people write until then", function()
    assert.is_nil(write())
    t.clock(CLOSES)
    assert.is_nil(write())
  end)

  it("refuses every change afterwards and says why", function()
    t.clock(CLOSES + 1)
    local answer = write()
    assert.denied("closed", answer)
    assert.equal("This document is closed.", answer.reason)
    assert.denied("closed", plugin:before_update(t.update { { "map.set", path = "meta", key = "title", value = "x" } }))
    assert.denied("closed", plugin:before_update(t.update { deleted = 3 }))
  end)

  it("has to be told the moment", function()
    assert.has_error(function() t.config("closing-time") end,
      "closing-time: config: closes_at: must be given; for example 1798761600")
  end)
end)
