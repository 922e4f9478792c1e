// A quiet document: the stock client's watchdog sees no ping, only messages, and reconnects after 30 s without one.
import { LONG, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, createYjsProvider, Next, nextProvider, providers, WebSocket, Y, ySweetVersion } from "./packages.mjs";

const QUIET_MS = LONG ? 180_000 : 75_000;
const server = await new Server().start();
afterFailure(() => note(server.tail()));

/** A WebSocket class that notes what became of its connections. */
function seen(it) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("close", (code) => it.closes.push(code));
    }
  };
}

// An own renewal, echoed or not, would keep them awake: nobody shows a cursor.
const clients = providers.map(({ name, Provider }, index) => {
  const it = client(server, `quiet-${index}`, { Provider });
  it.awareness.setLocalState(null);
  return { name, ...it, synced: () => it.provider.synced, write: () => it.text.insert(0, "still here") };
});
for (const library of collabProviders) {
  const shared = collabSocket(server, library);
  const it = collab(shared, `quiet-${clients.length}`);
  it.awareness.setLocalState(null);
  clients.push({ ...it, name: library.name, closes: shared.closes, write: () => it.text.insert(0, "still here") });
  // And one whose only document was closed: its watchdog runs all the same.
  const empty = collabSocket(server, library);
  const gone = collab(empty, `quiet-gone-${clients.length}`);
  clients.push({ name: `${library.name} without a document`, closes: empty.closes, synced: gone.synced, leave: () => gone.close() });
}
{
  const doc = new Next.Doc();
  const it = { name: nextProvider.name, closes: [] };
  const provider = new nextProvider.Provider(server.sync, `quiet-${clients.length}`, doc, { disableBc: true, WebSocketPolyfill: seen(it) });
  provider.awareness.setLocalState(null);
  clients.push(Object.assign(it, { synced: () => provider.synced, write: () => doc.get("content").insert(0, "still here") }));
}
{
  const doc = new Y.Doc();
  const it = { name: `y-sweet ${ySweetVersion}`, closes: [] };
  const name = `quiet-${clients.length}`;
  const token = { url: server.sync, baseUrl: server.url, docId: name, token: "unused", authorization: "full" };
  const provider = createYjsProvider(doc, name, async () => token, { WebSocketPolyfill: seen(it), showDebuggerLink: false });
  provider.awareness.setLocalState(null);
  clients.push(Object.assign(it, { synced: () => provider.status === "connected", write: () => doc.getText("content").insert(0, "still here") }));
}

await test(`${QUIET_MS / 1000} s without an edit and without a cursor: one connection, still usable`, async () => {
  await until(() => clients.every((it) => it.synced()), "all are synced", 20_000);
  for (const it of clients) it.leave?.();
  const end = Date.now() + QUIET_MS;
  await until(
    () => {
      for (const it of clients)
        if (it.closes.length > 0) throw new Error(`${it.name}: closed (${it.closes}) after ${Date.now() - end + QUIET_MS} ms`);
      return Date.now() > end;
    },
    "the time has passed",
    QUIET_MS + 10_000,
    250,
  );
  for (const [index, it] of clients.entries()) {
    if (!it.write) continue;
    const other = client(server, `quiet-${index}`);
    await until(() => other.provider.synced, "another one comes");
    it.write();
    await until(() => other.text.toString() === "still here", `${it.name} is heard`);
    other.close();
  }
}, { deadline_ms: QUIET_MS + 30_000 });

await test("the server drains and exits 0", () => server.stop());
finish();
