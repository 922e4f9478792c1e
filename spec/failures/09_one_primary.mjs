// Failure 9: one primary takes all writes, and the keys do not let it be otherwise.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { client } from "../interop/clients.mjs";
import { busIsThere, createStore, sleep, sql, startNodes } from "../support/node/cluster.mjs";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { finish, note, test, until } from "../support/node/tap.mjs";

/** A database that numbers its rows, as `id serial primary key` does. */
class Primary {
  isUp = true;
  rows = new Map();

  insert(row) {
    if (!this.isUp) throw new Error("no connection");
    const id = this.rows.size + 1;
    this.rows.set(id, row);
    return id;
  }
}

await test("the obvious design: with a second primary all writes still go to the first, and nobody writes without it", () => {
  const primaries = [new Primary(), new Primary()];
  const orgs = Array.from({ length: 10 }, (_, i) => `org${i}`);
  // Spread over both, two rows get one number: the address of a document is not its own any more.
  const byTurns = orgs.map((org, i) => primaries[i % 2].insert({ org }));
  if (new Set(byTurns).size === orgs.length) throw new Error("the stand-in does not show it: the numbers are unique");
  // So the one that counts takes them all.
  const [first, second] = [new Primary(), new Primary()];
  const save = (org, text) => first.insert({ org, text });
  for (let i = 0; i < 1000; i++) save(orgs[i % 10], `edit ${i}`);
  if (first.rows.size !== 1000 || second.rows.size !== 0) throw new Error("the stand-in does not show it: writes are spread");
  first.isUp = false;
  const written = orgs.filter((org) => {
    try {
      return save(org, "one more");
    } catch {
      return false;
    }
  });
  if (written.length) throw new Error("the stand-in does not show it: somebody can write");
});

const nodes = await startNodes(2);
await busIsThere(nodes);

await test("here: every table that grows with use has the org as the first column of its key", () => {
  const keys = sql("cluster", `SELECT c.relname, a.attname FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE i.indisprimary AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`);
  const first = new Map(keys);
  for (const table of ["documents", "records", "snapshots", "authors", "kv", "jobs", "versions"])
    if (first.get(table) !== "org") throw new Error(`${table}: the key begins with ${first.get(table)}`);
  const unkeyed = sql("cluster", `SELECT relname FROM pg_stat_user_tables WHERE relid NOT IN (SELECT indrelid FROM pg_index WHERE indisprimary)`);
  if (unkeyed.length) throw new Error(`without a key: ${unkeyed}`);
});

for (const node of nodes) await node.stop();

await test("here: two primaries share the orgs; without one of them the other's orgs go on, and its own are held and lose nothing", async () => {
  const stores = ["first", "second"].map((name) => createStore(`primary_${name}`));
  const plugins = temporaryFolder();
  mkdirSync(join(plugins, "door"));
  writeFileSync(join(plugins, "door", "plugin.lua"), `return { name = "door", version = "1.0.0", api = 1, summary = "of a test", phase = "auth", hooks = { authenticate = {}, authorize = {} } }`);
  writeFileSync(join(plugins, "door", "init.lua"), `local ml = require "moonloom"
    local P = {}
    function P:authenticate(req) return { user = req.token, name = req.token } end
    function P:authorize() return ml.grant { read = true, write = true, presence = true } end
    return P`);
  const node = new Server({
    args: ["--plugins", plugins],
    config: `store = { primaries = { a = "${stores[0]}", b = "${stores[1]}" } }\nplugins = { door = {} }\nauth = { mode = "plugins" }`,
  });
  await node.start();
  const orgs = Array.from({ length: 12 }, (_, i) => `tenant-${i}`);
  const people = orgs.map((org) => {
    const it = { acked: 0, org };
    const tap = { got: (_, frame) => (it.acked += frame.type === 0 && frame.subtype === 2) };
    return Object.assign(it, client(`ws://127.0.0.1:${node.port}/sync/${org}`, "plan", { params: { token: "somebody" }, tap }));
  });
  await until(() => people.every((p) => p.provider.synced), "all are there", 30_000);
  for (const p of people) p.text.insert(0, `plan of ${p.org}. `);
  await until(() => people.every((p) => p.acked === 1), "all is written", 30_000);
  const names = ["primary_first", "primary_second"];
  const placed = names.map((name) => sql(name, "SELECT DISTINCT org FROM records ORDER BY org").flat());
  note(`orgs: ${placed[0].length} on the one, ${placed[1].length} on the other`);
  if (!placed[0].length || !placed[1].length) throw new Error("one primary has them all");
  if (placed[0].some((org) => placed[1].includes(org)) || placed.flat().length !== orgs.length) throw new Error(`${placed.join(" | ")}`);

  const on = (place) => people.filter((p) => placed[place].includes(p.org));
  sql("postgres", `ALTER DATABASE primary_second ALLOW_CONNECTIONS false`);
  sql("postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'primary_second'`);
  for (const p of people) p.text.insert(p.text.length, "more");
  await until(() => on(0).every((p) => p.acked === 2), "those on the first are written", 20_000);
  await sleep(1000);
  if (on(1).some((p) => p.acked !== 1)) throw new Error("something was acknowledged that is on no disk");
  if (people.some((p) => p.closes.length)) throw new Error("somebody was thrown out");
  sql("postgres", `ALTER DATABASE primary_second ALLOW_CONNECTIONS true`);
  await until(() => on(1).every((p) => p.acked === 2), "the others are written when theirs is back", 30_000);
  for (const p of people) p.close();
  await node.stop();
}, { deadline_ms: 150_000 });

finish();
