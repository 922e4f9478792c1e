/*
 * One open document: the Y.Doc, its copy on this device, its line to the server.
 *
 * Shared roots: `content` (Y.XmlFragment, what Tiptap edits) and `meta` (Y.Map: `title`, `lang`).
 */
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { whyClosed } from "../account/api.ts";
import { renewed } from "../account/server.ts";
import { OfflineStore } from "../provider/offline.ts";
import { MoonloomProvider } from "../provider/provider.ts";
import { syncUrl } from "../shell/router.ts";
import type { Person } from "./person.ts";

/** How long an unknown document may keep the writer waiting for the server. */
const FIRST_SYNC_WAIT_MS = 2_000;

export interface OpenDocument {
  org: string;
  name: string;
  doc: Y.Doc;
  content: Y.XmlFragment;
  meta: Y.Map<unknown>;
  awareness: Awareness;
  provider: MoonloomProvider;
  store: OfflineStore;
  /** Settles when there is something to show: the copy on this device, or the server's answer, or 2 s without either. */
  ready: Promise<void>;
  close: () => void;
}

/** @param admitted settles when this page may knock: a link was shown, or there was none to show */
export function openDocument(org: string, name: string, person: Person, admitted: Promise<unknown>): OpenDocument {
  const doc = new Y.Doc();
  const content = doc.getXmlFragment("content");
  const meta = doc.getMap<unknown>("meta");
  const awareness = new Awareness(doc);
  awareness.setLocalStateField("user", person);
  const store = new OfflineStore(org, name, doc);
  const provider = new MoonloomProvider({
    url: syncUrl(location, org, name),
    doc,
    awareness,
    storeOrigin: store.origin,
    persist: store.fence,
    renew: renewed,
    explain: () => whyClosed(org, name),
    connect: false,
  });

  let closed = false;
  const ready = (async () => {
    const [carried] = await Promise.all([store.load(), admitted]);
    if (closed) return;
    provider.carry(carried);
    provider.connect();
    if (content.length > 0) return;
    await firstSync(provider);
  })();

  const hurry = () => document.visibilityState === "visible" && provider.hurry();
  const leave = () => provider.disconnect();
  const back = (event: PageTransitionEvent) => event.persisted && provider.connect();
  // Only what exists nowhere else is worth a question.
  const guard = (event: BeforeUnloadEvent) => {
    if (provider.snapshot().unacked > 0 && !store.kept) event.preventDefault();
  };
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", back);
  addEventListener("beforeunload", guard);

  return {
    org,
    name,
    doc,
    content,
    meta,
    awareness,
    provider,
    store,
    ready,
    close() {
      closed = true;
      removeEventListener("online", hurry);
      document.removeEventListener("visibilitychange", hurry);
      removeEventListener("pagehide", leave);
      removeEventListener("pageshow", back);
      removeEventListener("beforeunload", guard);
      provider.destroy();
      store.destroy();
      doc.destroy();
    },
  };
}

function firstSync(provider: MoonloomProvider): Promise<void> {
  return new Promise((resolve) => {
    let done = () => {};
    const unsubscribe = provider.subscribe(() => {
      const s = provider.snapshot();
      if (s.synced || s.refusal !== null) done();
    });
    const timer = setTimeout(() => done(), FIRST_SYNC_WAIT_MS);
    done = () => {
      clearTimeout(timer);
      unsubscribe();
      resolve();
    };
    if (provider.snapshot().synced) done();
  });
}
