-- SPDX-License-Identifier: MIT
-- The `moonloom` module of one plugin: what C brings, what is written in Lua, and a stub for every
-- member of the contract that this version does not have.
local absent = require "moonloom.defs.library"
local nearest = require "moonloom.nearest"
local new_docs = require "moonloom.docs"
local new_sessions = require "moonloom.sessions"
local new_http = require "moonloom.http"
local add_jwks = require "moonloom.jwks"
local new_jobs = require "moonloom.jobs"
local new_kv = require "moonloom.kv"
local shared = require "moonloom.shared"
local new_set = require "moonloom.set"
local new_wait = require "moonloom.wait"
local units = require "moonloom.units"

local FAMILIES = { "time", "text", "glob", "path", "json", "log", "enc", "crypto", "re", "words", "jwt" }
local WAITING = { "timer", "kv", "jobs", "http", "cache", "limiter", "cluster", "sessions", "docs" } -- those of them that are there

local function has_need(manifest, need)
  return manifest.needs ~= nil and manifest.needs[need] ~= nil
end

-- Indexing a stub gives a function that raises, so that the message names the whole call.
local function stub(plugin, manifest, def)
  local function refuse(path)
    if def.need and not has_need(manifest, def.need) then
      error(("%s: ml.%s needs %s in plugin.lua"):format(plugin, path,
        def.example or ('needs = { "%s" }'):format(def.need)), 3)
    end
    error(("%s: ml.%s is not available in this version"):format(plugin, path), 3)
  end
  return setmetatable({}, {
    __index = function(_, key)
      return function() refuse(def.name .. "." .. tostring(key)) end
    end,
    __call = function() refuse(def.name) end,
    __newindex = function() error("ml." .. def.name .. " is read-only", 2) end,
    __metatable = false,
    __guard = true,
  })
end

local function add_time(time)
  function time.duration(text)
    local seconds, wrong = units.duration(text)
    if not seconds then error(("ml.time.duration: %q %s"):format(tostring(text), wrong), 2) end
    return seconds
  end
end

local function add_json(json)
  local decode_or_raise = json.decode_or_raise
  json.decode_or_raise = nil
  function json.decode(text)
    if type(text) ~= "string" then error("ml.json.decode: text expected, got " .. type(text), 2) end
    local ok, value = pcall(decode_or_raise, text)
    if ok then return value end
    if type(value) == "string" and value:find("JSON: ", 1, true) then return nil, "EFORMAT", value end
    error(value, 0)
  end
end

local function add_glob(glob)
  local match = glob.match
  -- A list of patterns that is asked as one.
  function glob.set(patterns)
    local own = {}
    for i, pattern in ipairs(patterns) do own[i] = pattern end
    return setmetatable({}, {
      __index = { match = function(_, s)
        for _, pattern in ipairs(own) do if match(pattern, s) then return true end end
        return false
      end },
      __newindex = function() error("a pattern set is read-only", 2) end,
      __metatable = false,
      __guard = true,
    })
  end
end

-- C brings both ways as functions of one table.
local function add_enc(ml, guard)
  local flat, enc = ml.enc, {}
  for _, name in ipairs { "base64", "base64url", "hex", "url" } do
    enc[name] = guard({ encode = flat[name], decode = flat["from_" .. name] }, "ml.enc." .. name)
  end
  ml.enc = enc
end

local function add_path(path)
  -- "/" inside a key is written ~1, "~" is ~0.
  function path.split(s)
    local list = {}
    for part in (s .. "/"):gmatch("(.-)/") do
      list[#list + 1] = (part:gsub("~1", "/"):gsub("~0", "~"))
    end
    return list
  end
  function path.join(...)
    local parts = { ... }
    for i, part in ipairs(parts) do
      parts[i] = (tostring(part):gsub("~", "~0"):gsub("/", "~1"))
    end
    return table.concat(parts, "/")
  end
end

-- What waits. A module that needs a capability is there for those who asked for it; the others get a stub
-- that says so.
local function add_waiting(plugin, ml, manifest, native)
  local W = new_wait(native, ml, manifest)
  local jobs = new_jobs(W, ml, manifest)
  ml.jobs = { push = jobs.push }
  if has_need(manifest, "kv") then ml.kv = new_kv(W, ml.json, jobs, "kv") end
  if has_need(manifest, "cache") then ml.cache = shared.cache(W, native, ml.json) end
  if has_need(manifest, "limiter") then ml.limiter = shared.limiter(native) end
  if has_need(manifest, "cluster") then ml.cluster = shared.cluster(W, native, ml) end
  if has_need(manifest, "sessions") then ml.sessions = new_sessions(W, ml.json, native.org) end
  if has_need(manifest, "doc.read") or has_need(manifest, "doc.write") then
    local needs = {}
    for _, need in ipairs { "doc.read", "doc.write" } do needs[need] = has_need(manifest, need) end
    ml.docs = new_docs(W, ml.json, ml.null, native, needs)
  end
  if has_need(manifest, "http") then ml.http = new_http(W, ml, plugin, manifest, native) end
  add_jwks(W, ml, plugin, manifest, native)
end

-- What a pure hook (`conflict`) may call: what only computes, from what it is given.
local PURE = {}
for _, name in ipairs { "set", "json", "text", "glob", "path", "enc", "re", "words", "deny", "grant", "restrict", "merge",
                        "keep_both", "slow", "allow", "retry", "dead", "array", "bytes", "int64",
                        "time.duration", "time.parse", "time.format" } do
  PURE[name] = true
end

-- Everything else raises there.
local function forbid_in_pure_hooks(ml, is_pure)
  local function forbid(name, f)
    return function(...)
      if is_pure() then error(("ml.%s is not pure: conflict sees only its argument, config and state"):format(name), 2) end
      return f(...)
    end
  end
  for name, member in pairs(ml) do
    if type(member) == "function" and not PURE[name] then
      ml[name] = forbid(name, member)
    elseif type(member) == "table" and not PURE[name] and getmetatable(member) == nil then
      for key, f in pairs(member) do
        local path = name .. "." .. key
        if type(f) == "function" and not PURE[path] then member[key] = forbid(path, f) end
      end
    end
  end
end

return function(plugin, manifest, ml, guard, native, is_pure)
  ml.set = new_set
  add_time(ml.time)
  add_json(ml.json)
  add_glob(ml.glob)
  add_path(ml.path)
  add_enc(ml, guard)
  add_waiting(plugin, ml, manifest, native)
  forbid_in_pure_hooks(ml, is_pure)
  for _, name in ipairs(FAMILIES) do ml[name] = guard(ml[name], "ml." .. name) end
  for _, name in ipairs(WAITING) do
    if ml[name] then ml[name] = guard(ml[name], "ml." .. name) end
  end
  for _, def in ipairs(absent) do
    if ml[def.name] ~= nil and not def.need then error("ml." .. def.name .. " is listed as absent but exists") end
    if ml[def.name] == nil then ml[def.name] = stub(plugin, manifest, def) end
  end
  local names = {}
  for name in pairs(ml) do names[#names + 1] = name end
  setmetatable(ml, { __index = function(_, key)
    local near = nearest(key, names)
    error(("moonloom has no member '%s'%s"):format(tostring(key),
      near and (", did you mean '%s'?"):format(near) or ""), 2)
  end })
  return guard(ml, "moonloom")
end
