// A whole paper, key by key: a published client types the 259 778 transactions of a recorded editing session through
// the running server, one message each, and a second client has it all, to the byte.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { fastBinary, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { Y } from "./packages.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = resolve(root, process.env.MOONLOOM_TRACES || "../shared/data/traces");
const BUFFERED_MAX = 1 << 20; // what may wait in the socket before the typist pauses, as a browser's would

/** What was done, as edits of one text: { at, remove, insert }. Plus the text it ends with. */
function recorded() {
  const log = gunzipSync(readFileSync(`${folder}/automerge-paper.log.gz`));
  const doc = new Y.Doc();
  const edits = [];
  let text;
  for (let at = 0; at < log.length; ) {
    const length = log.readUInt32LE(at);
    Y.applyUpdate(doc, log.subarray(at + 4, at + 4 + length));
    at += 4 + length;
    if (!text) {
      text = doc.getText([...doc.share.keys()][0]);
      edits.push({ at: 0, remove: 0, insert: text.toString() });
      text.observe(({ delta }) => {
        const edit = { at: 0, remove: 0, insert: "" };
        for (const part of delta) {
          if (part.retain) edit.at += part.retain;
          if (part.delete) edit.remove += part.delete;
          if (part.insert) edit.insert += part.insert;
        }
        edits.push(edit);
      });
    }
  }
  return { edits, text: gunzipSync(readFileSync(`${folder}/automerge-paper.txt.gz`)).toString() };
}

/** Without the recording: as many keys of a made-up writer, always the same ones. */
function generated() {
  let seed = 20_260_101;
  const random = (n) => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) % n;
  const edits = [];
  let cursor = 0;
  let text = "";
  for (let i = 0; i < 259_778; i++) {
    if (random(200) === 0) cursor = random(text.length + 1);
    const remove = cursor > 0 && random(10) < 3 ? 1 : 0;
    const insert = remove ? "" : "etaoin shrdlu\n"[random(14)];
    cursor -= remove;
    edits.push({ at: cursor, remove, insert });
    text = text.slice(0, cursor) + insert + text.slice(cursor + remove);
    cursor += insert.length;
  }
  return { edits, text };
}

/** State after one load: neighbours that became joinable late are joined. */
function canonical(doc) {
  const copy = new Y.Doc();
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  return stateOf(copy);
}

const is_recorded = existsSync(`${folder}/automerge-paper.log.gz`);
if (!is_recorded) note(`no ${folder}/automerge-paper.log.gz: a generated session instead`);
const { edits, text } = is_recorded ? recorded() : generated();
note(`${edits.length} edits, ${text.length} characters at the end`);

const server = await new Server({ bin: fastBinary() }).start();
afterFailure(() => note(server.tail()));

let sent = 0;
const typist = client(server, "paper", { tap: { sent: (_, { type, subtype }) => (sent += type === 0 && subtype === 2) } });
const reader = client(server, "paper");

await test("every key of the session reaches the second client, whole and in the same state", async () => {
  await until(() => typist.synced() && reader.synced(), "both are synced");
  const began = Date.now();
  for (let i = 0; i < edits.length; i++) {
    const { at, remove, insert } = edits[i];
    typist.doc.transact(() => {
      if (remove) typist.text.delete(at, remove);
      if (insert) typist.text.insert(at, insert);
    });
    if (i % 64 === 63) {
      await new Promise((next) => setImmediate(next));
      if (typist.provider.ws.bufferedAmount > BUFFERED_MAX)
        await until(() => typist.provider.ws.bufferedAmount < BUFFERED_MAX / 2, "the server reads on", 60_000, 2);
    }
    if (typist.opens > 1) throw new Error(`the typist was cut off at edit ${i}: ${typist.closes}`);
  }
  const typed = Date.now() - began;
  const vector = () => equalBytes(Y.encodeStateVector(reader.doc), Y.encodeStateVector(typist.doc));
  await until(() => vector() && reader.text.length === text.length, "the reader has all of it", 120_000, 25);
  note(`typed in ${typed} ms, all seen after ${Date.now() - began} ms, ${sent} messages, server ${Math.round(server.rss() / 1048576)} MiB`);
  if (sent !== edits.length) throw new Error(`${sent} messages for ${edits.length} transactions`);
  if (typist.text.toString() !== text) throw new Error("the typist has another text than the recording ends with");
  if (reader.text.toString() !== text) throw new Error("the reader has another text");
  if (!equalBytes(canonical(reader.doc), canonical(typist.doc))) throw new Error("the states differ");
  if (reader.opens > 1) throw new Error(`the reader was cut off: ${reader.closes}`);
}, { deadline_ms: 300_000 });

await test("who comes afterwards, and after a restart, has the same", async () => {
  for (const moment of ["now", "after a restart"]) {
    if (moment !== "now") {
      await server.stop();
      await server.start();
    }
    const late = client(server, "paper");
    await until(() => late.synced(), `synced ${moment}`, 30_000);
    if (!equalBytes(canonical(late.doc), canonical(typist.doc))) throw new Error(`another state ${moment}`);
    late.close();
  }
}, { deadline_ms: 120_000 });

typist.close();
reader.close();
await test("the server drains and exits 0", () => server.stop());
finish();
