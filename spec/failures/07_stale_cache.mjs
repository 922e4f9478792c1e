// Failure 7: a CDN that keeps API answers for five minutes shows people what was there before.
import { createServer } from "node:http";
import { freePort, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test } from "../support/node/tap.mjs";

/** A shared cache in front of `origin` that does what cache-control says, and counts what it answered itself. */
async function cacheOf(origin) {
  const kept = new Map();
  const cache = { hits: 0, port: await freePort() };
  const server = createServer(async (request, response) => {
    const found = kept.get(request.url);
    if (found && found.until > Date.now()) {
      cache.hits += 1;
      return response.writeHead(found.status, found.headers).end(found.body);
    }
    const answer = await fetch(origin() + request.url, { redirect: "manual" });
    const body = Buffer.from(await answer.arrayBuffer());
    const control = answer.headers.get("cache-control") ?? "";
    const headers = { "content-type": answer.headers.get("content-type") ?? "text/plain" };
    if (answer.headers.get("location")) headers.location = answer.headers.get("location");
    const seconds = Number((/s-maxage=(\d+)/.exec(control) ?? /max-age=(\d+)/.exec(control) ?? [0, 0])[1]);
    if (seconds && !/no-store|private/.test(control))
      kept.set(request.url, { status: answer.status, headers, body, until: Date.now() + seconds * 1000 });
    response.writeHead(answer.status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(cache.port, "127.0.0.1", resolve));
  cache.read = async (path) => (await fetch(`http://127.0.0.1:${cache.port}${path}`)).text();
  cache.stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return cache;
}

await test("the obvious design: what was written a moment ago is not what is read", async () => {
  let text = "old";
  const port = await freePort();
  const api = createServer((_, response) => response.writeHead(200, { "cache-control": "public, max-age=300" }).end(text));
  await new Promise((resolve) => api.listen(port, "127.0.0.1", resolve));
  const cache = await cacheOf(() => `http://127.0.0.1:${port}`);
  await cache.read("/api/doc");
  text = "new";
  if ((await cache.read("/api/doc")) !== "old") throw new Error("the stand-in does not show it");
  cache.stop();
  api.close();
  api.closeAllConnections();
});

const server = await new Server().start();
afterFailure(() => note(server.tail()));
const cache = await cacheOf(() => server.url);
const doc = "/api/v1/orgs/default/docs/page";

async function post(path, body) {
  const answer = await fetch(server.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
const write = (text) => post(`${doc}/ops`, { ops: [["text.insert", "content", 0, text]] });

await test("here: through the same cache every answer of the API is what was written last", async () => {
  for (const [text, wanted] of [["one", "one"], ["two ", "two one"], ["three ", "three two one"]]) {
    await write(text);
    const read = await cache.read(`${doc}/content?root=content&as=text`);
    if (!read.includes(wanted)) throw new Error(`read ${read}, not ${wanted}`);
  }
  if (cache.hits) throw new Error("the cache kept an answer of the API");
});

await test("here: what is published has an address per version: kept for ever, and never wrong", async () => {
  const files = async () => {
    await post(`${doc}/publish`, { root: "content" });
    const of = JSON.parse(await (await fetch(`${server.url}/d/default/page?format=json`)).text());
    const path = JSON.stringify(of).match(/\/d\/default\/page\/s\/[^"]*content\.txt/);
    if (!path) throw new Error(`no content.txt in ${JSON.stringify(of)}`);
    return path[0];
  };
  const first = await files();
  const before = await cache.read(first);
  await write("four ");
  const second = await files();
  if (first === second) throw new Error("two versions under one address");
  if ((await cache.read(first)) !== before) throw new Error("a version changed");
  if (!cache.hits) throw new Error("the cache kept nothing: this test shows nothing");
  if (!(await cache.read(second)).includes("four")) throw new Error("the new version is not there");
});

cache.stop();
await server.stop();
finish();
