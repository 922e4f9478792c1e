// Failure 11: where sessions live in Redis, nobody can log in or edit without it.
import { client } from "../interop/clients.mjs";
import { busIsThere, ready, redisPid, startNodes } from "../support/node/cluster.mjs";
import { finish, note, test, until } from "../support/node/tap.mjs";

await test("the obvious design: no Redis, no session, no edit", () => {
  const redis = { isUp: true, get: (key) => (redis.isUp ? `session ${key}` : null) };
  const edit = (cookie) => (redis.get(cookie) ? 200 : 401);
  if (edit("ana") !== 200) throw new Error("the stand-in does not work");
  redis.isUp = false;
  if (edit("ana") !== 401) throw new Error("the stand-in does not show it");
});

const nodes = await startNodes(2);
await busIsThere(nodes);

await test("here: Redis is killed; who is there goes on, who comes gets in, words cross the nodes", async () => {
  const [ana, ben] = [client(nodes[0], "still"), client(nodes[1], "still")];
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  process.kill(redisPid(), "SIGKILL");
  ana.text.insert(0, "a");
  await until(async () => (await Promise.all(nodes.map(ready))).every((r) => r.text.includes("bus: degraded")), "it is said", 20_000, 50);
  for (const node of nodes) if ((await ready(node)).status !== 200) throw new Error("a node takes itself out of service");
  const took = [];
  for (let i = 0; i < 4; i++) {
    const began = performance.now();
    const length = ana.text.length;
    (i % 2 ? ana : ben).text.insert(0, "b");
    await until(() => ana.text.length === ben.text.length && ana.text.length > length - (i % 2), "it crosses", 10_000, 5);
    took.push(Math.round(performance.now() - began));
  }
  note(`without Redis from node to node: ${took.join(", ")} ms`);
  const late = client(nodes[1], "still");
  const fresh = client(nodes[0], "new-without-redis");
  await until(() => late.provider.synced && fresh.provider.synced, "newcomers get in");
  fresh.text.insert(0, "new");
  await until(() => late.text.toString() === ana.text.toString(), "and have it all");
  if (ana.closes.length || ben.closes.length) throw new Error("somebody was thrown out");
  for (const person of [ana, ben, late, fresh]) person.close();
});

for (const node of nodes) await node.stop();
finish();
