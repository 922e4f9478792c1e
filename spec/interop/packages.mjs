// The one door to npm: Yjs must be loaded once, and spec/chaos needs the same clients.
import { createRequire } from "node:module";

export * as Y from "yjs";
export * as encoding from "lib0/encoding";
export * as decoding from "lib0/decoding";
export { WebSocket } from "ws";
export { createYjsProvider } from "@y-sweet/client";
import { WebsocketProvider as Provider3 } from "y-websocket";
import { WebsocketProvider as Provider2 } from "y-websocket-2";

const require = createRequire(import.meta.url);
const version = (name) => require(`./node_modules/${name}/package.json`).version;

export const ySweetVersion = version("@y-sweet/client");

/** Both generations of the y-websocket client. */
export const providers = [
  { name: `y-websocket ${version("y-websocket")}`, Provider: Provider3 },
  { name: `y-websocket ${version("y-websocket-2")}`, Provider: Provider2 },
];
