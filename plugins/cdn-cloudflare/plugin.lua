return {
  name = "cdn-cloudflare", version = "1.1.0", api = 1, phase = "observe",
  summary = "Cloudflare forgets what was published, by tag, address or prefix",
  needs = { "limiter", http = { "config.endpoint" } },
  hooks = { purge = {}, cache_control = {} },
  config = { version = 1, fields = {
    { "zone", type = "string", required = true, pattern = "^%w+$", doc = "Id of the zone" },
    { "token", type = "string", min_len = 1, required = true, doc = "An API token that may purge" },
    { "by", type = "enum", of = { "tag", "url", "prefix" }, default = "tag", doc = "How Cloudflare is told" },
    { "batch", type = "integer", default = 100, min = 1, max = 100, doc = "Items in one request" },
    { "rate", type = "rate", default = "5/s", doc = "Requests of all nodes together" },
    { "header", type = "string", default = "cache-tag", pattern = "^[%w-]+$", doc = "Header that the tags go out in" },
    { "endpoint", type = "url", default = "https://api.cloudflare.com", doc = "Where the API is" },
    { "only", type = "array", items = { type = "glob" }, default = { "**" }, doc = "Addresses (without host) that are told" },
    { "reasons", type = "array", items = { type = "enum", of = { "published", "deleted", "made_private", "manual" } },
      default = { "published", "deleted", "made_private", "manual" }, doc = "Why something is told" },
    { "alert_after", type = "duration", default = "5m", doc = "A purge that is not done by then is an error in the log" },
  } },
}
