/*
 * Moonloom and its peers under the same load, one after the other, in rounds:
 *
 *   node spec/bench/load/run.mjs [--rounds N] [--seconds N] [--scenarios a,b] [--servers a,b] [--out FILE.jsonl]
 *
 * Needs a release build with benches (build/bench) and `npm ci` here and in peers/. Every server is a fresh process
 * with an empty folder for every run. Prints one JSON line a run, then tables of medians.
 */
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "../../..");
const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const LOAD = option("load", join(ROOT, "build/bench/spec/bench/bench_load"));
const MOONLOOM = option("moonloom", join(ROOT, "build/release/moonloom"));
const ROUNDS = Number(option("rounds", 3));
const SCENARIOS = option("scenarios", "hot500,team,pairs,cursors,burst,join,storm").split(",");
const OUT = option("out", null);
const SECONDS = option("seconds", null);

const node = (file, ...args) => [process.execPath, join(HERE, "peers", file), ...args];
const moonloom = (folder) => [MOONLOOM, "serve", "--listen", "127.0.0.1:0", "--data", folder];
const SERVERS = {
  "moonloom": { command: moonloom, dialect: "ywebsocket", prefix: "/sync/default", durable: true },
  "moonloom-hocuspocus": { command: moonloom, dialect: "hocuspocus", prefix: "/collab/default", durable: true },
  "hocuspocus": { command: () => node("hocuspocus.mjs"), dialect: "hocuspocus", prefix: "/", durable: false },
  "hocuspocus-sqlite": { command: (folder) => node("hocuspocus.mjs", join(folder, "h.sqlite")), dialect: "hocuspocus", prefix: "/", durable: false },
  "y-websocket": { command: () => node("y-websocket.mjs"), dialect: "ywebsocket", prefix: "", durable: false },
};
const names = option("servers", Object.keys(SERVERS).join(",")).split(",");

/* The first line of a server's output names its port, alone or at the end of an address. */
async function start(command, folder) {
  const child = spawn(command[0], command.slice(1), { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout });
  const port = await new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`${command.join(" ")} does not start`)), 15_000);
    lines.on("line", (line) => {
      const found = /(?:127\.0\.0\.1:|^)(\d+)\/?$/.exec(line.trim());
      if (found === null) return;
      clearTimeout(late);
      done(Number(found[1]));
    });
  });
  return { child, port };
}

async function stop(child) {
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await gone;
}

async function measure(name, scenario) {
  const server = SERVERS[name];
  const folder = mkdtempSync(join(tmpdir(), "load-"));
  const { child, port } = await start(server.command(folder), folder);
  const args = [scenario, "--port", port, "--pid", child.pid, "--dialect", server.dialect, "--prefix", server.prefix];
  if (SECONDS !== null) args.push("--seconds", SECONDS);
  let text = "";
  try {
    text = execFileSync(LOAD, args.map(String), { encoding: "utf8", timeout: 180_000, stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    text = error.stdout || JSON.stringify({ scenario, failed: (error.stderr || error.message).trim().split("\n").at(-1) });
  }
  await stop(child);
  rmSync(folder, { recursive: true, force: true });
  return { server: name, load: Number((loadavg()[0] / availableParallelism()).toFixed(2)), ...JSON.parse(text) };
}

const median = (list) => {
  const sorted = list.filter((value) => value !== null && !Number.isNaN(value)).sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
};
/* What a run costs: for typing µs of CPU a delivered edit, else ms of CPU a join. */
const cost = (run) => {
  if (run.failed) return null;
  if (run.delivered > 0) return (run.cpu_seconds * 1e6) / run.delivered;
  if (run.joins > 0) return (run.cpu_seconds * 1e3) / run.joins;
  return (run.rss_kb.joined - run.rss_kb.before) / run.connections;
};
const UNITS = { join: "ms CPU a join", storm: "ms CPU a reconnect", idle: "kB a connection" };
const digits = (value, count) => (value === null ? "–" : value.toPrecision(count));

const runs = [];
for (let round = 0; round < ROUNDS; round++)
  for (const scenario of SCENARIOS)
    for (const name of names) {
      const run = await measure(name, scenario);
      runs.push(run);
      console.log(JSON.stringify(run));
      if (OUT !== null) appendFileSync(OUT, `${JSON.stringify(run)}\n`);
    }

const commit = execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
console.log(`\nMachine: ${cpus()[0].model}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GB; Node ${process.version}; commit ${commit}; ${ROUNDS} rounds, medians.\n`);
console.log("| scenario | server | cost | | × of the first | delivery p50 / p99 / p99.9 ms | ack p50 / p99 ms | memory MB | lost, doubled |");
console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
for (const scenario of SCENARIOS) {
  let first = null;
  for (const name of names) {
    const mine = runs.filter((run) => run.server === name && run.scenario === scenario);
    const ok = mine.filter((run) => !run.failed);
    const price = median(ok.map(cost));
    first ??= price;
    const ms = (key, part) => digits(median(ok.map((run) => run[key][part])), 3);
    const shown = scenario === "join" || scenario === "storm" ? `join ${ms("join_ms", "p50")} / ${ms("join_ms", "p99")}` : `${ms("delivery_ms", "p50")} / ${ms("delivery_ms", "p99")} / ${ms("delivery_ms", "p999")}`;
    const wrong = ok.reduce((sum, run) => [sum[0] + run.missing + run.unread + run.gaps, sum[1] + run.doubled], [0, 0]);
    const failed = mine.find((run) => run.failed)?.failed;
    console.log(
      `| ${scenario} | ${name} | ${digits(price, 3)} | ${UNITS[scenario] ?? "µs CPU a delivery"} | ${first && price ? (price / first).toFixed(2) : "–"} | ${shown} | ${ms("ack_ms", "p50")} / ${ms("ack_ms", "p99")} | ${digits(median(ok.map((run) => run.rss_kb.end / 1024)), 3)} | ${wrong.join(", ")}${failed ? `; failed: ${failed}` : ""} |`,
    );
  }
}
