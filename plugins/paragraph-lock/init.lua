-- plugins/paragraph-lock/init.lua: who writes in a paragraph takes it for a while; the edits of others in it are taken back.
local ml = require "moonloom"
local Lock = {}

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
  for id, blocks in pairs(state.docs) do
    for block, lock in pairs(blocks) do
      if lock.ends <= now then blocks[block] = nil else count = count + 1 end
    end
    if not next(blocks) then state.docs[id] = nil end
  end
  if count >= LOCKS_MAX then state.docs, count = {}, 0 end
  state.count = count
end

function Lock:before_update(u)
  local state, now, user = self.state, ml.time.now(), u.author.user
  local boss = may_override(self, u.author)
  tidy(state, now)
  for e in u:edits() do
    if e.block and is_watched(self, e.path) then
      local blocks = state.docs[u.doc.id]
      if not blocks then
        blocks = {}
        state.docs[u.doc.id] = blocks
      end
      local lock = blocks[e.block]
      if lock and lock.ends > now and lock.user ~= user and not boss then
        u:undo(e, "locked", ("%s is writing in this paragraph."):format(lock.name))
      else
        if not lock then state.count = state.count + 1 end
        blocks[e.block] = { user = user, name = u.author.name or user, ends = now + self.config.ttl }
      end
    end
  end
end

-- ---- Who leaves gives back what is theirs, with the last of their windows --------------------------------------------

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
  local blocks = state.docs[member.doc.id] or {}
  for block, lock in pairs(blocks) do
    if lock.user == member.identity.user then blocks[block], state.count = nil, state.count - 1 end
  end
  if not next(blocks) then state.docs[member.doc.id] = nil end
end

return Lock
