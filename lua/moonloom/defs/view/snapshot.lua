-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Snapshot", since = "0.2.0", arg = "s", doc = "A version, or one that is due.",
    fields = {
      { "id", "string", doc = "Its id." }, { "name", "string", doc = "Unique in the document." }, { "version", "integer", doc = "Number." },
      { "seq", "integer", doc = "Record." }, { "bytes", "integer", doc = "Size." }, { "labels", "table<string, any>", doc = "Labels." },
      { "at", "number", doc = "When." }, { "pinned", "boolean", doc = "Kept." },
      { "ops", "integer?", doc = "Since the last one." }, { "age", "number?", doc = "Of the oldest change, seconds." },
      { "idle", "number?", doc = "Since the newest change, seconds." }, { "authors", "string[]?", doc = "Since the last one." },
      { "trigger", "string?", doc = "Why now." },
    },
    methods = { { "read", "(): moonloom.Doc", doc = "The document as it was." } } },
  { class = "moonloom.Retention", since = "0.2.0", arg = "r", fake = "snapshots", doc = "All versions of a document (`retain`).",
    fields = { { "doc_id", "string", doc = "Which." }, { "snapshots", "moonloom.Snapshot[]", doc = "Newest first." }, { "held", "boolean", doc = "Legal hold." } } },
  { class = "moonloom.Compaction", since = "0.2.0", arg = "c", doc = "What could be dropped (`compact`).",
    fields = { { "journal_bytes", "integer", doc = "Size." }, { "journal_rows", "integer", doc = "Records." },
               { "safe_seq", "integer", doc = "Everybody is past it." }, { "history_wanted", "boolean", doc = "Somebody wants it." } } },
}
