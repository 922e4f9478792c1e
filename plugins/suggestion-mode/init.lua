-- What a suggester types gets the format `insertion`, what a suggester deletes comes back with the format `deletion`. Others
-- accept (the marks go, what is struck goes) or reject (what was typed goes, the marks go).
--
--   before    pay  on Monday                      its author has deleted "Monday" and typed "Tuesday"
--   after     pay  on [Monday][Tuesday]           deletion, insertion: one suggestion, one id
local ml = require "moonloom"
local found = require "suggestion-mode.lib.found"
local runs = require "suggestion-mode.lib.runs"

local Suggest = { rpc = {} }

local EXCERPT = 120 -- units

local function has_any(author, roles)
  for _, role in ipairs(roles) do if author:has_role(role) then return true end end
  return false
end

-- Who may only propose does, whatever their roles are called.
local function suggests(self, u)
  if u.proposes then return true end
  return has_any(u.author, self.config.roles) and not has_any(u.author, self.config.accept)
end

local function is_watched(self, path)
  for _, pattern in ipairs(self.config.paths) do if ml.path.match(pattern, path) then return true end end
  return false
end

local function seconds() return math.floor(ml.time.now() * 1000) / 1000 end

local function is_own(mark, user) return type(mark) == "table" and mark.author == user end

-- ---- What came ----------------------------------------------------------------------------------------------------------

local SORRY = "Only text can be suggested: formats, paragraphs and everything else stay as they are."

-- A text that comes into an element that is empty: how editors type into an empty paragraph.
local function is_first_text(u, e) return e.kind == "xml.insert" and not e.tag and #u.doc:xml(e.path):children() == 0 end

-- { [path] = { before = runs, comes = { { from, to } }, goes = { { index, len, at } } } }, or nil and why not.
local function look(self, u)
  local texts, fresh, any = {}, {}, false
  for e in u:edits() do
    if is_watched(self, e.path) then
      any = true
      local is_text = not e.key and (e.kind == "text.insert" or e.kind == "text.delete" or e.kind == "text.format")
      if is_first_text(u, e) and not fresh[e.path .. "/0"] then
        fresh[e.path .. "/0"] = true
      elseif not is_text then
        return nil, "not_a_suggestion"
      else
        local text = texts[e.path]
        if not text then
          text = { before = fresh[e.path] and {} or runs.of(u.doc:text(e.path):delta()), comes = {}, goes = {} }
          texts[e.path] = text
        end
        if e.kind == "text.insert" then
          text.comes[#text.comes + 1] = { from = e:anchor(), to = e:anchor "end" }
        elseif e.kind == "text.delete" then
          text.goes[#text.goes + 1] = { index = e.index, len = e.len, at = e:anchor() }
        end
      end
      u:propose(e)
    end
  end
  return any and texts or nil
end

-- ---- What becomes of it -------------------------------------------------------------------------------------------------

-- What stands to the left and right of a place, of this user: a mark.
local function beside(list, from, to, user)
  for _, index in ipairs { from - 1, to } do
    local attrs = index >= 0 and runs.attrs_at(list, index) or {}
    if is_own(attrs.insertion, user) then return attrs.insertion end
    if is_own(attrs.deletion, user) then return attrs.deletion end
  end
end

local Work = {}
Work.__index = Work

function Work:entry(id)
  local entry = type(id) == "string" and self.doc:map(self.store):get(id) or nil
  return type(entry) == "table" and entry.id == id and entry.author == self.user and entry or nil
end

-- Is a mark of this user one to go on with at this place? In the middle of it, or a moment after it was written on.
function Work:goes_on(list, from, to, mark)
  local entry = self:entry(mark.id)
  if not entry then return false end
  local left, right = runs.attrs_at(list, from - 1).insertion, runs.attrs_at(list, to).insertion
  local is_inside = type(left) == "table" and type(right) == "table" and left.id == mark.id and right.id == mark.id
  return is_inside or self.now - (entry.updated or entry.at) <= self.window
end

-- Of this burst: the mark that is beside the place; nil: a new one.
function Work:mark_beside(list, from, to)
  local mark = beside(list, from, to, self.user)
  return mark and self:goes_on(list, from, to, mark) and mark or nil
end

function Work:new_mark()
  local open = 0
  for _, entry in self.doc:map(self.store):each() do
    if type(entry) == "table" and entry.id and entry.path then open = open + 1 end
  end
  if open >= self.max_open then return nil end
  return { id = "s_" .. ml.crypto.uuid7(), author = self.user, at = self.now }
end

-- The mark for all that comes to this text; nil: there are too many suggestions.
function Work:mark_for(list, places)
  for _, place in ipairs(places) do
    local mark = self:mark_beside(list, place.from, place.to)
    if mark then return mark end
  end
  return self:new_mark()
end

-- Where everything is now: list of { from, to [, pieces] } by place. `pieces`: to be brought back there.
function Work:places(text)
  local out = {}
  for _, range in ipairs(text.comes) do
    local from, to = self.doc:position(range.from), self.doc:position(range.to)
    if from and to and from < to then out[#out + 1] = { from = from, to = to } end
  end
  for _, range in ipairs(text.goes) do
    local at, pieces = self.doc:position(range.at), {}
    for _, piece in ipairs(runs.slice(text.before, range.index, range.len)) do
      if not is_own(piece.attrs.insertion, self.user) then pieces[#pieces + 1] = piece end
    end
    if at and #pieces > 0 then out[#out + 1] = { from = at, to = at, pieces = pieces, order = range.index } end
  end
  -- From the end, so that places in front stay where they are; of the same place what comes back goes before what came.
  table.sort(out, function(a, b)
    if a.from ~= b.from then return a.from > b.from end
    if (a.pieces ~= nil) ~= (b.pieces ~= nil) then return b.pieces ~= nil end
    return (a.order or a.to) > (b.order or b.to)
  end)
  return out
end

-- Somebody types what they have just struck, or undoes the deletion in the editor: then it was none.
function Work:takes_back(list, place)
  local text, len = runs.text(runs.slice(list, place.from, place.to - place.from)), place.to - place.from
  for _, from in ipairs { place.from - len, place.to } do
    local struck = from >= 0 and runs.slice(list, from, len) or {}
    local is = #struck > 0 and runs.text(struck) == text
    for _, run in ipairs(struck) do is = is and run.text ~= nil and is_own(run.attrs.deletion, self.user) and not run.attrs.insertion end
    if is then return from end
  end
end

local function bring_back(handle, place, mark)
  for i = #place.pieces, 1, -1 do
    local piece = place.pieces[i]
    local attrs = runs.without(piece.attrs)
    if not attrs.deletion then attrs.deletion = mark end
    if piece.text then handle:insert(place.from, piece.text, attrs) else handle:embed(place.from, piece.embed, attrs) end
  end
end

-- Marks what came, in pieces where its author's own client has marked some of it already.
function Work:mark_what_came(handle, list, place, mark)
  local at = place.from
  for _, run in ipairs(runs.slice(list, place.from, place.to - place.from)) do
    local own = self:is_marked(list, place, run)
    if not own then handle:format(at, run.len, { insertion = mark, deletion = ml.null }) end
    if own and run.attrs.deletion then handle:format(at, run.len, { deletion = ml.null }) end
    at = at + run.len
  end
end

-- Does a run that came carry the right mark already? Of a suggestion that goes on, or a new one that the client has named.
function Work:is_marked(list, place, run)
  local mark = run.attrs.insertion
  local id = is_own(mark, self.user) and mark.id
  if type(id) ~= "string" or not id:find "^[%w_-]+$" or #id > 64 then return false end
  return self.doc:map(self.store):get(id) == nil or self:goes_on(list, place.from, place.to, mark)
end

-- Does any of it need a mark of ours?
function Work:needs_mark(list, place)
  if place.pieces then
    for _, piece in ipairs(place.pieces) do if not piece.attrs.deletion then return true end end
    return false
  end
  for _, run in ipairs(runs.slice(list, place.from, place.to - place.from)) do
    if not self:is_marked(list, place, run) then return true end
  end
  return false
end

-- What was there and stays gets back the formats that it had: an end of a mark that came with typed text may reach further than
-- its writer has seen. False: formats are all that this is about.
function Work:keep_formats(handle, list, text)
  local comes, goes, is_kept = {}, {}, true
  for _, range in ipairs(text.comes) do
    local from, to = self.doc:position(range.from), self.doc:position(range.to)
    if from and to and from < to then comes[#comes + 1] = { from = from, to = to } end
  end
  for _, range in ipairs(text.goes) do goes[#goes + 1] = { from = range.index, to = range.index + range.len } end
  runs.side_by_side(runs.outside(text.before, goes), runs.outside(list, comes), function(before, now, from, len)
    if is_own(before.attrs.insertion, self.user) then return end
    local wanted = before.attrs
    local is_mine = not wanted.deletion or is_own(wanted.deletion, self.user)
    if is_mine and (not now.attrs.deletion or is_own(now.attrs.deletion, self.user)) then
      wanted = runs.without(wanted, "deletion")
      wanted.deletion = now.attrs.deletion
    end
    local change = runs.change(now.attrs, wanted)
    if not change then return end
    if #comes + #goes == 0 then is_kept = false else handle:format(from, len, change) end
  end)
  return is_kept
end

--- Nil, or a denial.
function Work:text(path, text)
  local handle, list, mark = self.tx:text(path), runs.of(self.doc:text(path):delta()), nil
  if not self:keep_formats(handle, list, text) then return ml.deny("not_a_suggestion", SORRY) end
  list = runs.of(self.doc:text(path):delta())
  local places = self:places(text)
  local wanted = {}
  for _, place in ipairs(places) do
    place.back = not place.pieces and self:takes_back(list, place) or nil
    if not place.back and self:needs_mark(list, place) then wanted[#wanted + 1] = place end
  end
  if #wanted > 0 then
    mark = self:mark_for(list, wanted)
    if not mark then
      return ml.deny("too_many", ("There are %d open suggestions already: accept or reject some first."):format(self.max_open))
    end
  end
  for _, place in ipairs(places) do
    if place.pieces then
      bring_back(handle, place, mark)
    elseif place.back then
      handle:format(place.back, place.to - place.from, { deletion = ml.null })
      handle:delete(place.from, place.to - place.from)
    else
      self:mark_what_came(handle, list, place, mark)
    end
  end
end

-- ---- The list -----------------------------------------------------------------------------------------------------------

local function excerpt(pieces) return #pieces > 0 and ml.text.truncate(table.concat(pieces), EXCERPT) or nil end

local function ids_in(list, user, into)
  for _, run in ipairs(list) do
    for _, kind in ipairs { "insertion", "deletion" } do
      if is_own(run.attrs[kind], user) and type(run.attrs[kind].id) == "string" then into[run.attrs[kind].id] = true end
    end
  end
  return into
end

function Work:list_one(path, list, id)
  local map, entry = self.tx:map(self.store), self:entry(id)
  local added, removed = {}, {}
  local at = self.now
  for _, run in ipairs(list) do
    if found.has(run, "insertion", id) then added[#added + 1] = run.text or "" at = run.attrs.insertion.at or at end
    if found.has(run, "deletion", id) then removed[#removed + 1] = run.text or "" at = run.attrs.deletion.at or at end
  end
  if #added + #removed == 0 then
    if entry and #found.places(self.doc, { entry }) == 0 then map:delete(id) end
    return
  end
  local kind = #removed == 0 and "insertion" or #added == 0 and "deletion" or "replacement"
  map:set(id, { id = id, author = self.user, name = self.name, kind = kind, path = path, excerpt = excerpt(#added > 0 and added or removed),
                removed = kind == "replacement" and excerpt(removed) or nil, at = entry and entry.at or at, updated = self.now })
end

-- What would be there if all of this user's suggestions were rejected.
local function without_own(list, user)
  return runs.shown(list, function(run)
    if is_own(run.attrs.insertion, user) then return nil end
    return is_own(run.attrs.deletion, user) and runs.without(run.attrs, "deletion") or run.attrs
  end)
end

-- What of a text carries one id.
local function only(list, id)
  return runs.shown(list, function(run) return (found.has(run, "insertion", id) or found.has(run, "deletion", id)) and run.attrs or nil end)
end

function Work:finish(path, text)
  local list = runs.of(self.doc:text(path):delta())
  if without_own(list, self.user) ~= without_own(text.before, self.user) then return false end
  for id in pairs(ids_in(list, self.user, ids_in(text.before, self.user, {}))) do
    if only(text.before, id) ~= only(list, id) then self:list_one(path, list, id) end
  end
  return true
end

-- ---- Hooks --------------------------------------------------------------------------------------------------------------

-- Somebody accepts or rejects: `resolve` below writes { resolved = true } in the place of each entry. Two who do it at once
-- come one after the other here, where what stands in the list is what stands: the second is refused, all of it.
local function settle_entries(self, u)
  local store, ids = self.config.store, {}
  for e in u:edits("map.set", store) do
    local value, before = e.value, e.before
    if e.path == store and type(value) == "table" and value.resolved then
      if type(before) ~= "table" or before.resolved then
        return ml.deny("settled", "Somebody else has accepted or rejected this at the same moment.")
      end
      ids[#ids + 1] = e.key
    end
  end
  if #ids == 0 then return end
  u:amend(function(tx)
    for _, id in ipairs(ids) do tx:map(store):delete(id) end
  end)
end

function Suggest:before_update(u)
  if not suggests(self, u) then return settle_entries(self, u) end
  local texts, why = look(self, u)
  if why then return ml.deny(why, SORRY) end
  if not texts then return end
  local user, name, config = u.author.user, u.author.name, self.config
  u:amend(function(tx, doc)
    local work = setmetatable({ tx = tx, doc = doc, user = user, name = name, now = seconds(), store = config.store,
                                window = config.merge_window, max_open = config.max_open }, Work)
    for path, text in pairs(texts) do
      local denial = work:text(path, text)
      if denial then return denial end
      if not work:finish(path, text) then return ml.deny("not_a_suggestion", SORRY) end
    end
  end)
end

local function open_ones(doc, store, author)
  local out = {}
  for id, entry in doc:map(store):each() do
    local is_one = type(entry) == "table" and entry.id == id and type(entry.path) == "string"
    if is_one and (not author or entry.author == author) then out[#out + 1] = entry end
  end
  return out
end

-- Somebody has deleted something: is there a suggestion whose text is gone?
function Suggest:after_update(batch)
  local doc, store, there, gone = batch.doc, self.config.store, {}, {}
  local entries = open_ones(doc, store)
  if #entries == 0 then return end
  for _, place in ipairs(found.places(doc, entries)) do there[place.id] = true end
  for _, entry in ipairs(entries) do if not there[entry.id] and not entry.detached then gone[#gone + 1] = entry end end
  if #gone == 0 then return end
  doc:transact(function(tx)
    for _, entry in ipairs(gone) do
      if self.config.on_source_deleted == "drop" then
        tx:map(store):delete(entry.id)
      else
        entry.detached = true
        tx:map(store):set(entry.id, entry)
      end
    end
  end, { reason = "the place of a suggestion is gone" })
end

-- ---- Accepting, rejecting -----------------------------------------------------------------------------------------------

local function may_accept(self, call)
  for _, role in ipairs(self.config.accept) do
    if call.identity:has_role(role) then return true end
    -- Who may write everywhere is an editor of this document, whatever the org says.
    if role == "editor" and call.grant.everywhere then
      for _, suggester in ipairs(self.config.roles) do if call.identity:has_role(suggester) then return false end end
      return true
    end
  end
  return false
end

-- One after the other, from the end of each text.
local function settle(tx, places, accepts)
  for i = #places, 1, -1 do
    local place = places[i]
    local handle = tx:text(place.path)
    if (place.kind == "insertion") == accepts then
      handle:format(place.from, place.len, { [place.kind] = ml.null })
    else
      handle:delete(place.from, place.len)
    end
  end
end

-- Two marks on the same units: what is deleted for one has no mark left to lose for the other.
local function tidied(places, accepts)
  local deleted, out = {}, {}
  local function key(place) return place.path .. "\0" .. place.from end
  for _, place in ipairs(places) do if (place.kind == "insertion") ~= accepts then deleted[key(place)] = true end end
  for _, place in ipairs(places) do
    if (place.kind == "insertion") ~= accepts or not deleted[key(place)] then out[#out + 1] = place end
  end
  return out
end

local function resolve(self, call, entries, accepts)
  if not may_accept(self, call) then return ml.deny("not_allowed", "You may not accept or reject suggestions here.") end
  local ids = ml.array {}
  if #entries > 0 then
    local places = tidied(found.places(call.doc, entries), accepts)
    call.doc:transact(function(tx)
      settle(tx, places, accepts)
      for _, entry in ipairs(entries) do tx:map(self.config.store):set(entry.id, { id = entry.id, resolved = true }) end
    end, { reason = accepts and "accepted" or "rejected" })
    for i, entry in ipairs(entries) do ids[i] = entry.id end
  end
  return { count = #ids, ids = ids }
end

local function one(self, call)
  local entry = call.doc:map(self.config.store):get(call.args.id)
  return type(entry) == "table" and entry.id == call.args.id and type(entry.path) == "string" and { entry } or {}
end

Suggest.rpc["suggest.accept"] = function(self, call) return resolve(self, call, one(self, call), true) end
Suggest.rpc["suggest.reject"] = function(self, call) return resolve(self, call, one(self, call), false) end
Suggest.rpc["suggest.accept_all"] = function(self, call)
  return resolve(self, call, open_ones(call.doc, self.config.store, call.args.author), true)
end

return Suggest
