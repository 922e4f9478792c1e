-- SPDX-License-Identifier: MIT
return {
  name = "time", doc = "The server's clock. Clients' clocks are not available anywhere.",
  { "now", "(): number", since = "0.1.0", doc = "Seconds since 1970." },
  { "mono", "(): number", since = "0.1.0", doc = "Seconds; only differences mean something." },
  { "parse", "(text: string): number", since = "0.1.0", pure = true, fails = true, doc = "Seconds since 1970.",
    example = 'assert(ml.time.parse("1970-01-02") == 86400)' },
  { "format", "(seconds: number): string", since = "0.1.0", pure = true, doc = "UTC.",
    example = 'assert(ml.time.format(0) == "1970-01-01T00:00:00Z")' },
  { "duration", "(text: moonloom.Duration): number", since = "0.1.0", pure = true, doc = "Seconds.",
    example = 'assert(ml.time.duration("15m") == 900)' },
}
