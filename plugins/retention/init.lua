-- plugins/retention/init.lua: the newest version of each hour, day, week and month, and some more.
local ml = require "moonloom"
local Retention = {}

local HOUR, DAY, WEEK, MONTH = 3600, 86400, 7 * 86400, 30 * 86400
local STEPS = { { "hourly", HOUR }, { "daily", DAY }, { "weekly", WEEK }, { "monthly", MONTH } }

local function is_held(config, id)
  for _, pattern in ipairs(config.hold) do
    if ml.glob.match(pattern, id) then return true end
  end
  return false
end

local function has_label(config, labels)
  for _, wanted in ipairs(config.keep_labels) do
    if labels[wanted] ~= nil then return true end
    for _, value in pairs(labels) do
      if value == wanted then return true end
    end
  end
  return false
end

-- The newest of each of the last `count` periods; snapshots come newest first.
local function thin(snapshots, keep, count, period, now)
  local seen, periods = {}, 0
  for _, s in ipairs(snapshots) do
    local at = math.floor(s.at / period)
    if now - s.at < count * period and not seen[at] and periods < count then
      seen[at], keep[s.name], periods = true, true, periods + 1
    end
  end
end

function Retention:retain(r)
  local config, now, keep = self.config, ml.time.now(), {}
  if r.held or is_held(config, r.doc_id) then return nil end
  for i, s in ipairs(r.snapshots) do
    keep[s.name] = i == 1 or now - s.at < config.keep_all or s.pinned or has_label(config, s.labels) or nil
  end
  for _, step in ipairs(STEPS) do thin(r.snapshots, keep, config[step[1]], step[2], now) end
  local list, bytes = {}, 0
  for i, s in ipairs(r.snapshots) do
    bytes = bytes + s.bytes
    local fits = #list < config.max_versions and bytes <= config.max_bytes
    if keep[s.name] and (i == 1 or s.pinned or fits or has_label(config, s.labels)) then list[#list + 1] = s.name end
  end
  return list
end

function Retention:compact(c)
  if is_held(self.config, c.doc_id) then return false end
  return { keep_history = self.config.journal_history }
end

return Retention
