-- plugins/quotas/init.lua: the server counts connections; documents and bytes are asked of the store, not more often than
-- needed, and what is known stands in the cache of the node.
local ml = require "moonloom"
local Quotas = {}

local KNOWN = "10s"   -- so long a number is good, while it is far from its quota
local FAR_LOOK = 10   -- seconds between two looks at the storage while it is far from its quota
local FAR = 0.9       -- part of a quota up to which what is known is good enough
local MANY = 100      -- fewer documents are counted each time
local FULL_LOOK = 1   -- seconds between two looks of one loop at what others have found

local FULL = "The storage of your organization is used up, so it can only be read."

local function alert(self, what, used, limit)
  if used < limit * self.config.warn_at then return end
  local level = used >= limit and "over" or "near"
  if not ml.cache.add("told/" .. what .. "/" .. level, true, "1h") then return end
  ml.log.warn("quota " .. level, { what = what, used = used, limit = limit })
end

--- What the org has; nil while the store is silent. `fresh`: as it is now.
local function usage(fresh)
  local known = not fresh and ml.cache.get "usage"
  if known then return known end
  local now = ml.docs.usage()
  if now then ml.cache.set("usage", now, KNOWN) end
  return now
end

local function look_at_storage(self)
  local config, now = self.config, usage(true)
  if not now then return end
  alert(self, "storage", now.bytes, config.storage)
  local is_full = config.over.storage == "read_only" and now.bytes >= config.storage
  if is_full then ml.cache.set("full", true) else ml.cache.delete "full" end
  self.state.full = is_full
  return now
end

-- What any loop of this node has found.
local function is_full(self)
  local state, now = self.state, ml.time.mono()
  if not state.looked or now - state.looked >= FULL_LOOK then
    state.looked, state.full = now, ml.cache.get "full" == true
  end
  return state.full
end

function Quotas:limits()
  local config = self.config
  local answer = { connections = config.connections, connections_per_user = config.connections_per_user,
                   update_bytes = config.update_bytes }
  if config.over.egress == "refuse" and ml.cache.get "egress_over" then answer.connections = 0 end
  return answer
end

function Quotas:create_document()
  local limit = self.config.documents
  local now = limit >= MANY and usage() or nil
  if not now or now.documents + 1 > limit * FAR then now = usage(true) end
  if not now then
    return ml.deny("quota_unknown", "It is not known how many documents there are. Please try again.", { status = 503 })
  end
  alert(self, "documents", now.documents + 1, limit)
  if now.documents >= limit and self.config.over.documents == "refuse" then
    return ml.deny("quota_documents", ("Your organization has %d documents, and may not have more."):format(now.documents),
      { status = 429 })
  end
  if is_full(self) then return ml.deny("quota_storage", FULL, { status = 429 }) end
  ml.cache.set("usage", { documents = now.documents + 1, bytes = now.bytes }, KNOWN)
end

function Quotas:before_update()
  if is_full(self) then return ml.deny("quota_storage", FULL, { status = 429 }) end
end

function Quotas:after_update()
  local state, now = self.state, ml.time.mono()
  if state.next_look and now < state.next_look then return end
  state.next_look = now + FAR_LOOK
  local found = look_at_storage(self)
  if found and found.bytes > self.config.storage * FAR then state.next_look = now end
end

function Quotas:document_deleted()
  ml.cache.delete "usage"
  look_at_storage(self)
end

function Quotas:disconnected(session)
  local rate = self.config.egress
  if ml.cache.get "egress" == nil then ml.cache.set("egress", 0, rate.per) end
  local sent = ml.cache.incr("egress", session.closed.bytes_out)
  alert(self, "egress", sent, rate.n)
  if sent >= rate.n then ml.cache.set("egress_over", true, rate.per) end
end

return Quotas
