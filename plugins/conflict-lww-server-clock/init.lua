-- Of two writes the later one stands. What is late says the server's clock, never a client's.
local ml = require "moonloom"
local LastWrite = {}

function LastWrite:setup()
  self.state.paths = ml.glob.set(self.config.paths)
  self.state.keys = ml.set(self.config.keys)
end

-- When it was written, as far as that is known; what is not known any more was long ago.
local function moment(self, side)
  if side.offline and self.config.offline == "based_on" then return side.based_on or 0 end
  return side.at or 0
end

function LastWrite:conflict(c)
  local keys = self.state.keys
  if not self.state.paths:match(c.path) or (keys:size() > 0 and not keys:has(c.key)) then return nil end
  local current, incoming = moment(self, c.current), moment(self, c.incoming)
  if current == incoming or math.abs(current - incoming) < self.config.window then return nil end
  local winner = incoming > current and "incoming" or "current"
  if self.config.keep_loser == "beside" and winner == c.natural then return ml.keep_both(self.config.beside_key) end
  return winner
end

return LastWrite
