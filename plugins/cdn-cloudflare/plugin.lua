return {
  name = "cdn-cloudflare", version = "1.0.0", api = 1, phase = "observe",
  summary = "Cloudflare forgets what was published, by tag, address or prefix",
  needs = { http = { "api.cloudflare.com" } },
  hooks = { purge = {}, cache_control = {} },
  config = { version = 1, fields = {
    { "zone", type = "string", required = true, pattern = "^%w+$", doc = "Id of the zone" },
    { "token", type = "string", min_len = 1, required = true, doc = "An API token that may purge" },
    { "by", type = "enum", of = { "tag", "url", "prefix" }, default = "tag", doc = "How Cloudflare is told" },
    { "batch", type = "integer", default = 100, min = 1, max = 100, doc = "Items in one request" },
    { "endpoint", type = "url", default = "https://api.cloudflare.com", doc = "Where the API is" },
    { "only", type = "array", items = { type = "glob" }, default = { "**" }, doc = "Addresses (without host) that are told" },
    { "reasons", type = "array", items = { type = "enum", of = { "published", "deleted", "made_private", "manual" } },
      default = { "published", "deleted", "made_private", "manual" }, doc = "Why something is told" },
  } },
}
