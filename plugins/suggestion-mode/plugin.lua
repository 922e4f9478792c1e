return {
  name = "suggestion-mode", version = "1.0.0", api = 1, phase = "transform",
  summary = "What some roles write in texts becomes suggestions, which others accept or reject",
  rpc_prefix = "suggest",
  hooks = {
    before_update = { proposals = true, on_error = "hold" },
    after_update = { kinds = { "text.delete", "xml.delete" }, every = "1s" },
    rpc = {
      ["suggest.accept"] = { doc = true, args = { { "id", type = "string", required = true, max_len = 64 } } },
      ["suggest.reject"] = { doc = true, args = { { "id", type = "string", required = true, max_len = 64 } } },
      ["suggest.accept_all"] = { doc = true, args = { { "author", type = "string" } } },
    },
  },
  config = { version = 1, fields = {
    { "roles", type = "array", items = { type = "role" }, default = { "suggester" }, doc = "Whose edits become suggestions" },
    { "paths", type = "array", items = { type = "path" }, default = { "content/**" }, doc = "Texts in which they do" },
    { "store", type = "string", default = "suggestions", min_len = 1, max_len = 64,
      doc = "Map in which the open suggestions are listed" },
    { "accept", type = "array", items = { type = "role" }, default = { "editor", "owner", "admin" }, doc = "Who accepts and rejects" },
    { "merge_window", type = "duration", default = "3s", min = "0s", max = "1h",
      doc = "What is typed on within this time is one suggestion" },
    { "max_open", type = "integer", default = 500, min = 1, max = 10000,
      doc = "More open suggestions than this no document has" },
    { "on_source_deleted", type = "enum", of = { "drop", "keep_text" }, default = "keep_text",
      doc = "What becomes of a listed suggestion whose place somebody deletes: it is dropped, or stays in the list with its text" },
  } },
}
