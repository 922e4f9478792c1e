-- SPDX-License-Identifier: MIT
-- ml.jobs: work that is done later, at least once, after a crash too (plugin-api 6.7).
local units = require "moonloom.units"

local ARGS_MAX = 256 * 1024
local OPTIONS = { key = true, delay = true, at = true }

return function(W, ml, manifest)
  local json, time = ml.json, ml.time
  local declared = manifest.hooks and manifest.hooks.jobs or { names = {} }
  local jobs = {}

  --- A job as an item of a commit; raises.
  function jobs.item(what, name, args, options)
    if type(name) ~= "string" or not declared.names[name] then
      error(("%s: '%s' is not among the jobs in plugin.lua"):format(what, tostring(name)), 3)
    end
    if options ~= nil and type(options) ~= "table" then error(what .. ": options are a table", 3) end
    for key in pairs(options or {}) do
      if not OPTIONS[key] then error(("%s: unknown option '%s'"):format(what, tostring(key)), 3) end
    end
    options = options or {}
    local text = args == nil and "null" or json.encode(args)
    if #text > ARGS_MAX then error(("%s: the arguments have more than %d bytes"):format(what, ARGS_MAX), 3) end
    local key = options.key or ""
    if type(key) ~= "string" or #key > 512 then error(what .. ": a key is text of at most 512 bytes", 3) end
    local at = 0
    if options.at ~= nil then
      if type(options.at) ~= "number" then error(what .. ": at is a time in seconds", 3) end
      at = options.at
    elseif options.delay ~= nil then
      local seconds, wrong = units.duration(options.delay)
      if not seconds then error(("%s: delay %s"):format(what, wrong), 3) end
      at = time.now() + seconds
    end
    return { kind = "job", key = name, value = text, upto = key, ttl_ms = math.max(0, math.floor(at * 1000)) }
  end

  function jobs.push(name, args, options)
    local answer = W.wait("ml.jobs.push", { kind = "store.commit", space = "kv",
                                            items = { jobs.item("ml.jobs.push", name, args, options) } })
    if answer.err then return nil, answer.err, answer.text end
    return answer.items[1].value
  end

  return jobs
end
