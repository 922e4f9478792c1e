-- Who writes in a paragraph takes it for a while; the edits of others in it are taken back, or become suggestions. Who wants it
-- for longer takes it by a call: then it stands in the document, in the map `locks`.
local ml = require "moonloom"
local blocks = require "paragraph-lock.lib.blocks"
local Lock = { rpc = {} }

local LOCKS_MAX = 10000

function Lock:setup()
  self.state.docs, self.state.count = {}, 0
  self.state.seats, self.state.seat_count = {}, 0
end

local function may_override(self, author)
  for _, role in ipairs(self.config.override) do if author:has_role(role) then return true end end
  return false
end

local function is_watched(self, path)
  for _, pattern in ipairs(self.config.paths) do if ml.path.match(pattern, path) then return true end end
  return false
end

-- Forget what is over; if that is not enough, everything: a lock is a courtesy, memory is not.
local function tidy(state, now)
  if state.count < LOCKS_MAX then return end
  local count = 0
  for id, taken in pairs(state.docs) do
    for block, lock in pairs(taken) do
      if lock.ends <= now then taken[block] = nil else count = count + 1 end
    end
    if not next(taken) then state.docs[id] = nil end
  end
  if count >= LOCKS_MAX then state.docs, count = {}, 0 end
  state.count = count
end

-- ---- Locks that somebody has taken by a call ------------------------------------------------------------------------------

local function is_lock(value) return type(value) == "table" and type(value.user) == "string" and type(value.ends) == "number" end

local function manual(self, doc, block, now)
  local lock = self.config.manual and doc:map(self.config.store):get(block)
  return is_lock(lock) and lock.ends > now and lock or nil
end

-- What stands in the map may be changed by everybody only as the calls would: one's own, of a time that is over, or a boss.
local function guard_store(self, u, e, user, now)
  local old, new = u.doc:map(self.config.store):get(e.key or ""), nil
  local is_free = not is_lock(old) or old.ends <= now or old.user == user
  if e.kind == "map.set" then new = e.value end
  local is_honest = e.kind == "map.delete" or is_lock(new) and new.user == user and new.ends <= now + self.config.manual_ttl + 1
  if e.path ~= self.config.store or not e.key or not is_free or not is_honest then
    u:undo(e, "not_yours", "This lock is somebody else's.")
  end
end

-- ---- Writing --------------------------------------------------------------------------------------------------------------

local function taken_in(state, id)
  local taken = state.docs[id]
  if not taken then
    taken = {}
    state.docs[id] = taken
  end
  return taken
end

local function take(state, id, block, user, name, ends)
  local taken = taken_in(state, id)
  if not taken[block] then state.count = state.count + 1 end
  taken[block] = { user = user, name = name, ends = ends }
end

-- Who else has one of these blocks: a lock, or nil.
local function held_by_other(self, u, names, user, now)
  local taken = self.state.docs[u.doc.id] or {}
  for _, block in pairs(names) do
    local lock = manual(self, u.doc, block, now)
    if lock and lock.user ~= user then return lock end
    lock = not lock and taken[block] or nil
    if lock and lock.ends > now and lock.user ~= user then return lock end
  end
end

local function refuse(self, u, e, lock)
  local reason = type(lock.reason) == "string" and lock.reason ~= "" and lock.reason or nil
  local name = type(lock.name) == "string" and lock.name or lock.user
  local text = reason and ("%s has locked this: %s"):format(name, reason) or ("%s is writing in this paragraph."):format(name)
  if self.config.mode == "suggest" then u:only_propose(e, "locked", text) else u:undo(e, "locked", text) end
end

function Lock:before_update(u)
  local state, now, user = self.state, ml.time.now(), u.author.user
  local boss = may_override(self, u.author)
  local fresh = {}
  tidy(state, now)
  for e in u:edits() do
    if e.root == self.config.store and self.config.manual then
      if not boss then guard_store(self, u, e, user, now) end
    elseif is_watched(self, e.path) and e.kind:sub(1, 4) ~= "map." then
      local names = blocks.of(self.config.block, u.doc, e, fresh)
      local other = not boss and held_by_other(self, u, names, user, now)
      if other then
        refuse(self, u, e, other)
      elseif e.kind ~= "xml.delete" then
        for _, block in pairs(names) do take(state, u.doc.id, block, user, u.author.name or user, now + self.config.ttl) end
      end
    end
  end
end

-- ---- Who has what is shown ------------------------------------------------------------------------------------------------

function Lock:awareness(a)
  local list, ends, now, user = {}, nil, ml.time.now(), a.identity.user
  if self.config.show then
    for block, lock in pairs(self.state.docs[a.doc_id] or {}) do
      if lock.user == user and lock.ends > now then
        list[#list + 1] = block
        ends = math.max(ends or 0, lock.ends)
      end
    end
  end
  if #list == 0 and a.state.locked_by == nil then return nil end
  local state = a.state
  table.sort(list)
  state.locked_by = #list > 0 and { user = user, name = a.identity.name, blocks = list, ends = ends } or nil
  return state
end

-- ---- Who leaves gives back what is theirs, with the last of their windows --------------------------------------------------

local SEATS_MAX = 10000

local function seat_of(member) return member.doc.id .. "\0" .. member.identity.user end

function Lock:joined(member)
  local state, seat = self.state, seat_of(member)
  if state.seat_count >= SEATS_MAX then state.seats, state.seat_count = {}, 0 end
  if not state.seats[seat] then state.seat_count = state.seat_count + 1 end
  state.seats[seat] = (state.seats[seat] or 0) + 1
end

function Lock:left(member)
  local state, seat = self.state, seat_of(member)
  local windows = (state.seats[seat] or 1) - 1
  if windows > 0 then
    state.seats[seat] = windows
    return
  end
  if state.seats[seat] then state.seats[seat], state.seat_count = nil, state.seat_count - 1 end
  if self.config.on_disconnect == "keep" then return end
  local taken = state.docs[member.doc.id] or {}
  for block, lock in pairs(taken) do
    if lock.user == member.identity.user then taken[block], state.count = nil, state.count - 1 end
  end
  if not next(taken) then state.docs[member.doc.id] = nil end
end

-- ---- By hand --------------------------------------------------------------------------------------------------------------

-- The block that a call is about, or nil and a denial.
local function block_of(self, call)
  if not self.config.manual then return nil, ml.deny("off", "Nothing is locked by calls here.") end
  local args = call.args
  if not args.block and not args.path then return nil, ml.deny("no_block", "Which one? Give `path` or `block`.") end
  if args.path and not is_watched(self, args.path) then return nil, ml.deny("no_block", "Nothing is locked there.") end
  local block = args.block or blocks.at(self.config.block, call.doc, args.path)
  if not block then return nil, ml.deny("no_block", "There is no such block.") end
  return block
end

local function denied(lock)
  return ml.deny("locked", ("%s has locked this."):format(type(lock.name) == "string" and lock.name or lock.user))
end

Lock.rpc["lock.take"] = function(self, call)
  local block, denial = block_of(self, call)
  if denial then return denial end
  local now, who, store = ml.time.now(), call.identity, self.config.store
  local lock = manual(self, call.doc, block, now)
  if lock and lock.user ~= who.user and not may_override(self, who) then return denied(lock) end
  local ends = math.floor(now) + self.config.manual_ttl
  call.doc:transact(function(tx)
    for name, one in call.doc:map(store):each() do
      local is_mine = is_lock(one) and one.ends <= now and name ~= block
      if is_mine then tx:map(store):delete(name) end
    end
    tx:map(store):set(block, { user = who.user, name = who.name, reason = call.args.reason, at = math.floor(now), ends = ends })
  end, { reason = "locked" })
  return { block = block, ends = ends }
end

Lock.rpc["lock.release"] = function(self, call)
  local block, denial = block_of(self, call)
  if denial then return denial end
  local lock = call.doc:map(self.config.store):get(block)
  if not is_lock(lock) then return { block = block, released = false } end
  local is_over = lock.ends <= ml.time.now()
  if lock.user ~= call.identity.user and not is_over and not may_override(self, call.identity) then return denied(lock) end
  call.doc:transact(function(tx) tx:map(self.config.store):delete(block) end, { reason = "released" })
  return { block = block, released = true }
end

return Lock
