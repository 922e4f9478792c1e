-- SPDX-License-Identifier: MIT
return {
  name = "docs", need = "doc.read", doc = "Documents other than the one in the hook, from anywhere.",
  { "get", "(id: string, path: string): any", since = "0.3.0", waits = true, fails = true, doc = "Plain value at the path, of what is committed; nil: nothing is there. `ENOTFOUND`: no such document." },
  { "run", "(id: string, task: string, args?: any): any", since = "0.3.0", waits = true, fails = true, need = "doc.write",
    doc = "Runs `Plugin.tasks.NAME(self, doc, args)` of the same instance where the document is live; what it wrote is durable when this answers." },
  { "apply", "(id: string, ops: table[]): integer", since = "0.3.0", waits = true, fails = true, need = "doc.write",
    doc = "Operations as data, all or nothing, by `plugin:INSTANCE`; the number of a record in which they stand. Durable when it answers.",
    example = 'ml.docs.apply(id, { { "map.set", "meta", "title", "Plan" } })' },
  { "list", "(opts?: { prefix?: string, after?: string, limit?: integer }): table[]", since = "0.3.0", waits = true, fails = true, doc = "In order of their ids, at most 1000 (`limit`, 100): `id`, `seq`, `bytes`, `created_at`, `updated_at`." },
  { "usage", "(): { documents: integer, bytes: integer }", since = "0.3.0", waits = true, fails = true,
    doc = "How many documents the org has, and what it keeps: records and snapshots, those of deleted documents too. Looks at every document: not for every edit." },
  { "create", "(id: string, opts?: { content?: string, root?: string, ops?: table[], template?: string }): boolean", since = "0.3.0", waits = true, fails = true, need = "doc.write", doc = "False: it is there already. `create_document` is asked." },
  { "delete", "(id: string): boolean", since = "0.3.0", waits = true, fails = true, need = "doc.write", doc = "False: it was not there. `delete_document` is asked." },
  { "snapshot", "(id: string, labels?: table): moonloom.Snapshot", waits = true, fails = true, need = "snapshots", doc = "Takes one now." },
  { "snapshots", "(id: string): moonloom.Snapshot[]", waits = true, fails = true, need = "snapshots", doc = "Newest first." },
  { "restore", "(id: string, name: string): boolean", waits = true, fails = true, need = "snapshots", doc = "The document becomes what it was." },
}
