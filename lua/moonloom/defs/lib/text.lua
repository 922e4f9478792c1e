-- SPDX-License-Identifier: MIT
return {
  name = "text", doc = "Text as editors count it.",
  { "nfc", "(s: string): string", since = "0.1.0", pure = true, cost = "linear", doc = "Unicode normal form C." },
  { "fold", "(s: string): string", since = "0.1.0", pure = true, cost = "linear", doc = "For comparing without case." },
  { "len16", "(s: string): integer", since = "0.1.0", pure = true, cost = "linear", doc = "Length in UTF-16 units.",
    example = 'assert(ml.text.len16("aé") == 2)' },
  { "to16", "(s: string, byte: integer): integer", since = "0.1.0", pure = true, cost = "linear", doc = "UTF-16 units before that byte offset (0-based)." },
  { "to8", "(s: string, unit: integer): integer", since = "0.1.0", pure = true, cost = "linear", doc = "Byte offset (0-based) of that UTF-16 unit." },
  { "lines", "(s: string): string[]", since = "0.1.0", pure = true, cost = "linear", alloc = true, doc = "Without their ends.",
    example = 'assert(#ml.text.lines("a\\nb") == 2)' },
  { "diff", "(a: string, b: string): table[]", since = "0.1.0", pure = true, cost = "linear", alloc = true, doc = "What changed: `{ at, delete, insert }` in order of place; `at` and `delete` in UTF-16 units of a." },
  { "truncate", "(s: string, n: integer): string", since = "0.1.0", pure = true, cost = "linear", doc = "At most n UTF-16 units, whole characters." },
}
