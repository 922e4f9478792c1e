-- SPDX-License-Identifier: MIT
return {
  name = "re", doc = "Regular expressions in linear time; no back-references.",
  { "compile", "(pattern: string): moonloom.Regex", pure = true, doc = "Made in setup." },
  { "set", "(patterns: string[]): moonloom.RegexSet", pure = true, doc = "All in one pass.", example = "self.state.keys = ml.re.set(self.config.keys)" },
  classes = {
    { class = "moonloom.Regex", doc = "One expression.",
      methods = {
        { "test", "(s: string): boolean", pure = true, cost = "linear", doc = "Does it match somewhere?" },
        { "find", "(s: string, from?: integer): integer?, integer?", pure = true, cost = "linear", doc = "First and last byte, 1-based." },
        { "match", "(s: string): string?, ...", pure = true, cost = "linear", doc = "The groups, or the whole match." },
        { "replace", "(s: string, by: string|fun(...: string): string): string, integer", pure = true, cost = "linear", doc = "The new text, how often." },
        { "each", "(s: string): fun(): string?", pure = true, cost = "linear", doc = "Iterates over the matches." },
      } },
    { class = "moonloom.RegexSet", doc = "Several expressions.",
      methods = { { "test", "(s: string): boolean", pure = true, cost = "linear", doc = "Does any match?" } } },
  },
}
