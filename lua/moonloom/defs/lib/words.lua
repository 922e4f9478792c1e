-- SPDX-License-Identifier: MIT
return {
  name = "words", doc = "Many words in one pass.",
  { "set", "(list: string[], opts?: { fold?: boolean, whole?: boolean }): moonloom.Words", since = "0.1.0", pure = true, doc = "Made in setup." },
  classes = {
    { class = "moonloom.Words", doc = "A list of words.",
      methods = {
        { "find", "(s: string, from?: integer): string?, integer?, integer?", since = "0.1.0", pure = true, cost = "linear", doc = "The leftmost word, of several there the longest, and its first and last byte, 1-based." },
        { "mask", "(s: string, char?: string): string, integer", since = "0.1.0", pure = true, cost = "linear", doc = "With every word covered; how many." },
      } },
  },
}
