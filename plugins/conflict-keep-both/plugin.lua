return {
  name = "conflict-keep-both", version = "1.0.0", api = 1, phase = "policy",
  summary = "Nothing that two people wrote at once is lost: the other value goes into a list beside it",
  hooks = { conflict = { kinds = { "map", "attr" } } },
  config = { version = 1, fields = {
    { "paths", type = "array", items = { type = "path" }, required = true, min_items = 1, example = { "tasks/*" },
      doc = "Containers in which both values are kept" },
    { "key", type = "string", default = "conflicts", min_len = 1, doc = "Name of the list" },
    { "max", type = "integer", default = 20, min = 1, doc = "Longer than this no list becomes; then the CRDT's own rule applies" },
  } },
}
