-- plugins/cdn-versioned-urls/init.lua: where the files of a published version are.
local ml = require "moonloom"
local Urls = {}

-- Everything but what needs no escape in one segment of a path.
local function escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- Who is given an address by a pointer that was kept must be able to use it.
function Urls.validate(config)
  local signed = config.signed
  if signed and signed.enabled and config.pointer_ttl > 0 and config.pointer_ttl >= signed.ttl then
    return { { "pointer_ttl", "must be shorter than signed.ttl: the addresses in a pointer end" } }
  end
end

function Urls:cache_control(res)
  if res.route == "published.latest" then return { shared_max_age = self.config.pointer_ttl } end
end

function Urls:asset_url(a)
  local config = self.config
  local values = { org = a.org, doc = a.doc_id, snapshot = a.snapshot, hash = a.hash, file = a.file }
  local path = config.pattern:gsub("{(%w+)}", function(name) return values[name] and escape(values[name]) end)
  local url = config.base:gsub("/+$", "") .. path
  if not (config.signed and config.signed.enabled) then return url end
  local ends = math.floor(ml.time.now() + config.signed.ttl)
  local signature = ml.enc.base64url.encode(ml.crypto.hmac(config.signed.key, path .. "\n" .. ends))
  return ("%s?expires=%d&signature=%s"):format(url, ends, signature)
end

return Urls
