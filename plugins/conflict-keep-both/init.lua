-- Two people set the same key at once: one value stands, the other is kept in a list beside it, until somebody picks one or its
-- time is over.
local ml = require "moonloom"
local KeepBoth = { rpc = {} }

local PLACES_MAX, TOLD_MAX = 10000, 64

function KeepBoth:setup() self.state.paths = ml.glob.set(self.config.paths) end

-- ---- Where the lists are ------------------------------------------------------------------------------------------------

-- Beside a key the list is in the same map; beside an attribute it is a root.
local function list_beside(self, path) return path .. "/" .. ml.path.join(self.config.key) end

local function read(doc, path)
  local list = doc:get(path)
  return type(list) == "table" and list or {}
end

local function is_entry(entry) return type(entry) == "table" and type(entry.id) == "string" and type(entry.path) == "string" end

-- Whose time is not over at `now`.
local function living(self, list, now)
  local count = 0
  for _, entry in ipairs(list) do
    if not is_entry(entry) or type(entry.at) ~= "number" or entry.at > now - self.config.ttl then count = count + 1 end
  end
  return count
end

function KeepBoth:conflict(c)
  if c.key == self.config.key or not self.state.paths:match(c.path) then return nil end
  local path = c.kind == "attr" and ml.path.join(self.config.key) or list_beside(self, c.path)
  if living(self, read(c.doc, path), c.now) >= self.config.max then return nil end
  return ml.keep_both(self.config.key)
end

-- ---- What is over goes --------------------------------------------------------------------------------------------------

-- Takes entries out of a list; answers how many.
local function remove(tx, path, list, is_wanted)
  local count = 0
  for i = #list, 1, -1 do
    if is_entry(list[i]) and is_wanted(list[i]) then
      tx:array(path):delete(i - 1, 1)
      count = count + 1
    end
  end
  return count
end

local function tidy(self, doc, paths)
  local over, now = {}, ml.time.now()
  for path in pairs(paths) do
    local list = read(doc, path)
    if living(self, list, now) < #list then over[path] = list end
  end
  if not next(over) then return end
  doc:transact(function(tx)
    for path, list in pairs(over) do
      remove(tx, path, list, function(entry) return type(entry.at) == "number" and entry.at <= now - self.config.ttl end)
    end
  end, { reason = "kept for long enough" })
end

-- Lists that there may be: `*` stands for the keys that are there; behind `**` nobody looks.
local function lists_of(self, doc)
  local out, count = { [ml.path.join(self.config.key)] = true }, 0
  local function expand(path, rest)
    count = count + 1
    if count > PLACES_MAX then return end
    local segment = rest[1]
    if not segment then
      if type(doc:get(path)) == "table" then out[list_beside(self, path)] = true end
      return
    end
    local deeper = { unpack(rest, 2) }
    if segment:find("**", 1, true) then return end
    if not segment:find("*", 1, true) then
      local name = path == "" and segment or path .. "/" .. segment
      return expand(name, deeper)
    end
    local value = path ~= "" and doc:get(path)
    if type(value) ~= "table" then return end
    for key in pairs(value) do
      if type(key) == "string" then expand(path .. "/" .. ml.path.join(key), deeper) end
    end
  end
  for _, pattern in ipairs(self.config.paths) do
    local rest = {}
    for segment in pattern:gmatch "[^/]+" do rest[#rest + 1] = segment end
    expand("", rest)
  end
  return out
end

function KeepBoth:document_loaded(doc) tidy(self, doc, lists_of(self, doc)) end

-- ---- Both are told ------------------------------------------------------------------------------------------------------

-- Entries that came with a change, and the list they are in.
local function entries_in(self, change)
  local key = self.config.key
  if change.kind == "map.set" and change.key == key then return change.value, change.path .. "/" .. ml.path.join(key) end
  local last = ml.path.join(key)
  if change.kind == "array.insert" and (change.path == last or change.path:sub(-#last - 1) == "/" .. last) then
    return change.value, change.path
  end
end

local function look(self, batch)
  local lists, told = {}, {}
  for change in batch:changes() do
    local entries, path = entries_in(self, change)
    if type(entries) == "table" then
      lists[path] = true
      for _, entry in ipairs(entries) do
        if is_entry(entry) and self.state.paths:match(entry.path) and #told < TOLD_MAX then told[#told + 1] = entry end
      end
    end
  end
  return lists, told
end

local function tell(user, doc, entry, stands)
  if type(user) ~= "string" or user == "" then return end
  ml.sessions.notify { user = user, doc = doc, code = "conflict",
                       data = { id = entry.id, path = entry.path, key = entry.key, stands = stands } }
end

function KeepBoth:after_update(batch)
  local lists, told = look(self, batch)
  local id = batch.doc.id
  if next(lists) then tidy(self, batch.doc, lists) end
  if not self.config.notify then return end
  for _, entry in ipairs(told) do
    tell(entry.author, id, entry, false)
    if entry.against ~= entry.author then tell(entry.against, id, entry, true) end
  end
end

-- ---- Somebody picks one -------------------------------------------------------------------------------------------------

local function find(list, wanted)
  for _, entry in ipairs(list) do if is_entry(entry) and wanted(entry) then return entry end end
end

local function put(tx, entry, is_attribute)
  local is_gone = entry.value == nil or entry.value == ml.null
  if is_attribute then
    local element = tx:xml(entry.path)
    if is_gone then element:remove_attr(entry.key) else element:attr(entry.key, entry.value) end
  else
    local map = tx:map(entry.path)
    if is_gone then map:delete(entry.key) else map:set(entry.key, entry.value) end
  end
end

KeepBoth.rpc["conflict.keep"] = function(self, call)
  if not self.config.resolve_rpc then return ml.deny("off", "Conflicts are not resolved by calls here.") end
  local args, doc = call.args, call.doc
  local keeps_current = args.id == "current"
  if keeps_current and not args.key then return ml.deny("no_key", "Which key? Give `key` to keep what stands.") end
  local function is_it(entry) return entry.path == args.path and (keeps_current and entry.key == args.key or entry.id == args.id) end
  for _, path in ipairs { list_beside(self, args.path), ml.path.join(self.config.key) } do
    local list = read(doc, path)
    local entry = find(list, is_it)
    if entry then
      local is_attribute, count = path == ml.path.join(self.config.key), 0
      doc:transact(function(tx)
        if not keeps_current then put(tx, entry, is_attribute) end
        count = remove(tx, path, list, function(one) return one.path == entry.path and one.key == entry.key end)
      end, { reason = "a conflict was resolved" })
      return { count = count, key = entry.key }
    end
  end
  return { count = 0 }
end

return KeepBoth
