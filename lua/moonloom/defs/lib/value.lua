-- SPDX-License-Identifier: MIT
return {
  doc = "Values that Lua lacks.",
  { "null", "moonloom.Null", since = "0.1.0", pure = true, doc = "JSON null; nil is: absent." },
  { "array", "(t: table): table", since = "0.1.0", pure = true, doc = "The same table, marked as a list: an empty one stays a list.",
    example = 'assert(ml.json.encode(ml.array {}) == "[]")' },
  { "bytes", "(s: string): moonloom.Bytes", since = "0.1.0", pure = true, doc = "Binary instead of text." },
  { "int64", "(n: number|string): moonloom.Int64", since = "0.1.0", pure = true, doc = "A whole number beyond 2^53." },
}
