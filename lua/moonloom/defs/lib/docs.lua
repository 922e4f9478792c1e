-- SPDX-License-Identifier: MIT
return {
  name = "docs", need = "doc.read", doc = "Documents other than the one in the hook, from anywhere.",
  { "get", "(id: string, path?: string): any", waits = true, fails = true, doc = "Plain value at the path." },
  { "run", "(id: string, task: string, args?: any): any", waits = true, fails = true, need = "doc.write",
    doc = "Runs `Plugin.tasks.NAME` where the document is live." },
  { "apply", "(id: string, ops: table[]): integer", waits = true, fails = true, need = "doc.write",
    doc = "Operations as data; the sequence number of the record.",
    example = 'ml.docs.apply(id, { { "map.set", "meta", "title", "Plan" } })' },
  { "list", "(opts?: { prefix?: string, after?: string, limit?: integer }): table[]", waits = true, fails = true, doc = "In order of their ids." },
  { "create", "(id: string, opts?: table): boolean", waits = true, fails = true, need = "doc.write", doc = "False: it is there." },
  { "delete", "(id: string): boolean", waits = true, fails = true, need = "doc.write", doc = "False: it was not there." },
  { "snapshot", "(id: string, labels?: table): moonloom.Snapshot", waits = true, fails = true, need = "snapshots", doc = "Takes one now." },
  { "snapshots", "(id: string): moonloom.Snapshot[]", waits = true, fails = true, need = "snapshots", doc = "Newest first." },
  { "restore", "(id: string, name: string): boolean", waits = true, fails = true, need = "snapshots", doc = "The document becomes what it was." },
}
