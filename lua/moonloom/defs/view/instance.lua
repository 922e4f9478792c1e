-- SPDX-License-Identifier: MIT
local S = "0.1.0"

return {
  { class = "moonloom.Plugin", arg = "self", doc = "The instance: what hooks get as `self`.",
    fields = {
      { "config", "table", since = S, doc = "Checked, defaults filled, read-only." },
      { "state", "table", since = S, doc = "Of this worker and generation: a cache." },
      { "name", "string", since = S, doc = "Of the instance." },
      { "generation", "integer", since = S, doc = "Grows with every reload." },
      { "org", "moonloom.Org", since = "0.1.0", doc = "nil for server-wide instances." },
      { "metrics", "table<string, moonloom.Metric>", since = S, doc = "Those the manifest declares." },
    } },
  { class = "moonloom.Metric", doc = "A number for operators.",
    methods = { { "add", "(n: number, labels?: table)", since = S, doc = "Counter." }, { "set", "(n: number, labels?: table)", since = S, doc = "Gauge." },
                { "observe", "(seconds: number, labels?: table)", since = S, doc = "Histogram." } } },
}
