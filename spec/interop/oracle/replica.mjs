// A document of npm yjs, with what it emits, held to the behaviour that our engine promises.
//
//  - No formatting clean-up: it changes what others see and is left to editors.
//  - No waiting for what is there: Yjs notes one clock per parked update and can wait for it although all that its structs
//    need has come (it then stays behind until the next full sync). Such updates are tried again in the same
//    transaction; `Replica.retries` counts how often that moved something.
import * as Next from "@y/y";
import { Y } from "../packages.mjs";
import { perform } from "./operations.mjs";
import { canonical, viewsOf } from "./views.mjs";

export const toHex = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
export const fromHex = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

/** Where Yjs looks for an index: by a scan from the start (as our writer is compared) or through its search markers. */
let scanning = false;
for (const type of [Y.Text, Y.Array]) {
  const integrate = type.prototype._integrate;
  type.prototype._integrate = function (doc, item) {
    integrate.call(this, doc, item);
    if (scanning) this._searchMarker = null;
  };
}
export function findByScan(on) {
  scanning = on;
}

const units = (doc) =>
  [...Y.decodeStateVector(Y.encodeStateVector(doc)).values()].reduce((sum, clock) => sum + clock, 0);

const NOBODY = -1;

export class Replica {
  static retries = 0;

  /** `whole`: its edits never cut a surrogate pair. */
  constructor({ client, gc, roots, whole = false }) {
    Object.assign(this, { client, gc, roots, whole });
    this.open();
  }

  open() {
    this.doc = new Y.Doc({ gc: this.gc, guid: "doc" });
    this.doc.clientID = this.client;
    this.emitted = [];
    this.doc.on("afterTransaction", (transaction) => {
      transaction._needFormattingCleanup = false;
    });
    this.doc.on("update", (v1) => this.emitted.push({ v1: toHex(v1) }));
    this.doc.on("updateV2", (v2) => {
      this.emitted[this.emitted.length - 1].v2 = toHex(v2);
    });
    for (const root of this.roots) viewsOf(this.doc, [root]);
  }

  /** What was emitted since the last call. */
  takeEmitted() {
    return this.emitted.splice(0);
  }

  /** One transaction. Operations that are not possible (any more, in a shortened history) are left out. */
  edit(operations) {
    return this.transact(operations.length, (i) => operations[i], true);
  }

  /** `operation(i)` is asked when those before it are done; answers what was done. */
  transact(count, operation, lenient = false) {
    const done = [];
    this.doc.transact(() => {
      for (let i = 0; i < count; i++) {
        const next = operation(i);
        try {
          perform(this.doc, this.roots, next, this.whole);
          done.push(next);
        } catch (error) {
          if (!lenient) throw error;
        }
      }
    });
    return done;
  }

  apply(hex, v) {
    this.doc.clientID = NOBODY; // own structs come back after a reload: no reason for another name
    Y.transact(
      this.doc,
      () => {
        (v === 2 ? Y.applyUpdateV2 : Y.applyUpdate)(this.doc, fromHex(hex), "remote");
        while (this.retry());
      },
      "remote",
      false,
    );
    this.doc.clientID = this.client;
  }

  /** Try what is parked once more; true if something of it was possible. */
  retry() {
    const { store } = this.doc;
    const parked = store.pendingStructs;
    if (parked === null) return false;
    const before = units(this.doc);
    store.pendingStructs = null;
    Y.applyUpdateV2(this.doc, parked.update, "remote");
    if (units(this.doc) === before) {
      store.pendingStructs = parked;
      return false;
    }
    Replica.retries += 1;
    return true;
  }

  /** Start anew from the own bytes. */
  reload(v) {
    const state = this.state(v);
    this.open();
    this.apply(state, v);
    this.takeEmitted();
  }

  state(v, stateVector) {
    const encode = v === 2 ? Y.encodeStateAsUpdateV2 : Y.encodeStateAsUpdate;
    return toHex(encode(this.doc, stateVector && fromHex(stateVector)));
  }

  stateVector() {
    return toHex(Y.encodeStateVector(this.doc));
  }

  pending() {
    const { pendingStructs, pendingDs } = this.doc.store;
    return { structs: pendingStructs !== null, deletes: pendingDs !== null };
  }

  view() {
    return canonical(viewsOf(this.doc, this.roots));
  }
}

/** The state in V1 and V2 that Yjs 14 makes of updates (V1). Other code, which must write the same bytes. */
export function statesOfNext(updates) {
  const doc = new Next.Doc({ guid: "doc" });
  doc.cleanupFormatting = false;
  for (const hex of updates) Next.applyUpdate(doc, fromHex(hex));
  return [toHex(Next.encodeStateAsUpdate(doc)), toHex(Next.encodeStateAsUpdateV2(doc))];
}

/**
 * V1 bytes as [structs, delete set without what its collected structs cover]. Yjs names those in the update of the
 * transaction that collects its own, not in that of a replica which receives them: they are deleted by nature.
 */
export function withoutCollected(hex) {
  const { structs, ds } = Y.decodeUpdate(fromHex(hex));
  const tail = toHex(Y.encodeSnapshot(Y.createSnapshot(ds, new Map()))).slice(0, -2);
  const collected = structs.filter((s) => s instanceof Y.GC);
  const left = [...ds.clients].map(([client, ranges]) => {
    const units = new Set(ranges.flatMap(({ clock, len }) => Array.from({ length: len }, (_, i) => clock + i)));
    for (const { id, length } of collected)
      if (id.client === client) for (let i = 0; i < length; i++) units.delete(id.clock + i);
    return [client, [...units].sort((a, b) => a - b)];
  });
  if (!hex.endsWith(tail)) throw new Error("the delete set is not the end");
  return JSON.stringify([
    hex.slice(0, -tail.length),
    left.filter(([, units]) => units.length > 0).sort(([a], [b]) => a - b),
  ]);
}

const both = (v, one, two) => (v === 2 ? two : one);
export const bytes = {
  merge: (list, v) => toHex(both(v, Y.mergeUpdates, Y.mergeUpdatesV2)(list.map(fromHex))),
  diff: (hex, stateVector, v) => toHex(both(v, Y.diffUpdate, Y.diffUpdateV2)(fromHex(hex), fromHex(stateVector))),
  convert: (hex, from) => toHex(both(from, Y.convertUpdateFormatV1ToV2, Y.convertUpdateFormatV2ToV1)(fromHex(hex))),
  stateVector: (hex, v) => toHex(both(v, Y.encodeStateVectorFromUpdate, Y.encodeStateVectorFromUpdateV2)(fromHex(hex))),
};
