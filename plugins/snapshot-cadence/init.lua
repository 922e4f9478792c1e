-- plugins/snapshot-cadence/init.lua: the rule is stated once, the core does the counting.
local ml = require "moonloom"
local Cadence = {}

-- The first pattern that matches this document, if any.
local function override(config, id)
  for _, entry in ipairs(config.per_docs) do
    if ml.glob.match(entry.docs, id) then return entry end
  end
end

function Cadence:snapshot_policy(ref)
  local base, own = self.config, override(self.config, ref.id)

  local function value(name)
    if own and own[name] ~= nil then return own[name] end
    return base[name]
  end

  return {
    every_ops = value "ops", every_bytes = value "bytes", every = value "every", idle = value "idle",
    min_gap = value "min_gap", on_unload = value "on_unload", on_shutdown = value "on_shutdown",
  }
end

return Cadence
