-- plugins/cdn-fastly/init.lua: batch purges by surrogate key. The core sends the keys with every published answer.
local cdn = require "moonloom.cdn"
local Fastly = {}

--- The requests that this purge takes.
function Fastly:requests(p)
  local config, all = self.config, {}
  for _, keys in ipairs(cdn.batches(p.keys, config.batch)) do
    local headers = { ["Fastly-Key"] = config.token, ["Surrogate-Key"] = table.concat(keys, " "), Accept = "application/json" }
    if config.soft and not p.urgent then headers["fastly-soft-purge"] = "1" end
    all[#all + 1] = { method = "POST", url = ("%s/service/%s/purge"):format(config.endpoint, config.service), headers = headers }
  end
  return all
end

function Fastly:purge(p)
  if not cdn.is_wanted(self.config, p) then return end
  local later = cdn.collect(self, p)
  if later then return later end
  local requests = {}
  for i, request in ipairs(self:requests(p)) do requests[i] = { id = request.headers["Surrogate-Key"], request = request } end
  return cdn.deliver(self, cdn.key(p), requests, cdn.proof(self.config, p))
end

-- The core sends them as Surrogate-Key anyway.
function Fastly:cache_control(res)
  if res.doc_id and self.config.header:lower() ~= "surrogate-key" then
    return { keys = { "org", "doc" }, key_header = self.config.header:lower() }
  end
end

return Fastly
