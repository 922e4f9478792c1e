-- SPDX-License-Identifier: MIT
local S = "0.1.0"

return {
  { class = "moonloom.Batch", arg = "batch", c = "batch", fake = "batch", doc = "Records of one document (`after_update`).",
    fields = {
      { "doc", "moonloom.Doc", since = S, doc = "The document." }, { "org", "string", since = S, doc = "Id of the org." },
      { "count", "integer", since = S, doc = "Updates." }, { "bytes", "integer", since = S, doc = "Of all." },
      { "from_seq", "integer", since = S, doc = "First record." }, { "to_seq", "integer", since = S, doc = "Last record." },
      { "authors", "string[]", since = S, doc = "Ids, each once." }, { "gap", "boolean", since = S, doc = "Detail was dropped." },
      { "origins", "string[]", since = S, doc = "Each once." },
    },
    methods = {
      { "changes", "(): fun(): moonloom.Change?", since = S, cost = "linear", doc = "Iterates over what became visible." },
      { "touched", "(pattern: string): boolean", since = S, cost = "linear", doc = "Is anything at such a path?" },
    } },
  { class = "moonloom.Change", c = "change", doc = "What became visible. The same view is reused by the loop.",
    fields = {
      { "kind", "moonloom.EditKind", since = S, doc = "What it does." }, { "path", "string", since = S, doc = "Of the shared type." },
      { "key", "string?", since = S, doc = "Of a map or attribute write." }, { "index", "integer?", since = S, doc = "Where, 0-based." },
      { "len", "integer?", since = S, doc = "In units." }, { "text", "string?", since = S, doc = "What was inserted." },
      { "value", "any", since = S, doc = "New value; a list for insertions." },
      { "before", "any", since = S, doc = "Previous value, or what was deleted." },
      { "attrs", "table?", since = S, doc = "Formats." }, { "author", "table", since = S, doc = "`user`: who wrote it." },
    } },
}
