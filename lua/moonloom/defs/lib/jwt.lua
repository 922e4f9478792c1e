-- SPDX-License-Identifier: MIT
return {
  name = "jwt", doc = "Tokens. `alg` is required, `none` does not exist.",
  { "keys", "(keys: any, opts: { alg: string|string[] }): moonloom.KeySet", since = "0.1.0",
    doc = "Keys read once, in setup: a JWK set or JWK (text or table), PEM, or with `alg = \"HS256\"` the secret." },
  { "verify", "(token: string, opts: { keys: any, alg: string|string[], issuer?: string, audience?: string, typ?: string, leeway?: moonloom.Duration, max_life?: moonloom.Duration }): table",
    since = "0.1.0", fails = true, doc = "The claims. `typ` is the kind of token, without it a plain one; the kind of failure is `EFORMAT`, `ENOTFOUND` (no such key), `ETIMEDOUT` (expired) or `EDENIED`." },
  { "sign", "(claims: table, key: any, opts: { alg: string, ttl?: moonloom.Duration, typ?: string }): string", since = "0.1.0", doc = "A token." },
  root = { { "jwks", "(issuer: string|{ url: string, ttl?: moonloom.Duration, stale?: moonloom.Duration }): moonloom.KeySet", since = "0.4.0", need = "http",
    doc = "Keys of an issuer, for `ml.jwt.verify`, which then may wait: fetched when needed, kept for what the answer says (1 min to `ttl`, 10 min), an unknown id fetches once a minute, old keys hold for `stale` (24 h) while the issuer is down." } },
}
