-- SPDX-License-Identifier: MIT
-- Config schemas (plugin-api 4): is a schema well made, and is a given config good. A table row per
-- type; every error is a record of field path, offending value, rule and suggestion.
local nearest = require "moonloom.nearest"
local units = require "moonloom.units"

local schema = {}

local DEPTH_MAX = 16
local LIST_MAX = 10000

-- ---- Secrets: Lua gets a handle, the text stays here -------------------------------------------------

local secrets = setmetatable({}, { __mode = "k" })

-- The text of one side of "Bearer " .. secret.
local function text_of(value)
  local text = secrets[value] or value
  if type(text) ~= "string" and type(text) ~= "number" then
    error(("attempt to concatenate a secret and a %s"):format(type(text)), 3)
  end
  return text
end

local function new_meta(reveal)
  local meta
  meta = {
    -- What is joined to a secret is one, too.
    __concat = function(a, b)
      local text, handle = text_of(a) .. text_of(b), setmetatable({}, meta)
      secrets[handle] = text
      return handle
    end,
    __tostring = function() return "secret:***" end,
    __index = function(_, key) if key == "reveal" then return reveal end end,
    __newindex = function() error("a secret is read-only", 2) end,
    __metatable = false,
    __guard = true,
  }
  return meta
end

local closed_meta = new_meta(function() error('secret:reveal needs needs = { "secrets.reveal" } in plugin.lua', 2) end)
local open_meta = new_meta(function(handle)
  local value = secrets[handle]
  if value == nil then error("secret:reveal: call it with ':' on a secret", 2) end
  return value
end)

local function seal(value, ctx)
  local handle = setmetatable({}, ctx.reveals and open_meta or closed_meta)
  secrets[handle] = value
  return handle
end

--- The text behind a handle; for our own code only.
function schema.reveal(handle) return secrets[handle] end

-- ---- Words for messages --------------------------------------------------------------------------------

local function show(value, spec)
  if spec and (spec.secret or spec.type == "secret") then return "***" end
  if type(value) == "string" then
    return #value > 60 and ('"%s…"'):format(value:sub(1, 57)) or ('"%s"'):format(value)
  end
  if type(value) == "table" then return "a table" end
  return tostring(value)
end

local function quoted(list)
  local out = {}
  for i, word in ipairs(list) do out[i] = ('"%s"'):format(tostring(word)) end
  return table.concat(out, ", ")
end

local function join(path, name)
  if type(name) == "number" then return ("%s[%d]"):format(path, name) end
  return path == "" and name or path .. "." .. name
end

--- One error as a sentence: field = value: rule; suggestion
function schema.describe(e)
  local text = e.field
  if e.value then text = text .. " = " .. e.value end
  text = text .. ": " .. e.rule
  if e.suggestion then text = text .. "; " .. e.suggestion end
  return text
end

-- ---- Types: (value, spec) -> value, or nil, rule [, suggestion] ------------------------------------------

local function text(value)
  if type(value) ~= "string" then return nil, "must be text, not a " .. type(value) end
  return value
end

local function bounded(value, spec, parse, what)
  local low, high = spec.min and parse(spec.min), spec.max and parse(spec.max)
  if low and value < low then return nil, ("must be at least %s%s"):format(tostring(spec.min), what) end
  if high and value > high then return nil, ("must be at most %s%s"):format(tostring(spec.max), what) end
  return value
end

local function same(value) return value end

local function number(value, spec)
  if type(value) ~= "number" then
    return nil, "must be a number, not a " .. type(value), tonumber(value) and "write it without quotes" or nil
  end
  if value ~= value or value == math.huge or value == -math.huge then return nil, "must be a finite number" end
  return bounded(value, spec, same, "")
end

local function measured(parse)
  return function(value, spec)
    local parsed, wrong = parse(value)
    if not parsed then return nil, wrong end
    return bounded(parsed, spec, parse, "")
  end
end

local function matching(pattern, max, wrong)
  return function(value)
    local ok, why = text(value)
    if not ok then return nil, why end
    if #value == 0 or #value > max or not value:find(pattern) then return nil, wrong end
    return value
  end
end

local function is_ipv4(s)
  local a, b, c, d = s:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if not a then return false end
  for _, part in ipairs { a, b, c, d } do if #part > 3 or tonumber(part) > 255 then return false end end
  return true
end

local function is_ipv6(s)
  if s:find("[^%x:.]") or s:find(":::") or not s:find(":") then return false end
  local tail = s:match("([^:]*)$")
  local groups = 0
  if tail:find("%.") then
    if not is_ipv4(tail) then return false end
    s = s:sub(1, #s - #tail) .. "0:0"
  end
  local _, doubles = s:gsub("::", "")
  for part in s:gmatch("[^:]+") do
    if #part > 4 then return false end
    groups = groups + 1
  end
  if s:find("^:[^:]") or s:find("[^:]:$") then return false end
  return doubles == 0 and groups == 8 or doubles == 1 and groups < 8
end

local function is_host(s)
  if #s == 0 or #s > 253 then return false end
  if s:find("^[%d.]+$") then return is_ipv4(s) end
  if s:find("^%[.*%]$") then return is_ipv6(s:sub(2, -2)) end
  for label in (s .. "."):gmatch("(.-)%.") do
    if not label:find("^%w[%w-]*$") or label:find("-$") or #label > 63 then return false end
  end
  return true
end

local function host(value)
  local ok, why = text(value)
  if not ok then return nil, why end
  if not is_host(value) then return nil, 'is not a host name; write "docs.example.com"' end
  return value
end

local function url(value, spec)
  local ok, why = text(value)
  if not ok then return nil, why end
  local schemes = spec.schemes or { "https", "http" }
  local scheme, authority = value:match("^(%a[%w+.-]*)://([^/?#]+)")
  if not scheme or #value > 2048 or value:find("[%s%c]") then
    return nil, ('is not a URL; write "%s://host/path"'):format(schemes[1])
  end
  local known = false
  for _, s in ipairs(schemes) do known = known or s == scheme end
  if not known then return nil, "must begin with " .. quoted(schemes) end
  if authority:find("@") then return nil, "must not carry a user or password" end
  local name = authority:gsub(":%d+$", "")
  if not is_host(name) then return nil, "has no host name in it" end
  return value
end

local function cidr(value)
  local ok, why = text(value)
  if not ok then return nil, why end
  local address, bits = value:match("^([^/]+)/(%d+)$")
  address, bits = address or value, tonumber(bits)
  if is_ipv4(address) and (bits == nil or bits <= 32) then return value end
  if is_ipv6(address) and (bits == nil or bits <= 128) then return value end
  return nil, 'is not an address range; write "10.0.0.0/8"'
end

-- luacheck: read_globals compile_regex
-- Linear-time dialect: no back-references, no look-around. The usual mistakes get a message of their own.
local function regex(value)
  local ok, why = text(value)
  if not ok then return nil, why end
  if #value > 1000 then return nil, "is longer than 1000 bytes" end
  local depth, set, i = 0, false, 1
  while i <= #value do
    local c = value:sub(i, i)
    if c == "\\" then
      if value:sub(i + 1, i + 1):find("%d") then return nil, "back-references are not part of the dialect" end
      i = i + 1
      if i > #value then return nil, "ends in a backslash" end
    elseif set then
      if c == "]" then set = false end
    elseif c == "[" then
      set = true
      if value:sub(i + 1, i + 1) == "^" then i = i + 1 end
      if value:sub(i + 1, i + 1) == "]" then i = i + 1 end
    elseif c == "(" then
      if value:find("^%(%?[=!<]", i) then return nil, "look-around is not part of the dialect" end
      depth = depth + 1
    elseif c == ")" then
      depth = depth - 1
      if depth < 0 then return nil, "has a ')' too many" end
    end
    i = i + 1
  end
  if set then return nil, "has a '[' that is not closed" end
  if depth > 0 then return nil, "has a '(' that is not closed" end
  local wrong = compile_regex and compile_regex(value) -- not where this runs outside the server
  if wrong then return nil, "is not a regular expression of ml.re: " .. wrong end
  return value
end

local CRON = {
  { "minute", 0, 59 }, { "hour", 0, 23 }, { "day", 1, 31 },
  { "month", 1, 12, { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 } },
  { "weekday", 0, 7, { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 } },
}

local function cron_part(part, row)
  local range, step = part:match("^([^/]+)/(%d+)$")
  range = range or part
  if step and tonumber(step) == 0 then return false end
  if range == "*" then return true end
  local function value_of(s) return tonumber(s:match("^%d+$")) or (row[4] and row[4][s:lower()]) end
  local a, b = range:match("^(%w+)-(%w+)$")
  local low, high = value_of(a or range), value_of(b or range)
  return low ~= nil and high ~= nil and low >= row[2] and high <= row[3] and low <= high
end

local function cron(value)
  local ok, why = text(value)
  if not ok then return nil, why end
  local fields = {}
  for field in value:gmatch("%S+") do fields[#fields + 1] = field end
  if #fields ~= 5 then return nil, 'must have five fields: minute hour day month weekday, as "0 3 * * *"' end
  for i, row in ipairs(CRON) do
    for part in (fields[i] .. ","):gmatch("(.-),") do
      if not cron_part(part, row) then
        return nil, ('field "%s" (%s) must be within %d to %d'):format(fields[i], row[1], row[2], row[3])
      end
    end
  end
  return value
end

local check_value -- arrays, maps and records hold values again

local types = {}

types.string = { keys = { "min_len", "max_len", "pattern" }, check = function(value, spec)
  local ok, why = text(value)
  if not ok then return nil, why end
  if spec.min_len and #value < spec.min_len then return nil, ("must have at least %d bytes"):format(spec.min_len) end
  if spec.max_len and #value > spec.max_len then return nil, ("must have at most %d bytes"):format(spec.max_len) end
  if spec.pattern and not value:find(spec.pattern) then return nil, ('must match the pattern "%s"'):format(spec.pattern) end
  return value
end }
types.number = { keys = { "min", "max" }, check = number }
types.integer = { keys = { "min", "max" }, check = function(value, spec)
  local ok, rule, suggestion = number(value, spec)
  if not ok then return nil, rule, suggestion end
  if value ~= math.floor(value) then return nil, "must be a whole number" end
  return value
end }
types.boolean = { keys = {}, check = function(value)
  if type(value) ~= "boolean" then return nil, "must be true or false" end
  return value
end }
types.enum = { keys = { "of" }, check = function(value, spec)
  for _, word in ipairs(spec.of) do if word == value then return value end end
  local near = type(value) == "string" and nearest(value, spec.of)
  return nil, "must be one of " .. quoted(spec.of), near and ('did you mean "%s"?'):format(near) or nil
end }
types.duration = { keys = { "min", "max" }, check = measured(units.duration) }
types.size = { keys = { "min", "max" }, check = measured(units.size) }
types.rate = { keys = {}, check = units.rate }
types.url = { keys = { "schemes" }, check = url }
types.host = { keys = {}, check = host }
types.cidr = { keys = {}, check = cidr }
types.email = { keys = {}, check = matching("^[^@%s]+@[^@%s.]+%.[^@%s]+$", 254, "is not a mail address") }
types.role = { keys = {}, check = matching("^[%w_.:-]+$", 64, "is not a role; letters, digits and _ . : - only") }
types.glob = { keys = {}, check = matching("^[^/%c][^%c]*$", 512, 'is not a pattern of document ids; write "boards/**"') }
types.path = { keys = {}, check = matching("^[^/%c][^%c]*$", 512, 'is not a path pattern; write "meta/*"') }
types.regex = { keys = {}, check = regex }
types.cron = { keys = { "tz" }, check = cron }
types.secret = { keys = {}, check = function(value, _, ctx)
  local ok, why = text(value)
  if not ok then return nil, why end
  local name = value:match("^secret://(.+)$")
  if not name then
    if value == "" then return nil, "must not be empty" end
    return seal(value, ctx)
  end
  local resolved = ctx.resolve and ctx.resolve(name)
  if type(resolved) ~= "string" or resolved == "" then
    return nil, ("names a secret that is not there: %s"):format(name:sub(1, 60)),
      'write secrets = { NAME = env("…") } or file("…") in the server file'
  end
  return seal(resolved, ctx)
end }

local function is_list(value)
  if type(value) ~= "table" then return false end
  local n = 0
  for key in pairs(value) do
    if type(key) ~= "number" then return false end
    n = n + 1
  end
  return n == #value
end

types.array = { keys = { "items", "min_items", "max_items", "unique" }, check = function(value, spec, ctx, path, depth)
  if not is_list(value) then return nil, "must be a list" end
  local n = #value
  if n > LIST_MAX then return nil, ("must have at most %d entries"):format(LIST_MAX) end
  if spec.min_items and n < spec.min_items then return nil, ("must have at least %d entries"):format(spec.min_items) end
  if spec.max_items and n > spec.max_items then return nil, ("must have at most %d entries"):format(spec.max_items) end
  local out, seen = {}, {}
  for i, item in ipairs(value) do
    out[i] = check_value(item, spec.items or { type = "string" }, ctx, join(path, i), depth + 1)
    if spec.unique then
      if seen[item] then return nil, ("entry %d repeats entry %d"):format(i, seen[item]) end
      seen[item] = i
    end
  end
  return out
end }

types.map = { keys = { "keys", "values" }, check = function(value, spec, ctx, path, depth)
  if type(value) ~= "table" or (#value > 0) then return nil, "must be a table of names" end
  local out = {}
  for key, item in pairs(value) do
    local name = check_value(key, spec.keys or { type = "string" }, ctx, join(path, tostring(key)), depth + 1)
    local checked = check_value(item, spec.values or { type = "string" }, ctx, join(path, tostring(key)), depth + 1)
    if name ~= nil then out[name] = checked end
  end
  return out
end }

local check_record

types.record = { keys = { "fields", "rules" }, check = function(value, spec, ctx, path, depth)
  return check_record(value, spec, ctx, path, depth + 1)
end }

types.any_of = { keys = { "of" }, check = function(value, spec, ctx, path, depth)
  local words = {}
  for i, choice in ipairs(spec.of) do
    local trial = { errors = {}, warnings = ctx.warnings, resolve = ctx.resolve, reveals = ctx.reveals, guard = ctx.guard }
    local out = check_value(value, choice, trial, path, depth + 1)
    if #trial.errors == 0 then return out end
    words[i] = choice.type
  end
  return nil, "must be one of these: " .. table.concat(words, ", ")
end }

-- ---- Values ------------------------------------------------------------------------------------------------

local function report(ctx, path, value, spec, rule, suggestion)
  ctx.errors[#ctx.errors + 1] = { field = path, value = value ~= nil and show(value, spec) or nil, rule = rule, suggestion = suggestion }
end

function check_value(value, spec, ctx, path, depth)
  if depth > DEPTH_MAX then
    report(ctx, path, nil, nil, "nested too deeply")
    return nil
  end
  local checked, rule, suggestion = types[spec.type].check(value, spec, ctx, path, depth)
  if checked == nil then
    report(ctx, path, value, spec, rule, suggestion)
    return nil
  end
  if spec.secret and spec.type ~= "secret" then return seal(checked, ctx) end
  return checked
end

local rule_checks = {}

local function given(out, names)
  local n = 0
  for _, name in ipairs(names) do if out[name] ~= nil then n = n + 1 end end
  return n
end

local function names_of(rule, from)
  local names = {}
  for i = from, #rule do names[#names + 1] = rule[i] end
  return names
end

function rule_checks.one_of(rule, out)
  local names = names_of(rule, 2)
  if given(out, names) ~= 1 then return "exactly one of " .. quoted(names) .. " must be given" end
end
function rule_checks.at_least_one(rule, out)
  local names = names_of(rule, 2)
  if given(out, names) == 0 then return "at least one of " .. quoted(names) .. " must be given" end
end
function rule_checks.together(rule, out)
  local names = names_of(rule, 2)
  local n = given(out, names)
  if n ~= 0 and n ~= #names then return quoted(names) .. " must be given together" end
end
function rule_checks.required(rule, out)
  local names = names_of(rule, 2)
  if given(out, names) ~= #names then return quoted(names) .. " must be given" end
end
function rule_checks.at_most(rule, out)
  local function measure(value) return type(value) == "table" and value.n and value.n / value.per or value end
  local a, b = measure(out[rule[2]]), measure(out[rule[3]])
  if a ~= nil and b ~= nil and a > b then
    return ('"%s" must be at most "%s"'):format(rule[2], rule[3])
  end
end
function rule_checks.when(rule, out)
  if out[rule[2]] ~= rule[3] then return nil end
  local wrong = rule_checks[rule[4][1]](rule[4], out)
  return wrong and ('when "%s" is %s, %s'):format(rule[2], show(rule[3]), wrong) or nil
end

local function names_in(fields)
  local names = {}
  for i, field in ipairs(fields) do names[i] = field[1] end
  return names
end

-- A field that goes by an old name: moved to the new one, warned once per load.
local function move_deprecated(value, spec, ctx, path)
  local moved = {}
  for key, item in pairs(value) do moved[key] = item end
  for _, field in ipairs(spec.fields) do
    local old = field.deprecated
    if old and moved[field[1]] ~= nil then
      ctx.warnings[#ctx.warnings + 1] = ("%s is deprecated%s%s%s"):format(join(path, field[1]),
        old.since and " since " .. tostring(old.since) or "", old.use and ", use " .. old.use or "",
        old.note and ": " .. old.note or "")
      if old.use and moved[old.use] == nil then
        moved[old.use] = moved[field[1]]
        moved[field[1]] = nil
      end
      if not field.type then moved[field[1]] = nil end -- the new name was given too
    end
  end
  return moved
end

function check_record(value, spec, ctx, path, depth)
  if type(value) ~= "table" or #value > 0 then return nil, "must be a table of fields" end
  value = move_deprecated(value, spec, ctx, path)
  local out, known = {}, {}
  for _, field in ipairs(spec.fields) do
    local name, item = field[1], value[field[1]]
    known[name] = true
    if item == ctx.null then item = nil end
    if item == nil then item = field.default end
    if item ~= nil then
      out[name] = check_value(item, field, ctx, join(path, name), depth)
    elseif field.required then
      report(ctx, join(path, name), nil, field, "must be given", field.example and "for example " .. show(field.example) or nil)
    end
  end
  local unknown = {}
  for key in pairs(value) do if not known[key] then unknown[#unknown + 1] = tostring(key) end end
  table.sort(unknown)
  for _, key in ipairs(unknown) do
    local near = nearest(key, names_in(spec.fields))
    report(ctx, join(path, key), nil, nil, "unknown field", near and ('did you mean "%s"?'):format(near) or nil)
  end
  for _, rule in ipairs(spec.rules or {}) do
    local wrong = rule_checks[rule[1]](rule, out)
    if wrong then report(ctx, path == "" and "config" or path, nil, nil, wrong) end
  end
  return ctx.guard and ctx.guard(out, path == "" and "self.config" or "self.config." .. path) or out
end

--- Check a given config.
---@param spec { fields: table[], rules?: table[] }  as in a manifest, well made (schema.wrong)
---@param config table?
---@param options? { resolve?: fun(name: string): string?, reveals?: boolean, guard?: fun(t: table, what: string): table, null?: any }
---@return table? config   defaults filled, durations in seconds, sizes in bytes; nil if there are errors
---@return table[] errors  { field, value, rule, suggestion }
---@return string[] warnings
function schema.check(spec, config, options)
  options = options or {}
  local ctx = { errors = {}, warnings = {}, resolve = options.resolve, reveals = options.reveals, guard = options.guard,
                null = options.null }
  local out, rule = check_record(config or {}, spec, ctx, "", 1)
  if out == nil then report(ctx, "config", config, nil, rule) end
  if #ctx.errors > 0 then return nil, ctx.errors, ctx.warnings end
  return out, ctx.errors, ctx.warnings
end

-- ---- Schemas --------------------------------------------------------------------------------------------------

local COMMON = { "type", "default", "required", "doc", "example", "secret", "deprecated" }
local RULES = { "one_of", "at_least_one", "together", "at_most", "when", "required" }
local TYPES = {}
for name in pairs(types) do TYPES[#TYPES + 1] = name end
table.sort(TYPES)
schema.types = TYPES

local function suggestion(word, known)
  local near = nearest(word, known)
  return near and ('did you mean "%s"?'):format(near) or nil
end

local wrong_fields

local function wrong_type(spec, path, errors, depth, is_field)
  local function wrong(where, rule, hint) errors[#errors + 1] = { field = where, rule = rule, suggestion = hint } end
  if type(spec) ~= "table" then return wrong(path, "must be a table such as { type = \"string\" }") end
  if depth > DEPTH_MAX then return wrong(path, "nested too deeply") end
  if is_field and spec.type == nil and type(spec.deprecated) == "table" and type(spec.deprecated.use) == "string" then
    return -- only another name of the field it moved to
  end
  local row = type(spec.type) == "string" and types[spec.type]
  if not row then
    return wrong(join(path, "type"), spec.type == nil and "must be given" or ("unknown type %s"):format(show(spec.type)),
      spec.type ~= nil and (suggestion(spec.type, TYPES) or "the types are " .. table.concat(TYPES, ", ")) or nil)
  end
  local known = {}
  for _, key in ipairs(COMMON) do known[#known + 1] = key end
  for _, key in ipairs(row.keys) do known[#known + 1] = key end
  for key in pairs(spec) do
    local ok = is_field and key == 1
    for _, name in ipairs(known) do ok = ok or name == key end
    if not ok then wrong(join(path, tostring(key)), "unknown key for type " .. spec.type, suggestion(key, known)) end
  end
  local before = #errors
  if spec.type == "enum" and (not is_list(spec.of) or #spec.of == 0) then wrong(join(path, "of"), "must list the words") end
  if spec.type == "any_of" then
    if not is_list(spec.of) or #spec.of == 0 then
      wrong(join(path, "of"), "must list types")
    else
      for i, choice in ipairs(spec.of) do wrong_type(choice, join(join(path, "of"), i), errors, depth + 1) end
    end
  end
  if spec.type == "array" and spec.items ~= nil then wrong_type(spec.items, join(path, "items"), errors, depth + 1) end
  if spec.type == "map" then
    if spec.keys ~= nil then wrong_type(spec.keys, join(path, "keys"), errors, depth + 1) end
    if spec.values ~= nil then wrong_type(spec.values, join(path, "values"), errors, depth + 1) end
  end
  if spec.type == "record" then wrong_fields(spec, path, errors, depth + 1) end
  for _, bound in ipairs { "min", "max" } do
    local parse = spec.type == "duration" and units.duration or spec.type == "size" and units.size or nil
    if spec[bound] ~= nil and ((parse and not parse(spec[bound])) or (not parse and type(spec[bound]) ~= "number")) then
      wrong(join(path, bound), ("%s is not a %s"):format(show(spec[bound]), spec.type))
    end
  end
  if spec.pattern ~= nil and not (type(spec.pattern) == "string" and pcall(string.find, "", spec.pattern)) then
    wrong(join(path, "pattern"), "is not a Lua pattern")
  end
  if spec.deprecated ~= nil and type(spec.deprecated) ~= "table" then
    wrong(join(path, "deprecated"), "must be a table { since, use, note }")
  end
  if #errors > before then return end
  if spec.default ~= nil and spec.type ~= "secret" then
    local ctx = { errors = {}, warnings = {} }
    check_value(spec.default, spec, ctx, join(path, "default"), depth)
    for _, e in ipairs(ctx.errors) do errors[#errors + 1] = e end
  end
end

local function wrong_rule(rule, spec, path, errors)
  local function wrong(text_, hint) errors[#errors + 1] = { field = path, rule = text_, suggestion = hint } end
  if type(rule) ~= "table" or not rule_checks[rule[1]] then
    local word = type(rule) == "table" and rule[1] or rule
    return wrong(("unknown rule %s"):format(show(word)), type(word) == "string" and suggestion(word, RULES) or nil)
  end
  local names = rule[1] == "when" and { rule[2] } or names_of(rule, 2)
  if rule[1] == "when" then
    if rule[3] == nil or type(rule[4]) ~= "table" then return wrong("must be { \"when\", field, value, rule }") end
    wrong_rule(rule[4], spec, path, errors)
  elseif #names < (rule[1] == "required" and 1 or 2) then
    wrong("must name at least two fields")
  end
  for _, name in ipairs(names) do
    local found = false
    for _, field in ipairs(spec.fields) do found = found or field[1] == name end
    if not found then wrong(("names an unknown field %s"):format(show(name)), suggestion(name, names_in(spec.fields))) end
  end
end

function wrong_fields(spec, path, errors, depth)
  local seen = {}
  if not is_list(spec.fields) then
    errors[#errors + 1] = { field = join(path, "fields"), rule = "must be a list of fields such as { \"name\", type = \"string\" }" }
    return
  end
  for i, field in ipairs(spec.fields) do
    local name = type(field) == "table" and field[1]
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
      errors[#errors + 1] = { field = join(join(path, "fields"), i), rule = "must begin with the name of the field" }
    elseif seen[name] then
      errors[#errors + 1] = { field = join(path, name), rule = "is there twice" }
    else
      seen[name] = true
      wrong_type(field, join(path, name), errors, depth, true)
    end
  end
  for _, field in ipairs(spec.fields) do
    local old = type(field) == "table" and type(field.deprecated) == "table" and field.deprecated
    if old and old.use ~= nil and not seen[old.use] then
      errors[#errors + 1] = { field = join(path, tostring(field[1])), rule = "moves to an unknown field " .. show(old.use),
                              suggestion = type(old.use) == "string" and suggestion(old.use, names_in(spec.fields)) or nil }
    end
  end
  for i, rule in ipairs(spec.rules or {}) do wrong_rule(rule, spec, join(join(path, "rules"), i), errors) end
end

--- What is wrong with a schema: a list of errors, empty if it is well made.
function schema.wrong(spec, path)
  local errors = {}
  wrong_fields(spec, path or "", errors, 1)
  return errors
end

return schema
