return {
  name = "auth-apikey", version = "1.0.0", api = 1, phase = "auth",
  summary = "Services sign in with a key",
  hooks = { authenticate = {} },
  config = { version = 1, fields = {
    { "header", type = "string", default = "authorization", min_len = 1, max_len = 60,
      doc = "Header the key stands in; in authorization as `Bearer KEY`, in another by itself" },
    { "prefix", type = "string", default = "ml_", min_len = 2, max_len = 20,
      doc = "What every key begins with, so that other tokens are left to others" },
    { "keys", type = "array", default = {}, doc = "The keys: never themselves, only their SHA-256",
      items = { type = "record", fields = {
        { "name", type = "string", required = true, min_len = 1, max_len = 60, doc = "Name of the service; its user id is service:NAME" },
        { "sha256", type = "string", required = true, min_len = 64, max_len = 64, pattern = "^[0-9a-f]+$",
          doc = "printf %s KEY | sha256sum" },
        { "roles", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the service" },
        { "groups", type = "array", items = { type = "string" }, default = {}, doc = "Groups of the service" },
        { "expires", type = "string", default = "", doc = "Moment the key ends, as 2026-12-31" },
        { "cidrs", type = "array", items = { type = "cidr" }, default = {}, doc = "Addresses it may come from; empty: any" },
      } } },
  } },
}
