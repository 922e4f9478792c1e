-- SPDX-License-Identifier: MIT
-- Waiting and background work of one plugin: timer, spawn, all, race, deadline, shield (plugin-api 11).
--
-- C parks the coroutine and cannot raise when it goes on, so what it hands back is looked at here: a
-- false first answer is raised. Everything that waits goes through `wait` or `sleep`.
local units = require "moonloom.units"

local function seconds_of(value, what)
  local seconds, wrong = units.duration(value)
  if not seconds then error(("%s: %s %s"):format(what, tostring(value), wrong), 3) end
  return seconds
end

local function check(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

local function pick(results, n)
  local out = {}
  for i = 1, n do out[i] = results[i] and results[i][1] end
  return unpack(out, 1, n)
end

--- Where no org is known (the operator's state), plugins of orgs are loaded only to say who somebody is:
--- they do no work of their own there.
local function is_idle(native, manifest) return native.org == "" and manifest.tier ~= "operator" end

return function(native, ml, manifest)
  local W = {}
  local idle = is_idle(native, manifest)

  --- Hand an operation to the server and wait for its answer.
  function W.wait(what, op) return check(native.park(what, op)) end
  function W.sleep(what, seconds) return check(native.sleep(what, seconds * 1000)) end

  local function group(what, fns, race, seconds)
    local results = check(native.group(what, fns, race, seconds * 1000))
    return results
  end

  function ml.all(fns)
    local results = group("ml.all", fns, false, 0)
    if results.error then error(results.error, 0) end
    return pick(results, #fns)
  end

  function ml.race(fns)
    local results = group("ml.race", fns, true, 0)
    if results.error then error(results.error, 0) end
    local won = results[results.winner]
    return unpack(won, 1, won.n)
  end

  function ml.deadline(time, fn)
    local results = group("ml.deadline", { fn }, false, math.max(seconds_of(time, "ml.deadline"), 0.001))
    if results.overdue then return nil, "ETIMEDOUT", "took too long" end
    if results.error then error(results.error, 0) end
    return unpack(results[1], 1, results[1].n)
  end

  function ml.shield(fn, ...)
    native.shield(1)
    local function finish(ok, ...)
      native.shield(-1)
      if not ok then error((...), 0) end
      return ...
    end
    return finish(pcall(fn, ...))
  end

  function ml.spawn(fn, ...)
    if type(fn) ~= "function" then error("ml.spawn: function expected, got " .. type(fn), 2) end
    if idle then return true end
    return native.spawn(fn, ...)
  end

  local function handle(id)
    return setmetatable({}, {
      __index = { stop = function() if id then native.timer_stop(id) end end },
      __newindex = function() error("a timer is read-only", 2) end,
      __metatable = false,
      __guard = true,
    })
  end

  local function timer(what, time, repeats, fn)
    local seconds = seconds_of(time, what)
    if type(fn) ~= "function" then error(what .. ": function expected, got " .. type(fn), 3) end
    return handle(not idle and native.timer(seconds * 1000, repeats, fn))
  end

  ml.timer = {
    after = function(time, fn) return timer("ml.timer.after", time, false, fn) end,
    every = function(time, fn) return timer("ml.timer.every", time, true, fn) end,
  }

  return W
end
