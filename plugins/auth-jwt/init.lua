-- plugins/auth-jwt/init.lua: a token of somebody whom we trust says who it is. It is checked, never made here.
local ml = require "moonloom"
local claims = require "auth-jwt.lib.claims"

local Jwt = { rpc = {} }

local QUERY_LIFE = 900 -- seconds: what stands in an address is seen by others
local SAFE = { GET = true, HEAD = true, OPTIONS = true }
local ORDER = { "admin", "owner", "editor", "suggester", "commenter", "viewer" }

function Jwt.validate(config)
  local wrong, names, prefixes = {}, {}, {}
  for i, issuer in ipairs(config.issuers) do
    local at = ("issuers[%d]."):format(i)
    if names[issuer.issuer] then wrong[#wrong + 1] = { at .. "issuer", "is there twice" } end
    if prefixes[issuer.prefix] then wrong[#wrong + 1] = { at .. "prefix", "is that of another issuer: the same id would be one person" } end
    names[issuer.issuer], prefixes[issuer.prefix] = true, true
    for _, alg in ipairs(issuer.algorithms) do
      if (alg == "HS256") ~= (issuer.secret ~= nil) then
        wrong[#wrong + 1] = { at .. "algorithms", issuer.secret and "a secret is for HS256 only" or "HS256 needs a secret" }
        break
      end
    end
  end
  return wrong
end

-- Keys that stand in the configuration are read now, so that a broken one is found at start.
local function keys_of(self, issuer, at)
  if issuer.jwks_url then return ml.jwks { url = issuer.jwks_url, ttl = self.config.jwks_ttl, stale = self.config.jwks_stale } end
  local ok, keys = pcall(ml.jwt.keys, issuer.secret or issuer.public_key or issuer.jwks, { alg = issuer.algorithms })
  if not ok then error(("issuers[%d]: %s"):format(at, tostring(keys)), 0) end
  return keys
end

function Jwt:setup()
  local issuers, origins = {}, {}
  for i, issuer in ipairs(self.config.issuers) do
    issuers[issuer.issuer] = { config = issuer, keys = keys_of(self, issuer, i),
      audiences = type(issuer.audience) == "table" and issuer.audience or { issuer.audience } }
  end
  for _, origin in ipairs(self.config.origins) do origins[origin:lower()] = true end
  self.state.issuers, self.state.origins = issuers, origins
end

-- ---- Where the token stands -----------------------------------------------------------------------------------

local function is_our_page(self, req)
  local origin = req.origin
  if not origin then return not req.is_websocket and req.headers["sec-fetch-site"] == "same-origin" end
  origin = origin:lower()
  local host = origin:match("^https?://(.+)$")
  return self.state.origins[origin] or (host ~= nil and req.host ~= nil and host == req.host:lower())
end

-- The token and how long it may live at most; nil: none. A denial as the third.
local function find(self, req)
  local config, token = self.config, req.token
  local header = (req.headers.authorization or ""):match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(.+)$")
  if token and token ~= "" then
    if token == header then return config.bearer and token or nil, config.max_life end
    if token == req.query.token then
      if not config.query or not req.is_websocket then return nil end
      return token, math.min(QUERY_LIFE, config.max_life)
    end
    return token, config.max_life -- of the protocol
  end
  if config.cookie == "" then return nil end
  token = req.cookies[config.cookie]
  if not token or (SAFE[req.method] and not req.is_websocket) or is_our_page(self, req) then return token, config.max_life end
  if req.is_websocket then return nil end
  return nil, nil, ml.deny("origin", "This page may not change anything here.", { status = 403 })
end

-- ---- Checking ---------------------------------------------------------------------------------------------------

-- Who the token says it is from. Nothing is believed yet.
local function issuer_of(self, token)
  local part = #token <= 8192 and token:match("^[%w_-]+%.([%w_-]+)%.[%w_-]+$")
  local text = part and ml.enc.base64url.decode(part)
  local said = text and ml.json.decode(text)
  return type(said) == "table" and type(said.iss) == "string" and self.state.issuers[said.iss] or nil
end

local function has_audience(issuer, aud)
  for _, wanted in ipairs(issuer.audiences) do
    if aud == wanted then return true end
    for _, one in ipairs(type(aud) == "table" and aud or {}) do if one == wanted then return true end end
  end
  return false
end

local function refuse(expired)
  if expired then return ml.deny("expired", "The token is over.", { status = 401 }) end
  return ml.deny("bad_token", "The token is not one for this.", { status = 401 })
end

local function is_revoked(self, who, token)
  if not self.config.revocation or not self.org then return false end
  if type(token.jti) == "string" and #token.jti <= 256 and ml.kv.get("jti/" .. token.jti) then return true end
  local since = ml.kv.get("user/" .. who.user)
  return since ~= nil and (type(token.iat) ~= "number" or token.iat <= since)
end

function Jwt:authenticate(req)
  local token, life, denial = find(self, req)
  if denial then return denial end
  local issuer = token and issuer_of(self, token)
  if not issuer then return nil end -- somebody else's credential
  local config = self.config
  local said, kind, why = ml.jwt.verify(token, { keys = issuer.keys, alg = issuer.config.algorithms, issuer = issuer.config.issuer,
    leeway = config.leeway, max_life = life })
  if not said then
    if kind == "EIO" then error("keys of " .. issuer.config.issuer .. ": " .. tostring(why), 0) end
    return refuse(kind == "ETIMEDOUT")
  end
  if not has_audience(issuer, said.aud) then return refuse() end
  local who, org = claims.identity(issuer.config, config.claims, said, config.leeway)
  if not who then return refuse() end
  if self.org and (org or "default") ~= self.org.id then return nil end -- as if it were not there
  if is_revoked(self, who, said) then return refuse() end
  return who
end

-- ---- Rights -----------------------------------------------------------------------------------------------------

local NOTHING = { read = true, write = true, presence = true, messages = true, history = true }

local function covers(patterns, doc)
  for _, pattern in ipairs(patterns) do if doc ~= "" and ml.glob.match(pattern, doc) then return true end end
  return false
end

local function grant_of(self, identity, patterns, doc)
  if patterns and not covers(patterns, doc) then return ml.restrict(NOTHING) end
  if self.config.grants ~= "roles" then return nil end
  for _, role in ipairs(ORDER) do
    if identity:has_role(role) then return ml.grant { role = role } end
  end
end

function Jwt:authorize(ask)
  local identity = ask.identity
  if not identity or identity.user == "" then return nil end
  local ours, patterns, mark = claims.scope(identity.groups)
  if not ours then return nil end
  local answer = grant_of(self, identity, patterns, ask.doc_id or "")
  -- Who shows a token was asked about it a moment ago; this is for the sockets that it has opened. What was lent is gone after the wait.
  if mark and self.config.revocation and self.org and ml.kv.get("mark/" .. mark) then return refuse() end
  return answer
end

-- ---- Taking back ------------------------------------------------------------------------------------------------

--- { jti } ends one token, { user } all that were given to them up to now.
Jwt.rpc["jwt.revoke"] = function(self, call)
  local jti, user = call.args.jti, call.args.user
  if (type(jti) == "string") == (type(user) == "string") or #(jti or user) > 256 then
    return ml.deny("args", 'Say which token or whose: { "jti" } or { "user" }.', { status = 422 })
  end
  -- Longer than any token that was given out can live.
  local ttl = self.config.max_life + self.config.leeway + 60
  if jti then
    ml.kv.set("jti/" .. jti, true, { ttl = ttl })
    ml.kv.set("mark/" .. claims.mark(jti), true, { ttl = ttl })
    return { revoked = true, asked = ml.sessions.recheck() }
  end
  ml.kv.set("user/" .. user, ml.time.now(), { ttl = ttl })
  return { revoked = true, ended = ml.sessions.revoke { user = user } }
end

return Jwt
