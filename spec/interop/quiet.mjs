// A quiet document: the stock client's watchdog sees no ping, only messages, and reconnects after 30 s without one.
import { LONG, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { providers } from "./packages.mjs";

const QUIET_MS = LONG ? 180_000 : 75_000;
const server = await new Server().start();
afterFailure(() => note(server.tail()));

const clients = providers.map(({ name, Provider }, index) => {
  const it = client(server, `quiet-${index}`, { Provider });
  it.awareness.setLocalState(null); // else its own renewal, echoed, would keep it awake
  return { name, ...it };
});

await test(`${QUIET_MS / 1000} s without an edit and without a cursor: one connection, still usable`, async () => {
  await until(() => clients.every((it) => it.provider.synced), "all are synced");
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
    const other = client(server, `quiet-${index}`);
    await until(() => other.provider.synced, "another one comes");
    it.text.insert(0, "still here");
    await until(() => other.text.toString() === "still here", `${it.name} is heard`);
    other.close();
  }
}, { deadline_ms: QUIET_MS + 30_000 });

for (const it of clients) it.provider.destroy();
await test("the server drains and exits 0", () => server.stop());
finish();
