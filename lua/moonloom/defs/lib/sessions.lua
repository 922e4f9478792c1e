-- SPDX-License-Identifier: MIT
return {
  name = "sessions", need = "sessions", doc = "Who is connected, in this org.",
  { "list", "(filter?: { user?: string, doc?: string }): table[]", waits = true, doc = "Sessions of the cluster." },
  { "revoke", "(filter: { user?: string, session?: string }): integer", waits = true, doc = "Ends them; how many." },
  { "recheck", "(filter?: { user?: string, doc?: string, org?: string }): integer", waits = true, doc = "Asks `authorize` again for live sessions." },
  { "notify", "(filter: { user?: string, session?: string, doc?: string, code: string, data?: any }): integer", waits = true, doc = "Tells their clients." },
}
