-- SPDX-License-Identifier: MIT
-- Documents, writing.
local S = "0.1.0"

return {
  { class = "moonloom.Tx", arg = "tx", c = "tx", doc = "Inside `doc:transact` and `u:amend`.",
    methods = {
      { "text", "(path: string): moonloom.TxText", since = S, doc = "A text." },
      { "map", "(path: string): moonloom.TxMap", since = S, doc = "A map." },
      { "array", "(path: string): moonloom.TxArray", since = S, doc = "A list." },
      { "xml", "(path: string): moonloom.TxXml", since = S, doc = "An element or fragment." },
      { "counter", "(path: string): moonloom.TxCounter", since = S, doc = "A counter." },
    } },
  { class = "moonloom.TxText", c = "tx text", doc = "Offsets are 0-based, in UTF-16 units.",
    methods = {
      { "insert", "(i: integer, s: string, attrs?: table)", since = S, doc = "Insert." },
      { "embed", "(i: integer, value: any, attrs?: table)", since = "0.3.0", doc = "One unit that is no text." },
      { "delete", "(i: integer, n: integer)", since = S, doc = "Delete." },
      { "replace", "(i: integer, n: integer, s: string)", since = S, doc = "Delete, insert." },
      { "format", "(i: integer, n: integer, attrs: table)", since = S, doc = "Formats; ml.null takes one away." },
      { "set", "(s: string)", since = S, cost = "linear", doc = "Becomes this text by the smallest edit." },
    } },
  { class = "moonloom.TxMap", c = "tx map", doc = "A map.",
    methods = {
      { "set", "(key: string, value: any)", since = S, doc = "Write." },
      { "delete", "(key: string)", since = S, doc = "Remove." },
      { "assign", "(values: table<string, any>)", since = S, doc = "Write all." },
      { "create", '(key: string, kind: "map"|"array"|"text"|"xml"|"counter")', since = S, doc = "A shared type inside." },
    } },
  { class = "moonloom.TxArray", c = "tx array", doc = "A list, 0-based.",
    methods = {
      { "insert", "(i: integer, ...: any)", since = S, doc = "Insert." },
      { "push", "(...: any)", since = S, doc = "At the end." },
      { "delete", "(i: integer, n?: integer)", since = S, doc = "Delete." },
      { "move", "(i: integer, j: integer)", since = S, doc = "Delete and copy." },
    } },
  { class = "moonloom.TxXml", c = "tx xml", doc = "An element or fragment.",
    methods = {
      { "insert", "(i: integer, node: { tag: string, attrs?: table, children?: table })", since = S, doc = "Insert." },
      { "delete", "(i: integer, n?: integer)", since = S, doc = "Delete." },
      { "attr", "(key: string, value: any)", since = S, doc = "Write an attribute." },
      { "remove_attr", "(key: string)", since = S, doc = "Remove one." },
    } },
  { class = "moonloom.TxCounter", c = "tx counter", doc = "A map of writer and sum underneath, so that concurrent additions all count.",
    methods = { { "add", "(n: number)", since = S, doc = "Add." } } },
}
