-- plugins/cdn-cloudfront/init.lua: invalidations by path, signed with AWS Signature Version 4.
local ml = require "moonloom"
local CloudFront = {}

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

local function path_of(url)
  local path = url:gsub("^https?://[^/]*", ""):gsub("%?.*$", "")
  return path
end

-- Each once, in order.
local function paths_of(config, p)
  local seen, list = {}, {}
  local function add(path)
    if not seen[path] then seen[path], list[#list + 1] = true, path end
  end
  if config.by == "wildcard" then
    for _, prefix in ipairs(p.prefixes) do add(path_of(prefix) .. "*") end
  else
    for _, url in ipairs(p.urls) do add(path_of(url)) end
  end
  return list
end

local function escape_xml(s) return (s:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })) end

local function body_of(paths, reference)
  local items = {}
  for i, path in ipairs(paths) do items[i] = "<Path>" .. escape_xml(path) .. "</Path>" end
  return ('<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">'
    .. "<Paths><Quantity>%d</Quantity>"
    .. "<Items>%s</Items></Paths><CallerReference>%s</CallerReference></InvalidationBatch>"):format(#paths, table.concat(items), reference)
end

--- The header fields of a request that is signed. `at`: "20150830T123600Z".
function CloudFront:sign(service, method, host, path, body, at)
  local region = self.config.region
  local day = at:sub(1, 8)
  local hash = ml.enc.hex.encode(ml.crypto.sha256(body))
  local signed = "host;x-amz-content-sha256;x-amz-date"
  local request = table.concat({ method, path, "", "host:" .. host, "x-amz-content-sha256:" .. hash, "x-amz-date:" .. at, "", signed,
    hash }, "\n")
  local scope = ("%s/%s/%s/aws4_request"):format(day, region, service)
  local to_sign = table.concat({ "AWS4-HMAC-SHA256", at, scope, ml.enc.hex.encode(ml.crypto.sha256(request)) }, "\n")
  local step = ml.crypto.hmac("AWS4" .. self.config.key, day)
  for _, part in ipairs { region, service, "aws4_request" } do step = ml.crypto.hmac(step, part) end
  return {
    ["X-Amz-Date"] = at, ["X-Amz-Content-Sha256"] = hash, ["Content-Type"] = "application/xml",
    Authorization = ("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"):format(self.config.key_id, scope, signed,
      ml.enc.hex.encode(ml.crypto.hmac(step, to_sign))),
  }
end

--- The requests that this purge takes. The reference is its content: the same again is the same invalidation.
function CloudFront:requests(p, now)
  local config, all = self.config, {}
  local path = ("/2020-05-31/distribution/%s/invalidation"):format(config.distribution)
  local host = config.endpoint:gsub("^https?://", "")
  local at = ml.time.format(math.floor(now)):gsub("[-:]", "")
  for _, paths in ipairs(batches(paths_of(config, p), config.batch)) do
    local body = body_of(paths, ml.enc.hex.encode(ml.crypto.sha256(table.concat(paths, "\n") .. at)):sub(1, 32))
    all[#all + 1] = {
      method = "POST", url = config.endpoint .. path, body = body,
      headers = self:sign("cloudfront", "POST", host, path, body, at),
    }
  end
  return all
end

function CloudFront:purge(p)
  if is_wanted(self.config, p) then return send(self:requests(p, ml.time.now())) end
end

return CloudFront
