/* A server and its sockets in memory: what arrives, when it is acknowledged and how it dies is up to the spec. */
import * as Y from "yjs";
import { decodeFrame, encodeFrame, type Frame } from "../../src/provider/frames.ts";

export class FakeServer {
  readonly doc = new Y.Doc();
  readonly sockets: FakeSocket[] = [];
  /** Frames of the client, oldest first. */
  readonly received: Frame[] = [];
  accepts = true;
  /** false: the disk is slow, status frames wait in `held`. */
  acknowledges = true;
  /** false: nothing comes back at all, as on a dead line. */
  answers = true;
  readonly held: number[] = [];

  readonly WebSocket: new (url: string) => WebSocket;

  constructor() {
    const server = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url, server);
      }
    } as unknown as new (url: string) => WebSocket;
  }

  get socket(): FakeSocket {
    return this.sockets[this.sockets.length - 1]!;
  }

  text(): string {
    return this.doc.getText("t").toString();
  }

  count(type: Frame["type"]): number {
    return this.received.filter((frame) => frame.type === type).length;
  }

  onOpen(socket: FakeSocket): void {
    socket.deliver({ type: "step1", stateVector: Y.encodeStateVector(this.doc) });
  }

  onFrame(socket: FakeSocket, frame: Frame): void {
    this.received.push(frame);
    if (!this.answers) return;
    switch (frame.type) {
      case "step1":
        socket.deliver({ type: "step2", update: Y.encodeStateAsUpdate(this.doc, frame.stateVector) });
        break;
      case "step2":
      case "update":
        Y.applyUpdate(this.doc, frame.update);
        break;
      case "status":
        if (this.acknowledges) socket.deliver(frame);
        else this.held.push(frame.version);
        break;
      case "query-awareness":
        socket.deliver({ type: "awareness", update: new Uint8Array([0]) });
        break;
    }
  }

  /** The disk caught up. */
  release(): void {
    for (const version of this.held.splice(0)) this.socket.deliver({ type: "status", version });
  }
}

export class FakeSocket {
  readyState = 0;
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  closed = false;

  constructor(
    readonly url: string,
    private readonly server: FakeServer,
  ) {
    server.sockets.push(this);
    queueMicrotask(() => {
      if (this.closed) return;
      if (!server.accepts) {
        this.die(1006);
        return;
      }
      this.readyState = 1;
      this.onopen?.();
      if (server.answers) server.onOpen(this);
    });
  }

  send(bytes: Uint8Array): void {
    this.server.onFrame(this, decodeFrame(bytes));
  }

  close(): void {
    this.closed = true;
    this.readyState = 3;
  }

  deliver(frame: Exclude<Frame, { type: "unknown" }>): void {
    const bytes = encodeFrame(frame);
    queueMicrotask(() => this.onmessage?.({ data: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer }));
  }

  /** The server, or the network, ends it. */
  die(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}
