-- SPDX-License-Identifier: MIT
return {
  name = "http", need = "http",
  doc = "Outgoing requests, to granted hosts only; private addresses are refused, redirects are checked again.",
  { "request", "(opts: moonloom.HttpOptions): moonloom.HttpAnswer", since = "0.2.0", waits = true, fails = true, doc = "The whole request in one table.",
    example = 'local res, kind = ml.http.request { url = self.config.url, timeout = 5 }' },
  { "get", "(url: string, opts?: moonloom.HttpOptions): moonloom.HttpAnswer", since = "0.2.0", waits = true, fails = true, doc = "GET." },
  { "post", "(url: string, opts?: moonloom.HttpOptions): moonloom.HttpAnswer", since = "0.2.0", waits = true, fails = true, doc = "POST.",
    example = 'ml.http.post(self.config.url, { json = { text = "hi" } })' },
  { "put", "(url: string, opts?: moonloom.HttpOptions): moonloom.HttpAnswer", since = "0.2.0", waits = true, fails = true, doc = "PUT." },
  { "delete", "(url: string, opts?: moonloom.HttpOptions): moonloom.HttpAnswer", since = "0.2.0", waits = true, fails = true, doc = "DELETE." },
  classes = {
    { class = "moonloom.HttpOptions", since = "0.2.0", doc = "What a request may say.",
      fields = {
        { "method", "string?" }, { "url", "string?" }, { "headers", "table<string, string>?" }, { "query", "table<string, string>?" },
        { "body", "string?" }, { "json", "any" }, { "form", "table<string, string>?" },
        { "timeout", "moonloom.Duration?", doc = "10 s." }, { "max_body", "moonloom.Size?", doc = "1 MiB." },
        { "retries", "integer?", doc = "0." }, { "idempotency_key", "string?" },
        { "sign", "{ header: string, key: any }?", doc = "Adds a timestamp and an HMAC." },
      } },
    { class = "moonloom.HttpAnswer", since = "0.2.0", doc = "What came back.",
      fields = { { "status", "integer" }, { "headers", "table<string, string>", doc = "Lower case." }, { "body", "string" } },
      methods = { { "json", "(): any", fails = true, doc = "The body, decoded." } } },
  },
}
