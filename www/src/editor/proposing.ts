/*
 * Writing as a suggester: words come and go, the shape of the text stays. The server makes the marks; what could not be a
 * suggestion is stopped here, before it is typed in vain.
 */
import { Extension } from "@tiptap/core";
import { type EditorState, Plugin, TextSelection, type Transaction } from "@tiptap/pm/state";
import { ReplaceStep } from "@tiptap/pm/transform";
import { ySyncPluginKey } from "@tiptap/y-tiptap";

/** Changes while the editor lives. */
export interface Rules {
  proposes: boolean;
  onStopped: () => void;
}

export const proposing = (rules: Rules) =>
  Extension.create({
    name: "proposing",
    // Before what makes a list of "- ".
    priority: 1_000,
    addProseMirrorPlugins: () => [
      new Plugin({
        filterTransaction: (transaction) => {
          if (!rules.proposes || !transaction.docChanged || isFromAfar(transaction) || changesWordsOnly(transaction)) return true;
          rules.onStopped();
          return false;
        },
        props: {
          handleTextInput: (view, from, to, text) => {
            if (!rules.proposes || !staysWithin(view.state, from, to)) return false;
            view.dispatch(view.state.tr.insertText(text, from, to).scrollIntoView());
            return true;
          },
          // What is struck already stands where it stood: the next key means what lies beyond it.
          handleKeyDown: (view, event) => {
            const way = event.key === "Backspace" ? -1 : event.key === "Delete" ? 1 : 0;
            if (!rules.proposes || way === 0 || !view.state.selection.empty) return false;
            const place = beyondStruck(view.state, way);
            if (place !== view.state.selection.from) view.dispatch(view.state.tr.setSelection(TextSelection.create(view.state.doc, place)));
            return false;
          },
        },
      }),
    ],
  });

const isFromAfar = (transaction: Transaction) => transaction.getMeta(ySyncPluginKey) !== undefined;

function staysWithin({ doc }: EditorState, from: number, to: number): boolean {
  const at = doc.resolve(from);
  return at.parent.isTextblock && at.sameParent(doc.resolve(to));
}

/** Where the next letter is, in that direction, that nobody has struck. */
export function beyondStruck({ selection, doc }: EditorState, way: -1 | 1): number {
  let place = selection.from;
  for (;;) {
    const at = doc.resolve(place);
    const next = way < 0 ? at.nodeBefore : at.nodeAfter;
    if (next === null || !next.isText || !next.marks.some((mark) => mark.type.name === "deletion")) return place;
    place += way * next.nodeSize;
  }
}

/** Within one paragraph each, text for text. */
export function changesWordsOnly(transaction: Transaction): boolean {
  return transaction.steps.every((step, index) => {
    if (!(step instanceof ReplaceStep) || step.slice.openStart > 0 || step.slice.openEnd > 0) return false;
    const doc = transaction.docs[index]!;
    const from = doc.resolve(step.from);
    let isText = from.parent.isTextblock && from.sameParent(doc.resolve(step.to));
    step.slice.content.forEach((node) => (isText &&= node.isText));
    doc.nodesBetween(step.from, step.to, (node) => void (isText &&= node.isTextblock || node.isText || !node.isInline));
    return isText;
  });
}
