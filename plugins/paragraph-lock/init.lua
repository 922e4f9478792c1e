-- plugins/paragraph-lock/init.lua: who writes in a paragraph takes it for a while; the edits of others in it are taken back.
local ml = require "moonloom"
local Lock = {}

local LOCKS_MAX = 10000

function Lock:setup()
  self.state.docs, self.state.count = {}, 0
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

return Lock
