local xpcall_ = require "moonloom.xpcall"

describe("xpcall for plugins", function()
  it("hands arguments in and results out", function()
    assert.same({ true, 3, nil, 4 }, { xpcall_(function(a, b) return a + b, nil, 4 end, error, 1, 2) })
  end)

  it("gives the error to the handler", function()
    assert.same({ false, "<oh>" }, { xpcall_(function() error("oh", 0) end, function(e) return "<" .. e .. ">" end) })
  end)

  it("survives a handler that fails", function()
    assert.same({ false, "error in error handling" }, { xpcall_(error, function() error("again") end) })
  end)

  it("wants a function as handler", function()
    assert.has_error(function() xpcall_(error, nil) end, "bad argument #2 to 'xpcall' (function expected)")
  end)
end)
