-- SPDX-License-Identifier: MIT
return {
  { class = "moonloom.Placement", since = "0.2.0", arg = "p", doc = "Where an org shall live (`place_document`).",
    fields = { { "org", "string", doc = "Id." }, { "doc_id", "string", doc = "The first document." }, { "region", "string?", doc = "Wished for." }, { "pools", "string[]", doc = "There are." } } },
  { class = "moonloom.ClusterEvent", arg = "e", doc = "Something happened to the cluster (`cluster_event`).",
    fields = { { "kind", '"node_up"|"node_down"|"bus_degraded"|"bus_ok"|"draining"', since = "0.3.0", doc = "What." },
               { "node", "string?", since = "0.3.0", doc = "Which, as in `ml.cluster.nodes()`; nil: this one, or none." } } },
  { class = "moonloom.Org", arg = "o", doc = "A tenant.",
    fields = { { "id", "string", since = "0.3.0", doc = "Id." }, { "plan", "string?", doc = "Plan." }, { "labels", "table<string, any>", doc = "Labels." }, { "region", "string?", doc = "Region." } } },
  { class = "moonloom.AuditEvent", since = "0.2.0", doc = "Who did what (`audit`, in lists).",
    fields = { { "at", "number", doc = "When." }, { "kind", "string", doc = "What." }, { "org", "string", doc = "Where." }, { "actor", "string?", doc = "Who." },
               { "ip", "string?", doc = "From where." }, { "subject", "string?", doc = "To what." }, { "result", "string", doc = "How it ended." }, { "data", "table?", doc = "More." } } },
}
