-- SPDX-License-Identifier: MIT
-- A small runner for specs in the style of busted, so that `moonloom plugin test` needs nothing beside the
-- binary: describe, it, pending, before_each, after_each, setup, teardown, finally, and luassert's common
-- assertions. The same files run under busted itself (spec/lua/moonloom/runner_spec.lua compares the two).
-- Not here: spies, stubs, mocks, matchers.
local busted = {}

-- ---- Values as text ---------------------------------------------------------------------------------------------

local function show(value, depth, seen)
  local kind = type(value)
  if kind == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") end
  if kind ~= "table" then return tostring(value) end
  local mt = getmetatable(value)
  if type(mt) == "table" and rawget(mt, "__tostring") then return tostring(value) end
  depth, seen = depth or 0, seen or {}
  if seen[value] then return "{ … }" end
  seen[value] = true
  local parts, n = {}, #value
  for i = 1, n do parts[i] = show(value[i], depth + 1, seen) end
  local keys = {}
  for key in pairs(value) do
    if not (type(key) == "number" and key >= 1 and key <= n and key == math.floor(key)) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local name = type(key) == "string" and key:find("^[%a_][%w_]*$") and key or "[" .. show(key, depth + 1, seen) .. "]"
    parts[#parts + 1] = name .. " = " .. show(value[key], depth + 1, seen)
  end
  seen[value] = nil
  if #parts == 0 then return "{}" end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line <= 100 then return line end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

busted.show = show

local function deep_equal(a, b, seen)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  local ma, mb = getmetatable(a), getmetatable(b)
  if ma and ma == mb and type(ma) == "table" and rawget(ma, "__eq") then return a == b end
  seen = seen or {}
  if seen[a] == b then return true end
  seen[a] = b
  for key, value in pairs(a) do if not deep_equal(value, b[key], seen) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

-- ---- say, luassert ----------------------------------------------------------------------------------------------

local texts = {}
local say = setmetatable({ set = function(_, key, text) texts[key] = text end, set_namespace = function() end },
  { __call = function(_, key) return texts[key] end })

local Failure = {} -- metatable of a failed assertion
Failure.__tostring = function(f) return f.message end

local registered = {}
local MODIFIERS = { is = true, are = true, was = true, were = true, has = true, have = true, does = true, do_ = true, a = true, an = true,
                    the = true, be = true }
local NEGATIONS = { ["not"] = true, no = true }
MODIFIERS["do"] = true

local function fail(message, level)
  local where = debug.getinfo(level + 1, "Sl")
  error(setmetatable({ message = message, where = where and ("%s:%d"):format(where.short_src, where.currentline) }, Failure), 0)
end

local assert_mt = {}
local luassert = setmetatable({}, assert_mt)

function luassert.register(_, kind, name, fn, positive, negative)
  if kind ~= "assertion" then return end
  registered[name] = { fn = fn, positive = positive, negative = negative }
end

-- "is_not_nil" → the assertion, and whether it is turned round; nil: no such assertion.
local function resolve(key)
  local negated, rest = false, key
  while not registered[rest] do
    local word, more = rest:match("^(%a+)_(.+)$")
    if not word then
      if MODIFIERS[rest] then return nil, negated, true end
      if NEGATIONS[rest] then return nil, not negated, true end
      return nil, negated, false
    end
    if NEGATIONS[word] then
      negated = not negated
    elseif not MODIFIERS[word] then
      return nil, negated, false
    end
    rest = more
  end
  return registered[rest], negated
end

local function run_assertion(one, negated, ...)
  local n = select("#", ...)
  local args = { n = n, ... }
  local ok, wrong = one.fn({ mod = not negated }, args, 4)
  if (ok and true or false) ~= negated then return ... end
  local text = texts[negated and one.negative or one.positive]
  if type(text) == "function" then text = text(args) end
  if not text then text = wrong or "assertion failed" end
  local shown, used = {}, 0
  for i = 1, math.max(n, 2) do shown[i] = args.shown and args.shown[i] or show(args[i]) end
  text = text:gsub("%%s", function()
    used = used + 1
    return shown[used] or ""
  end)
  if args.extra then text = text .. "\n" .. args.extra end
  local message = args.message
  if message ~= nil then text = tostring(message) .. "\n" .. text end
  fail(text, 2)
end

local function chain(negated)
  return setmetatable({}, {
    __index = function(_, key)
      local one, more, is_modifier = resolve(key)
      if more then negated = not negated end
      if one then
        local was = negated
        return function(...) return run_assertion(one, was, ...) end
      end
      if is_modifier then return chain(negated) end
      error(("luassert: unknown modifier/assertion: '%s'"):format(key), 2)
    end,
  })
end

function assert_mt.__index(_, key) return chain(false)[key] end

function assert_mt.__call(_, ok, ...)
  if ok then return ok, ... end
  local message = (...)
  if message == nil then message = "assertion failed!" end
  if type(message) ~= "string" then error(message, 2) end
  fail(message, 2)
end

local function define(name, positive, negative, fn)
  texts["assertion." .. name .. ".positive"], texts["assertion." .. name .. ".negative"] = positive, negative
  luassert:register("assertion", name, fn, "assertion." .. name .. ".positive", "assertion." .. name .. ".negative")
end

local function alias(new, old) registered[new] = registered[old] end

define("equal", "Expected objects to be equal.\nExpected:\n%s\nPassed in:\n%s", "Expected objects to not be equal.\nPassed in:\n%s", function(_, args)
  args.message = args[3]
  return args[1] == args[2]
end)
define("same", "Expected objects to be the same.\nExpected:\n%s\nPassed in:\n%s", "Expected objects to not be the same.\nPassed in:\n%s", function(_, args)
  args.message = args[3]
  return deep_equal(args[1], args[2])
end)
alias("equals", "equal")

local function unary(name, what, test)
  define(name, "Expected to be " .. what .. ", but value was:\n%s", "Expected not to be " .. what .. ", but value was:\n%s", function(_, args)
    args.message = args[2]
    return test(args[1])
  end)
end

unary("nil", "nil", function(v) return v == nil end)
unary("true", "true", function(v) return v == true end)
unary("false", "false", function(v) return v == false end)
unary("truthy", "truthy", function(v) return v and true or false end)
unary("falsy", "falsy", function(v) return not v end)
for _, kind in ipairs { "string", "number", "table", "function", "boolean", "userdata", "thread" } do
  unary(kind, "a " .. kind, function(v) return type(v) == kind end)
end

define("near", "Expected a value near.\nExpected:\n%s\nPassed in:\n%s", "Expected a value not near.\nExpected:\n%s\nPassed in:\n%s", function(_, args)
  return math.abs(args[1] - args[2]) <= args[3]
end)
define("matches", "Expected to match.\nPattern:\n%s\nPassed in:\n%s", "Expected not to match.\nPattern:\n%s\nPassed in:\n%s", function(_, args)
  return type(args[2]) == "string" and args[2]:find(args[1], args[3], args[4]) ~= nil
end)
alias("match", "matches")
define("unique", "Expected values to be unique:\n%s", "Expected values not to be unique:\n%s", function(_, args)
  for i, a in ipairs(args[1]) do
    for j = 1, i - 1 do if deep_equal(a, args[1][j]) then return false end end
  end
  return true
end)

-- What fn raised, without the place where.
local function error_of(fn)
  local ok, wrong = pcall(fn)
  if ok then return false end
  if getmetatable(wrong) == Failure then wrong = wrong.message end
  return true, wrong
end

local function bare(text) return type(text) == "string" and text:gsub("^.-:%d+: ", "", 1) or text end

define("error", "Expected a different error.\nExpected:\n%s\nCaught:\n%s", "Expected no error, but caught:\n%s", function(_, args)
  local raised, wrong = error_of(args[1])
  local wanted = args[2]
  args.shown = { args.n > 1 and show(wanted) or "(any error)", raised and show(wrong) or "(no error)" }
  if not raised then return false end
  if args.n < 2 or wanted == nil then
    args.shown = { show(wrong), show(wrong) }
    return true
  end
  return deep_equal(bare(wrong), bare(wanted)) or deep_equal(wrong, wanted)
end)
alias("errors", "error")
define("error_matches", "Expected a different error.\nPattern:\n%s\nCaught:\n%s", "Expected an error that does not match:\n%s", function(_, args)
  local raised, wrong = error_of(args[1])
  args.shown = { show(args[2]), raised and show(wrong) or "(no error)" }
  return raised and tostring(wrong):find(args[2], args[3], args[4]) ~= nil
end)
alias("error_match", "error_matches")
alias("matches_error", "error_matches")
alias("match_error", "error_matches")

busted.assert = luassert

-- ---- Blocks and tests ------------------------------------------------------------------------------------------

local Pending = {} -- raised by pending() inside a test

local block -- the describe that is being read
local files

local function new_block(name, parent)
  return { name = name, parent = parent, children = {}, before_each = {}, after_each = {}, setup = {}, teardown = {} }
end

local function describe(name, fn)
  local child = new_block(name, block)
  block.children[#block.children + 1] = child
  block = child
  local ok, wrong = xpcall(fn, function(e) return { error = e, trace = debug.traceback("", 2) } end)
  block = child.parent
  if not ok then child.broken = wrong end
end

local function it(name, fn)
  block.children[#block.children + 1] = { name = name, test = fn or false, parent = block }
end

local function hook(kind)
  return function(fn) block[kind][#block[kind] + 1] = fn end
end

local running -- the test, while one runs

local function pending(name)
  if running then error(setmetatable({ message = name }, Pending), 0) end
  block.children[#block.children + 1] = { name = name, test = false, parent = block }
end

local globals = {
  describe = describe, context = describe, insulate = describe, expose = describe, it = it, spec = it, test = it, pending = pending,
  before_each = hook "before_each", after_each = hook "after_each", setup = hook "setup", teardown = hook "teardown",
  lazy_setup = hook "setup", lazy_teardown = hook "teardown", strict_setup = hook "setup", strict_teardown = hook "teardown",
  randomize = function() end,
  finally = function(fn) running.finally[#running.finally + 1] = fn end,
}

local function guard(wrong)
  if getmetatable(wrong) == Failure or getmetatable(wrong) == Pending then return wrong end
  if type(wrong) == "table" and wrong.error then return wrong end
  return { error = wrong, trace = debug.traceback("", 2) }
end

local function each(list, result)
  for _, fn in ipairs(list) do
    local ok, wrong = xpcall(fn, guard)
    if not ok and not result.wrong then result.wrong = wrong end
  end
end

local function full_name(node)
  local parts = {}
  while node and node.name do
    table.insert(parts, 1, node.name)
    node = node.parent
  end
  return table.concat(parts, " ")
end

-- Paths of the tool itself say nothing to the author of a spec.
local function clean(trace)
  local lines = {}
  for line in trace:gmatch("[^\n]+") do
    if not line:find("moonloom/tool/", 1, true) and not line:find("%[C%]") and not line:find("stack traceback", 1, true) then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

local function run_test(node, options, report)
  local name = full_name(node)
  if options.filter and not name:find(options.filter, 1, true) then return end
  local result = { name = name, file = options.file, finally = {} }
  if not node.test then
    result.status = "pending"
    report(result)
    return
  end
  running = result
  local up, at = {}, node.parent
  while at do
    table.insert(up, 1, at)
    at = at.parent
  end
  local from = os.clock()
  for _, one in ipairs(up) do if not result.wrong then each(one.before_each, result) end end
  if not result.wrong then each({ node.test }, result) end
  for i = #result.finally, 1, -1 do each({ result.finally[i] }, result) end
  for i = #up, 1, -1 do each(up[i].after_each, result) end
  result.seconds = os.clock() - from
  running = nil
  local wrong = result.wrong
  if not wrong then
    result.status = "ok"
  elseif getmetatable(wrong) == Pending then
    result.status, result.message = "pending", wrong.message
  elseif getmetatable(wrong) == Failure then
    result.status, result.message, result.where = "failed", wrong.message, wrong.where
  else
    result.status = "error"
    local e = wrong.error
    result.message = type(e) == "string" and e or show(e)
    result.trace = clean(wrong.trace)
  end
  report(result)
end

local function has_test(node, options)
  if node.test ~= nil then return not options.filter or full_name(node):find(options.filter, 1, true) ~= nil end
  for _, child in ipairs(node.children) do if has_test(child, options) then return true end end
  return node.broken ~= nil
end

local function run_block(node, options, report)
  if node.broken then
    report { name = full_name(node), file = options.file, status = "error", message = tostring(node.broken.error), trace = clean(node.broken.trace) }
    return
  end
  if not has_test(node, options) then return end
  local state = {}
  each(node.setup, state)
  if state.wrong then
    local wrong = state.wrong
    report { name = full_name(node) .. " setup", file = options.file, status = "error", message = tostring(wrong.message or wrong.error),
             trace = wrong.trace and clean(wrong.trace) }
  else
    for _, child in ipairs(node.children) do
      if child.test ~= nil then run_test(child, options, report) else run_block(child, options, report) end
    end
  end
  local late = {}
  each(node.teardown, late)
  if late.wrong and not state.wrong then
    report { name = full_name(node) .. " teardown", file = options.file, status = "error",
             message = tostring(late.wrong.message or late.wrong.error), trace = late.wrong.trace and clean(late.wrong.trace) }
  end
end

-- What a file loads is its own: the next one begins with the modules that were there.
local function insulated(fn)
  local loaded, names = {}, {}
  for key, value in pairs(package.loaded) do loaded[key] = value end
  for key, value in pairs(_G) do names[key] = value end
  fn()
  for key in pairs(package.loaded) do
    if loaded[key] == nil and not key:find("^moonloom%.") then package.loaded[key] = nil end
  end
  for key in pairs(_G) do if names[key] == nil then _G[key] = nil end end
end

--- Makes describe, it, assert and so on global, and `require "luassert"` work.
function busted.install()
  for name, value in pairs(globals) do _G[name] = value end
  _G.assert = luassert
  package.loaded.luassert, package.loaded.say = luassert, say
end

--- Runs one file; `report` is called for every test with { name, file, status, message, where, trace, seconds }.
---@param path string
---@param options { filter: string? }
function busted.run(path, options, report)
  files = (files or 0) + 1
  local own = { filter = options.filter, file = path }
  insulated(function()
    block = new_block(nil, nil)
    local root = block
    local chunk, wrong = loadfile(path)
    if not chunk then
      report { name = path, file = path, status = "error", message = wrong }
      return
    end
    local ok, caught = xpcall(chunk, guard)
    if not ok then
      local message = caught.error or caught.message
      report { name = path, file = path, status = "error", message = type(message) == "string" and message or show(message),
               trace = caught.trace and clean(caught.trace) }
      return
    end
    run_block(root, own, report)
  end)
end

return busted
