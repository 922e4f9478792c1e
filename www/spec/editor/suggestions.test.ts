import { EditorState, TextSelection } from "@tiptap/pm/state";
import { describe, expect, it } from "vitest";
import { schema } from "../../src/editor/editor.ts";
import { beyondStruck, changesWordsOnly } from "../../src/editor/proposing.ts";
import { toSuggestions } from "../../src/editor/suggestions.tsx";

const paragraph = (...content: object[]) => ({ type: "paragraph", content });
const state = EditorState.create({
  doc: schema.nodeFromJSON({
    type: "doc",
    content: [paragraph({ type: "text", text: "first" }), paragraph({ type: "text", text: "a" }, { type: "hardBreak" }, { type: "text", text: "b" })],
  }),
});
const text = (words: string) => schema.text(words);

describe("what a suggester may do", () => {
  it.each([
    ["types", state.tr.insertText("x", 3)],
    ["types over a selection", state.tr.insertText("x", 2, 4)],
    ["deletes", state.tr.delete(1, 6)],
    ["does both, one after the other", state.tr.delete(1, 3).insertText("y", 2)],
    ["selects", state.tr],
  ])("%s", (_what, transaction) => expect(changesWordsOnly(transaction)).toBe(true));
  it.each([
    ["cuts a paragraph in two", state.tr.split(3)],
    ["joins two", state.tr.join(7)],
    ["deletes over the end of a paragraph", state.tr.delete(4, 9)],
    ["deletes a line break", state.tr.delete(8, 11)],
    ["adds one", state.tr.insert(3, schema.nodes["hardBreak"]!.create())],
    ["makes bold", state.tr.addMark(1, 4, schema.marks["bold"]!.create())],
    ["makes a heading", state.tr.setBlockType(1, 1, schema.nodes["heading"]!)],
    ["adds a paragraph", state.tr.insert(0, schema.nodes["paragraph"]!.create(null, text("x")))],
    ["wraps", state.tr.wrap(state.doc.resolve(1).blockRange()!, [{ type: schema.nodes["blockquote"]! }])],
    ["types and cuts", state.tr.insertText("x", 3).split(4)],
  ])("not: %s", (_what, transaction) => expect(changesWordsOnly(transaction)).toBe(false));
});

describe("the place of the next letter", () => {
  const struck = (words: string) => ({ type: "text", text: words, marks: [{ type: "deletion" }] });
  const doc = schema.nodeFromJSON({ type: "doc", content: [paragraph(struck("ab"), { type: "text", text: "cd" }, struck("e"), { ...struck("f"), marks: [{ type: "deletion" }, { type: "bold" }] })] });
  it.each([
    [1, 1, 3],
    [2, 1, 3],
    [3, 1, 3],
    [3, -1, 1],
    [5, 1, 7],
    [7, -1, 5],
    [7, 1, 7],
    [1, -1, 1],
  ] as const)("from %d, way %d: %d", (from, way, place) => {
    const at = EditorState.create({ doc, selection: TextSelection.create(doc, from) });
    expect(beyondStruck(at, way)).toBe(place);
  });
});

describe("the list of suggestions", () => {
  const entry = { kind: "insertion", name: "Bo", excerpt: "new", at: 5 };
  it("shows what comes and what goes, the oldest first", () => {
    const map = { b: { ...entry, kind: "deletion", at: 7 }, a: entry, c: { ...entry, kind: "replacement", removed: "old", at: 1 } };
    expect(toSuggestions(map)).toEqual([
      { id: "c", name: "Bo", added: "new", removed: "old" },
      { id: "a", name: "Bo", added: "new", removed: "" },
      { id: "b", name: "Bo", added: "", removed: "new" },
    ]);
  });
  it("leaves out what has no place in the text", () => expect(toSuggestions({ a: { ...entry, detached: true } })).toEqual([]));
  it.each([null, 5, "x", [], {}, { kind: "other" }])("takes nothing for an entry that is none: %j", (value) => expect(toSuggestions({ a: value })).toEqual([]));
  it("takes what strangers wrote as text", () => {
    expect(toSuggestions({ a: { kind: "insertion", name: {}, excerpt: 7, at: "x" } })).toEqual([{ id: "a", name: "Somebody", added: "", removed: "" }]);
  });
});
