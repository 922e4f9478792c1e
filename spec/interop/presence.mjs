// Cursors of published clients: seen, changed, gone; also when a client dies without a word.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client } from "./clients.mjs";
import { providers } from "./packages.mjs";

if (process.argv[2] === "--guest") {
  // A tab of its own, to be killed: it shows a cursor and stays.
  const guest = client(process.argv[3], process.argv[4], { Provider: providers[Number(process.argv[5])].Provider });
  guest.awareness.setLocalStateField("user", { name: "Guest" });
} else {
  const server = await new Server().start();
  afterFailure(() => note(server.tail()));
  const state = (of, who) => of.awareness.getStates().get(who.doc.clientID);

  for (const [index, { name: kind, Provider }] of providers.entries()) {
    const name = `presence-${index}`;

    await test(`${kind}: names and cursors are seen, change, and leave with their owner`, async () => {
      const anna = client(server, name, { Provider });
      const ben = client(server, name, { Provider });
      await until(() => anna.synced() && ben.synced(), "both are synced");
      anna.awareness.setLocalStateField("user", { name: "Anna", color: "#ff0000" });
      await until(() => state(ben, anna)?.user?.name === "Anna", "Ben sees Anna");
      anna.awareness.setLocalStateField("cursor", { anchor: 1, head: 2 });
      await until(() => state(ben, anna)?.cursor?.head === 2, "Ben sees the cursor move");
      const late = client(server, name, { Provider });
      await until(() => state(late, anna)?.user?.name === "Anna", "who comes later sees Anna too");
      anna.close();
      await until(() => !state(ben, anna) && !state(late, anna), "Anna is gone from both screens", 5_000);
      ben.close();
      late.close();
    });

    await test(`${kind}: the cursor of a killed client goes at once, also after it had left and come back`, async () => {
      const ben = client(server, name, { Provider });
      await until(() => ben.synced(), "Ben is synced");
      const guest = spawn(process.execPath, [
        fileURLToPath(import.meta.url), "--guest", server.sync, name, String(index),
      ]);
      process.once("exit", () => guest.kill("SIGKILL"));
      const named = () => [...ben.awareness.getStates().values()].some((it) => it.user?.name === "Guest");
      await until(named, "the guest is seen", 15_000);
      guest.kill("SIGKILL");
      await until(() => !named(), "the guest is gone", 5_000);

      const anna = client(server, name, { Provider });
      anna.awareness.setLocalStateField("user", { name: "Anna" });
      await until(() => state(ben, anna)?.user, "Anna is seen");
      anna.awareness.setLocalState(null);
      await until(() => !state(ben, anna), "Anna is hidden");
      anna.awareness.setLocalState({ user: { name: "Anna" } });
      await until(() => state(ben, anna)?.user, "Anna is back");
      anna.provider.shouldConnect = false;
      anna.provider.ws.terminate(); // no close frame, no goodbye
      await until(() => !state(ben, anna), "Anna's ghost is gone", 5_000);
      anna.close();
      ben.close();
    });
  }

  await test("the server drains and exits 0", () => server.stop());
  finish();
}
