return {
  name = "quotas", version = "1.0.0", api = 1, phase = "limit",
  summary = "How many documents, bytes and connections an org may have",
  needs = { "doc.read", "cache" },
  hooks = {
    limits = {}, create_document = {}, before_update = {}, document_deleted = {}, disconnected = {},
    after_update = { every = "1s" },
  },
  config = { version = 1, fields = {
    { "documents", type = "integer", default = 10000, min = 0, doc = "Documents that are not deleted" },
    { "storage", type = "size", default = "10GiB", doc = "Bytes of records and snapshots, those of deleted documents too" },
    { "update_bytes", type = "size", default = "4MiB", doc = "Bytes of one change" },
    { "connections", type = "integer", default = 10000, min = 0, doc = "Open connections, on each node" },
    { "connections_per_user", type = "integer", default = 64, min = 0, doc = "Open connections of one user, on each node" },
    { "egress", type = "rate", default = "50GiB/d", doc = "Bytes that are sent to connections, on each node" },
    { "warn_at", type = "number", default = 0.8, min = 0, max = 1, doc = "A warning in the log from this part of a quota on" },
    { "over", type = "record", default = {}, fields = {
      { "documents", type = "enum", of = { "refuse", "allow_alert" }, default = "refuse", doc = "What becomes of one document more" },
      { "storage", type = "enum", of = { "read_only", "allow_alert" }, default = "read_only", doc = "What happens when more is stored" },
      { "egress", type = "enum", of = { "refuse", "allow_alert" }, default = "allow_alert", doc = "What happens when more is sent" },
    } },
  } },
}
