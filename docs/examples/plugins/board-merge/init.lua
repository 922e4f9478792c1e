local ml = require "moonloom"

---@class BoardMerge : moonloom.Plugin
---@field config BoardMerge.Config
local BoardMerge = {}

function BoardMerge:setup()
  local rank = {}
  for i, step in ipairs(self.config.workflow) do rank[step] = i end
  self.state.rank = rank
end

local rule = {}

-- A task never slides back because two people dragged it at once.
function rule.status(self, c)
  local a, b = self.state.rank[c.current.value], self.state.rank[c.incoming.value]
  if a and b and a ~= b then return a > b and "current" or "incoming" end
end

-- Three-way union: what either side added stays, what either side removed goes.
function rule.labels(_, c)
  local base, cur, inc = ml.set(c.base.value), ml.set(c.current.value), ml.set(c.incoming.value)
  local removed = (base - cur) + (base - inc)
  return ml.merge((cur + inc - removed):sorted())
end

function rule.title(self, c)
  local role = self.config.lead_role
  local cur, inc = c.current.author:has_role(role), c.incoming.author:has_role(role)
  if cur ~= inc then return cur and "current" or "incoming" end
end

function BoardMerge:conflict(c)
  return rule[c.key](self, c)
end

return BoardMerge
