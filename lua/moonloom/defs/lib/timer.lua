-- SPDX-License-Identifier: MIT
return {
  name = "timer", doc = "Timers of this instance on this worker; gone with its generation.",
  { "after", "(delay: moonloom.Duration, fn: fun()): moonloom.Timer", since = "0.2.0", doc = "Once. fn may wait." },
  { "every", "(period: moonloom.Duration, fn: fun()): moonloom.Timer", since = "0.2.0", doc = "Again and again; runs never overlap.",
    example = 'ml.timer.every("10s", function() self:flush() end)' },
  classes = {
    { class = "moonloom.Timer", since = "0.2.0", doc = "A timer.", methods = { { "stop", "()", doc = "No more." } } },
  },
}
