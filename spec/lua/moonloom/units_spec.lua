local units = require "moonloom.units"

describe("units", function()
  it("reads durations", function()
    assert.equal(90, units.duration("90s"))
    assert.equal(5400, units.duration("1h 30m"))
    assert.equal(0.5, units.duration("500ms"))
    assert.equal(1209600, units.duration("2w"))
    assert.equal(1.5 * 86400, units.duration("1.5d"))
    assert.equal(12, units.duration(12))
  end)

  it("reads sizes", function()
    assert.equal(65536, units.size("64KiB"))
    assert.equal(1500, units.size("1.5kB"))
    assert.equal(7, units.size("7B"))
    assert.equal(7, units.size(7.9))
  end)

  it("reads rates", function()
    assert.same({ n = 30, per = 1 }, units.rate("30/s"))
    assert.same({ n = 5, per = 10 }, units.rate("5/10s"))
    assert.same({ n = 1048576, per = 3600 }, units.rate("1MiB/h"))
  end)

  it("says how it is written when it is not", function()
    for _, wrong in ipairs { "", "5", "s", "5 bananas", "-5s", "5s5", ("9"):rep(50) .. "s" } do
      assert.is_nil((units.duration(wrong)), wrong)
      assert.is_nil((units.size(wrong)), wrong)
    end
    for _, wrong in ipairs { "", "30", "30/", "/s", "x/s", "30/0s", "-1/s" } do assert.is_nil((units.rate(wrong)), wrong) end
    for _, wrong in ipairs { -1, 0 / 0, math.huge } do
      assert.is_nil((units.duration(wrong)))
      assert.is_nil((units.size(wrong)))
    end
    assert.is_nil((units.rate(7)))
    assert.matches("write", select(2, units.duration("x")))
  end)
end)
