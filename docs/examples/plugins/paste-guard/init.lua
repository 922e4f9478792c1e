local ml   = require "moonloom"
local luhn = require "paste-guard.lib.luhn"

---@class PasteGuard : moonloom.Plugin
---@field config PasteGuard.Config
local PasteGuard = { rpc = {} }

function PasteGuard:setup()
  self.state.keys = ml.re.set(self.config.keys)
end

function PasteGuard:before_update(u)
  if u.inserted_bytes > self.config.max_insert then
    return ml.deny("too_large", "That is too much text for one paste.")
  end

  for e in u:edits("text.insert") do
    if self.state.keys:test(e.text) then
      return ml.deny("secret", "This looks like a private key, so it was not added.")
    end
    local masked, hits = luhn.mask(e.text)
    if hits > 0 then
      u:replace(e, masked)
      self.metrics.masked:add(hits)
      ml.cache.incr("masked", hits)
    end
  end
end

PasteGuard.rpc["paste_guard.stats"] = function()
  return { masked = ml.cache.get("masked") or 0 }
end

return PasteGuard
