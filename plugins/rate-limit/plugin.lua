return {
  name = "rate-limit", version = "1.0.0", api = 1, phase = "limit",
  summary = "How many changes and messages a session, a person, a document or an org may send",
  needs = { "limiter" },
  hooks = { before_update = {}, message = {} },
  config = { version = 1, fields = {
    { "updates", type = "rate", default = "120/s", doc = "Changes of documents" },
    { "bytes", type = "rate", default = "512KiB/s", doc = "Bytes of changes" },
    { "messages", type = "rate", default = "10/s", doc = "Stateless messages" },
    { "burst", type = "number", default = 8, min = 1, max = 1000, doc = "So many times the number of a rate at once" },
    { "per", type = "enum", of = { "session", "user", "document", "org" }, default = "user", doc = "Whose changes are counted together" },
    { "exempt", type = "array", items = { type = "role" }, default = {}, doc = "Roles that are not counted" },
  } },
}
