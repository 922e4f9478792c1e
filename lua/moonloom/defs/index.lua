-- SPDX-License-Identifier: MIT
-- The definition of what plugins see, as data. From it come: editor stubs (`moonloom plugin types`), the
-- reference page (docs/plugins/reference.md), what lint knows, and the specs that compare it with what C
-- brings (spec/lua/moonloom/defs_spec.lua). Who adds a function or a field adds its line; a spec fails if
-- one is without the other.
--
--   defs/hooks.lua       what the server itself needs to know of every hook (its head tells the keys)
--   defs/hook_texts.lua  what people and tools need to know of it: argument, answer, text, example
--   defs/lib/NAME.lua    one module of the library
--   defs/view/NAME.lua   what hooks are lent, and the handles reached from it
--
-- A module is a list of functions, with what holds for all of them beside it:
--
--   return {
--     name = "kv",                    -- ml.kv; nil: its members stand in `ml` itself
--     need = "kv",                    -- the capability, if it wants one
--     doc = "Durable, cluster-wide …",
--     { "get", "(key: string): any, integer?", since = "0.2.0", waits = true, fails = true,
--       doc = "Value and revision; nil if there is none.", example = 'local v = ml.kv.get("a")' },
--     { "null", "moonloom.Null", doc = … },          -- no parenthesis: a value
--     classes = { CLASS, … },                        -- what its functions answer
--   }
--
-- The second place is the signature, in the words of the editor's type language: a parameter is
-- `name: type`, `name?: type` may be left out, `...: type` repeats; after the last `)` come the results.
--
--   since    version that has it; nil: that of its class or module, and without one: in the contract, not built yet
--            (a call says so); false: not built yet though its class or module is
--   waits    may park the coroutine: only in hooks that may wait
--   fails    expected failure is `nil, kind, text`
--   pure     allowed in `conflict`, `place_document` and `validate`
--   places   hooks it may be called from; nil: all
--   cost     "constant" (default), "linear" in what it is given, "io" (default if it waits)
--   alloc    true: makes tables or long strings; lint counts it in hot hooks
--   until    { "0.4.0", "use that instead" }: deprecated
--   need     as above, for one function
--
-- A class of a view or a module:
--
--   { class = "moonloom.Update", arg = "u", doc = "…",
--     fields  = { { "origin", '"client"|"sync"|"import"', since = "0.1.0", doc = "…" }, … },
--     methods = { { "touches", "(pattern: string): boolean", since = …, doc = "…", example = … }, … } }
--
--   c        name of the view in C (struct ml_lent_def), so that the spec finds it; nil: a plain table
--   answered of a field: plugins may answer it, and are not lent it
--   fake     name of the function of moonloom.test that makes one
--
-- Types of arguments that several use: moonloom.Duration and moonloom.Size are number or text ("10s",
-- "64KiB").
return {
  lib = { "answer", "cache", "cluster", "control", "crypto", "docs", "enc", "glob", "http", "jobs", "json", "jwt", "kv",
          "limiter", "log", "path", "re", "secret", "sessions", "set", "text", "time", "timer", "value", "words" },
  view = { "access", "batch", "cache", "cluster", "conflict", "doc", "instance", "presence", "snapshot", "tx", "update",
           "web", "work" },
}
