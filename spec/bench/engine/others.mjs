// SPDX-License-Identifier: MIT
// The rows of bench_engine for what is published on npm: others.mjs ENGINE TRACE.log, one JSON line.
//
//   yjs, ywasm        the trace as it is: they read the same updates
//   loro, automerge   formats of their own. The edits of the trace, which must be one text that is edited in
//                     turn, are first made again in a document of theirs, one transaction a key; what that
//                     hands out is then imported, one message a key. Same editing, other bytes.
//
// CPU time of this process's main thread, best and median of repetitions that together take about ROW_NS.
// Run with --expose-gc; collections of garbage that fall into a row count, as they do in a server.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const ROW_NS = 3e8;
const RUNS_MIN = 3;
const RUNS_MAX = 301;
/** Memory is that of so many copies that they take about this much. */
const MEMORY_BYTES = 30e6;
/** Both walk all readers again for each struct: beyond this many updates a merge takes minutes. */
const MERGE_ALL_MAX = 20_000;

const require = createRequire(import.meta.url);
const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;

/** CPU time of the main thread. The kernel counts it at each tick (1 to 4 ms): short rows use the wall clock. */
const cpuNs = () => Number(readFileSync("/proc/self/schedstat", "utf8").split(" ")[0]);

function timed(work) {
  const cpu = cpuNs();
  const wall = process.hrtime.bigint();
  const result = work();
  const wallNs = Number(process.hrtime.bigint() - wall);
  return { result, ns: wallNs > 2e8 ? cpuNs() - cpu : wallNs };
}

/** @param prepare makes what one repetition needs and is not measured */
function measure(work, prepare = () => undefined) {
  const ns = [];
  let total = 0;
  while (ns.length < 1 || (total < 3 * ROW_NS && ns.length < RUNS_MIN) || (total < ROW_NS && ns.length < RUNS_MAX)) {
    const input = prepare();
    const one = timed(() => work(input)).ns;
    ns.push(one);
    total += one;
  }
  ns.sort((a, b) => a - b);
  return { best: ns[0], median: ns[ns.length >> 1] };
}

function readLog(path) {
  const bytes = readFileSync(path);
  const records = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    records.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return records;
}

/** Bytes that a document holds, in the JavaScript heap and outside it (where WebAssembly has its memory). */
function memoryOf(count, make) {
  globalThis.gc();
  const before = process.memoryUsage();
  const docs = Array.from({ length: count }, make);
  globalThis.gc();
  const after = process.memoryUsage();
  return { docs, bytes: Math.round((after.heapUsed - before.heapUsed + after.external - before.external) / count) };
}

// ---- Engines that read Yjs updates -----------------------------------------------------------------------

async function yjs() {
  const Y = await import("yjs");
  return {
    version: version("yjs"),
    open: () => new Y.Doc(),
    close: (doc) => doc.destroy(),
    apply: (doc, update) => Y.applyUpdate(doc, update),
    applyV2: (doc, update) => Y.applyUpdateV2(doc, update),
    encode: (doc, sv) => Y.encodeStateAsUpdate(doc, sv),
    encodeV2: (doc) => Y.encodeStateAsUpdateV2(doc),
    stateVector: (doc) => Y.encodeStateVector(doc),
    merge: (updates) => Y.mergeUpdates(updates),
    text: (doc) => doc.getText("text").toString(),
  };
}

async function ywasm() {
  const Y = require("ywasm");
  return {
    version: version("ywasm"),
    open: () => new Y.YDoc({}),
    close: (doc) => doc.free(),
    apply: (doc, update) => Y.applyUpdate(doc, update, undefined),
    applyV2: (doc, update) => Y.applyUpdateV2(doc, update, undefined),
    encode: (doc, sv) => Y.encodeStateAsUpdate(doc, sv),
    encodeV2: (doc) => Y.encodeStateAsUpdateV2(doc),
    stateVector: (doc) => Y.encodeStateVector(doc),
    text: (doc) => doc.getText("text").toString(),
  };
}

function benchYjsFormat(engine, updates) {
  const rows = {};
  const row = (name, work, prepare) => {
    const { best, median } = measure(work, prepare);
    rows[`${name}_ns`] = Math.round(best);
    rows[`${name}_median_ns`] = Math.round(median);
  };
  const applied = (count) => {
    const doc = engine.open();
    for (let i = 0; i < count; i++) engine.apply(doc, updates[i]);
    return doc;
  };
  const fresh = (work) => () => {
    const doc = engine.open();
    work(doc);
    engine.close(doc);
  };

  const part = applied(updates.length - Math.floor(updates.length / 10));
  const old = engine.stateVector(part);
  engine.close(part);
  const typed = applied(updates.length);
  const state = engine.encode(typed);
  const stateV2 = engine.encodeV2(typed);
  engine.close(typed);
  const { docs, bytes } = memoryOf(Math.ceil(MEMORY_BYTES / (5 * state.length)), () => {
    const loaded = engine.open();
    engine.apply(loaded, state);
    return loaded;
  });
  const doc = docs.pop();
  docs.forEach(engine.close);
  docs.length = 0;

  row("apply", fresh((d) => updates.forEach((update) => engine.apply(d, update))));
  row("load", fresh((d) => engine.apply(d, state)));
  row("load_v2", fresh((d) => engine.applyV2(d, stateV2)));
  row("encode", () => engine.encode(doc));
  row("encode_v2", () => engine.encodeV2(doc));
  row("diff", () => engine.encode(doc, old));
  if (engine.merge) {
    row("merge_1000", () => engine.merge(updates.slice(0, 1000)));
    if (updates.length <= MERGE_ALL_MAX) row("merge_all", () => engine.merge(updates));
  }
  row("text", () => engine.text(doc));
  return { ...rows, doc_bytes: bytes, state_bytes_v1: state.length, state_bytes_v2: stateV2.length };
}

// ---- Engines with a format of their own ------------------------------------------------------------------

/** [[index, deleted units, inserted text]…] of each update. */
async function editsOf(updates) {
  const Y = await import("yjs");
  const doc = new Y.Doc();
  const edits = [];
  let now;
  doc.getText("text").observe(({ delta }) => {
    let index = 0;
    for (const { retain, insert, delete: deleted } of delta) {
      if (retain) index += retain;
      if (deleted) now.push([index, deleted, ""]);
      if (insert) {
        now.push([index, 0, insert]);
        index += insert.length;
      }
    }
  });
  for (const update of updates) {
    now = [];
    edits.push(now);
    Y.applyUpdate(doc, update);
  }
  return { edits, text: doc.getText("text").toString() };
}

async function loro() {
  const { LoroDoc } = await import("loro-crdt");
  return {
    version: version("loro-crdt"),
    open: () => new LoroDoc(),
    messages(doc, edits) {
      const text = doc.getText("text");
      let from = doc.version();
      return edits.map((edit) => {
        for (const [index, deleted, inserted] of edit) {
          if (deleted) text.delete(index, deleted);
          if (inserted) text.insert(index, inserted);
        }
        doc.commit();
        const message = doc.export({ mode: "update", from });
        from = doc.version();
        return message;
      });
    },
    import: (doc, messages) => {
      for (const message of messages) doc.import(message);
      return doc;
    },
    encode: (doc) => doc.export({ mode: "snapshot" }),
    load: (bytes) => LoroDoc.fromSnapshot(bytes),
    text: (doc) => doc.getText("text").toString(),
  };
}

async function automerge() {
  const A = await import("@automerge/automerge");
  return {
    version: version("@automerge/automerge"),
    open: () => A.init(),
    messages(_, edits) {
      let doc = A.from({ text: "" });
      const first = A.getAllChanges(doc);
      return [first, ...edits.map((edit) => {
        doc = A.change(doc, (draft) => {
          for (const [index, deleted, inserted] of edit) A.splice(draft, ["text"], index, deleted, inserted);
        });
        return [A.getLastLocalChange(doc)];
      })];
    },
    import: (doc, messages) => {
      for (const message of messages) if (message[0]) [doc] = A.applyChanges(doc, message);
      return doc;
    },
    encode: (doc) => A.save(doc),
    load: (bytes) => A.load(bytes),
    text: (doc) => doc.text,
  };
}

async function benchOwnFormat(engine, updates) {
  const { edits, text } = await editsOf(updates);
  const messages = engine.messages(engine.open(), edits);
  const doc = engine.import(engine.open(), messages);
  if (engine.text(doc) !== text) throw new Error("the text is not that of the trace");
  const bytes = engine.encode(doc);
  const apply = measure(() => engine.import(engine.open(), messages));
  const load = measure(() => engine.text(engine.load(bytes)));
  const encode = measure(() => engine.encode(doc));
  return {
    apply_ns: Math.round(apply.best), apply_median_ns: Math.round(apply.median),
    load_ns: Math.round(load.best), load_median_ns: Math.round(load.median),
    encode_ns: Math.round(encode.best), encode_median_ns: Math.round(encode.median),
    state_bytes_v1: bytes.length,
  };
}

// ---- Which -----------------------------------------------------------------------------------------------

const engines = { yjs: [yjs, benchYjsFormat], ywasm: [ywasm, benchYjsFormat], loro: [loro, benchOwnFormat], automerge: [automerge, benchOwnFormat] };
const [name, path] = process.argv.slice(2);
if (!engines[name] || !path || !globalThis.gc) {
  console.error(`usage: node --expose-gc others.mjs ${Object.keys(engines).join("|")} TRACE.log`);
  process.exit(2);
}
const [open, bench] = engines[name];
const engine = await open();
const updates = readLog(path);
const rows = await bench(engine, updates);
console.log(JSON.stringify({ engine: name, version: engine.version, updates: updates.length, ...rows }));
