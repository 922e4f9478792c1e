-- plugins/presence-throttle/init.lua: a bucket for each cursor says how often others are told of it; then only what may be
-- seen. Nothing is lost: the server keeps the newest state until it is due.
local ml = require "moonloom"
local Throttle = {}

local CURSORS_MAX = 5000
local IDLE_GAP = 15 -- seconds: clients forget a cursor after 30

function Throttle:setup()
  self.state.buckets, self.state.count = {}, 0
end

-- Cursors that nobody moved for a while have a full bucket: it need not be remembered.
local function tidy(state, now)
  if state.count < CURSORS_MAX then return end
  local count = 0
  for key, bucket in pairs(state.buckets) do
    if now - bucket.at > 60 then state.buckets[key] = nil else count = count + 1 end
  end
  if count >= CURSORS_MAX then state.buckets, count = {}, 0 end
  state.count = count
end

-- How long others wait for this state: `coalesce`, longer if the cursor moves too often, and longer if it does not move at all.
local function gap_of(self, key, text)
  local config, now, state = self.config, ml.time.mono(), self.state
  local rate = config.rate
  tidy(state, now)
  local most = math.max(1, rate.n / rate.per)
  local bucket = state.buckets[key]
  if not bucket then
    bucket = { left = most, at = now, moved = now }
    state.buckets[key] = bucket
    state.count = state.count + 1
  end
  bucket.left = math.min(most, bucket.left + (now - bucket.at) * rate.n / rate.per)
  bucket.at = now
  if bucket.text ~= text then
    bucket.text, bucket.moved = text, now
  elseif now - bucket.moved >= config.idle_after then
    return math.max(config.coalesce, IDLE_GAP)
  end
  if bucket.left < 1 then return math.max(config.coalesce, math.min(60, rate.per / rate.n)) end
  bucket.left = bucket.left - 1
  return config.coalesce
end

local function visible(self, state)
  local allowed = self.config.allow_fields
  if #allowed == 0 then return state, false end
  local out = {}
  for _, name in ipairs(allowed) do out[name] = state[name] end
  return out, true
end

-- The name on a cursor is that of the session, whatever the client says.
local function verified(state, identity)
  local user = {}
  for name, value in pairs(type(state.user) == "table" and state.user or {}) do user[name] = value end
  if user.id == identity.user and user.name == (identity.name or identity.user) then return state, false end
  user.id, user.name = identity.user, identity.name or identity.user
  local out = {}
  for name, value in pairs(state) do out[name] = value end
  out.user = user
  return out, true
end

function Throttle:awareness(a)
  local state = a.state
  if type(state) ~= "table" then return nil end
  if self.config.rate.n == 0 then return ml.drop end
  local text = ml.json.encode(state)
  if #text > self.config.max_bytes then return ml.drop end
  local gap = gap_of(self, ("%s\0%.0f"):format(a.doc_id, a.client), text)
  local shown, changed = visible(self, state)
  if self.config.verify_user and a.identity then
    local mine, renamed = verified(shown, a.identity)
    shown, changed = mine, changed or renamed
  end
  if gap > 0 then return ml.slow(gap, changed and shown or nil) end
  if changed then return shown end
end

return Throttle
