// The HTTP API and npm: openapi.json is what a validator calls OpenAPI 3.1, and Yjs reads and writes by bytes.
import { Validator } from "@seriousme/openapi-schema-validator";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { providers, WebSocket, Y } from "./packages.mjs";

const server = await new Server().start();
afterFailure(() => note(server.tail()));
const docs = `${server.url}/api/v1/orgs/default/docs`;
const bytes = { "content-type": "application/octet-stream" };
const json = { "content-type": "application/json" };

async function ask(method, path, body, headers = {}) {
  const answer = await fetch(docs + path, { method, body, headers });
  const payload = new Uint8Array(await answer.arrayBuffer());
  const text = new TextDecoder().decode(payload);
  return { status: answer.status, bytes: payload, text, json: () => JSON.parse(text) };
}

function equal(is, wanted, what) {
  if (JSON.stringify(is) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`);
  }
}

await test("openapi.json is valid OpenAPI 3.1", async () => {
  const description = await (await fetch(`${server.url}/api/v1/openapi.json`)).json();
  const result = await new Validator().validate(structuredClone(description));
  if (!result.valid) throw new Error(JSON.stringify(result.errors).slice(0, 2000));
  const names = Object.values(description.paths).flatMap((path) => Object.values(path).map((o) => o.operationId));
  equal(new Set(names).size, names.length, "operation ids are distinct");
  for (const [path, operations] of Object.entries(description.paths)) {
    const parts = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();
    for (const operation of Object.values(operations)) {
      const declared = (operation.parameters ?? []).filter((p) => p.in === "path").map((p) => p.name);
      equal(declared.sort(), parts, `path parameters of ${operation.operationId}`);
    }
  }
  // A validator that says yes to everything would not be one.
  delete description.paths["/api/v1/openapi.json"].get.responses;
  description.info = {};
  equal((await new Validator().validate(description)).valid, false, "a broken description");
});

await test("a Yjs document goes up and comes down, version 1 and 2, whole and by state vector", async () => {
  const mine = new Y.Doc();
  mine.getText("content").insert(0, "héllo 🌍", { bold: true });
  mine.getMap("meta").set("list", new Y.Array());
  mine.getMap("meta").get("list").push([1, "zwei", { drei: [null, 2.5] }]);
  equal((await ask("POST", "/yjs/updates", Y.encodeStateAsUpdate(mine), bytes)).json(), { seq: 1 }, "first");
  const vector = Y.encodeStateVector(mine);
  mine.getText("content").insert(0, "> ");
  const second = Y.encodeStateAsUpdateV2(mine, vector);
  equal((await ask("POST", "/yjs/updates?format=v2", second, bytes)).json(), { seq: 2 }, "second");

  const whole = (await ask("GET", "/yjs/state")).bytes;
  equal(Buffer.from(whole).toString("hex"), Buffer.from(Y.encodeStateAsUpdate(mine)).toString("hex"), "state, byte for byte");
  const wholeV2 = (await ask("GET", "/yjs/state?format=v2")).bytes;
  equal(Buffer.from(wholeV2).toString("hex"), Buffer.from(Y.encodeStateAsUpdateV2(mine)).toString("hex"), "state, version 2");
  const sv = Buffer.from(vector).toString("base64url");
  const rest = (await ask("GET", `/yjs/state?sv=${sv}`)).bytes;
  equal(Buffer.from(rest).toString("hex"), Buffer.from(Y.encodeStateAsUpdate(mine, vector)).toString("hex"), "what is lacking");
  equal((await ask("GET", "/yjs/content?as=delta")).json(), mine.getText("content").toDelta(), "delta");
  equal((await ask("GET", "/yjs/content?as=json&root=meta")).json(), mine.getMap("meta").toJSON(), "json");
});

await test("operations reach a connected client, and what it writes is read", async () => {
  const doc = new Y.Doc();
  const provider = new providers[0].Provider(server.sync, "both", doc, { WebSocketPolyfill: WebSocket });
  await until(() => provider.synced, "synced");
  const ops = [["text.insert", "content", 0, "from the API"], ["map.set", "meta", "n", 1]];
  equal((await ask("POST", "/both/ops", JSON.stringify({ ops }), json)).json(), { seq: 1 }, "ops");
  await until(() => doc.getText("content").toString() === "from the API", "the client sees it");
  doc.getText("content").insert(0, "both ");
  await until(async () => (await ask("GET", "/both/content")).text === "both from the API", "the API sees it");
  equal(doc.getMap("meta").get("n"), 1, "the map");
  provider.destroy();
});

await test("what Tiptap keeps is Markdown and HTML", async () => {
  const doc = new Y.Doc();
  const root = doc.getXmlFragment("content");
  const heading = new Y.XmlElement("heading");
  heading.setAttribute("level", 2);
  heading.insert(0, [new Y.XmlText("Plan")]);
  const paragraph = new Y.XmlElement("paragraph");
  const text = new Y.XmlText();
  paragraph.insert(0, [text]);
  root.insert(0, [heading, paragraph]);
  text.insert(0, "now & ", {});
  text.insert(6, "then", { bold: {}, link: { href: "https://example.com/" } });
  await ask("POST", "/tiptap/updates", Y.encodeStateAsUpdate(doc), bytes);
  equal((await ask("GET", "/tiptap/content?as=markdown")).text, "## Plan\n\nnow \\& [**then**](https://example.com/)\n", "markdown");
  equal(
    (await ask("GET", "/tiptap/content?as=html")).text,
    '<h2>Plan</h2>\n<p>now &amp; <a href="https://example.com/" rel="noopener noreferrer nofollow"><strong>then</strong></a></p>\n',
    "html",
  );
});

await server.stop();
finish();
