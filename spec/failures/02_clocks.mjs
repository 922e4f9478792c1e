// Failure 2: where the client's clock decides who wins, the one whose clock is ahead always does.
import { client } from "../interop/clients.mjs";
import { Balancer, busIsThere, startNodes } from "../support/node/cluster.mjs";
import { finish, test, until } from "../support/node/tap.mjs";

const HOURS = 3_600_000;
const realNow = Date.now;

await test("the obvious design: a clock two hours ahead wins over everything that is written later", () => {
  let kept = { at: 0, value: null };
  const save = (value, at) => {
    if (at > kept.at) kept = { at, value };
  };
  save("Ana, first", realNow() + 2 * HOURS);
  save("Ben, who has read Ana's and corrects it", realNow());
  if (kept.value !== "Ana, first") throw new Error("the stand-in does not show it");
});

const nodes = await startNodes(2);
const balancer = await new Balancer(() => nodes.map((node) => node.port)).start();
await busIsThere(nodes);

await test("here: what was written later wins, whatever the clocks of the writers say", async () => {
  const [ana, ben] = [client(balancer, "clocks"), client(balancer, "clocks")];
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  for (const [skew, round] of [[2 * HOURS, 1], [-2 * HOURS, 2]]) {
    Date.now = () => realNow() + skew; // while Ana writes
    ana.doc.getMap("m").set("title", `Ana ${round}`);
    Date.now = realNow;
    await until(() => ben.doc.getMap("m").get("title") === `Ana ${round}`, "Ben reads Ana's");
    Date.now = () => realNow() - skew;
    ben.doc.getMap("m").set("title", `Ben ${round}`);
    Date.now = realNow;
    await until(() => ana.doc.getMap("m").get("title") === `Ben ${round}`, "Ben's is what counts");
  }
  ana.close();
  ben.close();
});

await test("here: the times of history are the server's", async () => {
  const before = realNow() - 60_000;
  const { items } = await (await fetch(`${nodes[0].url}/api/v1/orgs/default/docs/clocks/history`)).json();
  if (!items.length) throw new Error("no history");
  for (const { at_ms } of items)
    if (!(at_ms > before && at_ms < realNow() + 60_000)) throw new Error(`${at_ms} is not now`);
});

balancer.stop();
for (const node of nodes) await node.stop();
finish();
