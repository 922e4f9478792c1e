-- plugins/cdn-cloudflare/init.lua: purge_cache by tag, address or prefix; the tags go out as Cache-Tag.
local cdn = require "moonloom.cdn"
local Cloudflare = {}

-- What the API calls each kind, and where it stands in a purge.
local KINDS = { tag = { "tags", "keys" }, url = { "files", "urls" }, prefix = { "prefixes", "prefixes" } }

--- The requests that this purge takes.
function Cloudflare:requests(p)
  local config = self.config
  local kind, all = KINDS[config.by], {}
  local items = {}
  for i, item in ipairs(p[kind[2]]) do
    items[i] = config.by == "prefix" and item:gsub("^https?://", "") or item -- prefixes have no scheme
  end
  for _, part in ipairs(cdn.batches(items, config.batch)) do
    all[#all + 1] = {
      method = "POST", url = ("%s/client/v4/zones/%s/purge_cache"):format(config.endpoint, config.zone),
      headers = { Authorization = "Bearer " .. config.token }, json = { [kind[1]] = part },
    }
  end
  return all
end

function Cloudflare:purge(p)
  if not cdn.is_wanted(self.config, p) then return end
  local later = cdn.collect(self, p)
  if later then return later end
  local requests = {}
  for i, request in ipairs(self:requests(p)) do
    requests[i] = { id = table.concat(request.json[KINDS[self.config.by][1]], "\n"), request = request }
  end
  return cdn.deliver(self, cdn.key(p), requests, cdn.proof(self.config, p))
end

function Cloudflare:cache_control(res)
  if self.config.by == "tag" and res.doc_id then return { keys = { "org", "doc" }, key_header = self.config.header:lower() } end
end

return Cloudflare
