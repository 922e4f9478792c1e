-- SPDX-License-Identifier: MIT
local S = "0.1.0"

return {
  { class = "moonloom.Batch", arg = "batch", c = "batch", fake = "batch", doc = "Records of one document (`after_update`).",
    fields = {
      { "doc", "moonloom.Doc", since = S, doc = "The document." }, { "org", "string", since = S, doc = "Id of the org." },
      { "count", "integer", since = S, doc = "Updates." }, { "bytes", "integer", since = S, doc = "Of all." },
      { "from_seq", "integer", since = S, doc = "First record." }, { "to_seq", "integer", since = S, doc = "Last record." },
      { "authors", "string[]", since = S, doc = "Ids, each once." }, { "gap", "boolean", since = S, doc = "Detail was dropped." },
      { "origins", "string[]", doc = "Each once." },
    },
    methods = {
      { "changes", "(): fun(): moonloom.Edit?", cost = "linear", doc = "Iterates over what became visible." },
      { "touched", "(pattern: string): boolean", cost = "linear", doc = "Is anything at such a path?" },
    } },
}
