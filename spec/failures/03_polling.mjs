// Failure 3: servers that poll the database every 2 s are late by a second, and ask while nothing happens.
import { client } from "../interop/clients.mjs";
import { busIsThere, metric, startNodes } from "../support/node/cluster.mjs";
import { finish, note, test, until } from "../support/node/tap.mjs";

await test("the obvious design: a second late on average, and every open document asks all the time", () => {
  const PERIOD_MS = 2000;
  const delays = [];
  let questions = 0;
  for (let at = 0; at < 60_000; at += 137) delays.push(Math.ceil((at + 1) / PERIOD_MS) * PERIOD_MS - at);
  for (let at = 0; at < 60_000; at += PERIOD_MS) questions += 1; // for each document, of each server
  const mean = delays.reduce((a, b) => a + b) / delays.length;
  if (mean < 900 || questions !== 30) throw new Error("the stand-in does not show it");
});

/** Loops leave their counts once a second. */
const counted = (node, name, wanted) => until(async () => (await metric(node, name)) === wanted, `${name} ${wanted}`, 10_000, 50);

async function crosses(nodes) {
  const [ana, ben] = [client(nodes[0], "news"), client(nodes[1], "news")];
  await until(() => ana.provider.synced && ben.provider.synced, "both are there");
  ana.text.insert(0, "-");
  await until(() => ben.text.length === 1, "the first one", 15_000); // both follow the document from here on
  await counted(nodes[1], "records_of_others_total", 1);
  const loads = await metric(nodes[1], "holes_read_total");
  const heard = await metric(nodes[1], "records_of_others_total");
  const looks = await metric(nodes[1], "head_checks_total");
  const took = [];
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    ana.text.insert(0, "x");
    await until(() => ben.text.length === i + 2, "it crosses", 5000, 1);
    took.push(performance.now() - began);
  }
  took.sort((a, b) => a - b);
  note(`from one node to the other: ${took[10].toFixed(1)} ms in the middle, ${took[19].toFixed(1)} ms at most`);
  if (took[10] > 1000) throw new Error("as late as somebody who polls");
  await counted(nodes[1], "records_of_others_total", heard + 20);
  // One look at the heads may fall between a commit and its news.
  if ((await metric(nodes[1], "holes_read_total")) > loads + 1) throw new Error("the journal was read for what was told");
  const asked = (await metric(nodes[1], "head_checks_total")) - looks;
  if (asked > 5) throw new Error(`the heads were asked for ${asked} times meanwhile`);
  ana.close();
  ben.close();
}

for (const [name, options] of [["Redis", {}], ["NOTIFY of PostgreSQL", { bus: "postgres", database: "notify" }]]) {
  const nodes = await startNodes(2, options);
  await busIsThere(nodes);
  await test(`here, over ${name}: what is committed is published; the other node hears it and reads nothing`, () => crosses(nodes));
  for (const node of nodes) await node.stop();
}
finish();
