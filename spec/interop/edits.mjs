// Edits seen exactly, refused and rewritten: random histories of stock yjs clients, with a server between them that is our
// engine. Every update is looked at edit by edit before it goes in; chance decides what becomes of each. In the end all
// replicas are the same, and what was refused is in no record.
//
//   node spec/interop/edits.mjs [FIRST_SEED [HISTORIES]]
import { Engine } from "./oracle/engine.mjs";
import { choose, perform, rootOf } from "./oracle/operations.mjs";
import { Y } from "./packages.mjs";
import { Random } from "./oracle/random.mjs";
import { finish, note, test } from "../support/node/tap.mjs";

const CLI = process.env.MOONLOOM_ENGINE_CLI ?? "build/dev/spec/interop/engine_cli";
const HISTORIES = Number(process.env.MOONLOOM_EDIT_HISTORIES ?? 300);
const ROOTS = [
  { name: "text", type: "text" },
  { name: "map", type: "map" },
  { name: "list~/", type: "array" },
  { name: "xml", type: "xmlfragment" },
];
const STYLE = { formats: true, primitive: true, nested: true, onePlace: false, splitsPairs: false };
const SERVER = 0;
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytesOf = (text) => new Uint8Array(Buffer.from(text, "hex"));
const escaped = (step) => String(step).replaceAll("~", "~0").replaceAll("/", "~1");

async function one(engine, command) {
  const [line] = await engine.ask([command]);
  const answer = Engine.parse(line);
  if (!answer.ok) throw new Error(`${command.cmd}: ${answer.error} ${answer.text}`);
  return answer;
}

/** What a reader sees, without order of keys. */
function seen(doc) {
  const sorted = (v) =>
    v === null || typeof v !== "object" || v instanceof Uint8Array
      ? v
      : v instanceof Y.Doc
        ? `doc ${v.guid}`
        : v instanceof Y.AbstractType
          ? sorted(v instanceof Y.Map || v instanceof Y.Array ? v.toJSON() : v.toString())
      : Array.isArray(v)
        ? v.map(sorted)
        : Object.fromEntries(
            Object.keys(v)
              .sort()
              .map((k) => [k, sorted(v[k])]),
          );
  return JSON.stringify(
    ROOTS.map((root) => {
      const type = rootOf(doc, root);
      if (root.type === "xmlfragment") return type.toString();
      return sorted(root.type === "text" ? type.toDelta() : type.toJSON());
    }),
    (_, v) => (typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array ? hex(v) : v),
  );
}

function client(id) {
  const doc = new Y.Doc();
  doc.clientID = id;
  for (const root of ROOTS) rootOf(doc, root);
  const updates = [];
  doc.on("update", (update, origin) => {
    if (origin !== "server") updates.push(update);
  });
  return { doc, updates, read: 0 };
}

/** Are these the edits of one operation on a replica that knew everything? */
function checkExact(operation, edits) {
  const wrong = (why) => {
    throw new Error(`${why}\n${JSON.stringify(operation)}\n${JSON.stringify(edits, null, 1)}`);
  };
  const path = operation.path.map(escaped).join("/");
  const within = (e) => e.path === path || e.path.startsWith(`${path}/`);
  const here = edits.filter((e) => e.path === path);
  if (!edits.every(within)) wrong("an edit elsewhere");
  switch (operation.op) {
    case "text.insert": {
      const inserts = here.filter((e) => e.kind === "text.insert");
      if (inserts.map((e) => e.text).join("") !== operation.text) wrong("other text");
      if (inserts[0].index !== operation.index) wrong("another place");
      break;
    }
    case "text.delete": {
      const units = here.filter((e) => e.kind === "text.delete").reduce((n, e) => n + e.len, 0);
      if (units !== operation.length) wrong("deletes something else");
      break;
    }
    case "map.set":
    case "attr.set":
      if (here.length !== 1 || here[0].key !== operation.key || here[0].removes) wrong("not one write");
      if (!["map.set", "xml.attr", "subdoc"].includes(here[0].kind)) wrong("another kind");
      break;
    case "map.delete":
    case "attr.remove":
      if (here.some((e) => e.key !== operation.key || !e.removes)) wrong("not one removal");
      break;
    case "array.delete":
    case "xml.delete": {
      const kind = operation.op;
      if (here.some((e) => e.kind !== kind && e.kind !== "text.delete")) wrong("another kind");
      if (here.reduce((n, e) => n + e.len, 0) !== operation.length) wrong("deletes something else");
      const from = Math.min(...here.map((e) => e.index));
      if (from !== operation.index) wrong("another place");
      break;
    }
    case "array.insert":
      if (here[0].index !== operation.index) wrong("another place");
      break;
    case "xml.insert":
      if (here[0].index !== operation.index || here.some((e) => e.kind !== "xml.insert")) wrong("another place");
      break;
    default:
  }
}

function decide(random, edits, secrets) {
  const fates = [];
  edits.forEach((e, n) => {
    const roll = random.below(10);
    if (roll < 3) fates.push({ n, fate: "undo" });
    else if (roll === 3 && !e.removes) fates.push({ n, fate: "remove" });
    else if (roll === 4 && typeof e.text === "string")
      fates.push({ n, fate: "replace", text: random.pick(["", "*", `${e.text.slice(0, 2)}**`.toWellFormed(), "new 😀"]) });
    else return;
    if (fates.at(-1).fate !== "replace" && e.text && Buffer.byteLength(e.text) >= 12) secrets.push(e.text);
  });
  return fates;
}

/** One history; answers counts. */
async function history(engine, seed, counts) {
  const random = new Random(seed);
  const clients = Array.from({ length: random.between(1, 4) }, (_, i) => client(seed * 100 + i + 1));
  // Who only reads. Yjs itself deletes formats that a change has made useless, so a reader writes, too.
  const reader = client(seed * 100 + 98);
  const server = reader.doc;
  const records = [];
  const secrets = [];
  const inDisorder = random.chance(0.4);
  await one(engine, { cmd: "new", doc: SERVER, client: seed * 100 + 99, roots: ROOTS, gc: true });
  const publish = (record) => {
    if (record === "") return;
    records.push(record);
    Y.applyUpdate(server, bytesOf(record), "server");
  };
  // An empty root has no type for us: it is shown as a list or as a map.
  const shown = async () => JSON.stringify(await one(engine, { cmd: "view", doc: SERVER })).replaceAll('"json":[]', '"json":{}');
  const submit = async (update, operation) => {
    const { edits, waits } = await one(engine, { cmd: "edits", doc: SERVER, hex: hex(update) });
    counts.edits += edits.length;
    if (operation && !waits) checkExact(operation, edits);
    const before = await shown();
    const all = random.chance(0.15);
    const fates = all ? edits.map((_, n) => ({ n, fate: "undo" })) : random.chance(0.5) ? decide(random, edits, secrets) : [];
    counts.fates += fates.length;
    const { record } = await one(engine, { cmd: "judge", doc: SERVER, hex: hex(update), fates });
    publish(record);
    if (all && (await shown()) !== before)
      throw new Error(`all edits undone, but it is seen:\n${before}\n${await shown()}\n${JSON.stringify(edits, null, 1)}`);
  };
  const accept = async (update) => publish((await one(engine, { cmd: "judge", doc: SERVER, hex: hex(update) })).record);
  for (let step = random.between(10, 40); step > 0; step--) {
    const c = random.pick(clients);
    const roll = random.below(10);
    if (roll < 6) {
      const knowsAll = c.updates.length === 0 && c.read === records.length;
      let operation;
      try {
        operation = choose(random, c.doc, ROOTS, STYLE);
        if (operation.op === "text.insert" && random.chance(0.3)) {
          operation.text = `secret number ${counts.edits}-${step}-${seed}`;
        }
        perform(c.doc, ROOTS, operation, true);
      } catch (error) {
        if (["no such place", "inside a pair", "no type there"].includes(error.message)) continue;
        throw error;
      }
      if (knowsAll && c.updates.length === 1 && random.chance(0.5)) {
        await submit(c.updates.shift(), operation);
        counts.exact += 1;
      }
    } else if (roll < 8 && c.updates.length) {
      if (inDisorder && c.updates.length > 1 && random.chance(0.3)) {
        const [late] = c.updates.splice(0, 1);
        c.updates.splice(random.between(1, c.updates.length), 0, late);
      }
      if (random.chance(0.3) && !inDisorder) {
        await submit(Y.mergeUpdates(c.updates.splice(0)));
      } else await submit(c.updates.shift());
    } else {
      for (let n = random.between(1, 5); n > 0 && c.read < records.length; n--)
        Y.applyUpdate(c.doc, bytesOf(records[c.read++]), "server");
    }
  }
  const everybody = [reader, ...clients];
  for (const c of everybody) while (c.updates.length) await submit(c.updates.shift());
  for (let rounds = 0; everybody.some((c) => c.updates.length || (c !== reader && c.read < records.length)); rounds++) {
    if (rounds > 20) throw new Error("it never ends");
    for (const c of clients) while (c.read < records.length) Y.applyUpdate(c.doc, bytesOf(records[c.read++]), "server");
    for (const c of everybody) while (c.updates.length) await accept(c.updates.shift());
  }
  const { hex: state } = await one(engine, { cmd: "state", doc: SERVER, v: 1 });
  const ours = new Y.Doc();
  for (const root of ROOTS) rootOf(ours, root);
  Y.applyUpdate(ours, bytesOf(state));
  const want = seen(ours);
  const vector = hex(Y.encodeStateVector(ours));
  const deletes = (ds) =>
    JSON.stringify(
      [...ds.clients]
        .sort(([a], [b]) => a - b)
        .map(([id, ranges]) => [id, ranges.map(({ clock, len }) => [clock, len])]),
    );
  const gone = deletes(Y.decodeUpdate(bytesOf(state)).ds);
  for (const [n, { doc }] of everybody.entries()) {
    if (doc.store.pendingStructs || doc.store.pendingDs) throw new Error(`replica ${n} waits for something`);
    if (seen(doc) !== want) throw new Error(`replica ${n} shows something else:\n${want}\n${seen(doc)}`);
    const sameVector = new Map(Y.decodeStateVector(Y.encodeStateVector(doc)));
    for (const [id, clock] of Y.decodeStateVector(bytesOf(vector)))
      if (sameVector.get(id) !== clock) throw new Error(`replica ${n} has another state`);
    if (deletes(Y.snapshot(doc).ds) !== gone) throw new Error(`replica ${n} deletes something else:\n${gone}`);
  }
  const everything = Buffer.concat(records.map((record) => Buffer.from(record, "hex"))).toString("latin1") + state;
  for (const secret of secrets) {
    const needle = Buffer.from(secret).toString("latin1");
    if (secret.startsWith("secret") && everything.includes(needle)) throw new Error(`recorded: ${secret}`);
  }
  counts.secrets += secrets.length;
  counts.records += records.length;
}

const [first, histories] = process.argv.slice(2).map(Number);

await test(
  `${histories || HISTORIES} random histories with refusals end the same everywhere`,
  async () => {
    const engine = new Engine(CLI);
    const counts = { edits: 0, fates: 0, exact: 0, secrets: 0, records: 0 };
    const from = first || 1;
    for (let seed = from; seed < from + (histories || (first ? 1 : HISTORIES)); seed++) {
      try {
        await history(engine, seed, counts);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error.stack}`);
      }
    }
    await engine.end();
    note(JSON.stringify(counts));
    if (!counts.exact || !counts.fates || !counts.secrets) throw new Error("nothing was looked at");
  },
  { deadline_ms: 600_000 },
);

finish();
