-- plugins/cdn-cloudflare/init.lua: purge_cache by tag, address or prefix; the tags go out as Cache-Tag.
local ml = require "moonloom"
local Cloudflare = {}

-- Is this purge for us? An address without its host is what the patterns are about.
local function is_wanted(config, p)
  local reason_fits = false
  for _, reason in ipairs(config.reasons) do reason_fits = reason_fits or reason == p.reason end
  if not reason_fits then return false end
  for _, prefix in ipairs(p.prefixes) do
    local path = prefix:gsub("^https?://[^/]*", "")
    for _, pattern in ipairs(config.only) do
      if ml.glob.match(pattern, (path:gsub("^/", ""))) then return true end
    end
  end
  return #p.prefixes == 0
end

-- Up to `size` of a list at a time.
local function batches(list, size)
  local all = {}
  for i = 1, #list, size do
    local part = {}
    for k = i, math.min(i + size - 1, #list) do part[#part + 1] = list[k] end
    all[#all + 1] = part
  end
  return all
end

-- Every request has to be taken; what was not is asked again by the server, all of it.
local function send(requests)
  for _, request in ipairs(requests) do
    local answer, kind, text = ml.http.request(request)
    if not answer then return ml.retry(("%s: %s"):format(kind, text or "")) end
    if answer.status == 429 or answer.status >= 500 then
      return ml.retry("status " .. answer.status, tonumber(answer.headers["retry-after"]))
    end
    if answer.status >= 300 then return ml.retry("status " .. answer.status, "1m") end
  end
end

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
  for _, part in ipairs(batches(items, config.batch)) do
    all[#all + 1] = {
      method = "POST", url = ("%s/client/v4/zones/%s/purge_cache"):format(config.endpoint, config.zone),
      headers = { Authorization = "Bearer " .. config.token }, json = { [kind[1]] = part },
    }
  end
  return all
end

function Cloudflare:purge(p)
  if is_wanted(self.config, p) then return send(self:requests(p)) end
end

function Cloudflare:cache_control(res)
  if self.config.by == "tag" and res.doc_id then return { keys = { "org", "doc" }, key_header = "cache-tag" } end
end

return Cloudflare
