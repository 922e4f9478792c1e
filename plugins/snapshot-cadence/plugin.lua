local overrides = { -- the fields that a document pattern may override, once more without defaults
  { "docs", type = "glob", required = true, doc = "Documents these values are for" },
  { "ops", type = "integer", min = 0, doc = "Snapshot after this many operations" },
  { "bytes", type = "size", doc = "Snapshot after this much new content" },
  { "every", type = "duration", doc = "Longest time between snapshots of a document that changes" },
  { "idle", type = "duration", doc = "Snapshot when nobody has typed for this long" },
  { "min_gap", type = "duration", doc = "Never two snapshots closer together than this" },
  { "on_unload", type = "boolean", doc = "Snapshot when the last reader leaves" },
  { "on_shutdown", type = "boolean", doc = "Snapshot when the server stops" },
}

return {
  name = "snapshot-cadence", version = "1.0.0", api = 1, phase = "policy",
  summary = "How often documents are snapshotted",
  hooks = { snapshot_policy = {} },
  config = { version = 1, fields = {
    { "ops", type = "integer", default = 500, min = 0, doc = "Snapshot after this many operations; 0: not by count" },
    { "bytes", type = "size", default = "256KiB", doc = "Snapshot after this much new content; 0: not by size" },
    { "every", type = "duration", default = "10m", doc = "Longest time between snapshots of a document that changes" },
    { "idle", type = "duration", default = "30s", doc = "Snapshot when nobody has typed for this long" },
    { "min_gap", type = "duration", default = "1m", doc = "Never two snapshots closer together than this" },
    { "on_unload", type = "boolean", default = true, doc = "Snapshot when the last reader leaves" },
    { "on_shutdown", type = "boolean", default = true, doc = "Snapshot when the server stops" },
    { "per_docs", type = "array", default = {}, items = { type = "record", fields = overrides },
      doc = "Other values for documents that match a pattern; the first match counts" },
  } },
}
