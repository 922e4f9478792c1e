// Everybody at once: a server comes back and all of its clients with it (F-25); one document is opened by a crowd (F-26).
import { equalBytes, readFrame } from "../interop/clients.mjs";
import { encoding, WebSocket, Y } from "../interop/packages.mjs";
import { fastBinary, LONG, Server, slowness } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";

// It measures times with thousands of sockets: for a machine of its own, in the long mode.
if (!LONG) {
  console.log("1..1\nok 1 - everybody at once # SKIP only in the long mode");
  process.exit(0);
}

const CLIENTS = 2_000;
const DOCUMENTS = 200;
const READERS = 500;
const MIB = 1_048_576;

function message(subtype, bytes) {
  const frame = encoding.createEncoder();
  encoding.writeVarUint(frame, 0);
  encoding.writeVarUint(frame, subtype);
  encoding.writeVarUint8Array(frame, bytes);
  return encoding.toUint8Array(frame);
}

/** A stock client without a document: asks for what it lacks, comes back as y-websocket does (100 ms, doubled, to 2.5 s). */
class Guest {
  constructor(server, name, keeps = false) {
    Object.assign(this, { server, name, keeps, tries: 0, refused: 0, synced_at: 0, parts: [], stopped: false });
    this.connect();
  }

  connect() {
    this.synced_at = 0;
    this.parts = [];
    const ws = new WebSocket(`${this.server.sync}/${this.name}`, { perMessageDeflate: false });
    this.ws = ws;
    ws.on("open", () => ws.send(message(0, new Uint8Array([0]))));
    ws.on("message", (data) => {
      const frame = readFrame(data);
      if (frame.type !== 0 || frame.subtype === 0) return;
      if (this.keeps && !this.synced_at) this.parts.push(frame.payload);
      if (frame.subtype === 1) {
        this.synced_at = Date.now();
        this.tries = 0;
      }
    });
    ws.on("error", () => {}); // "close" follows
    ws.on("close", () => {
      this.synced_at = 0;
      this.refused += 1;
      if (!this.stopped) setTimeout(() => this.stopped || this.connect(), Math.min(100 * 2 ** this.tries++, 2_500));
    });
  }

  stop() {
    this.stopped = true;
    this.ws.terminate();
  }
}

/** Writes `text` into a document and waits until it is durable. */
async function write(server, name, texts) {
  const doc = new Y.Doc();
  const ws = new WebSocket(`${server.sync}/${name}`, { perMessageDeflate: false });
  let echoes = 0;
  ws.on("message", (data) => {
    const frame = readFrame(data);
    echoes += frame.type === 0 && frame.subtype === 2;
  });
  await new Promise((resolve) => ws.once("open", resolve));
  for (const text of texts) {
    doc.getText("content").insert(0, text);
    ws.send(message(2, Y.encodeStateAsUpdate(doc)));
    const before = echoes;
    await until(() => echoes > before, "the echo", 10_000, 1);
  }
  ws.terminate();
  return Y.encodeStateAsUpdate(doc);
}

const server = await new Server({ bin: fastBinary() }).start();
afterFailure(() => note(server.tail()));

await test(`${CLIENTS} clients of ${DOCUMENTS} documents come back at once after kill -9: 95 % within 7.5 s, all within 15 s, memory as before`, async () => {
  for (let i = 0; i < DOCUMENTS; i++) await write(server, `crowd/${i}`, [`document ${i} `.repeat(50)]);
  const guests = [];
  for (let i = 0; i < CLIENTS; i++) {
    guests.push(new Guest(server, `crowd/${i % DOCUMENTS}`));
    if (i % 50 === 49) await until(() => guests.every((it) => it.synced_at), "they arrive in good order", 20_000, 2);
  }
  const steady = server.rss();
  await server.kill();
  await until(() => guests.every((it) => !it.synced_at), "all notice");
  await server.start();
  const began = Date.now();
  let peak = 0;
  await until(() => {
    peak = Math.max(peak, server.rss());
    return guests.every((it) => it.synced_at);
  }, "all are back", 15_000 * slowness, 20);
  const times = guests.map((it) => it.synced_at - began).sort((a, b) => a - b);
  const p95 = times[Math.floor(times.length * 0.95)];
  note(`back: half after ${times[CLIENTS / 2]} ms, 95 % ${p95} ms, all ${times.at(-1)} ms; memory ${(steady / MIB).toFixed(1)} MiB steady, ${(peak / MIB).toFixed(1)} at most`);
  for (const it of guests) it.stop();
  // The goal is 5 s with two cores for the server; 4 s of it are the rate at which connections are accepted.
  if (p95 > 7_500 * slowness) throw new Error(`95 % took ${p95} ms`);
  if (peak > steady * 1.5 + 4 * MIB) throw new Error("more than half again as much memory");
}, { deadline_ms: 120_000 });

await test(`${READERS} clients open one document of 500 kB at once: all have it, whole`, async () => {
  await server.stop();
  await server.start();
  // Ten structs that cannot become one, and a restart, so that it has to be loaded.
  const state = await write(server, "thundering", Array.from({ length: 10 }, (_, i) => `[${i}]${"x".repeat(50_000)}`));
  await server.stop();
  await server.start();
  const before = server.rss();
  const began = Date.now();
  const guests = Array.from({ length: READERS }, (_, i) => new Guest(server, "thundering", i % 100 === 0));
  let peak = 0;
  await until(() => {
    peak = Math.max(peak, server.rss());
    return guests.every((it) => it.synced_at);
  }, "all are synced", 30_000 * slowness, 20);
  note(`${READERS} first syncs of ${(state.length / MIB).toFixed(1)} MiB in ${Date.now() - began} ms, ${((peak - before) / MIB).toFixed(1)} MiB more memory at most, ${guests.reduce((n, it) => n + it.refused, 0)} times sent away and come back`);
  for (const it of guests) it.stop();
  for (const it of guests.filter((it) => it.keeps)) {
    const doc = new Y.Doc();
    for (const part of it.parts) Y.applyUpdate(doc, part);
    if (!equalBytes(Y.encodeStateAsUpdate(doc), state)) throw new Error("a reader got something else");
  }
  const loads = server.log.match(/room\.loaded .*doc=thundering/g)?.length ?? 0;
  if (loads !== 2) throw new Error(`loaded ${loads} times, not once a start`);
}, { deadline_ms: 180_000 });

await test("the server drains and exits 0", () => server.stop());
finish();
