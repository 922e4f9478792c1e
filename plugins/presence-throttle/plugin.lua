return {
  name = "presence-throttle", version = "1.1.0", api = 1, phase = "limit",
  summary = "Cursors: how often, how large, and whose name stands on them",
  hooks = { awareness = {} },
  config = { version = 1, fields = {
    { "rate", type = "rate", default = "5/s",
      doc = "Changes of one cursor that others see; of more they see the newest, when there is time for it" },
    { "coalesce", type = "duration", default = "100ms", max = "10s",
      doc = "Others are told of one cursor at most once in so long, the newest state" },
    { "idle_after", type = "duration", default = "60s",
      doc = "A cursor that has not moved for so long is told once in 15 s, however often it says so" },
    { "max_bytes", type = "size", default = "4KiB", min = 64, max = "64KiB", doc = "Largest state; a larger one is not shown" },
    { "allow_fields", type = "array", items = { type = "string" }, default = {}, doc = "Fields that others see; empty: all" },
    { "verify_user", type = "boolean", default = true, doc = "Id and name come from the session, not from the client" },
  } },
}
