return {
  name = "cdn-fastly", version = "1.0.0", api = 1, phase = "observe",
  summary = "Fastly forgets what was published, by surrogate key",
  needs = { http = { "api.fastly.com" } },
  hooks = { purge = {} },
  config = { version = 1, fields = {
    { "service", type = "string", required = true, pattern = "^%w+$", doc = "Id of the service" },
    { "token", type = "secret", required = true, doc = "An API token that may purge" },
    { "soft", type = "boolean", default = true, doc = "Mark as stale instead of removing; urgent purges always remove" },
    { "batch", type = "integer", default = 256, min = 1, max = 256, doc = "Keys in one request" },
    { "endpoint", type = "url", default = "https://api.fastly.com", doc = "Where the API is" },
    { "only", type = "array", items = { type = "glob" }, default = { "**" }, doc = "Addresses (without host) that are told" },
    { "reasons", type = "array", items = { type = "enum", of = { "published", "deleted", "made_private", "manual" } },
      default = { "published", "deleted", "made_private", "manual" }, doc = "Why something is told" },
  } },
}
