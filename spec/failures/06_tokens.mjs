// Failure 6: a token in localStorage for 24 h is anybody's who gets one script onto the page.
// Here with accounts: what a script on the page can get hold of, how long it is good for, and what a copy of it brings.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { addUser, Visitor } from "../support/node/accounts.mjs";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";

await test("the obvious design: any script on the page takes the token, and it is good for a day", () => {
  const localStorage = new Map([["token", JSON.stringify({ user: "ana", expires: Date.now() + 24 * 3_600_000 })]]);
  const stolen = (() => JSON.parse(localStorage.get("token")))(); // a script of somebody else's
  if (stolen.expires - Date.now() < 23 * 3_600_000) throw new Error("the stand-in does not show it");
});

const server = await new Server({ config: `auth = { mode = "password" }\norigins = { "http://127.0.0.1:1" }` }).start();
addUser(server, "ana", "correct horse", "editor");
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
  const ana = new Visitor(server);
  if ((await ana.login("ana", "correct horse")).status !== 200) throw new Error("she cannot sign in");
  const page = await ana.ask("GET", "/api/v1/orgs/default/docs");
  if (page.status !== 200) throw new Error(`the list: ${page.status}`);
  if (page.headers.get("cache-control") !== "no-store") throw new Error(`cache-control: ${page.headers.get("cache-control")}`);
  const html = await fetch(`${server.url}/`);
  const policy = html.headers.get("content-security-policy") ?? "";
  if (html.ok && !/script-src 'self'(;|$)/.test(policy)) throw new Error(`policy: ${policy}`);
  if (/unsafe-inline|unsafe-eval/.test(policy.replace(/style-src[^;]*/, ""))) throw new Error(`policy: ${policy}`);
});

await test("here: what a script of the page can read opens nothing, and no answer holds a token", async () => {
  const ana = new Visitor(server);
  const answer = await ana.login("ana", "correct horse");
  if (ana.visible.join() !== "ml_csrf") throw new Error(`a script reads ${ana.visible}`);
  for (const [name, { value }] of ana.cookies)
    if (name !== "ml_csrf" && answer.text.includes(value)) throw new Error(`the answer holds ${name}`);
  const thief = new Visitor(server);
  thief.cookies.set("ml_csrf", ana.cookies.get("ml_csrf"));
  const got = await thief.ask("GET", "/api/v1/orgs/default/docs");
  if (got.status !== 401 && got.status !== 404) throw new Error(`with what a script reads: ${got.status}`);
});

await test("here: an access token is good for 15 minutes at most, and a copied refresh token ends both", async () => {
  const ana = new Visitor(server);
  await ana.login("ana", "correct horse");
  const { exp, iat } = JSON.parse(Buffer.from(ana.cookies.get("ml_at").value.split(".")[1], "base64url"));
  if (!(exp - iat > 0 && exp - iat <= 900)) throw new Error(`it lives ${exp - iat} s`);
  const thief = ana.at(server); // everything, as by malware on the machine
  if ((await ana.ask("POST", "/auth/refresh", {})).status !== 200) throw new Error("she cannot stay signed in");
  if (ana.cookies.get("ml_rt").value === thief.cookies.get("ml_rt").value) throw new Error("the token did not change");
  // Within ten seconds it may be another tab of hers.
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  if ((await thief.ask("GET", "/api/v1/orgs/default/docs")).status !== 200) throw new Error("the copy is no copy: this test shows nothing");
  const stolen = await thief.ask("POST", "/auth/refresh", {});
  if (stolen.status !== 401) throw new Error(`a token that was used already: ${stolen.status}`);
  await until(async () => (await ana.ask("POST", "/auth/refresh", {})).status === 401, "the family has ended", 10_000, 200);
  await until(async () => (await thief.ask("GET", "/api/v1/orgs/default/docs")).status !== 200, "and what was given out with it", 10_000, 200);
});

const connects = (visitor, origin) =>
  new Promise((resolve) => {
    const Signed = visitor.socketClass(origin);
    const socket = new Signed(`${server.sync}/origin`);
    socket.on("open", () => resolve(true)).on("close", () => resolve(false));
    socket.on("open", () => socket.close());
  });

await test("here: a page of another origin cannot open a socket with somebody's cookie", async () => {
  const ana = new Visitor(server);
  await ana.login("ana", "correct horse");
  for (const origin of ["http://127.0.0.1:1", server.url])
    if (!(await connects(ana, origin))) throw new Error(`the allowed origin ${origin} is refused`);
  for (const origin of ["https://evil.example", "null"])
    if (await connects(ana, origin)) throw new Error(`${origin} is let in`);
  if (await connects(new Visitor(server), server.url)) throw new Error("nobody is let in");
});

await server.stop();
finish();
