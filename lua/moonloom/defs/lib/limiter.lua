-- SPDX-License-Identifier: MIT
return {
  name = "limiter", need = "limiter", doc = "Token buckets.",
  { "new", '(opts: { rate: string, burst?: integer, scope?: "node"|"cluster" }): moonloom.Limiter', since = "0.2.0", doc = "Made in setup.",
    example = 'self.state.limit = ml.limiter.new { rate = "10/s", burst = 20 }' },
  classes = {
    { class = "moonloom.Limiter", since = "0.2.0", doc = "One rate, many keys.",
      methods = { { "take", "(key: string, n?: number): boolean, number?", doc = "True, or false and the seconds to wait." } } },
  },
}
