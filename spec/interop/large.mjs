// A large document reaches every kind of client: 8 MB in every run, 50 MB in the long ones.
import { fastBinary, LONG, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, createYjsProvider, Next, nextProvider, providers, WebSocket, Y } from "./packages.mjs";

const MEGABYTES = LONG ? 50 : 8;
const PART = "The moon weaves its light into every thread of the loom. ".repeat(9200).slice(0, 512 * 1024);

console.warn = () => {};
const server = await new Server({ bin: fastBinary() }).start();
afterFailure(() => note(server.tail()));

const writer = client(server, "large");
await until(() => writer.provider.synced, "the writer is there");
await test(`${MEGABYTES} MB are written`, async () => {
  for (let i = 0; i < 2 * MEGABYTES; i++) {
    writer.text.insert(writer.text.length, PART);
    // A writer that reads its echoes too slowly is cut off and comes back.
    await until(() => writer.provider.ws?.bufferedAmount < 1 << 20, "it leaves", 60_000, 5);
  }
  // A newcomer is answered with what is committed.
  await until(async () => {
    const newcomer = client(server, "large");
    await until(() => newcomer.provider.synced, "a newcomer is synced", 60_000);
    const length = newcomer.text.length;
    newcomer.close();
    return length === writer.text.length;
  }, "all of it is committed", 120_000, 500);
}, { deadline_ms: 200_000 });

const wanted = writer.text.length;
const kinds = [];
for (const { name, Provider } of providers)
  kinds.push({ name, open: () => { const it = client(server, "large", { Provider }); return { ...it, length: () => it.text.length }; } });
for (const library of collabProviders)
  kinds.push({
    name: library.name,
    open: () => {
      const socket = collabSocket(server, library);
      const it = collab(socket, "large");
      return { ...it, length: () => it.text.length, close: () => { it.close(); socket.close(); } };
    },
  });
kinds.push({
  name: nextProvider.name,
  open: () => {
    const doc = new Next.Doc();
    const provider = new nextProvider.Provider(server.sync, "large", doc, { disableBc: true, WebSocketPolyfill: WebSocket });
    return { length: () => doc.get("content").length, close: () => provider.destroy() };
  },
});
kinds.push({
  name: "y-sweet",
  open: () => {
    const doc = new Y.Doc();
    const token = { url: server.sync, baseUrl: server.url, docId: "large", token: "unused", authorization: "full" };
    const provider = createYjsProvider(doc, "large", async () => token, { WebSocketPolyfill: WebSocket, showDebuggerLink: false });
    return { length: () => doc.getText("content").length, close: () => provider.destroy() };
  },
});

for (const { name, open } of kinds)
  await test(`${name} is brought up to date`, async () => {
    const began = Date.now();
    const it = open();
    await until(() => it.length() === wanted, "it has all of it", 60_000, 20);
    note(`${Date.now() - began} ms`);
    it.close();
  }, { deadline_ms: 90_000 });

note(`the server holds ${(server.rss() / 2 ** 20).toFixed(0)} MiB`);
writer.close();
await server.stop();
finish();
