-- plugins/presence-throttle/init.lua: a bucket for each cursor, then only what may be seen.
local ml = require "moonloom"
local Throttle = {}

local CURSORS_MAX = 5000

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

local function may_pass(self, key)
  local rate, now, state = self.config.rate, ml.time.mono(), self.state
  tidy(state, now)
  local most = math.max(1, rate.n / rate.per)
  local bucket = state.buckets[key]
  if not bucket then
    bucket = { left = most, at = now }
    state.buckets[key] = bucket
    state.count = state.count + 1
  end
  bucket.left = math.min(most, bucket.left + (now - bucket.at) * rate.n / rate.per)
  bucket.at = now
  if bucket.left < 1 then return false end
  bucket.left = bucket.left - 1
  return true
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
  if not may_pass(self, ("%s\0%.0f"):format(a.doc_id, a.client)) then return ml.drop end
  if #ml.json.encode(state) > self.config.max_bytes then return ml.drop end
  local shown, changed = visible(self, state)
  if self.config.verify_user and a.identity then
    local mine, renamed = verified(shown, a.identity)
    shown, changed = mine, changed or renamed
  end
  if changed then return shown end
end

return Throttle
