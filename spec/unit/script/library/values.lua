-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises

local P = {}

local function bytes()
  local b = ml.bytes("a\0\255b")
  same(4, #b)
  same("a\0\255b", tostring(b))
  same(true, b == ml.bytes("a\0\255b"))
  same(false, b == ml.bytes("a\0\255c"))
  same(false, b == "a\0\255b")
  same(true, ml.bytes(b) == b)
  same(0, #ml.bytes(""))
  same('{"b":"YQD/Yg=="}', ml.json.encode { b = b })
  same(false, getmetatable(b))
  raises("text expected, got number", ml.bytes, 1)
  raises("attempt to index", function() b.x = 1 end)
end

local function int64()
  local n = ml.int64("9223372036854775807")
  same("9223372036854775807", tostring(n))
  same("-9223372036854775808", tostring(ml.int64("-9223372036854775808")))
  same("9007199254740993", tostring(ml.int64("9007199254740993")))
  same(true, ml.int64(5) == ml.int64("5"))
  same(false, ml.int64(5) == 5)
  same(true, ml.int64("9007199254740992") < ml.int64("9007199254740993"))
  same(true, ml.int64(5) <= ml.int64(5))
  same("9007199254740993", tostring(ml.int64("9007199254740992") + 1))
  same("9007199254740991", tostring(ml.int64("9007199254740992") - 1))
  same(9007199254740992, ml.int64("9007199254740992"):number())
  raises("sum is out of range", function() return n + 1 end)
  raises("difference is out of range", function() return ml.int64(-2) - n end)
  for _, wrong in ipairs { "", "-", "+1", "01", "-0", "1.0", "1e3", " 1", "9223372036854775808", "-9223372036854775809", "0x1" } do
    raises("decimal digits within 64 bits expected", ml.int64, wrong)
  end
  same("0", tostring(ml.int64("0")))
  raises("whole number within 2^53", ml.int64, 0.5)
  raises("whole number within 2^53", ml.int64, 1e300)
  raises("whole number within 2^53", ml.int64, 0 / 0)
  raises("whole number expected, got nil", ml.int64, nil)
  -- JSON keeps every digit, both ways.
  same('[9223372036854775807,5]', ml.json.encode { n, ml.int64(5) })
  local list = ml.json.decode "[9007199254740993,9007199254740992,-9223372036854775808,9223372036854775808,1e18,1152921504606846976.0]"
  same("9007199254740993", tostring(list[1]))
  same("number", type(list[2]))
  same(true, list[3] == ml.int64("-9223372036854775808"))
  same(9223372036854775808, list[4])
  same(1e18, list[5])
  same("number", type(list[6]))
end

local function answers()
  same("Plan", ml.merge("Plan").value)
  same("conflicts", ml.keep_both("conflicts").name)
  same(0.2, ml.slow(0.2).seconds)
  same(2, ml.slow("2s").seconds)
  same({}, ml.allow())
  same({ why = "busy", after = 90 }, ml.retry("busy", "90s"))
  same({}, ml.retry())
  same("gone", ml.dead("gone").why)
  same(false, getmetatable(ml.drop))
  same(true, ml.drop == ml.drop)
  raises("ml.drop is read-only", function() ml.drop.x = 1 end)
  raises("read-only", table.insert, ml.drop, 1)
  raises("ml.null is null", ml.merge, nil)
  raises("bad argument", ml.merge)
  raises("name of the list must be", ml.keep_both, "")
  raises("name of the list must be", ml.keep_both, 1)
  raises("name of the list must be", ml.keep_both, ("x"):rep(129))
  raises("at most one minute", ml.slow, 61)
  raises("more than nothing", ml.slow, 0)
  raises("is not a duration", ml.slow, "soon")
  raises("is not a duration", ml.retry, "why", -1)
  raises("why must be", ml.dead, nil)
  raises("why must be", ml.dead, "\255")
  raises("protected metatable", setmetatable, ml.merge(1), {})
  raises("protected metatable", ml.array, ml.merge(1))
end

function P:setup()
  bytes() int64() answers()
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
