// Failure 6: a token in localStorage for 24 h is anybody's who gets one script onto the page.
// What accounts bring (cookies, rotation) is tested with them; here: what a page of ours is given to keep, and to run.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "../interop/packages.mjs";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test } from "../support/node/tap.mjs";

await test("the obvious design: any script on the page takes the token, and it is good for a day", () => {
  const localStorage = new Map([["token", JSON.stringify({ user: "ana", expires: Date.now() + 24 * 3_600_000 })]]);
  const stolen = (() => JSON.parse(localStorage.get("token")))(); // a script of somebody else's
  if (stolen.expires - Date.now() < 23 * 3_600_000) throw new Error("the stand-in does not show it");
});

const server = await new Server({ config: `origins = { "http://127.0.0.1:1" }` }).start();
afterFailure(() => note(server.tail()));
const www = new URL("../../www/src", import.meta.url).pathname;

function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (/\.tsx?$/.test(name)) yield path;
  }
}

await test("here: no code of the page keeps a credential in page storage", () => {
  let read = 0;
  for (const path of files(www)) {
    read += 1;
    for (const line of readFileSync(path, "utf8").split("\n"))
      if (/(local|session)Storage/.test(line) && /token|jwt|secret|password|credential/i.test(line)) throw new Error(`${path}: ${line}`);
  }
  if (read < 10) throw new Error("the page's code is elsewhere: this test reads nothing");
});

await test("here: nobody else's script runs on the page, and what it answers is kept by nobody", async () => {
  const page = await fetch(`${server.url}/api/v1/orgs/default/docs`);
  if (page.headers.get("cache-control") !== "no-store") throw new Error(`cache-control: ${page.headers.get("cache-control")}`);
  const html = await fetch(`${server.url}/`);
  const policy = html.headers.get("content-security-policy") ?? "";
  if (html.ok && !/script-src 'self'(;|$)/.test(policy)) throw new Error(`policy: ${policy}`);
  if (/unsafe-inline|unsafe-eval/.test(policy.replace(/style-src[^;]*/, ""))) throw new Error(`policy: ${policy}`);
});

const connects = (origin) =>
  new Promise((resolve) => {
    const socket = new WebSocket(`${server.sync}/origin`, { headers: { origin } });
    socket.on("open", () => resolve(true)).on("error", () => resolve(false));
    socket.on("open", () => socket.close());
  });

await test("here: a page of another origin cannot open a socket with somebody's cookie", async () => {
  if (!(await connects("http://127.0.0.1:1"))) throw new Error("the allowed origin is refused");
  if (await connects("https://evil.example")) throw new Error("another origin is let in");
});

await server.stop();
finish();
