// Failure 4: last write wins loses text. A CRDT merges it; where it must pick, a policy may pick instead.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { client } from "../interop/clients.mjs";
import { busIsThere, startNodes } from "../support/node/cluster.mjs";
import { temporaryFolder } from "../support/node/server.mjs";
import { finish, test, until } from "../support/node/tap.mjs";

await test("the obvious design: of two who save the same text, one loses hers", () => {
  let stored = "the sun";
  const ana = `${stored} rises`;
  const ben = `Today ${stored}`;
  stored = ana;
  stored = ben;
  if (stored.includes("rises")) throw new Error("the stand-in does not show it");
});

const plugins = temporaryFolder();
mkdirSync(join(plugins, "highest"));
writeFileSync(join(plugins, "highest", "plugin.lua"),
  `return { name = "highest", version = "1.0.0", api = 1, summary = "the highest bid", hooks = { conflict = { kinds = { "map" } } } }`);
writeFileSync(join(plugins, "highest", "init.lua"),
  `local P = {}\nfunction P:conflict(c) return c.current.value > c.incoming.value and "current" or "incoming" end\nreturn P`);
const nodes = await startNodes(2, { args: ["--plugins", plugins], config: "plugins = { highest = {} }" });
await busIsThere(nodes);

await test("here: what two people write apart on two nodes is all there, once, in the same order for both", async () => {
  const [ana, ben] = [client(nodes[0], "text"), client(nodes[1], "text")];
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  ana.text.insert(0, "the sun");
  await until(() => ben.text.toString() === "the sun", "Ben has it", 15_000);
  ana.provider.disconnect();
  ben.provider.disconnect();
  ana.text.insert(7, " rises");
  ben.text.insert(0, "Today ");
  ana.provider.connect();
  ben.provider.connect();
  await until(() => [ana, ben].every((p) => p.text.toString() === "Today the sun rises"), "both have both", 15_000);
  ana.close();
  ben.close();
});

await test("here: where one value must win the policy picks, on every replica and for who comes later", async () => {
  for (const [first, second] of [[70, 50], [50, 70]]) {
    const name = `bids-${first}`;
    const [ana, ben] = [client(nodes[0], name), client(nodes[1], name)];
    await until(() => ana.provider.synced && ben.provider.synced, "both are there");
    ana.provider.disconnect();
    ben.provider.disconnect();
    ana.doc.getMap("m").set("bid", first);
    ben.doc.getMap("m").set("bid", second);
    ana.provider.connect();
    await until(() => ana.provider.synced, "Ana first");
    ben.provider.connect();
    await until(() => [ana, ben].every((p) => p.provider.synced && p.doc.getMap("m").get("bid") === 70), "the highest for both", 15_000);
    const late = client(nodes[1], name);
    await until(() => late.provider.synced && late.doc.getMap("m").get("bid") === 70, "and for who comes later");
    for (const person of [ana, ben, late]) person.close();
  }
});

for (const node of nodes) await node.stop();
finish();
