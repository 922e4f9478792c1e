-- SPDX-License-Identifier: MIT
-- ml.jwks: the keys of an issuer, fetched when they are needed (plugin-api 10, SEC-JWT-08).
--
--   verify ── keys here and fresh? ── yes ──> verify ── no key of that id ──> once a minute: fetch, verify again
--                    │ no                                                          │ otherwise: ENOTFOUND
--                    v
--       newer ones in the node's cache? ── fetch, one at a time in the node ── failed: the old ones, until `stale`
--
-- What one state fetched all states of the node have. A mark in the same cache says that somebody is fetching
-- ("busy") or has failed a moment ago ("failed"): nobody tries again before it is gone.
local units = require "moonloom.units"
local new_http = require "moonloom.http"

local FLOOR, TTL, STALE = 60, 600, 86400 -- seconds
local RETRY, KID = 15, 60                -- after a failure; between two fetches for ids that nobody knows
local TIMEOUT, LOOK = 3, 0.02
local BYTES, KEYS, TOKEN_BYTES, URL_BYTES = 65536, 32, 8192, 400
local SETS_MAX = 64
local OPTIONS = { url = true, ttl = true, stale = true }
local SHAPE = "^[%w_-]+%.[%w_-]+%.[%w_-]+$"

local function key_of(kind, url) return "\0jwks\0" .. kind .. "\0" .. url end

local function seconds_of(options, name, otherwise, least)
  if options[name] == nil then return otherwise end
  local seconds, wrong = units.duration(options[name])
  if not seconds or seconds < least then
    error(("ml.jwks: %s %s"):format(name, wrong or ("must be %d s or more"):format(least)), 4)
  end
  return seconds
end

--- How long an answer is fresh: what it says, between the floor and the ceiling.
local function fresh_for(headers, ttl)
  local control = (headers["cache-control"] or ""):lower()
  local age = tonumber(control:match("max%-age=(%d+)"))
  if control:find("no-store", 1, true) or control:find("no-cache", 1, true) then age = 0 end
  return math.max(FLOOR, math.min(age or ttl, ttl))
end

return function(W, ml, plugin, manifest, native)
  local has_http = manifest.needs ~= nil and manifest.needs.http ~= nil
  local http, check_host
  if has_http then http, check_host = new_http(W, ml, plugin, manifest, native) end
  local handles, sets, count = setmetatable({}, { __mode = "k" }), {}, 0
  local verify = ml.jwt.verify

  -- ---- What this state and this node have --------------------------------------------------------------------

  local function take(set, record)
    set.text, set.at, set.fresh, set.parsed = record.text, record.at, record.fresh, {}
  end

  -- Another state of the node may have fetched since. True: something newer is here now.
  local function look(set)
    local at = tonumber(native.cache_get(key_of("at", set.url)) or "")
    if not at or (set.at and at <= set.at) then return false end
    local text = native.cache_get(key_of("set", set.url))
    local record = text and ml.json.decode(text)
    if type(record) ~= "table" then return false end
    take(set, record)
    return true
  end

  local function is_usable(set, now) return set.text ~= nil and now < set.at + set.stale end

  local function fetch(set)
    local answer, kind, why = http.get(set.url, { timeout = TIMEOUT, max_body = BYTES, headers = { accept = "application/json" } })
    if not answer then return nil, "EIO", ("%s (%s)"):format(tostring(why), tostring(kind)) end
    if answer.status ~= 200 then return nil, "EIO", ("the issuer answered %d"):format(answer.status) end
    local value = ml.json.decode(answer.body)
    if type(value) ~= "table" or type(value.keys) ~= "table" or #value.keys == 0 or #value.keys > KEYS then
      return nil, "EIO", "the issuer did not answer a set of 1 to 32 keys"
    end
    local now = ml.time.now()
    local record = { text = answer.body, at = now, fresh = now + fresh_for(answer.headers, set.ttl) }
    take(set, record)
    native.cache_put(key_of("set", set.url), ml.json.encode(record), set.stale * 1000, false)
    native.cache_put(key_of("at", set.url), ("%.17g"):format(now), set.stale * 1000, false)
    return true
  end

  local function mark(set, word, seconds, only_first)
    return native.cache_put(key_of("mark", set.url), word, seconds * 1000, only_first)
  end

  -- One fetcher in the node: somebody else's is waited for.
  local function refresh(set)
    local rounds = (TIMEOUT + 1) / LOOK
    while not mark(set, "busy", TIMEOUT + 2, true) do
      if native.cache_get(key_of("mark", set.url)) == "failed" then return nil, "EIO", "the issuer cannot be reached now" end
      if look(set) then return true end
      rounds = rounds - 1
      if rounds <= 0 then return nil, "EIO", "the issuer does not answer" end
      W.sleep("ml.jwt.verify", LOOK)
    end
    local ok, done, kind, why = pcall(fetch, set)
    if ok and done then
      native.cache_delete(key_of("mark", set.url))
      return true
    end
    mark(set, "failed", RETRY, false)
    if not ok then error(done, 0) end
    return nil, kind, why
  end

  -- Keys to check with, or nil, kind, text.
  local function ready(set)
    local now = ml.time.now()
    if set.text and now < set.fresh then return true end
    if look(set) and now < set.fresh then return true end
    if is_usable(set, now) then
      -- Whoever finds nobody at it fetches; the others go on with what is there.
      if native.cache_get(key_of("mark", set.url)) == nil then refresh(set) end
      return true
    end
    local ok, kind, why = refresh(set)
    if ok then return true end
    return nil, kind, why
  end

  -- ---- Checking ----------------------------------------------------------------------------------------------

  local function names_of(alg) return type(alg) == "table" and table.concat(alg, " ") or tostring(alg) end

  local function check(set, token, options)
    local name = names_of(options.alg)
    local keys = set.parsed[name]
    if keys == nil then
      local ok, made = pcall(ml.jwt.keys, set.text, { alg = options.alg })
      keys = ok and made or false -- a set without a key for these algorithms
      set.parsed[name] = keys
    end
    if not keys then return nil, "ENOTFOUND", "the issuer has no key for these algorithms" end
    local all = {}
    for key, value in pairs(options) do all[key] = value end
    all.keys = keys
    return verify(token, all)
  end

  function ml.jwt.verify(token, options)
    local set = type(options) == "table" and options.keys ~= nil and handles[options.keys]
    if not set or options.alg == nil then return verify(token, options) end
    if type(token) ~= "string" or #token > TOKEN_BYTES or not token:find(SHAPE) then return nil, "EFORMAT", "not a token" end
    local ok, kind, why = ready(set)
    if not ok then return nil, kind, why end
    local claims
    claims, kind, why = check(set, token, options)
    if claims or kind ~= "ENOTFOUND" then return claims, kind, why end
    if look(set) then
      claims, kind, why = check(set, token, options)
      if claims or kind ~= "ENOTFOUND" then return claims, kind, why end
    end
    if native.cache_put(key_of("kid", set.url), "1", KID * 1000, true) and refresh(set) then return check(set, token, options) end
    return nil, "ENOTFOUND", why
  end

  -- ---- Handles -----------------------------------------------------------------------------------------------

  --- Keys of an issuer, for `keys` of ml.jwt.verify. Nothing is fetched yet.
  function ml.jwks(options)
    if not has_http then error(('%s: ml.jwks needs http = { "HOST" } in plugin.lua'):format(plugin), 2) end
    if type(options) == "string" then options = { url = options } end
    if type(options) ~= "table" then error("ml.jwks: an address, or a table { url, ttl, stale }", 2) end
    for name in pairs(options) do if not OPTIONS[name] then error(("ml.jwks: unknown option '%s'"):format(tostring(name)), 2) end end
    if type(options.url) ~= "string" or #options.url > URL_BYTES then error("ml.jwks: url is text of at most 400 bytes", 2) end
    check_host("ml.jwks", options.url, 2)
    local ttl, stale = seconds_of(options, "ttl", TTL, FLOOR), seconds_of(options, "stale", STALE, 1)
    local name = ("%s\0%g\0%g"):format(options.url, ttl, stale)
    local set = sets[name]
    if not set then
      if count >= SETS_MAX then error(("ml.jwks: more than %d issuers"):format(SETS_MAX), 2) end
      count = count + 1
      set = { url = options.url, ttl = ttl, stale = math.max(stale, ttl), parsed = {} }
      sets[name] = set
    end
    local handle = setmetatable({}, {
      __tostring = function() return "keys:" .. set.url end,
      __newindex = function() error("keys are read-only", 2) end,
      __metatable = false,
      __guard = true,
    })
    handles[handle] = set
    return handle
  end
end
