/*
 * A stand-in for the Moonloom server, for work on the pages without a C compiler: `npm run standin`, then `npm run dev`.
 *
 * Open mode, one folder of append-only files, y-websocket semantics, the echo of an update and of `66` only after
 * fsync. No policies, no history, no limits: what it does not have is the product.
 *
 *   node dev/standin.mjs [--listen HOST:PORT] [--data DIR]
 */
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, closeSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import { WebSocketServer } from "ws";
import { applyAwarenessUpdate, Awareness, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness";
import * as Y from "yjs";

const { values: flags } = parseArgs({
  options: { listen: { type: "string", default: "127.0.0.1:8080" }, data: { type: "string", default: "data" } },
  allowPositionals: true,
});
const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const rooms = new Map();
mkdirSync(flags.data, { recursive: true });

const fileOf = (key) => join(flags.data, createHash("sha256").update(key).digest("hex").slice(0, 32));

function room(key) {
  let it = rooms.get(key);
  if (it !== undefined) return it;
  const doc = new Y.Doc();
  const awareness = new Awareness(doc);
  awareness.setLocalState(null);
  const path = fileOf(key);
  const log = openSync(path, "a+");
  const bytes = readFileSync(path);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (at + 4 + length > bytes.length) break;
    Y.applyUpdate(doc, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  if (bytes.length === 0) appendFileSync(join(flags.data, "names"), `${JSON.stringify({ key, path })}\n`);
  it = { doc, awareness, sockets: new Set(), log };
  const send = (frame) => {
    for (const socket of it.sockets) socket.send(frame);
  };
  doc.on("update", (update) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(update.length);
    writeSync(it.log, Buffer.concat([head, update]));
    fsyncSync(it.log);
    send(frame(0, 2, update));
  });
  awareness.on("update", ({ added, updated, removed }) => {
    send(frame(1, null, encodeAwarenessUpdate(awareness, [...added, ...updated, ...removed])));
  });
  rooms.set(key, it);
  return it;
}

function frame(type, subtype, bytes) {
  const e = encoding.createEncoder();
  encoding.writeVarUint(e, type);
  if (subtype !== null) encoding.writeVarUint(e, subtype);
  encoding.writeVarUint8Array(e, bytes);
  return encoding.toUint8Array(e);
}

function enter(socket, key) {
  const it = room(key);
  const mine = new Set();
  it.sockets.add(socket);
  socket.binaryType = "nodebuffer";
  socket.send(frame(0, 0, Y.encodeStateVector(it.doc)));
  const here = [...it.awareness.getStates().keys()];
  if (here.length > 0) socket.send(frame(1, null, encodeAwarenessUpdate(it.awareness, here)));
  socket.on("message", (data) => {
    const d = decoding.createDecoder(new Uint8Array(data));
    switch (decoding.readVarUint(d)) {
      case 0: {
        const subtype = decoding.readVarUint(d);
        const payload = decoding.readVarUint8Array(d);
        if (subtype === 0) socket.send(frame(0, 1, Y.encodeStateAsUpdate(it.doc, payload)));
        else Y.applyUpdate(it.doc, payload);
        break;
      }
      case 1: {
        const update = decoding.readVarUint8Array(d);
        const ids = decoding.createDecoder(update);
        for (let n = decoding.readVarUint(ids); n > 0; n--) {
          mine.add(decoding.readVarUint(ids));
          decoding.readVarUint(ids);
          decoding.readVarString(ids);
        }
        applyAwarenessUpdate(it.awareness, update, socket);
        break;
      }
      case 3:
        socket.send(frame(1, null, encodeAwarenessUpdate(it.awareness, [...it.awareness.getStates().keys()])));
        break;
      case 102:
        socket.send(data);
        break;
    }
  });
  socket.on("close", () => {
    it.sockets.delete(socket);
    removeAwarenessStates(it.awareness, [...mine], null);
  });
}

// --- http ---------------------------------------------------------------------------------------

const table = new Map();
for (const line of readFileSync(join(DIST, "files.tsv"), "utf8").trim().split("\n")) {
  const [path, type, cache, , small] = line.split("\t");
  table.set(path, { type, cache, body: readFileSync(join(DIST, path)), gz: small === "-" ? null : readFileSync(join(DIST, `${path}.gz`)) });
}

function page(response) {
  const nonce = randomBytes(16).toString("base64");
  response.writeHead(200, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy":
      `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data: blob:; font-src 'self'; ` +
      "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
  });
  response.end(table.get("/index.html").body.toString().replaceAll("__ML_NONCE__", nonce));
}

function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}

function documents() {
  try {
    const lines = readFileSync(join(flags.data, "names"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
    return lines
      .filter(({ key, path }) => key.startsWith("default/") && statSync(path).size > 0)
      .map(({ key, path }) => ({ name: key.slice("default/".length), seq: 1, updated_at_ms: Math.round(statSync(path).mtimeMs) }));
  } catch {
    return [];
  }
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = table.get(pathname);
  if (["/", "/sign-in", "/setup", "/invite", "/password"].includes(pathname) || pathname.startsWith("/edit/")) return page(response);
  if (pathname === "/auth/session") return json(response, 200, { mode: "open", user: { id: "guest", name: "Guest" } });
  if (pathname === "/api/v1/orgs/default/docs") return json(response, 200, { items: documents(), next: null });
  if (file === undefined || pathname === "/index.html") return json(response, 404, { error: { code: "not_found", message: "no such page" } });
  const gz = file.gz !== null && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
  response.writeHead(200, {
    "content-type": file.type,
    "cache-control": file.cache,
    "x-content-type-options": "nosniff",
    vary: "accept-encoding",
    ...(gz ? { "content-encoding": "gzip" } : {}),
  });
  response.end(gz ? file.gz : file.body);
});

const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  const match = /^\/sync\/([a-z0-9-]+)\/(.+)$/.exec(new URL(request.url, "http://localhost").pathname);
  if (match === null) return socket.destroy();
  sockets.handleUpgrade(request, socket, head, (ws) => enter(ws, `${match[1]}/${decodeURIComponent(match[2])}`));
});

const colon = flags.listen.lastIndexOf(":");
server.listen(Number(flags.listen.slice(colon + 1)), flags.listen.slice(0, colon), () => {
  console.log(`stand-in: http://127.0.0.1:${server.address().port}`);
});
process.on("exit", () => {
  for (const it of rooms.values()) closeSync(it.log);
});
