-- SPDX-License-Identifier: MIT
-- Routes of a plugin.
return {
  { class = "moonloom.WebRequest", since = "0.2.0", arg = "req", doc = "A request to a route; has all of moonloom.Request too.",
    fields = {
      { "params", "table<string, string>", doc = "From the path." }, { "query", "table<string, string>", doc = "Decoded." },
      { "headers", "table<string, string>", doc = "Any case." }, { "method", "string", doc = "In capitals." }, { "path", "string", doc = "As asked." },
      { "body", "string", doc = "Up to max_body." }, { "identity", "moonloom.Identity?", doc = "nil: a public route." },
    },
    methods = { { "json", "(): any", fails = true, doc = "The body, decoded." }, { "form", "(): table<string, string>", fails = true, doc = "The body, decoded." } } },
  { class = "moonloom.WebResponse", since = "0.2.0", arg = "res", doc = "The answer; every method answers it again.",
    methods = {
      { "status", "(code: integer): moonloom.WebResponse", doc = "200." },
      { "header", "(name: string, value: string): moonloom.WebResponse", doc = "One header." },
      { "json", "(value: any): moonloom.WebResponse", doc = "Body." },
      { "text", "(s: string): moonloom.WebResponse", doc = "Body." },
      { "redirect", "(url: string): moonloom.WebResponse", doc = "303." },
      { "cookie", "(name: string, value: string, opts?: table): moonloom.WebResponse", doc = "Sets one." },
      { "stream", "(fn: fun(write: fun(s: string))): moonloom.WebResponse", doc = "Body, piece by piece." },
    } },
}
