// A server that goes and comes back: stock clients find it again, and nothing typed in between is lost or doubled.
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { providers } from "./packages.mjs";

const server = await new Server().start();
afterFailure(() => note(server.tail()));

for (const [index, { name: kind, Provider }] of providers.entries()) {
  for (const how of ["stop", "kill"]) {
    await test(`${kind}: reconnects after the server was ${how === "stop" ? "stopped" : "killed"} and brings what was typed offline`, async () => {
      const name = `reconnect-${index}-${how}`;
      const anna = client(server, name, { Provider });
      const ben = client(server, name, { Provider });
      await until(() => anna.synced() && ben.synced(), "both are synced");
      anna.text.insert(0, "before;");
      await until(() => ben.text.toString() === "before;", "Ben sees it");
      await server[how]();
      await until(() => !anna.provider.wsconnected && !ben.provider.wsconnected, "both notice");
      if (how === "stop" && Number(anna.closes.at(-1)) >= 4400 && Number(anna.closes.at(-1)) < 4500)
        throw new Error(`closed with ${anna.closes.at(-1)}, which clients take as final`);
      anna.text.insert(7, "anna offline;");
      ben.text.insert(7, "ben offline;");
      await server.start();
      await until(() => anna.synced() && ben.synced(), "both are back", 15_000);
      await until(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)), "both have one state");
      for (const words of ["before;", "anna offline;", "ben offline;"])
        if (anna.text.toString().split(words).length !== 2)
          throw new Error(`"${words}" is not there once: ${anna.text}`);
      anna.close();
      ben.close();
    });
  }
}

await test("the server drains and exits 0", () => server.stop());
finish();
