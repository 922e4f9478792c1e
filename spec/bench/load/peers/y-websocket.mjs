/* The server that came with y-websocket 2, in memory, on loopback. Prints its port. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { WebSocketServer } from "ws";

const { setupWSConnection } = createRequire(import.meta.url)("y-websocket/bin/utils");
const sockets = new WebSocketServer({ noServer: true });
sockets.on("connection", setupWSConnection);
const server = createServer();
server.on("upgrade", (request, socket, head) => sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit("connection", ws, request)));
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
process.on("SIGTERM", () => process.exit(0));
