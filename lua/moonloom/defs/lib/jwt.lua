-- SPDX-License-Identifier: MIT
return {
  name = "jwt", doc = "Tokens. `alg` is required, `none` does not exist.",
  { "verify", "(token: string, opts: { keys: any, alg: string|string[], issuer?: string, audience?: string, leeway?: moonloom.Duration }): table",
    waits = true, fails = true, doc = "The claims." },
  { "sign", "(claims: table, key: any, opts: { alg: string, kid?: string, ttl?: moonloom.Duration }): string", doc = "A token." },
  root = { { "jwks", "(url: string): moonloom.KeySet", doc = "Keys of an issuer, cached; an unknown id refreshes once a minute." } },
}
