-- SPDX-License-Identifier: MIT
return {
  name = "sessions", need = "sessions", since = "0.2.0", doc = "Who is connected, in this org.",
  { "list", "(filter?: { user?: string, doc?: string, session?: string }): table[]", waits = true, doc = "Sessions on this node, one for each document: `session`, `user`, `name`, `doc`, `write`." },
  { "revoke", "(filter: { user?: string, session?: string, doc?: string }): integer", waits = true, doc = "Ends them, on every node; how many on this one." },
  { "recheck", "(filter?: { user?: string, doc?: string, session?: string, org?: string }): integer", waits = true, doc = "Asks `authorize` again for live sessions, on every node; how many on this one." },
  { "notify", "(filter: { user?: string, session?: string, doc?: string, code: string, data?: any }): integer", waits = true, doc = "Tells the clients on this node that understand notices; how many." },
}
