return {
  name    = "change-digest",
  version = "1.1.0",
  api     = 1,
  summary = "Posts a summary of edited documents to a chat webhook",
  phase   = "observe",

  hooks = {
    after_update = { every = "2s", origins = { "client" } },
    cron   = { post = { every = "config.interval", singleton = true } },
    jobs   = { deliver = { retries = 6, backoff = "5s..10m", timeout = "10s" } },
    routes = { ["GET /digest"] = { roles = { "admin" } } },
  },
  needs = { "kv", http = { "config.webhook" } },

  config = {
    version = 2,
    fields = {
      { "webhook",  type = "url", secret = true, required = true, doc = "Where the summary goes" },
      { "interval", type = "duration", default = "15m", min = "1m", doc = "How often to post" },
      { "quiet",    type = "array", items = { type = "glob" }, default = {}, doc = "Documents to leave out" },
      { "period",   deprecated = { since = "1.1.0", use = "interval" } },
    },
  },
}
