-- Signs tokens as a provider of identities would: Ed25519 and HS256, by OpenSSL through the FFI. Nothing is checked, so that
-- a spec can make what is wrong.
local ffi = require "ffi"
local cjson = require "cjson"
local mime = require "mime"

ffi.cdef [[
typedef struct evp_pkey_st EVP_PKEY; typedef struct evp_md_ctx_st EVP_MD_CTX; typedef struct evp_md_st EVP_MD;
EVP_PKEY *EVP_PKEY_new_raw_private_key(int type, void *engine, const unsigned char *key, size_t len);
int EVP_PKEY_get_raw_public_key(const EVP_PKEY *key, unsigned char *out, size_t *len);
EVP_MD_CTX *EVP_MD_CTX_new(void); void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
int EVP_DigestSignInit(EVP_MD_CTX *ctx, void **pctx, const void *md, void *engine, EVP_PKEY *key);
int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *out, size_t *len, const unsigned char *text, size_t text_len);
unsigned char *SHA256(const unsigned char *text, size_t len, unsigned char *out);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *text, size_t len, unsigned char *out, unsigned *out_len);
const EVP_MD *EVP_sha256(void);
]]
local crypto = ffi.load "libcrypto.so.3"
local ED25519 = 1087

local M = {}

function M.base64url(bytes)
  return ((mime.b64(bytes) or ""):gsub("+", "-"):gsub("/", "_"):gsub("=", ""))
end

function M.from_base64url(text)
  text = text:gsub("-", "+"):gsub("_", "/")
  return (mime.unb64(text .. ("="):rep(-#text % 4)))
end

function M.sha256(text)
  local out = ffi.new "unsigned char[32]"
  crypto.SHA256(text, #text, out)
  return ffi.string(out, 32)
end

local function hmac(secret, text)
  local out, len = ffi.new "unsigned char[64]", ffi.new "unsigned[1]"
  crypto.HMAC(crypto.EVP_sha256(), secret, #secret, text, #text, out, len)
  return ffi.string(out, len[0])
end

local function token(header, claims, sign)
  local text = M.base64url(type(header) == "string" and header or cjson.encode(header)) .. "."
    .. M.base64url(type(claims) == "string" and claims or cjson.encode(claims))
  return text .. "." .. M.base64url(sign(text))
end

--- Claims (a table, or JSON as it is) under a secret.
function M.hs256(secret, claims, header)
  return token(header or { alg = "HS256", typ = "JWT" }, claims, function(text) return hmac(secret, text) end)
end

local Key = {}
Key.__index = Key

--- The Ed25519 key of a seed (any text); its public half is `.jwk`.
function M.key(seed, kid)
  local pkey = crypto.EVP_PKEY_new_raw_private_key(ED25519, nil, M.sha256(seed), 32)
  local out, len = ffi.new "unsigned char[32]", ffi.new("size_t[1]", 32)
  assert(pkey ~= nil and crypto.EVP_PKEY_get_raw_public_key(pkey, out, len) == 1)
  local self = setmetatable({ pkey = pkey, kid = kid or seed }, Key)
  self.jwk = { kty = "OKP", crv = "Ed25519", kid = self.kid, x = M.base64url(ffi.string(out, 32)), use = "sig", alg = "EdDSA" }
  return self
end

function Key:signature(text)
  local context, out, len = crypto.EVP_MD_CTX_new(), ffi.new "unsigned char[64]", ffi.new("size_t[1]", 64)
  assert(crypto.EVP_DigestSignInit(context, nil, nil, nil, self.pkey) == 1)
  assert(crypto.EVP_DigestSign(context, out, len, text, #text) == 1)
  crypto.EVP_MD_CTX_free(context)
  return ffi.string(out, 64)
end

function Key:sign(claims, header)
  return token(header or { alg = "EdDSA", typ = "JWT", kid = self.kid }, claims, function(text) return self:signature(text) end)
end

return M
