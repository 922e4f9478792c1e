import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Awareness, encodeAwarenessUpdate } from "y-protocols/awareness";
import * as Y from "yjs";
import { BATCH_MS, DEAD_MS, MoonloomProvider, PERSIST_WAIT_MS, PROBE_MS, type ProviderOptions } from "../../src/provider/provider.ts";
import { FakeServer } from "./fake-server.ts";

let server: FakeServer;
let doc: Y.Doc;
let provider: MoonloomProvider;

function start(options: Partial<ProviderOptions> = {}): void {
  provider = new MoonloomProvider({ url: "ws://x/sync/default/n", doc, WebSocket: server.WebSocket, random: () => 0.5, ...options });
}

const type = (text: string) => doc.getText("t").insert(doc.getText("t").length, text);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const unacked = () => provider.snapshot().unacked;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  doc = new Y.Doc();
});

afterEach(() => {
  provider.destroy();
  vi.useRealTimers();
});

describe("the handshake", () => {
  it("brings the document and confirms it only after the echo", async () => {
    server.doc.getText("t").insert(0, "hello");
    server.acknowledges = false;
    start();
    await pass(0);
    expect(doc.getText("t").toString()).toBe("hello");
    expect(provider.snapshot()).toMatchObject({ status: "connected", synced: true, confirmed: false });
    server.release();
    await pass(0);
    expect(provider.snapshot().confirmed).toBe(true);
  });

  it("sends the status after the Step2, never before", async () => {
    start();
    await pass(0);
    const kinds = server.received.map((f) => f.type).filter((t) => t === "step2" || t === "status");
    expect(kinds).toEqual(["step2", "status"]);
  });

  it("takes a first sync that comes in parts", async () => {
    const other = new Y.Doc();
    other.getText("t").insert(0, "part");
    start();
    await pass(0);
    server.socket.deliver({ type: "update", update: Y.encodeStateAsUpdate(other) });
    await pass(0);
    expect(doc.getText("t").toString()).toBe("part");
  });

  it("holds local updates back until the Step2 has gone out, and then does not repeat them", async () => {
    server.answers = false;
    start();
    await pass(0);
    type("early");
    await pass(BATCH_MS * 2);
    expect(server.count("update")).toBe(0);
    server.answers = true;
    server.onOpen(server.socket);
    await pass(BATCH_MS * 2);
    expect(server.text()).toBe("early");
    expect(server.count("update")).toBe(0);
    expect(unacked()).toBe(0);
  });
});

describe("acknowledgements", () => {
  it("counts changes until the server echoes their version", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("a");
    type("b");
    expect(unacked()).toBe(2);
    await pass(BATCH_MS);
    expect(server.text()).toBe("ab");
    expect(unacked()).toBe(2);
    server.release();
    await pass(0);
    expect(unacked()).toBe(0);
    expect(provider.snapshot().lastSavedAt).not.toBeNull();
  });

  it("sends one update for what was typed within the batch time", async () => {
    start();
    await pass(0);
    for (const c of "moonloom") type(c);
    await pass(BATCH_MS);
    expect(server.count("update")).toBe(1);
    expect(server.text()).toBe("moonloom");
  });

  it("does not take an older echo for the newest change", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("a");
    await pass(BATCH_MS);
    type("b");
    await pass(BATCH_MS);
    server.socket.deliver({ type: "status", version: 1 });
    await pass(0);
    expect(unacked()).toBe(1);
  });

  it("ignores an echo of a version that was never sent", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("a");
    server.socket.deliver({ type: "status", version: 99 });
    await pass(BATCH_MS);
    expect(unacked()).toBe(1);
  });

  it("knows since when the oldest change waits", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("a");
    const made = Date.now();
    await pass(1_000);
    type("b");
    expect(provider.snapshot().unackedSince).toBe(made);
  });

  it("does not count what others write", async () => {
    start();
    await pass(0);
    const other = new Y.Doc();
    other.getText("t").insert(0, "theirs");
    server.socket.deliver({ type: "update", update: Y.encodeStateAsUpdate(other) });
    await pass(BATCH_MS);
    expect(unacked()).toBe(0);
    expect(server.count("update")).toBe(0);
  });
});

describe("without a connection", () => {
  it("keeps counting, and sends everything once with the next Step2", async () => {
    start();
    await pass(0);
    server.accepts = false;
    server.socket.die(1006);
    type("one ");
    type("two");
    expect(unacked()).toBe(2);
    server.accepts = true;
    await pass(40_000);
    expect(server.text()).toBe("one two");
    expect(unacked()).toBe(0);
  });

  it("sends again what was sent but not acknowledged, and doubles nothing", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("once");
    await pass(BATCH_MS);
    server.socket.die(1006);
    server.acknowledges = true;
    await pass(2_000);
    expect(server.text()).toBe("once");
    expect(doc.getText("t").toString()).toBe("once");
    expect(unacked()).toBe(0);
  });

  it("carries the number of an earlier visit until the server confirms", async () => {
    server.acknowledges = false;
    start({ connect: false });
    provider.carry(3);
    expect(unacked()).toBe(3);
    provider.connect();
    await pass(0);
    expect(unacked()).toBe(3);
    server.release();
    await pass(0);
    expect(unacked()).toBe(0);
  });

  it("forgets the others and hears of them again with the same clock", async () => {
    const far = new Awareness(new Y.Doc());
    far.setLocalState({ user: { name: "Bo" } });
    const bo = encodeAwarenessUpdate(far, [far.clientID]);
    start();
    await pass(0);
    server.socket.deliver({ type: "awareness", update: bo });
    await pass(0);
    expect(provider.awareness.getStates().has(far.clientID)).toBe(true);
    server.socket.die(1006);
    expect(provider.awareness.getStates().has(far.clientID)).toBe(false);
    await pass(1_000);
    server.socket.deliver({ type: "awareness", update: bo });
    await pass(0);
    expect(provider.awareness.getStates().has(far.clientID)).toBe(true);
    far.destroy();
  });

  it("does not repeat to the server what others said of themselves", async () => {
    const far = new Awareness(new Y.Doc());
    far.setLocalState({ user: { name: "Bo" } });
    start();
    await pass(100);
    const before = server.count("awareness");
    server.socket.deliver({ type: "awareness", update: encodeAwarenessUpdate(far, [far.clientID]) });
    await pass(100);
    expect(server.count("awareness")).toBe(before);
    far.destroy();
  });
});

describe("trying again", () => {
  it("waits with full jitter, twice as long each time, at most 30 s", async () => {
    server.accepts = false;
    start({ random: () => 1 });
    const waits: number[] = [];
    for (let n = 0; n < 8; n++) {
      await pass(0);
      waits.push(provider.snapshot().nextAttemptAt! - Date.now());
      await pass(waits[n]!);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  it("starts over with short waits after a confirmed connection", async () => {
    server.accepts = false;
    start({ random: () => 1 });
    await pass(20_000);
    server.accepts = true;
    await pass(30_000);
    server.socket.die(1006);
    expect(provider.snapshot().nextAttemptAt! - Date.now()).toBe(1_000);
  });

  it("waits 0 to 3 s when the server drains", async () => {
    start();
    await pass(0);
    for (const code of [1001, 1013]) {
      server.socket.die(code);
      expect(provider.snapshot().nextAttemptAt! - Date.now()).toBe(1_500);
      await pass(1_500);
    }
    expect(provider.snapshot().confirmed).toBe(true);
  });

  it("obeys a longer wait that the server asks for", async () => {
    start();
    await pass(0);
    server.socket.die(4529, "retry-after=20");
    expect(provider.snapshot().nextAttemptAt! - Date.now()).toBe(20_000);
  });

  it("shortens the wait when the network is back, never lengthens it", async () => {
    server.accepts = false;
    start({ random: () => 0.9 });
    await pass(20_000);
    const far = provider.snapshot().nextAttemptAt!;
    expect(far - Date.now()).toBeGreaterThan(900);
    provider.hurry();
    await pass(900);
    expect(server.sockets.length).toBeGreaterThan(5);
    const soon = (provider as unknown as { reconnectAt: number }).reconnectAt;
    provider.hurry();
    expect((provider as unknown as { reconnectAt: number }).reconnectAt).toBeLessThanOrEqual(soon);
  });

  it.each([4400, 4401, 4403, 4404, 4413, 4499, 1009])("stops after %i and says why", async (code) => {
    start();
    await pass(0);
    server.socket.die(code);
    await pass(120_000);
    expect(server.sockets.length).toBe(1);
    expect(provider.snapshot().status).toBe("refused");
    expect(provider.snapshot().refusal).not.toBe("");
  });

  it("gives the server's own sentence as the reason", async () => {
    start();
    await pass(0);
    server.socket.die(4403, "locked after sign-off");
    expect(provider.snapshot().refusal).toBe("locked after sign-off");
  });

  it("tries again after a refusal when somebody asks for it", async () => {
    start();
    await pass(0);
    server.socket.die(4403);
    provider.retry();
    await pass(0);
    expect(provider.snapshot()).toMatchObject({ status: "connected", confirmed: true, refusal: null });
  });

  it.each([1000, 1006, 1011, 4500, 4529])("tries again after %i", async (code) => {
    start();
    await pass(0);
    server.socket.die(code);
    await pass(1_000);
    expect(server.sockets.length).toBe(2);
  });
});

describe("a refused write", () => {
  it("is said, and an echo after it promises nothing", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("no");
    await pass(BATCH_MS);
    server.socket.deliver({ type: "denied", reason: "read only" });
    server.release();
    await pass(0);
    expect(provider.snapshot().refusal).toBe("read only");
    expect(unacked()).toBe(1);
  });
});

describe("the heartbeat", () => {
  it("gives up on a line that answers nothing for 10 s", async () => {
    start();
    await pass(0);
    server.answers = false;
    type("x");
    await pass(BATCH_MS + DEAD_MS + 1_500);
    expect(server.sockets.length).toBe(1 + 1);
  });

  it("keeps a line whose disk is slow: the probe is answered", async () => {
    start();
    await pass(0);
    server.acknowledges = false;
    type("x");
    await pass(BATCH_MS + PROBE_MS + 30_000);
    expect(server.count("query-awareness")).toBeGreaterThan(0);
    expect(server.sockets.length).toBe(1);
    expect(unacked()).toBe(1);
  });

  it("asks on an idle line", async () => {
    start();
    await pass(100);
    const before = server.count("status");
    await pass(60_000);
    expect(server.count("status")).toBeGreaterThan(before);
    expect(server.sockets.length).toBe(1);
  });
});

describe("the store on this device", () => {
  it("has a change before the server does", async () => {
    const order: string[] = [];
    let stored = () => {};
    start({
      persist: () =>
        new Promise((resolve) => {
          stored = () => {
            order.push("stored");
            resolve();
          };
        }),
    });
    await pass(0);
    type("x");
    await pass(BATCH_MS);
    expect(server.count("update")).toBe(0);
    stored();
    await pass(0);
    order.push(`sent ${server.count("update")}`);
    expect(order).toEqual(["stored", "sent 1"]);
  });

  it("cannot keep a change from the server by being stuck", async () => {
    start({ persist: () => new Promise(() => {}) });
    await pass(0);
    type("x");
    await pass(BATCH_MS + PERSIST_WAIT_MS);
    expect(server.text()).toBe("x");
  });

  it("may fail", async () => {
    start({ persist: () => Promise.reject(new Error("full")) });
    await pass(0);
    type("x");
    await pass(BATCH_MS);
    expect(server.text()).toBe("x");
    expect(unacked()).toBe(0);
  });

  it("is told how many changes are not acknowledged", async () => {
    const told: number[] = [];
    start({
      persist: async (n) => {
        told.push(n);
      },
    });
    server.accepts = false;
    await pass(0);
    type("x");
    type("y");
    await pass(BATCH_MS);
    expect(told).toEqual([2]);
  });

  it("loses nothing when the line comes back while it is writing", async () => {
    const waiting: (() => void)[] = [];
    start({ persist: (n) => (n === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))) });
    await pass(0);
    type("a");
    await pass(BATCH_MS);
    server.socket.die(1006);
    await pass(600);
    type("b");
    while (waiting.length > 0 || unacked() > 0) {
      waiting.shift()?.();
      await pass(BATCH_MS);
    }
    expect(server.text()).toBe("ab");
  });

  it("does not count what comes out of the store, but sends it", async () => {
    const origin = {};
    start({ storeOrigin: origin });
    await pass(0);
    const old = new Y.Doc();
    old.getText("t").insert(0, "kept");
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(old), origin);
    await pass(BATCH_MS);
    expect(unacked()).toBe(0);
    expect(server.text()).toBe("kept");
  });
});

describe("leaving", () => {
  it("says goodbye so that no ghost stays", async () => {
    start();
    provider.awareness.setLocalState({ user: { name: "A" } });
    await pass(100);
    provider.disconnect();
    const last = server.received[server.received.length - 1]!;
    expect(last.type).toBe("awareness");
    expect(last.type === "awareness" && new TextDecoder().decode(last.update)).toContain("null");
  });
});

it("survives random deaths of the line: nothing lost, nothing doubled", async () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  start({ random });
  await pass(0);
  let expected = "";
  for (let n = 0; n < 300; n++) {
    const c = String.fromCharCode(97 + (n % 26));
    expected += c;
    type(c);
    server.acknowledges = random() < 0.7;
    if (random() < 0.1) server.socket.die(1006);
    await pass(random() * 120);
  }
  server.acknowledges = true;
  server.release();
  server.socket.die(1006);
  await pass(60_000);
  expect(server.text()).toBe(expected);
  expect(doc.getText("t").toString()).toBe(expected);
  expect(unacked()).toBe(0);
});

describe("notices", () => {
  it("asks for them before anything else, and shows the last one until it is dismissed", async () => {
    start();
    await pass(0);
    expect(server.received[0]).toEqual({ type: "notice", text: "" });
    server.socket.deliver({ type: "notice", text: '{"kind":"refused","code":"filter.unwanted","reason":"No cards.","mode":"undo"}' });
    await pass(0);
    expect(provider.snapshot().notice).toEqual({ code: "filter.unwanted", reason: "No cards." });
    provider.dismissNotice();
    expect(provider.snapshot().notice).toBeNull();
  });

  it("knows whether others hear of it at once, until the next server", async () => {
    start();
    await pass(0);
    expect(provider.snapshot().slowForOthers).toBe(false);
    server.socket.deliver({ type: "notice", text: '{"kind":"bus","degraded":true}' });
    await pass(0);
    expect(provider.snapshot().slowForOthers).toBe(true);
    server.socket.deliver({ type: "notice", text: '{"kind":"bus","degraded":"no"}' });
    await pass(0);
    expect(provider.snapshot().slowForOthers).toBe(true);
    server.socket.deliver({ type: "notice", text: '{"kind":"bus","degraded":false}' });
    await pass(0);
    expect(provider.snapshot().slowForOthers).toBe(false);
  });

  it.each(["", "{", "null", "[]", '{"kind":"other"}', '{"kind":"refused","code":1,"reason":"x"}'])("ignores %j", async (text) => {
    start();
    await pass(0);
    server.socket.deliver({ type: "notice", text });
    await pass(0);
    expect(provider.snapshot().notice).toBeNull();
  });
});
