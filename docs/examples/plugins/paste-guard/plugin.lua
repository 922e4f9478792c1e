return {
  name    = "paste-guard",
  version = "1.0.0",
  api     = 1,
  summary = "Keeps card numbers and private keys out of documents",
  phase   = "validate",

  hooks = {
    before_update = { kinds = { "text.insert" }, paths = { "content/**", "comments/**" } },
    rpc = { ["paste_guard.stats"] = { roles = { "admin" } } },
  },
  needs = { "cache" },
  metrics = { masked = { type = "counter", help = "Card numbers masked" } },

  config = {
    version = 1,
    fields = {
      { "keys", type = "array", items = { type = "regex" }, default = { "-----BEGIN [A-Z ]*PRIVATE KEY-----" },
        doc = "Text matching any of these is refused" },
      { "max_insert", type = "size", default = "64KiB", min = "1KiB",
        doc = "Largest amount of text one update may add" },
    },
  },
}
