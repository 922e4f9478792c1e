return {
  name = "closing-time", version = "1.0.0", api = 1, phase = "policy",
  summary = "After a given moment documents can be read, not changed",
  hooks = { before_update = {} },
  config = { version = 1, fields = {
    { "closes_at", type = "number", required = true, min = 0, example = 1798761600,
      doc = "Moment of closing, in seconds since 1970 (date -d '2027-01-01 00:00 UTC' +%s)" },
  } },
}
