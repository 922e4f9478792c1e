-- SPDX-License-Identifier: MIT
-- xpcall whose handler runs after the stack is unwound, not at the error. Inside the hook that stops a
-- call no other hook fires, so a handler that never ends, run there, could not be stopped.

local function finish(handler, ok, ...)
  if ok then return true, ... end
  local handled, answer = pcall(handler, (...))
  if handled then return false, answer end
  return false, "error in error handling"
end

return function(fn, handler, ...)
  if type(handler) ~= "function" then error("bad argument #2 to 'xpcall' (function expected)", 2) end
  return finish(handler, pcall(fn, ...))
end
