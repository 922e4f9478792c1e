return {
  name = "cdn-cloudfront", version = "1.0.0", api = 1, phase = "observe",
  summary = "CloudFront forgets what was published, by path",
  needs = { http = { "cloudfront.amazonaws.com" } },
  hooks = { purge = {} },
  config = { version = 1, fields = {
    { "distribution", type = "string", required = true, pattern = "^%w+$", doc = "Id of the distribution" },
    { "key_id", type = "string", min_len = 1, required = true, doc = "Access key id" },
    { "key", type = "string", min_len = 1, required = true, doc = "Secret access key; it may make invalidations" },
    { "region", type = "string", default = "us-east-1", doc = "That of the signature" },
    { "by", type = "enum", of = { "path", "wildcard" }, default = "path", doc = "Every file by its path, or all of a document" },
    { "batch", type = "integer", default = 1000, min = 1, max = 3000, doc = "Paths in one request" },
    { "endpoint", type = "url", default = "https://cloudfront.amazonaws.com", doc = "Where the API is" },
    { "only", type = "array", items = { type = "glob" }, default = { "**" }, doc = "Addresses (without host) that are told" },
    { "reasons", type = "array", items = { type = "enum", of = { "published", "deleted", "made_private", "manual" } },
      default = { "published", "deleted", "made_private", "manual" }, doc = "Why something is told" },
  } },
}
