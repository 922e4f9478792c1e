// Failure 9: one primary takes all writes, and the keys do not let it be otherwise.
import { client } from "../interop/clients.mjs";
import { busIsThere, sql, startNodes } from "../support/node/cluster.mjs";
import { finish, test, until } from "../support/node/tap.mjs";

/** What spreads rows over databases: the first column of the key. */
const placeOf = (key, row, places) => [...String(row[key[0]])].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7) % places;

await test("the obvious design: rows keyed by a running number scatter a tenant over every database", () => {
  const rows = Array.from({ length: 40 }, (_, id) => ({ id, org: "acme" }));
  const used = new Set(rows.map((row) => placeOf(["id"], row, 4)));
  if (used.size < 2) throw new Error("the stand-in does not show it");
  if (new Set(rows.map((row) => placeOf(["org", "id"], row, 4))).size !== 1) throw new Error("keyed by org it would not");
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

await test("here: what is read and written for one org touches rows of that org only", async () => {
  const one = client(nodes[0], "acme-plan");
  const other = client({ sync: `ws://127.0.0.1:${nodes[1].port}/sync/default` }, "other-plan");
  await until(() => one.provider.synced && other.provider.synced, "both are there");
  one.text.insert(0, "plan");
  await until(() => sql("cluster", "SELECT count(*) FROM records")[0][0] >= "1", "it is written");
  const orgs = sql("cluster", "SELECT DISTINCT org FROM records").flat();
  if (orgs.join() !== "default") throw new Error(`orgs: ${orgs}`);
  one.close();
  other.close();
});

for (const node of nodes) await node.stop();
finish();
