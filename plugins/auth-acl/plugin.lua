local paths = { type = "any_of", of = { { type = "boolean" }, { type = "array", items = { type = "path" } } } }

local role = { type = "record", fields = {
  { "read", type = "boolean", default = true, doc = "May open documents" },
  { "write", type = "any_of", of = paths.of, default = false, doc = "May write: everywhere, or at these paths; {user} is who writes" },
  { "presence", type = "boolean", default = true, doc = "Others see the cursor" },
  { "messages", type = "boolean", default = true, doc = "May send messages" },
  { "history", type = "boolean", default = false, doc = "May see earlier versions" },
} }

return {
  name = "auth-acl", version = "1.0.0", api = 1, phase = "auth",
  summary = "Who may open which document, and what they may do there",
  hooks = { authorize = {}, authorize_edit = {} },
  config = { version = 1, fields = {
    { "default", type = "enum", of = { "none", "read", "write" }, default = "none", doc = "For signed-in people whom no rule names" },
    { "roles", type = "map", values = role, default = {}, doc = "Roles by name, beside or instead of those that are there" },
    { "rules", type = "array", default = {}, doc = "Who gets which role where; the rights of all rules that fit add up",
      items = { type = "record", fields = {
        { "docs", type = "glob", required = true, doc = "Documents the rule is for" },
        { "users", type = "array", items = { type = "string" }, default = {}, doc = "User ids" },
        { "groups", type = "array", items = { type = "string" }, default = {}, doc = "Groups of the identity" },
        { "roles", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the identity" },
        { "give", type = "role", required = true, doc = "Role they have in these documents" },
        { "until_", type = "string", default = "", doc = "Moment the rule ends, as 2026-12-31 or 2026-12-31T18:00:00Z" },
      } } },
    { "paths", type = "array", default = {}, doc = "Places that only some roles may change, or some never",
      items = { type = "record", fields = {
        { "path", type = "path", required = true, doc = "Pattern of the place, with the key" },
        { "only", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the identity that may; empty: all" },
        { "never", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the identity that may not" },
      } } },
    { "admins", type = "array", items = { type = "role" }, default = { "admin" },
      doc = "Roles of the identity that may do everything everywhere" },
    { "cache", type = "duration", default = "5m", min = "1s", doc = "How long a decision holds before it is made again" },
    { "anonymous", type = "string", default = "", doc = "Role of people without a session in documents that a rule without names covers" },
  } },
}
