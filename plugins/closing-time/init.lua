-- plugins/closing-time/init.lua: after a given moment documents can be read, not changed.
local ml = require "moonloom"
local ClosingTime = {}

function ClosingTime:before_update()
  if ml.time.now() > self.config.closes_at then
    return ml.deny("closed", "This document is closed.")
  end
end

return ClosingTime
