-- SPDX-License-Identifier: MIT
return {
  name = "glob", doc = "Patterns of document ids: `*` within one segment, `**` across.",
  { "match", "(pattern: string, s: string): boolean", since = "0.1.0", pure = true, doc = "Does it fit?",
    example = 'assert(ml.glob.match("notes/**", "notes/a/b"))' },
  { "set", "(patterns: string[]): moonloom.GlobSet", since = "0.1.0", pure = true, alloc = true, doc = "Asked as one; made in setup." },
  classes = {
    { class = "moonloom.GlobSet", doc = "A list of patterns.",
      methods = { { "match", "(s: string): boolean", since = "0.1.0", pure = true, doc = "Does any fit?" } } },
  },
}
