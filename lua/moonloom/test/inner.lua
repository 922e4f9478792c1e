-- SPDX-License-Identifier: MIT
-- Runs inside the plugin's state, beside it (script/probe.c): makes views of data, calls one function of
-- the plugin and answers, as data, what it said and did. `request`:
--
--   { what = "hook", path = { "before_update" } | { "rpc", "review.lock" }, method = true, args = { arg, ... },
--     shapes = { class = { fields = { name = class|true }, methods = { name = true } } }, state = … }
--   arg: { class = "moonloom.Update", values = { … } } or { value = plain }
--
-- Answers { results = { n, … }, views = { what was done to each view }, took = seconds, failed = text }.
local request, parts = ...
local ml, null = parts.ml, parts.null

local alive = true
local shapes = request.shapes or {}
local impl = {} -- class → method → function(view, record, ...)

local Hidden = {} -- view → what is behind it

local function behind(view)
  local b = Hidden[view] or error("this method belongs to a view; call it with ':'", 3)
  if not alive then error("view expired: copy what you keep", 3) end
  return b
end

local function short(class) return (class:gsub("^moonloom%.", ""):gsub("%u", function(c) return " " .. c:lower() end):gsub("^ ", "")) end

local function no_field(class, shape, key)
  local names = {}
  for _, all in ipairs { shape.fields, shape.methods } do for name in pairs(all) do names[#names + 1] = name end end
  table.sort(names)
  error(("%s has no such field: '%s'; it has %s"):format(short(class), tostring(key), table.concat(names, ", ")), 3)
end

local make

-- A view of `class` about `values`; what is done to it goes into `record`.
function make(class, values, record)
  local shape = shapes[class] or error("no shape of " .. class)
  local view = {}
  Hidden[view] = { class = class, values = values, record = record or {}, made = {} }
  return setmetatable(view, {
    __index = function(_, key)
      local b = behind(view)
      if shape.methods[key] then
        local fn = impl[class] and impl[class][key]
        if not fn then error(("%s:%s cannot be faked in a spec of one hook; use t.app"):format(short(class), tostring(key)), 2) end
        return function(self, ...) return fn(behind(self), self, ...) end
      end
      local kind = shape.fields[key]
      if kind == nil then no_field(class, shape, key) end
      local value = b.values[key]
      if value == nil then return nil end
      if kind ~= true and type(value) == "table" then
        local made = b.made[key] or make(kind, value, b.record[key])
        b.made[key] = made
        return made
      end
      return value
    end,
    __newindex = function() error("a view is read-only", 2) end,
    __tostring = function() return "view: " .. short(class) end,
    __metatable = false,
  })
end

-- ---- Authors ----------------------------------------------------------------------------------------------

local function has_role(b, _, name)
  for _, role in ipairs(b.values.roles or {}) do if role == name then return true end end
  return false
end

impl["moonloom.Author"] = { has_role = has_role }
impl["moonloom.Identity"] = { has_role = has_role }

local function recorder(name)
  return function(b, _, ...)
    local list = b.record[name] or {}
    b.record[name] = list
    list[#list + 1] = { ... }
  end
end

local function label(b, _, key, value)
  b.record.labels = b.record.labels or {}
  b.record.labels[key] = value
end

for _, class in ipairs { "Member", "Session" } do
  impl["moonloom." .. class] = { label = label, notify = recorder("notified"), close = recorder("closed") }
end
impl["moonloom.Request"] = { label = label }

-- ---- Documents, of plain data -----------------------------------------------------------------------------

local function lookup(content, path)
  if path == nil or path == "" then return content end
  local at = content
  for _, part in ipairs(ml.path.split(path)) do
    if type(at) ~= "table" then return nil end
    local i = tonumber(part)
    if at[part] ~= nil then at = at[part] elseif i then at = at[i + 1] else return nil end
  end
  return at
end

-- Root names and whole paths are both accepted as keys: { ["meta/title"] = "x" }, { meta = { title = "x" } }.
local function content_at(b, path)
  local content = b.values.content or {}
  if content[path] ~= nil then return content[path] end
  return lookup(content, path)
end

local function reader(class)
  return function(b, _, path) return make(class, { content = content_at(b, path), path = path }) end
end

local function read_only(b, path)
  local value = content_at(b, path)
  return value
end

local record_op
local function tx_for(b)
  b.record.ops = b.record.ops or {}
  return make("moonloom.Tx", { owner = b }, b.record)
end

local function transact(b, _, fn)
  local ops = b.record.ops
  b.record.ops = {}
  local out = fn(tx_for(b), b.values.doc and make("moonloom.Doc", b.values.doc) or nil)
  local done = b.record.ops
  b.record.ops = ops or {}
  for _, op in ipairs(done) do b.record.ops[#b.record.ops + 1] = op end -- all or nothing
  return out
end

impl["moonloom.Doc"] = {
  get = function(b, _, path) return read_only(b, path) end,
  json = function(b, _, path) return path and read_only(b, path) or b.values.content or {} end,
  text = reader "moonloom.DocText", map = reader "moonloom.DocMap", array = reader "moonloom.DocArray",
  xml = reader "moonloom.DocXml", counter = reader "moonloom.DocCounter",
  sessions = function(b) return b.values.sessions or {} end,
  position = function(_, _, anchor) return anchor.index end,
  digest = function(b, _, path) return ml.json.encode { read_only(b, path or "") or null } end,
  transact = transact,
}
impl["moonloom.NewDocument"] = { transact = transact }

local function units(s, i, n) -- UTF-16 units [i, i + n) of s
  local len = ml.text.len16(s)
  local from, to = math.min(i, len), math.min(i + n, len)
  return s:sub(ml.text.to8(s, from) + 1, ml.text.to8(s, to))
end

local function string_of(b) return type(b.values.content) == "string" and b.values.content or "" end

impl["moonloom.DocText"] = {
  tostring = function(b) return string_of(b) end,
  len = function(b) return ml.text.len16(string_of(b)) end,
  slice = function(b, _, i, n) return units(string_of(b), i, n) end,
  delta = function(b) local s = string_of(b) return s == "" and {} or { { insert = s } } end,
  find = function(b, _, s, from)
    local text = string_of(b)
    local at = text:find(s, ml.text.to8(text, from or 0) + 1, true)
    return at and ml.text.to16(text, at - 1) or nil
  end,
}

local function table_of(b) return type(b.values.content) == "table" and b.values.content or {} end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do if type(key) == "string" then keys[#keys + 1] = key end end
  table.sort(keys)
  return keys
end

impl["moonloom.DocMap"] = {
  get = function(b, _, key) return table_of(b)[key] end,
  has = function(b, _, key) return table_of(b)[key] ~= nil end,
  keys = function(b) return sorted_keys(table_of(b)) end,
  size = function(b) return #sorted_keys(table_of(b)) end,
  each = function(b)
    local t, i = table_of(b), 0
    local keys = sorted_keys(t)
    return function()
      i = i + 1
      if keys[i] ~= nil then return keys[i], t[keys[i]] end
    end
  end,
}

impl["moonloom.DocArray"] = {
  get = function(b, _, i) return table_of(b)[i + 1] end,
  len = function(b) return #table_of(b) end,
  each = function(b)
    local t, i = table_of(b), -1
    return function()
      i = i + 1
      if t[i + 1] ~= nil then return i, t[i + 1] end
    end
  end,
  slice = function(b, _, i, n)
    local out, t = {}, table_of(b)
    for k = i + 1, math.min(i + n, #t) do out[#out + 1] = t[k] end
    return out
  end,
}

impl["moonloom.DocCounter"] = { value = function(b) return tonumber(b.values.content) or 0 end }

-- ---- Writing: operations as data ---------------------------------------------------------------------------

function record_op(b, ...)
  local ops = b.record.ops
  ops[#ops + 1] = { ... }
end

local function handle(class, prefix, methods)
  impl["moonloom.Tx"] = impl["moonloom.Tx"] or {}
  impl["moonloom.Tx"][prefix] = function(b, _, path) return make(class, { path = path }, b.record) end
  impl[class] = {}
  for _, name in ipairs(methods) do
    impl[class][name] = function(b, _, ...) record_op(b, prefix .. "." .. name, b.values.path, ...) end
  end
end

handle("moonloom.TxText", "text", { "insert", "embed", "delete", "replace", "format", "set" })
handle("moonloom.TxMap", "map", { "set", "delete", "assign", "create" })
handle("moonloom.TxArray", "array", { "insert", "push", "delete", "move" })
handle("moonloom.TxXml", "xml", { "insert", "delete", "attr", "remove_attr" })
handle("moonloom.TxCounter", "counter", { "add" })

-- ---- Updates -----------------------------------------------------------------------------------------------

local function fits(edit, kind, pattern)
  if kind and edit.kind ~= kind and edit.kind:match("^(%a+)%.") ~= kind then return false end
  return not pattern or (edit.path ~= nil and ml.path.match(pattern, edit.path))
end

local KINDS = { text = true, map = true, array = true, xml = true }
for _, kind in ipairs { "text.insert", "text.delete", "text.format", "map.set", "map.delete", "array.insert", "array.delete",
                        "xml.insert", "xml.delete", "xml.attr", "subdoc" } do KINDS[kind] = true end

local function edits_of(b)
  if not b.views then
    b.views = {}
    for i, edit in ipairs(b.values.edits or {}) do
      if edit.author == nil then edit.author = b.values.author end
      b.views[i] = make("moonloom.Edit", edit)
    end
  end
  return b.views
end

local function each_edit(b, _, kind, pattern)
  if kind ~= nil and not KINDS[kind] then error("unknown edit kind '" .. tostring(kind) .. "'", 3) end
  local views, i = edits_of(b), 0
  return function()
    while true do
      i = i + 1
      local view = views[i]
      if not view then return nil end
      local edit = Hidden[view].values
      if not b.gone or not b.gone[view] then
        if fits(edit, kind, pattern) then return view end
      end
    end
  end
end

local function edit_behind(e)
  local b = Hidden[e]
  if not b or b.class ~= "moonloom.Edit" then error("an edit of this update is wanted", 3) end
  return b.values
end

local function append(b, name, value)
  b.record[name] = b.record[name] or {}
  b.record[name][#b.record[name] + 1] = value
end

impl["moonloom.Update"] = {
  edits = each_edit,
  touches = function(b, _, pattern)
    for _, edit in ipairs(b.values.edits or {}) do if fits(edit, nil, pattern) then return true end end
    return false
  end,
  undo = function(b, _, e, code, reason)
    local edit = edit_behind(e)
    ml.deny(code, reason) -- the same rules
    append(b, "undone", { kind = edit.kind, path = edit.path, key = edit.key, text = edit.text, value = edit.value, code = code, reason = reason })
    b.gone = b.gone or {}
    b.gone[e] = true
  end,
  replace = function(b, _, e, text)
    local edit = edit_behind(e)
    local is_text, is_key = edit.kind == "text.insert", edit.kind == "map.set" or edit.kind == "xml.attr"
    if not is_text and not is_key then error("u:replace: only inserted text and values of keys can be replaced, not a " .. edit.kind, 2) end
    if type(text) ~= "string" then error("u:replace: text expected, got " .. type(text), 2) end
    append(b, "replaced", text)
    edit[is_text and "text" or "value"] = text -- later plugins see the edits as rewritten
  end,
  remove = function(b, _, e)
    local edit = edit_behind(e)
    append(b, "removed", { kind = edit.kind, path = edit.path, key = edit.key, text = edit.text })
    b.gone = b.gone or {}
    b.gone[e] = true
  end,
  amend = function(b, self, fn)
    transact(b, self, fn)
    b.record.amended, b.record.ops = b.record.ops, nil
  end,
  only_propose = function(b, _, e, code, reason)
    append(b, "owed", { kind = edit_behind(e).kind, code = code, reason = reason })
    b.values.proposes = true
  end,
  propose = function(b, _, e) append(b, "proposed", edit_behind(e).kind) end,
  label = label,
  snapshot = function(b)
    local out = { edits = {} }
    for _, key in ipairs { "origin", "bytes", "at", "inserted", "inserted_bytes", "deleted", "keys" } do out[key] = b.values[key] end
    out.doc_id = b.values.doc and b.values.doc.id
    out.author = { user = b.values.author.user, name = b.values.author.name }
    for i, edit in ipairs(b.values.edits or {}) do
      local copy = {}
      for key, value in pairs(edit) do if key ~= "author" then copy[key] = value end end
      out.edits[i] = copy
    end
    return out
  end,
}

impl["moonloom.Edit"] = {
  block_text = function(b) return b.values.block_text or b.values.text end,
  anchor = function(b, _, side) return { index = b.values.index and side == "end" and b.values.index + b.values.len or b.values.index } end,
}

impl["moonloom.Batch"] = {
  changes = function(b) return each_edit(b) end,
  touched = function(b, _, pattern)
    for _, edit in ipairs(b.values.edits or {}) do if fits(edit, nil, pattern) then return true end end
    return false
  end,
}

-- ---- Versions, HTTP ----------------------------------------------------------------------------------------

impl["moonloom.Snapshot"] = {
  read = function(b) return make("moonloom.Doc", { id = b.values.doc_id, content = b.values.content }) end,
}

impl["moonloom.WebRequest"] = {
  json = function(b) return ml.json.decode(b.values.body or "") end,
  form = function(b)
    local out = {}
    local function plain(s) return (s:gsub("+", " "):gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)) end
    for key, value in (b.values.body or ""):gmatch("([^&=]+)=([^&]*)") do out[plain(key)] = plain(value) end
    return out
  end,
}

local function answering(fn)
  return function(b, self, ...)
    fn(b.record, ...)
    return self
  end
end

impl["moonloom.WebResponse"] = {
  status = answering(function(r, code) r.status = code end),
  header = answering(function(r, name, value) r.headers = r.headers or {} r.headers[name:lower()] = tostring(value) end),
  json = answering(function(r, value) r.json, r.body = value, ml.json.encode(value) end),
  text = answering(function(r, s) r.body = s end),
  redirect = answering(function(r, url) r.status, r.location = 303, url end),
  cookie = answering(function(r, name, value) r.cookies = r.cookies or {} r.cookies[name] = value end),
  stream = answering(function(r, fn)
    local pieces = {}
    fn(function(s) pieces[#pieces + 1] = s end)
    r.body = table.concat(pieces)
  end),
}

-- ---- The call ----------------------------------------------------------------------------------------------

-- Answers as data; what only `ml` makes keeps its kind.
local function plain(value, depth)
  local kind = parts.kind_of(value)
  if kind then
    local out = { kind = kind }
    for key, one in pairs(value) do out[key] = plain(one, 1).value end
    return { answer = out }
  end
  if type(value) ~= "table" then
    if type(value) == "function" or type(value) == "userdata" and value ~= null then return { odd = type(value) } end
    return { value = value }
  end
  if Hidden[value] then return { view = short(Hidden[value].class) } end
  if depth > 20 then return {} end
  value = parts.reveal(value)
  local out = {}
  for key, one in pairs(value) do
    local p = plain(one, depth + 1)
    out[key] = p.value ~= nil and p.value or p.answer or p.odd
  end
  return { value = out }
end

local function data(value)
  local p = plain(value, 0)
  if p.answer then return p end
  if p.value == nil then return { view = p.view, odd = p.odd } end
  return p
end

local self = parts.self
if request.state then for key, value in pairs(request.state) do self.state[key] = value end end

local fn, name = parts.plugin, "plugin"
for _, step in ipairs(request.path or {}) do
  if type(fn) ~= "table" then break end
  fn, name = fn[step], step
end

if request.what == "fakes" then
  local out = {}
  for class, methods in pairs(impl) do
    out[class] = {}
    for method in pairs(methods) do out[class][method] = true end
  end
  return { value = out }
end
-- A line of `moonloom plugin repl`: the code stands before this text, as a function.
if request.what == "eval" then
  local record = {}
  local doc = request.content and make("moonloom.Doc", { id = request.doc, content = request.content }, record) or nil
  local function pack(...) return { n = select("#", ...), ... } end
  local got = pack(pcall(parts.inside(eval_chunk), ml, self, parts.plugin, doc)) -- luacheck: ignore eval_chunk
  alive = false
  if not got[1] then return { failed = type(got[2]) == "string" and got[2] or "an error object of type " .. type(got[2]) } end
  local out = {}
  for i = 2, got.n do out[i - 1] = data(got[i]) end
  return { results = out, n = got.n - 1, ops = plain(record.ops or {}, 0).value }
end
if request.what == "config" then return { value = plain(self.config, 0).value } end
if request.what == "metrics" then return { value = plain(parts.metrics_of(request.name or self.name) or {}, 0).value } end
if request.what == "manifest" then return { value = plain(parts.manifest, 0).value } end
if request.what == "state" then return { value = plain(self.state, 0).value } end
if request.what == "has" then return { value = type(fn) == "function" } end
if type(fn) ~= "function" then error(("the plugin has no %s"):format(tostring(name)), 0) end

local args, records = {}, {}
for i, arg in ipairs(request.args or {}) do
  records[i] = arg.record or {}
  if arg.class then
    args[i] = make(arg.class, arg.values, records[i])
  else
    args[i] = arg.value
  end
end

-- The filters of the manifest keep a hook from being asked, as in the server.
local function contains(list, word, match)
  for _, one in ipairs(list) do if one == word or (match and word ~= nil and match(one, word)) then return true end end
  return false
end

local function edit_fits(filter, edit)
  if filter.kinds then
    local family = edit.kind:match("^(%a+)%.")
    if not contains(filter.kinds, edit.kind) and not (family and contains(filter.kinds, family)) then return false end
  end
  if filter.paths and edit.path ~= nil and not contains(filter.paths, edit.path, ml.path.match) then return false end
  return not filter.keys or edit.key == nil or contains(filter.keys, edit.key)
end

local function is_filtered(filter, values)
  if filter.min_bytes and (values.bytes or 0) < filter.min_bytes then return true end
  if filter.origins and not contains(filter.origins, values.origin or "client") then return true end
  if not (filter.kinds or filter.paths or filter.keys) then return false end
  for _, edit in ipairs(values.edits or { values }) do
    if edit.kind and edit_fits(filter, edit) then return false end
  end
  return true
end

local FILTERED = { before_update = true, authorize_edit = true, after_update = true, conflict = true }
local hook = request.path[1]
local declared = parts.manifest.hooks and parts.manifest.hooks[hook]
if FILTERED[hook] and declared and is_filtered(declared, request.args[1].values) then
  return { results = {}, records = records, took = 0, filtered = true }
end

local function pack(...) return { n = select("#", ...), ... } end

local from = parts.clock()
local got
if request.method then
  got = pack(pcall(fn, self, unpack(args, 1, request.nargs or #args)))
else
  got = pack(pcall(fn, unpack(args, 1, request.nargs or #args)))
end
local took = parts.clock() - from
alive = false
if not got[1] then
  local text = got[2]
  return { failed = type(text) == "string" and text or "an error object of type " .. type(text), took = took }
end
local out = {}
for i = 2, got.n do out[i - 1] = data(got[i]) end
for i, record in ipairs(records) do records[i] = plain(record, 0).value end
return { results = out, records = records, took = took }
