-- plugins/auth-apikey/init.lua: the key is hashed and compared; what is stored cannot be used to sign in.
--
--   text of a key --> ID --> key/ID in the store --+
--        |                                         +--> hash equal, not over, right address, not too often --> service:NAME
--        +--------> SHA-256 --> the configuration --+
--
-- The identity has the group key:ID, by which `authorize` finds the key again: a key that was taken back opens nothing,
-- and what it has open is asked about again.
local ml = require "moonloom"
local address = require "auth-apikey.lib.address"
local keys = require "auth-apikey.lib.keys"

local ApiKey = { routes = {} }

local KEYS_MAX = 1000
local BUCKET = 1e6 -- a request of a key with the rate n takes BUCKET / n of a bucket that is refilled in the rate's time
local ORDER = { "admin", "owner", "editor", "suggester", "commenter", "viewer" }
local NOTHING = { read = true, write = true, presence = true, messages = true, history = true }

function ApiKey:setup()
  local by_hash, by_id = {}, {}
  for i, key in ipairs(self.config.keys) do
    local ends
    if key.expires ~= "" then
      ends = ml.time.parse(key.expires) or error(("keys[%d].expires: not a moment; write 2026-12-31"):format(i), 0)
    end
    if by_hash[key.sha256] then error(("keys[%d].sha256: this key is there twice"):format(i), 0) end
    local found = { id = "c" .. key.sha256:sub(1, 16), hash = key.sha256, name = key.name, roles = key.roles, groups = key.groups,
                    docs = key.docs, cidrs = key.cidrs, rate = key.rate, ends = ends }
    by_hash[key.sha256], by_id[found.id] = found, found
  end
  self.state.by_hash, self.state.by_id, self.state.limits = by_hash, by_id, {}
  local function limit(per)
    self.state.limits[per] = self.state.limits[per] or ml.limiter.new { rate = { n = BUCKET, per = per }, burst = BUCKET }
  end
  for _, per in ipairs { 1, 60, 3600, 86400 } do limit(per) end
  for _, key in ipairs(self.config.keys) do if key.rate then limit(key.rate.per) end end
end

function ApiKey:handoff() return {} end

--- Its configuration is another one: keys that were in it may be gone.
function ApiKey:adopt()
  if self.org then ml.timer.after(1, function() ml.sessions.recheck {} end) end
end

-- ---- Looking up -------------------------------------------------------------------------------------------------

-- The key in the store; nil: none of this id. Raises if the store is silent.
local function stored(id)
  local entry, kind, text = ml.kv.get("key/" .. id)
  if entry == nil and type(kind) == "string" then error(("keys: %s (%s)"):format(text, kind), 0) end
  if not entry then return nil end
  return { id = id, hash = entry.hash, name = entry.name, roles = entry.roles or {}, groups = entry.groups or {}, docs = entry.docs or {},
           cidrs = entry.cidrs or {}, rate = entry.rate and keys.rate(entry.rate), ends = entry.expires and ml.time.parse(entry.expires) }
end

local function find(self, text)
  local hash = keys.hash(text)
  local found = self.state.by_hash[hash]
  if found then return found end
  local id = self.org and keys.id_of(text, self.config.prefix)
  found = id and stored(id)
  return found and ml.crypto.same(found.hash, hash) and found or nil
end

local function is_over(key) return key.ends ~= nil and ml.time.now() >= key.ends end

local function may_come_from(key, ip)
  if #key.cidrs == 0 then return true end
  for _, range in ipairs(key.cidrs) do if ip and address.is_in(ip, range) then return true end end
  return false
end

-- ---- Who it is --------------------------------------------------------------------------------------------------

-- The key as it was sent; nil: none of ours.
local function text_of(self, req)
  local text, token = req.headers[self.config.header], req.token
  if self.config.header:lower() == "authorization" then text = text and text:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +([^ ]+)$" end
  if text == nil and token and (token ~= req.query.token or (self.config.query and req.is_websocket)) then text = token end
  if type(text) ~= "string" or #text > 512 or text:sub(1, #self.config.prefix) ~= self.config.prefix then return nil end
  return text
end

-- One answer for every key that does not fit, so that nobody learns which ones exist.
function ApiKey:authenticate(req)
  local text, ip = text_of(self, req), req.ip
  if not text then return nil end
  local key = find(self, text)
  if not key or is_over(key) or not may_come_from(key, ip) then
    return ml.deny("unknown_key", "This key is not valid.", { status = 401 })
  end
  if key.rate then
    local may, wait = false, key.rate.per
    if key.rate.n > 0 then may, wait = self.state.limits[key.rate.per]:take(key.id, BUCKET / key.rate.n) end
    if not may then
      return ml.deny("too_often", "This key asks too often.", { status = 429, retry_after = math.max(1, math.ceil(wait)) })
    end
  end
  local groups = { "key:" .. key.id }
  for _, name in ipairs(key.groups) do groups[#groups + 1] = name end
  return { user = "service:" .. key.name, name = key.name, roles = key.roles, groups = groups, kind = "service", expires_at = key.ends }
end

-- ---- What it may ------------------------------------------------------------------------------------------------

-- The id of the key that somebody came with; nil: with none.
local function id_of(identity)
  if identity.kind ~= "service" or identity.user:sub(1, 8) ~= "service:" then return nil end
  for _, name in ipairs(identity.groups) do
    local id = name:match "^key:(c?%x+)$"
    if id then return id end
  end
end

local function covers(key, doc)
  if #key.docs == 0 then return true end
  for _, pattern in ipairs(key.docs) do if doc and doc ~= "" and ml.glob.match(pattern, doc) then return true end end
  return false
end

function ApiKey:authorize(ask)
  local identity, doc, is_call = ask.identity, ask.doc_id, ask.action:sub(1, 4) == "rpc."
  local id = identity and id_of(identity)
  if not id then return nil end
  local roles = {}
  for i, name in ipairs(ORDER) do roles[i] = identity:has_role(name) and name or false end
  local key = self.state.by_id[id] or (self.org and stored(id))
  if not key or is_over(key) then return ml.deny("unknown_key", "This key is not valid.", { status = 401 }) end
  if not covers(key, doc) then
    if is_call then return ml.deny("elsewhere", "This key is for other documents.") end
    return ml.restrict(NOTHING)
  end
  if self.config.grants ~= "roles" then return nil end
  for _, role in ipairs(roles) do if role then return ml.grant { role = role } end end
end

-- ---- Keys over HTTP ---------------------------------------------------------------------------------------------

local function answer(res, status, code, message) return res:status(status):json { error = { code = code, message = message } } end

local function shown(id, entry)
  return {
    id = id, name = entry.name, roles = ml.array(entry.roles or {}), groups = ml.array(entry.groups or {}),
    docs = ml.array(entry.docs or {}), cidrs = ml.array(entry.cidrs or {}), expires = entry.expires, rate = entry.rate,
    by = entry.by, at = entry.at,
  }
end

local function has(list, name)
  for _, item in ipairs(list or {}) do if item == name then return true end end
  return false
end

ApiKey.routes["GET /keys"] = function(_, _, res)
  local items = {}
  for key, entry in ml.kv.scan("key/", { limit = KEYS_MAX }) do items[#items + 1] = shown(key:sub(5), entry) end
  return res:json { items = ml.array(items) }
end

ApiKey.routes["POST /keys"] = function(self, req, res)
  local entry, why = keys.check(req:json())
  if not entry then return answer(res, 422, "bad_key", why) end
  -- Nobody gives more than they have.
  if has(entry.roles, "admin") and not has(req.identity.roles, "admin") then
    return answer(res, 403, "denied", "You may not give this role.")
  end
  local id, text, hash = keys.make(self.config.prefix)
  entry.hash, entry.by, entry.at = hash, req.identity.user, ml.time.now()
  local done, kind, wrong = ml.kv.txn(function(tx)
    local count = 0
    for _ in tx:scan("key/", { limit = KEYS_MAX }) do count = count + 1 end
    if count >= KEYS_MAX then return "full" end
    tx:set("key/" .. id, entry)
    return "done"
  end)
  if not done then error(("keys: %s (%s)"):format(wrong, kind), 0) end
  if done == "full" then return answer(res, 409, "full", ("There are %d keys already."):format(KEYS_MAX)) end
  local body = shown(id, entry)
  body.key = text
  return res:status(201):json(body)
end

ApiKey.routes["DELETE /keys/:id"] = function(_, req, res)
  local id = req.params.id
  local entry = #id == 16 and id:match "^%x+$" and ml.kv.get("key/" .. id)
  local gone, kind, text = false, nil, nil
  if entry then gone, kind, text = ml.kv.delete("key/" .. id) end
  if gone == nil then error(("keys: %s (%s)"):format(text, kind), 0) end
  if not gone then return answer(res, 404, "not_found", "There is no such key.") end
  ml.sessions.recheck { user = "service:" .. entry.name }
  return res:status(204)
end

return ApiKey
