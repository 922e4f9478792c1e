import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { foreignParts, plainLines, watchForeign } from "../../src/editor/foreign.ts";
import { schema } from "../../src/editor/editor.ts";

type Spec = string | [string, Record<string, unknown> | null, ...Spec[]];

/** A text, or [kind, attributes, …children]. */
function build(spec: Spec): Y.XmlElement | Y.XmlText {
  if (typeof spec === "string") return new Y.XmlText(spec);
  const [kind, attributes, ...children] = spec;
  const element = new Y.XmlElement<Record<string, string>>(kind);
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value as string);
  element.insert(0, children.map(build));
  return element as Y.XmlElement;
}

function made(...blocks: Spec[]): Y.XmlFragment {
  const content = new Y.Doc().getXmlFragment("content");
  content.insert(0, blocks.map(build));
  return content;
}

const OWN: [string, Spec[]][] = [
  ["nothing", []],
  ["paragraphs", [["paragraph", null, "text"], ["paragraph", { dir: "rtl" }]]],
  ["headings", [["heading", { level: 2 }, "text"]]],
  ["lists", [["bulletList", null, ["listItem", null, ["paragraph", null, "a"], ["orderedList", { start: 3 }, ["listItem", null, ["paragraph", null]]]]]]],
  ["tasks", [["taskList", null, ["taskItem", { checked: true }, ["paragraph", null, "a"]]]]],
  ["quotes, code and rules", [["blockquote", null, ["paragraph", null]], ["codeBlock", { language: "c" }, "int"], ["horizontalRule", null]]],
  ["line breaks", [["paragraph", null, "a", ["hardBreak", null], "b"]]],
  // Both take away the last item at once: that is healed, not foreign.
  ["a list without items", [["bulletList", null]]],
];

const FOREIGN: [string, Spec[], string[]][] = [
  ["an element", [["table", null, ["tableRow", null]]], ["table", "tableRow"]],
  ["an element deep inside", [["blockquote", null, ["paragraph", null, ["image", { src: "x" }]]]], ["image", "src"]],
  ["an attribute", [["paragraph", { textAlign: "center" }]], ["textAlign"]],
  ["a known element where it may not be", [["paragraph", null, ["paragraph", null]]], ["paragraph"]],
  ["text without a paragraph", ["text"], ["text"]],
  ["names that every object has", [["constructor", { toString: "x" }]], ["constructor", "toString"]],
];

describe("what the editor's schema does not know", () => {
  it.each(OWN)("%s: nothing", (_name, blocks) => expect(foreignParts(made(...blocks), schema)).toEqual([]));
  it.each(FOREIGN)("%s", (_name, blocks, names) => expect(foreignParts(made(...blocks), schema).sort()).toEqual(names));

  const format = (attributes: Record<string, unknown>, kind = "paragraph") => {
    const content = made([kind, null, "some text"]);
    ((content.get(0) as Y.XmlElement).get(0) as Y.XmlText).format(0, 4, attributes);
    return foreignParts(content, schema);
  };
  it.each(["bold", "italic", "strike", "underline", "code", "link", "insertion", "deletion"])("knows %s", (name) => expect(format({ [name]: {} })).toEqual([]));
  it("knows formats with a hash", () => expect(format({ "bold--AbCdEf12": {} })).toEqual([]));
  it("finds a format", () => expect(format({ highlight: { color: "red" } })).toEqual(["highlight"]));
  it("finds a format in code", () => expect(format({ bold: {} }, "codeBlock")).toEqual(["bold"]));
  it("knows proposals in code", () => expect(format({ insertion: {}, deletion: {} }, "codeBlock")).toEqual([]));

  it("finds objects within a text", () => {
    const content = made(["paragraph", null, "x"]);
    ((content.get(0) as Y.XmlElement).get(0) as Y.XmlText).insertEmbed(0, { image: 1 });
    expect(foreignParts(content, schema)).toEqual(["data"]);
  });

  it("stands two thousand levels", () => {
    const content = made();
    let inner: Y.XmlFragment = content;
    for (let depth = 0; depth < 2_000; depth += 1) {
      const element = new Y.XmlElement("blockquote");
      inner.insert(0, [element]);
      inner = element;
    }
    expect(foreignParts(content, schema)).toEqual([]);
  });
});

describe("what comes later", () => {
  const watched = () => {
    const content = made(["paragraph", null, "text"]);
    const calls: string[][] = [];
    const order: string[] = [];
    watchForeign(content, schema, (names) => (calls.push(names), order.push("watch")));
    content.observeDeep(() => order.push("binding"));
    return { content, calls, order, paragraph: content.get(0) as Y.XmlElement };
  };

  it("is told before those who watch later", () => {
    const { content, calls, order } = watched();
    content.insert(1, [build(["table", null])]);
    expect(calls).toEqual([["table"]]);
    expect(order).toEqual(["watch", "binding"]);
  });
  it("is told once", () => {
    const { content, calls } = watched();
    content.insert(1, [build(["table", null])]);
    content.insert(1, [build(["image", null])]);
    expect(calls).toEqual([["table"]]);
  });
  it("says nothing of what is known", () => {
    const { content, calls, paragraph } = watched();
    (paragraph.get(0) as Y.XmlText).insert(2, "bold", { bold: {} });
    content.insert(0, [build(["heading", { level: 1 }, "x"])]);
    content.delete(0, 2);
    expect(calls).toEqual([]);
  });
  it("sees a format", () => {
    const { calls, paragraph } = watched();
    (paragraph.get(0) as Y.XmlText).insert(2, "loud", { highlight: {} });
    expect(calls).toEqual([["highlight"]]);
  });
  it("sees an attribute", () => {
    const { calls, paragraph } = watched();
    paragraph.setAttribute("indent", "2");
    expect(calls).toEqual([["indent"]]);
  });
});

describe("the text for those who cannot be shown more", () => {
  it("is a line a block", () => {
    const content = made(["heading", null, "Title"], ["table", null, ["row", null, ["cell", null, "a"], ["cell", null, "b"]]], ["paragraph", null, "end"]);
    expect(plainLines(content)).toEqual(["Title", "", "a", "b", "end"]);
  });
});
