-- SPDX-License-Identifier: MIT
return {
  name = "path", doc = "Paths in documents: `/` between segments, `/` inside a key is `~1`, `~` is `~0`.",
  { "match", "(pattern: string, path: string): boolean", since = "0.1.0", pure = true, doc = "Does it fit?" },
  { "split", "(path: string): string[]", since = "0.1.0", pure = true, alloc = true, doc = "Its segments.",
    example = 'assert(ml.path.split("a/b~1c")[2] == "b/c")' },
  { "join", "(...: string|integer): string", since = "0.1.0", pure = true, alloc = true, doc = "One path of segments." },
}
