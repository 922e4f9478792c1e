-- plugins/rate-limit/init.lua: a bucket for each that is counted; what it does not hold is refused with a reason.
local ml = require "moonloom"
local Rates = {}

local NAME_MAX = 500 -- bytes of a document's name that count: a key has its limits

-- A rate of 0 has no bucket: nothing passes.
local function bucket(rate, times)
  if rate.n == 0 then return nil end
  local burst = math.max(1, rate.n * times)
  return { limit = ml.limiter.new { rate = { n = rate.n, per = rate.per }, burst = burst }, burst = burst }
end

function Rates:setup()
  local config = self.config
  self.state.updates = bucket(config.updates, config.burst)
  self.state.bytes = bucket(config.bytes, config.burst)
  self.state.messages = bucket(config.messages, config.burst)
end

-- A request over HTTP is a session of its own, unless its token names one: `user` is what also holds programs.
local function key_of(per, who, doc)
  if per == "org" then return "org" end
  if per == "document" then return "d/" .. doc.id:sub(1, NAME_MAX) end
  local user, session = who.user or "", who.session or ""
  if user == "" or (per == "session" and session ~= "") then return "s/" .. session end
  return "u/" .. user
end

local function is_exempt(config, who)
  for _, role in ipairs(config.exempt) do
    for _, held in ipairs(who.roles) do if held == role then return true end end
  end
  return false
end

-- What is larger than a bucket takes all of it: it passes when the bucket is full.
local function may_pass(self, what, key, n)
  local one = self.state[what]
  return one ~= nil and (one.limit:take(key, math.min(n, one.burst)))
end

function Rates:before_update(u)
  local config, who = self.config, u.author
  if is_exempt(config, who) then return nil end
  local key = key_of(config.per, who, u.doc)
  if may_pass(self, "updates", key, 1) and may_pass(self, "bytes", key, u.bytes) then return nil end
  return ml.deny("too_fast", "These were too many changes at once. Please wait a moment.")
end

function Rates:message(m)
  local config, who = self.config, m.identity
  if is_exempt(config, who) then return nil end
  if may_pass(self, "messages", key_of(config.per, who, m.doc), 1) then return nil end
  return ml.deny("too_fast", "These were too many messages at once. Please wait a moment.")
end

return Rates
