// One document, two of every client that is published: y-websocket 2 and 3 and its release candidate with Yjs 14,
// Hocuspocus 2, 3 and 4, y-sweet; and two programs that write over HTTP. Random edits of text, maps, lists and XML, on and
// off line; in the end all have one document, and so has the journal.
import { LONG, Server } from "../support/node/server.mjs";
import { gap, readDocument } from "../support/node/journal.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, createYjsProvider, Next, nextProvider, providers, WebSocket, Y } from "./packages.mjs";

const SEEDS = LONG ? 50 : 4;
const AT_ONCE = 2;
const ROUNDS = LONG ? 150 : 100;
const FIRST = Number(process.env.MOONLOOM_SEED ?? 1);

/** Numbers from 0 below `n`, the same for the same seed. */
function random(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

// No pair of surrogates: Yjs cuts one in half on the screen of whoever formats there, although nothing changes.
const WORDS = ["moon", "loom ", "ü", "€ж", "\n", "thread", "a"];

/** Edits through the shared types of Yjs 13. */
const edits13 = {
  type(doc, r) {
    const text = doc.getText("text");
    text.insert(r(text.length + 1), WORDS[r(WORDS.length)]);
  },
  remove(doc, r) {
    const text = doc.getText("text");
    if (text.length > 4) text.delete(r(text.length - 3), 1 + r(3));
  },
  format(doc, r) {
    const text = doc.getText("text");
    if (text.length > 4) text.format(r(text.length - 4), 1 + r(4), { [r(2) ? "bold" : "italic"]: r(3) ? true : null });
  },
  set: (doc, r) => doc.getMap("map").set(`k${r(6)}`, [r(100), "text", { n: r(9) }, null][r(4)]),
  unset: (doc, r) => doc.getMap("map").delete(`k${r(6)}`),
  push(doc, r) {
    const list = doc.getArray("list");
    list.insert(r(list.length + 1), [r(1000), { deep: [r(10)] }].slice(0, 1 + r(2)));
  },
  pull(doc, r) {
    const list = doc.getArray("list");
    if (list.length > 0) list.delete(r(list.length), 1);
  },
  grow(doc, r) {
    const page = doc.getXmlFragment("page");
    const element = new Y.XmlElement(["p", "li"][r(2)]);
    element.insert(0, [new Y.XmlText(WORDS[r(WORDS.length)])]);
    page.insert(r(page.length + 1), [element]);
  },
  dress(doc, r) {
    const page = doc.getXmlFragment("page");
    if (page.length > 0) page.get(r(page.length)).setAttribute("align", `${r(5)}`);
  },
  prune(doc, r) {
    const page = doc.getXmlFragment("page");
    if (page.length > 2) page.delete(r(page.length), 1);
  },
};

/** The same through the one type of Yjs 14. */
const edits14 = {
  type(doc, r) {
    const text = doc.get("text");
    text.insert(r(text.length + 1), WORDS[r(WORDS.length)]);
  },
  remove(doc, r) {
    const text = doc.get("text");
    if (text.length > 4) text.delete(r(text.length - 3), 1 + r(3));
  },
  format(doc, r) {
    const text = doc.get("text");
    if (text.length > 4) text.format(r(text.length - 4), 1 + r(4), { [r(2) ? "bold" : "italic"]: r(3) ? true : null });
  },
  set: (doc, r) => doc.get("map").setAttr(`k${r(6)}`, [r(100), "text", { n: r(9) }, null][r(4)]),
  unset(doc, r) {
    const map = doc.get("map");
    const key = `k${r(6)}`;
    if (map.hasAttr(key)) map.deleteAttr(key);
  },
  push(doc, r) {
    const list = doc.get("list");
    list.insert(r(list.length + 1), [r(1000), { deep: [r(10)] }].slice(0, 1 + r(2)));
  },
  pull(doc, r) {
    const list = doc.get("list");
    if (list.length > 0) list.delete(r(list.length), 1);
  },
  grow(doc, r) {
    const page = doc.get("page");
    const element = new Next.Type(["p", "li"][r(2)]);
    page.insert(r(page.length + 1), [element]);
    element.insert(0, WORDS[r(WORDS.length)]);
  },
  dress(doc, r) {
    const page = doc.get("page");
    if (page.length > 0) page.get(r(page.length)).setAttr("align", `${r(5)}`);
  },
  prune(doc, r) {
    const page = doc.get("page");
    if (page.length > 2) page.delete(r(page.length), 1);
  },
};
const KINDS = Object.keys(edits13);

console.warn = () => {}; // y-sweet complains when it is told to connect twice
const server = await new Server().start();
afterFailure(() => note(server.tail()));

/** A program that writes over HTTP: `write` asks for one transaction, `answers` are those that are under way. */
function program(name) {
  const answers = [];
  return {
    answers,
    write(r) {
      const ops = [
        ["text.insert", "text", 0, WORDS[r(WORDS.length)]],
        ["map.set", "map", `k${r(6)}`, r(100)],
        ["array.push", "list", [r(1000)]],
      ].slice(r(3));
      const request = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ops }) };
      answers.push(fetch(`${server.url}/api/v1/orgs/default/docs/${encodeURIComponent(name)}/ops`, request).then((it) => it.status));
    },
  };
}

/** Each answers { name, doc, next?, synced(), cut(), leave(), come(), close() }. */
function everybody(name, sockets) {
  const all = providers.map((kind) => {
    const it = client(server, name, { Provider: kind.Provider });
    return {
      ...it,
      name: kind.name,
      synced: () => it.provider.synced,
      cut: () => it.provider.ws?.terminate(),
      leave: () => it.provider.disconnect(),
      come: () => it.provider.connect(),
    };
  });
  const next = new Next.Doc();
  const nextWire = new nextProvider.Provider(server.sync, name, next, { disableBc: true, WebSocketPolyfill: WebSocket });
  all.push({
    name: nextProvider.name,
    doc: next,
    isNext: true,
    synced: () => nextWire.synced,
    cut: () => nextWire.ws?.terminate(),
    leave: () => nextWire.disconnect(),
    come: () => nextWire.connect(),
    close: () => nextWire.destroy(),
  });
  const sweetDoc = new Y.Doc();
  const token = { url: server.sync, baseUrl: server.url, docId: name, token: "unused", authorization: "full" };
  const sweet = createYjsProvider(sweetDoc, name, async () => token, { WebSocketPolyfill: WebSocket, showDebuggerLink: false });
  all.push({
    name: "y-sweet",
    doc: sweetDoc,
    synced: () => sweet.status === "connected" && !sweet.hasLocalChanges,
    cut: () => sweet.websocket?.terminate?.(),
    leave: () => sweet.disconnect(),
    come: () => sweet.connect(),
    close: () => sweet.destroy(),
  });
  for (const shared of sockets) {
    const it = collab(shared, name);
    all.push({
      ...it,
      name: shared.library.name,
      synced: () => it.synced() && it.saved(),
      cut: shared.cut,
      leave: () => {}, // the socket is shared: only its end is tried
      come: () => {},
    });
  }
  return all;
}

/** Somebody edits, somebody's line is cut, somebody goes and comes. */
async function play(people, programs, r) {
  for (let round = 0; round < ROUNDS; round++) {
    if (r(4) === 0) programs[r(programs.length)].write(r);
    for (let i = 0; i < 4; i++) {
      const who = people[r(people.length)];
      const edits = who.isNext ? edits14 : edits13;
      who.doc.transact(() => {
        for (let n = r(3); n >= 0; n--) edits[KINDS[r(KINDS.length)]](who.doc, r);
      });
    }
    const who = people[r(people.length)];
    const fate = r(12);
    if (fate === 0) who.cut();
    if (fate === 1) who.leave();
    if (fate >= 9) who.come();
    await new Promise((next) => setTimeout(next, r(20)));
  }
  for (const who of people) who.come();
}

/** What a document says, whoever has it: read by Yjs 13 from the state's bytes. */
function reading(who) {
  const state = who.isNext ? Next.encodeStateAsUpdate(who.doc) : Y.encodeStateAsUpdate(who.doc);
  const doc = new Y.Doc();
  Y.applyUpdate(doc, state);
  return JSON.stringify([
    doc.getText("text").toDelta(),
    doc.getMap("map").toJSON(),
    doc.getArray("list").toJSON(),
    doc.getXmlFragment("page").toString(),
    Buffer.from(Y.encodeStateAsUpdate(doc)).toString("hex"),
  ]);
}
/** Part by part, who has what. */
function differences(people) {
  const readings = people.map((who) => JSON.parse(reading(who)));
  return ["text", "map", "list", "page", "bytes"]
    .map((part, i) => {
      const groups = new Map();
      for (const [n, it] of readings.entries()) {
        const value = JSON.stringify(it[i]);
        groups.set(value, [...(groups.get(value) ?? []), people[n].name]);
      }
      const at = (value) => {
        const [one] = groups.keys();
        let n = 0;
        while (value[n] === one[n] && n < value.length) n += 1;
        return `${n}: ${value.slice(Math.max(0, n - 40), n + 80)}`;
      };
      return groups.size === 1 ? "" : [...groups].map(([value, names]) => `${part} of ${names}: ${at(value)}`).join("\n");
    })
    .filter(Boolean)
    .join("\n");
}
const vector = (who) =>
  Buffer.from(who.isNext ? Next.encodeStateVector(who.doc) : Y.encodeStateVector(who.doc)).toString("hex");

for (let first = FIRST; first < FIRST + SEEDS; first += AT_ONCE) {
  const seeds = Array.from({ length: Math.min(AT_ONCE, FIRST + SEEDS - first) }, (_, i) => first + i);
  await test(`seeds ${seeds[0]} to ${seeds.at(-1)}: everybody edits, is cut off and comes back, and all have one document`, async () => {
    const pairs = [0, 1].map(() => collabProviders.map((library) => collabSocket(server, library)));
    const sockets = pairs.flat();
    const worlds = seeds.map((seed) => {
      const name = `everybody/${seed}`;
      return { seed, people: pairs.flatMap((half) => everybody(name, half)), programs: [program(name), program(name)] };
    });
    const all = worlds.flatMap(({ people }) => people);
    const late = () => all.filter((who) => !who.synced()).map((who) => who.name);
    await until(() => late().length === 0, "all are there", 20_000).catch((error) => {
      throw new Error(`${error.message}; not: ${late()}`);
    });
    await Promise.all(worlds.map(({ seed, people, programs }) => play(people, programs, random(seed))));
    for (const answer of await Promise.all(worlds.flatMap(({ programs }) => programs.flatMap((it) => it.answers))))
      if (answer !== 200) throw new Error(`a program was answered ${answer}`);
    await until(() => late().length === 0, "all are back and saved", 30_000).catch((error) => {
      throw new Error(`${error.message}; not: ${late()}`);
    });
    for (const { seed, people } of worlds) {
      await until(() => new Set(people.map(vector)).size === 1, `seed ${seed}: one state vector`, 15_000).catch((error) => {
        throw new Error(`${error.message}\n${people.map((who) => `${who.name} ${vector(who)}`).join("\n")}`);
      });
      const one = () => new Set(people.map(reading)).size === 1;
      await until(one, `seed ${seed}: one document`, 5_000, 200).catch((error) => {
        throw new Error(`${error.message}\n${differences(people)}`);
      });
      for (const who of people) if (who.refusals?.length) throw new Error(`${who.name} was refused: ${who.refusals}`);
      const stored = readDocument(server.store, `everybody/${seed}`);
      const hole = gap(stored);
      if (hole) throw new Error(`seed ${seed}: ${hole}`);
      const fold = new Y.Doc();
      for (const { bytes } of stored.records) Y.applyUpdate(fold, bytes);
      if (reading({ doc: fold }) !== reading(people[0])) throw new Error(`seed ${seed}: the journal has another document`);
    }
    const sizes = worlds.map(({ people }) => reading(people[0]).length);
    if (sizes.some((n) => n < 2000)) throw new Error(`hardly anything was written: ${sizes}`);
    note(`${all.length} clients and ${2 * worlds.length} programs, ${worlds.length} documents; Hocuspocus sockets: ${sockets.map((it) => `${it.opens} opened`).join(", ")}`);
    for (const who of all) who.close();
    for (const it of sockets) it.close();
  }, { deadline_ms: 120_000 });
}

await test("the server drains and exits 0", () => server.stop());
finish();
