-- Two people changed the same thing at once: the one whose role is stronger wins.
local ml = require "moonloom"
local RolePriority = {}

function RolePriority:setup()
  self.state.paths = ml.glob.set(self.config.paths)
  self.state.kinds = ml.set(self.config.kinds)
  self.state.places, self.state.count = {}, 0
end

-- 1 is the strongest.
local function rank(self, author)
  for i, role in ipairs(self.config.order) do
    if author:has_role(role) then return i end
  end
  return #self.config.order + 1
end

local tie = {}

function tie.natural(c) if c.natural ~= "both" then return c.natural end end
function tie.next() return nil end

function tie.server_clock(c)
  local current, incoming = c.current.at or 0, c.incoming.at or 0
  if current ~= incoming then return incoming > current and "incoming" or "current" end
end

function RolePriority:conflict(c)
  if not self.state.kinds:has(c.kind) or not self.state.paths:match(c.path) then return nil end
  local current, incoming = rank(self, c.current.author), rank(self, c.incoming.author)
  if current == incoming then return tie[self.config.tie](c) end
  return current < incoming and "current" or "incoming"
end

-- ---- Protected for a while ------------------------------------------------------------------------------------------

local PLACES_MAX = 10000

-- Forget what is over; if that is not enough, everything.
local function tidy(state, now)
  if state.count < PLACES_MAX then return end
  local count = 0
  for place, held in pairs(state.places) do
    if held.ends <= now then state.places[place] = nil else count = count + 1 end
  end
  if count >= PLACES_MAX then state.places, count = {}, 0 end
  state.count = count
end

function RolePriority:before_update(u)
  if self.config.protect == 0 then return end
  local state, now, mine = self.state, ml.time.now(), rank(self, u.author)
  tidy(state, now)
  for e in u:edits() do
    if e.key and self.state.paths:match(e.path) then
      local place = u.doc.id .. "\0" .. e.path .. "\0" .. e.key
      local held = state.places[place]
      if held and held.ends > now and held.rank < mine then
        u:undo(e, "protected", ("%s was written a moment ago by somebody who decides about it."):format(e.key))
      elseif mine <= #self.config.order then
        if not held then state.count = state.count + 1 end
        state.places[place] = { rank = mine, ends = now + self.config.protect }
      end
    end
  end
end

return RolePriority
