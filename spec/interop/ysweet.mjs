// The y-sweet client against /sync: its "no local changes" is an acknowledgement, so it must be true.
import { copyStore, readDocument } from "../support/node/journal.mjs";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { createYjsProvider, WebSocket, Y, ySweetVersion } from "./packages.mjs";

const server = await new Server().start();
afterFailure(() => note(server.tail()));

function sweet(name) {
  const doc = new Y.Doc();
  const token = { url: server.sync, baseUrl: server.url, docId: name, token: "unused", authorization: "full" };
  const provider = createYjsProvider(doc, name, async () => token, {
    WebSocketPolyfill: WebSocket,
    showDebuggerLink: false,
  });
  const changes = [];
  provider.on("local-changes", (has) => changes.push(has));
  return { doc, provider, changes, text: doc.getText("content") };
}

await test(`@y-sweet/client ${ySweetVersion}: shows local changes, then none, after every edit`, async () => {
  const it = sweet("sweet");
  await until(() => it.provider.status === "connected", "connected");
  await until(() => !it.provider.hasLocalChanges, "nothing to save at first");
  for (let i = 0; i < 5; i++) {
    it.text.insert(it.text.length, `${i} `);
    if (!it.provider.hasLocalChanges) throw new Error("no local change shown right after typing");
    await until(() => !it.provider.hasLocalChanges, `edit ${i} is acknowledged`, 3_000);
  }
  if (it.changes.filter((has) => !has).length < 5) throw new Error(`events: ${it.changes}`);
  it.provider.destroy();
});

await test("what was acknowledged is in the journal after kill -9", async () => {
  const it = sweet("sweet-kill");
  await until(() => it.provider.status === "connected", "connected");
  for (let i = 0; i < 100; i++) it.text.insert(it.text.length, `<${i}>`);
  await until(() => !it.provider.hasLocalChanges, "all is acknowledged");
  await server.kill();
  const stored = readDocument(copyStore(server.store), "sweet-kill");
  const fold = new Y.Doc();
  for (const { bytes } of stored.records) Y.applyUpdate(fold, bytes);
  if (fold.getText("content").toString() !== it.text.toString()) throw new Error("acknowledged and not there");
  it.provider.destroy();
  await server.start();
});

await test("the y-sweet client and a y-websocket client share a document and see each other", async () => {
  const it = sweet("mixed");
  const anna = client(server, "mixed");
  await until(() => it.provider.status === "connected" && anna.synced(), "both are there");
  it.provider.awareness.setLocalStateField("user", { name: "Sweet" });
  anna.awareness.setLocalStateField("user", { name: "Anna" });
  it.text.insert(0, "sweet ");
  await until(() => anna.text.toString() === "sweet ", "Anna reads");
  anna.text.insert(6, "home");
  await until(() => it.text.toString() === "sweet home", "the other one reads");
  await until(() => it.provider.awareness.getStates().get(anna.doc.clientID)?.user?.name === "Anna", "Anna is seen");
  await until(() => anna.awareness.getStates().get(it.doc.clientID)?.user?.name === "Sweet", "and sees");
  it.provider.destroy();
  anna.close();
});

await test("the server drains and exits 0", () => server.stop());
finish();
