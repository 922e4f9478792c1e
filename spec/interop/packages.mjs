// The one door to npm: Yjs must be loaded once, and spec/chaos needs the same clients.
import { createRequire } from "node:module";

export * as Y from "yjs";
export * as encoding from "lib0/encoding";
export * as decoding from "lib0/decoding";
export { WebSocket } from "ws";
export { createYjsProvider } from "@y-sweet/client";
import { WebsocketProvider as Provider3 } from "y-websocket";
import { WebsocketProvider as Provider2 } from "y-websocket-2";
import { WebsocketProvider as Provider4 } from "@y/websocket";
import * as Hocuspocus2 from "hocuspocus-provider-2";
import * as Hocuspocus3 from "hocuspocus-provider-3";
import * as Hocuspocus4 from "hocuspocus-provider-4";
export * as Next from "@y/y"; // Yjs 14: documents with client ids of 53 bits

const require = createRequire(import.meta.url);
const version = (name) => require(`./node_modules/${name}/package.json`).version;

export const ySweetVersion = version("@y-sweet/client");

/** The release candidate that goes with Yjs 14. */
export const nextProvider = { name: `@y/websocket ${version("@y/websocket")}`, Provider: Provider4 };

/** Three generations of the Hocuspocus client. */
export const collabProviders = [Hocuspocus2, Hocuspocus3, Hocuspocus4].map((library, i) => ({
  name: `@hocuspocus/provider ${version(`hocuspocus-provider-${i + 2}`)}`,
  generation: i + 2,
  Provider: library.HocuspocusProvider,
  Socket: library.HocuspocusProviderWebsocket,
}));

/** Both generations of the y-websocket client. */
export const providers = [
  { name: `y-websocket ${version("y-websocket")}`, Provider: Provider3 },
  { name: `y-websocket ${version("y-websocket-2")}`, Provider: Provider2 },
];
