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
    fields = { { "id", "string", doc = "Its name." }, { "identity", "moonloom.Identity?", doc = "Who." }, { "template", "string?", doc = "Asked for." }, { "labels", "table<string, any>", doc = "Asked for." } },
    methods = { { "transact", "(fn: fun(tx: moonloom.Tx)): any", doc = "Initial content." } } },
}
