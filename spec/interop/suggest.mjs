// The plugin suggestion-mode with stock Yjs clients, whose users are suggesters of the server: what they type and delete comes
// back marked, in every dialect; what is accepted is what a plain editor would have written, what is rejected was never there;
// and histories by chance, of which all replicas and the outcome are compared with a list of units.
//
//   node spec/interop/suggest.mjs [FIRST_SEED [HISTORIES]]
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { client } from "./clients.mjs";
import { Random } from "./oracle/random.mjs";
import { collabProviders, createYjsProvider, WebSocket, Y } from "./packages.mjs";

const FIRST_SEED = Number(process.argv[2] ?? 1);
const HISTORIES = Number(process.argv[3] ?? process.env.MOONLOOM_SUGGEST_HISTORIES ?? 150);

// ---- The server -----------------------------------------------------------------------------------------------------------

const plugins = temporaryFolder();
mkdirSync(join(plugins, "quiet"));
writeFileSync(join(plugins, "quiet", "plugin.lua"), "return { name = 'quiet', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} } }");
writeFileSync(join(plugins, "quiet", "init.lua"), "local P = {}\nfunction P:authenticate() return nil end\nreturn P");
const config = `auth = { mode = 'plugins' }
plugins = { quiet = {}, ['suggestion-mode'] = { config = { paths = { 'content/**', 'page/**' }, merge_window = '1h', max_open = 60 } } }
`;
const server = await new Server({ config, args: ["--plugins", plugins] }).start();
afterFailure(() => note(server.tail()));
const tokens = {};
for (const [user, role] of [["eve", "editor"], ["sue", "suggester"], ["tom", "suggester"], ["kim", "commenter"]])
  tokens[user] = execFileSync(server.bin, ["token", "--org", "default", "--user", user, "--role", role, "--data", server.data], { encoding: "utf8" }).trim();

const base = `${server.url}/api/v1/orgs/default`;
const as = (user, more = {}) => ({ Authorization: `Bearer ${tokens[user]}`, ...more });

async function post(name, user, update) {
  const answer = await fetch(`${base}/docs/${name}/updates`, { method: "POST", headers: as(user, { "Content-Type": "application/octet-stream" }), body: update });
  return answer.status;
}

async function stateOf(name) {
  const answer = await fetch(`${base}/docs/${name}/state`, { headers: as("eve") });
  if (answer.status !== 200) throw new Error(`state: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function call(user, fn, name, args = {}) {
  const answer = await fetch(`${base}/rpc/suggest.${fn}?doc=${name}`, { method: "POST", headers: as(user, { "Content-Type": "application/json" }), body: JSON.stringify(args) });
  return { status: answer.status, value: await answer.json() };
}

// ---- Reading --------------------------------------------------------------------------------------------------------------

const text = (doc) => doc.getText("content");
const list = (doc) => [...doc.getMap("suggestions").values()].filter((v) => !(v instanceof Y.AbstractType));

/** pay on {Monday}[Tuesday]: struck, added. */
const show = (shared) =>
  shared.toDelta().map(({ insert, attributes: a = {} }) => {
    const s = a.insertion ? `[${insert}]` : insert;
    return a.deletion ? `{${s}}` : s;
  }).join("");

function docOf(update) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, update);
  return doc;
}
const shows = async (name, expected) => until(async () => show(text(docOf(await stateOf(name)))) === expected, `the server shows ${expected}`);

async function make(name, words = "pay on Monday") {
  const doc = new Y.Doc();
  text(doc).insert(0, words);
  const status = await post(name, "eve", Y.encodeStateAsUpdate(doc));
  if (status !== 200) throw new Error(`make: ${status}`);
  doc.destroy();
}

// ---- Every dialect --------------------------------------------------------------------------------------------------------

let number = 0;
const dialects = {
  "y-websocket": (name, doc) => client(server, name, { doc, params: { token: tokens.sue } }),
  "y-sweet": (name, doc) => {
    const token = { url: `${server.sync}`, baseUrl: server.url, docId: name, token: tokens.sue, authorization: "full" };
    const provider = createYjsProvider(doc, name, async () => token, { WebSocketPolyfill: WebSocket, showDebuggerLink: false });
    return { synced: () => provider.status === "connected", close: () => provider.destroy() };
  },
};
for (const library of collabProviders)
  dialects[library.name] = (name, doc) => {
    const shared = collabSocket(server, library);
    const it = collab(shared, name, { doc, token: tokens.sue });
    return { synced: it.synced, close: () => (it.close(), shared.close()) };
  };

const only = (condition, what) => {
  if (!condition) throw new Error(what);
};

for (const [dialect, connect] of Object.entries(dialects)) {
  await test(`${dialect}: a stock client of a suggester types and deletes, and sees it marked; the rest is refused`, async () => {
    const name = `dialect-${++number}`;
    await make(name);
    const doc = new Y.Doc();
    const it = connect(name, doc);
    await until(() => it.synced() && text(doc).length > 0, "synced");
    for (const [i, c] of [..." him"].entries()) text(doc).insert(3 + i, c);
    await until(() => show(text(doc)) === "pay[ him] on Monday", "marked");
    text(doc).delete(11, 6);
    await until(() => show(text(doc)) === "pay[ him] on {Monday}", "struck");
    await until(() => list(doc).length === 2, "listed");
    const entry = list(doc).find((one) => one.kind === "insertion");
    only(entry.excerpt === " him" && entry.author === "sue", JSON.stringify(entry));
    text(doc).format(0, 3, { bold: true });
    doc.getMap("meta").set("title", "forged");
    await until(() => !doc.getMap("meta").has("title") && text(doc).toDelta()[0].attributes === undefined, "refused");
    await shows(name, "pay[ him] on {Monday}");
    it.close();
  });
}

// ---- With an editor -------------------------------------------------------------------------------------------------------

async function two(run) {
  const name = `two-${++number}`;
  await make(name);
  const sue = client(server, name, { params: { token: tokens.sue } });
  const eve = client(server, name, { params: { token: tokens.eve } });
  await until(() => sue.synced() && eve.synced() && sue.text.length > 0 && eve.text.length > 0, "synced");
  const both = async (expected) => until(() => show(sue.text) === expected && show(eve.text) === expected, `both show ${expected}, not ${show(sue.text)}, ${show(eve.text)}`);
  await run({ name, sue, eve, both });
  sue.close();
  eve.close();
}

await test("accepted, it is what a plain editor would have written, and the list is empty; who accepts again finds nothing", () =>
  two(async ({ name, sue, both }) => {
    sue.doc.transact(() => (sue.text.delete(7, 6), sue.text.insert(7, "Tuesday")));
    await until(() => list(sue.doc).length === 1, "listed");
    const [entry] = list(sue.doc);
    only(entry.kind === "replacement" && entry.removed === "Monday" && entry.excerpt === "Tuesday", JSON.stringify(entry));
    const answers = await Promise.all([1, 2, 3, 4].map(() => call("eve", "accept", name, { id: entry.id })));
    const done = answers.filter((a) => a.status === 200 && a.value.count === 1).length;
    const late = answers.filter((a) => (a.status === 200 && a.value.count === 0) || (a.status === 403 && a.value.error.code === "suggestion-mode.settled"));
    only(done === 1 && late.length === 3, JSON.stringify(answers));
    await both("pay on Tuesday");
    await until(() => list(sue.doc).length === 0, "the list is empty");
    only(JSON.stringify(sue.text.toDelta()) === '[{"insert":"pay on Tuesday"}]', JSON.stringify(sue.text.toDelta()));
  }));

await test("of many who accept and reject at once one is heard, and no text is lost", async () => {
  for (let n = 0; n < 10; n++)
    await two(async ({ name, sue, both }) => {
      sue.doc.transact(() => (sue.text.delete(7, 6), sue.text.insert(7, "Tuesday")));
      await until(() => list(sue.doc).length === 1, "listed");
      const { id } = list(sue.doc)[0];
      const answers = await Promise.all(["accept", "reject", "accept", "reject"].map((fn) => call("eve", fn, name, { id }).then((a) => ({ ...a, fn }))));
      const done = answers.filter((a) => a.status === 200 && a.value.count === 1);
      only(done.length === 1, JSON.stringify(answers));
      await both(done[0].fn === "accept" ? "pay on Tuesday" : "pay on Monday");
      await until(() => sue.doc.getMap("suggestions").size === 0, "the list is empty");
    });
});

await test("rejected, it is what was there before", () =>
  two(async ({ name, sue, both }) => {
    sue.doc.transact(() => (sue.text.delete(0, 4), sue.text.insert(0, "send it ")));
    await until(() => list(sue.doc).length === 1, "listed");
    const answer = await call("eve", "reject", name, { id: list(sue.doc)[0].id });
    only(answer.value.count === 1, JSON.stringify(answer));
    await both("pay on Monday");
    only(JSON.stringify(sue.text.toDelta()) === '[{"insert":"pay on Monday"}]', JSON.stringify(sue.text.toDelta()));
  }));

await test("suggesters, commenters and strangers accept nothing", () =>
  two(async ({ name, sue }) => {
    sue.text.insert(0, "x");
    await until(() => list(sue.doc).length === 1, "listed");
    const { id } = list(sue.doc)[0];
    for (const user of ["sue", "tom", "kim"])
      for (const fn of ["accept", "reject", "accept_all"]) {
        const answer = await call(user, fn, name, fn === "accept_all" ? {} : { id });
        only(answer.status === 403, `${user} ${fn}: ${answer.status}`);
      }
    await shows(name, "[x]pay on Monday");
    only((await call("eve", "accept", name, { id: "nothing" })).value.count === 0, "an id that is not there");
  }));

await test("undo takes back what was typed, and what was struck; redo does what it says", () =>
  two(async ({ name, sue, both }) => {
    const undo = new Y.UndoManager(sue.text, { captureTimeout: 0 });
    sue.text.insert(3, " him");
    await both("pay[ him] on Monday");
    undo.undo();
    await both("pay on Monday");
    await until(() => list(sue.doc).length === 0, "withdrawn");
    sue.text.delete(7, 6);
    await both("pay on {Monday}");
    undo.undo();
    await both("pay on Monday");
    await until(() => list(sue.doc).length === 0, "not struck any more");
    await shows(name, "pay on Monday");
  }));

await test("suggestions in paragraphs, as rich-text editors write them", () =>
  two(async ({ name, sue, eve }) => {
    const page = (it) => it.doc.getXmlFragment("page");
    eve.doc.transact(() => {
      const [one, empty] = [new Y.XmlElement("paragraph"), new Y.XmlElement("paragraph")];
      one.insert(0, [new Y.XmlText("first words")]);
      page(eve).insert(0, [one, empty]);
    });
    await until(() => page(sue).length === 2, "the page is there");
    page(sue).get(0).get(0).applyDelta([{ retain: 5 }, { delete: 6 }, { insert: " line" }]);
    page(sue).get(1).insert(0, [new Y.XmlText("second line")]);
    await until(() => list(eve.doc).length === 2, "two suggestions");
    await until(() => show(page(eve).get(1).get(0)) === "[second line]", "marked");
    const before = show(page(eve).get(0).get(0));
    only(before.includes("{ words}") && before.includes("[ line]"), before);
    // A paragraph cut in two is no suggestion: all of that goes back.
    sue.doc.transact(() => {
      page(sue).get(0).get(0).delete(2, 3);
      const p = new Y.XmlElement("paragraph");
      p.insert(0, [new Y.XmlText("rst")]);
      page(sue).insert(1, [p]);
    });
    await until(() => page(sue).length === 2 && show(page(sue).get(0).get(0)) === before, "gone back");
    only(page(eve).length === 2 && show(page(eve).get(0).get(0)) === before, "never seen by others");
    // Paragraphs move; the suggestions in them are found.
    eve.doc.transact(() => page(eve).insert(0, [new Y.XmlElement("heading")]));
    await until(() => page(sue).length === 3, "a heading");
    const answer = await call("eve", "accept_all", name, { author: "sue" });
    only(answer.value.count === 2, JSON.stringify(answer));
    await until(() => page(sue).get(1).toString() === "<paragraph>first line</paragraph>" && page(sue).get(2).toString() === "<paragraph>second line</paragraph>",
      `accepted: ${page(sue).toString()}`);
    await until(() => list(eve.doc).length === 0, "the list is empty");
  }));

await test("a client that marks by itself keeps its ids, and is listed", () =>
  two(async ({ sue, both }) => {
    sue.text.insert(3, " him", { insertion: { id: "mine-1", author: "sue", at: 1 } });
    await both("pay[ him] on Monday");
    await until(() => list(sue.doc).length === 1, "listed");
    only(list(sue.doc)[0].id === "mine-1", JSON.stringify(list(sue.doc)));
    sue.text.insert(0, "x", { insertion: { id: "forged", author: "eve", at: 1 } });
    await until(() => list(sue.doc).length === 2, "listed");
    only(sue.text.toDelta()[0].attributes.insertion.author === "sue", JSON.stringify(sue.text.toDelta()));
  }));

await test("offline edits of a suggester come marked beside what others wrote", () =>
  two(async ({ name, sue, eve, both }) => {
    sue.provider.disconnect();
    sue.text.insert(3, " him");
    sue.text.delete(11, 6);
    eve.text.insert(0, "Please ");
    await shows(name, "Please pay on Monday");
    sue.provider.connect();
    await both("Please pay[ him] on {Monday}");
  }));

// ---- Histories by chance --------------------------------------------------------------------------------------------------

class Replica {
  constructor(name, user, id) {
    this.name = name;
    this.user = user;
    this.doc = new Y.Doc();
    this.doc.clientID = id;
    this.sent = Y.encodeStateVector(this.doc);
  }

  async pull() {
    Y.applyUpdate(this.doc, await stateOf(this.name));
    this.sent = Y.encodeStateVector(this.doc);
  }

  /** What was done since the last time, as one update; deletions, too. */
  async push() {
    const status = await post(this.name, this.user, Y.encodeStateAsUpdate(this.doc, this.sent));
    if (status !== 200) throw new Error(`${this.user}: ${status}`);
  }
}

const letters = (random, from, max) => Array.from({ length: 1 + random.below(max) }, () => String.fromCharCode(from + random.below(26))).join("");

/**
 * One edit; answers { at, n } or { at, words }. By deltas, as the bindings of editors write: Y.Text.delete(at, n) forgets which
 * formats are in force where it begins, so that Yjs deletes the end of a mark that it runs over.
 */
function edit(random, replica) {
  const shared = text(replica.doc);
  const plain = replica.user === "eve" ? { insertion: null, deletion: null } : undefined;
  if (shared.length === 0 || random.below(2) === 0) {
    const did = { at: random.below(shared.length + 1), words: letters(random, plain ? 0x410 : 65, 4) };
    shared.applyDelta([{ retain: did.at }, { insert: did.words, attributes: plain }]);
    return did;
  }
  const at = random.below(shared.length);
  const did = { at, n: 1 + random.below(Math.min(5, shared.length - at)) };
  shared.applyDelta([{ retain: did.at }, { delete: did.n }]);
  return did;
}

/** Units as they have to look, one edit after the other. */
function follow(units, user, did) {
  if (did.words) {
    units.splice(did.at, 0, ...[...did.words].map((c) => ({ c, added: user !== "eve", struck: false })));
  } else {
    const range = units.splice(did.at, did.n);
    if (user !== "eve") units.splice(did.at, 0, ...range.filter((u) => !u.added).map((u) => ({ ...u, struck: true })));
  }
  return units;
}
const words = (units, keep) => units.filter(keep).map((u) => u.c).join("");

async function endsClean(replicas, name) {
  for (const it of replicas) await it.pull();
  const [first, ...others] = replicas.map(({ doc }) => JSON.stringify([text(doc).toDelta(), doc.getMap("suggestions").toJSON()]));
  for (const one of others) only(one === first, `${first}\n${one}`);
  const doc = replicas[0].doc;
  only(list(doc).length === 0, `still listed: ${JSON.stringify(list(doc))}`);
  only(text(doc).toDelta().every((op) => !op.attributes?.insertion && !op.attributes?.deletion), `marks are left: ${JSON.stringify(text(doc).toDelta())}`);
  return text(doc).toString();
}

async function settleAll(name, doc, accepts) {
  if (accepts) return (await call("eve", "accept_all", name)).value.count;
  for (const { id } of list(doc)) await call("eve", "reject", name, { id });
}

/** One edit after the other: the outcome is known exactly. */
async function oneByOne(seed) {
  const random = new Random(seed);
  const name = `turns-${seed}`;
  await make(name, "one two three");
  const people = ["sue", "eve"].map((user, i) => new Replica(name, user, 10 + i + random.below(2) * 5));
  let units = [..."one two three"].map((c) => ({ c, added: false, struck: false }));
  for (let n = 2 + random.below(5); n > 0; n--) {
    const it = people[random.below(3) === 0 ? 1 : 0];
    await it.pull();
    units = follow(units, it.user, edit(random, it));
    await it.push();
  }
  await people[0].pull();
  const accepts = random.below(2) === 0;
  only(text(people[0].doc).toString() === words(units, () => true), `shows ${show(text(people[0].doc))}, not ${words(units, () => true)}`);
  await settleAll(name, people[0].doc, accepts);
  const is = await endsClean(people, name);
  const wanted = words(units, accepts ? (u) => !u.struck : (u) => !u.added);
  only(is === wanted, `${accepts ? "accepted" : "rejected"}: ${is}, not ${wanted}`);
}

/** Everybody at once, any order: all have the same, and nothing is left open. */
async function atOnce(seed) {
  const random = new Random(seed);
  const name = `at-once-${seed}`;
  await make(name, "one two three");
  const people = ["sue", "tom", "eve"].map((user, i) => new Replica(name, user, 10 + i + random.below(2) * 5));
  for (let rounds = 1 + random.below(2); rounds > 0; rounds--) {
    for (const it of people) await it.pull();
    for (const it of people) for (let n = 1 + random.below(3); n > 0; n--) edit(random, it);
    for (const it of people.map((one) => [random.below(1000), one]).sort((a, b) => a[0] - b[0])) await it[1].push();
  }
  await people[0].pull();
  await settleAll(name, people[0].doc, random.below(2) === 0);
  await endsClean(people, name);
}

for (const [name, run] of Object.entries({ "one after the other": oneByOne, "at once": atOnce }))
  await test(`${HISTORIES} histories by chance, ${name}`, async () => {
    let next = FIRST_SEED;
    const worker = async () => {
      while (next < FIRST_SEED + HISTORIES) {
        const seed = next++;
        await run(seed).catch((error) => { throw new Error(`seed ${seed}: ${error.message}`); });
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
  }, { deadline_ms: 3_000_000 });

await test("the server drains and exits 0", () => server.stop());
finish();
