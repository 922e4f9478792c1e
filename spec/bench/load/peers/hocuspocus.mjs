/* Hocuspocus on loopback: `node hocuspocus.mjs [FILE.sqlite]`; without a file nothing is stored. Prints its port. */
import { Server } from "@hocuspocus/server";

const file = process.argv[2];
const extensions = [];
if (file) {
  const { SQLite } = await import("@hocuspocus/extension-sqlite");
  extensions.push(new SQLite({ database: file }));
}
const server = new Server({ address: "127.0.0.1", port: 0, quiet: true, extensions, stopOnSignals: false });
await server.listen();
console.log(server.address.port);
process.on("SIGTERM", () => process.exit(0));
