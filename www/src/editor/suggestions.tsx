/* The open suggestions of this document, as the plugin `suggestion-mode` lists them, and what becomes of them. */
import type { Editor } from "@tiptap/core";
import { useEffect, useState } from "preact/hooks";
import type * as Y from "yjs";
import { call } from "../account/api.ts";
import { ServerError } from "../account/server.ts";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import type { OpenDocument } from "./document.ts";
import { validName } from "./person.ts";

const ROOT = "suggestions";
const SHOWN_MAX = 200;

export interface Suggestion {
  id: string;
  name: string;
  added: string;
  removed: string;
}

interface Props {
  open: OpenDocument;
  editor: Editor | null;
  /** This person may accept and reject. */
  decides: boolean;
  onFailed: (words: string) => void;
}

export function Suggestions({ open, editor, decides, onFailed }: Props) {
  const items = useSuggestions(open.doc);
  if (items.length === 0 || editor === null) return null;
  const run = (name: string, args: Record<string, unknown>) => {
    call(open.org, open.name, name, args).catch((error: unknown) => onFailed(failureWords(error)));
  };
  return (
    <Popover
      kind="dialog"
      label="Suggestions"
      spoken
      title="Suggestions"
      align="end"
      buttonClass="btn suggestions-button"
      class="suggestions"
      button={
        <>
          <Icon name="pencil" /> <span>{items.length}</span>
          <span class="sr-only"> {items.length === 1 ? "suggestion" : "suggestions"}</span>
        </>
      }
    >
      {() => (
        <>
          <h2 class="panel-title">Suggestions</h2>
          <ul class="suggestion-list" aria-label="Open suggestions">
            {items.slice(0, SHOWN_MAX).map((item) => (
              <li key={item.id}>
                <button type="button" class="suggestion-what" onClick={() => showIn(editor, item.id)} title="Show in the text">
                  <span class="suggestion-who">{item.name}</span>
                  {item.removed !== "" && <del>{item.removed}</del>} {item.added !== "" && <ins>{item.added}</ins>}
                </button>
                {decides && (
                  <span class="suggestion-acts">
                    <button type="button" class="btn btn-small" aria-label={`Accept: ${words(item)}`} onClick={() => run("suggest.accept", { id: item.id })}>
                      Accept
                    </button>
                    <button type="button" class="btn btn-small" aria-label={`Reject: ${words(item)}`} onClick={() => run("suggest.reject", { id: item.id })}>
                      Reject
                    </button>
                  </span>
                )}
              </li>
            ))}
          </ul>
          {items.length > SHOWN_MAX && <p class="panel-text">and {items.length - SHOWN_MAX} more</p>}
          {decides && items.length > 1 && (
            <button type="button" class="btn" onClick={() => run("suggest.accept_all", {})}>
              <Icon name="check-check" /> Accept all
            </button>
          )}
        </>
      )}
    </Popover>
  );
}

function useSuggestions(doc: Y.Doc): Suggestion[] {
  const [items, setItems] = useState<Suggestion[]>([]);
  useEffect(() => {
    const map = doc.getMap<unknown>(ROOT);
    const look = () => setItems(toSuggestions(map.toJSON()));
    look();
    map.observeDeep(look);
    return () => map.unobserveDeep(look);
  }, [doc]);
  return items;
}

/** The oldest first; what others wrote into the map is no entry unless it looks like one. */
export function toSuggestions(map: Record<string, unknown>): Suggestion[] {
  const found: [number, Suggestion][] = [];
  for (const [id, value] of Object.entries(map)) {
    if (typeof value !== "object" || value === null) continue;
    const entry = value as Record<string, unknown>;
    if (entry["detached"] === true) continue;
    const excerpt = typeof entry["excerpt"] === "string" ? entry["excerpt"] : "";
    const removed = typeof entry["removed"] === "string" ? entry["removed"] : "";
    const strikes = entry["kind"] === "deletion";
    if (!strikes && entry["kind"] !== "insertion" && entry["kind"] !== "replacement") continue;
    found.push([
      typeof entry["at"] === "number" ? entry["at"] : 0,
      { id, name: validName(entry["name"]), added: strikes ? "" : excerpt, removed: strikes ? excerpt : removed },
    ]);
  }
  return found.sort(([a, x], [b, y]) => a - b || (x.id < y.id ? -1 : 1)).map(([, item]) => item);
}

function words({ name, added, removed }: Suggestion): string {
  if (removed === "") return `${name} adds “${added}”`;
  return added === "" ? `${name} deletes “${removed}”` : `${name} replaces “${removed}” by “${added}”`;
}

function showIn(editor: Editor, id: string): void {
  let place: number | null = null;
  editor.state.doc.descendants((node, at) => {
    if (place === null && node.marks.some((mark) => mark.attrs["id"] === id)) place = at;
    return place === null;
  });
  if (place !== null) editor.chain().setTextSelection(place).scrollIntoView().run();
}

function failureWords(error: unknown): string {
  if (!(error instanceof ServerError)) return "Something went wrong in this page";
  return error.status === 403 ? "You may not accept or reject suggestions" : error.message.replace(/\.$/, "");
}
