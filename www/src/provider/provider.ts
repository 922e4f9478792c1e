/*
 * Keeps one Y.Doc in step with one document on a Moonloom server, and knows what is safe there.
 *
 *            open            Step1 of the server          66 echoed
 *   waiting ------> connected -----------------> handshaken ------> confirmed
 *      ^                |  (our Step2, then 66)       |                 |
 *      +----------------+-----------------------------+-----------------+--> refused (final)
 *             close, dead heartbeat: wait with jitter
 *
 * Versions. Every local transaction adds one to `local`. After a batch is sent, `66 local` follows it; the server
 * echoes those bytes once everything before them is on disk, and `acked` becomes that number. So
 * `local - acked` changes are not safe yet, whatever happened to the connection in between.
 *
 * 1. Until our Step2 has gone out on a connection nothing else of the document does: it holds every
 *    change the server lacks, those made offline included.
 * 2. A change is offered to the store on this device (`persist`) before it is sent.
 * 3. "confirmed" is never inferred from silence, only from an echo on this very connection.
 */
import * as Y from "yjs";
import {
  applyAwarenessUpdate,
  Awareness,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from "y-protocols/awareness";
import { backoffMs, closeVerdict, DRAIN_MS } from "./backoff.ts";
import { decodeFrame, encodeFrame, type Frame } from "./frames.ts";

export const BATCH_MS = 50;
export const AWARENESS_MS = 40;
export const IDLE_PING_MS = 15_000;
export const PROBE_MS = 5_000;
export const DEAD_MS = 10_000;
/** A store that does not answer must not keep a change from the server. */
export const PERSIST_WAIT_MS = 300;
/** The close code of a connection without a credential that still holds. */
const SIGNED_OUT = 4401;
/** What a browser says of a socket that was refused, or that nobody answered. */
const UNOPENED = 1006;
const OPEN_TIMEOUT_MS = 10_000;

export interface Notice {
  /** For programs: `plugin.code`. */
  code: string;
  /** For people. */
  reason: string;
}

export interface ProviderSnapshot {
  status: "waiting" | "connected" | "refused";
  /** The server's whole state has arrived at least once. */
  synced: boolean;
  confirmed: boolean;
  /** Local changes without an acknowledgement. */
  unacked: number;
  /** When the oldest of them was made, in ms of `now()`; null if there is none. */
  unackedSince: number | null;
  /** Since when there is no confirmed connection; null while there is one. */
  gapSince: number | null;
  /** The last confirmed connection had nothing left to save. */
  wasSaved: boolean;
  lastSavedAt: number | null;
  refusal: string | null;
  /** An edit that a policy has taken back, until somebody has read it. */
  notice: Notice | null;
  /** Nobody is signed in here any more: the way on is to sign in. */
  signedOut: boolean;
  /** The server lets this page read, not write. What it says of our changes is in `refusal`. */
  readOnly: boolean;
  /** The servers do not hear each other at once: what is written here is saved as always, and reaches others later. */
  slowForOthers: boolean;
  /** When the next attempt is due; null if none is planned. */
  nextAttemptAt: number | null;
}

export interface ProviderOptions {
  url: string;
  doc: Y.Doc;
  awareness?: Awareness;
  /** Transactions of this origin come from the store: they must reach the server but are nobody's new edit. */
  storeOrigin?: unknown;
  /** Settles when every change so far is in the store. Rejects if the store failed. */
  persist?: (unacked: number) => Promise<void>;
  /** The access of this page ran out: true if it could be renewed, and another try is worth it. Rejects if nobody can tell now. */
  renew?: () => Promise<boolean>;
  /** A socket did not open: why, if the server says so over HTTP; null if there is no reason not to try again. */
  explain?: () => Promise<{ reason: string; signedOut: boolean } | null>;
  /** A credential for the open socket, or null: then the server ends it in time, and `renew` is asked. */
  ticket?: () => Promise<string | null>;
  connect?: boolean;
  WebSocket?: new (url: string) => WebSocket;
  now?: () => number;
  random?: () => number;
}

type Timer = ReturnType<typeof setTimeout>;

export class MoonloomProvider {
  readonly doc: Y.Doc;
  readonly awareness: Awareness;
  readonly url: string;

  private readonly socketClass: new (url: string) => WebSocket;
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly persist: ((unacked: number) => Promise<void>) | undefined;
  private readonly renew: (() => Promise<boolean>) | undefined;
  private readonly ticket: (() => Promise<string | null>) | undefined;
  private readonly explain: ProviderOptions["explain"];
  private readonly storeOrigin: unknown;
  private readonly listeners = new Set<() => void>();

  private socket: WebSocket | null = null;
  /** The socket of now has been open. */
  private opened = false;
  private handshaken = false;
  private confirmed = false;
  private synced = false;
  private refusal: string | null = null;
  private notice: Notice | null = null;
  private final = false;
  private stopped = true;

  private local = 0;
  private acked = 0;
  /** When each change in (acked, local] was made. */
  private madeAt: number[] = [];
  private batch: Uint8Array[] = [];
  private batchTimer: Timer | null = null;
  private flushing = false;
  /** Counts the Step2 frames we sent: after each, older batches are obsolete. */
  private session = 0;
  /** The server refused a write on this connection; its echoes then promise nothing. */
  private denied = false;
  private readOnly = false;
  private slowForOthers = false;
  private signedOut = false;
  /** Renewed after the last 4401, and not confirmed since: a second one is the end. */
  private renewing = false;

  private awarenessTimer: Timer | null = null;
  private attempt = 0;
  private reconnectTimer: Timer | null = null;
  private reconnectAt: number | null = null;
  private openTimer: Timer | null = null;
  private heartbeatTimer: Timer | null = null;
  private lastReceived = 0;
  /** When the oldest status frame without an echo was sent. */
  private askedAt: number | null = null;
  private askedVersion = 0;
  private probed = false;
  private gapSince: number | null;
  private wasSaved = false;
  private lastSavedAt: number | null = null;
  private current: ProviderSnapshot;

  constructor(options: ProviderOptions) {
    this.doc = options.doc;
    this.awareness = options.awareness ?? new Awareness(options.doc);
    this.url = options.url;
    this.socketClass = options.WebSocket ?? WebSocket;
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? Math.random;
    this.persist = options.persist;
    this.storeOrigin = options.storeOrigin;
    this.renew = options.renew;
    this.ticket = options.ticket;
    this.explain = options.explain;
    this.gapSince = this.now();
    this.current = this.makeSnapshot();
    this.doc.on("update", this.onUpdate);
    this.awareness.on("update", this.onAwareness);
    if (options.connect !== false) this.connect();
  }

  /** For useSyncExternalStore-like consumers: the same object until something changed. */
  readonly snapshot = (): ProviderSnapshot => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Before the first connect: changes that an earlier visit left without an acknowledgement. */
  carry(changes: number): void {
    this.local += changes;
    this.madeAt.unshift(...new Array<number>(changes).fill(this.now()));
    this.changed();
  }

  connect(): void {
    this.stopped = false;
    if (this.socket !== null || this.final) return;
    this.open();
  }

  /** Retry now: somebody pressed the button. Also the way back from a refusal. */
  retry(): void {
    this.final = false;
    this.refusal = null;
    this.signedOut = false;
    this.renewing = false;
    this.attempt = 0;
    this.stopped = false;
    if (this.socket === null) this.open();
    else if (this.denied) this.reopen(this.socket);
    else this.changed();
  }

  dismissNotice(): void {
    this.notice = null;
    this.changed();
  }

  /** Another connection at once: whatever the server did not take on this one is offered again. */
  private reopen(socket: WebSocket): void {
    this.drop(socket);
    socket.close();
    this.open();
  }

  /** The network came back, or the page is looked at again. Only ever shortens the wait. */
  hurry(): void {
    if (this.socket !== null) {
      this.ping();
      return;
    }
    if (this.reconnectAt === null) return;
    const soon = this.random() * 1000;
    if (this.now() + soon < this.reconnectAt) this.schedule(soon);
  }

  disconnect(): void {
    this.stopped = true;
    this.clearReconnect();
    const socket = this.socket;
    if (socket === null) return;
    this.sayGoodbye(socket);
    this.drop(socket);
    socket.close();
    this.changed();
  }

  destroy(): void {
    this.disconnect();
    this.doc.off("update", this.onUpdate);
    this.awareness.off("update", this.onAwareness);
    this.awareness.destroy();
    for (const timer of [this.batchTimer, this.awarenessTimer]) if (timer !== null) clearTimeout(timer);
    this.listeners.clear();
  }

  // --- connection -----------------------------------------------------------------------------

  private open(): void {
    this.clearReconnect();
    let socket: WebSocket;
    try {
      socket = new this.socketClass(this.url);
    } catch {
      this.final = true;
      this.refusal = "this address cannot be opened";
      this.changed();
      return;
    }
    this.socket = socket;
    this.opened = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.onOpen(socket);
    socket.onmessage = (event) => this.onMessage(socket, event.data as ArrayBuffer | string);
    socket.onclose = (event) => this.onClose(socket, event.code, event.reason);
    this.openTimer = setTimeout(() => {
      if (socket.readyState !== 0) return;
      this.drop(socket);
      socket.close();
      this.again(backoffMs(this.attempt++, this.random));
    }, OPEN_TIMEOUT_MS);
    this.changed();
  }

  private onOpen(socket: WebSocket): void {
    if (socket !== this.socket) return;
    this.opened = true;
    this.clearOpenTimer();
    this.lastReceived = this.now();
    this.denied = false;
    this.slowForOthers = false; // this server says so if it is
    this.send({ type: "notice", text: "" });
    this.send({ type: "step1", stateVector: Y.encodeStateVector(this.doc) });
    // A new clock: the server remembers that we went away with the old one.
    const state = this.awareness.getLocalState();
    if (state !== null) this.awareness.setLocalState(state);
    this.heartbeatTimer = setInterval(() => this.heartbeat(), 1000);
    this.changed();
  }

  private onMessage(socket: WebSocket, data: ArrayBuffer | string): void {
    if (socket !== this.socket || typeof data === "string") return;
    this.lastReceived = this.now();
    this.probed = false;
    let frame: Frame;
    try {
      frame = decodeFrame(new Uint8Array(data));
    } catch {
      return;
    }
    switch (frame.type) {
      case "step1":
        this.answerStep1(frame.stateVector);
        break;
      case "step2":
      case "update":
        Y.applyUpdate(this.doc, frame.update, this);
        if (frame.type === "step2" && !this.synced) {
          this.synced = true;
          this.changed();
        }
        break;
      case "awareness":
        applyAwarenessUpdate(this.awareness, frame.update, this);
        break;
      case "query-awareness":
        this.sendAwareness();
        break;
      case "denied":
        this.denied = true;
        this.refusal = frame.reason === "" ? "you may not edit this document" : frame.reason;
        this.changed();
        break;
      case "status":
        this.onStatus(frame.version);
        break;
      case "notice":
        this.onNotice(frame.text);
        break;
      case "scope":
        this.onScope(socket, frame.write);
        break;
      case "token-request":
        void this.ticket?.().then((token) => token !== null && socket === this.socket && this.send({ type: "token", token }));
        break;
      case "token":
      case "unknown":
        break;
    }
  }

  private onNotice(text: string): void {
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof said !== "object" || said === null) return;
    const { kind, code, reason, degraded } = said as Record<string, unknown>;
    if (kind === "bus" && typeof degraded === "boolean") {
      this.slowForOthers = degraded;
      this.changed();
      return;
    }
    if (kind !== "refused" || typeof code !== "string" || typeof reason !== "string") return;
    this.notice = { code, reason };
    this.changed();
  }

  /** Fewer rights: what was not taken before stays ours. More: it is offered again. */
  private onScope(socket: WebSocket, write: boolean): void {
    const before = this.readOnly;
    this.readOnly = !write;
    if (write && (before || this.denied)) {
      this.refusal = null;
      this.reopen(socket);
      return;
    }
    if (!write && this.local === this.acked) this.refusal = null;
    this.changed();
  }

  private onClose(socket: WebSocket, code: number, reason: string): void {
    if (socket !== this.socket) return;
    this.drop(socket);
    if (this.stopped) {
      this.changed();
      return;
    }
    if (code === UNOPENED && !this.opened && this.explain !== undefined) {
      void this.askWhy(this.explain);
      return;
    }
    const verdict = closeVerdict(code, reason);
    if (code === SIGNED_OUT && this.renew !== undefined && !this.renewing) {
      void this.renewAccess(this.renew, verdict.kind === "final" ? verdict.reason : "");
      return;
    }
    if (verdict.kind === "final") {
      this.signedOut = code === SIGNED_OUT;
      this.final = true;
      this.refusal = verdict.reason;
      this.changed();
      return;
    }
    if (verdict.kind === "drain") this.again(this.random() * DRAIN_MS);
    else this.again(Math.max(verdict.afterMs, backoffMs(this.attempt++, this.random)));
  }

  private async renewAccess(renew: () => Promise<boolean>, refusal: string): Promise<void> {
    this.renewing = true;
    this.changed();
    // null: the server cannot tell now.
    const worked = await renew().catch(() => null);
    if (this.stopped || this.socket !== null) return;
    if (worked === null) {
      this.renewing = false;
      this.again(backoffMs(this.attempt++, this.random));
      return;
    }
    if (worked) {
      this.again(this.random() * 1000);
      return;
    }
    this.final = this.signedOut = true;
    this.refusal = refusal;
    this.changed();
  }

  /** Browsers hide what an upgrade was refused with. */
  private async askWhy(explain: NonNullable<ProviderOptions["explain"]>): Promise<void> {
    this.changed();
    const why = await explain().catch(() => null);
    if (this.stopped || this.socket !== null) return;
    if (why === null) {
      this.again(backoffMs(this.attempt++, this.random));
      return;
    }
    this.final = true;
    this.signedOut = why.signedOut;
    this.refusal = why.reason;
    this.changed();
  }

  private drop(socket: WebSocket): void {
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (this.socket === socket) this.socket = null;
    this.clearOpenTimer();
    if (this.heartbeatTimer !== null) clearInterval(this.heartbeatTimer);
    this.heartbeatTimer = null;
    if (this.confirmed) this.wasSaved = this.local === this.acked;
    this.handshaken = false;
    this.confirmed = false;
    this.askedAt = null;
    this.gapSince ??= this.now();
    // What waits here goes out again inside the next Step2.
    this.batch = [];
    const others = [...this.awareness.getStates().keys()].filter((id) => id !== this.doc.clientID);
    removeAwarenessStates(this.awareness, others, this);
    // Forget their clocks too: the server will tell us the same ones again.
    for (const id of others) this.awareness.meta.delete(id);
  }

  private again(delay: number): void {
    this.schedule(delay);
    this.changed();
  }

  private schedule(delay: number): void {
    this.clearReconnect();
    this.reconnectAt = this.now() + delay;
    this.reconnectTimer = setTimeout(() => this.open(), delay);
  }

  private clearReconnect(): void {
    if (this.reconnectTimer !== null) clearTimeout(this.reconnectTimer);
    this.reconnectTimer = null;
    this.reconnectAt = null;
  }

  private clearOpenTimer(): void {
    if (this.openTimer !== null) clearTimeout(this.openTimer);
    this.openTimer = null;
  }

  private heartbeat(): void {
    const socket = this.socket;
    if (socket === null) return;
    const now = this.now();
    const silence = now - this.lastReceived;
    if (this.askedAt === null) {
      if (silence >= IDLE_PING_MS) this.ping();
      return;
    }
    // A slow disk delays the echo, not the server: ask something that needs no disk before giving up on the line.
    if (!this.probed && silence >= PROBE_MS && now - this.askedAt >= PROBE_MS) {
      this.probed = true;
      this.send({ type: "query-awareness" });
    }
    if (silence >= DEAD_MS && now - this.askedAt >= DEAD_MS) {
      this.drop(socket);
      socket.close();
      this.again(backoffMs(this.attempt++, this.random));
    }
  }

  private ping(): void {
    if (this.handshaken && this.askedAt === null) this.askStatus(this.askedVersion);
  }

  // --- document -------------------------------------------------------------------------------

  private readonly onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin === this) return;
    if (origin !== this.storeOrigin || this.storeOrigin === undefined) {
      this.local += 1;
      this.madeAt.push(this.now());
    }
    if (this.persist === undefined && !this.handshaken) {
      this.changed();
      return;
    }
    this.batch.push(update);
    this.batchTimer ??= setTimeout(() => {
      this.batchTimer = null;
      void this.flush();
    }, BATCH_MS);
    this.changed();
  };

  /** Store, then send. Changes made meanwhile go with the next batch. */
  private async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    try {
      do {
        const upTo = this.local;
        const taken = this.batch.length;
        const session = this.session;
        await this.stored();
        if (!this.handshaken) {
          this.batch = [];
          return;
        }
        // Another connection began while we waited: its Step2 held these, what is in the batch now is newer.
        if (session !== this.session) continue;
        const ready = this.batch.splice(0, taken);
        if (ready.length === 0) continue;
        this.send({ type: "update", update: ready.length === 1 ? ready[0]! : Y.mergeUpdates(ready) });
        this.askStatus(upTo);
      } while (this.batch.length > 0 && this.batchTimer === null);
    } finally {
      this.flushing = false;
    }
  }

  private async stored(): Promise<void> {
    if (this.persist === undefined) return;
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PERSIST_WAIT_MS);
    });
    await Promise.race([this.persist(this.local - this.acked).catch(() => undefined), late]);
    clearTimeout(timer);
  }

  private answerStep1(stateVector: Uint8Array): void {
    this.send({ type: "step2", update: Y.encodeStateAsUpdate(this.doc, stateVector) });
    this.batch = [];
    this.session += 1;
    this.handshaken = true;
    this.askStatus(this.local);
  }

  private askStatus(version: number): void {
    this.askedVersion = version;
    this.askedAt ??= this.now();
    this.send({ type: "status", version });
  }

  private onStatus(version: number): void {
    if (version > this.local) return;
    if (version >= this.askedVersion) this.askedAt = null;
    else this.askedAt = this.now();
    if (this.denied) return;
    this.refusal = null;
    if (version > this.acked) {
      this.madeAt.splice(0, version - this.acked);
      this.acked = version;
    }
    this.attempt = 0;
    this.renewing = false;
    this.confirmed = true;
    this.gapSince = null;
    if (this.acked === this.local) {
      this.lastSavedAt = this.now();
      void this.persist?.(0).catch(() => undefined);
    }
    this.changed();
  }

  // --- presence -------------------------------------------------------------------------------

  private readonly onAwareness = (_: unknown, origin: unknown): void => {
    if (origin === this) return;
    this.awarenessTimer ??= setTimeout(() => {
      this.awarenessTimer = null;
      this.sendAwareness();
    }, AWARENESS_MS);
  };

  /** Our own state only: what others said is theirs to repeat. */
  private sendAwareness(): void {
    if (this.awareness.getLocalState() === null) return;
    this.send({ type: "awareness", update: encodeAwarenessUpdate(this.awareness, [this.doc.clientID]) });
  }

  private sayGoodbye(socket: WebSocket): void {
    if (socket.readyState !== 1) return;
    const gone = new Map<number, never>();
    socket.send(
      encodeFrame({
        type: "awareness",
        update: encodeAwarenessUpdate(this.awareness, [this.doc.clientID], gone),
      }),
    );
  }

  // --------------------------------------------------------------------------------------------

  private send(frame: Exclude<Frame, { type: "unknown" }>): void {
    if (this.socket?.readyState === 1) this.socket.send(encodeFrame(frame));
  }

  private changed(): void {
    this.current = this.makeSnapshot();
    for (const listener of this.listeners) listener();
  }

  private makeSnapshot(): ProviderSnapshot {
    return {
      status: this.final ? "refused" : this.socket?.readyState === 1 ? "connected" : "waiting",
      synced: this.synced,
      confirmed: this.confirmed,
      unacked: this.local - this.acked,
      unackedSince: this.madeAt[0] ?? null,
      gapSince: this.gapSince,
      wasSaved: this.confirmed ? this.local === this.acked : this.wasSaved && this.local === this.acked,
      lastSavedAt: this.lastSavedAt,
      refusal: this.refusal,
      notice: this.notice,
      signedOut: this.signedOut,
      readOnly: this.readOnly,
      slowForOthers: this.slowForOthers,
      nextAttemptAt: this.reconnectAt,
    };
  }
}
