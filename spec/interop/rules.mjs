// Plugins that tell people apart, with stock Yjs clients: both values of a conflict are kept, its authors are told, and somebody
// picks one; a paragraph belongs to whoever is writing in it.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, Y } from "./packages.mjs";

const plugins = temporaryFolder();
mkdirSync(join(plugins, "quiet"));
writeFileSync(join(plugins, "quiet", "plugin.lua"), "return { name = 'quiet', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} } }");
writeFileSync(join(plugins, "quiet", "init.lua"), "local P = {}\nfunction P:authenticate() return nil end\nreturn P");
const config = `auth = { mode = 'plugins' }
plugins = { quiet = {}, ['conflict-keep-both'] = { config = { paths = { 'tasks/*', 'page/**' } } } }
`;
const server = await new Server({ config, args: ["--plugins", plugins] }).start();
afterFailure(() => note(server.tail()));
const tokens = {};
for (const [user, role] of [["ana", "editor"], ["ben", "editor"], ["eve", "owner"], ["vic", "viewer"]])
  tokens[user] = execFileSync(server.bin, ["token", "--org", "default", "--user", user, "--role", role, "--data", server.data], { encoding: "utf8" }).trim();

const base = `${server.url}/api/v1/orgs/default`;

async function call(user, fn, name, args = {}) {
  const answer = await fetch(`${base}/rpc/${fn}?doc=${name}`, { method: "POST", headers: { Authorization: `Bearer ${tokens[user]}`, "Content-Type": "application/json" }, body: JSON.stringify(args) });
  return { status: answer.status, value: await answer.json() };
}

const only = (condition, what) => {
  if (!condition) throw new Error(what);
};

// ---- Clients that hear notices --------------------------------------------------------------------------------------------

const library = collabProviders[0];

/** A Hocuspocus client, which hears notices as stateless messages. */
function person(name, user, id) {
  const doc = new Y.Doc();
  if (id) doc.clientID = id;
  const socket = collabSocket(server, library);
  const notices = [];
  const it = collab(socket, name, { doc, token: tokens[user], onStateless: ({ payload }) => notices.push(JSON.parse(payload)) });
  return { ...it, doc, notices, close: () => (it.close(), socket.close()) };
}

let number = 0;

/** Two people who set the same key while neither sees the other. */
async function clash(run) {
  const name = `clash-${++number}`;
  const people = [person(name, "ana", 10), person(name, "ben", 20)];
  const [ana, ben] = people;
  await until(() => ana.synced() && ben.synced(), "synced");
  ana.doc.transact(() => {
    const task = new Y.Map();
    task.set("title", "Fix");
    ana.doc.getMap("tasks").set("7", task);
  });
  await until(() => ben.doc.getMap("tasks").has("7"), "the task is there");
  const task = (it) => it.doc.getMap("tasks").get("7");
  // In one turn of the loop: both frames leave before either arrives.
  task(ana).set("title", "ana's");
  task(ben).set("title", "ben's");
  await until(() => people.every((it) => task(it).get("conflicts")?.length === 1), "both values are kept");
  await run({ name, ana, ben, task, people, entry: task(ana).get("conflicts").get(0) });
  for (const it of people) it.close();
}

await test("both values are kept, and both authors are told which of them stands", () =>
  clash(async ({ ana, ben, task, people, entry }) => {
    only(task(ana).get("title") === task(ben).get("title"), "not the same");
    only(entry.value !== task(ana).get("title") && entry.against !== entry.author, JSON.stringify(entry));
    await until(() => people.every((it) => it.notices.some((n) => n.code === "conflict")), `told: ${JSON.stringify(people.map((it) => it.notices))}`);
    for (const [user, it] of [["ana", ana], ["ben", ben]]) {
      const { data } = it.notices.find((n) => n.code === "conflict");
      only(data.path === "tasks/7" && data.key === "title" && data.id === entry.id && data.stands === (entry.against === user), JSON.stringify(data));
    }
  }));

await test("somebody picks the one that lost: it stands, and the list is empty; again it does nothing", () =>
  clash(async ({ name, task, people, entry }) => {
    only((await call("vic", "conflict.keep", name, { path: "tasks/7", id: entry.id })).status === 403, "a viewer picks nothing");
    const answer = await call("eve", "conflict.keep", name, { path: "tasks/7", id: entry.id });
    only(answer.status === 200 && answer.value.count === 1 && answer.value.key === "title", JSON.stringify(answer));
    await until(() => people.every((it) => task(it).get("title") === entry.value && task(it).get("conflicts").length === 0), "it stands");
    only((await call("eve", "conflict.keep", name, { path: "tasks/7", id: entry.id })).value.count === 0, "again");
  }));

await test("or what stands stays", () =>
  clash(async ({ name, ana, task, people }) => {
    const stands = task(ana).get("title");
    const refused = await call("ana", "conflict.keep", name, { path: "tasks/7", id: "current" });
    only(refused.status === 403 && refused.value.error.code === "conflict-keep-both.no_key", JSON.stringify(refused));
    const answer = await call("ana", "conflict.keep", name, { path: "tasks/7", id: "current", key: "title" });
    only(answer.value.count === 1, JSON.stringify(answer));
    await until(() => people.every((it) => task(it).get("title") === stands && task(it).get("conflicts").length === 0), "the list is empty");
  }));

await test("the server drains and exits 0", () => server.stop());
finish();
