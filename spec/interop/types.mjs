// Every shared type, typed by two published clients, is the same on both sides, on disk, and for our own engine.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { gap, readDocument, writeLog } from "../support/node/journal.mjs";
import { BIN, Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { providers, Y } from "./packages.mjs";

const server = await new Server().start();
afterFailure(() => note(server.tail()));

/** Names in the order they were used, each with the state that clients and journal must agree on. */
const documents = [];

/**
 * Two clients of one document; `play` edits, then both and a late third one have to agree to the byte.
 * `keeps`: the first one remembers deleted content (for undo), so its own bytes are not compared.
 */
function agree(title, play, { keeps = false } = {}) {
  for (const { name: kind, Provider } of providers) {
    queue.push(() =>
      test(`${kind}: ${title}`, async () => {
        const name = `types/${(count += 1)}`;
        const clients = [];
        const join = async () => {
          const it = client(server, name, { Provider });
          clients.push(it);
          await until(() => it.synced(), "synced");
          return it;
        };
        try {
          const [anna, ben] = [await join(), await join()];
          await play(anna, ben);
          if (keeps) await until(() => anna.text.toString() === ben.text.toString(), "both have the same text");
          else await until(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)), "both have the same state");
          const late = await join();
          if (!equalBytes(stateOf(late.doc), stateOf(ben.doc))) throw new Error("the late reader has another state");
          documents.push({ name, state: stateOf(ben.doc) });
        } finally {
          for (const it of clients) it.close();
        }
      }),
    );
  }
}
const queue = [];
let count = 0;

const seen = (question, what) => until(question, `the other side sees ${what}`);
function same(a, b, what) {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
  if (x !== y) throw new Error(`${what}: ${x} and ${y}`);
}

agree("text, typed and deleted by both at once", async (anna, ben) => {
  anna.text.insert(0, "hello world");
  await seen(() => ben.text.toString() === "hello world", "the first words");
  anna.text.insert(5, ",");
  ben.text.delete(6, 5);
  ben.text.insert(6, "moon");
  anna.text.insert(anna.text.length, "!");
  await seen(() => anna.text.toString() === ben.text.toString() && anna.text.length === 12, "both edits");
});

agree("text beyond the basic plane, cut in the middle of a pair", async (anna, ben) => {
  anna.text.insert(0, "a👩‍🚀b🌙c");
  await seen(() => ben.text.toString() === "a👩‍🚀b🌙c", "the astronaut and the moon");
  ben.text.insert(ben.text.toString().indexOf("🌙") + 1, "|"); // Yjs makes two replacement characters of it
  await seen(() => anna.text.toString() === ben.text.toString() && anna.text.toString().includes("|"), "the cut");
});

agree("formatting: marks laid over each other and taken away", async (anna, ben) => {
  anna.text.insert(0, "a bold and quiet word");
  anna.text.format(2, 4, { bold: true });
  await seen(() => ben.text.toDelta().length === 3, "the bold word");
  ben.text.format(0, 10, { italic: true });
  anna.text.format(4, 6, { bold: null, color: "#aabbcc" });
  anna.text.insertEmbed(0, { image: "moon.png" }, { width: 100 });
  ben.text.insert(3, "er", { bold: true });
  await seen(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)), "the marks");
  same(anna.text.toDelta(), ben.text.toDelta(), "deltas");
});

agree("maps: the later of two writes wins on both sides", async (anna, ben) => {
  const [a, b] = [anna.doc.getMap("meta"), ben.doc.getMap("meta")];
  a.set("title", "one");
  a.set("bytes", new Uint8Array([0, 255, 7]));
  a.set("deep", new Y.Map([["list", Y.Array.from([1, 2.5, null, true, "x"])]]));
  await seen(() => b.get("deep")?.get("list")?.length === 5, "the nested list");
  a.set("title", "two");
  b.set("title", "three");
  b.delete("bytes");
  b.get("deep").get("list").push([{ k: [1, { n: -0 }] }, 2 ** 40, { big: 1n << 40n }]);
  await seen(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)) && !a.has("bytes"), "the later writes");
  same(String(a.get("title")), String(b.get("title")), "titles");
});

agree("arrays: inserts at one place keep one order", async (anna, ben) => {
  const [a, b] = [anna.doc.getArray("list"), ben.doc.getArray("list")];
  a.insert(0, ["a", "z"]);
  await seen(() => b.length === 2, "two entries");
  for (let i = 0; i < 20; i++) {
    a.insert(1, [`a${i}`]);
    b.insert(1, [i, { b: i }]);
    if (i % 5 === 4) b.delete(0, 1);
  }
  await seen(() => a.length === b.length && equalBytes(stateOf(anna.doc), stateOf(ben.doc)), "one order");
  same(a.toJSON(), b.toJSON(), "lists");
});

agree("xml: elements, attributes, text in a tree", async (anna, ben) => {
  const [a, b] = [anna.doc.getXmlFragment("page"), ben.doc.getXmlFragment("page")];
  const paragraph = new Y.XmlElement("paragraph");
  paragraph.insert(0, [new Y.XmlText("first"), new Y.XmlElement("br")]);
  paragraph.setAttribute("align", "left");
  a.insert(0, [paragraph]);
  await seen(() => b.length === 1 && b.get(0).length === 2, "the paragraph");
  b.get(0).setAttribute("align", "right");
  b.get(0).get(0).insert(5, " words", { bold: true });
  a.insert(1, [new Y.XmlElement("rule"), new Y.XmlHook("hook")]);
  a.get(0).delete(1, 1);
  await seen(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)) && a.length === 3, "one tree");
  same(a.toString(), b.toString(), "trees");
});

agree("undo and redo, the other one typing meanwhile", async (anna, ben) => {
  const undo = new Y.UndoManager(anna.text, { captureTimeout: 0 });
  anna.text.insert(0, "one ");
  anna.text.insert(4, "two ");
  await seen(() => ben.text.toString() === "one two ", "two words");
  ben.text.insert(4, "and ");
  await seen(() => anna.text.toString() === "one and two ", "a third");
  undo.undo();
  undo.undo();
  undo.redo();
  await seen(() => ben.text.toString() === anna.text.toString() && ben.text.toString() === "one and ", "what is left");
}, { keeps: true });

agree("twenty transactions a moment in one turn of the loop arrive in order", async (anna, ben) => {
  for (let i = 0; i < 200; i++) anna.text.insert(anna.text.length, `${i},`);
  const all = anna.text.toString();
  await seen(() => ben.text.toString() === all, "all of it");
});

for (const run of queue) await run();

await test("the journal folds to the same bytes: by Yjs, and by `moonloom update apply`", async () => {
  await server.stop();
  if (documents.length === 0) throw new Error("no document came through");
  for (const { name, state } of documents) {
    const stored = readDocument(server.store, name);
    if (!stored) throw new Error(`${name} is not in the journal`);
    const hole = gap(stored);
    if (hole) throw new Error(`${name}: ${hole}`);
    const fold = new Y.Doc();
    for (const { bytes } of stored.records) Y.applyUpdate(fold, bytes);
    if (!equalBytes(stateOf(fold), state)) throw new Error(`${name}: the journal folds to another state`);
    const log = join(temporaryFolder(), "records.log");
    writeLog(log, stored.records);
    const ours = execFileSync(BIN, ["update", "apply", "--log", log], { maxBuffer: 1 << 28 });
    if (!equalBytes(ours, state)) throw new Error(`${name}: moonloom update apply answers other bytes`);
  }
  note(`${documents.length} documents, clients = journal = moonloom update apply, byte for byte`);
});

finish();
