-- SPDX-License-Identifier: MIT
return {
  name = "cluster", need = "cluster", doc = "Messages to the same plugin on other nodes, and things done once.",
  { "publish", "(topic: string, data: any)", since = "0.2.0", waits = true, fails = true, doc = "To all nodes, this one too." },
  { "subscribe", "(topic: string, fn: fun(data: any)): moonloom.Subscription", since = "0.2.0", doc = "Until stopped." },
  { "once", "(key: string, ttl: moonloom.Duration, fn: fun(): any): any", since = "0.2.0", waits = true, fails = true,
    doc = "One node runs fn per key and ttl." },
  { "nodes", "(): string[]", since = "0.2.0", waits = true, doc = "Names of the nodes that are up." },
  { "node", "string", since = "0.2.0", doc = "Name of this node." },
  classes = {
    { class = "moonloom.Subscription", doc = "A subscription.", methods = { { "stop", "()", doc = "No more." } } },
  },
}
