return {
  name = "audit-log", version = "1.0.0", api = 1, phase = "observe",
  summary = "Keeps the security log somewhere else, too, and who changed which document",
  hooks = {
    audit = {},
    after_update = { durable = true, every = "5s", max = 256 },
    jobs = { send = { retries = 50, backoff = "2s..10m", timeout = "60s" } },
    cron = { sweep = { every = "10m" } },
    routes = {
      ["GET /records"] = { roles = { "owner", "admin" } },
      ["GET /verify"] = { roles = { "owner", "admin" } },
    },
  },
  needs = { "kv", http = { "config.http.url" } },
  config = { version = 1, rules = { { "when", "sink", "http", { "required", "http" } } }, fields = {
    { "sink", type = "enum", of = { "log", "kv", "http" }, default = "log",
      doc = "Where records go: the log of the server, the store of this plugin, or a service" },
    { "kinds", type = "array", unique = true, default = {}, items = { type = "string", pattern = "^[a-z_]+%.[a-z_*]+$", max_len = 60 },
      doc = "Kinds of events to keep, such as `document.deleted` or `session.*`; empty: all" },
    { "include_ip", type = "boolean", default = true, doc = "Keep the addresses people came from" },
    { "hash_users", type = "boolean", default = false,
      doc = "Keep a name that stands for each user instead of the user id; the same for the same user" },
    { "chain", type = "boolean", default = true, doc = "Each record carries the hash of the one before, so that gaps show" },
    { "retain", type = "duration", default = "400d", min = "1d", doc = "How long records are kept in the store" },
    { "http", type = "record", doc = "The service records are posted to", fields = {
      { "url", type = "url", required = true, doc = "Where to post to" },
      { "token", type = "secret", doc = "Sent as `Authorization: Bearer …`" },
      { "batch", type = "integer", default = 500, min = 1, max = 1000, doc = "Records in one request, at most" },
    } },
    { "edits", type = "enum", of = { "none", "counts", "paths" }, default = "counts",
      doc = "Record who changed which document how often; with `paths` also where" },
  } },
}
