-- plugins/cdn-cloudfront/init.lua: invalidations by path, signed with AWS Signature Version 4.
local ml = require "moonloom"
local cdn = require "moonloom.cdn"
local CloudFront = {}

local function path_of(url)
  local path = url:gsub("^https?://[^/]*", ""):gsub("%?.*$", "")
  return path
end

-- Each once, in order.
local function paths_of(by, p)
  local seen, list = {}, {}
  local function add(path)
    if not seen[path] then seen[path], list[#list + 1] = true, path end
  end
  if by == "wildcard" then
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
function CloudFront:requests(p, now, by)
  local config, all = self.config, {}
  local path = ("/2020-05-31/distribution/%s/invalidation"):format(config.distribution)
  local host = config.endpoint:gsub("^https?://", "")
  local at = ml.time.format(math.floor(now)):gsub("[-:]", "")
  for _, paths in ipairs(cdn.batches(paths_of(by or config.by, p), config.batch)) do
    local body = body_of(paths, ml.enc.hex.encode(ml.crypto.sha256(table.concat(paths, "\n") .. at)):sub(1, 32))
    all[#all + 1] = {
      method = "POST", url = config.endpoint .. path, body = body,
      headers = self:sign("cloudfront", "POST", host, path, body, at),
    }
  end
  return all
end

-- ---- How much is in progress ------------------------------------------------------------------------------------

local IN_FLIGHT = 300 -- seconds that an invalidation counts: CloudFront does not say when it is over
local SLICE = 60

local function slice_key(kind, now) return ("flight/%s/%d"):format(kind, math.floor(now / SLICE)) end

-- Is there room for so many more? All nodes together.
local function has_room(kind, count, most, now)
  local sum = 0
  for at = now - IN_FLIGHT, now, SLICE do sum = sum + (ml.kv.get(slice_key(kind, at)) or 0) end
  return sum == 0 or sum + count <= most -- one that is larger than all goes when nothing else does
end

-- Both ways are made before the first wait: `p` is not there any more after it.
function CloudFront:purge(p)
  local config, now = self.config, ml.time.now()
  if not cdn.is_wanted(config, p) then return end
  local later = cdn.collect(self, p)
  if later then return later end
  local proof = cdn.proof(config, p)
  local key, month = cdn.key(p), "paths/" .. ml.time.format(math.floor(now)):sub(1, 7)
  local ways = {}
  for _, by in ipairs { config.by, "wildcard" } do
    ways[by] = { count = #paths_of(by, p), requests = {} }
    for i, request in ipairs(self:requests(p, now, by)) do ways[by].requests[i] = { id = by .. i, request = request } end
  end
  local way = ways[config.by]
  if config.monthly_paths > 0 and config.by == "path" and (ml.kv.get(month) or 0) + way.count > config.monthly_paths then
    way = ways.wildcard
  end
  local kind = way == ways.wildcard and "wildcard" or "path"
  if not has_room(kind, way.count, kind == "wildcard" and config.max_wildcards or config.max_in_flight, now) then
    return ml.retry("as many as may be in progress are", SLICE / 2)
  end
  local answer = cdn.deliver(self, key, way.requests, proof)
  if not answer then
    ml.kv.incr(month, way.count, { ttl = "62d" })
    ml.kv.incr(slice_key(kind, now), way.count, { ttl = 2 * IN_FLIGHT })
  end
  return answer
end

return CloudFront
