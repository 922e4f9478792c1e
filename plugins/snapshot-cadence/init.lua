-- plugins/snapshot-cadence/init.lua: the rule is stated once, the core does the counting. What it does not count (places, hours) is here.
local ml = require "moonloom"
local Cadence = {}

-- The first pattern that matches this document, if any.
local function override(config, id)
  for _, entry in ipairs(config.per_docs) do
    if ml.glob.match(entry.docs, id) then return entry end
  end
end

local TOUCHED_MAX = 10000

-- Reads a field as it is for this document.
local function values(config, id)
  local own = override(config, id)
  return function(name)
    if own and own[name] ~= nil then return own[name] end
    return config[name]
  end
end

local function minutes(text) return tonumber(text:sub(1, 2)) * 60 + tonumber(text:sub(4, 5)) end

function Cadence.validate(config)
  for _, name in ipairs { "from", "to" } do
    if config.quiet_hours and minutes(config.quiet_hours[name]) >= 24 * 60 then
      return { { "quiet_hours." .. name, "must be a time of the day" } }
    end
  end
end

function Cadence:setup()
  self.state.touched, self.state.count = {}, 0
end

function Cadence:snapshot_policy(ref)
  local value = values(self.config, ref.id)

  return {
    every_ops = value "ops", every_bytes = value "bytes", every = value "every", idle = value "idle",
    min_gap = value "min_gap", on_unload = value "on_unload", on_shutdown = value "on_shutdown",
  }
end

-- ---- On paths -------------------------------------------------------------------------------------------------------

-- A place is a container, or one key of it.
local function touches(batch, paths)
  for change in batch:changes() do
    local place = change.key and change.path .. "/" .. ml.path.join(change.key)
    for _, pattern in ipairs(paths) do
      if ml.path.match(pattern, change.path) or (place and ml.path.match(pattern, place)) then return true end
    end
  end
  return batch.gap
end

function Cadence:after_update(batch)
  local state, id = self.state, batch.doc.id
  local paths = values(self.config, id) "on_paths"
  if #paths == 0 or state.touched[id] or not touches(batch, paths) then return end
  if state.count >= TOUCHED_MAX then state.touched, state.count = {}, 0 end
  state.touched[id], state.count = true, state.count + 1
end

function Cadence:snapshot_due(s)
  if self.state.touched[s.doc_id] then return true end
end

-- ---- Hours, names ---------------------------------------------------------------------------------------------------

-- The time zone is an offset: what is quiet moves with no summer.
function Cadence.is_quiet(_, hours, now)
  local sign, h, m = hours.tz:match "^([+-])(%d%d):(%d%d)$"
  local offset = (tonumber(h) * 60 + tonumber(m)) * (sign == "-" and -1 or 1)
  local at = (math.floor(now / 60) + offset) % (24 * 60)
  local from, to = minutes(hours.from), minutes(hours.to)
  if from <= to then return at >= from and at < to end
  return at >= from or at < to
end

local LABEL_MAX = 1000

-- Who wrote, the newest first; what is too long for a label ends with a mark.
local function authors_label(authors)
  local out, bytes = {}, 0
  for i = #authors, 1, -1 do
    bytes = bytes + #authors[i] + 2
    if bytes > LABEL_MAX then
      out[#out + 1] = "…"
      break
    end
    out[#out + 1] = authors[i]
  end
  if #out > 0 then return { authors = table.concat(out, ", ") } end
end

local LAST = { unload = true, shutdown = true } -- the room goes: now or never

function Cadence:before_snapshot(s)
  local state, hours = self.state, self.config.quiet_hours
  if hours and not LAST[s.trigger] and self:is_quiet(hours, ml.time.now()) then
    return ml.deny("quiet_hours", "No versions are taken at this hour.")
  end
  if state.touched[s.doc_id] then state.touched[s.doc_id], state.count = nil, state.count - 1 end
  if values(self.config, s.doc_id) "label_authors" then return authors_label(s.authors or {}) end
end

function Cadence:snapshot_name(s)
  local pattern = values(self.config, s.doc_id) "name"
  if pattern == "" then return nil end
  local utc = ml.time.format(math.floor(s.at))
  local known = { seq = ("%d"):format(s.seq), utc = utc, date = utc:sub(1, 10), trigger = s.trigger or "",
                  author = s.authors and s.authors[#s.authors] or "" }
  local name = pattern:gsub("{(%a+)}", known)
  return name
end

return Cadence
