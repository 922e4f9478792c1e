-- SPDX-License-Identifier: MIT
-- When something is due: every so often, or by five fields (minute hour day month weekday). Pure.
local cron = {}

local RANGES = { { 0, 59 }, { 0, 23 }, { 1, 31 }, { 1, 12 }, { 0, 7 } }
local FIELDS = { "minute", "hour", "day", "month", "weekday" }
local NAMES = {
  [4] = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 },
  [5] = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 },
}
local DAYS_AHEAD = 366 * 8

local function value_of(text, i)
  local n = tonumber(text) or (NAMES[i] and NAMES[i][text:lower()])
  if not n or n ~= math.floor(n) or n < RANGES[i][1] or n > RANGES[i][2] then return nil end
  return n
end

local function parse_field(text, i)
  local set = {}
  if text == "" then return nil end
  for part in (text .. ","):gmatch("([^,]*),") do
    local range, step = part:match("^(.-)/(%d+)$")
    range, step = range or part, tonumber(step or 1)
    local low, high
    if range == "*" then
      low, high = RANGES[i][1], RANGES[i][2]
    else
      local a, b = range:match("^(%w+)%-(%w+)$")
      low = value_of(a or range, i)
      high = a and value_of(b, i) or low
      if low and high and not a and part:find("/", 1, true) then high = RANGES[i][2] end
    end
    if not low or not high or low > high or step < 1 then return nil end
    for n = low, high, step do set[n] = true end
  end
  if i == 5 and set[7] then set[0] = true end
  return set
end

--- The sets of five fields, or nil and what is wrong.
function cron.parse(text)
  if type(text) ~= "string" then return nil, "must be text of five fields, as \"0 3 * * *\"" end
  local fields = {}
  for part in text:gmatch("%S+") do fields[#fields + 1] = part end
  if #fields ~= 5 then return nil, "must have five fields, as \"0 3 * * *\"" end
  local sets = { any_day = fields[3] == "*", any_weekday = fields[5] == "*" }
  for i = 1, 5 do
    sets[i] = parse_field(fields[i], i)
    if not sets[i] then return nil, ("%s: '%s' cannot be read"):format(FIELDS[i], fields[i]) end
  end
  return sets
end

--- Seconds east of Greenwich; nil: not known here.
function cron.offset(tz)
  if tz == nil or tz == "UTC" or tz == "Z" then return 0 end
  if type(tz) ~= "string" then return nil end
  local sign, hours, minutes = tz:match("^([+-])(%d%d):?(%d%d)$")
  if not sign or tonumber(hours) > 14 or tonumber(minutes) > 59 then return nil end
  local seconds = tonumber(hours) * 3600 + tonumber(minutes) * 60
  return sign == "-" and -seconds or seconds
end

-- Year, month, day of a count of days since 1970.
local function civil(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  return mp < 10 and mp + 3 or mp - 9, doy - math.floor((153 * mp + 2) / 5) + 1
end

local function day_matches(sets, days)
  local month, day = civil(days)
  if not sets[4][month] then return false end
  local by_day, by_weekday = sets[3][day], sets[5][(days + 4) % 7]
  if sets.any_day then return by_weekday end
  if sets.any_weekday then return by_day end
  return by_day or by_weekday
end

local function next_in_day(sets, from)
  for minute = from, 1439 do
    if sets[2][math.floor(minute / 60)] and sets[1][minute % 60] then return minute end
  end
end

--- The first time after `after` (seconds) that fits; nil: never.
function cron.at(sets, after, offset)
  local minute = math.floor((after + offset) / 60) + 1
  local days, from = math.floor(minute / 1440), minute % 1440
  for d = days, days + DAYS_AHEAD do
    local found = day_matches(sets, d) and next_in_day(sets, d == days and from or 0)
    if found then return (d * 1440 + found) * 60 - offset end
  end
end

--- The next run after `after`: times of `every` are multiples of it, so all nodes agree on them.
function cron.next(options, every_seconds, after)
  if every_seconds then return (math.floor(after / every_seconds) + 1) * every_seconds end
  return cron.at((cron.parse(options.at)), after, cron.offset(options.tz))
end

return cron
