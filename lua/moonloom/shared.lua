-- SPDX-License-Identifier: MIT
-- ml.cache, ml.limiter: what the states of one node share; ml.cluster: what those of all nodes do (plugin-api 10).
local units = require "moonloom.units"

local FILL_SECONDS = 30 -- a filler that is not heard of for so long has failed
local LOOK_SECONDS = 0.02
local LISTEN_SECONDS = 0.05

local shared = {}

local function ttl_ms(ttl, what)
  if ttl == nil then return 0 end
  local seconds, wrong = units.duration(ttl)
  if not seconds or seconds <= 0 then error(("%s: ttl %s"):format(what, wrong or "must be more than nothing"), 3) end
  return seconds * 1000
end

function shared.cache(W, native, json)
  local cache = {}

  local function decode(text)
    if text == nil then return nil end
    return (json.decode(text))
  end

  local function encode(value, what)
    if value == nil then error(what .. ": there is no value; use delete", 3) end
    return json.encode(value)
  end

  function cache.get(key) return decode(native.cache_get(key)) end
  function cache.set(key, value, ttl) native.cache_put(key, encode(value, "ml.cache.set"), ttl_ms(ttl, "ml.cache.set"), false) end
  function cache.add(key, value, ttl) return native.cache_put(key, encode(value, "ml.cache.add"), ttl_ms(ttl, "ml.cache.add"), true) end
  function cache.delete(key) native.cache_delete(key) end

  function cache.incr(key, n, ttl)
    local sum = native.cache_incr(key, n or 1, ttl_ms(ttl, "ml.cache.incr"))
    if sum == nil then error("ml.cache.incr: the value is no number", 2) end
    return sum
  end

  --- One filler per key in the node: who comes meanwhile waits for what it brings.
  function cache.once(key, ttl, fn)
    if type(fn) ~= "function" then error("ml.cache.once: a function is needed", 2) end
    local ms, mark = ttl_ms(ttl, "ml.cache.once"), "\0filling\0" .. tostring(key)
    while true do
      local text = native.cache_get(key)
      if text ~= nil then return decode(text) end
      if native.cache_put(mark, "1", FILL_SECONDS * 1000, true) then
        local ok, value = pcall(fn)
        if ok and value ~= nil then native.cache_put(key, json.encode(value), ms, false) end
        native.cache_delete(mark)
        if not ok then error(value, 0) end
        return value
      end
      W.sleep("ml.cache.once", LOOK_SECONDS)
    end
  end

  return cache
end

function shared.limiter(native)
  local limiter, made = {}, 0

  function limiter.new(options)
    if type(options) ~= "table" then error("ml.limiter.new: options are a table", 2) end
    local rate = options.rate
    if type(rate) == "string" then
      local n, per = rate:match("^(%d+%.?%d*)/(.+)$")
      local unit = per and (per:find("^%d") and per or "1" .. per)
      rate = { tonumber(n), unit and units.duration(unit) }
    elseif type(rate) == "table" then
      rate = { rate.n or rate[1], rate.per or rate[2] }
    end
    if type(rate) ~= "table" or type(rate[1]) ~= "number" or type(rate[2]) ~= "number" or rate[1] <= 0 or rate[2] <= 0 then
      error('ml.limiter.new: rate is text such as "10/s"', 2)
    end
    local per_ms, burst = rate[1] / (rate[2] * 1000), options.burst or math.max(1, rate[1])
    if type(burst) ~= "number" or burst < 1 then error("ml.limiter.new: burst is a number from 1", 2) end
    made = made + 1
    local prefix = made .. ":"
    return setmetatable({}, { __newindex = function() error("a limiter is read-only", 2) end, __metatable = false, __guard = true,
      __index = { take = function(_, key, n)
        local ok, wait = native.take(prefix .. tostring(key), per_ms, burst, n or 1)
        if ok then return true end
        return false, wait / 1000
      end } })
  end

  return limiter
end

function shared.cluster(W, native, ml)
  local cluster = { node = native.node() }
  local listeners, listening, since = {}, false, -1

  local function listen()
    local seen, list = native.messages(since)
    since = seen
    for i = 1, #list, 2 do
      for _, listener in ipairs(listeners[list[i]] or {}) do
        local data = ml.json.decode(list[i + 1])
        ml.spawn(listener, data)
      end
    end
  end

  function cluster.publish(topic, data)
    if type(topic) ~= "string" then error("ml.cluster.publish: a topic is text", 2) end
    local most = native.publish(topic, data == nil and "null" or ml.json.encode(data))
    if most == 0 then return true end
    return nil, "ELIMIT", most and ("a message with its topic has at most %d bytes here"):format(most) or "no memory"
  end

  function cluster.subscribe(topic, fn)
    if type(topic) ~= "string" or type(fn) ~= "function" then error("ml.cluster.subscribe: a topic and a function", 2) end
    local list = listeners[topic] or {}
    listeners[topic] = list
    list[#list + 1] = fn
    if not listening then
      listening = true
      since = native.messages(-1)
      ml.timer.every(LISTEN_SECONDS, listen)
    end
    return setmetatable({}, { __newindex = function() error("a subscription is read-only", 2) end, __metatable = false, __guard = true,
      __index = { stop = function()
        for i, one in ipairs(list) do if one == fn then table.remove(list, i) return end end
      end } })
  end

  --- One node (one worker) runs fn per key and ttl: whoever writes the key first.
  function cluster.once(key, ttl, fn)
    if type(key) ~= "string" or key == "" or type(fn) ~= "function" then error("ml.cluster.once: a key, a time and a function", 2) end
    local ms = math.ceil(ttl_ms(ttl, "ml.cluster.once"))
    local answer = W.wait("ml.cluster.once", { kind = "store.commit", space = "once", items = {
      { kind = "check", key = key, rev = 0 }, { kind = "set", key = key, value = "1", ttl_ms = ms } } })
    if answer.err == "ECONFLICT" then return nil, "ECONFLICT", "another has done it" end
    if answer.err then return nil, answer.err, answer.text end
    return fn()
  end

  function cluster.nodes() return native.nodes() end

  return cluster
end

return shared
