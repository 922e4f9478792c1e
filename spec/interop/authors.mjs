// Whose a client id is (SEC-AZ-08), with stock clients: tabs, people who come back from being offline, and somebody whose client
// brings what another one wrote.
//
//   node spec/interop/authors.mjs
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { client } from "./clients.mjs";
import { collabProviders, providers, Y } from "./packages.mjs";

const plugins = temporaryFolder();
mkdirSync(join(plugins, "door"));
writeFileSync(
  join(plugins, "door", "plugin.lua"),
  "return { name = 'door', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {}, authorize = {} } }",
);
writeFileSync(
  join(plugins, "door", "init.lua"),
  `local ml = require "moonloom"
local P = {}
function P:authenticate(req) if req.token and req.token ~= "" then return { user = req.token, name = req.token } end end
function P:authorize() return ml.grant { role = "editor" } end
return P`,
);
const server = await new Server({ config: "auth = { mode = 'plugins' }\nplugins = { door = {} }\n", args: ["--plugins", plugins] }).start();
afterFailure(() => note(server.tail()));

async function stored(name) {
  const answer = await fetch(`${server.url}/api/v1/orgs/default/docs/${encodeURIComponent(name)}/state`, { headers: { Authorization: "Bearer reader" } });
  if (answer.status !== 200) return "";
  const doc = new Y.Doc();
  Y.applyUpdate(doc, new Uint8Array(await answer.arrayBuffer()));
  return doc.getText("content").toString();
}

// ---- y-websocket --------------------------------------------------------------------------------------------------------------

for (const { name, Provider } of providers) {
  const joins = (document, user, more = {}) => client(server, document, { Provider, params: { token: user }, ...more });

  await test(`${name}: everybody writes, reconnects and writes on`, async () => {
    const document = `all-${name}`;
    const people = ["ana", "ben", "ana"].map((user) => joins(document, user)); // the last one is another tab
    await until(() => people.every((one) => one.synced()), "all are synced");
    people.forEach((one, i) => one.text.insert(0, `<${i}>`));
    await until(() => people.every((one) => one.text.length === 9), "all have all");
    for (const one of people) {
      one.provider.disconnect();
      one.text.insert(0, "[offline]");
    }
    for (const one of people) one.provider.connect();
    await until(() => people.every((one) => one.text.length === 36), "what was written offline is there");
    await until(async () => (await stored(document)).length === 36, "and stored");
    for (const one of people) one.close();
  });

  await test(`${name}: a tab that comes back as the same document of the same user goes on`, async () => {
    const document = `back-${name}`;
    const doc = new Y.Doc();
    const first = joins(document, "ana", { doc });
    await until(() => first.synced(), "synced");
    first.text.insert(0, "one ");
    await until(async () => (await stored(document)) === "one ", "stored");
    first.provider.destroy();
    doc.getText("content").insert(4, "two "); // nobody is connected
    const again = joins(document, "ana", { doc });
    await until(async () => (await stored(document)) === "one two ", "stored, too");
    again.close();
  });

  await test(`${name}: who brings what another user wrote is refused, and its writer is not`, async () => {
    const document = `relay-${name}`;
    const ana = joins(document, "ana");
    await until(() => ana.synced(), "synced");
    ana.text.insert(0, "hello");
    await until(async () => (await stored(document)) === "hello", "stored");
    ana.provider.disconnect();
    ana.text.insert(5, " world"); // offline; ben gets it by some other way
    const bens = new Y.Doc();
    Y.applyUpdate(bens, Y.encodeStateAsUpdate(ana.doc));
    const ben = joins(document, "ben", { doc: bens });
    await until(() => ben.closes.includes(4403), "ben is refused");
    ben.provider.disconnect();
    if ((await stored(document)) !== "hello") throw new Error("it was taken");
    ana.provider.connect();
    await until(async () => (await stored(document)) === "hello world", "ana has delivered it");
    const before = ben.closes.length;
    ben.provider.connect(); // now it is no news
    await until(() => ben.synced(), "ben is synced");
    ben.text.insert(11, "!");
    await until(async () => (await stored(document)) === "hello world!", "ben writes");
    if (ben.closes.slice(before).includes(4403)) throw new Error("ben was refused again");
    ana.close();
    ben.close();
  });
}

// ---- Hocuspocus ---------------------------------------------------------------------------------------------------------------

for (const library of collabProviders) {
  await test(`${library.name}: a forged id is refused, its owner goes on`, async () => {
    const document = `forged-${library.name}`;
    const sockets = ["ana", "ben"].map(() => collabSocket(server, library));
    const ana = collab(sockets[0], document, { token: "ana" });
    await until(() => ana.synced(), "synced");
    ana.text.insert(0, "hers");
    await until(() => ana.saved(), "saved");
    const bens = new Y.Doc();
    const ben = collab(sockets[1], document, { token: "ben", doc: bens });
    await until(() => ben.synced() && ben.text.length === 4, "ben has it");
    const own = bens.clientID;
    bens.clientID = ana.doc.clientID; // he writes in her name
    ben.text.insert(4, " FORGED");
    bens.clientID = own; // as his provider knows him
    await until(() => ben.stateless.some((text) => JSON.parse(text).code === "author.foreign"), "he is told");
    ana.text.insert(4, " still");
    await until(() => ana.saved(), "saved, too");
    await until(async () => (await stored(document)) === "hers still", "and nothing of his is there");
    if (ana.text.toString() !== "hers still") throw new Error(ana.text.toString());
    for (const it of [ana, ben, ...sockets]) it.close();
  });
}

// ---- The HTTP API -------------------------------------------------------------------------------------------------------------

await test("a program that sends updates owns its id, and imports have no owner", async () => {
  const base = `${server.url}/api/v1/orgs/default/docs`;
  const post = async (document, user, doc) =>
    (await fetch(`${base}/${document}/updates`, {
      method: "POST",
      headers: { Authorization: `Bearer ${user}`, "Content-Type": "application/octet-stream" },
      body: Y.encodeStateAsUpdate(doc),
    })).status;
  const old = new Y.Doc();
  old.getText("content").insert(0, "from elsewhere");
  const made = await fetch(base, {
    method: "POST",
    headers: { Authorization: "Bearer importer", "Content-Type": "application/json" },
    body: JSON.stringify({ name: "imported", content: { update: Buffer.from(Y.encodeStateAsUpdate(old)).toString("base64url") } }),
  });
  if (made.status !== 201) throw new Error(`created: ${made.status} ${await made.text()}`);
  old.getText("content").insert(0, "on: "); // the tab that wrote it there comes along
  if ((await post("imported", "ana", old)) !== 200) throw new Error("the writer was refused");
  old.getText("content").insert(0, "no: ");
  if ((await post("imported", "ben", old)) !== 403) throw new Error("somebody else was not");
  const bot = new Y.Doc();
  bot.getText("content").insert(0, "bot ");
  if ((await post("bots", "bot", bot)) !== 200) throw new Error("the bot was refused");
  bot.getText("content").insert(4, "again ");
  if ((await post("bots", "bot", bot)) !== 200) throw new Error("the bot was refused the second time");
  bot.getText("content").insert(0, "x");
  if ((await post("bots", "ben", bot)) !== 403) throw new Error("somebody else was the bot");
});

await server.stop();
finish();
