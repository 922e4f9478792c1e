local MODES = { "sum", "max", "min", "average", "clamp_sum" }

return {
  name = "conflict-numeric", version = "1.0.0", api = 1, phase = "policy",
  summary = "Numbers that several people change at once",
  hooks = { conflict = { kinds = { "map", "attr" } } },
  config = { version = 1, fields = {
    { "fields", type = "array", required = true, min_items = 1,
      example = { { path = "stock/*", keys = { "count" }, mode = "sum" } },
      doc = "Which numbers, and what becomes of two that were written at once; the first match counts",
      items = { type = "record", fields = {
        { "path", type = "path", required = true, doc = "Pattern of the container" },
        { "keys", type = "array", default = {}, items = { type = "string" }, doc = "Keys in it; none: all" },
        { "mode", type = "enum", of = MODES, required = true, doc = "sum: base plus both differences; clamp_sum: within min and max" },
        { "min", type = "number", doc = "No result is smaller" },
        { "max", type = "number", doc = "No result is larger" },
        { "integer", type = "boolean", default = false, doc = "Round the result" },
      } } },
  } },
}
