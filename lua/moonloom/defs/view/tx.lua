-- SPDX-License-Identifier: MIT
-- Documents, writing.
return {
  { class = "moonloom.Tx", arg = "tx", c = "tx", doc = "Inside `doc:transact` and `u:amend`.",
    methods = {
      { "text", "(path: string): moonloom.TxText", doc = "A text." },
      { "map", "(path: string): moonloom.TxMap", doc = "A map." },
      { "array", "(path: string): moonloom.TxArray", doc = "A list." },
      { "xml", "(path: string): moonloom.TxXml", doc = "An element or fragment." },
      { "counter", "(path: string): moonloom.TxCounter", doc = "A counter." },
    } },
  { class = "moonloom.TxText", c = "tx text", doc = "Offsets are 0-based, in UTF-16 units.",
    methods = {
      { "insert", "(i: integer, s: string, attrs?: table)", doc = "Insert." },
      { "delete", "(i: integer, n: integer)", doc = "Delete." },
      { "replace", "(i: integer, n: integer, s: string)", doc = "Delete, insert." },
      { "format", "(i: integer, n: integer, attrs: table)", doc = "Formats; ml.null takes one away." },
      { "set", "(s: string)", cost = "linear", doc = "Becomes this text by the smallest edit." },
    } },
  { class = "moonloom.TxMap", c = "tx map", doc = "A map.",
    methods = {
      { "set", "(key: string, value: any)", doc = "Write." },
      { "delete", "(key: string)", doc = "Remove." },
      { "assign", "(values: table<string, any>)", doc = "Write all." },
      { "create", '(key: string, kind: "map"|"array"|"text"|"xml"|"counter")', doc = "A shared type inside." },
    } },
  { class = "moonloom.TxArray", c = "tx array", doc = "A list, 0-based.",
    methods = {
      { "insert", "(i: integer, ...: any)", doc = "Insert." },
      { "push", "(...: any)", doc = "At the end." },
      { "delete", "(i: integer, n?: integer)", doc = "Delete." },
      { "move", "(i: integer, j: integer)", doc = "Delete and copy." },
    } },
  { class = "moonloom.TxXml", c = "tx xml", doc = "An element or fragment.",
    methods = {
      { "insert", "(i: integer, node: { tag: string, attrs?: table, children?: table })", doc = "Insert." },
      { "delete", "(i: integer, n?: integer)", doc = "Delete." },
      { "attr", "(key: string, value: any)", doc = "Write an attribute." },
      { "remove_attr", "(key: string)", doc = "Remove one." },
    } },
  { class = "moonloom.TxCounter", c = "tx counter", doc = "A map of writer and sum underneath, so that concurrent additions all count.",
    methods = { { "add", "(n: number)", doc = "Add." } } },
}
