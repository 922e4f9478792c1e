// Stock Yjs clients under a conflict policy: what Lua decides is what everybody has, in every order of delivery, after
// a restart of the server and for who comes later. MOONLOOM_LONG=1: 10 000 random histories instead of some hundreds.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LONG, Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, nextProvider, providers, Y } from "./packages.mjs";

const POLICY = `
local ml = require "moonloom"
local P, rule = {}, {}
local rank = { todo = 1, doing = 2, review = 3, done = 4 }
function rule.status(c)
  local a, b = rank[c.current.value], rank[c.incoming.value]
  if a and b and a ~= b then return a > b and "current" or "incoming" end
end
function rule.labels(c)
  local base, cur, inc = ml.set(c.base.value), ml.set(c.current.value), ml.set(c.incoming.value)
  return ml.merge((cur + inc - ((base - cur) + (base - inc))):sorted())
end
function rule.all(c) return ml.merge((ml.set(c.current.value) + ml.set(c.incoming.value)):sorted()) end
function rule.max(c) return c.current.value > c.incoming.value and "current" or "incoming" end
function rule.level(c) return rule.max(c) end
function P:conflict(c) if rule[c.key] then return rule[c.key](c) end end
return P
`;
const MANIFEST = `return { name = "board", version = "1.0.0", api = 1, summary = "of a spec",
  hooks = { conflict = { kinds = { "map", "attr" } } } }`;

const plugins = temporaryFolder();
mkdirSync(join(plugins, "board"));
writeFileSync(join(plugins, "board", "plugin.lua"), MANIFEST);
writeFileSync(join(plugins, "board", "init.lua"), POLICY);

const server = await new Server({ args: ["--plugins", plugins], config: `plugins = { board = {} }` }).start();
afterFailure(() => note(server.tail()));

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function expectSame(found, wanted, who) {
  if (!same(found, wanted)) throw new Error(`${who} has ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}

/** A document whose client id is chosen. */
function docWith(id) {
  const doc = new Y.Doc();
  if (id) doc.clientID = id;
  return doc;
}

const kinds = [
  ...providers.map(({ name, Provider }) => ({
    name,
    open: (doc, of) => client(of, doc.name, { Provider, doc: doc.doc }),
    leave: (it) => it.provider.disconnect(),
    back: (it) => it.provider.connect(),
    isAway: (it) => !it.provider.wsconnected,
  })),
  ...collabProviders.map((library) => ({
    name: library.name,
    open(doc, of) {
      const socket = collabSocket(of, library);
      const it = collab(socket, doc.name, { doc: doc.doc });
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

let number = 0;

for (const kind of kinds) {
  await test(`${kind.name}: three writers of one key have the policy's answer, in every order of arrival and of client ids`, async () => {
    for (const arrival of ORDERS) {
      for (const ids of ORDERS.slice(0, 3)) {
        const name = `board-${number++}`;
        const all = [0, 1, 2].map((i) => kind.open({ name, doc: docWith(1000 + 100 * number + ids[i]) }, server));
        await until(() => all.every((it) => it.synced()), "all are synced");
        const maps = all.map((it) => it.doc.getMap("task"));
        maps[0].set("status", "todo");
        maps[0].set("labels", ["bug", "ui"]);
        maps[0].set("level", 1);
        await until(() => maps.every((map) => map.get("level") === 1), "all see the task");
        for (const it of all) kind.leave(it);
        await until(() => all.every((it) => kind.isAway(it)), "all are away");
        maps[0].set("status", "done");
        maps[1].set("status", "doing");
        maps[2].set("status", "review");
        maps[0].set("labels", ["bug", "ui", "ios"]);
        maps[1].set("labels", ["bug"]);
        maps[2].set("labels", ["bug", "ui", "web"]);
        maps[0].set("level", 2);
        maps[1].set("level", 4);
        maps[2].set("level", 3);
        for (const i of arrival) {
          kind.back(all[i]);
          await until(() => !kind.isAway(all[i]) && all[i].synced(), `${i} is back`);
        }
        const wanted = { status: "done", labels: ["bug", "ios", "web"], level: 4 };
        const late = kind.open({ name, doc: docWith(0) }, server);
        await until(() => late.synced(), "somebody comes later");
        all.push(late);
        try {
          await until(
            () =>
              all.every((it) => equalBytes(stateOf(it.doc), stateOf(all[0].doc))) &&
              same(all[0].doc.getMap("task").get("labels"), wanted.labels),
            "all have one state",
            5000,
          );
        } catch {}
        for (const [i, it] of all.entries())
          for (const key of Object.keys(wanted)) expectSame(it.doc.getMap("task").get(key), wanted[key], `${name} ${arrival} ${ids}: ${i} of ${key}`);
        for (const it of all) it.close();
      }
    }
  }, { deadline_ms: 200_000 });
}

await test("an attribute of an XML element is decided, too", async () => {
  const name = `xml-${number++}`;
  const { Provider } = providers[0];
  const [anna, ben] = [client(server, name, { Provider }), client(server, name, { Provider })];
  await until(() => anna.synced() && ben.synced(), "both are synced");
  const element = new Y.XmlElement("heading");
  anna.doc.getXmlFragment("body").insert(0, [element]);
  element.setAttribute("level", "1");
  await until(() => ben.doc.getXmlFragment("body").length === 1, "Ben sees it");
  for (const it of [anna, ben]) it.provider.disconnect();
  await until(() => !anna.provider.wsconnected && !ben.provider.wsconnected, "both are away");
  element.setAttribute("level", "5");
  ben.doc.getXmlFragment("body").get(0).setAttribute("level", "3");
  for (const it of [anna, ben]) {
    it.provider.connect();
    await until(() => it.synced(), "back");
  }
  await until(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)), "both have one state");
  expectSame(ben.doc.getXmlFragment("body").get(0).getAttribute("level"), "5", "Ben");
  anna.close();
  ben.close();
});

await test("the answer is in the journal: after kill -9 it stands, and nobody is asked again", async () => {
  const name = `kill-${number++}`;
  const { Provider } = providers[0];
  const [anna, ben] = [client(server, name, { Provider }), client(server, name, { Provider })];
  await until(() => anna.synced() && ben.synced(), "both are synced");
  for (const it of [anna, ben]) it.provider.disconnect();
  await until(() => !anna.provider.wsconnected && !ben.provider.wsconnected, "both are away");
  anna.doc.getMap("m").set("all", ["anna"]);
  ben.doc.getMap("m").set("all", ["ben"]);
  for (const it of [anna, ben]) {
    it.provider.connect();
    await until(() => it.synced(), "back");
  }
  const decided = () => same(anna.doc.getMap("m").get("all"), ["anna", "ben"]) && equalBytes(stateOf(anna.doc), stateOf(ben.doc));
  await until(decided, "both have the answer");
  const before = stateOf(anna.doc);
  await server.kill();
  await until(() => !anna.provider.wsconnected && !ben.provider.wsconnected, "both notice");
  await server.start();
  await until(() => anna.synced() && ben.synced(), "both are back", 15_000);
  const late = client(server, name, { Provider });
  await until(() => late.synced(), "somebody comes later");
  for (const it of [anna, ben, late])
    if (!equalBytes(stateOf(it.doc), before)) throw new Error(`something has changed: ${JSON.stringify(it.doc.getMap("m").toJSON())}`);
  for (const it of [anna, ben, late]) it.close();
});

/* ---- Random histories ---- */

const HISTORIES = LONG ? 10_000 : 200;
const AT_ONCE = 24;

function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Three clients write, go and come; in the end all have the largest `max` and everything of `all`. */
async function history(seed) {
  const below = random(seed);
  const name = `history-${seed}`;
  const { Provider } = [...providers, nextProvider][below(2)];
  const all = [0, 1, 2].map(() => client(server, name, { Provider, doc: docWith(1 + below(1_000_000_000)) }));
  const away = new Set();
  const backAt = new Map();
  let counter = 0;
  // Updates that were written while connected and have not come back as an echo.
  const onWay = (it) => (away.has(it) ? 0 : all.filter((other) => !away.has(other)).some((other) => !equalBytes(stateOf(other.doc), stateOf(it.doc))) ? 1 : 0);
  await until(() => all.every((it) => it.synced()), `${seed}: all are synced`, 30_000);
  for (let step = 0; step < 14; step++) {
    const it = all[below(3)];
    const map = it.doc.getMap("m");
    switch (below(6)) {
      case 0:
        // What is on its way and has lost on its writer's own screen meanwhile is gone there: first let it arrive.
        // Alone nobody can tell what has arrived, and what a first answer brings is in no echo.
        if ((away.size > 1 && !away.has(it)) || Date.now() - (backAt.get(it) ?? 0) < 250) break;
        await until(() => onWay(it) === 0, `${seed}: all has arrived`, 30_000);
        it.provider.disconnect();
        away.add(it);
        break;
      case 1:
        if (away.delete(it)) {
          it.provider.connect();
          await until(() => it.synced(), `${seed}: back`, 30_000);
          backAt.set(it, Date.now());
        }
        break;
      case 2:
        await new Promise((resolve) => setTimeout(resolve, below(4)));
        break;
      case 3:
        map.set("max", ++counter);
        break;
      default:
        map.set("all", [...(map.get("all") ?? []), ++counter].sort((a, b) => a - b));
        written.get(seed).push(counter);
    }
    if (map.get("max") > (largest.get(seed) ?? 0)) largest.set(seed, map.get("max"));
  }
  for (const it of away) it.provider.connect();
  await until(() => all.every((it) => it.synced()), `${seed}: all are back`, 30_000);
  const wanted = written.get(seed);
  const is_done = () =>
    all.every((it) => equalBytes(stateOf(it.doc), stateOf(all[0].doc))) &&
    same(all[0].doc.getMap("m").get("all") ?? [], wanted) &&
    all[0].doc.getMap("m").get("max") === largest.get(seed);
  try {
    await until(is_done, `${seed}: converged`, 10_000);
  } catch {
    throw new Error(
      `history ${seed}: ${all.map((it) => JSON.stringify(it.doc.getMap("m").toJSON())).join(" ")}, not ${JSON.stringify(wanted)} and ${largest.get(seed)}`,
    );
  }
  for (const it of all) it.close();
}

const written = new Map();
const largest = new Map();

await test(`${HISTORIES} random histories end with the policy's answer everywhere`, async () => {
  const only = process.env.MOONLOOM_SEED;
  let next = only ? Number(only) : 1;
  const last = only ? next : HISTORIES;
  const began = Date.now();
  const worker = async () => {
    while (next <= last) {
      const seed = next++;
      written.set(seed, []);
      await history(seed);
      written.delete(seed);
      largest.delete(seed);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  note(`${HISTORIES} histories in ${((Date.now() - began) / 1000).toFixed(0)} s`);
}, { deadline_ms: LONG ? 3_600_000 : 200_000 });

await test("the server drains and exits 0", () => server.stop());
finish();
