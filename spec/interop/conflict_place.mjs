// Stock Yjs clients, one of whom deletes what another writes in, or who change one paragraph while they are apart: what
// Lua decides is what everybody has, in every order of arrival, after kill -9 and for who comes later; and where nobody
// decides, it is what Yjs alone makes of it. MOONLOOM_LONG=1: 10 000 random histories instead of a hundred.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LONG, Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, providers, Y } from "./packages.mjs";

// Of a deletion: who wrote has it back. Of a paragraph: every [word] that anybody has, once.
const POLICY = `
local ml = require "moonloom"
local P = {}
local function words(text)
  local list = {}
  for word in (text or ""):gmatch("%[[%w ]+%]") do list[#list + 1] = word end
  return ml.set(list)
end
function P:conflict(c)
  if c.kind == "delete" then return c.current.value == nil and "incoming" or "current" end
  local base, cur, inc = words(c.base.value), words(c.current.value), words(c.incoming.value)
  return ml.merge(table.concat((cur + inc - ((base - cur) + (base - inc))):sorted()))
end
return P
`;
const MANIFEST = `return { name = "pages", version = "1.0.0", api = 1, summary = "of a spec",
  hooks = { conflict = { kinds = { "block", "delete" }, paths = { "page/**", "lines" } } } }`;

const plugins = temporaryFolder();
mkdirSync(join(plugins, "pages"));
writeFileSync(join(plugins, "pages", "plugin.lua"), MANIFEST);
writeFileSync(join(plugins, "pages", "init.lua"), POLICY);

const server = await new Server({ args: ["--plugins", plugins], config: `plugins = { pages = {} }` }).start();
afterFailure(() => note(server.tail()));

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

const kinds = [
  ...providers.map(({ name, Provider }) => ({
    name,
    open: (name, doc) => client(server, name, { Provider, doc }),
    leave: (it) => it.provider.disconnect(),
    back: (it) => it.provider.connect(),
    isAway: (it) => !it.provider.wsconnected,
  })),
  ...collabProviders.map((library) => ({
    name: library.name,
    open(name, doc) {
      const socket = collabSocket(server, library);
      const it = collab(socket, name, { doc });
      const close = it.close;
      it.shared = socket;
      it.close = () => {
        close();
        socket.close();
      };
      return it;
    },
    leave: (it) => it.shared.socket.disconnect(),
    back: (it) => it.shared.socket.connect(),
    isAway: (it) => it.shared.socket.status !== "connected",
  })),
];

function docWith(id) {
  const doc = new Y.Doc();
  if (id) doc.clientID = id;
  return doc;
}

function paragraph(text) {
  const element = new Y.XmlElement("p");
  element.insert(0, [new Y.XmlText(text)]);
  return element;
}

const textOf = (doc, root, at) => doc.getXmlFragment(root).get(at).get(0);
const allSame = (all) => all.every((it) => equalBytes(stateOf(it.doc), stateOf(all[0].doc)));

/** Three people of one document, all of whom have what the first one writes. */
async function three(kind, name, ids, begin, has) {
  const all = [0, 1, 2].map((i) => kind.open(name, docWith(ids[i])));
  await until(() => all.every((it) => it.synced()), "all are synced", 15_000);
  begin(all[0].doc);
  await until(() => all.every((it) => has(it.doc)), "all have the beginning", 15_000);
  return all;
}

async function apart(kind, all) {
  for (const it of all) kind.leave(it);
  await until(() => all.every((it) => kind.isAway(it)), "all are away", 15_000);
}

async function returning(kind, all, order) {
  for (const i of order) {
    kind.back(all[i]);
    await until(() => !kind.isAway(all[i]) && all[i].synced(), `${i} is back`, 15_000);
  }
}

async function endsWith(kind, name, all, wanted, show) {
  const late = kind.open(name, docWith(0));
  await until(() => late.synced(), "somebody comes later", 15_000);
  all.push(late);
  try {
    await until(() => allSame(all) && all.every((it) => show(it.doc) === wanted), "all have one state", 10_000);
  } catch {
    throw new Error(`${name}: ${all.map((it) => show(it.doc)).join(" | ")}, not ${wanted}`);
  }
  for (const it of all) it.close();
}

let number = 0;

for (const kind of kinds) {
  await test(`${kind.name}: who wrote in what another deleted has it back, in every order of arrival`, async () => {
    for (const order of ORDERS) {
      const name = `page-${number++}`;
      const ids = order.map((i) => 5000 + 10 * number + i);
      const all = await three(
        kind,
        name,
        ids,
        (doc) => doc.getXmlFragment("page").insert(0, [paragraph("one"), paragraph("two"), paragraph("three")]),
        (doc) => doc.getXmlFragment("page").length === 3,
      );
      await apart(kind, all);
      textOf(all[0].doc, "page", 1).insert(3, " and a half");
      all[1].doc.getXmlFragment("page").delete(1, 1);
      textOf(all[2].doc, "page", 2).insert(0, "the ");
      await returning(kind, all, order);
      await endsWith(kind, name, all, "<p>one</p><p>two and a half</p><p>the three</p>", (doc) => doc.getXmlFragment("page").toString());
    }
  }, { deadline_ms: 200_000 });

  await test(`${kind.name}: three who changed one line while apart have the policy's answer, in every order`, async () => {
    for (const order of ORDERS) {
      const name = `lines-${number++}`;
      const ids = order.map((i) => 9000 + 10 * number + i);
      const all = await three(
        kind,
        name,
        ids,
        (doc) => doc.getText("lines").insert(0, "[first]\n[base][old]\n[last]"),
        (doc) => doc.getText("lines").length > 0,
      );
      await apart(kind, all);
      all[0].doc.getText("lines").insert(14, "[anna]");
      all[1].doc.getText("lines").insert(14, "[ben]");
      all[2].doc.getText("lines").delete(14, 5);
      await returning(kind, all, order);
      await endsWith(kind, name, all, "[first]\n[anna][base][ben]\n[last]", (doc) => doc.getText("lines").toString());
    }
  }, { deadline_ms: 200_000 });
}

await test("a connected writer whose paragraph is deleted under the hands has it back", async () => {
  const kind = kinds[0];
  const name = `live-${number++}`;
  const [anna, ben] = [kind.open(name, docWith(1)), kind.open(name, docWith(2))];
  await until(() => anna.synced() && ben.synced(), "both are synced");
  anna.doc.getXmlFragment("page").insert(0, [paragraph("one")]);
  await until(() => ben.doc.getXmlFragment("page").length === 1, "Ben has it");
  // In one turn of this process: neither has heard of the other.
  textOf(anna.doc, "page", 0).insert(3, "!");
  ben.doc.getXmlFragment("page").delete(0, 1);
  await endsWith(kind, name, [anna, ben], "<p>one!</p>", (doc) => doc.getXmlFragment("page").toString());
});

await test("where nobody decides it is what Yjs alone makes of it", async () => {
  const kind = kinds[0];
  for (const order of ORDERS) {
    const name = `natural-${number++}`;
    const all = await three(
      kind,
      name,
      [70 + number, 71 + number * 2, 72 + number * 3],
      (doc) => {
        doc.getXmlFragment("free").insert(0, [paragraph("one"), paragraph("two")]);
        doc.getText("text").insert(0, "a line");
      },
      (doc) => doc.getText("text").length > 0,
    );
    await apart(kind, all);
    textOf(all[0].doc, "free", 1).insert(0, "x");
    all[1].doc.getXmlFragment("free").delete(1, 1);
    for (const [i, it] of all.entries()) it.doc.getText("text").insert(2 + i, `${i}`);
    const alone = new Y.Doc();
    for (const it of all) Y.applyUpdate(alone, stateOf(it.doc));
    const show = (doc) => `${doc.getXmlFragment("free")} ${doc.getText("text")}`;
    const wanted = show(alone);
    const states = stateOf(alone);
    await returning(kind, all, order);
    await until(() => all.every((it) => equalBytes(stateOf(it.doc), states)), "byte by byte", 10_000);
    await endsWith(kind, name, all, wanted, show);
  }
});

await test("the answer is in the journal: after kill -9 it stands, and nobody is asked again", async () => {
  const kind = kinds[0];
  const name = `kill-${number++}`;
  const all = await three(
    kind,
    name,
    [0, 0, 0],
    (doc) => {
      doc.getXmlFragment("page").insert(0, [paragraph("one")]);
      doc.getText("lines").insert(0, "[base]");
    },
    (doc) => doc.getText("lines").length > 0,
  );
  await apart(kind, all);
  textOf(all[0].doc, "page", 0).insert(0, "number ");
  all[0].doc.getText("lines").insert(0, "[b]");
  all[1].doc.getXmlFragment("page").delete(0, 1);
  all[1].doc.getText("lines").insert(0, "[a]");
  await returning(kind, all, [1, 0, 2]);
  const show = (doc) => `${doc.getXmlFragment("page")} ${doc.getText("lines")}`;
  await until(() => allSame(all) && show(all[2].doc) === "<p>number one</p> [a][b][base]", "all have the answer", 10_000);
  const before = stateOf(all[0].doc);
  await server.kill();
  await until(() => all.every((it) => kind.isAway(it)), "all notice", 15_000);
  await server.start();
  await until(() => all.every((it) => it.synced()), "all are back", 30_000);
  const late = kind.open(name, docWith(0));
  await until(() => late.synced(), "somebody comes later");
  for (const it of [...all, late])
    if (!equalBytes(stateOf(it.doc), before)) throw new Error(`something has changed: ${show(it.doc)}`);
  for (const it of [...all, late]) it.close();
});

/* ---- Random histories ---- */

const HISTORIES = LONG ? 10_000 : 100;
const AT_ONCE = 16;

function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const wordsOf = (text) => [...text.matchAll(/\[([\d ]+)\]/g)].map((m) => m[1]);

/** Three clients go away, write and delete, and come back one by one: every word is there once, and all agree. */
async function history(seed) {
  const below = random(seed);
  const kind = kinds[below(kinds.length - 1)];
  const name = `history-${seed}`;
  const all = [0, 1, 2].map(() => kind.open(name, docWith(1 + below(1_000_000_000))));
  const said = [];
  await until(() => all.every((it) => it.synced()), `${seed}: all are synced`, 60_000);
  all[0].doc.getText("lines").insert(0, "\n");
  all[0].doc.getXmlFragment("page").insert(0, [0, 1, 2].map((i) => paragraph(`p${i}`)));
  await until(() => all.every((it) => it.doc.getXmlFragment("page").length === 3), `${seed}: all have the beginning`, 60_000);
  for (let round = 0; round < 3; round++) {
    const group = all.filter(() => below(3));
    for (const it of group) kind.leave(it);
    await until(() => group.every((it) => kind.isAway(it)), `${seed}: away`, 60_000);
    for (const it of group) {
      for (let n = below(3); n-- > 0; ) {
        const text = it.doc.getText("lines");
        said.push(`${said.length}`);
        text.insert(below(2) ? 0 : text.length, `[${said.length - 1}]`);
      }
      const page = it.doc.getXmlFragment("page");
      if (page.length && below(2)) textOf(it.doc, "page", below(page.length)).insert(0, `<${seed}.${round}>`);
      if (page.length > 1 && !below(3)) page.delete(below(page.length), 1);
    }
    for (const it of group) {
      kind.back(it);
      await until(() => !kind.isAway(it) && it.synced(), `${seed}: back`, 60_000);
    }
    await until(() => allSame(all), `${seed}: converged after round ${round}`, 60_000);
  }
  const found = wordsOf(all[0].doc.getText("lines").toString()).sort((a, b) => a - b);
  if (found.join() !== said.join()) throw new Error(`history ${seed}: ${all[0].doc.getText("lines")}, not ${said}`);
  for (const it of all) it.close();
}

await test(`${HISTORIES} random histories converge, and no word is lost or doubled`, async () => {
  const only = process.env.MOONLOOM_SEED;
  let next = only ? Number(only) : 1;
  const last = only ? next : HISTORIES;
  const began = Date.now();
  const worker = async () => {
    while (next <= last) await history(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  note(`${HISTORIES} histories in ${((Date.now() - began) / 1000).toFixed(0)} s`);
}, { deadline_ms: LONG ? 3_600_000 : 200_000 });

await test("the server drains and exits 0", () => server.stop());
finish();
