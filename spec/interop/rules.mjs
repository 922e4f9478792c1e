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
plugins = { quiet = {}, ['conflict-keep-both'] = { config = { paths = { 'tasks/*' } } },
  ['paragraph-lock'] = { config = { ttl = '1s', paths = { 'page/**' } } } }
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

// ---- A paragraph that somebody has taken ------------------------------------------------------------------------------------

await test("a paragraph that is taken by a call is its owner's, with a reason, until it is given back", async () => {
  const name = `lock-${++number}`;
  const [ana, ben] = [person(name, "ana", 10), person(name, "ben", 20)];
  await until(() => ana.synced() && ben.synced(), "synced");
  const page = (it) => it.doc.getXmlFragment("page");
  const paragraph = (words) => {
    const p = new Y.XmlElement("paragraph");
    p.insert(0, [new Y.XmlText(words)]);
    return p;
  };
  ana.doc.transact(() => page(ana).insert(0, [paragraph("one"), paragraph("two")]));
  await until(() => page(ben).length === 2, "the page is there");
  const taken = await call("ana", "lock.take", name, { path: "page/0", reason: "legal review" });
  only(taken.status === 200 && taken.value.block === "10-0", JSON.stringify(taken));
  await until(() => ben.doc.getMap("locks").get("10-0")?.reason === "legal review", "everybody sees it");
  page(ben).get(0).get(0).insert(0, "B");
  await until(() => ben.notices.some((n) => n.code === "paragraph-lock.locked"), "refused");
  only(ben.notices.at(-1).reason.includes("legal review"), JSON.stringify(ben.notices.at(-1)));
  await until(() => page(ben).get(0).toString() === "<paragraph>one</paragraph>", "gone back");
  page(ana).get(0).get(0).insert(3, "!");
  await until(() => page(ben).get(0).toString() === "<paragraph>one!</paragraph>", "its owner writes");
  for (const fn of ["lock.take", "lock.release"]) {
    const answer = await call("ben", fn, name, { block: "10-0" });
    only(answer.status === 403 && answer.value.error.code === "paragraph-lock.locked", JSON.stringify(answer));
  }
  only((await call("vic", "lock.take", name, { path: "page/1" })).status === 403, "a viewer takes nothing");
  only((await call("ben", "lock.take", name, { path: "page/9" })).value.error.code === "paragraph-lock.no_block", "no such block");
  ben.doc.getMap("locks").delete("10-0");
  await until(() => ben.doc.getMap("locks").has("10-0"), "no way around");
  const released = await call("eve", "lock.release", name, { path: "page/0/0" });
  only(released.value.released === true, JSON.stringify(released));
  await until(() => !ben.doc.getMap("locks").has("10-0"), "given back");
  // What ana has typed ends a second after it.
  await until(() => {
    if (!page(ben).get(0).toString().includes("B")) page(ben).get(0).get(0).insert(0, "B");
    return page(ana).get(0).toString().includes("B");
  }, "free", 10_000, 300);
  for (const it of [ana, ben]) it.close();
});

await test("the server drains and exits 0", () => server.stop());
finish();
