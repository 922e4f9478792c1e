-- SPDX-License-Identifier: MIT
-- Every hook of the plugin contract, in its order. Data only: scripts/gen makes the C table from it,
-- the manifest check reads it, the reference page is printed from it.
--
--   name      as a plugin writes it
--   kind      "decision": the core waits for the answer; "observer": told, answer ignored; "work"
--   rule      how several answers become one: first, veto, fold, merge, each, one
--   waits     may wait for the store, the network, time
--   fails     what a failure means: refuse, hold, default, skip, retry; "phase": auth and validate
--             hold, the others skip
--   operator  true: only for plugins with tier = "operator"
--   since     version that calls it; nil: in the contract, not built yet
--   durable   true: told through the queue of jobs until it has heard (src/script/work.c); no chain in C
--   family    true: a table of named functions instead of one method
--   kinds     what `kinds` may say, if it is not kinds of edits
--   options   what the manifest may say about it, beside phase and on_error
--   later     options of the contract that this version does not have
return {
  { name = "upgrade",            kind = "decision", rule = "veto",  waits = true,  fails = "refuse", since = "0.2.0" },
  { name = "resolve_org",        kind = "decision", rule = "first", waits = false, fails = "refuse", operator = true, since = "0.2.0" },
  { name = "authenticate",       kind = "decision", rule = "first", waits = true,  fails = "refuse", since = "0.1.0" },
  { name = "connected",          kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "disconnected",       kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "admit",              kind = "decision", rule = "veto",  waits = false, fails = "skip", since = "0.3.0" },
  { name = "joined",             kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "left",               kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "authorize",          kind = "decision", rule = "merge", waits = true,  fails = "refuse", since = "0.1.0" },
  { name = "authorize_edit",     kind = "decision", rule = "veto",  waits = false, fails = "hold", since = "0.1.0",
    options = { "kinds", "paths", "keys" }, later = { "strict" } },
  { name = "create_document",    kind = "decision", rule = "veto",  waits = true,  fails = "refuse", since = "0.3.0" },
  { name = "load_document",      kind = "decision", rule = "first", waits = true,  fails = "refuse", since = "0.3.0" },
  { name = "document_loaded",    kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "keep_document",      kind = "decision", rule = "merge", waits = false, fails = "default", since = "0.2.0" },
  { name = "document_unloaded",  kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.2.0" },
  { name = "delete_document",    kind = "decision", rule = "veto",  waits = true,  fails = "refuse", since = "0.2.0" },
  { name = "document_deleted",   kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.2.0", durable = true },
  { name = "before_update",      kind = "decision", rule = "fold",  waits = false, fails = "phase", since = "0.1.0",
    options = { "kinds", "paths", "min_bytes", "origins", "proposals" }, later = { "strict" } },
  { name = "conflict",           kind = "decision", rule = "first", waits = false, fails = "default", since = "0.1.0",
    options = { "kinds", "paths", "keys" }, kinds = { "map", "attr", "block", "delete" } },
  { name = "after_update",       kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.1.0",
    options = { "every", "max", "paths", "kinds", "origins", "durable" } },
  { name = "awareness",          kind = "decision", rule = "fold",  waits = false, fails = "phase", since = "0.2.0" },
  { name = "message",            kind = "decision", rule = "fold",  waits = false, fails = "refuse", since = "0.3.0" },
  { name = "rpc",                kind = "work",     rule = "one",   waits = true,  fails = "refuse", since = "0.2.0", family = true },
  { name = "snapshot_policy",    kind = "decision", rule = "merge", waits = false, fails = "default", since = "0.1.0" },
  { name = "snapshot_due",       kind = "decision", rule = "merge", waits = false, fails = "default", since = "0.1.0" },
  { name = "snapshot_name",      kind = "decision", rule = "first", waits = false, fails = "default", since = "0.1.0" },
  { name = "before_snapshot",    kind = "decision", rule = "fold",  waits = true,  fails = "skip", since = "0.1.0" },
  { name = "after_snapshot",     kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.1.0" },
  { name = "retain",             kind = "decision", rule = "merge", waits = true,  fails = "default", since = "0.1.0" },
  { name = "compact",            kind = "decision", rule = "merge", waits = false, fails = "default", since = "0.1.0" },
  { name = "cache_control",      kind = "decision", rule = "merge", waits = false, fails = "default", since = "0.1.0" },
  { name = "asset_url",          kind = "decision", rule = "first", waits = false, fails = "default", since = "0.1.0" },
  { name = "purge",              kind = "work",     rule = "each",  waits = true,  fails = "retry", since = "0.1.0" },
  { name = "routes",             kind = "work",     rule = "one",   waits = true,  fails = "refuse", since = "0.2.0", family = true },
  { name = "cron",               kind = "work",     rule = "one",   waits = true,  fails = "skip", since = "0.2.0", family = true },
  { name = "jobs",               kind = "work",     rule = "one",   waits = true,  fails = "retry", since = "0.2.0", family = true },
  { name = "tasks",              kind = "work",     rule = "one",   waits = true,  fails = "refuse", since = "0.3.0", family = true },
  { name = "place_document",     kind = "decision", rule = "first", waits = false, fails = "default", operator = true, since = "0.3.0" },
  { name = "cluster_event",      kind = "observer", rule = "each",  waits = true,  fails = "skip", since = "0.3.0" },
  { name = "limits",             kind = "decision", rule = "merge", waits = true,  fails = "default", since = "0.3.0" },
  { name = "over_limit",         kind = "decision", rule = "first", waits = false, fails = "default", since = "0.3.0" },
  { name = "org_created",        kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.3.0", durable = true },
  { name = "org_changed",        kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.3.0", durable = true },
  { name = "org_suspended",      kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.3.0", durable = true },
  { name = "org_resumed",        kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.3.0", durable = true },
  { name = "org_deleted",        kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.3.0", durable = true },
  { name = "audit",              kind = "observer", rule = "each",  waits = true,  fails = "retry", since = "0.2.0", durable = true },
}
