-- plugins/auth-apikey/init.lua: the key is hashed and looked up; what is stored cannot be used to sign in.
local ml = require "moonloom"
local address = require "auth-apikey.lib.address"

local ApiKey = {}

function ApiKey:setup()
  local by_hash = {}
  for i, key in ipairs(self.config.keys) do
    local ends
    if key.expires ~= "" then
      ends = ml.time.parse(key.expires) or error(("keys[%d].expires: not a moment; write 2026-12-31"):format(i), 0)
    end
    if by_hash[key.sha256] then error(("keys[%d].sha256: this key is there twice"):format(i), 0) end
    by_hash[key.sha256] = { key = key, ends = ends }
  end
  self.state.by_hash = by_hash
end

-- The key as it was sent; nil: none of ours.
local function key_of(self, req)
  local text = req.headers[self.config.header]
  if self.config.header:lower() == "authorization" then
    text = text and text:match("^[Bb]earer +([^ ]+)$") or (text == nil and req.token or nil)
  end
  if type(text) ~= "string" or #text > 512 or text:sub(1, #self.config.prefix) ~= self.config.prefix then return nil end
  return text
end

local function may_come_from(key, ip)
  if #key.cidrs == 0 then return true end
  for _, range in ipairs(key.cidrs) do if ip and address.is_in(ip, range) then return true end end
  return false
end

-- One answer for every key that does not fit, so that nobody learns which ones exist.
function ApiKey:authenticate(req)
  local text = key_of(self, req)
  if not text then return nil end
  local found = self.state.by_hash[ml.enc.hex.encode(ml.crypto.sha256(text))]
  if not found or (found.ends and ml.time.now() >= found.ends) or not may_come_from(found.key, req.ip) then
    return ml.deny("unknown_key", "This key is not valid.", { status = 401 })
  end
  return { user = "service:" .. found.key.name, name = found.key.name, roles = found.key.roles, groups = found.key.groups,
           kind = "service", expires_at = found.ends }
end

return ApiKey
