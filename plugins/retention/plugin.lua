return {
  name = "retention", version = "1.0.0", api = 1, phase = "policy",
  summary = "How long versions and single records are kept",
  hooks = { retain = {}, compact = {} },
  config = { version = 1, fields = {
    { "keep_all", type = "duration", default = "24h", doc = "Every version younger than this stays" },
    { "hourly", type = "integer", default = 48, min = 0, doc = "Then the newest of each of so many hours" },
    { "daily", type = "integer", default = 30, min = 0, doc = "The newest of each of so many days" },
    { "weekly", type = "integer", default = 12, min = 0, doc = "The newest of each of so many weeks" },
    { "monthly", type = "integer", default = 24, min = 0, doc = "The newest of each of so many months of 30 days" },
    { "max_versions", type = "integer", default = 1000, min = 1, doc = "No more than so many; the oldest that are not pinned go first" },
    { "max_bytes", type = "size", default = "1GiB", doc = "No more than so much; the oldest that are not pinned go first" },
    { "keep_labels", type = "array", items = { type = "string" }, default = { "release", "legal" },
      doc = "Versions with one of these labels (by name, or as the value of another) stay" },
    { "journal_history", type = "duration", default = "30d", doc = "How long single records are kept for history" },
    { "hold", type = "array", items = { type = "glob" }, default = {}, doc = "Documents of which nothing goes" },
  } },
}
