-- A provider of identities: luajit issuer.lua. The first line of its output is its port. It signs in whoever comes, as the user
-- that it was told of; a spec changes what it says with POST /control and a JSON object:
--
--   kids    ids of the keys that /jwks shows; the first one signs
--   status  of every answer of /jwks and /token that is not 200
--   claims  laid over those of the ID token ("-": left out); header: of it; sub
--   iss     that goes with the code ("-": none)
--
-- GET /control answers { jwks = how often, tokens = how often, asked = the last query of /authorize, sent = the last form of /token }.
local socket = require "socket"
local cjson = require "cjson"
local url = require "socket.url"
local signer = require "signer"

local server = assert(socket.bind("127.0.0.1", 0))
local port = select(2, server:getsockname())
local issuer = "http://127.0.0.1:" .. port
local state = { kids = { "k1" }, claims = {}, sub = "ana" }
local seen, codes = { jwks = 0, tokens = 0 }, {}
io.write(port, "\n")
io.flush()

local function form(text)
  local out = {}
  for name, value in (text or ""):gmatch "([^&=]+)=([^&]*)" do out[name] = url.unescape((value:gsub("+", " "))) end
  return out
end

local function id_token(code)
  local now = os.time()
  local claims = { iss = issuer, aud = code.client_id, sub = state.sub, nonce = code.nonce, iat = now, exp = now + 300,
                   name = "Ana of the Provider", email = "ana@id.example", email_verified = true }
  for name, value in pairs(state.claims) do claims[name] = value end
  for name, value in pairs(claims) do if value == "-" then claims[name] = nil end end
  return signer.key(state.kids[1]):sign(claims, state.header)
end

local routes = {}

routes["GET /.well-known/openid-configuration"] = function()
  return 200, { issuer = state.named or issuer, authorization_endpoint = issuer .. "/authorize", token_endpoint = issuer .. "/token",
                jwks_uri = issuer .. "/jwks" }
end

routes["GET /jwks"] = function()
  seen.jwks = seen.jwks + 1
  local keys = {}
  for i, kid in ipairs(state.kids) do keys[i] = signer.key(kid).jwk end
  return state.status or 200, { keys = keys }
end

routes["GET /authorize"] = function(request)
  local query = form(request.query)
  seen.asked = query
  local code = signer.base64url(signer.sha256(("%s %.6f"):format(request.query, socket.gettime())))
  codes[code] = query
  local to = ("%s?code=%s&state=%s"):format(query.redirect_uri, code, url.escape(query.state or ""))
  if state.iss ~= "-" then to = to .. "&iss=" .. url.escape(state.iss or issuer) end
  return 302, "", { Location = to }
end

routes["POST /token"] = function(request)
  local given = form(request.body)
  seen.tokens, seen.sent = seen.tokens + 1, given
  seen.authorization = request.headers.authorization
  if state.status then return state.status, { error = "no" } end
  local code = codes[given.code]
  codes[given.code or ""] = nil
  if not code or given.redirect_uri ~= code.redirect_uri or code.code_challenge_method ~= "S256"
    or signer.base64url(signer.sha256(given.code_verifier or "")) ~= code.code_challenge then
    return 400, { error = "invalid_grant" }
  end
  return 200, { access_token = "x", token_type = "Bearer", id_token = id_token(code) }
end

routes["POST /control"] = function(request)
  for name, value in pairs(cjson.decode(request.body)) do
    if value == cjson.null then value = nil end
    state[name] = value
  end
  return 200, {}
end

routes["GET /control"] = function() return 200, seen end

local function read(sock)
  local line = sock:receive "*l"
  if not line then return nil end
  local method, target = line:match "^(%S+) (%S+)"
  local request = { method = method, path = target:match "^[^?]*", query = target:match "%?(.*)$" or "", headers = {} }
  line = sock:receive "*l"
  while line and line ~= "" do
    local name, value = line:match "^([^:]+): *(.*)$"
    if name then request.headers[name:lower()] = value end
    line = sock:receive "*l"
  end
  local length = tonumber(request.headers["content-length"] or 0)
  request.body = length > 0 and sock:receive(length) or ""
  return request
end

while true do
  local sock = server:accept()
  if sock then
    sock:settimeout(5)
    local request = read(sock)
    if request then
      local route = routes[request.method .. " " .. request.path] or function() return 404, {} end
      local status, body, headers = route(request)
      local text = type(body) == "table" and cjson.encode(body) or body
      local lines = { ("HTTP/1.1 %d X"):format(status), "Content-Type: application/json", "Content-Length: " .. #text, "Connection: close" }
      for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
      sock:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. text)
    end
    sock:close()
  end
end
