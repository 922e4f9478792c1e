-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Presence", since = "0.2.0", arg = "a", doc = "A cursor (`awareness`).",
    fields = { { "identity", "moonloom.Identity", doc = "Whose." }, { "state", "table", doc = "What the client says." },
               { "client", "integer", doc = "Yjs client id." }, { "doc_id", "string", doc = "Where." } } },
  { class = "moonloom.Message", arg = "m", doc = "A stateless message (`message`).",
    fields = { { "topic", "string?", since = "0.3.0", doc = "Member `topic` of the payload, if that is text." },
               { "payload", "any", since = "0.3.0", doc = "The text, or what it says if it is JSON." },
               { "identity", "moonloom.Identity", since = "0.3.0", doc = "Whose." }, { "doc", "moonloom.Doc", since = "0.3.0", doc = "Where." },
               { "to", "string?", since = "0.3.0", doc = "Member `to` of the payload, if that is text." } } },
}
