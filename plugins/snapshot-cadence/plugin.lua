local overrides = { -- the fields that a document pattern may override, once more without defaults
  { "docs", type = "glob", required = true, doc = "Documents these values are for" },
  { "ops", type = "integer", min = 0, doc = "Snapshot after this many operations" },
  { "bytes", type = "size", doc = "Snapshot after this much new content" },
  { "every", type = "duration", doc = "Longest time between snapshots of a document that changes" },
  { "idle", type = "duration", doc = "Snapshot when nobody has typed for this long" },
  { "min_gap", type = "duration", doc = "Never two snapshots closer together than this" },
  { "on_unload", type = "boolean", doc = "Snapshot when the last reader leaves" },
  { "on_shutdown", type = "boolean", doc = "Snapshot when the server stops" },
  { "on_paths", type = "array", items = { type = "path" }, doc = "Snapshot when one of these places has changed" },
  { "name", type = "string", max_len = 100, doc = "Name of a version" },
  { "label_authors", type = "boolean", doc = "Label versions with who wrote since the one before" },
}

return {
  name = "snapshot-cadence", version = "1.3.0", api = 1, phase = "policy",
  summary = "How often documents are snapshotted",
  hooks = {
    snapshot_policy = {}, snapshot_due = {}, snapshot_name = {}, before_snapshot = {},
    after_update = { every = "500ms", when = { "on_paths", "per_docs" } },
  },
  config = { version = 1, fields = {
    { "ops", type = "integer", default = 500, min = 0, doc = "Snapshot after this many operations; 0: not by count" },
    { "bytes", type = "size", default = "256KiB", doc = "Snapshot after this much new content; 0: not by size" },
    { "every", type = "duration", default = "10m", doc = "Longest time between snapshots of a document that changes" },
    { "idle", type = "duration", default = "30s", doc = "Snapshot when nobody has typed for this long" },
    { "min_gap", type = "duration", default = "1m", doc = "Never two snapshots closer together than this" },
    { "on_unload", type = "boolean", default = true, doc = "Snapshot when the last reader leaves" },
    { "on_shutdown", type = "boolean", default = true, doc = "Snapshot when the server stops" },
    { "on_paths", type = "array", items = { type = "path" }, default = {}, example = { "meta/status" },
      doc = "Snapshot when one of these places has changed (min_gap counts)" },
    { "quiet_hours", type = "record", doc = "No snapshots by the clock or by count in these hours", fields = {
      { "from", type = "string", required = true, pattern = "^[012]%d:[0-5]%d$", doc = "Begin, as 22:00" },
      { "to", type = "string", required = true, pattern = "^[012]%d:[0-5]%d$", doc = "End, as 06:00" },
      { "tz", type = "string", default = "+00:00", pattern = "^[+-]%d%d:%d%d$", doc = "Offset from UTC, as +02:00" },
    } },
    { "name", type = "string", default = "", max_len = 100, example = "{date} no. {seq}",
      doc = "Name of a version, with {seq}, {utc}, {date}, {trigger} and {author}; empty: number and time, as the server names it" },
    { "label_authors", type = "boolean", default = true, doc = "Label versions with who wrote since the one before, as authors" },
    { "per_docs", type = "array", default = {}, items = { type = "record", fields = overrides },
      doc = "Other values for documents that match a pattern; the first match counts" },
  } },
}
