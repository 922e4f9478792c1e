-- SPDX-License-Identifier: MIT
return {
  name = "kv", need = "kv",
  doc = "Durable, cluster-wide, per org and instance. Values up to 256 KiB; keys sort by bytes.",
  { "get", "(key: string): any, integer?", since = "0.2.0", waits = true, fails = true, doc = "Value and revision; nil if there is none.",
    example = 'local value, rev = ml.kv.get("last")' },
  { "set", "(key: string, value: any, opts?: { ttl?: moonloom.Duration, if_rev?: integer, if_absent?: boolean }): integer", since = "0.2.0",
    waits = true, fails = true, doc = "The new revision; `nil, \"ECONFLICT\"` if the condition does not hold." },
  { "delete", "(key: string, opts?: { if_rev?: integer }): boolean", since = "0.2.0", waits = true, fails = true, doc = "Was it there?" },
  { "incr", "(key: string, n?: number, opts?: { ttl?: moonloom.Duration }): number", since = "0.2.0", waits = true, fails = true,
    doc = "Atomic; the sum after adding n (1)." },
  { "scan", "(prefix: string, opts?: { after?: string, limit?: integer }): fun(): string?, any, integer", since = "0.2.0", waits = true,
    doc = "Iterates over key, value, revision in order.", example = 'for key, value in ml.kv.scan("edits/") do end' },
  { "txn", "(fn: fun(tx: moonloom.KvTx): any): any", since = "0.2.0", waits = true, fails = true,
    doc = "Commits all or nothing; fn runs again after a clash, so it must not do anything else." },
  classes = {
    { class = "moonloom.KvTx", since = "0.2.0", arg = "tx", doc = "Inside ml.kv.txn.",
      methods = {
        { "get", "(key: string): any", doc = "As ml.kv.get." },
        { "set", "(key: string, value: any, opts?: { ttl?: moonloom.Duration })", doc = "As ml.kv.set." },
        { "delete", "(key: string)", doc = "As ml.kv.delete." },
        { "incr", "(key: string, n?: number): number", doc = "As ml.kv.incr." },
        { "scan", "(prefix: string, opts?: { after?: string, limit?: integer }): fun(): string?, any", doc = "As ml.kv.scan." },
        { "push", "(job: string, args?: table, opts?: moonloom.JobOptions): string", doc = "Queues a job with the commit." },
      } },
  },
}
