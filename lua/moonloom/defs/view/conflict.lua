-- SPDX-License-Identifier: MIT
local S = "0.1.0"

return {
  { class = "moonloom.Conflict", arg = "c", c = "conflict", fake = "conflict", doc = "Two writers, neither had seen the other's change (`conflict`).",
    fields = {
      { "kind", '"map"|"attr"|"block"|"delete"', since = S, doc = "What collided." }, { "path", "string", since = S, doc = "Of the container; of a deletion: of what was deleted; of a block: of its text." },
      { "key", "string?", since = S, doc = "The map key or attribute." }, { "block", "string?", since = S, doc = "Stays while positions move." },
      { "base", "moonloom.Base", since = S, doc = "What both had seen." }, { "current", "moonloom.Side", since = S, doc = "What stands." },
      { "incoming", "moonloom.Side", since = S, doc = "What has come." }, { "natural", '"current"|"incoming"|"both"', since = S, doc = "What the CRDT would pick; of a block both are in." },
      { "doc", "moonloom.Doc", since = S, doc = "Read only." }, { "org", "string", since = S, doc = "Id of the org." },
      { "now", "number", since = S, doc = "Clock of this decision." }, { "exact", "boolean", since = S, doc = "False: what the writer had seen is an estimate." },
    } },
  { class = "moonloom.Base", c = "base", doc = "What both had seen.",
    fields = { { "known", "boolean", since = S, doc = "False: it is gone." }, { "value", "any", since = S, doc = "Plain." }, { "seq", "integer?", since = S, doc = "Record." } } },
  { class = "moonloom.Side", c = "side", doc = "One of the two.",
    fields = {
      { "value", "any", since = S, doc = "Plain; nil: deleted." }, { "author", "moonloom.Author", since = S, doc = "Who." }, { "session", "string?", since = S, doc = "Which session." },
      { "at", "number?", since = S, doc = "Arrival, by the server's clock; nil: long ago." }, { "seq", "integer?", since = S, doc = "Record." },
      { "based_on", "number?", since = S, doc = "Clock of the newest thing the writer had seen." }, { "offline", "boolean", since = S, doc = "Written offline." },
      { "origin", "string?", since = S, doc = "Where it came from." }, { "is_shared", "boolean", since = S, doc = "A shared type: the loser becomes a copy." },
    } },
}
