-- plugins/cache-rules/init.lua: a table of rules, the first that fits. What no rule can loosen is the core's.
local ml = require "moonloom"
local CacheRules = {}

local FIELDS = { "store", "max_age", "shared_max_age", "stale_while_revalidate", "immutable", "vary", "keys" }

local function fits(rule, res)
  if rule.docs and not (res.doc_id and ml.glob.match(rule.docs, res.doc_id)) then return false end
  for _, route in ipairs(rule.routes) do
    if route == res.route or route == "*" then return true end
  end
  return false
end

function CacheRules:cache_control(res)
  if res.is_api then return { store = "no-store" } end
  for _, rule in ipairs(self.config.rules) do
    if fits(rule, res) then
      local answer = {}
      for _, field in ipairs(FIELDS) do answer[field] = rule[field] end
      return answer
    end
  end
end

return CacheRules
