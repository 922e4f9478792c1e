local algorithms = { "EdDSA", "ES256", "RS256", "PS256", "HS256" }

local issuer = { type = "record",
  rules = { { "one_of", "jwks_url", "jwks", "public_key", "secret" } },
  fields = {
    { "issuer", type = "string", required = true, min_len = 1, max_len = 256, doc = "What `iss` says, exactly" },
    { "audience", type = "any_of", of = { { type = "string", min_len = 1 },
      { type = "array", items = { type = "string", min_len = 1 }, min_items = 1 } },
      required = true, doc = "One of these has to be in `aud`" },
    { "jwks_url", type = "url", schemes = { "https", "http" }, doc = "Where its keys are fetched" },
    { "jwks", type = "string", doc = "Its keys, a JWK set" },
    { "public_key", type = "string", doc = "Its key, PEM" },
    { "secret", type = "secret", doc = "Its secret, for HS256: 32 bytes or more" },
    { "algorithms", type = "array", items = { type = "enum", of = algorithms }, min_items = 1, default = { "EdDSA", "ES256", "RS256" },
      doc = "Algorithms that are taken" },
    { "prefix", type = "string", default = "", max_len = 60, doc = "Before every user id; two issuers have different ones" },
    { "org", type = "string", doc = "The org all its people are of, whatever a token says" },
    { "roles", type = "map", keys = { type = "string" }, values = { type = "role" },
      doc = "Its names of roles to ours; with it no other role counts" },
    { "default_role", type = "role", doc = "Of people whose token names no role" },
  } }

return {
  name = "auth-jwt", version = "1.0.0", api = 1, phase = "auth",
  summary = "People sign in with a token of an identity provider",
  hooks = { authenticate = {}, authorize = {}, rpc = { ["jwt.revoke"] = {
    roles = { "admin", "owner" }, args = { { "jti", type = "string", max_len = 256 }, { "user", type = "string", max_len = 256 } } } } },
  rpc_prefix = "jwt",
  needs = { "kv", "sessions", http = { "config.issuers.jwks_url" } },
  config = { version = 1, fields = {
    { "issuers", type = "array", items = issuer, min_items = 1, max_items = 16, required = true, doc = "Who may say who somebody is" },
    { "leeway", type = "duration", default = "30s", max = "5m", doc = "How far clocks may be apart" },
    { "max_life", type = "duration", default = "24h", min = "1m", max = "31d", doc = "A token that lives longer is refused" },
    { "jwks_ttl", type = "duration", default = "10m", min = "1m", doc = "How long fetched keys are fresh at most" },
    { "jwks_stale", type = "duration", default = "24h", min = "1m", doc = "How long old keys are used while the issuer is down" },
    { "bearer", type = "boolean", default = true, doc = "Take the header Authorization: Bearer" },
    { "query", type = "boolean", default = true, doc = "Take ?token= of a socket, if the token lives for 15 minutes at most" },
    { "cookie", type = "string", default = "", max_len = 80, doc = "Name of a cookie that holds the token; none: cookies do not count" },
    { "origins", type = "array", items = { type = "string" }, default = {},
      doc = "Pages whose cookies count, as https://docs.example.com; the server's own host always does" },
    { "claims", type = "record", default = {}, doc = "Where in a token things stand; a.b is b in a, empty is nowhere", fields = {
      { "user", type = "string", default = "sub", max_len = 120, doc = "Id of the user" },
      { "name", type = "string", default = "name", max_len = 120, doc = "For people" },
      { "roles", type = "string", default = "roles", max_len = 120, doc = "A list of names" },
      { "groups", type = "string", default = "groups", max_len = 120, doc = "A list of names" },
      { "org", type = "string", default = "org", max_len = 120, doc = "The org; a token that names none is of `default`" },
      { "documents", type = "string", default = "documents", max_len = 120, doc = "Patterns of documents; without it all" },
    } },
    { "grants", type = "enum", of = { "roles", "none" }, default = "none",
      doc = "roles: the highest role decides what somebody may; none: another plugin does" },
    { "revocation", type = "boolean", default = true, doc = "Ask for every token whether it was taken back (rpc jwt.revoke)" },
  } },
}
