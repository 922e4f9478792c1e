-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local jwt = ml.jwt

local P = {}

local SECRET = "0123456789abcdef0123456789abcdef"
-- RFC 8037, A.1
local PRIVATE = { kty = "OKP", crv = "Ed25519", kid = "k1", d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
                  x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }
local PUBLIC = { keys = { { kty = "OKP", crv = "Ed25519", kid = "k1", x = PRIVATE.x } } }

local function refused(kind, why, ...)
  local claims, got, text = jwt.verify(...)
  same(nil, claims, why)
  same(kind, got, why)
  same(why, text)
end

local function secrets()
  local hs = { keys = SECRET, alg = "HS256", issuer = "me", audience = "here" }
  local token = jwt.sign({ iss = "me", aud = "here", sub = "ana", roles = { "editor" } }, SECRET, { alg = "HS256", ttl = "5m" })
  local claims = jwt.verify(token, hs)
  same({ iss = "me", aud = "here", sub = "ana", roles = { "editor" }, iat = 1700000000, exp = 1700000300 }, claims)
  refused("EDENIED", "another issuer", token, { keys = SECRET, alg = "HS256", issuer = "you" })
  refused("EDENIED", "another audience", token, { keys = SECRET, alg = "HS256", audience = "there" })
  refused("EDENIED", "the signature does not fit", token, { keys = SECRET:reverse(), alg = "HS256" })
  refused("EDENIED", "another kind of token", token, { keys = SECRET, alg = "HS256", typ = "ml-ticket+jwt" })
  refused("EDENIED", "lives too long", token, { keys = SECRET, alg = "HS256", max_life = "4m" })
  refused("EFORMAT", "not three parts in base64url", "x.y", hs)
  refused("EFORMAT", "not three parts in base64url", "", hs)
  local old = jwt.sign({ exp = 1699999960 }, SECRET, { alg = "HS256" })
  refused("ETIMEDOUT", "expired", old, { keys = SECRET, alg = "HS256" })
  same(1699999960, jwt.verify(old, { keys = SECRET, alg = "HS256", leeway = "1m" }).exp)
  local ticket = jwt.sign({}, SECRET, { alg = "HS256", ttl = 60, typ = "ml-ticket+jwt" })
  refused("EDENIED", "another kind of token", ticket, { keys = SECRET, alg = "HS256" })
  same(1700000060, jwt.verify(ticket, { keys = SECRET, alg = "HS256", typ = "ml-ticket+jwt" }).exp)
end

local function pairs_of_keys()
  local signer = jwt.keys(PRIVATE, { alg = "EdDSA" })
  same("keys:***", tostring(signer))
  local token = jwt.sign({ sub = "ana", n = 9007199254740991 }, signer, { alg = "EdDSA", ttl = 300 })
  local keys = jwt.keys(ml.json.encode(PUBLIC), { alg = { "EdDSA", "ES256" } })
  same("ana", jwt.verify(token, { keys = keys, alg = "EdDSA" }).sub)
  same("ana", jwt.verify(token, { keys = PUBLIC, alg = { "EdDSA" } }).sub)
  same("ana", jwt.verify(token, { keys = ml.json.encode(PUBLIC), alg = "EdDSA" }).sub)
  refused("EDENIED", "the algorithm is not the key's", token, { keys = keys, alg = "ES256" })
  refused("ENOTFOUND", "no key of that id", token, { keys = { keys = { { kty = "OKP", crv = "Ed25519", kid = "k2", x = PRIVATE.x } } }, alg = "EdDSA" })
  -- the public key as a secret
  local forged = jwt.sign({ sub = "root" }, SECRET, { alg = "HS256", ttl = 300 })
  refused("ENOTFOUND", "no key of that id", forged, { keys = keys, alg = { "EdDSA", "HS256" } })
  -- more sets than are remembered, twice
  for _ = 1, 2 do
    for i = 1, 40 do
      local secret = ("%032d"):format(i)
      same(i, jwt.verify(jwt.sign({ i = i }, secret, { alg = "HS256", ttl = 60 }), { keys = secret, alg = "HS256" }).i)
    end
  end
end

local function misuse()
  raises("alg is required", jwt.verify, "x", { keys = SECRET })
  raises("alg is one or several of", jwt.verify, "x", { keys = SECRET, alg = "none" })
  raises("alg is one or several of", jwt.verify, "x", { keys = SECRET, alg = { "HS256", "nOnE" } })
  raises("alg is empty", jwt.verify, "x", { keys = SECRET, alg = {} })
  raises("keys are required", jwt.verify, "x", { alg = "HS256" })
  raises("32 to 512 bytes", jwt.verify, "x", { keys = "short", alg = "HS256" })
  raises("32 to 512 bytes", jwt.verify, "x", { keys = "", alg = "HS256" })
  raises("not PEM", jwt.verify, "x", { keys = SECRET, alg = "EdDSA" })
  raises("not one of those configured", jwt.keys, PUBLIC, { alg = "RS256" })
  raises("unknown option 'issuers'", jwt.verify, "x", { keys = SECRET, alg = "HS256", issuers = "me" })
  raises("issuer must be text", jwt.verify, "x", { keys = SECRET, alg = "HS256", issuer = 1 })
  raises("is not a duration", jwt.verify, "x", { keys = SECRET, alg = "HS256", leeway = "soon" })
  raises("table expected", jwt.verify, "x")
  raises("text expected", jwt.verify, nil, { keys = SECRET, alg = "HS256" })
  raises("a token ends", jwt.sign, {}, SECRET, { alg = "HS256" })
  raises("a token ends", jwt.sign, { exp = "1" }, SECRET, { alg = "HS256" })
  raises("cannot sign with that algorithm", jwt.sign, { exp = 1 }, PUBLIC, { alg = "EdDSA" })
  raises("cannot sign with that algorithm", jwt.sign, { exp = 1 }, jwt.keys(PRIVATE, { alg = "EdDSA" }), { alg = "HS256" })
  raises("too large", jwt.sign, { exp = 1, x = ("x"):rep(9000) }, SECRET, { alg = "HS256" })
  raises("not what they may be", jwt.sign, { exp = 1 }, SECRET, { alg = "HS256", typ = 'a"b' })
end

function P:setup()
  secrets() pairs_of_keys() misuse()
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
