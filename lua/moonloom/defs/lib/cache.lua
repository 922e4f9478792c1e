-- SPDX-License-Identifier: MIT
return {
  name = "cache", need = "cache", doc = "Memory of this node, shared by its workers, per org and instance. May forget anything.",
  { "get", "(key: string): any", since = "0.2.0", doc = "nil: not there." },
  { "set", "(key: string, value: any, ttl?: moonloom.Duration)", since = "0.2.0", doc = "Value is copied." },
  { "add", "(key: string, value: any, ttl?: moonloom.Duration): boolean", since = "0.2.0", doc = "False: it was there." },
  { "incr", "(key: string, n?: number, ttl?: moonloom.Duration): number", since = "0.2.0", doc = "The sum after adding n (1)." },
  { "delete", "(key: string)", since = "0.2.0", doc = "Forget it." },
  { "once", "(key: string, ttl: moonloom.Duration, fn: fun(): any): any", since = "0.2.0", waits = true,
    doc = "The value, made by fn if nobody has; one filler per key, the others wait for it." },
}
