return {
  name = "conflict-lww-server-clock", version = "1.0.0", api = 1, phase = "policy",
  summary = "The last write wins, by the server's clock",
  hooks = { conflict = { kinds = { "map", "attr" } } },
  config = { version = 1, fields = {
    { "paths", type = "array", items = { type = "path" }, default = { "**" }, doc = "Containers it decides about" },
    { "keys", type = "array", items = { type = "string" }, default = {}, doc = "Keys and attributes; none: all" },
    { "offline", type = "enum", of = { "arrival", "based_on" }, default = "based_on",
      doc = "Edits made offline count by when they arrive, or by the newest thing their writer had seen" },
    { "window", type = "duration", default = "0s", doc = "Closer together than this, the CRDT's own rule applies" },
    { "keep_loser", type = "enum", of = { "no", "history", "beside" }, default = "history",
      doc = "Where the other value goes: history has every record in any case; beside: into a list next to the key" },
    { "beside_key", type = "string", default = "conflicts", min_len = 1, doc = "Name of that list" },
  } },
}
