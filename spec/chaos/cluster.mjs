// Three nodes over one PostgreSQL and one Redis, behind a proxy that gives every connection to the next of them. Stock
// clients type into shared documents while nodes are killed and frozen, the database restarts and the bus goes; in the
// end every word that anybody typed is in every copy once, and in what a newcomer is sent.
// Run by spec/support/with-postgres and with-redis. MOONLOOM_LONG: more of everything. For a long run of one's own:
// MOONLOOM_RUNS, MOONLOOM_CLIENTS, MOONLOOM_DOCUMENTS, MOONLOOM_FAULT (a pattern: only faults whose name it fits).
import { client } from "../interop/clients.mjs";
import { Y } from "../interop/packages.mjs";
import { fastBinary, LONG } from "../support/node/server.mjs";
import { Balancer, busIsThere, redis, redisPid, redisPort, restartPostgres, sleep, sql, startNodes, startRedis, Wire } from "../support/node/cluster.mjs";
import { finish, note, test, until, untilStill } from "../support/node/tap.mjs";

const NODES = 3;
const DOCUMENTS = Number(process.env.MOONLOOM_DOCUMENTS ?? (LONG ? 20 : 4));
const CLIENTS = Number(process.env.MOONLOOM_CLIENTS ?? (LONG ? 120 : 12));
const RUNS = Number(process.env.MOONLOOM_RUNS ?? (LONG ? 50 : 1));
const ONLY = new RegExp(process.env.MOONLOOM_FAULT ?? "");
const TYPE_MS = LONG ? 40 : 60;

const wires = await Promise.all(Array.from({ length: NODES }, () => new Wire().start()));
const nodes = await startNodes(NODES, { bus: wires.map((wire) => wire.bus), ...(LONG ? { bin: fastBinary() } : {}) });
const balancer = await new Balancer(() => nodes.map((node) => node.port)).start();
const list = (doc) => doc.getArray("words");

/** Everybody types a word of their own now and then; answers what stops it and says what was typed. */
function crowd(run) {
  const people = [];
  const typed = Array.from({ length: DOCUMENTS }, () => new Set());
  for (let i = 0; i < CLIENTS; i++) {
    const document = i % DOCUMENTS;
    const it = client(balancer, `run${run}-doc${document}`, { maxBackoffTime: 800 });
    people.push({ ...it, document });
  }
  let count = 0;
  const typing = setInterval(() => {
    const person = people[Math.floor(Math.random() * people.length)];
    const word = `w${count++}`;
    const words = list(person.doc);
    typed[person.document].add(word);
    words.insert(Math.floor(Math.random() * (words.length + 1)), [word]);
    person.doc.getMap("who").set(`k${count % 7}`, word);
  }, TYPE_MS);
  return {
    people,
    typed,
    stop: () => clearInterval(typing),
    close: () => people.forEach((person) => person.close()),
  };
}

/** The map, whatever the order in which its keys came. */
const who = (doc) => JSON.stringify(Object.entries(doc.getMap("who").toJSON()).sort());

/** Everybody has every word, once, and everything else alike. Milliseconds that it took. */
async function settle({ people, typed }) {
  const began = Date.now();
  const isComplete = (person) => {
    const words = list(person.doc).toArray();
    return words.length === typed[person.document].size && new Set(words).size === words.length;
  };
  const isEqual = (person, first) =>
    who(person.doc) === who(first.doc) &&
    JSON.stringify(list(person.doc).toArray()) === JSON.stringify(list(first.doc).toArray());
  const isGood = (p) => p.provider.synced && isComplete(p) && isEqual(p, people[p.document]);
  try {
    await untilStill(() => people.every(isGood), "all have every word", () => `${people.filter(isGood).length} of ${people.length}, ` +
      `${people.reduce((sum, p) => sum + list(p.doc).length, 0)} words, ${people.reduce((sum, p) => sum + p.opens, 0)} connections`);
  } catch (error) {
    for (const p of people) {
      const words = list(p.doc).toArray();
      const first = people[p.document];
      if (!isEqual(p, first)) note(`doc ${p.document}: ${who(p.doc)} is not ${who(first.doc)}, or the order of the words`);
      if (!isComplete(p)) note(`doc ${p.document}: ${words.length} of ${typed[p.document].size} words, synced ${p.provider.synced}`);
    }
    throw error;
  }
  const took = Date.now() - began;
  for (let d = 0; d < DOCUMENTS; d++) {
    const newcomer = client(balancer, people[d].provider.roomname, { maxBackoffTime: 800 });
    await untilStill(() => newcomer.provider.synced && list(newcomer.doc).length === typed[d].size, "a newcomer has it all",
      () => `${list(newcomer.doc).length} words, ${newcomer.opens} connections`);
    if (!Buffer.from(Y.encodeStateVector(newcomer.doc)).equals(Buffer.from(Y.encodeStateVector(people[d].doc))))
      throw new Error(`document ${d}: a newcomer is sent something else`);
    newcomer.close();
  }
  return took;
}

const any = (things) => things[Math.floor(Math.random() * things.length)];
const terminate = (which) =>
  sql("cluster", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'moonloom' AND ${which}`).length;

/** Kill connections that are in the middle of a COMMIT, which `slow` makes long enough to be met; `phase` is where it waits. */
async function killInCommit(slow, fast, phase) {
  let killed = 0;
  slow();
  try {
    await untilStill(() => {
      killed += terminate(`wait_event = '${phase}'`);
      return killed >= 3;
    }, "connections are killed inside COMMIT", () => killed, 20_000, 30);
  } finally {
    fast();
  }
}

const faults = {
  "nothing happens": async () => sleep(1000),
  "a node is killed and comes back": async () => {
    const node = any(nodes);
    await node.kill();
    await sleep(700);
    await node.start();
  },
  "a node stands still and goes on": async () => {
    const node = any(nodes);
    process.kill(node.pid, "SIGSTOP");
    await sleep(LONG ? 30_000 : 4000);
    process.kill(node.pid, "SIGCONT");
  },
  "the database restarts": async () => {
    restartPostgres("immediate");
    await sleep(300);
  },
  "connections to the database are cut during commits": async () => {
    for (let i = 0; i < 8; i++) {
      sql("cluster", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'moonloom' AND state <> 'idle'");
      await sleep(120);
    }
  },
  "connections to the database are killed inside COMMIT, before it counts": () =>
    killInCommit(
      () => sql("cluster", `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON records DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`),
      () => sql("cluster", "DROP TRIGGER wait ON records; DROP FUNCTION wait"),
      "PgSleep",
    ),
  "connections to the database are killed inside COMMIT, after it counts": () => {
    const synchronous = (value) => {
      sql("cluster", `ALTER SYSTEM SET synchronous_standby_names = '${value}'`);
      sql("cluster", "SELECT pg_reload_conf()");
    };
    return killInCommit(() => synchronous("nobody"), () => synchronous(""), "SyncRep");
  },
  "the bus is killed and comes back": async () => {
    process.kill(redisPid(), "SIGKILL");
    await sleep(1500);
    await startRedis();
  },
  "the bus forgets everybody and stands still": async () => {
    redis("CLIENT", "KILL", "TYPE", "pubsub");
    redis("FLUSHALL");
    process.kill(redisPid(), "SIGSTOP");
    await sleep(5000);
    process.kill(redisPid(), "SIGCONT");
  },
  "a node is cut off the bus": async () => {
    const wire = any(wires);
    wire.cut();
    await sleep(5000);
    wire.heal();
  },
  "what a node tells and hears on the bus gets lost": async () => {
    const wire = any(wires);
    wire.isHole = true;
    await sleep(6000);
    wire.heal();
  },
};

for (const [number, [name, fault]] of Object.entries(faults).entries()) {
  if (!ONLY.test(name)) continue;
  await test(`${name}: no word is lost or doubled`, async () => {
    const took = [];
    for (let run = 0; run < RUNS; run++) {
      const people = crowd(`${number}-${run}`);
      const there = () => people.people.filter((p) => p.provider.synced).length;
      await untilStill(() => there() === CLIENTS, "all are there", there);
      await sleep(600);
      await fault();
      await sleep(400);
      people.stop();
      took.push(await settle(people));
      people.close();
      if (LONG && run % 5 === 4) note(`${run + 1} runs, the last one equal after ${took.at(-1)} ms`);
    }
    took.sort((a, b) => a - b);
    note(`all equal after ${took[took.length >> 1]} ms (median of ${took.length}), ${took.at(-1)} ms at most, ` +
      `${took.filter((ms) => ms > 5000).length} times later than 5 s`);
  }, { deadline_ms: RUNS * 600_000 });
}
if (process.env.MOONLOOM_FAULT) finish();

await test("without a bus words cross the nodes within 1.5 s", async () => {
  process.kill(redisPid(), "SIGSTOP");
  try {
    await sleep(4500); // until it is noticed
    const one = client(nodes[0], "no-bus");
    const two = client(nodes[1], "no-bus");
    await until(() => one.provider.synced && two.provider.synced, "both are there");
    const took = [];
    for (let i = 0; i < 5; i++) {
      const began = Date.now();
      one.text.insert(0, "x");
      await until(() => two.text.length === i + 1, "the other one sees it", 5000, 5);
      took.push(Date.now() - began);
    }
    took.sort((a, b) => a - b);
    note(`${took.join(", ")} ms`);
    if (took[2] > 1500) throw new Error(`${took[2]} ms in the middle`);
    one.close();
    two.close();
  } finally {
    process.kill(redisPid(), "SIGCONT");
  }
});

await test("a cursor is seen on the other node, and goes when its node is killed", async () => {
  await busIsThere(nodes);
  const one = client(nodes[0], "cursors");
  const two = client(nodes[1], "cursors");
  await until(() => one.provider.synced && two.provider.synced, "both are there");
  one.awareness.setLocalStateField("user", { name: "Ana" });
  await until(() => two.awareness.getStates().get(one.doc.clientID)?.user?.name === "Ana", "the cursor crosses", 20_000);
  one.provider.shouldConnect = false;
  await nodes[0].kill();
  await until(() => !two.awareness.getStates().has(one.doc.clientID), "the cursor goes", 8000);
  one.close();
  two.close();
  await nodes[0].start();
});

await test("what is deleted through one node is closed on the others", async () => {
  const one = client(nodes[0], "gone");
  const two = client(nodes[1], "gone");
  await until(() => one.provider.synced && two.provider.synced, "both are there");
  one.text.insert(0, "here");
  await until(() => two.text.toString() === "here", "it crosses");
  const answer = await fetch(`${nodes[2].url}/api/v1/orgs/default/docs/gone`, { method: "DELETE" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  await until(() => one.closes.length > 0 && two.closes.length > 0, "both are told", 15_000);
  one.close();
  two.close();
});

balancer.stop();
for (const wire of wires) wire.stop();
for (const node of nodes) await node.stop();
finish();
