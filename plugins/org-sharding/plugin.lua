return {
  name = "org-sharding", version = "1.0.0", api = 1, phase = "policy", tier = "operator",
  summary = "On which of several primaries a new org lives",
  hooks = { place_document = {} },
  config = { version = 1, fields = {
    { "pools", type = "array", required = true, doc = "The primaries of `store` that take new orgs", items = { type = "record", fields = {
      { "name", type = "string", required = true, doc = "As in store.primaries" },
      { "weight", type = "number", default = 1, min = 0, doc = "A pool of weight 2 gets twice as many orgs as one of weight 1" },
      { "state", type = "enum", of = { "open", "full", "draining" }, default = "open", doc = "Only open ones get new orgs" },
    } } },
    { "pin", type = "map", values = { type = "string" }, default = {}, doc = "Org to pool: it lives there whatever the pool's state" },
  } },
}
