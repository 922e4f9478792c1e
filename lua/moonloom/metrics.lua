-- SPDX-License-Identifier: MIT
-- self.metrics: the numbers a manifest declares (plugin-api 3.3). They live in the state; a series is a name and
-- the values of its labels, whose lists are closed, so there are never more than the manifest allows.
local nearest = require "moonloom.nearest"

local WRITES = { counter = { add = true }, gauge = { set = true, add = true }, histogram = { observe = true } }

return function(plugin, declared)
  local names, values = {}, {}
  for name in pairs(declared) do names[#names + 1] = name end

  local function fail(text) error(("%s: %s"):format(plugin, text), 4) end

  -- "result=ok,step=2" for the labels given; they have to be those that are declared.
  local function series(name, def, labels)
    local parts = {}
    for label, list in pairs(def.labels or {}) do
      local value = labels and labels[label]
      local known = false
      for _, one in ipairs(list) do known = known or one == value end
      if not known then fail(("metrics.%s: the label %s may not be '%s'"):format(name, label, tostring(value))) end
      parts[#parts + 1] = label .. "=" .. tostring(value)
    end
    for label in pairs(labels or {}) do
      if not (def.labels or {})[label] then fail(("metrics.%s has no label %s"):format(name, tostring(label))) end
    end
    table.sort(parts)
    return table.concat(parts, ",")
  end

  local function writer(name, def)
    values[name] = {}
    local function change(write)
      return function(_, n, labels)
        if type(n) ~= "number" or n ~= n then fail(("metrics.%s: a number is needed, not a %s"):format(name, type(n))) end
        local key = series(name, def, labels)
        values[name][key] = write(values[name][key], n)
      end
    end
    local methods = {
      add = change(function(old, n)
        if n < 0 and def.type == "counter" then fail(("metrics.%s: a counter only grows"):format(name)) end
        return (old or 0) + n
      end),
      set = change(function(_, n) return n end),
      observe = change(function(old, n)
        old = old or { count = 0, sum = 0 }
        old.count, old.sum = old.count + 1, old.sum + n
        return old
      end),
    }
    for method in pairs(methods) do if not WRITES[def.type][method] then methods[method] = nil end end
    return setmetatable({}, {
      __index = function(_, key)
        return methods[key] or error(("%s: metrics.%s is a %s, it has no %s"):format(plugin, name, def.type, tostring(key)), 2)
      end,
      __newindex = function() error("metrics are read-only", 2) end, __metatable = false, __guard = true,
    })
  end

  local made = {}
  for name, def in pairs(declared) do made[name] = writer(name, def) end
  local face = setmetatable({}, {
    __index = function(_, name)
      if made[name] then return made[name] end
      local near = nearest(name, names)
      local hint = near and (", did you mean '%s'?"):format(near) or ""
      error(("%s: plugin.lua declares no metric '%s'%s"):format(plugin, tostring(name), hint), 2)
    end,
    __newindex = function() error("metrics are read-only", 2) end, __metatable = false, __guard = true,
  })
  return face, values
end
