-- SPDX-License-Identifier: MIT
return {
  name = "jobs", doc = "Durable work, at least once; done by `Plugin.jobs.NAME`.",
  { "push", "(name: string, args?: table, opts?: moonloom.JobOptions): string", since = "0.2.0", waits = true, fails = true,
    doc = "Its id. The same key while it is queued is one job.", example = 'ml.jobs.push("deliver", { id = id }, { key = id })' },
  classes = {
    { class = "moonloom.JobOptions", since = "0.2.0", doc = "When, and as which one.",
      fields = { { "key", "string?" }, { "delay", "moonloom.Duration?" }, { "at", "number?", doc = "Seconds since 1970." } } },
  },
}
