import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as Y from "yjs";
import { BATCH_MS, MoonloomProvider, type ProviderOptions } from "../../src/provider/provider.ts";
import { FakeServer } from "./fake-server.ts";

let server: FakeServer;
let doc: Y.Doc;
let provider: MoonloomProvider;

async function connected(options: Partial<ProviderOptions> = {}): Promise<void> {
  provider = new MoonloomProvider({ url: "ws://x/sync/default/n", doc, WebSocket: server.WebSocket, random: () => 0.5, ...options });
  await pass(0);
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const type = (text: string) => doc.getText("t").insert(doc.getText("t").length, text);

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  doc = new Y.Doc();
});

afterEach(() => {
  provider.destroy();
  vi.useRealTimers();
});

describe("rights that change while connected", () => {
  it("are read-only from the server's word on, and nothing is wrong if nothing waits", async () => {
    await connected();
    server.socket.deliver({ type: "denied", reason: "read-only from now on" });
    server.socket.deliver({ type: "scope", write: false });
    await pass(0);
    expect(provider.snapshot()).toMatchObject({ status: "connected", readOnly: true, refusal: null });
  });

  it("say what was not taken", async () => {
    await connected();
    server.acknowledges = false;
    type("late");
    await pass(BATCH_MS * 2);
    server.socket.deliver({ type: "denied", reason: "read-only from now on" });
    server.socket.deliver({ type: "scope", write: false });
    await pass(0);
    expect(provider.snapshot()).toMatchObject({ readOnly: true, refusal: "read-only from now on", unacked: 1 });
  });

  it("offer everything again when writing is allowed again", async () => {
    await connected();
    server.acknowledges = false;
    server.socket.deliver({ type: "denied", reason: "no" });
    server.socket.deliver({ type: "scope", write: false });
    await pass(0);
    type("kept");
    server.acknowledges = true;
    server.socket.deliver({ type: "scope", write: true });
    await pass(0);
    expect(server.sockets).toHaveLength(2);
    expect(provider.snapshot()).toMatchObject({ readOnly: false, refusal: null, unacked: 0 });
    expect(server.text()).toBe("kept");
  });

  it("goes on reading", async () => {
    await connected();
    server.socket.deliver({ type: "scope", write: false });
    await pass(0);
    const other = new Y.Doc();
    other.getText("t").insert(0, "news");
    server.socket.deliver({ type: "update", update: Y.encodeStateAsUpdate(other) });
    await pass(0);
    expect(doc.getText("t").toString()).toBe("news");
  });
});

describe("access that ran out", () => {
  it("is renewed once and tried again", async () => {
    const renew = vi.fn(async () => true);
    await connected({ renew });
    server.socket.die(4401);
    await pass(1_000);
    expect(renew).toHaveBeenCalledTimes(1);
    expect(server.sockets).toHaveLength(2);
    expect(provider.snapshot()).toMatchObject({ status: "connected", confirmed: true, signedOut: false });
  });

  it("is the end when it cannot be renewed", async () => {
    await connected({ renew: async () => false });
    server.socket.die(4401);
    await pass(60_000);
    expect(server.sockets).toHaveLength(1);
    expect(provider.snapshot()).toMatchObject({ status: "refused", signedOut: true, refusal: "you are signed out" });
  });

  it("is tried again as long as nobody can tell", async () => {
    const renew = vi.fn(async (): Promise<boolean> => true);
    renew.mockRejectedValueOnce(new Error("503"));
    await connected({ renew });
    server.socket.die(4401);
    await pass(0);
    expect(provider.snapshot()).toMatchObject({ signedOut: false });
    await pass(60_000);
    expect(server.sockets).toHaveLength(2);
    server.socket.die(4401);
    await pass(5_000);
    expect(renew).toHaveBeenCalledTimes(2);
    expect(provider.snapshot()).toMatchObject({ status: "connected", signedOut: false });
  });

  it("is the end when the renewed one is refused, too: no loop", async () => {
    const renew = vi.fn(async () => true);
    await connected({ renew });
    server.answers = false;
    server.socket.die(4401);
    await pass(1_000);
    server.socket.die(4401);
    await pass(60_000);
    expect(renew).toHaveBeenCalledTimes(1);
    expect(provider.snapshot()).toMatchObject({ status: "refused", signedOut: true });
  });

  it("hands over a ticket when the server asks, and nothing when there is none", async () => {
    const ticket = vi.fn(async (): Promise<string | null> => "t1");
    await connected({ ticket });
    server.socket.deliver({ type: "token-request" });
    await pass(0);
    // A token and a refusal are the same bytes; the direction tells.
    expect(server.received.at(-1)).toEqual({ type: "denied", reason: "t1" });
    const frames = server.received.length;
    ticket.mockResolvedValueOnce(null);
    server.socket.deliver({ type: "token-request" });
    await pass(0);
    expect(server.received).toHaveLength(frames);
  });
});

describe("a socket that does not open", () => {
  it("is asked about over HTTP, and final if the server says why", async () => {
    server.accepts = false;
    await connected({ explain: async () => ({ reason: "this document is private now", signedOut: false }) });
    await pass(60_000);
    expect(server.sockets).toHaveLength(1);
    expect(provider.snapshot()).toMatchObject({ status: "refused", refusal: "this document is private now", signedOut: false });
  });

  it("is tried again while nobody says why", async () => {
    server.accepts = false;
    await connected({ explain: async () => null });
    await pass(10_000);
    expect(server.sockets.length).toBeGreaterThan(2);
    expect(provider.snapshot()).toMatchObject({ status: "waiting", refusal: null });
  });
});
