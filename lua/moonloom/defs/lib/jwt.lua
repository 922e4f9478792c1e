-- SPDX-License-Identifier: MIT
return {
  name = "jwt", doc = "Tokens. `alg` is required, `none` does not exist.",
  { "keys", "(keys: any, opts: { alg: string|string[] }): moonloom.KeySet", since = "0.1.0",
    doc = "Keys read once, in setup: a JWK set or JWK (text or table), PEM, or with `alg = \"HS256\"` the secret." },
  { "verify", "(token: string, opts: { keys: any, alg: string|string[], issuer?: string, audience?: string, typ?: string, leeway?: moonloom.Duration, max_life?: moonloom.Duration }): table",
    since = "0.1.0", fails = true, doc = "The claims. `typ` is the kind of token, without it a plain one; the kind of failure is `EFORMAT`, `ENOTFOUND` (no such key), `ETIMEDOUT` (expired) or `EDENIED`." },
  { "sign", "(claims: table, key: any, opts: { alg: string, ttl?: moonloom.Duration, typ?: string }): string", since = "0.1.0", doc = "A token." },
  root = { { "jwks", "(url: string): moonloom.KeySet", doc = "Keys of an issuer, cached; an unknown id refreshes once a minute." } },
}
