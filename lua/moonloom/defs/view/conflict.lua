-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Conflict", arg = "c", c = "conflict", fake = "conflict", doc = "Two writers, neither had seen the other's change (`conflict`).",
    fields = {
      { "kind", '"map"|"attr"|"block"|"delete"', doc = "What collided." }, { "path", "string", doc = "Of the container." },
      { "key", "string?", doc = "The map key or attribute." }, { "block", "string?", doc = "Stays while positions move." },
      { "base", "moonloom.Base", doc = "What both had seen." }, { "current", "moonloom.Side", doc = "What stands." },
      { "incoming", "moonloom.Side", doc = "What has come." }, { "natural", '"current"|"incoming"', doc = "What the CRDT would pick." },
      { "doc", "moonloom.Doc", doc = "Read only." }, { "org", "string", doc = "Id of the org." },
      { "now", "number", doc = "Clock of this decision." }, { "exact", "boolean", doc = "False: what the writer had seen is an estimate." },
    } },
  { class = "moonloom.Base", doc = "What both had seen.",
    fields = { { "known", "boolean", doc = "False: it is gone." }, { "value", "any", doc = "Plain." }, { "seq", "integer?", doc = "Record." } } },
  { class = "moonloom.Side", doc = "One of the two.",
    fields = {
      { "value", "any", doc = "Plain; nil: deleted." }, { "author", "moonloom.Author", doc = "Who." }, { "session", "string?", doc = "Which session." },
      { "at", "number", doc = "Arrival, by the server's clock." }, { "seq", "integer?", doc = "Record." },
      { "based_on", "number?", doc = "Clock of the newest thing the writer had seen." }, { "offline", "boolean", doc = "Written offline." },
      { "origin", "string", doc = "Where it came from." }, { "is_shared", "boolean", doc = "A shared type: the loser becomes a copy." },
    } },
}
