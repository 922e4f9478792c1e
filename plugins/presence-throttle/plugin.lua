return {
  name = "presence-throttle", version = "1.0.0", api = 1, phase = "limit",
  summary = "Cursors: how often, how large, and whose name stands on them",
  hooks = { awareness = {} },
  config = { version = 1, fields = {
    { "rate", type = "rate", default = "5/s",
      doc = "Changes of one cursor that others see; more are left out until the next one that fits" },
    { "max_bytes", type = "size", default = "4KiB", min = 64, max = "64KiB", doc = "Largest state; a larger one is not shown" },
    { "allow_fields", type = "array", items = { type = "string" }, default = {}, doc = "Fields that others see; empty: all" },
    { "verify_user", type = "boolean", default = true, doc = "Id and name come from the session, not from the client" },
  } },
}
