local own = { type = "record", fields = {
  { "updates", type = "rate" }, { "bytes", type = "rate" }, { "messages", type = "rate" }, { "awareness", type = "rate" },
  { "rpc", type = "rate" }, { "http", type = "rate" }, { "connects", type = "rate" },
} }

return {
  name = "rate-limit", version = "2.0.0", api = 1, phase = "limit",
  summary = "How many changes, messages and requests a session, a person, an address or an org may send",
  hooks = { limits = {} },
  config = { version = 1, fields = {
    { "updates", type = "rate", default = "120/s", doc = "Changes of documents" },
    { "bytes", type = "rate", default = "512KiB/s", doc = "Bytes of changes" },
    { "messages", type = "rate", default = "10/s", doc = "Stateless messages" },
    { "awareness", type = "rate", default = "20/s", doc = "Cursors" },
    { "rpc", type = "rate", default = "10/s", doc = "Calls of plugins' functions over HTTP" },
    { "http", type = "rate", default = "20/s", doc = "Requests to the API and to plugins' routes" },
    { "connects", type = "rate", default = "600/m", doc = "New connections from one address" },
    { "burst", type = "number", default = 8, min = 1, max = 1000, doc = "So many times the number of a rate at once" },
    { "per", type = "enum", of = { "session", "user", "address", "org" }, default = "session", doc = "Whose uses are counted together" },
    { "action", type = "enum", of = { "slow", "refuse", "close" }, default = "slow", doc = "What becomes of what is too much" },
    { "close_after", type = "integer", default = 20, min = 0, max = 1000000,
      doc = "So many messages in a row that were too much end the connection; 0: none do" },
    { "exempt", type = "array", items = { type = "role" }, default = {}, doc = "Roles that are not counted" },
    { "roles", type = "map", values = own, default = {}, doc = "Rates of roles, instead of those above" },
  } },
}
