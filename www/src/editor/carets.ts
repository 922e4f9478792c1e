/*
 * The carets and selections of the others.
 *
 * y-tiptap's cursor plugin finds the places; what is drawn is ours. A state from the wire is checked before the
 * plugin sees it, the colour goes through the style object, the name is a text node. A caret that has not moved
 * for 10 s fades and drops its name.
 */
import { Extension } from "@tiptap/core";
import { yCursorPlugin } from "@tiptap/y-tiptap";
import type { Awareness } from "y-protocols/awareness";
import { createRelativePositionFromJSON } from "yjs";
import { inkOn, PALETTE, toPerson } from "./person.ts";

export const STILL_MS = 10_000;

interface Caret {
  element: HTMLElement;
  label: HTMLElement;
  place: string;
  timer: ReturnType<typeof setTimeout> | null;
}

export function carets(awareness: Awareness) {
  const drawn = new Map<number, Caret>();

  const fadeLater = (caret: Caret) => {
    if (caret.timer !== null) clearTimeout(caret.timer);
    caret.element.classList.remove("is-still");
    caret.timer = setTimeout(() => caret.element.classList.add("is-still"), STILL_MS);
  };

  const paint = (id: number, caret: Caret) => {
    const person = toPerson(awareness.getStates().get(id)?.["user"], String(id));
    caret.element.style.setProperty("--author", person.color);
    caret.element.style.setProperty("--author-ink", inkOn(person.color));
    caret.label.textContent = person.name;
  };

  const draw = (_user: unknown, id: number): HTMLElement => {
    const old = drawn.get(id);
    if (old?.timer) clearTimeout(old.timer);
    const element = document.createElement("span");
    element.className = "caret";
    const label = document.createElement("span");
    label.className = "caret-name";
    // Word joiners keep the line from breaking at the caret.
    element.append("\u2060", label, "\u2060");
    const caret: Caret = { element, label, place: place(awareness, id), timer: null };
    drawn.set(id, caret);
    paint(id, caret);
    fadeLater(caret);
    return element;
  };

  const onChange = () => {
    for (const [id, caret] of drawn) {
      if (!awareness.getStates().has(id)) {
        if (caret.timer !== null) clearTimeout(caret.timer);
        drawn.delete(id);
        continue;
      }
      paint(id, caret);
      const now = place(awareness, id);
      if (now !== caret.place) {
        caret.place = now;
        fadeLater(caret);
      }
    }
  };

  return Extension.create({
    name: "carets",
    priority: 999,
    onCreate() {
      awareness.on("change", onChange);
    },
    onDestroy() {
      awareness.off("change", onChange);
      for (const caret of drawn.values()) if (caret.timer !== null) clearTimeout(caret.timer);
      drawn.clear();
    },
    addProseMirrorPlugins() {
      return [
        yCursorPlugin(awareness, {
          awarenessStateFilter: (own: number, id: number, state: unknown) => own !== id && hasPlace(state),
          cursorBuilder: draw,
          selectionBuilder: (user: unknown) => ({ class: selectionClass(user) }),
        }),
      ];
    },
  });
}

/** A colour of the palette by its number; a stranger's own colour is neutral. No colour reaches an attribute. */
function selectionClass(user: unknown): string {
  const at = (PALETTE as readonly string[]).indexOf(toPerson(user, "").color);
  return `selection selection-${at < 0 ? "other" : at}`;
}

function place(awareness: Awareness, id: number): string {
  return JSON.stringify(awareness.getStates().get(id)?.["cursor"] ?? null);
}

function hasPlace(state: unknown): boolean {
  try {
    const cursor = (state as { cursor?: { anchor?: unknown; head?: unknown } } | null)?.cursor;
    if (typeof cursor !== "object" || cursor === null) return false;
    for (const end of [cursor.anchor, cursor.head]) {
      if (typeof end !== "object" || end === null) return false;
      createRelativePositionFromJSON(end);
    }
    return true;
  } catch {
    return false;
  }
}
