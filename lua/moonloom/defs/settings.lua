-- SPDX-License-Identifier: MIT
-- The types that a field of a plugin's config may have (moonloom.schema), for people: what is taken, and what
-- self.config holds. A spec holds the two against each other.
return {
  { "string",   "text; `min_len`, `max_len`, `pattern` (a Lua pattern)", '{ "title", type = "string", max_len = 80, default = "" }' },
  { "number",   "a finite number; `min`, `max`", '{ "share", type = "number", min = 0, max = 1, default = 0.7 }' },
  { "integer",  "a whole number; `min`, `max`", '{ "words", type = "integer", min = 1, default = 500 }' },
  { "boolean",  "true or false", '{ "quiet", type = "boolean", default = false }' },
  { "enum",     "one of the words in `of`", '{ "mode", type = "enum", of = { "warn", "refuse" }, default = "warn" }' },
  { "duration", 'text as `"90s"`, `"5m"`, `"2h"`, or seconds; `self.config` has seconds; `min`, `max`', '{ "every", type = "duration", default = "10m" }' },
  { "size",     'text as `"64KiB"`, `"10MB"`, or bytes; `self.config` has bytes; `min`, `max`', '{ "most", type = "size", default = "1MiB" }' },
  { "rate",     'text as `"30/s"`, `"100/m"`; `self.config` has `{ n, per }`, per in seconds', '{ "updates", type = "rate", default = "30/s" }' },
  { "url",      "an address with a host; `schemes` (usual: https, http)", '{ "target", type = "url", schemes = { "https" }, required = true }' },
  { "host",     "a host name or an IP address", '{ "server", type = "host" }' },
  { "cidr",     'a range of addresses, as `"10.0.0.0/8"`', '{ "office", type = "cidr" }' },
  { "email",    "a mail address", '{ "contact", type = "email" }' },
  { "role",     "the name of a role", '{ "editors", type = "role", default = "editor" }' },
  { "glob",     'a pattern of document ids: `*` within a segment, `**` across, as `"drafts/**"`', '{ "docs", type = "glob", default = "**" }' },
  { "path",     'a pattern of paths in a document, as `"meta/*"`', '{ "where", type = "path", default = "content" }' },
  { "regex",    "a regular expression of `ml.re`", '{ "banned", type = "regex" }' },
  { "cron",     'five fields, as `"0 3 * * *"`; `tz`', '{ "when", type = "cron", default = "0 3 * * *" }' },
  { "secret",   "text that is never printed: `self.config` has a handle, which the library takes", '{ "key", type = "secret", required = true }' },
  { "array",    "a list; `items` (a type as here, usual: text), `min_items`, `max_items`, `unique`", '{ "folders", type = "array", items = { type = "glob" }, default = {} }' },
  { "map",      "names to values; `keys`, `values` (types as here)", '{ "limits", type = "map", values = { type = "integer" } }' },
  { "record",   "a table with `fields`, as a config itself, and `rules`", '{ "mail", type = "record", fields = { { "to", type = "email" } } }' },
  { "any_of",   "the first of the types in `of` that fits", '{ "to", type = "any_of", of = { { type = "url" }, { type = "email" } } }' },
}
