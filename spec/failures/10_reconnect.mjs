// Failure 10: without a protocol for coming back everybody returns at once, and what was said meanwhile is gone.
import { readFileSync } from "node:fs";
import { client } from "../interop/clients.mjs";
import { Balancer, busIsThere, startNodes } from "../support/node/cluster.mjs";
import { finish, note, test, until } from "../support/node/tap.mjs";

await test("the obvious design: a thousand come back in the same moment, and miss what was said meanwhile", () => {
  const at = Array.from({ length: 1000 }, () => 3000); // every one waits 3 s
  const busiest = Math.max(...Object.values(Object.groupBy?.(at, (t) => t) ?? { 3000: at }).map((all) => all.length));
  const said = ["one", "two", "three"];
  const heard = said.filter((_, i) => i !== 1); // away for the second
  if (busiest !== 1000 || heard.includes("two")) throw new Error("the stand-in does not show it");
});

await test("here: our client waits a random part of a growing time, from the first try on", () => {
  const source = readFileSync(new URL("../../www/src/provider/backoff.ts", import.meta.url), "utf8");
  const number = (name) => Number(new RegExp(`${name}[^=]*=\\s*([\\d_]+)`).exec(source)[1].replaceAll("_", ""));
  const body = /export function backoffMs\([^)]*\)[^{]*\{([^}]*)\}/.exec(source)[1];
  const backoff = new Function("attempt", "random", "FIRST_MS", "CEILING_MS", body);
  const ms = Array.from({ length: 1000 }, () => backoff(0, Math.random, number("FIRST_MS"), number("CEILING_MS")));
  const buckets = Array.from({ length: 10 }, () => 0);
  for (const t of ms) buckets[Math.min(9, Math.floor((t / number("FIRST_MS")) * 10))] += 1;
  if (Math.max(...buckets) > 200) throw new Error(`a thousand clients come back as ${buckets}`);
});

const nodes = await startNodes(2);
const balancer = await new Balancer(() => nodes.map((node) => node.port)).start();
await busIsThere(nodes);

await test("here: who comes back to another node is sent what is missing and no more, and so is the server", async () => {
  let step2 = 0;
  const ana = client(balancer, "away", {
    tap: { got: (_, frame, data) => (step2 += frame.type === 0 && frame.subtype === 1 ? data.length : 0) },
  });
  const ben = client(balancer, "away");
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  ben.text.insert(0, "x".repeat(100_000));
  await until(() => ana.text.length === 100_000, "all of it", 20_000);
  ana.provider.disconnect();
  step2 = 0;
  ben.text.insert(0, "while Ana is away. ");
  ana.text.insert(100_000, " Typed without a line.");
  ana.provider.connect();
  const wanted = `while Ana is away. ${"x".repeat(100_000)} Typed without a line.`;
  await until(() => ana.text.toString() === wanted && ben.text.toString() === wanted, "both have all", 20_000);
  note(`the answer to who came back: ${step2} bytes`);
  if (step2 === 0 || step2 > 2000) throw new Error(`${step2} bytes for a document of 100 000`);
  ana.close();
  ben.close();
});

balancer.stop();
for (const node of nodes) await node.stop();
finish();
