return {
  name = "cdn-fastly", version = "1.1.0", api = 1, phase = "observe",
  summary = "Fastly forgets what was published, by surrogate key",
  needs = { http = { "config.endpoint" } },
  hooks = { purge = {}, cache_control = {} },
  config = { version = 1, fields = {
    { "service", type = "string", required = true, pattern = "^%w+$", doc = "Id of the service" },
    { "token", type = "secret", required = true, doc = "An API token that may purge" },
    { "soft", type = "boolean", default = true, doc = "Mark as stale instead of removing; urgent purges always remove" },
    { "batch", type = "integer", default = 256, min = 1, max = 256, doc = "Keys in one request" },
    { "header", type = "string", default = "surrogate-key", pattern = "^[%w-]+$", doc = "Header that the keys go out in" },
    { "endpoint", type = "url", default = "https://api.fastly.com", doc = "Where the API is" },
    { "only", type = "array", items = { type = "glob" }, default = { "**" }, doc = "Addresses (without host) that are told" },
    { "reasons", type = "array", items = { type = "enum", of = { "published", "deleted", "made_private", "manual" } },
      default = { "published", "deleted", "made_private", "manual" }, doc = "Why something is told" },
    { "alert_after", type = "duration", default = "5m", doc = "A purge that is not done by then is an error in the log" },
  } },
}
