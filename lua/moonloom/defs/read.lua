-- SPDX-License-Identifier: MIT
-- Reading the definition: signatures taken apart, modules and classes as one list each. For tools and
-- specs; the server itself reads only defs/hooks.lua and defs/library.lua.
local index = require "moonloom.defs.index"

local read = {}

-- Cuts `text` at `separator` where no bracket is open.
local function split(text, separator)
  local parts, depth, from = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find("[%(%{%[<]") then
      depth = depth + 1
    elseif c:find("[%)%}%]>]") then
      depth = depth - 1
    elseif c == separator and depth == 0 then
      parts[#parts + 1] = text:sub(from, i - 1)
      from = i + 1
    end
  end
  parts[#parts + 1] = text:sub(from)
  for i, part in ipairs(parts) do parts[i] = part:match("^%s*(.-)%s*$") end
  return parts
end

--- "(a: string, b?: integer): any, integer?" → params { name, type, optional, rest }, results { type }.
--- nil if it is no function but a value.
function read.signature(text)
  if text:sub(1, 1) ~= "(" then return nil end
  local inner = text:match("^%b()"):sub(2, -2)
  local after = text:sub(#inner + 3):match("^%s*:%s*(.+)$")
  local params, results = {}, {}
  for _, part in ipairs(inner:find("%S") and split(inner, ",") or {}) do
    local name, optional, kind = part:match("^([%w_%.]+)(%??)%s*:%s*(.+)$")
    if not name then error("bad parameter '" .. part .. "' in " .. text, 2) end
    params[#params + 1] = { name = name, type = kind, optional = optional == "?", rest = name == "..." }
  end
  for _, kind in ipairs(after and split(after, ",") or {}) do results[#results + 1] = kind end
  return params, results
end

-- Its own, or that of all of its class or module; false: not this one.
local function since_of(def, owner)
  if def.since == false then return nil end
  return def.since or owner.since
end

-- A member with everything it inherits from its module or class.
local function member(def, owner, path)
  local params, results = read.signature(def[2])
  local cost = def.cost or (def.waits and "io") or owner.cost or "constant"
  return { name = def[1], path = path, signature = def[2], params = params, results = results, since = since_of(def, owner),
           doc = def.doc, example = def.example, waits = def.waits or false, fails = def.fails or false,
           pure = def.pure or false, places = def.places, cost = cost, alloc = def.alloc or false,
           deprecated = def["until"], need = def.need or owner.need }
end

local function read_class(def, owner)
  local class = { class = def.class, arg = def.arg, c = def.c, fake = def.fake, doc = def.doc, plain = def.plain, need = owner and owner.need,
                  operators = def.operators or {}, fields = {}, methods = {}, by_name = {} }
  for _, field in ipairs(def.fields or {}) do
    local one = { name = field[1], type = field[2], since = since_of(field, def), answered = field.answered, doc = field.doc or "", deprecated = field["until"] }
    class.fields[#class.fields + 1] = one
    class.by_name[one.name] = one
  end
  for _, method in ipairs(def.methods or {}) do
    local one = member(method, { since = def.since, cost = (owner or def).cost, need = (owner or def).need }, def.class .. ":" .. method[1])
    class.methods[#class.methods + 1] = one
    class.by_name[one.name] = one
  end
  return class
end

--- { modules = { { name, need, doc, members } … }, functions = { ["ml.kv.get"] = member }, classes =
--- { … }, by_class = { name = class }, hooks = { hook with text … }, by_hook }
function read.all()
  local out = { modules = {}, functions = {}, classes = {}, by_class = {}, hooks = {}, by_hook = {} }
  local function add_class(def, owner)
    local class = read_class(def, owner)
    if out.by_class[class.class] then error(class.class .. " is defined twice") end
    out.classes[#out.classes + 1] = class
    out.by_class[class.class] = class
  end
  for _, file in ipairs(index.lib) do
    local def = require("moonloom.defs.lib." .. file)
    local module = { file = file, name = def.name, need = def.need, doc = def.doc, members = {} }
    local function add(one, path)
      local m = member(one, def, path)
      if out.functions[path] then error(path .. " is defined twice") end
      module.members[#module.members + 1] = m
      out.functions[path] = m
    end
    for _, one in ipairs(def) do add(one, def.name and ("ml.%s.%s"):format(def.name, one[1]) or "ml." .. one[1]) end
    for _, one in ipairs(def.root or {}) do add(one, "ml." .. one[1]) end
    for _, class in ipairs(def.classes or {}) do add_class(class, def) end
    out.modules[#out.modules + 1] = module
  end
  for _, file in ipairs(index.view) do
    for _, class in ipairs(require("moonloom.defs.view." .. file)) do add_class(class) end
  end
  local texts = require "moonloom.defs.hook_texts"
  for i, hook in ipairs(require "moonloom.defs.hooks") do
    local one, text = {}, texts[hook.name] or error("no text for the hook " .. hook.name)
    for key, value in pairs(hook) do one[key] = value end
    for key, value in pairs(text) do one[key] = value end
    out.hooks[i] = one
    out.by_hook[one.name] = one
  end
  return out
end

return read
