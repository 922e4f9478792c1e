// Failure 8: without publish and subscribe per document, servers tell each other everything, or nothing.
import { client } from "../interop/clients.mjs";
import { busIsThere, metric, redis, startNodes } from "../support/node/cluster.mjs";
import { finish, test, until } from "../support/node/tap.mjs";

await test("the obvious design: every server hears of every edit, also of those nobody there looks at", () => {
  const servers = Array.from({ length: 10 }, () => ({ heard: 0 }));
  const DOCUMENTS = 100;
  for (let document = 0; document < DOCUMENTS; document++)
    for (const [i, server] of servers.entries()) if (i !== document % servers.length) server.heard += 1;
  if (servers.reduce((sum, s) => sum + s.heard, 0) !== DOCUMENTS * 9) throw new Error("the stand-in does not show it");
});

const nodes = await startNodes(3);
await busIsThere(nodes);
// The channels of documents: without the one that all follow for the pulse.
const channels = () => redis("PUBSUB", "CHANNELS", "ml:*").filter(Boolean);
const followers = (channel) => Number(redis("PUBSUB", "NUMSUB", channel)[1]);
const pulses = new Set(channels());

await test("here: a channel for each document, followed by the nodes that have it open, and left with it", async () => {
  const people = [client(nodes[0], "ours"), client(nodes[1], "ours"), client(nodes[2], "theirs")];
  await until(() => people.every((p) => p.provider.synced), "all are there");
  const [ana, ben, eva] = people;
  await until(() => channels().filter((c) => !pulses.has(c)).length === 2, "two channels");
  const counts = channels().filter((c) => !pulses.has(c)).map(followers).sort();
  if (counts.join() !== "1,2") throw new Error(`followers: ${counts}`);

  ana.text.insert(0, "-");
  await until(() => ben.text.length === 1, "it crosses", 15_000);
  const before = await metric(nodes[2], "records_of_others_total");
  const heard = await metric(nodes[2], "bus_heard_total");
  for (let i = 0; i < 30; i++) ana.text.insert(0, "x");
  await until(() => ben.text.length === 31, "those who follow hear it", 15_000);
  if ((await metric(nodes[2], "records_of_others_total")) !== before) throw new Error("a node took what it does not follow");
  const meanwhile = (await metric(nodes[2], "bus_heard_total")) - heard; // the pulses of the others
  if (meanwhile >= 30) throw new Error(`it heard ${meanwhile} news`);
  if (eva.text.length) throw new Error("another document changed");
  people.forEach((p) => p.close());
});

for (const node of nodes) await node.stop();
finish();
