-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Presence", arg = "a", doc = "A cursor (`awareness`).",
    fields = { { "identity", "moonloom.Identity", doc = "Whose." }, { "state", "table", doc = "What the client says." },
               { "client", "integer", doc = "Yjs client id." }, { "doc_id", "string", doc = "Where." } } },
  { class = "moonloom.Message", arg = "m", doc = "A stateless message (`message`).",
    fields = { { "topic", "string", doc = "What about." }, { "payload", "any", doc = "What." }, { "identity", "moonloom.Identity", doc = "Whose." },
               { "doc", "moonloom.Doc", doc = "Where." }, { "to", "string?", doc = "For whom." } } },
}
