-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Response", since = "0.2.0", arg = "res", fake = "response", doc = "An answer about to leave (`cache_control`).",
    fields = {
      { "route", "string", doc = "Its name." }, { "method", "string", doc = "In capitals." }, { "status", "integer", doc = "HTTP." },
      { "is_api", "boolean", doc = "Of the API." }, { "has_cookie", "boolean", doc = "Sets one." }, { "authenticated", "boolean", doc = "Asked with credentials." },
      { "doc_id", "string?", doc = "About which." }, { "version", "integer?", doc = "Which version." }, { "content_type", "string?", doc = "MIME." },
    } },
  { class = "moonloom.Asset", since = "0.2.0", arg = "a", doc = "A published file (`asset_url`).",
    fields = { { "doc_id", "string", doc = "Of which." }, { "snapshot", "string", doc = "Name." }, { "file", "string", doc = "Name." }, { "hash", "string", doc = "Of its content." } } },
  { class = "moonloom.Purge", since = "0.2.0", arg = "p", doc = "What caches must forget (`purge`).",
    fields = {
      { "keys", "string[]", doc = "Surrogate keys." }, { "urls", "string[]", doc = "Whole." }, { "prefixes", "string[]", doc = "Beginnings." },
      { "reason", '"published"|"deleted"|"made_private"|"manual"', doc = "Why." }, { "urgent", "boolean", doc = "Not collected." },
    } },
}
