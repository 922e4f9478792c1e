return {
  name = "webhook", version = "1.0.0", api = 1, phase = "observe",
  summary = "Tells another service when documents change",
  hooks = {
    after_update = {},
    jobs = { deliver = { retries = 10, backoff = "5s..1h", timeout = "15s" } },
  },
  needs = { http = { "config.url" } },
  config = { version = 1, fields = {
    { "url", type = "url", required = true, doc = "Where to post to" },
    { "secret", type = "secret", doc = "Signs timestamp and body (HMAC-SHA256), so that the receiver knows who it was" },
    { "signature_header", type = "string", default = "x-moonloom-signature", min_len = 1, max_len = 60,
      doc = "Header the signature stands in" },
    { "debounce", type = "duration", default = "5s", max = "1h", doc = "Changes of one document within this time are one message" },
    { "docs", type = "array", items = { type = "glob" }, default = {}, doc = "Documents to tell about; empty: all" },
    { "paths", type = "array", items = { type = "path" }, default = {}, doc = "Tell only when one of these places changed; empty: any" },
    { "origins", type = "array", items = { type = "enum", of = { "client", "sync", "import", "plugin" } }, default = {},
      doc = "Tell only about changes of these origins; empty: all" },
    { "timeout", type = "duration", default = "10s", min = "1s", max = "14s", doc = "How long an answer may take" },
    { "ordering", type = "enum", of = { "per_doc", "none" }, default = "per_doc",
      doc = "per_doc: changes of one document that wait become one message" },
  } },
}
