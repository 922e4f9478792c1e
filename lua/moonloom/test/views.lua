-- SPDX-License-Identifier: MIT
-- What hooks are given in specs of one hook: views of plain data, shaped by lua/moonloom/defs. A function
-- per view of the contract; each answers a table that a hook of t.instance takes, and that afterwards
-- carries what the plugin did to it (`u.replaced`, `u.undone`, `u.amended`, `labels`, `notified`).
local read = require "moonloom.defs.read"

local views = {}

-- ---- Shapes ---------------------------------------------------------------------------------------------------

local shapes

--- class → { fields = { name → true | class of a view }, methods = { name → true } }
function views.shapes()
  if shapes then return shapes end
  local all = read.all()
  shapes = {}
  for name, class in pairs(all.by_class) do
    local shape = { fields = {}, methods = {} }
    for _, field in ipairs(class.fields) do
      local inner = field.type:match("^(moonloom%.%a+)%f[%?|%z]")
      shape.fields[field.name] = inner and all.by_class[inner] and inner or true
    end
    for _, method in ipairs(class.methods) do shape.methods[method.name] = true end
    shapes[name] = shape
  end
  local web, request = shapes["moonloom.WebRequest"], shapes["moonloom.Request"]
  for name, kind in pairs(request.fields) do web.fields[name] = web.fields[name] or kind end
  return shapes
end

-- ---- Small things ---------------------------------------------------------------------------------------------

local function merged(given, defaults)
  local out = {}
  for key, value in pairs(defaults) do out[key] = value end
  for key, value in pairs(given or {}) do out[key] = value end
  return out
end

local function view(class, values)
  return { class = class, values = values }
end

local function len16(s)
  local n = 0
  for lead in s:gmatch("[^\128-\191]") do n = n + (lead:byte() >= 0xf0 and 2 or 1) end
  return n
end

-- A typing error in a spec is not a field that happens to be nil.
local function only(given, known, what)
  for key in pairs(given or {}) do
    if type(key) == "string" and not known[key] then error(("%s: unknown key '%s'"):format(what, key), 3) end
  end
end

local function words(list)
  local set = {}
  for word in list:gmatch("%S+") do set[word] = true end
  return set
end

-- The given fields of a class over its defaults. What the class does not have is a typing error.
local function shaped(class, what, given, defaults)
  local fields = views.shapes()[class].fields
  for key in pairs(given or {}) do
    if not fields[key] then
      local names = {}
      for name in pairs(fields) do names[#names + 1] = name end
      table.sort(names)
      error(("%s: unknown key '%s'; it takes %s"):format(what, tostring(key), table.concat(names, ", ")), 3)
    end
  end
  return merged(given, defaults)
end

-- ---- People and connections -------------------------------------------------------------------------------------

--- An identity; ana, a plain user without roles, unless something else is said.
function views.identity(given)
  return shaped("moonloom.Identity", "t.identity", given, { user = "ana", name = "Ana", roles = {}, groups = {}, kind = "user", session = "s-1" })
end

local function document(given, id, org)
  if type(given) == "string" then given = { id = given } end
  given = given or {}
  local known = words "id org seq bytes created_at labels epoch content sessions"
  local out = { id = given.id or id or "notes/1", org = given.org or org or "acme", seq = given.seq or 1, bytes = given.bytes or 0,
                created_at = given.created_at or 0, labels = given.labels or {}, epoch = given.epoch or 1, content = given.content,
                sessions = given.sessions }
  for key, value in pairs(given) do
    if not known[key] then -- { content = … } may be left out: roots are told from fields by their names
      out.content = out.content or {}
      out.content[key] = value
    end
  end
  return out
end

local function lowered(t)
  local out = {}
  for key, value in pairs(t or {}) do
    out[key] = value
    out[key:lower()] = value
  end
  return out
end

--- What `upgrade` and `authenticate` are given, and (with `params`, `body`, `identity`) routes.
function views.request(given)
  local values = shaped("moonloom.WebRequest", "t.request", given, { method = "GET", path = "/", ip = "127.0.0.1", host = "localhost", is_websocket = true, tls = false,
                                 query = {}, cookies = {}, params = {}, body = "" })
  values.headers = lowered(values.headers)
  return view("moonloom.Request", values)
end

--- What `authorize` is given; `identity = false`: nobody, which is a guest without a name.
function views.ask(given)
  local ask = shaped("moonloom.Ask", "t.ask", given, { action = "doc.open", org = "acme", doc_id = "notes/1" })
  if ask.identity == nil then ask.identity = views.identity() end
  ask.identity = ask.identity or views.identity { user = "", name = "", kind = "guest" }
  return view("moonloom.Ask", ask)
end

function views.session(given)
  local values = shaped("moonloom.Session", "t.session", given, { id = "s-1", ip = "127.0.0.1", client = { dialect = "y-websocket" }, labels = {} })
  if values.identity == nil then values.identity = views.identity() end
  return view("moonloom.Session", values)
end

function views.member(given)
  local values = shaped("moonloom.Member", "t.member", given, { labels = {}, resumed = false, missed = 0, grant = { read = true, write = true } })
  values.identity = views.identity(values.identity)
  values.session = values.session or { id = values.identity.session, identity = values.identity, labels = {} }
  values.doc = document(values.doc)
  return view("moonloom.Member", values)
end

function views.frame(given)
  local values = shaped("moonloom.Frame", "t.frame", given, { kind = "update", bytes = 20 })
  values.session = values.session or views.session().values
  return view("moonloom.Frame", values)
end

--- What `limits` is given is an identity; what `over_limit` is given:
function views.limit(given)
  local values = shaped("moonloom.Limit", "t.limit", given, { what = "updates", used = 31, limit = 30, scope = "session" })
  values.identity = values.identity or views.identity()
  return view("moonloom.Limit", values)
end

-- ---- Edits ------------------------------------------------------------------------------------------------------

local EDIT = words "kind path key index len text value before attrs block block_text author exact root client clock"
local KINDS = words [[text.insert text.delete text.format map.set map.delete array.insert array.delete xml.insert xml.delete
                      xml.attr subdoc]]

local function edit_of(given, i, what)
  local edit = { exact = true, client = 1, clock = i - 1, index = 0 }
  only(given, EDIT, what)
  for key, value in pairs(given) do if key ~= 1 then edit[key] = value end end
  edit.kind = given[1] or given.kind
  if not KINDS[edit.kind or ""] then error(("%s: '%s' is no kind of edit"):format(what, tostring(edit.kind)), 3) end
  edit.root = edit.root or (edit.path and edit.path:match("^[^/]*"))
  if not edit.len then
    edit.len = type(edit.text) == "string" and len16(edit.text)
      or edit.kind:find("delete", 1, true) and type(edit.before) == "string" and len16(edit.before) or 1
  end
  if edit.author then edit.author = views.identity(edit.author) end
  return edit
end

--- One edit, as `authorize_edit` is given it: { "map.set", path =, key =, value =, before = }.
function views.edit(given)
  local edit = edit_of(given, 1, "t.edit")
  edit.author = views.identity(edit.author)
  return view("moonloom.Edit", edit)
end

views.change = views.edit

local function value_bytes(value)
  if type(value) == "string" then return #value end
  if type(value) ~= "table" then return 8 end
  local n = 0
  for key, one in pairs(value) do n = n + #tostring(key) + value_bytes(one) end
  return n
end

local UPDATE = words "author origin org doc doc_id deleted bytes at labels member inserted inserted_bytes keys proposes"

--- An update: a list of edits ({ "text.insert", path =, text = }, { "map.set", path =, key =, value = }, …), and
--- author, origin, doc (a table of content, or fields of a document), deleted (units somebody else wrote).
function views.update(given)
  only(given, UPDATE, "t.update")
  local edits, inserted, bytes, deleted, keys = {}, 0, 0, given.deleted or 0, 0
  for i, one in ipairs(given) do
    local edit = edit_of(one, i, "t.update")
    edits[i] = edit
    if edit.kind:find("insert", 1, true) then
      inserted = inserted + edit.len
      bytes = bytes + (edit.text and #edit.text or value_bytes(edit.value))
    elseif edit.kind:find("delete", 1, true) then
      deleted = deleted + edit.len
    end
    if edit.kind == "map.set" or edit.kind == "xml.attr" then
      keys = keys + 1
      bytes = bytes + value_bytes(edit.value)
    end
  end
  if deleted > 0 and given.deleted then
    edits[#edits + 1] = { kind = "text.delete", exact = false, len = given.deleted, client = 2, clock = 0 }
  end
  local author = views.identity(given.author)
  local doc = document(given.doc, given.doc_id, given.org)
  return view("moonloom.Update", {
    author = author, origin = given.origin or "client", org = doc.org, doc = doc, edits = edits, labels = given.labels or {},
    proposes = given.proposes or false, member = { identity = author, session = author.session, doc = doc, labels = {}, grant = { read = true, write = true } },
    inserted = given.inserted or inserted, inserted_bytes = given.inserted_bytes or bytes, deleted = deleted, keys = given.keys or keys,
    bytes = given.bytes or 20 + bytes, at = given.at,
  })
end

local BATCH = words "org doc doc_id count bytes from_seq to_seq authors origins gap"

--- What `after_update` is told: facts, and a list of changes like the edits of t.update.
function views.batch(given)
  given = given or {}
  only(given, BATCH, "t.batch")
  local edits = {}
  for i, one in ipairs(given) do edits[i] = edit_of(one, i, "t.batch") end
  local doc = document(given.doc, given.doc_id, given.org)
  local from = given.from_seq or 1
  return view("moonloom.Batch", {
    doc = doc, org = doc.org, count = given.count or 1, bytes = given.bytes or 20, from_seq = from,
    to_seq = given.to_seq or from + (given.count or 1) - 1, authors = given.authors or { "ana" }, origins = given.origins or { "client" },
    gap = given.gap or false, edits = edits,
  })
end

-- ---- Conflicts --------------------------------------------------------------------------------------------------

local SIDE = words "value user name roles groups at seq based_on offline origin session deleted is_shared kind"

local function is_side(given)
  if type(given) ~= "table" or given[1] ~= nil then return false end
  local any = false
  for key in pairs(given) do
    if not SIDE[key] then return false end
    any = true
  end
  return any and (given.value ~= nil or given.deleted or given.user ~= nil or given.roles ~= nil)
end

local function side_of(given, user)
  if not is_side(given) then given = { value = given } end
  return {
    value = given.value, session = given.session or "s-" .. user, at = given.at or 0, seq = given.seq, based_on = given.based_on,
    offline = given.offline or false, origin = given.origin or "client", is_shared = given.is_shared or false,
    author = views.identity { user = given.user or user, name = given.name, roles = given.roles, groups = given.groups, kind = given.kind },
  }
end

local CONFLICT = words "kind path key block base current incoming natural exact now doc doc_id org"

--- What `conflict` is given. A side is a bare value or { value, user, roles, at, offline }.
function views.conflict(given)
  only(given, CONFLICT, "t.conflict")
  local base = given.base
  if type(base) ~= "table" or base.known == nil then base = { known = true, value = base } end
  local doc = document(given.doc, given.doc_id, given.org)
  return view("moonloom.Conflict", {
    kind = given.kind or "map", path = given.path or "", key = given.key, block = given.block, base = base,
    current = side_of(given.current, "ana"), incoming = side_of(given.incoming, "ben"), natural = given.natural or (given.kind == "block" and "both" or "incoming"),
    exact = given.exact ~= false, now = given.now or 0, doc = doc, org = doc.org,
  })
end

-- ---- Versions, caches, HTTP, work -------------------------------------------------------------------------------

--- A document that is not at hand, as `snapshot_policy` is given one.
function views.ref(given)
  return view("moonloom.Ref", merged(given, { org = "acme", id = "notes/1" }))
end

--- A document at hand: { content = { body = "text", meta = { title = "x" } } }, or the roots themselves.
function views.doc(given) return view("moonloom.Doc", document(given)) end

--- A document about to be made.
function views.new_document(given)
  local values = merged(given, { id = "notes/1", labels = {} })
  if values.identity == nil then values.identity = views.identity() end
  return view("moonloom.NewDocument", values)
end

--- One version, or one that is due.
function views.snapshot(given)
  return view("moonloom.Snapshot", merged(given, { id = "1", name = "000001-20260101T000000Z", version = 1, seq = 1, bytes = 100, labels = {},
    at = 0, pinned = false, ops = 1, age = 1, idle = 1, authors = { "ana" }, trigger = "ops" }))
end

--- What `retain` is given: a list of versions, newest first, and doc_id, held.
function views.snapshots(given)
  local list = {}
  for i, one in ipairs(given or {}) do list[i] = views.snapshot(one).values end
  return view("moonloom.Retention", { doc_id = given and given.doc_id or "notes/1", snapshots = list, held = given and given.held or false })
end

function views.compaction(given)
  return view("moonloom.Compaction", merged(given, { journal_bytes = 1000, journal_rows = 10, safe_seq = 10, history_wanted = false }))
end

--- What `cache_control` is given.
function views.response(given)
  return view("moonloom.Response", merged(given, { route = "doc", method = "GET", status = 200, is_api = false, has_cookie = false,
    authenticated = false, doc_id = "notes/1", content_type = "text/html" }))
end

function views.asset(given)
  return view("moonloom.Asset", merged(given, { doc_id = "notes/1", snapshot = "000001", file = "index.html", hash = "abc123" }))
end

function views.purge(given)
  return view("moonloom.Purge", merged(given, { keys = {}, urls = {}, prefixes = {}, reason = "published", urgent = false }))
end

--- A cursor, as `awareness` is given it.
function views.presence(given)
  local values = merged(given, { state = {}, client = 1, doc_id = "notes/1" })
  values.identity = views.identity(values.identity)
  return view("moonloom.Presence", values)
end

function views.message(given)
  local values = merged(given, { topic = "chat", payload = "hi" })
  values.identity = views.identity(values.identity)
  values.doc = document(values.doc)
  return view("moonloom.Message", values)
end

--- A call of an rpc.
function views.call(given)
  local values = merged(given, { args = {} })
  values.identity = views.identity(values.identity)
  values.session = values.session or views.session { identity = values.identity }.values
  if values.doc then
    values.doc = document(values.doc)
    values.grant = merged(values.grant, { read = true, write = true, presence = true, messages = true, history = true })
  end
  return view("moonloom.Call", values)
end

function views.job(given) return view("moonloom.Job", merged(given, { id = "job-1", try = 1, queued_at = 0 })) end
function views.run(given) return view("moonloom.Run", merged(given, { at = 0 })) end

function views.placement(given)
  return view("moonloom.Placement", merged(given, { org = "acme", doc_id = "notes/1", region = "eu", pools = { "a", "b" } }))
end

function views.event(given) return view("moonloom.ClusterEvent", merged(given, { kind = "node_up", node = "b" })) end
function views.org(given) return view("moonloom.Org", merged(given, { id = "acme", labels = {} })) end

return views
