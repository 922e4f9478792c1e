import { useEffect, useState } from "preact/hooks";
import type { ProviderSnapshot } from "../provider/provider.ts";
import { announcement, type SaveInput, type SaveKind, type SaveState, saveState, settled } from "../provider/save-state.ts";
import type { OpenDocument } from "./document.ts";

export interface SaveView extends SaveState {
  snapshot: ProviderSnapshot;
  storeProblem: string | null;
}

const TICK_MS = 250;

/** The five states over time: the provider says what happened, the clock says when it is overdue. */
export function useSaveState(open: OpenDocument): SaveView {
  const [view, setView] = useState(() => look(open));
  useEffect(() => {
    let ticker: ReturnType<typeof setInterval> | undefined;
    const update = () => {
      const now = look(open);
      setView((before) => (same(before, now) ? before : now));
      if (!settled(input(open))) {
        ticker ??= setInterval(update, TICK_MS);
      } else if (ticker !== undefined) {
        clearInterval(ticker);
        ticker = undefined;
      }
    };
    const unsubscribe = open.provider.subscribe(update);
    update();
    return () => {
      unsubscribe();
      clearInterval(ticker);
    };
  }, [open]);
  return view;
}

/** Text for the polite live region. */
export function useAnnouncement(state: SaveState): string {
  const [text, setText] = useState("");
  const [told, setTold] = useState<SaveKind | null>(null);
  useEffect(() => {
    if (state.kind === "saving") return;
    const words = announcement(told, state);
    if (words !== "") setText(words);
    if (told !== state.kind) setTold(state.kind);
  }, [state.kind]);
  return text;
}

function input(open: OpenDocument): SaveInput {
  const snapshot = open.provider.snapshot();
  const now = Date.now();
  return {
    connected: snapshot.status === "connected",
    confirmed: snapshot.confirmed,
    unacked: snapshot.unacked,
    unackedForMs: snapshot.unackedSince === null ? 0 : now - snapshot.unackedSince,
    gapMs: snapshot.gapSince === null ? 0 : now - snapshot.gapSince,
    wasSaved: snapshot.wasSaved,
    refusal: snapshot.refusal,
    keptOnDevice: open.store.problem === null,
    slowForOthers: snapshot.slowForOthers,
  };
}

function look(open: OpenDocument): SaveView {
  return { ...saveState(input(open)), snapshot: open.provider.snapshot(), storeProblem: open.store.problem };
}

function same(a: SaveView, b: SaveView): boolean {
  return a.kind === b.kind && a.label === b.label && a.detail === b.detail && a.snapshot === b.snapshot && a.storeProblem === b.storeProblem;
}
