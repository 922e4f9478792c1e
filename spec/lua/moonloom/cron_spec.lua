local cron = require "moonloom.cron"

local function at(text, after, tz) return cron.at(cron.parse(text), after, cron.offset(tz)) end
local function utc(y, mo, d, h, mi) return os.time { year = y, month = mo, day = d, hour = h, min = mi } + os.difftime(os.time(), os.time(os.date "!*t")) end

describe("cron", function()
  -- Two times that everybody can check: date -u -d @1767225600 is 2026-01-01T00:00:00Z, a Thursday.
  local NEW_YEAR = 1767225600
  local DAY = 86400

  it("finds the next minute, hour, day and month", function()
    assert.equal(NEW_YEAR + 60, at("* * * * *", NEW_YEAR))
    assert.equal(NEW_YEAR + 60, at("* * * * *", NEW_YEAR + 59))
    assert.equal(NEW_YEAR + 3 * 3600, at("0 3 * * *", NEW_YEAR))
    assert.equal(NEW_YEAR + DAY, at("0 0 * * *", NEW_YEAR))
    assert.equal(NEW_YEAR + 31 * DAY, at("0 0 1 * *", NEW_YEAR))
    assert.equal(NEW_YEAR + 59 * DAY, at("0 0 1 3 *", NEW_YEAR)) -- 2026 has no 29 February
    assert.equal(NEW_YEAR + 15 * 60, at("*/15 * * * *", NEW_YEAR))
    assert.equal(NEW_YEAR + 9 * 3600 + 1800, at("30 9-17 * * mon-fri", NEW_YEAR))
  end)

  it("knows weekdays, and takes either day if both are given", function()
    assert.equal(NEW_YEAR + 4 * DAY, at("0 0 * * 1", NEW_YEAR)) -- Monday the 5th
    assert.equal(NEW_YEAR + 3 * DAY, at("0 0 * * sun", NEW_YEAR))
    assert.equal(NEW_YEAR + 3 * DAY, at("0 0 * * 7", NEW_YEAR))
    assert.equal(NEW_YEAR + DAY, at("0 0 2 * 1", NEW_YEAR))
    assert.equal(NEW_YEAR + 4 * DAY, at("0 0 2 * 1", NEW_YEAR + DAY))
  end)

  it("goes by the clock of its zone", function()
    assert.equal(NEW_YEAR + 3600, at("0 3 * * *", NEW_YEAR, "+02:00"))
    assert.equal(NEW_YEAR + 8 * 3600, at("0 3 * * *", NEW_YEAR, "-05:00"))
    assert.is_nil(cron.offset "Mars/Olympus")
  end)

  it("waits years for a leap day, and says never", function()
    assert.equal("2028-02-29 00:00", os.date("!%Y-%m-%d %H:%M", at("0 0 29 2 *", NEW_YEAR)))
    assert.is_nil(at("0 0 31 2 *", NEW_YEAR))
  end)

  it("agrees with the calendar of the system for years on end", function()
    local time = NEW_YEAR
    for _ = 1, 400 do
      time = at("17 5 1,15 * *", time)
      assert.matches("^%d%d%d%d%-%d%d%-[01][15] 05:17$", os.date("!%Y-%m-%d %H:%M", time))
    end
    assert.is_true(utc(2042, 1, 1, 0, 0) < time)
  end)

  it("refuses what it cannot read, and says which part", function()
    for text, why in pairs { ["60 * * * *"] = "minute", ["* 24 * * *"] = "hour", ["* * 0 * *"] = "day", ["* * * foo *"] = "month",
                             ["* * * * 8"] = "weekday", ["*/0 * * * *"] = "minute", ["5-1 * * * *"] = "minute", ["* * *"] = "five fields" } do
      local sets, wrong = cron.parse(text)
      assert.is_nil(sets, text)
      assert.truthy(wrong:find(why, 1, true), text .. ": " .. wrong)
    end
  end)

  it("puts what is due every so often at multiples of it, so that all nodes agree", function()
    assert.equal(1800, cron.next({}, 900, 900))
    assert.equal(900, cron.next({}, 900, 899.5))
  end)
end)
