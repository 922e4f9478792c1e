-- SPDX-License-Identifier: MIT
-- Several things at once, and their end.
return {
  doc = "Waiting for several things.",
  { "spawn", "(fn: fun(...), ...: any): boolean", since = "0.2.0", fails = true, doc = "A background coroutine of this instance; at most 64 wait." },
  { "all", "(fns: fun()[]): any", since = "0.2.0", waits = true, doc = "Side by side; the result of each, in their order." },
  { "race", "(fns: fun()[]): any", since = "0.2.0", waits = true, doc = "The first result; the others are cancelled." },
  { "deadline", "(seconds: moonloom.Duration, fn: fun(): any): any", since = "0.2.0", waits = true, fails = true, doc = "Or `nil, \"ETIMEDOUT\"`." },
  { "shield", "(fn: fun(): any): any", since = "0.2.0", waits = true, doc = "A short tail that a cancelled call may still finish." },
}
