return {
  name = "paragraph-lock", version = "1.1.0", api = 1, phase = "policy",
  summary = "A paragraph belongs to whoever is writing in it",
  hooks = { before_update = { kinds = { "text", "xml" } }, joined = {}, left = {} },
  config = { version = 1, fields = {
    { "paths", type = "array", items = { type = "path" }, default = { "content/**" }, doc = "Where in documents" },
    { "ttl", type = "duration", default = "20s", min = "1s", max = "1h",
      doc = "How long a paragraph stays taken after the last keystroke" },
    { "on_disconnect", type = "enum", of = { "release", "keep" }, default = "release",
      doc = "What becomes of the paragraphs of somebody who leaves the document" },
    { "override", type = "array", items = { type = "role" }, default = { "owner", "admin" },
      doc = "Roles that may write anywhere, and take what is taken" },
  } },
}
