-- SPDX-License-Identifier: MIT
-- What people and tools need to know of every hook in defs/hooks.lua: `arg` name and type of the argument,
-- `answer` its type, `runs` where, `text` one sentence, `soft`/`hard` deadlines if they are not those of
-- no-wait hooks (1 ms, 10 ms), `hot`: once per edit, so lint counts what it allocates; `pure`: sees only its
-- argument, config and state.
local function h(arg, answer, runs, text, more)
  local out = more or {}
  out.arg, out.answer, out.runs, out.text = arg, answer, runs, text
  return out
end

local ACCESS = function() return { soft = 0.5, hard = 5 } end
local WORK = function(more) more = more or {} more.soft, more.hard = more.soft or 1, more.hard or 10 return more end
local OBSERVER = function() return { hard = 30 } end
local SNAPSHOT = function() return { hard = 60 } end

return {
  upgrade = h({ "req", "moonloom.Request" }, "moonloom.Deny?", "session", "Before any work on credentials.", ACCESS()),
  resolve_org = h({ "req", "moonloom.Request" }, "string?", "session", "Which org a request belongs to."),
  authenticate = h({ "req", "moonloom.Request" }, "moonloom.Identity|moonloom.Deny|nil", "session",
    "Who is this? For every socket and every request that is not public; nil: not my credential.", ACCESS()),
  connected = h({ "session", "moonloom.Session" }, nil, "session", "A connection is there.", OBSERVER()),
  disconnected = h({ "session", "moonloom.Session" }, nil, "session", "A connection has ended.", OBSERVER()),
  admit = h({ "frame", "moonloom.Frame" }, "moonloom.Deny|moonloom.Slow|nil", "session", "For the rare limiter that needs code.", { hot = true }),
  joined = h({ "member", "moonloom.Member" }, nil, "session", "Somebody took a seat.", OBSERVER()),
  left = h({ "member", "moonloom.Member" }, nil, "session", "Somebody gave it up.", OBSERVER()),
  authorize = h({ "ask", "moonloom.Ask" }, "moonloom.Grant|moonloom.Restriction|moonloom.Deny|nil", "session",
    "What somebody may do. Lua runs once, C enforces afterwards; grants add up, restrictions take away, any denial wins.", ACCESS()),
  authorize_edit = h({ "e", "moonloom.Edit" }, "moonloom.Deny?", "room", "For rules that depend on values; a denial undoes that edit only.", { hot = true }),
  create_document = h({ "d", "moonloom.NewDocument" }, "moonloom.Deny?", "room", "A document is about to be made, because somebody who may write opens it or asks for it: may it, and what does it begin with (`d:transact`)? Asked once; who may only read is not shown one that is not there.",
    WORK { example = "function Plugin:create_document(d)\n  d:transact(function(tx) tx:text(\"content\"):insert(0, \"# \" .. d.id) end)\nend" }),
  load_document = h({ "ref", "moonloom.Ref" }, "string?", "room", "The document as it was elsewhere, when somebody opens one that the journal has never seen: bytes of a Yjs update (V1), or nil. Becomes its first record; if it fails the document does not open.", WORK()),
  document_loaded = h({ "doc", "moonloom.Doc" }, nil, "room", "A document is live.", OBSERVER()),
  keep_document = h({ "doc", "moonloom.Doc" }, "number?", "room", "Seconds to stay in memory; the longest counts."),
  document_unloaded = h({ "ref", "moonloom.Ref" }, nil, "room", "A document has left memory.", OBSERVER()),
  delete_document = h({ "ref", "moonloom.Ref" }, "moonloom.Deny?", "room", "May it be deleted?", WORK()),
  document_deleted = h({ "ref", "moonloom.Ref" }, nil, "any", "It was deleted.", OBSERVER()),
  before_update = h({ "u", "moonloom.Update" }, "moonloom.Deny?", "room",
    "Before anything of an update is applied, journalled or told. A denial takes it back on the writer's screen.",
    { hot = true, example = 'function Plugin:before_update(u)\n  if u.inserted > 1000 then return ml.deny("too_large", "That is too much at once.") end\nend' }),
  conflict = h({ "c", "moonloom.Conflict" }, "moonloom.ConflictAnswer", "room",
    "Two writers collided: what stands? Nil: the CRDT's own rule.", { pure = true }),
  after_update = h({ "batch", "moonloom.Batch" }, nil, "room", "After the commit, in batches: what it sees is permanent.", OBSERVER()),
  awareness = h({ "a", "moonloom.Presence" }, "table|moonloom.Slow|moonloom.Drop|nil", "session", "What others see of a cursor, and how often.", { hot = true }),
  message = h({ "m", "moonloom.Message" }, "any", "room", "A stateless message: nil, the payload that everybody in the document is told, or a denial."),
  rpc = h({ "call", "moonloom.Call" }, "any", "room", "A call from a client, by its dotted name.", WORK()),
  snapshot_policy = h({ "ref", "moonloom.Ref" }, "table?", "room", "When versions are taken; C does the counting, the earliest counts."),
  snapshot_due = h({ "s", "moonloom.Snapshot" }, "boolean?", "room", "True: take one now. Asked at most once a second."),
  snapshot_name = h({ "s", "moonloom.Snapshot" }, "string?", "room", "Its name."),
  before_snapshot = h({ "s", "moonloom.Snapshot" }, "table|moonloom.Deny|nil", "room", "Labels, or not now.", SNAPSHOT()),
  after_snapshot = h({ "s", "moonloom.Snapshot" }, nil, "any", "A version was taken.", SNAPSHOT()),
  retain = h({ "r", "moonloom.Retention" }, "string[]?", "one", "Names of the versions to keep; nil: all.", SNAPSHOT()),
  compact = h({ "c", "moonloom.Compaction" }, "table|false|nil", "room", "How far history may go."),
  cache_control = h({ "res", "moonloom.Response" }, "table?", "session", "How caches may keep an answer; the strictest counts."),
  asset_url = h({ "a", "moonloom.Asset" }, "string?", "session", "Address of a published file."),
  purge = h({ "p", "moonloom.Purge" }, "moonloom.Retry?", "any", "Make caches forget; durable.", WORK({ hard = 30 })),
  routes = h({ "req", "moonloom.WebRequest" }, "moonloom.WebResponse", "session", "HTTP under /x/NAME; the second argument is the answer.", { hard = 30 }),
  cron = h({ "run", "moonloom.Run" }, nil, "one", "By the clock; once in the cluster.", { hard = 300 }),
  jobs = h({ "args", "table" }, "moonloom.Retry|moonloom.Dead|nil", "any", "Durable work; the second argument is the job.", { hard = 60 }),
  tasks = h({ "doc", "moonloom.Doc" }, "any", "room", "Work where the document is live; the second argument are the args.", WORK()),
  place_document = h({ "p", "moonloom.Placement" }, "{ key: string, pool: string }?", "any", "Where an org lives; the first answer holds.", { pure = true }),
  cluster_event = h({ "e", "moonloom.ClusterEvent" }, nil, "each", "Something happened to the cluster.", OBSERVER()),
  limits = h({ "who", "moonloom.Identity" }, "table?", "session", "What somebody may use; the smallest counts.", ACCESS()),
  over_limit = h({ "l", "moonloom.Limit" }, "moonloom.Slow|moonloom.Allow|moonloom.Deny|nil", "session", "A limit was reached; nil: what `action` of the limit says."),
  org_created = h({ "o", "moonloom.Org" }, nil, "one", "A tenant is there.", OBSERVER()),
  org_changed = h({ "o", "moonloom.Org" }, nil, "one", "A tenant has changed.", OBSERVER()),
  org_suspended = h({ "o", "moonloom.Org" }, nil, "one", "A tenant is shut out.", OBSERVER()),
  org_resumed = h({ "o", "moonloom.Org" }, nil, "one", "A tenant is back.", OBSERVER()),
  org_deleted = h({ "o", "moonloom.Org" }, nil, "one", "A tenant is gone.", OBSERVER()),
  audit = h({ "events", "moonloom.AuditEvent[]" }, nil, "any", "Who did what, in lists.", OBSERVER()),
}
