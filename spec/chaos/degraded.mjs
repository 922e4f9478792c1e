// What a node says and does while Redis or PostgreSQL is gone (reliability 5), and that it recovers by itself.
import { client } from "../interop/clients.mjs";
import { collab, collabSocket } from "../interop/collab.mjs";
import { collabProviders } from "../interop/packages.mjs";
import { busIsThere, metric, ready, redisPid, sleep, startNodes, startPostgres, stopPostgres, Wire } from "../support/node/cluster.mjs";
import { finish, note, test, until } from "../support/node/tap.mjs";

const nodes = await startNodes(2);
await busIsThere(nodes);
const all = async (question) => (await Promise.all(nodes.map(ready))).every(question);

await test("Redis stands still: 200, `bus: degraded`, nothing else; and back; clients are told both", async () => {
  const shared = collabSocket(nodes[0], collabProviders.at(-1));
  const early = collab(shared, "told");
  let late = null;
  const says = (it, degraded) => it.stateless.at(-1) === JSON.stringify({ kind: "bus", degraded });
  await until(() => early.synced(), "somebody is there");
  if (early.stateless.some((text) => text.includes("true"))) throw new Error("it is said too early");
  process.kill(redisPid(), "SIGSTOP");
  try {
    await until(() => all(({ status, text }) => status === 200 && text === "ready\nbus: degraded\n"), "it is said", 15_000, 50);
    await until(() => says(early, true), "who is there is told");
    late = collab(shared, "told too");
    await until(() => late.synced() && says(late, true), "who comes is told");
    if (!(await metric(nodes[0], "bus_unhealthy"))) throw new Error("the metric does not say so");
  } finally {
    process.kill(redisPid(), "SIGCONT");
  }
  await busIsThere(nodes);
  await until(() => says(early, false) && says(late, false), "it is over");
  for (const it of [early, late, shared]) it.close();
  if (await metric(nodes[0], "bus_unhealthy")) throw new Error("the metric stays");
});

await test("PostgreSQL is gone: edits are held and not acknowledged, presence goes on, 503 after 10 s; all is written when it is back", async () => {
  let echoes = 0;
  const ana = client(nodes[0], "held", { tap: { got: (_, frame) => (echoes += frame.type === 0 && frame.subtype === 2) } });
  const ben = client(nodes[1], "held");
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  ana.text.insert(0, "before ");
  await until(() => ben.text.toString() === "before " && echoes === 1, "a line that works", 15_000);
  stopPostgres();
  try {
    ana.text.insert(7, "meanwhile");
    ana.awareness.setLocalStateField("user", { name: "Ana" });
    await until(() => ben.awareness.getStates().get(ana.doc.clientID)?.user?.name === "Ana", "presence crosses", 15_000);
    if ((await ready(nodes[1])).status !== 200) throw new Error("a node that holds nothing is out of service");
    await until(async () => (await ready(nodes[0])).status === 503, "the node that holds edits says so", 20_000, 50);
    if ((await ready(nodes[0])).text !== "not ready\n") throw new Error("it says more than it should");
    if (echoes !== 1) throw new Error("what is not written was acknowledged");
    if (ben.text.toString() !== "before ") throw new Error("what is not written was told");
    if (ana.closes.length || ben.closes.length) throw new Error("somebody was thrown out");
  } finally {
    startPostgres();
  }
  await until(() => ben.text.toString() === "before meanwhile" && echoes === 2, "written, told, acknowledged", 20_000);
  await until(() => all(({ status }) => status === 200), "in service again", 15_000, 50);
  ana.close();
  ben.close();
}, { deadline_ms: 120_000 });

await test("one loop of a node cannot speak any more, the other one can: its words are on another node within 5 s all the same", async () => {
  const wire = await new Wire().start();
  const two = await startNodes(2, { database: "muted", bus: [wire.bus, wire.bus], config: "loops = 2" });
  await busIsThere(two);
  const pairs = Array.from({ length: 8 }, (_, i) => two.map((node) => client(node, `muted-${i}`))); // on both loops
  await until(() => pairs.flat().every((it) => it.provider.synced), "all are there", 20_000);
  wire.muteOne();
  await sleep(3000);
  const took = [];
  for (let round = 1; round <= 3; round++) {
    const began = Date.now();
    for (const [i, pair] of pairs.entries()) pair[(i + round) % 2].text.insert(0, "x");
    await until(() => pairs.flat().every((it) => it.text.length === round), "all have it", 30_000, 10);
    took.push(Date.now() - began);
  }
  note(`${took.join(", ")} ms`);
  if (Math.max(...took) > 5000) throw new Error("it was waited for the look that comes every 10 s");
  for (const it of pairs.flat()) it.close();
  for (const node of two) await node.stop();
  wire.stop();
}, { deadline_ms: 120_000 });

for (const node of nodes) await node.stop();
finish();
