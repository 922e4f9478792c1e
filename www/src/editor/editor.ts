/* Tiptap as this product uses it. */
import { Editor, type Extensions, extensions, getSchema } from "@tiptap/core";
import Code from "@tiptap/extension-code";
import CodeBlock from "@tiptap/extension-code-block";
import Collaboration from "@tiptap/extension-collaboration";
import Link from "@tiptap/extension-link";
import { TaskItem, TaskList } from "@tiptap/extension-list";
import { Placeholder } from "@tiptap/extensions";
import StarterKit from "@tiptap/starter-kit";
import { carets } from "./carets.ts";
import type { OpenDocument } from "./document.ts";
import { cleanPaste } from "./paste.ts";
import { allowedHref, safeUrl } from "./links.ts";
import { proposing, type Rules } from "./proposing.ts";
import { Deletion, Insertion } from "./suggestion-marks.ts";

const TEXT_DIRECTION = "auto";

export function createEditor(open: OpenDocument, element: HTMLElement, rules: Rules): Editor {
  return new Editor({
    element,
    injectNonce: pageNonce(),
    textDirection: TEXT_DIRECTION,
    editorProps: {
      transformPastedHTML: cleanPaste,
      attributes: {
        class: "prose",
        role: "textbox",
        "aria-multiline": "true",
        "aria-label": "Document text",
        spellcheck: "true",
      },
    },
    extensions: [
      ...PARTS,
      proposing(rules),
      Placeholder.configure({ placeholder: "Write something…" }),
      Collaboration.configure({ fragment: open.content }),
      carets(open.awareness),
    ],
  });
}

/** What others wrote into a link's attributes is kept, but only a checked address reaches the page. */
const SafeLink = Link.extend({
  renderHTML({ HTMLAttributes }) {
    const href: unknown = HTMLAttributes["href"];
    const shown = typeof href === "string" && allowedHref(href) ? { href } : {};
    return ["a", { ...shown, target: "_blank", rel: "noopener noreferrer nofollow" }, 0];
  },
});

/** What the shared text is made of. */
const PARTS: Extensions = [
  StarterKit.configure({
    // Collaboration brings an undo that leaves other people's work alone.
    undoRedo: false,
    // Would be an edit by everybody who only looks.
    trailingNode: false,
    heading: { levels: [1, 2, 3] },
    dropcursor: { class: "drop-line", color: false },
    code: false,
    codeBlock: false,
    link: false,
  }),
  // Proposals may stand in code, too.
  Code.extend({ excludes: "bold italic strike underline link" }),
  CodeBlock.extend({ marks: "insertion deletion" }),
  SafeLink.configure({
    openOnClick: false,
    defaultProtocol: "https",
    // Asked of bare words too ("example.org"), before a scheme is put in front of them.
    isAllowedUri: (uri) => allowedHref(uri) || (!uri?.includes(":") && safeUrl(uri) !== null),
  }),
  TaskList,
  TaskItem.configure({ nested: true, a11y: { checkboxLabel: (_node, checked) => (checked ? "Done" : "To do") } }),
  Insertion,
  Deletion,
];

/** Of what is shared; nothing else may be in a document that this editor opens. */
export const schema = getSchema([...PARTS, extensions.TextDirection.configure({ direction: TEXT_DIRECTION })]);

/** The server puts a fresh one into every page; the browser hides it from `getAttribute`. */
function pageNonce(): string | undefined {
  const meta = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]');
  return meta?.nonce || undefined;
}
