-- Two people changed the same thing at once: the one whose role is stronger wins.
local ml = require "moonloom"
local RolePriority = {}

function RolePriority:setup()
  self.state.paths = ml.glob.set(self.config.paths)
  self.state.kinds = ml.set(self.config.kinds)
end

-- 1 is the strongest.
local function rank(self, side)
  for i, role in ipairs(self.config.order) do
    if side.author:has_role(role) then return i end
  end
  return #self.config.order + 1
end

local tie = {}

function tie.natural(c) return c.natural end
function tie.next() return nil end

function tie.server_clock(c)
  local current, incoming = c.current.at or 0, c.incoming.at or 0
  if current ~= incoming then return incoming > current and "incoming" or "current" end
end

function RolePriority:conflict(c)
  if not self.state.kinds:has(c.kind) or not self.state.paths:match(c.path) then return nil end
  local current, incoming = rank(self, c.current), rank(self, c.incoming)
  if current == incoming then return tie[self.config.tie](c) end
  return current < incoming and "current" or "incoming"
end

return RolePriority
