return {
  name = "cache-rules", version = "1.0.0", api = 1, phase = "policy",
  summary = "What caches may keep of each kind of answer",
  hooks = { cache_control = {} },
  config = { version = 1, fields = {
    { "rules", type = "array", default = {
        { routes = { "published.file" }, store = "public", max_age = "365d", immutable = true, keys = { "org", "doc", "snapshot" } },
        { routes = { "published.latest" }, store = "public", max_age = 0, shared_max_age = "60s", keys = { "org", "doc" } },
      },
      doc = "The first rule that fits counts",
      items = { type = "record", fields = {
        { "routes", type = "array", items = { type = "string" }, required = true, doc = "Names of routes, such as published.file" },
        { "docs", type = "glob", doc = "Only of these documents" },
        { "store", type = "enum", of = { "no-store", "private", "public" }, doc = "Who may keep it" },
        { "max_age", type = "duration", doc = "How long browsers keep it" },
        { "shared_max_age", type = "duration", doc = "How long shared caches keep it" },
        { "stale_while_revalidate", type = "duration", doc = "How long an old answer may be given while a new one is fetched" },
        { "immutable", type = "boolean", doc = "It never changes" },
        { "vary", type = "array", items = { type = "string" }, doc = "Request fields that make another answer" },
        { "keys", type = "array", items = { type = "enum", of = { "org", "doc", "snapshot" } }, doc = "By what caches forget it" },
      } } },
  } },
}
