-- SPDX-License-Identifier: MIT
return {
  name = "cache", need = "cache", doc = "Memory of this node, shared by its workers, per org and instance. May forget anything.",
  { "get", "(key: string): any", doc = "nil: not there." },
  { "set", "(key: string, value: any, ttl?: moonloom.Duration)", doc = "Value is copied." },
  { "add", "(key: string, value: any, ttl?: moonloom.Duration): boolean", doc = "False: it was there." },
  { "incr", "(key: string, n?: number, ttl?: moonloom.Duration): number", doc = "The sum after adding n (1)." },
  { "delete", "(key: string)", doc = "Forget it." },
  { "once", "(key: string, ttl: moonloom.Duration, fn: fun(): any): any", waits = true,
    doc = "The value, made by fn if nobody has; one filler per key, the others wait for it." },
}
