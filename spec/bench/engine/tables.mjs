// SPDX-License-Identifier: MIT
// The results of run.mjs as Markdown.

/** Three significant digits with a unit. */
export function time(ns) {
  if (ns === undefined) return "–";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) if (ns >= size) return `${Number((ns / size).toPrecision(3))} ${unit}`;
  return `${Number(ns.toPrecision(3))} ns`;
}

const times = (of, by) => (of === undefined || !by ? "–" : `${Number((of / by).toPrecision(2))}×`);
const share = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
const table = (head, rows) => [`| ${head.join(" | ")} |`, `|${head.map(() => " --- |").join("")}`, ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n");
const perUpdate = (row, field) => (row[field] === undefined ? undefined : row[field] / row.updates);

/** Hot paths with what a release needs and what the design should reach. */
const BARS = [
  { what: "apply one received key (automerge-paper)", trace: "automerge-paper", field: "apply_ns", each: true, must: 130, aim: 75 },
  { what: "the same, two people at once (friendsforever)", trace: "friendsforever", field: "apply_ns", each: true, must: 120, aim: 60 },
  { what: "load a V1 state of 311 kB, 10,971 runs", trace: "automerge-paper", field: "load_ns", must: 1.6e6, aim: 0.9e6 },
  { what: "encode it again as V1", trace: "automerge-paper", field: "encode_ns", must: 0.2e6, aim: 0.1e6 },
  { what: "encode it as V2", trace: "automerge-paper", field: "encode_v2_ns" },
  { what: "answer a state vector of 10 % of the log ago", trace: "automerge-paper", field: "diff_ns", must: 40e3, aim: 25e3 },
  { what: "merge 1,000 stored updates without a document", trace: "sveltecomponent", field: "merge_1000_ns", must: 60e3, aim: 25e3 },
  { what: "merge 18,335 stored updates", trace: "sveltecomponent", field: "merge_all_ns", must: 2e6, aim: 0.8e6 },
];

function bars(traces) {
  const rows = BARS.filter((bar) => traces[bar.trace]).map((bar) => {
    const of = (engine) => (bar.each ? perUpdate(traces[bar.trace][engine], bar.field) : traces[bar.trace][engine][bar.field]);
    const [ours, yjs, ywasm] = ["moonloom", "yjs", "ywasm"].map(of);
    const verdict = !bar.must ? "" : ours <= bar.aim ? "aim" : ours <= bar.must ? "must" : "**missed**";
    return [bar.what, `**${time(ours)}**`, bar.must ? time(bar.must) : "–", bar.aim ? time(bar.aim) : "–", verdict, time(yjs), times(yjs, ours), time(ywasm), times(ywasm, ours)];
  });
  return table(["hot path", "moonloom", "must", "aim", "reached", "yjs", "ratio", "ywasm", "ratio"], rows);
}

function speeds(traces) {
  const rows = Object.entries(traces).map(([name, { moonloom: m, yjs: y, ywasm: w }]) => {
    const three = (field) => `${time(m[field])} · ${time(y[field])} · ${time(w[field])}`;
    return [name, m.updates.toLocaleString("en"), `${time(perUpdate(m, "apply_ns"))} · ${time(perUpdate(y, "apply_ns"))} · ${time(perUpdate(w, "apply_ns"))}`,
      three("load_ns"), three("encode_ns"), three("encode_v2_ns"), three("diff_ns"), `${time(m.merge_1000_ns)} · ${time(y.merge_1000_ns)}`, `${time(m.merge_all_ns)} · ${time(y.merge_all_ns)}`];
  });
  return table(["trace", "updates", "apply, an update", "load V1", "encode V1", "encode V2", "diff from 10 % ago", "merge 1,000", "merge all"], rows);
}

function medians(traces) {
  const worst = Object.entries(traces).map(([name, { moonloom: m }]) => [name, m.apply_median_ns / m.apply_ns]).sort((a, b) => b[1] - a[1])[0];
  return `The median of our \`apply\` lies at most ${share(worst[1] - 1, 1)} above the best (${worst[0]}).`;
}

function memory(traces) {
  const rows = Object.entries(traces).map(([name, { counts: c, yjs: y, ywasm: w, moonloom: m }]) => [
    name, c.runs.toLocaleString("en"), Math.round(c.doc_heap_bytes / c.runs), Math.round(y.doc_bytes / c.runs), Math.round(w.doc_bytes / c.runs),
    (c.typing_heap_calls / c.updates).toFixed(4), share(m.fast_append + m.fast_delete, m.updates), c.state_bytes_v1.toLocaleString("en"), c.state_bytes_v2.toLocaleString("en"),
    ...(c.idle_bytes === undefined ? [] : [`V2 + ${(c.idle_bytes - c.state_bytes_v2).toLocaleString("en")}`])]);
  const idle = Object.values(traces).some(({ counts }) => counts.idle_bytes !== undefined);
  return table(["trace", "runs", "bytes a run", "yjs", "ywasm", "heap calls an update", "fast paths", "V1 bytes", "V2 bytes", ...(idle ? ["idle document, bytes"] : [])], rows);
}

function sizes(row) {
  const found = Object.keys(row).map((key) => key.match(/^(.*)_at_(\d+)_runs_ns$/)).filter(Boolean);
  const counts = [...new Set(found.map(([, , runs]) => Number(runs)))].sort((a, b) => a - b);
  const kinds = [...new Set(found.map(([, kind]) => kind))];
  const names = { edit: "a received key or delete at a random place", local: "a local insert or delete by a random index", typing: "a received key behind the one before" };
  return table(["runs in the document", ...counts.map((n) => n.toLocaleString("en"))],
    kinds.map((kind) => [names[kind] ?? kind, ...counts.map((n) => time(row[`${kind}_at_${n}_runs_ns`]))]));
}

function ownFormats(own) {
  const label = { moonloom: "moonloom", yjs: `yjs ${own.yjs.version}`, ywasm: `ywasm ${own.ywasm.version}`, loro: `loro-crdt ${own.loro.version}`, automerge: `automerge ${own.automerge.version}` };
  return table(["engine", "import one key", "load", "encode", "bytes of the state"], Object.keys(label).map((engine) => {
    const row = own[engine];
    return [label[engine], time(perUpdate(row, "apply_ns")), time(row.load_ns), time(row.encode_ns), row.state_bytes_v1.toLocaleString("en")];
  }));
}

export function page({ machine, date, traces, own, sizes: bySize }) {
  const first = Object.values(traces)[0];
  return `Measured on ${date} at commit \`${first.moonloom.commit}\`: ${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB; ${machine.kernel}; ${machine.compiler}; Node.js ${machine.node},
yjs ${first.yjs.version}, ywasm ${first.ywasm.version} (yrs as WebAssembly). Load of the machine before and after: ${machine.load_before.toFixed(2)}, ${machine.load_after.toFixed(2)}. The run took ${machine.seconds} s.

### The hot paths

${bars(traces)}

### Every trace

Each cell: moonloom · yjs · ywasm (ywasm cannot merge). ${medians(traces)}

${speeds(traces)}

### Memory, and what the heap hears of it

Of a loaded document, text included. ywasm and yjs: the growth of the process over many copies.

${memory(traces)}

### Small and large documents

${sizes(bySize)}

### Formats of their own

The first ${own.moonloom.updates.toLocaleString("en")} updates of ${own.trace}. loro and automerge cannot read them: their messages hold the same edits, made again in a document of theirs.

${ownFormats(own)}
`;
}
