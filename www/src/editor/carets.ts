/*
 * The carets and selections of the others.
 *
 * y-tiptap's cursor plugin finds the places; what is drawn is ours. A state from the wire is checked before the
 * plugin sees it, the colour goes through the style object, the name is a text node. A caret that has not moved
 * for 10 s fades and drops its name.
 */
import { Extension } from "@tiptap/core";
import { relativePositionToAbsolutePosition, yCursorPlugin, ySyncPluginKey } from "@tiptap/y-tiptap";
import type { EditorState } from "@tiptap/pm/state";
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
      const { editor } = this;
      return [
        yCursorPlugin(awareness, {
          awarenessStateFilter: (own: number, id: number, state: unknown) => own !== id && hasPlace(editor.state, state),
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

/** Can the plugin draw it? A place outside the text would throw there, and take the editor with it. */
function hasPlace(state: EditorState, claim: unknown): boolean {
  const cursor = (claim as { cursor?: { anchor?: unknown; head?: unknown } } | null)?.cursor;
  if (typeof cursor !== "object" || cursor === null || !isPlace(cursor.anchor) || !isPlace(cursor.head)) return false;
  const sync = ySyncPluginKey.getState(state) as { doc: unknown; type: unknown; binding: { mapping: unknown } | null } | undefined;
  if (!sync?.binding) return false;
  try {
    for (const end of [cursor.anchor, cursor.head]) {
      relativePositionToAbsolutePosition(sync.doc as never, sync.type as never, createRelativePositionFromJSON(end), sync.binding.mapping as never);
    }
    return true;
  } catch {
    return false;
  }
}

/** Of the shape that Yjs writes, and in the text: naming another root would create it. */
function isPlace(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { type, tname, item, assoc } = value as Record<string, unknown>;
  if (tname !== undefined && tname !== null && tname !== "content") return false;
  if (!isId(type) || !isId(item) || (assoc !== undefined && typeof assoc !== "number")) return false;
  return [type, tname, item].some((part) => part !== undefined && part !== null);
}

function isId(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  const { client, clock } = value as Record<string, unknown>;
  return Number.isSafeInteger(client) && Number.isSafeInteger(clock) && Number(client) >= 0 && Number(clock) >= 0;
}
