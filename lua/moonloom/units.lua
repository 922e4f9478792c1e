-- SPDX-License-Identifier: MIT
-- Durations, sizes and rates as people write them. Each function answers a value, or nil and what is
-- wrong with the text.
local units = {}

local SECONDS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, w = 604800 }
local BYTES = { B = 1, kB = 1e3, MB = 1e6, GB = 1e9, TB = 1e12,
                KiB = 2 ^ 10, MiB = 2 ^ 20, GiB = 2 ^ 30, TiB = 2 ^ 40 }

local function amount(value, table_of_units, wrong)
  if type(value) == "number" then
    if value ~= value or value < 0 or value == math.huge then return nil, wrong end
    return value
  end
  if type(value) ~= "string" or #value > 40 then return nil, wrong end
  local total, at = 0, 1
  repeat
    local from, to, number, unit = value:find("^%s*(%d+%.?%d*)%s*(%a+)%s*", at)
    if not from or not table_of_units[unit] then return nil, wrong end
    total = total + tonumber(number) * table_of_units[unit]
    at = to + 1
  until at > #value
  return total
end

--- "90s", "15m", "1h30m", "7d" or a number: seconds.
function units.duration(value)
  return amount(value, SECONDS, 'is not a duration; write "90s", "15m", "12h" or "7d"')
end

--- "64KiB", "20MB" or a number: whole bytes.
function units.size(value)
  local bytes, wrong = amount(value, BYTES, 'is not a size; write "64KiB" or "20MiB"')
  if not bytes then return nil, wrong end
  return math.floor(bytes)
end

--- "30/s", "600/m", "2GiB/d": { n, per }, per in seconds.
function units.rate(value)
  local wrong = 'is not a rate; write "30/s" or "600/m"'
  if type(value) ~= "string" then return nil, wrong end
  local number, unit = value:match("^%s*([%w%.]+)%s*/%s*(%d*%a+)%s*$")
  if not number then return nil, wrong end
  local n = tonumber(number) or amount(number, BYTES, wrong)
  local per = SECONDS[unit] or amount(unit, SECONDS, wrong)
  if not n or not per or per == 0 or n < 0 or n ~= n or n == math.huge then return nil, wrong end
  return { n = n, per = per }
end

return units
