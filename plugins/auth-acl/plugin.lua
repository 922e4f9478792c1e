local path_list = { type = "array", items = { type = "path" } }

local role = { type = "record", fields = {
  { "read", type = "boolean", default = true, doc = "May open documents" },
  { "write", type = "any_of", of = { { type = "boolean" }, path_list }, default = false,
    doc = "May write: everywhere, or at these paths; {user} is who writes" },
  { "insert", type = "array", items = path_list.items, default = {}, doc = "Paths where it may insert and set" },
  { "remove", type = "array", items = path_list.items, default = {}, doc = "Paths where it may delete" },
  { "format", type = "array", items = path_list.items, default = {}, doc = "Paths where it may format text" },
  { "presence", type = "boolean", default = true, doc = "Others see the cursor" },
  { "messages", type = "boolean", default = true, doc = "May send messages" },
  { "history", type = "boolean", default = false, doc = "May see earlier versions; with write = true also name and restore them" },
  { "export", type = "boolean", default = false, doc = "May publish, hide and purge" },
  { "create", type = "boolean", doc = "May make documents; without it whoever writes everywhere may" },
  { "delete", type = "boolean", default = false, doc = "May delete documents, and bring them back" },
  { "share", type = "boolean", default = false, doc = "May share documents, up to what it has itself" },
  { "rpc", type = "array", items = { type = "string" }, doc = "Calls by name that it may make; without it all" },
} }

return {
  name = "auth-acl", version = "2.0.0", api = 1, phase = "auth",
  summary = "Who may open which document, and what they may do there",
  hooks = {
    authorize = {}, authorize_edit = {}, create_document = {},
    routes = { ["GET /rules"] = {}, ["PUT /rules/:id"] = { max_body = "64KiB" }, ["DELETE /rules/:id"] = {},
               ["POST /changed"] = { roles = { "admin" }, max_body = "4KiB" } },
  },
  needs = { "kv", "cache", "sessions", http = { "config.http_url" } },
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
        { "until", type = "string", default = "", doc = "Moment the rule ends, as 2026-12-31 or 2026-12-31T18:00:00Z" },
        { "until_", type = "string", deprecated = { since = "2.0.0", use = "until", note = "in Lua [\"until\"] = …" }, doc = "As until" },
      } } },
    { "paths", type = "array", default = {}, doc = "Places that only some roles may change, or some never",
      items = { type = "record", fields = {
        { "path", type = "path", required = true, doc = "Pattern of the place, with the key" },
        { "only", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the identity that may; empty: all" },
        { "never", type = "array", items = { type = "role" }, default = {}, doc = "Roles of the identity that may not" },
      } } },
    { "admins", type = "array", items = { type = "role" }, default = { "admin" },
      doc = "Roles of the identity that may do everything everywhere" },
    { "source", type = "enum", of = { "config", "kv", "http" }, default = "config",
      doc = "Where more rules come from: from nowhere, from the store (routes below), or from http_url" },
    { "http_url", type = "url", doc = "Is asked which roles somebody has in a document" },
    { "http_headers", type = "map", keys = { type = "string" }, values = { type = "secret" }, default = {},
      doc = "Header fields of that request, such as an access token" },
    { "cache", type = "duration", default = "5m", min = "1s", doc = "How long a decision holds before it is made again" },
    { "owner_role", type = "string", default = "", doc = "Role of whoever made a document, in that document" },
    { "links", type = "record", default = {}, doc = "Links of the server to documents", fields = {
      { "enabled", type = "boolean", default = true, doc = "They open documents" },
      { "roles", type = "array", items = { type = "role" }, default = { "viewer", "commenter", "suggester", "editor" },
        doc = "Only links that give one of these" },
    } },
    { "anonymous", type = "string", default = "", doc = "Role of people without a session in documents that a rule without names covers" },
  } },
}
