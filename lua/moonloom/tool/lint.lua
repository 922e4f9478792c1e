-- SPDX-License-Identifier: MIT
-- `moonloom plugin lint`: what is wrong with a plugin before it runs (plugin-api 18). It reads the code as a
-- tree (moonloom.tool.parse) and knows the library, the views and the hooks from lua/moonloom/defs.
--
-- What is certain is reported, what is likely is not: names that are passed on in tables, or functions in
-- variables that are assigned twice, are not followed. `-- lint: ignore L05` at the end of a line silences it.
local folder = require "moonloom.tool.folder"
local json = require "moonloom.test.json"
local nearest = require "moonloom.nearest"
local parse = require "moonloom.tool.parse"
local read = require "moonloom.defs.read"

local lint = {}

lint.rules = {
  L00 = "does not parse", L01 = "a waiting call in a hook that may not wait", L02 = "a hook that is not declared, or declared and missing",
  L03 = "a global is read or written", L04 = "a capability that is missing, or asked for and not used", L05 = "a module-level variable is changed in a function",
  L06 = "a view is used after waiting", L07 = "an impure call where answers must be pure", L08 = "a pattern that may take very long",
  L09 = "a setting without doc", L10 = "a metric label without a closed list of values", L11 = "deprecated",
  L12 = "memory is made in a hot hook (--strict)", L13 = "a secret is printed", L14 = "a local that nobody reads",
  L15 = "a function of the library that does not exist",
}

local GLOBALS = {}
for word in ([[assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall math table string bit coroutine print rawget
               rawequal setmetatable getmetatable require _G]]):gmatch("%S+") do GLOBALS[word] = true end
GLOBALS._G = nil

local definition

-- ---- One file ---------------------------------------------------------------------------------------------------

local Unit = {}
Unit.__index = Unit

function Unit:report(rule, node, message)
  self.findings[#self.findings + 1] = { rule = rule, file = self.path, line = node and node.line or 1, column = node and node.column or 1, message = message }
end

local function key_of(node) return node.key.kind == "string" and node.key.value or nil end

-- What an expression stands for: "ml.kv.get", "moonloom" for the library itself, or nil.
function Unit:library_path(node)
  if node.kind == "paren" then return self:library_path(node.expr) end
  if node.kind == "name" then
    local decl = node.decl
    if not decl or decl.writes > 0 or not decl.value then return nil end
    return self:library_path(decl.value)
  elseif node.kind == "call" then
    local arg = node.args[1]
    if node.fn.kind == "name" and node.fn.name == "require" and not node.fn.decl and arg and arg.kind == "string" and arg.value == "moonloom" then
      return "ml"
    end
  elseif node.kind == "index" then
    local object, key = self:library_path(node.object), key_of(node)
    if object and key then return object .. "." .. key end
  end
end

local function class_in(text)
  local found
  for name in (text or ""):gmatch("moonloom%.%a+") do
    if definition.by_class[name] then
      if found then return nil end
      found = name
    end
  end
  return found
end

-- The class of a view or handle an expression gives, as far as the definition tells.
function Unit:class_of(node, seen)
  if not node then return nil end
  if node.kind == "paren" then return self:class_of(node.expr, seen) end
  if node.kind == "name" then
    local decl = node.decl
    if not decl or decl.writes > 0 then return nil end
    if decl.class then return decl.class end
    if decl.how == "loop" and decl.iterates and decl.iterates.kind == "method" then
      local method = self:method_of(decl.iterates)
      local result = method and method.results and method.results[1]
      return result and result:find("^fun") and class_in(result) or nil
    end
    seen = seen or {}
    if not decl.value or seen[decl] then return nil end
    seen[decl] = true
    return self:class_of(decl.value, seen)
  elseif node.kind == "index" then
    local class = definition.by_class[self:class_of(node.object, seen) or ""]
    local field = class and class.by_name[key_of(node) or ""]
    return field and field.type and class_in(field.type) or nil
  elseif node.kind == "method" then
    local method = self:method_of(node, seen)
    return method and method.results and class_in(method.results[1])
  elseif node.kind == "call" then
    local member = definition.functions[self:library_path(node.fn) or ""]
    return member and member.results and class_in(member.results[1])
  end
end

-- The definition of the method that a call with ':' calls.
function Unit:method_of(node, seen)
  local class = definition.by_class[self:class_of(node.object, seen) or ""]
  local method = class and class.by_name[node.name]
  return method and method.params and method or nil
end

-- ---- The plugin table -------------------------------------------------------------------------------------------

local function returned(chunk)
  local last = chunk.body[#chunk.body]
  if last and last.kind == "return" then return last.values[1] end
end

-- Fields of the plugin table: names to { node, func }, and those of families as "rpc/review.lock".
function Unit:find_members()
  local out, chunk = {}, self.chunk
  local result = returned(chunk)
  local decl = result and result.kind == "name" and result.decl
  local function from_table(node, prefix)
    for _, item in ipairs(node.items) do
      local key = item.key and item.key.kind == "string" and item.key.value
      if key then
        out[prefix .. key] = { node = item.key, func = item.value.kind == "function" and item.value or nil, value = item.value }
        if item.value.kind == "table" and prefix == "" then from_table(item.value, key .. "/") end
      end
    end
  end
  if result and result.kind == "table" then from_table(result, "") end
  if not decl then return out, nil end
  if decl.value and decl.value.kind == "table" then from_table(decl.value, "") end
  parse.walk(chunk.body, function(node)
    if node.kind ~= "assign" then return end
    for i, target in ipairs(node.targets) do
      if target.kind == "index" then
        local path, at = {}, target
        while at.kind == "index" do
          table.insert(path, 1, key_of(at) or "?")
          at = at.object
        end
        if at.kind == "name" and at.decl == decl and #path <= 2 then
          local value = node.values[i]
          local func = value and (value.kind == "function" and value or value.kind == "name" and value.decl and value.decl.writes == 0
            and value.decl.value and value.decl.value.kind == "function" and value.decl.value) or nil
          out[table.concat(path, "/")] = { node = target, func = func, value = value }
          if #path == 1 and value and value.kind == "table" then from_table(value, path[1] .. "/") end
        end
      end
    end
  end)
  return out, decl
end

-- ---- Which function calls which ---------------------------------------------------------------------------------

-- The function of this file that a call enters, or nil.
function Unit:callee(node)
  if node.kind == "call" then
    local fn = node.fn
    if fn.kind == "name" and fn.decl and fn.decl.writes == 0 and fn.decl.value and fn.decl.value.kind == "function" then return fn.decl.value end
    if fn.kind == "index" and fn.object.kind == "name" and fn.object.decl and key_of(fn) then
      if fn.object.decl == self.plugin_decl then
        local member = self.members[key_of(fn)]
        return member and member.func
      end
      local value = fn.object.decl.value
      return value and self.table_functions[fn.object.decl] and self.table_functions[fn.object.decl][key_of(fn)] or nil
    end
    -- rule[c.key](self, c): any function of that table
    if fn.kind == "index" and fn.object.kind == "name" and fn.object.decl and self.table_functions[fn.object.decl] then
      return self.table_functions[fn.object.decl]
    end
  elseif node.kind == "method" and node.object.kind == "name" and (node.object.name == "self" or node.object.decl == self.plugin_decl) then
    local member = self.members[node.name]
    return member and member.func
  end
end

-- local t = {}; function t.x() end
function Unit:find_table_functions()
  self.table_functions = {}
  parse.walk(self.chunk.body, function(node)
    if node.kind ~= "assign" then return end
    for i, target in ipairs(node.targets) do
      local value = node.values[i]
      if target.kind == "index" and target.object.kind == "name" and target.object.decl and target.object.decl ~= self.plugin_decl
        and key_of(target) and value and value.kind == "function" then
        local list = self.table_functions[target.object.decl] or {}
        self.table_functions[target.object.decl] = list
        list[key_of(target)] = value
      end
    end
  end)
end

-- Calls that `func` makes, functions it enters of this file included: fn(node, chain of names).
function Unit:each_call(func, fn)
  local seen = {}
  local function enter(one, chain)
    if seen[one] then return end
    seen[one] = true
    parse.walk(one.body, function(node)
      if node.kind == "function" and node ~= one then
        -- A closure runs where it is handed to; what ml.spawn and timers get, runs later and may wait.
        return not self.later[node]
      end
      if node.kind == "call" or node.kind == "method" then
        fn(node, chain)
        local target = self:callee(node)
        if target and target.kind == "function" then
          enter(target, chain .. " > " .. (target.name or node.name or (node.fn.kind == "index" and key_of(node.fn)) or (node.fn.kind == "name" and node.fn.name) or "?"))
        elseif target then
          for name, one_of in pairs(target) do enter(one_of, chain .. " > " .. name) end
        end
      end
    end)
  end
  enter(func, "")
end

local LATER = { ["ml.spawn"] = 1, ["ml.timer.after"] = 2, ["ml.timer.every"] = 2, ["ml.cluster.subscribe"] = 2 }

function Unit:find_later()
  self.later = {}
  parse.walk(self.chunk.body, function(node)
    if node.kind == "call" then
      local at = LATER[self:library_path(node.fn) or ""]
      local arg = at and node.args[at]
      if arg and arg.kind == "function" then self.later[arg] = true end
    end
  end)
end

-- Parameters of hooks are views.
function Unit:type_hooks()
  for name, member in pairs(self.members) do
    local first = name:match("^[^/]+")
    local hook = definition.by_hook[first]
    if hook and member.func and (hook.family and name:find("/", 1, true) or not hook.family and not name:find("/", 1, true)) then
      local params = member.func.params
      local at = (params[1] and params[1].how == "self") and 2 or 2 -- self is the first, said or not
      if params[at] and definition.by_class[hook.arg[2]] then params[at].class = hook.arg[2] end
      if first == "routes" and params[at + 1] then params[at + 1].class = "moonloom.WebResponse" end
      if first == "jobs" and params[at + 1] then params[at + 1].class = "moonloom.Job" end
      member.hook = hook
    end
  end
end

local function waits(unit, node)
  if node.kind == "call" then
    local path = unit:library_path(node.fn)
    local member = path and definition.functions[path]
    return member and member.waits and path or nil
  end
  local method = unit:method_of(node)
  return method and method.waits and method.path or nil
end

-- ---- The rules --------------------------------------------------------------------------------------------------

local rules = {}

function rules.L01(unit)
  for name, member in pairs(unit.members) do
    if member.hook and not member.hook.waits then
      unit:each_call(member.func, function(node, chain)
        local what = waits(unit, node)
        if what then
          unit:report("L01", node, ("%s cannot wait: %s%s. Use ml.cache, load it in setup, or do it in after_update"):format(name, what,
            chain ~= "" and (" (through%s)"):format(chain:gsub("^ >", "")) or ""))
        end
      end)
    end
  end
end

function rules.L02(unit, plugin)
  if unit.name ~= "init.lua" or not plugin.manifest then return end
  local declared = plugin.manifest.hooks
  for name, member in pairs(unit.members) do
    local hook = definition.by_hook[name]
    if hook and not hook.family and member.func and not declared[name] then
      unit:report("L02", member.node, ("the function %s is named like a hook, but plugin.lua does not declare it under hooks"):format(name))
    end
  end
  for name in pairs(declared) do
    local hook = definition.by_hook[name]
    if hook and not hook.family and not (unit.members[name] and unit.members[name].func) then
      unit:report("L02", nil, ("plugin.lua declares the hook %s, but there is no function of that name"):format(name))
    elseif hook and hook.family then
      local given = plugin.given and plugin.given.hooks and plugin.given.hooks[name]
      for key in pairs(type(given) == "table" and given or {}) do
        if type(key) == "string" and not unit.members[name .. "/" .. key] then
          unit:report("L02", nil, ("plugin.lua declares %s[%q], but there is no function of that name"):format(name, key))
        end
      end
    end
  end
  for name, member in pairs(unit.members) do
    local family, key = name:match("^([^/]+)/(.+)$")
    local hook = family and definition.by_hook[family]
    local given = hook and hook.family and plugin.given and plugin.given.hooks and plugin.given.hooks[family]
    if hook and hook.family and member.func and not (type(given) == "table" and given[key] ~= nil) and key ~= "?" then
      unit:report("L02", member.node, ("%s[%q] is not declared in plugin.lua under hooks.%s"):format(family, key, family))
    end
  end
end

function rules.L03(unit)
  local written = {}
  parse.walk(unit.chunk.body, function(node)
    if node.kind == "assign" then
      for _, target in ipairs(node.targets) do
        if target.kind == "name" and not target.decl then
          written[target] = true
          unit:report("L03", target, ("the global %s is written; make it local, or keep it in self.state"):format(target.name))
        end
      end
    elseif node.kind == "name" and not node.decl and not GLOBALS[node.name] and not written[node] then
      unit:report("L03", node, ("there is no global %s here"):format(node.name))
    end
  end)
end

function rules.L04(unit, plugin)
  local manifest = plugin.manifest
  if not manifest then return end
  local function use(need, node, what)
    if not need then return end
    plugin.used[need] = true
    if need == "doc.read" and manifest.needs["doc.write"] then
      plugin.used["doc.write"] = true
      return
    end
    if manifest.needs[need] == nil and not plugin.missing[need] then
      plugin.missing[need] = true
      unit:report("L04", node, need == "http" and ("%s needs http = { \"host\" } under needs in plugin.lua"):format(what)
        or ("%s needs { %q } under needs in plugin.lua"):format(what, need))
    end
  end
  parse.walk(unit.chunk.body, function(node)
    if node.kind == "index" then
      local path = unit:library_path(node)
      local member = path and definition.functions[path]
      if member then
        use(member.need, node, path)
      elseif path then
        for _, module in ipairs(definition.modules) do
          if module.name and path == "ml." .. module.name then use(module.need, node, path) end
        end
      end
    elseif node.kind == "method" and node.name == "reveal" then
      use("secrets.reveal", node, "secret:reveal()")
    elseif node.kind == "call" and node.fn.kind == "name" and node.fn.name == "require" and node.args[1]
      and node.args[1].value == "moonloom.cdn" then
      use("http", node, "moonloom.cdn")
      plugin.used.limiter = true -- with a rate in the config
    end
  end)
end

local MUTATORS = { ["table.insert"] = true, ["table.remove"] = true, ["table.sort"] = true }

local function root_of(node)
  while node.kind == "index" or node.kind == "paren" do node = node.object or node.expr end
  return node.kind == "name" and node or nil
end

function rules.L05(unit)
  local function module_level(name)
    return name and name.decl and name.decl.level == 0 and name.decl.how ~= "loop" and name.decl ~= unit.plugin_decl
  end
  for _, func in ipairs(unit.chunk.functions) do
    parse.walk(func.body, function(node)
      if node.kind == "function" and node ~= func then return false end
      if node.kind == "assign" then
        for _, target in ipairs(node.targets) do
          local name = root_of(target)
          if module_level(name) and not unit.table_functions_target[target] then
            unit:report("L05", target, ("%s is of the module and changed here: workers and generations each have their own; use self.state, ml.cache or ml.kv"):format(name.name))
          end
        end
      elseif node.kind == "call" and node.fn.kind == "index" and node.fn.object.kind == "name" and not node.fn.object.decl
        and MUTATORS[node.fn.object.name .. "." .. (key_of(node.fn) or "")] then
        local name = node.args[1] and root_of(node.args[1])
        if module_level(name) then
          unit:report("L05", node, ("%s is of the module and changed here: use self.state, ml.cache or ml.kv"):format(name.name))
        end
      end
    end)
  end
end

local function is_inside(block, ancestor)
  while block do
    if block == ancestor then return true end
    block = block.parent
  end
  return false
end

function rules.L06(unit)
  for _, member in pairs(unit.members) do
    if member.hook and member.hook.waits then
      local waiting = {}
      parse.walk(member.func.body, function(node)
        if node.kind == "function" and node ~= member.func then return false end
        if node.kind == "call" or node.kind == "method" then
          local what = waits(unit, node)
          if what then waiting[#waiting + 1] = { node = node, what = what } end
        elseif node.kind == "name" and node.decl and #waiting > 0 then
          local class = unit:class_of(node)
          if class and definition.by_class[class].arg and node.decl.class ~= "moonloom.WebResponse" and class ~= "moonloom.Job" and class ~= "moonloom.WebRequest" then
            for _, one in ipairs(waiting) do
              -- The arguments of a waiting call are read before it waits.
              if is_inside(node.block, one.node.block) and (node.line > one.node.line or node.line == one.node.line and node.column > one.node.column)
                and not one.args[node] then
                unit:report("L06", node, ("%s expired at %s (line %d): copy what you keep before waiting"):format(node.name, one.what, one.node.line))
                break
              end
            end
          end
        end
        if #waiting > 0 and not waiting[#waiting].args then
          local args = {}
          parse.walk({ { kind = "return", values = waiting[#waiting].node.args } }, function(inner) args[inner] = true end)
          waiting[#waiting].args = args
        end
      end)
    end
  end
end

function rules.L07(unit)
  local function check(name, func)
    unit:each_call(func, function(node, chain)
      if node.kind == "call" then
        local path = unit:library_path(node.fn)
        local member = path and definition.functions[path]
        if member and not member.pure then
          unit:report("L07", node, ("%s must be pure: %s is not%s"):format(name, path, chain ~= "" and (" (through%s)"):format(chain:gsub("^ >", "")) or ""))
        end
      else
        local method = unit:method_of(node)
        if method and method.waits then unit:report("L07", node, ("%s must be pure: %s is not"):format(name, method.path)) end
      end
    end)
  end
  for name, member in pairs(unit.members) do
    if member.func and (member.hook and member.hook.pure or name == "validate" and unit.name == "init.lua") then
      check(name, member.func)
      parse.walk(member.func.body, function(node)
        if node.kind == "assign" then
          for _, target in ipairs(node.targets) do
            local root = root_of(target)
            if root and root.name == "self" then unit:report("L07", target, name .. " must be pure: it changes self") end
          end
        end
      end)
    end
  end
end

-- Lua patterns have no nested groups with repeats; what is slow is several open ends that can each take the rest.
local function is_slow(pattern)
  local wide, anchored = 0, pattern:sub(1, 1) == "^"
  local plain = pattern:gsub("%%.", "x"):gsub("%[[^%]]*%]", "c")
  for _ in plain:gmatch("%.[*+-]") do wide = wide + 1 end
  return wide >= 3 or wide == 2 and not anchored
end

local SEARCHES = { find = 2, match = 2, gmatch = 2, gsub = 2 }

function rules.L08(unit)
  parse.walk(unit.chunk.body, function(node)
    local pattern, plain
    if node.kind == "method" and SEARCHES[node.name] then
      pattern, plain = node.args[1], node.name == "find" and node.args[3]
    elseif node.kind == "call" and node.fn.kind == "index" and node.fn.object.kind == "name" and node.fn.object.name == "string"
      and SEARCHES[key_of(node.fn) or ""] then
      pattern, plain = node.args[2], key_of(node.fn) == "find" and node.args[4]
    end
    if pattern and pattern.kind == "string" and not plain and is_slow(pattern.value) then
      unit:report("L08", pattern, ("the pattern %q may try every way to share out a long text; anchor it, or use ml.re"):format(pattern.value))
    end
  end)
end

local function each_field(fields, prefix, fn)
  for _, field in ipairs(fields or {}) do
    local name = prefix .. tostring(field[1])
    fn(field, name)
    if field.fields then each_field(field.fields, name .. ".", fn) end
    if type(field.items) == "table" and field.items.fields then each_field(field.items.fields, name .. "[].", fn) end
    if type(field.values) == "table" and field.values.fields then each_field(field.values.fields, name .. ".*.", fn) end
  end
end

function rules.manifest(plugin, report)
  local given = plugin.given
  if type(given) ~= "table" then return end
  each_field(type(given.config) == "table" and given.config.fields, "", function(field, name)
    if not field.doc and not field.deprecated then report("L09", '"' .. name:match("[^.]+$") .. '"', ("the setting %s has no doc"):format(name)) end
  end)
  for name, def in pairs(type(given.metrics) == "table" and given.metrics or {}) do
    for key, label in pairs(type(def) == "table" and type(def.labels) == "table" and def.labels or {}) do
      if type(label) ~= "table" or label[1] == nil then
        report("L10", "labels", ("metrics.%s: the label %s needs a closed list of values, as labels = { result = { \"ok\", \"failed\" } }")
          :format(name, tostring(type(key) == "string" and key or label)))
      end
    end
  end
end

function rules.L11(unit)
  parse.walk(unit.chunk.body, function(node)
    if node.kind == "index" then
      local member = definition.functions[unit:library_path(node) or ""]
      if member and member.deprecated then
        unit:report("L11", node, ("%s is deprecated since %s: %s"):format(member.path, member.deprecated[1], member.deprecated[2]))
      end
    end
  end)
end

-- Names of the library that begin like this one, so that it may be a module on the way to a function.
local function is_known(path)
  if definition.functions[path] then return true end
  for known in pairs(definition.functions) do if known:sub(1, #path + 1) == path .. "." then return true end end
  local parent = definition.functions[path:match("^(.*)%.[^.]+$") or ""]
  return parent ~= nil -- a field of what a value or function of the library is
end

function rules.L15(unit)
  parse.walk(unit.chunk.body, function(node)
    if node.kind ~= "index" then return end
    local path = unit:library_path(node)
    local parent = path and path:match("^(.*)%.[^.]+$")
    if not path or path == "ml" or is_known(path) or (parent ~= "ml" and not is_known(parent)) then return end
    local names = {}
    for known in pairs(definition.functions) do
      local rest = known:sub(1, #parent + 1) == parent .. "." and known:sub(#parent + 2):match("^[^.]+")
      if rest then names[#names + 1] = rest end
    end
    local near = nearest(path:match("[^.]+$"), names)
    unit:report("L15", node, ("there is no %s%s"):format(path, near and ("; did you mean %s.%s?"):format(parent, near) or ""))
  end)
end

function rules.L12(unit)
  for name, member in pairs(unit.members) do
    if member.hook and member.hook.hot and member.func then
      parse.walk(member.func.body, function(node)
        local what
        if node.kind == "return" then return false end -- answers are rare
        if node.kind == "table" then what = "a table"
        elseif node.kind == "function" then what = "a closure"
        elseif node.kind == "binary" and node.op == ".." and node.block.loop then what = "a new string in a loop"
        elseif node.kind == "call" then
          local path = unit:library_path(node.fn)
          local def = path and definition.functions[path]
          if def and def.alloc then what = path .. " makes a table or a long string"
          elseif node.fn.kind == "index" and key_of(node.fn) == "format" then what = "string.format" end
        elseif node.kind == "method" then
          local method = unit:method_of(node)
          if method and method.alloc then what = method.path .. " makes a table or a long string"
          elseif node.name == "format" then what = "string.format" end
        end
        if what then
          unit:report("L12", node, ("%s runs for every edit: %s; do it in setup or after_update"):format(name, what))
          return false
        end
      end)
    end
  end
end

function rules.L13(unit, plugin)
  local secrets = {}
  each_field(plugin.given and type(plugin.given.config) == "table" and plugin.given.config.fields, "", function(field, name)
    if field.secret or field.type == "secret" then secrets[name] = true end
  end)
  local function is_secret(node)
    if node.kind == "name" and node.decl and node.decl.writes == 0 and node.decl.value then return is_secret(node.decl.value) end
    if node.kind == "method" and node.name == "reveal" then return true end
    return node.kind == "index" and secrets[key_of(node) or ""] and node.object.kind == "index" and key_of(node.object) == "config" or false
  end
  parse.walk(unit.chunk.body, function(node)
    if node.kind ~= "call" then return end
    local path = unit:library_path(node.fn)
    local prints = path and path:find("^ml%.log%.") or node.fn.kind == "name" and not node.fn.decl and (node.fn.name == "print" or node.fn.name == "error")
    if not prints then return end
    parse.walk({ { kind = "return", values = node.args } }, function(inner)
      if inner.kind == "unary" and inner.op == "#" then return false end
      if is_secret(inner) then unit:report("L13", inner, "a secret is printed here") end
    end)
  end)
end

function rules.L14(unit)
  for _, decl in ipairs(unit.chunk.decls) do
    if decl.uses == 0 and not decl.name:find("^_") and (decl.how == "local" or decl.how == "function") and not (decl.value == nil and decl.unpacked) then
      unit:report("L14", decl, ("nobody reads the local %s"):format(decl.name))
    end
  end
end

-- ---- One plugin -------------------------------------------------------------------------------------------------

local ORDER = { "L01", "L02", "L03", "L04", "L05", "L06", "L07", "L08", "L11", "L12", "L13", "L14", "L15" }

local function line_of(text, needle)
  local at = text and text:find(needle, 1, true)
  if not at then return 1 end
  local _, lines = text:sub(1, at):gsub("\n", "")
  return lines + 1
end

local function ignored(chunk, finding)
  for _, comment in ipairs(chunk.comments) do
    if comment.line == finding.line then
      local list = comment.text:match("lint:%s*ignore%s+(.+)")
      if list and list:find(finding.rule, 1, true) then return true end
    end
  end
  return false
end

local function check_file(plugin, file, findings, strict)
  local text = folder.read(file.path)
  local chunk, wrong = parse.chunk(text, file.path)
  if not chunk then
    findings[#findings + 1] = { rule = "L00", file = file.path, line = tonumber(wrong:match(":(%d+):")) or 1, column = 1,
                                message = wrong:gsub("^.-:%d+: ", "") }
    return
  end
  local unit = setmetatable({ name = file.name, path = file.path, chunk = chunk, findings = {} }, Unit)
  unit.members, unit.plugin_decl = unit:find_members()
  unit.table_functions_target = {}
  unit:find_table_functions()
  unit:find_later()
  unit:type_hooks()
  for _, rule in ipairs(ORDER) do
    if rule ~= "L12" or strict then rules[rule](unit, plugin) end
  end
  for _, finding in ipairs(unit.findings) do
    if not ignored(chunk, finding) then findings[#findings + 1] = finding end
  end
end

--- Findings of one plugin { path, name }: { rule, file, line, column, message } in order.
function lint.plugin(plugin, strict)
  definition = definition or read.all()
  local findings = {}
  local manifest_path = plugin.path .. "/plugin.lua"
  local text = folder.read(manifest_path)
  local function report(rule, needle, message)
    findings[#findings + 1] = { rule = rule, file = manifest_path, line = line_of(text, needle), column = 1, message = message }
  end
  local wrong, short
  plugin.used, plugin.missing = {}, {}
  plugin.manifest, wrong, short, plugin.given = folder.manifest(plugin)
  if not plugin.manifest and not short then
    for _, line in ipairs(wrong) do report("L02", line:match("^[%w_.]+") or "", line) end
  end
  rules.manifest(plugin, report)
  for _, file in ipairs(folder.files(plugin.path, ".lua")) do
    local top = file.name:match("^([^/]+)/")
    if file.name ~= "plugin.lua" and top ~= "spec" and top ~= "types" and top ~= "vendor" then check_file(plugin, file, findings, strict) end
  end
  for need in pairs(plugin.manifest and plugin.manifest.needs or {}) do
    if not plugin.used[need] then report("L04", need, ("needs %s, but nothing here uses it"):format(need)) end
  end
  table.sort(findings, function(a, b)
    if a.file ~= b.file then return a.file < b.file end
    if a.line ~= b.line then return a.line < b.line end
    if a.column ~= b.column then return a.column < b.column end
    return a.rule .. a.message < b.rule .. b.message
  end)
  return findings
end

function lint.run(options, words)
  local all = json.list {}
  local plugins = folder.all(words)
  local mended = json.list {}
  for _, plugin in ipairs(plugins) do
    for _, finding in ipairs(options.fix and require("moonloom.tool.fix").plugin(plugin, lint, options.strict) or {}) do
      mended[#mended + 1] = finding
      if not options.json then
        io.stdout:write(("%s:%d: %s mended: %s\n"):format(finding.file, finding.line, finding.rule, finding.message))
      end
    end
    for _, finding in ipairs(lint.plugin(plugin, options.strict)) do
      all[#all + 1] = finding
      if not options.json then
        io.stdout:write(("%s:%d:%d: %s %s\n"):format(finding.file, finding.line, finding.column, finding.rule, finding.message))
      end
    end
  end
  if options.json then
    io.stdout:write(json.encode(options.fix and { mended = mended, findings = all } or all), "\n")
  else
    io.stdout:write(#all == 0 and ("%d plugin%s: nothing found\n"):format(#plugins, #plugins == 1 and "" or "s") or ("\n%d finding%s\n"):format(#all, #all == 1 and "" or "s"))
  end
  return #all > 0 and 1 or 0
end

return lint
