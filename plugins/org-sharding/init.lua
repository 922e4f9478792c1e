-- SPDX-License-Identifier: MIT
-- plugins/org-sharding: on which of several primaries a new org lives. Every node must come to the same answer from
-- the same configuration, so the choice is a hash of the two names (weighted rendezvous): a pool more takes its share
-- from all others, and nothing is remembered here.
local OrgSharding = {}

local PRIME = 2147483647

local function hash(text)
  local h = 5381
  for i = 1, #text do h = (h * 257 + text:byte(i)) % PRIME end
  -- Stirred by its own halves: the hashes of two pools must have nothing to do with each other.
  for _ = 1, 4 do h = (h * 48271 + (h % 65536) * (math.floor(h / 65536) + 1)) % PRIME end
  return h
end

local function contains(list, name)
  for _, one in ipairs(list) do
    if one == name then return true end
  end
  return false
end

-- The pool with the largest score gets it; in the long run each gets its weight's share.
local function score(org, pool)
  return -pool.weight / math.log((hash(org .. "\0" .. pool.name) + 1) / (PRIME + 1))
end

function OrgSharding:place_document(p)
  local pinned = self.config.pin[p.org]
  if pinned and contains(p.pools, pinned) then return { key = p.org, pool = pinned } end
  local best, most
  for _, pool in ipairs(self.config.pools) do
    if pool.state == "open" and pool.weight > 0 and contains(p.pools, pool.name) then
      local s = score(p.org, pool)
      if not most or s > most then best, most = pool, s end
    end
  end
  return best and { key = p.org, pool = best.name }
end

return OrgSharding
