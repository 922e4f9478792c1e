import type { Editor } from "@tiptap/core";
import { useEditorState } from "./use-editor-state.ts";

interface Heading {
  level: number;
  text: string;
  pos: number;
}

interface Outline {
  headings: Heading[];
  /** Where the caret is; -1 above the first heading. */
  current: number;
}

export function OutlinePanel({ editor }: { editor: Editor }) {
  const { headings, current } = useEditorState(editor, outline, sameOutline);
  return (
    <nav class="outline" aria-label="Outline">
      <h2>Outline</h2>
      {headings.length === 0 ? (
        <p class="outline-hint">Headings of the document appear here.</p>
      ) : (
        <ol>
          {headings.map((heading, at) => (
            <li key={at} class={`outline-${heading.level}`}>
              <button type="button" aria-current={at === current ? "location" : undefined} onClick={() => go(editor, heading.pos)}>
                {heading.text.trim() === "" ? "Untitled heading" : heading.text}
              </button>
            </li>
          ))}
        </ol>
      )}
    </nav>
  );
}

function go(editor: Editor, pos: number): void {
  editor.chain().setTextSelection(pos + 1).focus().run();
  const dom = editor.view.nodeDOM(pos);
  if (dom instanceof HTMLElement) dom.scrollIntoView({ block: "start" });
}

function outline(editor: Editor): Outline {
  const headings: Heading[] = [];
  let current = -1;
  const caret = editor.state.selection.from;
  editor.state.doc.descendants((node, pos) => {
    if (node.type.name === "heading") {
      if (pos <= caret) current = headings.length;
      headings.push({ level: Number(node.attrs["level"]), text: node.textContent, pos });
    }
    return !node.isTextblock;
  });
  return { headings, current };
}

function sameOutline(a: Outline, b: Outline): boolean {
  return (
    a.current === b.current &&
    a.headings.length === b.headings.length &&
    a.headings.every((h, at) => {
      const other = b.headings[at]!;
      return h.level === other.level && h.text === other.text && h.pos === other.pos;
    })
  );
}
