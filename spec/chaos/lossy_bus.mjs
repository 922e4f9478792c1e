// A bus that loses, doubles and reorders one message in ten each: in the end every copy is whole, and equal to what the
// journal gives a newcomer. The random numbers are of a printed seed; MOONLOOM_SEED repeats it, MOONLOOM_RUNS makes more.
import { connect, createServer } from "node:net";
import { client } from "../interop/clients.mjs";
import { busIsThere, metric, redisPort, sleep, startNodes } from "../support/node/cluster.mjs";
import { fastBinary, freePort, LONG } from "../support/node/server.mjs";
import { finish, note, test, until, untilStill } from "../support/node/tap.mjs";

const RUNS = Number(process.env.MOONLOOM_RUNS ?? (LONG ? 50 : 2));
const CLIENTS = Number(process.env.MOONLOOM_CLIENTS ?? (LONG ? 120 : 9));
const DOCUMENTS = Number(process.env.MOONLOOM_DOCUMENTS ?? (LONG ? 20 : 2));
const WORDS = 50 * DOCUMENTS;
let seed = Number(process.env.MOONLOOM_SEED ?? Date.now() % 1_000_000);
note(`seed ${seed}`);
function random() {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed / 2147483648;
}

/** The length of the reply at the start of `bytes`; 0: not whole yet. Arrays of bulk strings and numbers, and lines. */
function replyLength(bytes) {
  const end = bytes.indexOf("\r\n");
  if (end < 0) return 0;
  const kind = String.fromCharCode(bytes[0]);
  const number = Number(bytes.subarray(1, end).toString());
  if (kind === "$") return number < 0 ? end + 2 : bytes.length >= end + 4 + number ? end + 4 + number : 0;
  if (kind !== "*") return end + 2;
  let at = end + 2;
  for (let i = 0; i < number; i++) {
    const length = at < bytes.length ? replyLength(bytes.subarray(at)) : 0;
    if (!length) return 0;
    at += length;
  }
  return at;
}

/** Is it a message, and its frame (src/bus/frame.h) news of records? */
function isOfRecords(reply) {
  const topic = reply.indexOf("\r\nmessage\r\n$35\r\n");
  const frame = topic < 0 ? 0 : reply.indexOf("\r\n", topic + 55) + 2;
  return frame > 0 && reply[frame + 17] === 1;
}

let hasDice = false;
let losing = 0; // so many of the next news of records, whatever the dice say
const counts = { passed: 0, lost: 0, doubled: 0, late: 0 };
const port = await freePort();
const proxy = createServer((node) => {
  const redis = connect(redisPort, "127.0.0.1");
  for (const [a, b] of [[node, redis], [redis, node]]) a.on("error", () => b.destroy()).on("close", () => b.destroy());
  node.pipe(redis);
  let bytes = Buffer.alloc(0);
  let kept = null; // a message that comes after the next one
  redis.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let length = replyLength(bytes); length; length = bytes.length ? replyLength(bytes) : 0) {
      const reply = bytes.subarray(0, length);
      bytes = bytes.subarray(length);
      if (losing && isOfRecords(reply)) {
        losing -= 1;
        continue;
      }
      const dice = hasDice && reply.includes("\r\nmessage\r\n") ? random() : 1;
      if (dice < 0.1) {
        counts.lost += 1;
        continue;
      }
      if (dice < 0.2 && !kept) {
        counts.late += 1;
        kept = reply;
        continue;
      }
      counts.passed += 1;
      node.write(reply);
      if (dice < 0.3) {
        counts.doubled += 1;
        node.write(reply);
      }
      if (kept) node.write(kept);
      kept = null;
    }
  });
});
await new Promise((resolve) => proxy.listen(port, "127.0.0.1", resolve));
const nodes = await startNodes(3, { bus: `redis://127.0.0.1:${port}`, ...(LONG ? { bin: fastBinary() } : {}) });
await busIsThere(nodes);

await test("the very last news of a burst are lost, for everybody: all have the word within 5 s", async () => {
  const people = nodes.map((node) => client(node, "last"));
  const [ana, ...others] = people;
  const have = (count) => until(() => others.every((p) => p.doc.getArray("words").length === count), "the others have it", 20_000, 5);
  const took = [];
  await until(() => people.every((p) => p.provider.synced), "all are there", 20_000);
  for (let round = 1; round <= 6; round++) {
    for (let i = 0; i < 3; i++) ana.doc.getArray("words").push([`${round}.${i}`]);
    await have(4 * round - 1);
    await sleep(2500); // until the burst is over
    losing = others.length;
    const began = Date.now();
    ana.doc.getArray("words").push(["the last"]);
    await have(4 * round);
    took.push(Date.now() - began);
    if (losing) throw new Error("nothing was lost: this test shows nothing");
  }
  note(`after ${took.sort((a, b) => a - b).join(", ")} ms`);
  if (took.at(-1) > 5000) throw new Error(`${took.at(-1)} ms`);
  for (const p of people) p.close();
});

hasDice = true;
await test(`${RUNS} runs: nothing is lost, doubled or put in another order`, async () => {
  const took = [];
  for (let run = 0; run < RUNS; run++) {
    const people = Array.from({ length: CLIENTS }, (_, i) => ({ ...client(nodes[i % 3], `lossy-${run}-${i % DOCUMENTS}`), document: i % DOCUMENTS }));
    const there = () => people.filter((p) => p.provider.synced).length;
    await untilStill(() => there() === CLIENTS, "all are there", there);
    const typed = Array.from({ length: DOCUMENTS }, () => new Set());
    for (let i = 0; i < WORDS; i++) {
      const person = people[Math.floor(random() * people.length)];
      const words = person.doc.getArray("words");
      typed[person.document].add(`w${i}`);
      words.insert(Math.floor(random() * (words.length + 1)), [`w${i}`]);
      await sleep(40 / DOCUMENTS);
    }
    const began = Date.now();
    const text = (p) => p.doc.getArray("words").toArray().join();
    const isGood = (p) => p.doc.getArray("words").length === typed[p.document].size && text(p) === text(people[p.document]);
    await untilStill(() => people.every(isGood), "all have every word, once, alike",
      () => `${people.filter(isGood).length} of ${people.length}, ${people.reduce((sum, p) => sum + p.doc.getArray("words").length, 0)} words`);
    took.push(Date.now() - began);
    const late = client(nodes[run % 3], `lossy-${run}-0`);
    await untilStill(() => late.provider.synced && text(late) === text(people[0]), "and the journal", () => late.doc.getArray("words").length);
    for (const p of [...people, late]) p.close();
  }
  took.sort((a, b) => a - b);
  note(`equal after ${took[took.length >> 1]} ms (median), ${took.at(-1)} ms at most, ${took.filter((ms) => ms > 5000).length} times later than 5 s; messages ${JSON.stringify(counts)}`);
  const holes = await Promise.all(nodes.map((node) => metric(node, "holes_read_total")));
  note(`holes read from the journal: ${holes}`);
  if (!counts.lost || !counts.doubled || !counts.late) throw new Error("the proxy did nothing: this test shows nothing");
}, { deadline_ms: RUNS * 300_000 });

for (const node of nodes) await node.stop();
proxy.close();
finish();
