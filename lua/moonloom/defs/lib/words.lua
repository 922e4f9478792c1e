-- SPDX-License-Identifier: MIT
return {
  name = "words", doc = "Many words in one pass.",
  { "set", "(list: string[], opts?: { fold?: boolean, whole?: boolean }): moonloom.Words", pure = true, doc = "Made in setup." },
  classes = {
    { class = "moonloom.Words", doc = "A list of words.",
      methods = {
        { "find", "(s: string): string?, integer?", pure = true, cost = "linear", doc = "The word and where, 1-based." },
        { "mask", "(s: string, char?: string): string, integer", pure = true, cost = "linear", doc = "With every word covered; how many." },
      } },
  },
}
