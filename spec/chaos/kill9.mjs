// `kill -9` of the server at random moments while ten published clients type: what was acknowledged is there, once.
//
// Every client keeps a history: what it typed, what came back as its own update (the echo), and what a status confirmed:
// a y-sweet one (`66`), or for the three of them that speak Hocuspocus a SyncStatus, which stands for the oldest update
// that has none yet. After each kill, when no socket holds another word of the dead process, the store is copied and
// read with SQLite's shell and folded with Yjs: every acknowledged token has to be in it exactly once, every acknowledged
// deletion done, seq without a hole. Only then the server comes back, so no client can have healed a loss.
//
// MOONLOOM_SEED repeats a schedule (moments and edits; not the machine's timing), MOONLOOM_KILLS sets the number.
import { fileURLToPath } from "node:url";
import { client, equalBytes, stateOf } from "../interop/clients.mjs";
import { collab, collabSocket } from "../interop/collab.mjs";
import { collabProviders, encoding, decoding, providers, Y } from "../interop/packages.mjs";
import { copyStore, gap, integrity, readDocument } from "../support/node/journal.mjs";
import { fastBinary, LONG, Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";

const KILLS = Number(process.env.MOONLOOM_KILLS || (LONG ? 500 : 100));
const KILLS_PER_DOCUMENT = 10;
const TYPISTS = 10;
const COLLAB = 3; // of them speak Hocuspocus
const SEED = Number(process.env.MOONLOOM_SEED || Math.floor(Math.random() * 2 ** 31));

/** mulberry32 */
let random_state = SEED;
function random() {
  random_state = (random_state + 0x6d2b79f5) | 0;
  let t = Math.imul(random_state ^ (random_state >>> 15), 1 | random_state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const between = (low, high) => low + Math.floor(random() * (high - low + 1));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const totals = { kills: 0, in_flight: 0, typed: 0, sent: 0, echoed: 0, confirmed: 0, deleted: 0, waiting: 0, lost: 0, doubled: 0, slowest_ms: 0, statuses: 0 };

/**
 * One op: { token, clock, end, is_deletion, sent, echoed, confirmed }. For a deletion clock…end is the range of what
 * it removed, which its author had typed itself.
 */
class Typist {
  constructor(server, name, index) {
    this.index = index;
    this.ops = [];
    this.alive = []; // own tokens that nobody has deleted
    this.confirmed = 0;
    this.sockets = new Set();
    this.is_typing = false;
    this.connect(server, name, index);
  }

  connect(server, name, index) {
    const { Provider } = providers[index % providers.length];
    Object.assign(this, client(server, name, {
      Provider,
      tap: {
        opened: (socket) => this.sockets.add(socket),
        closed: (socket) => this.sockets.delete(socket),
        sent: (socket, frame) => {
          if (frame.type !== 0 || frame.subtype !== 1) return;
          socket.has_answered = true; // Step2: all that was typed so far is on its way
          for (const op of this.ops) op.sent = true;
          queueMicrotask(() => this.ask(socket));
        },
        got: (_, frame) => this.hear(frame),
      },
    }));
    this.doc.on("update", () => {
      const socket = this.provider.ws;
      if (socket?.readyState !== 1) return;
      const op = this.typing;
      if (op) op.sent = true;
      if (socket.has_answered) queueMicrotask(() => this.ask(socket));
    });
  }

  /** A y-sweet status: answer when everything before it is durable. */
  ask(socket) {
    const version = encoding.createEncoder();
    encoding.writeVarUint(version, this.ops.length);
    const frame = encoding.createEncoder();
    encoding.writeVarUint(frame, 102);
    encoding.writeVarUint8Array(frame, encoding.toUint8Array(version));
    if (socket.readyState === 1) socket.send(encoding.toUint8Array(frame));
  }

  hear({ type, subtype, payload }) {
    if (type === 102) {
      const version = decoding.readVarUint(decoding.createDecoder(payload));
      for (let i = this.confirmed; i < version; i++) this.ops[i].confirmed = true;
      this.confirmed = Math.max(this.confirmed, version);
    } else if (type === 0 && subtype === 2) {
      const own = this.doc.clientID;
      const { structs, ds } = Y.decodeUpdate(payload);
      // A Skip is a hole in what several records were merged to: it brings nothing.
      for (const { id, length } of structs.filter((struct) => !(struct instanceof Y.Skip)))
        if (id.client === own) this.echo(false, id.clock, id.clock + length);
      for (const { clock, len } of ds.clients.get(own) ?? []) this.echo(true, clock, clock + len);
    }
  }

  echo(is_deletion, clock, end) {
    for (const op of this.ops)
      if (!op.echoed && op.is_deletion === is_deletion && op.clock >= clock && op.end <= end) op.echoed = true;
  }

  type() {
    const text = this.text.toString();
    const op = { is_deletion: false, sent: false, echoed: false, confirmed: false };
    this.typing = op;
    if (this.alive.length > 3 && random() < 0.15) {
      const [victim] = this.alive.splice(between(0, this.alive.length - 1), 1);
      const at = text.indexOf(victim.token);
      if (at < 0) throw new Error(`typist ${this.index} does not find its own ${victim.token}`);
      Object.assign(op, { token: victim.token, clock: victim.clock, end: victim.end, is_deletion: true });
      victim.is_doomed = op;
      this.ops.push(op);
      this.text.delete(at, victim.token.length);
    } else {
      // Between two tokens, never inside one: then no token is ever torn apart by a concurrent one.
      const at = random() < 0.5 ? text.length : text.indexOf(";", between(0, text.length)) + 1;
      op.token = `<${this.index}.${this.ops.length}>;`;
      op.clock = Y.getState(this.doc.store, this.doc.clientID);
      op.end = op.clock + op.token.length;
      this.ops.push(op);
      this.alive.push(op);
      this.text.insert(at, op.token);
    }
    this.typing = null;
  }

  /** Types until told to stop; offline more rarely, so that what waits stays small. */
  async keepTyping() {
    this.is_typing = true;
    while (this.is_typing) {
      await pause(between(2, 10));
      if (this.is_typing && (this.isConnected() || random() < 0.1)) this.type();
    }
  }

  isConnected() {
    return this.provider.wsconnected;
  }

  isConfirmed() {
    return this.confirmed === this.ops.length;
  }
}

/** The same through Hocuspocus. Each update that leaves waits for its status; they come in the order of the updates. */
class CollabTypist extends Typist {
  connect(server, name, index) {
    const library = collabProviders[index % collabProviders.length];
    this.shared = collabSocket(server, library, {
      delay: 300,
      minDelay: 200,
      maxDelay: 1_000,
      tap: {
        opened: (socket) => {
          socket.unanswered = [];
          this.sockets.add(socket);
        },
        closed: (socket) => this.sockets.delete(socket),
        sent: (socket, frame) => this.note(socket, frame),
        got: (socket, frame) => this.count(socket, frame),
      },
    });
    const it = collab(this.shared, name);
    Object.assign(this, it, {
      close: () => {
        it.close();
        this.shared.close();
      },
    });
  }

  /** An update on its way: which ops are in it? */
  note(socket, bytes) {
    const frame = readCollabFrame(bytes);
    if (frame.type !== 0 || frame.subtype === 0) return;
    const own = this.doc.clientID;
    const { structs, ds } = Y.decodeUpdate(frame.payload);
    const ranges = [
      ...structs.filter((it) => it.id.client === own && !(it instanceof Y.Skip)).map(({ id, length }) => [id.clock, id.clock + length]),
      ...(ds.clients.get(own) ?? []).map(({ clock, len }) => [clock, clock + len, true]),
    ];
    // A Step2 stands for all that was typed so far: what it leaves out the server had said it has.
    const ops = this.ops.filter((op) =>
      frame.subtype === 1 ||
      ranges.some(([clock, end, deletes]) => op.is_deletion === Boolean(deletes) && op.clock >= clock && op.end <= end),
    );
    for (const op of ops) op.sent = true;
    socket.unanswered.push(ops);
  }

  count(socket, bytes) {
    const frame = readCollabFrame(bytes);
    if (frame.type !== 8) return;
    totals.statuses += 1;
    const ops = socket.unanswered.shift();
    if (!ops) throw new Error(`typist ${this.index}: a status that nothing was sent for`);
    if (frame.value !== 1) throw new Error(`typist ${this.index}: status ${frame.value}`);
    for (const op of ops) op.confirmed = true;
  }

  isConnected() {
    return this.sockets.size > 0 && this.synced();
  }

  isConfirmed() {
    return this.ops.every((op) => op.confirmed) && [...this.sockets].every((socket) => socket.unanswered.length === 0);
  }
}

function readCollabFrame(bytes) {
  const d = decoding.createDecoder(new Uint8Array(bytes));
  if (d.arr.length < 2) return { type: d.arr[0] };
  decoding.readVarString(d);
  const type = decoding.readVarUint(d);
  if (type === 0) return { type, subtype: decoding.readVarUint(d), payload: decoding.readVarUint8Array(d) };
  return type === 8 ? { type, value: decoding.readVarUint(d) } : { type };
}

/**
 * What `text` says against what the clients were told. Answers complaints. `fold`: whose records are asked about ops that
 * are not in the text: an op that was sent before the one it leans on is acknowledged and recorded, but not yet visible.
 */
function judge(typists, text, fold) {
  const complaints = [];
  const seen = new Map();
  const rest = text.replace(/<\d+\.\d+>;/g, (token) => {
    seen.set(token, (seen.get(token) ?? 0) + 1);
    return "";
  });
  if (rest) complaints.push(`torn text: ${rest.slice(0, 200)}`);
  for (const [token, times] of seen) {
    if (times > 1) {
      totals.doubled += 1;
      complaints.push(`${token} is there ${times} times`);
    }
  }
  for (const { ops, doc } of typists) {
    for (const op of ops) {
      const is_acknowledged = op.echoed || op.confirmed;
      if (!is_acknowledged || op.is_doomed) continue;
      if (!op.is_deletion && !seen.has(op.token) && fold?.waits(doc.clientID, op)) {
        totals.waiting += 1;
        continue;
      }
      if (seen.has(op.token) === op.is_deletion) {
        totals.lost += 1;
        complaints.push(`${op.is_deletion ? "deletion of " : ""}${op.token} was acknowledged (echo ${op.echoed}, status ${op.confirmed}) and is lost`);
      }
    }
  }
  return complaints;
}

function demand(complaints, where) {
  if (complaints.length > 0) throw new Error(`${where}:\n  ${complaints.slice(0, 20).join("\n  ")}\n  (${complaints.length} in all)`);
}

/** A document's records as far as they were read, folded by Yjs. */
class Fold {
  constructor(name) {
    Object.assign(this, { name, doc: new Y.Doc(), seq: 0, runs: [] });
  }

  read(store) {
    const stored = readDocument(store, this.name, { after: this.seq });
    if (!stored) return this.seq === 0 ? [] : ["the document is gone"];
    const hole = gap(stored, this.seq);
    for (const { bytes } of stored.records) {
      Y.applyUpdate(this.doc, bytes);
      for (const { id, length } of Y.decodeUpdate(bytes).structs.filter((struct) => !(struct instanceof Y.Skip)))
        this.runs.push({ client: id.client, clock: id.clock, end: id.clock + length });
    }
    this.seq = Math.max(this.seq, stored.head);
    return hole ? [hole] : [];
  }

  /** Is the op recorded, and waiting for one before it that is not? */
  waits(client, { clock, end }) {
    return (
      Y.getState(this.doc.store, client) <= clock &&
      this.runs.some((run) => run.client === client && run.clock <= clock && run.end >= end)
    );
  }

  get text() {
    return this.doc.getText("content").toString();
  }
}

// A snapshot every thirty operations, so that kills fall into them too, and loads begin with them.
const cadence = "config = { ops = 30, min_gap = '0s', idle = '1s', on_unload = true, on_shutdown = true }";
const server = await new Server({
  bin: fastBinary(),
  args: ["--plugins", fileURLToPath(new URL("../../plugins", import.meta.url))],
  config: `plugins = { ["snapshot-cadence"] = { ${cadence} } }`,
}).start();
const copies = temporaryFolder();
const folds = [];
afterFailure(() => note(server.tail()));
note(`seed ${SEED}, ${KILLS} kills, ${TYPISTS} clients`);

async function killOnce(typists, fold) {
  // Mostly while they type; sometimes while they come back. Hocuspocus's clients take their time.
  if (random() < 0.8) await until(() => typists.some((it) => it.synced()), "somebody is back", 15_000, 2);
  if (random() < 0.4) await until(() => typists.some((it) => it.shared && it.isConnected()), "one of the slow ones, too", 15_000, 2);
  await pause(between(1, 500));
  for (const { ops } of typists) for (const op of ops) totals.in_flight += op.sent && !op.echoed && !op.confirmed;
  await server.kill();
  totals.kills += 1;
  await until(() => typists.every((it) => it.sockets.size === 0), "no socket holds a word of the dead process");
  const store = copyStore(server.store, copies);
  const complaints = fold.read(store);
  demand([...complaints, ...judge(typists, fold.text, fold)], `the journal after kill ${totals.kills} (seed ${SEED})`);
  await server.start();
}

async function settle(typists, fold) {
  const back = Date.now();
  for (const it of typists) it.is_typing = false;
  await until(() => typists.every((it) => it.synced()), "all are back", 15_000);
  totals.slowest_ms = Math.max(totals.slowest_ms, Date.now() - back);
  await until(() => typists.every((it) => it.isConfirmed()), "all is acknowledged");
  await until(() => typists.every((it) => equalBytes(stateOf(it.doc), stateOf(typists[0].doc))), "all clients agree", 10_000, 50);
  demand(judge(typists, typists[0].text.toString()), "the clients' text");
  for (const it of typists)
    for (const op of it.ops)
      if (!op.is_doomed && !op.is_deletion && !typists[0].text.toString().includes(op.token))
        throw new Error(`${op.token}, which its client still has, is not there`);
  demand(fold.read(server.store), "the journal at the end");
  if (!equalBytes(stateOf(fold.doc), stateOf(typists[0].doc))) throw new Error("the journal folds to another state than the clients have");
  const fresh = client(server, fold.name);
  await until(() => fresh.synced(), "a fresh client is synced");
  if (!equalBytes(stateOf(fresh.doc), stateOf(fold.doc))) throw new Error("a fresh client is served another state");
  fresh.close();
}

for (let done = 0; done < KILLS; done += KILLS_PER_DOCUMENT) {
  const kills = Math.min(KILLS_PER_DOCUMENT, KILLS - done);
  const name = `killed/${done / KILLS_PER_DOCUMENT}`;
  await test(`${kills} kills while ${TYPISTS} clients type in ${name}: nothing acknowledged is lost, nothing is there twice`, async () => {
    const fold = new Fold(name);
    folds.push(fold);
    const typists = Array.from({ length: TYPISTS }, (_, i) => new (i < COLLAB ? CollabTypist : Typist)(server, name, i));
    const typing = typists.map((it) => it.keepTyping());
    const stumble = Promise.all(typing);
    try {
      for (let i = 0; i < kills; i++) await Promise.race([killOnce(typists, fold), stumble]);
      await settle(typists, fold);
      await stumble;
    } finally {
      for (const it of typists) {
        it.is_typing = false;
        totals.typed += it.ops.length;
        for (const op of it.ops) {
          totals.sent += op.sent;
          totals.echoed += op.echoed;
          totals.confirmed += op.confirmed;
          totals.deleted += op.is_deletion;
        }
        it.close();
      }
      if (!server.isRunning) await server.start(); // after a complaint the next document has its chance
    }
  }, { deadline_ms: 60_000 + kills * 5_000 });
  // Now and then a polite end between the rude ones: the last snapshot is taken, the exit status is 0.
  await test(`SIGTERM after ${name}: drains, exits 0, starts again`, async () => {
    await server.stop();
    await server.start();
  });
}

await test("all documents, read by fresh clients after the last restart, are what the journal says", async () => {
  for (const fold of folds) {
    const fresh = client(server, fold.name);
    await until(() => fresh.synced(), `${fold.name} is served`);
    if (!equalBytes(stateOf(fresh.doc), stateOf(fold.doc))) throw new Error(`${fold.name} has another state`);
    fresh.close();
  }
  await server.stop();
  const verdict = integrity(server.store);
  if (verdict !== "ok") throw new Error(`integrity_check: ${verdict}`);
});

note(
  `kills ${totals.kills} (${totals.in_flight} ops under way at those moments), ops typed ${totals.typed} (${totals.deleted} deletions), sent ${totals.sent}, echoed ${totals.echoed}, ` +
    `confirmed by a status ${totals.confirmed} (${totals.statuses} of Hocuspocus), recorded and waiting for an earlier one ${totals.waiting}, lost ${totals.lost}, doubled ${totals.doubled}; all clients back after at most ${totals.slowest_ms} ms; seed ${SEED}`,
);
await test("enough was at stake: most ops were acknowledged one way or the other while kills fell", () => {
  if (totals.kills < KILLS) throw new Error(`${totals.kills} kills of ${KILLS}`);
  if (totals.echoed < totals.kills * 20) throw new Error(`only ${totals.echoed} echoes`);
  if (totals.statuses < totals.kills * 5) throw new Error(`only ${totals.statuses} statuses`);
});
finish();
