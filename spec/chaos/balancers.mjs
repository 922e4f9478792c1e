// The configurations of docs/deploy, in nginx and HAProxy as Debian has them: three nodes behind each, by turns and by
// document; the nodes restart one after the other while people type, and nothing is lost.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { client } from "../interop/clients.mjs";
import { busIsThere, sleep, startNodes } from "../support/node/cluster.mjs";
import { freePort, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";

const nodes = await startNodes(3);
await busIsThere(nodes);
const deploy = new URL("../../docs/deploy/", import.meta.url).pathname;
let log = "";
afterFailure(() => note(log.slice(-2000)));

/** The file of docs/deploy on ports of ours; `byDocument` names the other upstream, as its comment says. */
async function balancer(kind, byDocument) {
  const folder = temporaryFolder();
  const port = await freePort();
  const file = kind === "nginx" ? "nginx.conf" : "haproxy.cfg";
  let text = readFileSync(join(deploy, file), "utf8");
  for (const [i, node] of nodes.entries()) text = text.replaceAll(`127.0.0.1:808${i + 1}`, `127.0.0.1:${node.port}`);
  text = text.replace("maxconn 20000", "maxconn 1000"); // the limit of descriptors may be small here
  text = text.replace("listen 8080;", `listen 127.0.0.1:${port};`).replace("bind :8080", `bind 127.0.0.1:${port}`);
  if (byDocument)
    text = text.replace("proxy_pass http://moonloom;", "proxy_pass http://moonloom_by_document;")
      .replace("default_backend moonloom\n", "default_backend moonloom_by_document\n");
  if (/:808\d/.test(text)) throw new Error("a port of the example is left");
  const path = join(folder, file);
  let command;
  if (kind === "nginx") {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
    text = `daemon off;\npid ${folder}/pid;\nerror_log stderr warn;\n${process.getuid() === 0 ? "user root;\n" : ""}` +
      text.replace("http {", `http {\n  access_log off; ${temporary}`);
    mkdirSync(join(folder, "logs"));
    command = ["/usr/sbin/nginx", "-p", folder, "-e", "stderr", "-c", path];
  } else {
    command = ["/usr/sbin/haproxy", "-db", "-f", path];
  }
  writeFileSync(path, text);
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "--", ...command], { stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (log += bytes));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`${kind} ended: ${log.slice(-1000)}`);
    return fetch(`${url}/readyz`).then((answer) => answer.ok, () => false);
  }, `${kind} answers`, 15_000, 50);
  return {
    url,
    sync: `ws://127.0.0.1:${port}/sync/default`,
    stop: () => new Promise((resolve) => child.once("exit", resolve).kill("SIGTERM")),
  };
}

const sessions = async (node) =>
  Number(/^moonloom_members (\d+)/m.exec(await (await fetch(`${node.url}/metrics`)).text())[1]);

for (const kind of ["nginx", "haproxy"]) {
  await test(`${kind}, by turns: nodes restart one after the other while people type; nothing is lost`, async () => {
    const front = await balancer(kind, false);
    const people = Array.from({ length: 9 }, () => client(front, `rolling-${kind}`, { maxBackoffTime: 1000 }));
    await until(() => people.every((p) => p.provider.synced), "all are there", 30_000);
    const typed = new Set();
    const failed = [];
    const typing = setInterval(() => {
      const word = `w${typed.size}`;
      typed.add(word);
      people[typed.size % people.length].doc.getArray("words").push([word]);
      fetch(`${front.url}/api/v1/orgs/default/docs`).then((a) => a.ok || failed.push(a.status), (e) => failed.push(String(e)));
    }, 50);
    for (const node of nodes) {
      await node.stop(); // SIGTERM: drains, exits 0
      await node.start();
      await until(() => people.every((p) => p.provider.synced), "all are back", 30_000);
      await busIsThere([node]);
      await sleep(2500); // the balancer has to see it
    }
    clearInterval(typing);
    await until(() => people.every((p) => p.provider.synced && p.doc.getArray("words").length === typed.size), "all have every word", 20_000);
    for (const p of people) if (new Set(p.doc.getArray("words").toArray()).size !== typed.size) throw new Error("a word twice");
    const bad = people.flatMap((p) => p.closes).filter((code) => code >= 4000);
    if (bad.length) throw new Error(`closed with ${bad}`);
    note(`${typed.size} words, ${people.reduce((n, p) => n + p.opens - 1, 0)} reconnects of ${people.length} people, ${failed.length} of ${typed.size} API requests failed`);
    if (failed.length) throw new Error(`requests: ${failed.slice(0, 5)}`);
    people.forEach((p) => p.close());
    await front.stop();
  }, { deadline_ms: 240_000 });

  await test(`${kind}, by document: everybody of one document is on one node`, async () => {
    const front = await balancer(kind, true);
    await until(async () => (await Promise.all(nodes.map((node) => sessions(node)))).every((n) => n === 0), "nobody is there", 10_000, 50);
    const people = Array.from({ length: 6 }, () => client(front, `together-${kind}`));
    await until(() => people.every((p) => p.provider.synced), "all are there");
    await until(async () => {
      const counts = (await Promise.all(nodes.map((node) => sessions(node)))).sort();
      return counts.join() === "0,0,6";
    }, "six on one node", 5000, 50);
    people.forEach((p) => p.close());
    await front.stop();
  });
}

for (const node of nodes) await node.stop();
finish();
