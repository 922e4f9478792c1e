-- SPDX-License-Identifier: MIT
return {
  name = "cluster", need = "cluster", doc = "Messages to the same plugin of the same org on all nodes, and things done once. A message is a hint: at most once, and it may be lost.",
  { "publish", "(topic: string, data: any)", since = "0.2.0", waits = true, fails = true, doc = "To all nodes, this one too. With its topic up to 64 KiB as JSON, 4998 bytes over NOTIFY; more is `ELIMIT`." },
  { "subscribe", "(topic: string, fn: fun(data: any)): moonloom.Subscription", since = "0.2.0", doc = "In every state of this plugin, until stopped." },
  { "once", "(key: string, ttl: moonloom.Duration, fn: fun(): any): any", since = "0.2.0", waits = true, fails = true,
    doc = "One node runs fn per key and ttl." },
  { "nodes", "(): string[]", since = "0.2.0", waits = true, doc = "Names of the nodes that were heard lately, this one first." },
  { "node", "string", since = "0.2.0", doc = "Name of this node, for the life of its process." },
  classes = {
    { class = "moonloom.Subscription", since = "0.3.0", doc = "A subscription.", methods = { { "stop", "()", doc = "No more." } } },
  },
}
