/* Tiptap as this product uses it. */
import { Editor } from "@tiptap/core";
import Collaboration from "@tiptap/extension-collaboration";
import { TaskItem, TaskList } from "@tiptap/extension-list";
import { Placeholder } from "@tiptap/extensions";
import StarterKit from "@tiptap/starter-kit";
import { carets } from "./carets.ts";
import type { OpenDocument } from "./document.ts";
import { safeUrl } from "./links.ts";

export function createEditor(open: OpenDocument, element: HTMLElement): Editor {
  return new Editor({
    element,
    injectNonce: pageNonce(),
    textDirection: "auto",
    editorProps: {
      attributes: {
        class: "prose",
        role: "textbox",
        "aria-multiline": "true",
        "aria-label": "Document text",
        spellcheck: "true",
      },
    },
    extensions: [
      StarterKit.configure({
        // Collaboration brings an undo that leaves other people's work alone.
        undoRedo: false,
        // Would be an edit by everybody who only looks.
        trailingNode: false,
        heading: { levels: [1, 2, 3] },
        dropcursor: { class: "drop-line", color: false },
        link: {
          openOnClick: false,
          defaultProtocol: "https",
          isAllowedUri: (uri) => safeUrl(uri) !== null,
          HTMLAttributes: { rel: "noopener noreferrer nofollow", target: "_blank" },
        },
      }),
      TaskList,
      TaskItem.configure({ nested: true, a11y: { checkboxLabel: (_node, checked) => (checked ? "Done" : "To do") } }),
      Placeholder.configure({ placeholder: "Write something…" }),
      Collaboration.configure({ fragment: open.content }),
      carets(open.awareness),
    ],
  });
}

/** The server puts a fresh one into every page; the browser hides it from `getAttribute`. */
function pageNonce(): string | undefined {
  const meta = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]');
  return meta?.nonce || undefined;
}
