// Several nodes over one PostgreSQL: how soon a key is seen on another node, what a catch-up costs, and what a noisy org
// costs its neighbours. Prints JSON lines, each with machine and commit; nothing here passes or fails.
//
//   spec/support/with-postgres spec/support/with-redis spec/interop/run spec/bench/nodes/run.mjs
//   MOONLOOM_BENCH=latency,catchup,fairness   only these parts     MOONLOOM_ROUNDS=6   of fairness
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { client } from "../../interop/clients.mjs";
import { busIsThere, metric, redisPid, redisPort, sleep, sql, startNodes } from "../../support/node/cluster.mjs";
import { BIN, temporaryFolder } from "../../support/node/server.mjs";
import { until } from "../../support/node/tap.mjs";

const ROOT = new URL("../../../", import.meta.url).pathname;
const bin = process.env.MOONLOOM_RELEASE_BIN ?? BIN;
const commit = execFileSync("git", ["-C", ROOT, "describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
const machine = `${cpus()[0].model}, ${availableParallelism()} cores`;
const say = (what, figures) =>
  console.log(JSON.stringify({ what, ...figures, load: Number(loadavg()[0].toFixed(1)), machine, commit, binary: process.env.MOONLOOM_RELEASE_BIN ? "release" : "debug" }));
const part = (name) => (process.env.MOONLOOM_BENCH ?? "latency,catchup,fairness").split(",").includes(name);
const at = (sorted, share) => Number(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(1));
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const spread = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return { count: sorted.length, p50_ms: at(sorted, 0.5), p90_ms: at(sorted, 0.9), p99_ms: at(sorted, 0.99), most_ms: at(sorted, 1) };
};

/** Milliseconds from a key on one node to the other's reader, one after the other. */
async function keys(from, to, name, count, gap_ms, options) {
  const [writer, reader] = [client(from, name, options), client(to, name, options)];
  await until(() => writer.provider.synced && reader.provider.synced, "both are there", 30_000);
  const took = [];
  for (let i = 0; i < count; i++) {
    const length = reader.text.length;
    const began = performance.now();
    const seen = new Promise((resolve) => reader.text.observe(function once() {
      if (reader.text.length <= length) return;
      reader.text.unobserve(once);
      resolve();
    }));
    writer.text.insert(0, "x");
    await seen;
    took.push(performance.now() - began);
    await sleep(gap_ms);
  }
  writer.close();
  reader.close();
  return took;
}

async function latency() {
  for (const [bus, address] of [["redis", `redis://127.0.0.1:${redisPort}`], ["postgres", "postgres"], ["local", "local"]]) {
    const nodes = await startNodes(2, { database: `latency_${bus}`, bus: address, bin });
    if (bus !== "local") await busIsThere(nodes);
    say("a key on the same node", { bus, ...spread(await keys(nodes[0], nodes[0], "same", 200, 20)) });
    say("a key on another node", { bus, ...spread(await keys(nodes[0], nodes[1], "other", bus === "local" ? 30 : 200, 20)) });
    if (bus === "redis") {
      process.kill(redisPid(), "SIGSTOP");
      say("a key on another node, from the moment on at which Redis stands still", { bus, ...spread(await keys(nodes[0], nodes[1], "off", 30, 20)) });
      process.kill(redisPid(), "SIGCONT");
    }
    for (const node of nodes) await node.stop();
  }
}

/** Figures of a tool that prints them. */
const number = (text, pattern) => Number(pattern.exec(text)[1]);
const run = (program, words, options = {}) => execFileSync(program, words, { encoding: "utf8", ...options });

async function catchup() {
  const nodes = await startNodes(2, { database: "catchup", bin });
  await busIsThere(nodes);
  const count = async (name) => (await Promise.all(nodes.map((node) => metric(node, name)))).reduce((a, b) => a + b);

  // 1. How often a record that another node told has to be read from the journal, while all is well.
  const before = { heard: await count("records_of_others_total"), holes: await count("holes_read_total") };
  await Promise.all(Array.from({ length: 10 }, (_, i) => keys(nodes[i % 2], nodes[1 - (i % 2)], `well-${i}`, 100, 10)));
  say("records of another node", { heard: (await count("records_of_others_total")) - before.heard, read_from_journal: (await count("holes_read_total")) - before.holes });

  // 2. A document with a tail of 1,000 records is opened on a node that does not have it.
  const writer = client(nodes[0], "tail");
  await until(() => writer.provider.synced, "there");
  for (let i = 0; i < 1000; i++) {
    writer.text.insert(0, "word ");
    if (i % 10 === 9) await sleep(5);
  }
  const head = () => Number(sql("catchup", "SELECT head FROM documents WHERE name = 'tail'")[0]?.[0] ?? 0);
  let seen = -1;
  await until(async () => { const now = head(); await sleep(300); return now === seen || ((seen = now), false); }, "written", 30_000);
  const [[bytes_of_all, rows, bytes_of_edits]] = sql("catchup", "SELECT pg_total_relation_size('records'), count(*), sum(length(bytes)) FROM records");
  say("bytes of a record in the database", { with_index: Math.round(bytes_of_all / rows), of_it_the_edit: Math.round(bytes_of_edits / rows), records: Number(rows) });
  const opened = [];
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    const late = client(nodes[1], "tail");
    await until(() => late.provider.synced, "late", 20_000, 1);
    opened.push(performance.now() - began);
    late.close();
  }
  say("opening a document that another node has open", { records: head(), first_ms: Number(opened[0].toFixed(1)), again: spread(opened.slice(1)) });

  // 3. The same ten records from both, one question at a time on one connection; and what a record costs Redis when told, when kept.
  const folder = temporaryFolder();
  const [[org, document]] = sql("catchup", "SELECT org, encode(document, 'hex') FROM documents WHERE name = 'tail'");
  writeFileSync(join(folder, "tail.sql"), `SELECT seq, epoch, format, at_ms, author, session, message_no, previous, checksum, bytes FROM records
    WHERE org = '${org}' AND document = '\\x${document}'::bytea AND seq > ${head() - 10} ORDER BY seq;\n`);
  writeFileSync(join(folder, "head.sql"), `SELECT head FROM documents WHERE org = '${org}' AND document = '\\x${document}'::bytea;\n`);
  const pg = /host=(\S+)/.exec(process.env.MOONLOOM_TEST_PG)[1];
  const bench = (file) => 1000 * number(run("pgbench", ["-h", pg, "-U", "moonloom", "-n", "-M", "prepared", "-c", "1", "-T", "4", "-f", join(folder, file), "catchup"]), /latency average = ([\d.]+) ms/);
  const redis = (...words) => 1e6 / number(run("redis-benchmark", ["-p", String(redisPort), "-c", "1", "-n", "20000", "-q", ...words]).replaceAll("\r", "\n"), /([\d.]+) requests per second, p50[^\n]*\n*$/);
  const bytes = "x".repeat(120);
  for (let i = 0; i < 20; i++) run("redis-cli", ["-p", String(redisPort), "XADD", "tail", "*", "f", bytes]);
  say("microseconds on one connection", {
    postgres_ten_records: Math.round(bench("tail.sql")),
    postgres_head: Math.round(bench("head.sql")),
    redis_xrange_ten_records: Math.round(redis("XREVRANGE", "tail", "+", "-", "COUNT", "10")),
    redis_publish: Math.round(redis("PUBLISH", "nobody", bytes)),
    redis_xadd: Math.round(redis("XADD", "kept", "MAXLEN", "~", "1000", "*", "f", bytes)),
  });
  writer.close();
  for (const node of nodes) await node.stop();
}

const cpu_s = (node) => readFileSync(`/proc/${node.pid}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 13).reduce((sum, ticks) => sum + Number(ticks) / 100, 0);

const DOOR = `local ml = require "moonloom"
local P = {}
function P:authenticate(req) return { user = req.token, name = req.token } end
function P:authorize() return ml.grant { read = true, write = true, presence = true } end
return P`;

async function fairness() {
  const plugins = temporaryFolder();
  mkdirSync(join(plugins, "door"));
  writeFileSync(join(plugins, "door", "plugin.lua"), `return { name = "door", version = "1.0.0", api = 1, summary = "of a measurement", phase = "auth", hooks = { authenticate = {}, authorize = {} } }`);
  writeFileSync(join(plugins, "door", "init.lua"), DOOR);
  const nodes = await startNodes(2, {
    database: "fairness", bin, args: ["--plugins", plugins],
    config: `plugins = { door = {} }\nauth = { mode = "plugins" }`,
  });
  await busIsThere(nodes);
  const address = (node, org) => `ws://127.0.0.1:${node.port}/sync/${org}`;
  const options = { params: { token: "somebody" } };
  const rounds = Number(process.env.MOONLOOM_ROUNDS ?? 6);
  const rate = Number(process.env.MOONLOOM_NOISE ?? 200);
  // Nobody else; the same noise that stays on the writers' node; noise that the readers' node hears over the bus.
  const kinds = ["alone", "beside", "over_the_bus"];
  const took = { alone: [], beside: [], over_the_bus: [] };
  const p99s = { alone: [], beside: [], over_the_bus: [] };
  const heard = [];
  const busy = []; // of a core, the node that hears
  for (let round = 0; round < kinds.length * rounds; round++) {
    const kind = kinds[round % kinds.length];
    const before = await metric(nodes[1], "records_of_others_total");
    const readers = nodes[kind === "over_the_bus" ? 1 : 0];
    const noise = kind !== "alone" && spawn(process.execPath, [import.meta.filename, "noise", address(nodes[0], "noisy"), address(readers, "noisy"), String(rate)], { stdio: ["pipe", "pipe", "inherit"] });
    if (noise) await new Promise((resolve) => noise.stdout.once("data", resolve));
    const began = performance.now();
    const cpu = cpu_s(nodes[1]);
    const round_took = (await keys(address(nodes[0], "quiet"), address(nodes[1], "quiet"), `round-${round}`, 200, 10, options));
    took[kind].push(...round_took);
    p99s[kind].push(spread(round_took).p99_ms);
    const more = (await metric(nodes[1], "records_of_others_total")) - before;
    if (kind === "over_the_bus") {
      const seconds = (performance.now() - began) / 1000;
      heard.push(more / seconds);
      busy.push((cpu_s(nodes[1]) - cpu) / seconds);
    }
    if (noise) {
      const ended = new Promise((resolve) => noise.once("exit", resolve));
      noise.stdin.end();
      await ended;
    }
  }
  const [alone, beside, over] = kinds.map((kind) => spread(took[kind]));
  say("keys of a quiet org on another node", {
    alone, beside, over_the_bus: over, noise_wanted_per_s: rate, news_heard_per_s: Math.round(heard.reduce((a, b) => a + b) / heard.length),
    of_a_core: Number((busy.reduce((a, b) => a + b) / busy.length).toFixed(3)), p50_ratio_of_bus: Number((over.p50_ms / beside.p50_ms).toFixed(2)), p99_ratio_of_bus: Number((over.p99_ms / beside.p99_ms).toFixed(2)),
    // One burst of something else on the machine decides the p99 of all keys; the median of the rounds' own is steadier.
    median_p99_ms: Object.fromEntries(kinds.map((kind) => [kind, median(p99s[kind])])), median_p99_ratio_of_bus: Number((median(p99s.over_the_bus) / median(p99s.beside)).toFixed(2)),
  });
  for (const node of nodes) await node.stop();
}

/** A process of its own, so that it does not delay what is measured: 20 documents, each written on one node and open on both. */
async function noise(from, to, rate) {
  const options = { params: { token: "noise" } };
  const pairs = Array.from({ length: 20 }, (_, i) => [client(from, `noise-${i}`, options), client(to, `noise-${i}`, options)]);
  await until(() => pairs.flat().every((it) => it.provider.synced), "the noise is there", 30_000);
  let owed = 0;
  let last = performance.now();
  setInterval(() => {
    owed += (performance.now() - last) * rate / 1000;
    last = performance.now();
    for (; owed >= 1; owed--) pairs[Math.floor(Math.random() * pairs.length)][0].text.insert(0, "noise ");
  }, 10);
  console.log("ready");
  process.stdin.resume().on("end", () => process.exit(0));
}

if (process.argv[2] === "noise") {
  await noise(process.argv[3], process.argv[4], Number(process.argv[5]));
} else {
  if (part("latency")) await latency();
  if (part("catchup")) await catchup();
  if (part("fairness")) await fairness();
  process.exit(0);
}
