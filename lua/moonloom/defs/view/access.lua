-- SPDX-License-Identifier: MIT
-- Connections and rights.
local S = "0.1.0"

return {
  { class = "moonloom.Request", arg = "req", c = "req", fake = "request", doc = "A connection or request (`upgrade`, `authenticate`).",
    fields = {
      { "method", "string", since = S, doc = "In capitals." }, { "path", "string", since = S, doc = "Without query." },
      { "ip", "string?", since = S, doc = "Of the client." }, { "host", "string?", since = S, doc = "As asked for." },
      { "origin", "string?", since = S, doc = "Origin header." }, { "token", "string?", since = S, doc = "Bearer, query or protocol token." },
      { "headers", "table<string, string>", since = S, doc = "Any case." }, { "query", "table<string, string>", since = S, doc = "Decoded." },
      { "cookies", "table<string, string>", since = S, doc = "By name." }, { "is_websocket", "boolean", since = S, doc = "A socket is wanted." },
      { "tls", "boolean", since = S, doc = "Encrypted up to this server." },
    },
    methods = { { "label", "(key: string, value: any)", doc = "For later plugins." } } },
  { class = "moonloom.Identity", c = "identity", fake = "identity", doc = "Who somebody is.",
    fields = {
      { "user", "string", since = S, doc = "Id." }, { "name", "string?", since = S, doc = "For people." },
      { "session", "string?", since = S, doc = "Id of the session." }, { "roles", "string[]", since = S, doc = "Roles." },
      { "kind", '"user"|"guest"|"service"', since = S, doc = "What it is." }, { "expires_at", "number?", since = S, doc = "Seconds since 1970." },
      { "groups", "string[]", since = S, doc = "Groups." }, { "claims", "table?", doc = "Of the token." },
      { "color", "string?", doc = "`#rrggbb` of its cursor; only in the answer of `authenticate`." },
      { "avatar", "string?", doc = "Address of its picture; only in the answer of `authenticate`." },
    },
    methods = { { "has_role", "(name: string): boolean", since = S, pure = true, doc = "Has it this role?" } } },
  { class = "moonloom.Author", c = "author", doc = "Who wrote something.",
    fields = {
      { "user", "string?", since = S, doc = "Id." }, { "name", "string?", since = S, doc = "For people." },
      { "session", "string?", since = S, doc = "Id of the session." }, { "roles", "string[]", since = S, doc = "Roles." },
      { "groups", "string[]", since = S, doc = "Groups." },
      { "kind", '"user"|"guest"|"service"|nil', since = S, doc = "What it is." },
    },
    methods = { { "has_role", "(name: string): boolean", since = S, pure = true, doc = "Has it this role?" } } },
  { class = "moonloom.Ask", arg = "ask", c = "ask", fake = "ask", doc = "What `authorize` is asked.",
    fields = {
      { "action", "string", since = S, doc = '"doc.open", "rpc.NAME" …' }, { "org", "string", since = S, doc = "Id of the org." },
      { "doc_id", "string?", since = S, doc = "The document." }, { "identity", "moonloom.Identity", since = S, doc = "Of nobody, `user` is empty and `kind` \"guest\"." },
      { "session", "moonloom.Session|string|nil", since = S, doc = "The connection." },
    } },
  { class = "moonloom.Member", arg = "member", c = "member", doc = "A seat in a room (`joined`, `left`, `u.member`).",
    fields = {
      { "session", "moonloom.Session|string", since = S, doc = "The connection." }, { "identity", "moonloom.Identity", since = S, doc = "Who." },
      { "doc", "moonloom.Doc", doc = "The document." }, { "grant", "moonloom.Rights", doc = "What it may." },
      { "resumed", "boolean", doc = "It was here before." }, { "missed", "integer", doc = "Operations it lacked." },
      { "labels", "table<string, any>", doc = "What plugins left." },
    },
    methods = {
      { "label", "(key: string, value: any)", doc = "For later plugins." },
      { "notify", "(code: string, data?: any)", doc = "Tells its client." },
      { "close", "(code: string)", doc = "Ends it." },
    } },
  { class = "moonloom.Session", arg = "session", doc = "A connection (`connected`, `disconnected`).",
    fields = {
      { "id", "string", since = S, doc = "Its id." }, { "identity", "moonloom.Identity?", since = S, doc = "Who." }, { "ip", "string", since = S, doc = "From where." },
      { "client", "{ name: string?, version: string?, dialect: string }", since = S, doc = "Which program." },
      { "labels", "table<string, any>", doc = "What plugins left." },
      { "closed", "{ code: integer, reason: string, seconds: number, bytes_in: integer, bytes_out: integer }?", since = S, doc = "In `disconnected`." },
    },
    methods = {
      { "label", "(key: string, value: any)", doc = "For later plugins." },
      { "notify", "(code: string, data?: any)", doc = "Tells its client." },
      { "close", "(code: string)", doc = "Ends it." },
    } },
  { class = "moonloom.Frame", arg = "frame", doc = "One message, not yet read (`admit`).",
    fields = { { "kind", '"update"|"sync"|"awareness"|"message"|"rpc"', since = "0.3.0", doc = "What it is; `rpc` not in this version." },
               { "bytes", "integer", since = "0.3.0", doc = "Size." },
               { "session", "moonloom.Session", since = "0.3.0", doc = "The connection: `id`, `identity`." } } },
  { class = "moonloom.Rights", doc = "What `ml.grant` and `ml.restrict` take. `write`: true, path patterns, or patterns by operation or edit kind.",
    fields = {
      { "role", "string?", since = "0.3.0", doc = "Of `ml.grant`: viewer, commenter, suggester, editor, owner or admin; what the server gives to that role, unless another field says something else." },
      { "read", "boolean?", since = S, doc = "The whole document." }, { "write", "boolean|string[]|table<string, any>|nil", since = S, doc = "Where." },
      { "presence", "boolean?", since = S, doc = "Cursors." }, { "messages", "boolean?", since = S, doc = "Messages." },
      { "history", "boolean?", since = S, doc = "Versions." }, { "ttl", "moonloom.Duration?", since = S, doc = "Then it is asked again." },
      { "code", "string?", doc = "Of a restriction." }, { "reason", "string?", doc = "Of a restriction." },
    } },
  { class = "moonloom.Limit", arg = "l", doc = "What was reached (`over_limit`).",
    fields = { { "what", "string", doc = "Name of the limit." }, { "used", "number", doc = "Now." }, { "limit", "number", doc = "At most." },
               { "identity", "moonloom.Identity?", doc = "Who." }, { "scope", "string", doc = "Session, org …" } } },
}
