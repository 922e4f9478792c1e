-- SPDX-License-Identifier: MIT
return {
  name = "re", doc = "Regular expressions in linear time; no back-references.",
  { "compile", "(pattern: string): moonloom.Regex", since = "0.1.0", pure = true, doc = "Made in setup." },
  { "set", "(patterns: string[]): moonloom.RegexSet", since = "0.1.0", pure = true, doc = "All in one pass.", example = "self.state.keys = ml.re.set(self.config.keys)" },
  classes = {
    { class = "moonloom.Regex", doc = "One expression.",
      methods = {
        { "test", "(s: string): boolean", since = "0.1.0", pure = true, cost = "linear", doc = "Does it match somewhere?" },
        { "find", "(s: string, from?: integer): integer?, integer?, ...", since = "0.1.0", pure = true, cost = "linear", doc = "First and last byte, 1-based, then the groups; a group that took no part is false." },
        { "match", "(s: string, from?: integer): string?, ...", since = "0.1.0", pure = true, cost = "linear", doc = "The groups, or the whole match." },
        { "replace", "(s: string, by: string|fun(...: string): string): string, integer", since = "0.1.0", pure = true, cost = "linear", doc = "The new text, how often. In a text `$0` is the match, `$1` to `$9` its groups, `$$` a dollar; a function is given the groups, or the match." },
        { "each", "(s: string): fun(): string?", since = "0.1.0", pure = true, cost = "linear", doc = "Iterates over the matches, with what `match` answers." },
      } },
    { class = "moonloom.RegexSet", doc = "Several expressions.",
      methods = {
        { "test", "(s: string): boolean", since = "0.1.0", pure = true, cost = "linear", doc = "Does any match?" },
        { "which", "(s: string): integer[]", since = "0.1.0", pure = true, cost = "linear", alloc = true,
          doc = "Numbers of all that match, found in one pass." },
      } },
  },
}
