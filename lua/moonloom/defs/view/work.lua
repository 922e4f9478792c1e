-- SPDX-License-Identifier: MIT
-- Work: rpc, jobs, cron, new documents.
return {
  { class = "moonloom.Call", arg = "call", doc = "A call from a client (`rpc`).",
    fields = { { "args", "table", since = "0.2.0", doc = "Checked." }, { "identity", "moonloom.Identity", since = "0.2.0", doc = "Whose." },
               { "session", "moonloom.Session", since = "0.2.0", doc = "Connection: `id`." }, { "doc_id", "string?", since = "0.2.0", doc = "Name of the document, if the call names one." },
               { "doc", "moonloom.Doc?", since = "0.3.0", doc = "If `doc = true`: the document, as it is committed, until the first wait. `doc:transact` is an edit of `identity`, committed if the function answers a value; `doc:sessions()` is empty." },
               { "grant", "{ read: boolean, write: boolean, presence: boolean, messages: boolean, history: boolean, everywhere: boolean }?", since = "0.3.0", doc = "If `doc = true`: what `identity` may do in it; `write` also if only in places, `everywhere` if in all." } } },
  { class = "moonloom.Job", since = "0.2.0", arg = "job", doc = "One try of a job.",
    fields = { { "id", "string", doc = "The same over retries: an idempotency key." }, { "try", "integer", doc = "From 1." }, { "queued_at", "number", doc = "When." } } },
  { class = "moonloom.Run", since = "0.2.0", arg = "run", doc = "One run of a cron entry.",
    fields = { { "at", "number", doc = "When it was due." } } },
  { class = "moonloom.NewDocument", since = "0.3.0", arg = "d", doc = "A document about to be made (`create_document`).",
    fields = { { "id", "string", doc = "Its name." }, { "org", "string", doc = "Id of the org." }, { "identity", "moonloom.Identity?", doc = "Who wants it: the first who may write." },
               { "template", "string?", doc = "Name of the document that it is a copy of." }, { "labels", "table<string, any>", doc = "None yet." } },
    methods = { { "transact", "(fn: fun(tx: moonloom.Tx)): any", since = "0.3.0", doc = "What it begins with. As often as wanted, also after a wait, until the hook is over; nothing of it is there if the hook fails or denies." } } },
}
