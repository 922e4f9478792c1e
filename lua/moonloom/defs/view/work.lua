-- SPDX-License-Identifier: MIT
-- Work: rpc, jobs, cron, new documents.
return {
  { class = "moonloom.Call", arg = "call", doc = "A call from a client (`rpc`).",
    fields = { { "args", "table", doc = "Checked." }, { "identity", "moonloom.Identity", doc = "Whose." }, { "session", "moonloom.Session", doc = "Connection." }, { "doc", "moonloom.Doc?", doc = "If `doc = true`." } } },
  { class = "moonloom.Job", arg = "job", doc = "One try of a job.",
    fields = { { "id", "string", doc = "The same over retries: an idempotency key." }, { "try", "integer", doc = "From 1." }, { "queued_at", "number", doc = "When." } } },
  { class = "moonloom.Run", arg = "run", doc = "One run of a cron entry.",
    fields = { { "at", "number", doc = "When it was due." } } },
  { class = "moonloom.NewDocument", arg = "d", doc = "A document about to be made (`create_document`).",
    fields = { { "id", "string", doc = "Its name." }, { "org", "string", doc = "Id of the org." }, { "identity", "moonloom.Identity?", doc = "Who wants it: the first who may write." },
               { "template", "string?", doc = "Name of the document that it is a copy of." }, { "labels", "table<string, any>", doc = "None yet." } },
    methods = { { "transact", "(fn: fun(tx: moonloom.Tx)): any", since = "0.3.0", doc = "What it begins with. As often as wanted, also after a wait, until the hook is over; nothing of it is there if the hook fails or denies." } } },
}
