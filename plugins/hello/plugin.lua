return {
  name = "hello", version = "1.0.0", api = 1, phase = "policy",
  summary = "The smallest plugin: greets people, and asks for shorter pastes",
  hooks = { authorize = {}, before_update = { min_bytes = "1KiB" } },
  config = { version = 1, fields = {
    { "greeting", type = "string", default = "Hello", min_len = 1, doc = "Word that the log line begins with" },
    { "max_paste", type = "size", default = "1MiB", min = "1KiB", doc = "Largest amount of text one edit may add" },
  } },
}
