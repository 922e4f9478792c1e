-- SPDX-License-Identifier: MIT
-- `moonloom plugin repl`: a prompt inside the sandbox of a plugin, with a copy of a document at hand. What is written is
-- told, and goes to the document only with --write, as one update.
--
--   > doc:get "meta/title"
--   > ml.text.len16(doc:text("content"):tostring())
--   > doc:transact(function(tx) tx:map("meta"):set("title", "Plan") end)
local check = require "moonloom.tool.check"
local engine = require "moonloom.engine"
local folder = require "moonloom.tool.folder"
local json = require "moonloom.test.json"
local paths = require "moonloom.test.paths"

local repl = {}

local HELP = [[
  An expression or statements, in the sandbox of the plugin. There are: ml, self, plugin, doc (with --doc).
  self.state stays from line to line, locals do not. A line that is not complete goes on in the next.
  :help  :reload (the document again)  :quit
]]

-- ---- The document -----------------------------------------------------------------------------------------------

local function content_of(replica)
  local out = {}
  for _, root in ipairs(replica:roots()) do out[root] = paths.value(replica, root) end
  local function plain(value)
    if value == json.null then return nil end
    if type(value) ~= "table" then return value end
    local copy = {}
    for key, one in pairs(value) do copy[key] = plain(one) end
    return copy
  end
  return plain(out)
end

local function open_document(session)
  local bytes, wrong = require("moonloom.documents").read(session.where)
  if not bytes then folder.fail(wrong) end
  session.replica = engine.new { client = math.random(1, 2 ^ 31) }
  local ok, _, text = session.replica:apply(bytes)
  if not ok then folder.fail("the document: " .. tostring(text)) end
  session.content = content_of(session.replica)
end

-- The operations of a transaction as the engine takes them.
local MADE = {
  ["text.set"] = function(replica, path, text)
    local n = paths.len16(paths.text(replica, path))
    local ops = { { "text.insert", path, 0, text } }
    if n > 0 then table.insert(ops, 1, { "text.delete", path, 0, n }) end
    return ops
  end,
  ["map.assign"] = function(_, path, values)
    local ops, keys = {}, {}
    for key in pairs(values) do keys[#keys + 1] = key end
    table.sort(keys)
    for i, key in ipairs(keys) do ops[i] = { "map.set", path, key, values[key] } end
    return ops
  end,
  ["map.create"] = function(_, path, key, kind) return { { "map.set", path, key, { ["$new"] = kind } } } end,
  ["array.push"] = function(_, path, ...) return { { "array.push", path, json.list { ... } } } end,
  ["array.insert"] = function(_, path, i, ...) return { { "array.insert", path, i, json.list { ... } } } end,
}

local function engine_ops(replica, ops)
  local out = {}
  for _, op in ipairs(ops) do
    local make = MADE[op[1]]
    for _, one in ipairs(make and make(replica, unpack(op, 2, 8)) or { op }) do out[#out + 1] = one end
  end
  return out
end

local function apply(session, ops)
  local any, wrong = engine.any(json.encode(engine_ops(session.replica, ops)))
  if not any then return nil, wrong end
  local update, kind, text = session.replica:transact(any)
  if not update then return nil, ("this cannot be written: %s (%s)"):format(tostring(text), tostring(kind)) end
  session.content = content_of(session.replica)
  return update
end

-- ---- One line ---------------------------------------------------------------------------------------------------

-- The code as an expression, or as statements; nil, what is wrong, and whether more could make it whole.
local function compiled(text)
  local expression, eof = "return " .. text, "'<eof>'"
  local fn, unfinished = loadstring(expression, "=line")
  if fn then return expression end
  local statements, wrong = loadstring(text, "=line")
  if statements then return text end
  return nil, wrong, wrong:find(eof, 1, true) ~= nil or unfinished:find(eof, 1, true) ~= nil
end

local function show(one)
  if one == nil then return "nil" end
  if one.view then return "view: " .. one.view end
  if one.odd then return one.odd end
  if one.answer then return json.encode(one.answer) end
  if type(one.value) == "string" then return ("%q"):format(one.value) end
  if type(one.value) == "table" then return json.encode(one.value) end
  return tostring(one.value)
end

--- Runs one piece of code; answers whether it went well.
function repl.eval(session, text)
  local code, wrong = compiled(text)
  if not code then
    io.stdout:write(wrong, "\n")
    return false
  end
  local ok, result = pcall(session.t.internal.eval, session.instance, code, session.content, session.where and session.where.doc)
  local logged = session.instance:logs()
  if logged ~= "" then io.stdout:write("log: ", (logged:gsub("\n$", ""):gsub("\n", "\nlog: ")), "\n") end
  if not ok then
    io.stdout:write((tostring(result):gsub("^moonloom%.test:%d+: ", "")), "\n")
    return false
  end
  local parts = {}
  for i = 1, result.n or 0 do parts[i] = show(result.results[i]) end
  if #parts > 0 then io.stdout:write(table.concat(parts, "\t"), "\n") end
  local ops = result.ops or {}
  if #ops == 0 then return true end
  local update, why = apply(session, ops)
  if not update then
    io.stdout:write(why, "\n")
    return false
  end
  if not session.writes then
    io.stdout:write(("%d operation%s in this copy only; start with --write to write them\n"):format(#ops, #ops == 1 and "" or "s"))
    return true
  end
  local seq, refused = require("moonloom.documents").write(session.where, update)
  if not seq then
    io.stdout:write(refused, "\n")
    return false
  end
  io.stdout:write(("written: %d operation%s, record %d\n"):format(#ops, #ops == 1 and "" or "s", seq))
  return true
end

-- ---- The conversation -------------------------------------------------------------------------------------------

local function converse(session)
  local is_terminal = os.execute "test -t 0" == 0
  local pending, good = nil, true
  local function prompt()
    if not is_terminal then return end
    io.stdout:write(pending and ">> " or "> ")
    io.stdout:flush()
  end
  if is_terminal then io.stdout:write(("%s%s; :help, :quit\n"):format(session.instance.name, session.where and " with " .. session.where.doc or "")) end
  prompt()
  for line in io.lines() do
    local text = pending and pending .. "\n" .. line or line
    pending = nil
    if text == ":quit" then break end
    if text == ":help" then
      io.stdout:write(HELP)
    elseif text == ":reload" then
      if session.where then open_document(session) end
    elseif text:find "%S" then
      local _, _, more = compiled(text)
      if more and #text < 65536 then pending = text else good = repl.eval(session, text) and good end
    end
    prompt()
  end
  if pending then good = repl.eval(session, pending) and good end
  return is_terminal or good
end

function repl.run(options, words)
  local t = require "moonloom.test"
  local plugin = words[1] and folder.find(words[1])[1]
  if options.write and not options.doc then folder.fail("--write: to which document? give --doc NAME") end
  if options.url and options.store then folder.fail("--url or --store, not both") end
  if plugin then t.plugins_dir = plugin.dir end
  t.clock(os.time())
  local session = { t = t, writes = options.write or false, instance = t.instance(plugin and plugin.name or "hello", check.config_of(options.config)) }
  if options.doc then
    session.where = { doc = options.doc, org = options.org or "default", url = options.url, store = options.store }
    open_document(session)
  end
  local good
  if options.eval then good = repl.eval(session, options.eval) else good = converse(session) end
  session.instance:close()
  return good and 0 or 1
end

return repl
