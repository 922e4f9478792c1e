return {
  name = "conflict-keep-both", version = "1.1.0", api = 1, phase = "policy",
  summary = "Nothing that two people wrote at once is lost: the other value goes into a list beside it",
  rpc_prefix = "conflict", needs = { "sessions" },
  hooks = {
    conflict = { kinds = { "map", "attr" } },
    after_update = { kinds = { "map.set", "array.insert" }, every = "1s" },
    document_loaded = {},
    rpc = { ["conflict.keep"] = { doc = true, args = {
      { "path", type = "string", required = true, min_len = 1, max_len = 4096 },
      { "id", type = "string", required = true, min_len = 1, max_len = 64 },
      { "key", type = "string", max_len = 1024 },
    } } },
  },
  config = { version = 1, fields = {
    { "paths", type = "array", items = { type = "path" }, required = true, min_items = 1, example = { "tasks/*" },
      doc = "Containers in which both values are kept" },
    { "key", type = "string", default = "conflicts", min_len = 1, doc = "Name of the list" },
    { "max", type = "integer", default = 20, min = 1, doc = "Longer than this no list becomes; then the CRDT's own rule applies" },
    { "notify", type = "boolean", default = true, doc = "Tell both authors, if they are here" },
    { "resolve_rpc", type = "boolean", default = true, doc = "Let editors pick a value with the call conflict.keep" },
    { "ttl", type = "duration", default = "30d", min = "1m", doc = "How long an entry stays" },
  } },
}
