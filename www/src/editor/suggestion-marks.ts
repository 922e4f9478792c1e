/*
 * Proposals in the text: `insertion` is what somebody would add, `deletion` what somebody would take away. The server lets a
 * suggester write nothing else, and its plugin `suggestion-mode` makes them of what a suggester types.
 */
import { Mark } from "@tiptap/core";

/** `id` is of one proposal, `author` a user, `at` seconds since 1970. */
export interface SuggestionAttributes {
  id: string | null;
  author: string | null;
  at: number | null;
}

function suggestion(name: "insertion" | "deletion", tag: "ins" | "del") {
  return Mark.create({
    name,
    // What is typed at its end is not a part of it.
    inclusive: false,
    addAttributes: () => ({
      id: { default: null, rendered: false },
      author: { default: null, rendered: false },
      at: { default: null, rendered: false },
    }),
    renderHTML: () => [tag, { class: "suggestion" }, 0],
  });
}

export const Insertion = suggestion("insertion", "ins");
export const Deletion = suggestion("deletion", "del");
