return {
  name = "schema-validate", version = "1.0.0", api = 1, phase = "validate",
  summary = "Structure rules for documents: what may stand where",
  hooks = { before_update = { kinds = { "map.set", "array.insert", "text.insert" } } },
  config = { version = 1, fields = {
    { "schemas", type = "array", required = true, min_items = 1, doc = "What documents look like; every one that fits a document counts",
      items = { type = "record", fields = {
        { "docs", type = "glob", default = "**", doc = "Documents the schema is for" },
        { "root", type = "string", required = true, min_len = 1, doc = "Name of the root it describes" },
        { "schema", type = "string", required = true, min_len = 2, doc = "JSON Schema (a subset) as text" },
      } } },
    { "on_violation", type = "enum", of = { "refuse", "repair", "report" }, default = "refuse",
      doc = "Take the update back; cut what is too long and take back what does not fit; or only log it" },
    { "max_depth", type = "integer", default = 32, min = 1, max = 64, doc = "Deepest nesting of a value" },
    { "max_string", type = "size", default = "1MiB", min = 1, doc = "Longest text of a value" },
    { "sync_grace", type = "boolean", default = true, doc = "Edits that were made offline are repaired, not refused" },
  } },
}
