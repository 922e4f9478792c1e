-- SPDX-License-Identifier: MIT
-- Several things at once, and their end.
return {
  doc = "Waiting for several things.",
  { "spawn", "(fn: fun(...), ...: any): boolean", fails = true, doc = "A background coroutine of this instance; at most 64 wait." },
  { "all", "(fns: fun()[]): table", waits = true, doc = "Side by side; all results." },
  { "race", "(fns: fun()[]): any", waits = true, doc = "The first result; the others are cancelled." },
  { "deadline", "(seconds: moonloom.Duration, fn: fun(): any): any", waits = true, fails = true, doc = "Or `nil, \"ETIMEDOUT\"`." },
  { "shield", "(fn: fun(): any): any", waits = true, doc = "A short tail that a cancelled call may still finish." },
}
