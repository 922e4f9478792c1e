-- Two people set the same key at once: one value stands, the other is kept in a list beside it.
local ml = require "moonloom"
local KeepBoth = {}

function KeepBoth:setup() self.state.paths = ml.glob.set(self.config.paths) end

-- Beside a key the list is in the same map; beside an attribute it is a root.
local function kept_so_far(self, c)
  local path = c.kind == "attr" and self.config.key or c.path .. "/" .. ml.path.join(self.config.key)
  local list = c.doc:get(path)
  return type(list) == "table" and #list or 0
end

function KeepBoth:conflict(c)
  if c.key == self.config.key or not self.state.paths:match(c.path) then return nil end
  if kept_so_far(self, c) >= self.config.max then return nil end
  return ml.keep_both(self.config.key)
end

return KeepBoth
