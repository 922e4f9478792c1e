return {
  name = "cdn-versioned-urls", version = "1.1.0", api = 1, phase = "policy",
  summary = "Published files under the host of a CDN, perhaps with a signature",
  hooks = { asset_url = {}, cache_control = {} },
  config = { version = 1, fields = {
    { "base", type = "url", required = true, doc = "The CDN's host, such as https://cdn.example.com" },
    { "pattern", type = "string", default = "/d/{org}/{doc}/s/{snapshot}-{hash}/{file}", doc = "The path below it" },
    { "signed", type = "record", doc = "Addresses that end after a while", fields = {
      { "enabled", type = "boolean", default = false, doc = "Sign them" },
      { "key", type = "secret", doc = "Shared with the CDN" },
      { "ttl", type = "duration", default = "1h", doc = "How long an address is good" },
    } },
    { "pointer_ttl", type = "duration", default = "0s", min = 0, doc = "How long the CDN may keep the pointer to the newest version" },
  } },
}
