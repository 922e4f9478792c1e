// SPDX-License-Identifier: MIT
// Runs bench_engine, bench_counts and others.mjs over all traces, one engine after the other for each trace so
// that all see the same mood of the machine, and writes docs/benchmarks.md. Started by `run`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { page } from "./tables.mjs";

const here = new URL(".", import.meta.url).pathname;
const root = join(here, "../../..");
const build = join(root, "build/bench/spec/bench/engine");
const results = join(root, "build/bench/engine-results.json");
const target = join(root, "docs/benchmarks.md");

/** Measured twice; what the first table is about. */
const FOCUS = ["automerge-paper", "friendsforever", "sveltecomponent"];
/** Engines with a format of their own get this much of one trace: one key costs automerge 1 ms and more. */
const OWN_FORMAT = { trace: "sveltecomponent", updates: 3000 };

const flags = process.argv.slice(2);
const wanted = flags.includes("--traces") ? flags[flags.indexOf("--traces") + 1].split(",") : undefined;

function json(program, ...args) {
  const out = execFileSync(program, args, { encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(out);
}

const run = {
  moonloom: (path) => json(join(build, "bench_engine"), path),
  yjs: (path) => json(process.execPath, "--expose-gc", join(here, "others.mjs"), "yjs", path),
  ywasm: (path) => json(process.execPath, "--expose-gc", join(here, "others.mjs"), "ywasm", path),
  loro: (path) => json(process.execPath, "--expose-gc", join(here, "others.mjs"), "loro", path),
  automerge: (path) => json(process.execPath, "--expose-gc", join(here, "others.mjs"), "automerge", path),
};

/** The better of two runs of one engine, number by number. */
function better(a, b) {
  if (!a) return b;
  const out = { ...a };
  for (const key of Object.keys(b)) if (key.endsWith("_ns")) out[key] = Math.min(a[key], b[key]);
  return out;
}

function tracesIn(folder) {
  const packed = process.env.MOONLOOM_TRACES ?? join(root, "../shared/data/traces");
  const names = existsSync(packed) ? readdirSync(packed).filter((file) => file.endsWith(".log.gz")).map((file) => file.slice(0, -7)) : [];
  const traces = {};
  for (const name of names.filter((each) => !wanted || wanted.includes(each))) {
    traces[name] = join(folder, `${name}.log`);
    writeFileSync(traces[name], gunzipSync(readFileSync(join(packed, `${name}.log.gz`))));
  }
  if (names.length === 0) {
    console.error(`no recorded traces in ${packed}: a generated one is measured instead`);
    traces.generated = join(folder, "generated.log");
    execFileSync(join(root, "scripts/gen-trace"), [traces.generated, join(folder, "generated.txt"), "100000", "1"]);
  }
  return traces;
}

/** The first records of a log as a log. */
function cut(path, count, to) {
  const bytes = readFileSync(path);
  let at = 0;
  for (let i = 0; i < count && at < bytes.length; i++) at += 4 + bytes.readUInt32LE(at);
  writeFileSync(to, bytes.subarray(0, at));
  return to;
}

function compiler() {
  return execFileSync("cc", ["--version"], { encoding: "utf8" }).split("\n")[0];
}

function measureAll() {
  const started = Date.now();
  const machine = { cpu: os.cpus()[0].model, cores: os.cpus().length, memory_gib: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`, compiler: compiler(), node: process.version, load_before: os.loadavg()[0] };
  const folder = mkdtempSync(join(os.tmpdir(), "moonloom-bench-"));
  try {
    const paths = tracesIn(folder);
    const names = Object.keys(paths);
    const traces = {};
    for (const name of names) {
      const row = { counts: json(join(build, "bench_counts"), paths[name]) };
      for (let round = 0; round < (FOCUS.includes(name) ? 2 : 1); round++) {
        for (const engine of ["moonloom", "yjs", "ywasm"]) row[engine] = better(row[engine], run[engine](paths[name]));
      }
      traces[name] = row;
      console.error(`${name}: apply ${Math.round(row.moonloom.apply_ns / row.moonloom.updates)} ns, yjs ${Math.round(row.yjs.apply_ns / row.yjs.updates)} ns an update`);
    }
    const own = { trace: paths[OWN_FORMAT.trace] ? OWN_FORMAT.trace : names[0] };
    const piece = cut(paths[own.trace], OWN_FORMAT.updates, join(folder, "piece.log"));
    for (const engine of Object.keys(run)) own[engine] = run[engine](piece);
    return { machine: { ...machine, load_after: os.loadavg()[0], seconds: Math.round((Date.now() - started) / 1000) },
      date: new Date().toISOString().slice(0, 10), traces, own, sizes: json(join(build, "bench_engine"), "sizes") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

let all;
if (flags.includes("--render")) {
  all = JSON.parse(readFileSync(results, "utf8"));
} else {
  all = measureAll();
  mkdirSync(join(root, "build/bench"), { recursive: true });
  writeFileSync(results, JSON.stringify(all, null, 1));
}
const text = page(all);
if (flags.includes("--dry")) {
  console.log(text);
} else {
  const [begin, end] = ["<!-- measured: spec/bench/engine/run -->", "<!-- end of measured -->"];
  const old = readFileSync(target, "utf8");
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${target} has no "${begin}" … "${end}"`);
  writeFileSync(target, `${old.slice(0, from + begin.length)}\n\n${text}\n${old.slice(to)}`);
}
