-- plugins/cdn-fastly/init.lua: batch purges by surrogate key. The core sends the keys with every published answer.
local ml = require "moonloom"
local Fastly = {}

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

--- The requests that this purge takes.
function Fastly:requests(p)
  local config, all = self.config, {}
  for _, keys in ipairs(batches(p.keys, config.batch)) do
    local headers = { ["Fastly-Key"] = config.token, ["Surrogate-Key"] = table.concat(keys, " "), Accept = "application/json" }
    if config.soft and not p.urgent then headers["fastly-soft-purge"] = "1" end
    all[#all + 1] = { method = "POST", url = ("%s/service/%s/purge"):format(config.endpoint, config.service), headers = headers }
  end
  return all
end

function Fastly:purge(p)
  if is_wanted(self.config, p) then return send(self:requests(p)) end
end

return Fastly
