// Hocuspocus as published, three generations of it: what their applications see of credentials, of saving, of cursors and
// of the end.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyStore, readDocument } from "../support/node/journal.mjs";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { client, equalBytes, stateOf } from "./clients.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { collabProviders, Y } from "./packages.mjs";

const DOOR = `
local ml = require "moonloom"
local P = {}
function P:authenticate(req)
  if not req.token or req.token == "" then return end
  if req.token == "wrong" then return ml.deny("wrong", "No such key.") end
  return { user = req.token, name = req.token }
end
function P:authorize(ask)
  local user = ask.identity.user
  if ask.action ~= "doc.open" or user == "" then return end
  return ml.grant { read = true, presence = true, write = user ~= "rita" }
end
function P:before_update(u)
  if u.inserted_bytes > 1000 then return ml.deny("long", "Too long.") end
end
return P
`;
const MANIFEST = `return { name = "door", version = "1.0.0", api = 1, summary = "of a spec", phase = "auth",
  hooks = { authenticate = {}, authorize = {}, before_update = {} } }`;

const plugins = temporaryFolder();
mkdirSync(join(plugins, "door"));
writeFileSync(join(plugins, "door", "plugin.lua"), MANIFEST);
writeFileSync(join(plugins, "door", "init.lua"), DOOR);

const open = await new Server().start();
const guarded = await new Server({
  args: ["--plugins", plugins],
  config: `plugins = { door = {} }\nauth = { mode = "plugins" }`,
}).start();
afterFailure(() => note(`open:\n${open.tail()}\nguarded:\n${guarded.tail()}`));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const state = (of, who) => of.awareness.getStates().get(who.doc.clientID);

for (const library of collabProviders) {
  const { name: kind, generation } = library;
  const named = (what) => `${what}-${generation}`;
  const sockets = [];
  const socket = (server, options) => {
    const it = collabSocket(server, library, options);
    sockets.push(it);
    return it;
  };

  await test(`${kind}: an edit is unsaved until it is in the journal, then saved; after kill -9 all that was saved is there`, async () => {
    const it = collab(socket(open), named("saved"));
    await until(() => it.synced() && it.saved(), "synced");
    for (let i = 0; i < 200; i++) {
      it.text.insert(it.text.length, `<${i}>`);
      if (it.saved()) throw new Error("saved before it was sent");
      if (i % 20 === 19) await until(it.saved, `edit ${i} is saved`);
    }
    // Counts are exact: as many edits as are unsaved, not one more or less at the end.
    await until(it.saved, "all is saved");
    if (it.provider.unsyncedChanges !== 0 && generation > 2) throw new Error(`${it.provider.unsyncedChanges} unsaved`);
    await open.kill();
    const stored = readDocument(copyStore(open.store), named("saved"));
    const fold = new Y.Doc();
    for (const { bytes } of stored.records) Y.applyUpdate(fold, bytes);
    if (fold.getText("content").toString() !== it.text.toString()) throw new Error("saved and not in the journal");
    it.close();
    await open.start();
  });

  await test(`${kind}: two documents on one socket, and one of them goes`, async () => {
    const shared = socket(open);
    const [one, two] = [collab(shared, named("one")), collab(shared, named("two"))];
    const ben = client(open, named("two"));
    await until(() => one.synced() && two.synced() && ben.synced(), "all are synced");
    one.text.insert(0, "one");
    two.text.insert(0, "two");
    await until(() => ben.text.toString() === "two", "Ben reads the second");
    one.close();
    ben.text.insert(3, " three");
    await until(() => two.text.toString() === "two three", "the second goes on");
    const again = collab(shared, named("one"));
    await until(() => again.synced() && again.text.toString() === "one", "and the first comes back on the same socket");
    if (shared.opens !== 1) throw new Error(`${shared.opens} connections`);
    two.close();
    again.close();
    ben.close();
  });

  await test(`${kind}: cursors are seen, change, and go with their owner, polite or killed`, async () => {
    const [mine, other] = [socket(open), socket(open)];
    const [anna, ben] = [collab(mine, named("cursors")), collab(other, named("cursors"))];
    const cleo = client(open, named("cursors"));
    await until(() => anna.synced() && ben.synced() && cleo.synced(), "all are synced");
    anna.provider.setAwarenessField("user", { name: "Anna" });
    await until(() => state(ben, anna)?.user?.name === "Anna" && state(cleo, anna)?.user, "Anna is seen");
    cleo.awareness.setLocalStateField("user", { name: "Cleo" });
    await until(() => state(ben, cleo)?.user?.name === "Cleo" && state(anna, cleo)?.user, "Cleo is seen");
    ben.provider.setAwarenessField("user", { name: "Ben" });
    await until(() => state(anna, ben)?.user, "Ben is seen");
    ben.close();
    await until(() => !state(anna, ben) && !state(cleo, ben), "Ben is gone");
    mine.socket.shouldConnect = false;
    mine.cut();
    await until(() => !state(cleo, anna), "Anna's ghost is gone", 5_000);
    cleo.close();
    anna.close();
  });

  await test(`${kind}: the scope is told, a reader's edits are not taken and stay unsaved`, async () => {
    const writer = collab(socket(guarded), named("scope"), { token: "anna" });
    const reader = collab(socket(guarded), named("scope"), { token: "rita" });
    await until(() => writer.synced() && reader.synced(), "both are synced");
    const scope = (it) => it.provider.authorizedScope ?? it.provider.scope;
    if (generation > 2 && (scope(writer) !== "read-write" || scope(reader) !== "readonly"))
      throw new Error(`scopes ${scope(writer)}, ${scope(reader)}`);
    writer.text.insert(0, "to be read");
    await until(() => reader.text.toString() === "to be read", "the reader reads");
    reader.text.insert(0, "scribble ");
    await pause(300); // nothing may come of it
    if (reader.saved()) throw new Error("a reader's edit is shown as saved");
    if (writer.text.toString() !== "to be read") throw new Error("a reader wrote");
    reader.provider.setAwarenessField("user", { name: "Rita" });
    await until(() => state(writer, reader)?.user, "a reader is seen");
    writer.close();
    reader.close();
  });

  await test(`${kind}: a wrong token is refused with the reason; a right one on the same socket is not`, async () => {
    const shared = socket(guarded);
    const it = collab(shared, named("denied"), { token: "wrong" });
    await until(() => it.refusals.length > 0, "refused");
    if (it.refusals[0] !== "No such key.") throw new Error(`reason: ${it.refusals[0]}`);
    const second = collab(shared, named("other"), { token: "anna" });
    await until(() => second.synced(), "another document with another token");
    second.text.insert(0, "x");
    await until(second.saved, "and it is saved");
    if (generation === 4) {
      it.provider.configuration.token = "anna";
      await it.provider.sendToken();
      it.provider.startSync?.();
      await until(() => it.synced(), "the first, tried again");
      it.text.insert(0, "here after all");
      await until(it.saved, "and it is saved");
    }
    if (shared.opens !== 1) throw new Error(`${shared.opens} connections`);
    it.close();
    second.close();
  });

  await test(`${kind}: a token that is asked for again is a function's new one`, async () => {
    let asked = 0;
    const it = collab(socket(guarded), named("refresh"), { token: () => ((asked += 1), "anna") });
    await until(() => it.synced(), "synced");
    if (generation > 2) {
      await it.provider.sendToken();
      await until(() => asked >= 2, "asked again");
    }
    it.text.insert(0, "still here");
    await until(it.saved, "saved");
    it.close();
  });

  await test(`${kind}: what a policy refuses goes back on the screen, is saved, and is explained`, async () => {
    const it = collab(socket(guarded), named("policy"), { token: "anna" });
    await until(() => it.synced() && it.saved(), "synced");
    it.text.insert(0, "fine ");
    await until(it.saved, "saved");
    it.text.insert(5, "x".repeat(1001));
    await until(() => it.text.toString() === "fine ", "it goes back");
    await until(it.saved, "and nothing is unsaved");
    await until(() => it.stateless.length === 1, "with a notice");
    const notice = JSON.parse(it.stateless[0]);
    if (notice.code !== "door.long" || notice.reason !== "Too long.") throw new Error(it.stateless[0]);
    it.text.insert(5, "again");
    await until(it.saved, "and it goes on");
    it.close();
  });

  for (const how of ["stop", "kill"]) {
    await test(`${kind}: comes back after the server was ${how === "stop" ? "stopped" : "killed"} and brings what was typed offline`, async () => {
      const shared = [socket(open), socket(open)];
      const name = named(`back-${how}`);
      const [anna, ben] = shared.map((it) => collab(it, name));
      await until(() => anna.synced() && ben.synced(), "both are synced");
      anna.text.insert(0, "before;");
      await until(() => ben.text.toString() === "before;", "Ben sees it");
      await open[how]();
      await until(() => shared.every((it) => it.closes.length > 0), "both notice");
      anna.text.insert(7, "anna offline;");
      ben.text.insert(7, "ben offline;");
      await open.start();
      await until(() => equalBytes(stateOf(anna.doc), stateOf(ben.doc)) && anna.text.length > 20, "both have one state", 40_000);
      await until(() => anna.saved() && ben.saved(), "and it is saved", 10_000);
      for (const words of ["before;", "anna offline;", "ben offline;"])
        if (anna.text.toString().split(words).length !== 2) throw new Error(`"${words}" is not there once: ${anna.text}`);
      anna.close();
      ben.close();
    });
  }

  if (generation === 4) {
    await test(`${kind}: two providers of one document on one socket, each with its own presence`, async () => {
      const shared = socket(open);
      const [one, two] = [0, 1].map(() => collab(shared, "sessions", { sessionAwareness: true }));
      const ben = client(open, "sessions");
      await until(() => one.synced() && two.synced() && ben.synced(), "all are synced");
      one.text.insert(0, "one ");
      await until(() => two.text.toString() === "one " && ben.text.toString() === "one ", "the other session reads");
      one.provider.setAwarenessField("user", { name: "One" });
      two.provider.setAwarenessField("user", { name: "Two" });
      await until(() => state(ben, one)?.user?.name === "One" && state(ben, two)?.user?.name === "Two", "Ben sees both");
      await until(() => state(one, two)?.user && state(two, one)?.user, "and they see each other");
      one.close();
      await until(() => !state(ben, one) && state(ben, two), "one goes, the other stays");
      if (shared.opens !== 1) throw new Error(`${shared.opens} connections`);
      two.close();
      ben.close();
    });
  } else if (generation === 2) {
    await test(`${kind}: without a token it sends none, and is let in where nobody needs one`, async () => {
      const it = collab(socket(open), "tokenless", { token: null });
      await until(() => it.synced(), "synced");
      it.text.insert(0, "hello");
      await until(it.saved, "saved");
      it.close();
    });

    await test(`${kind}: does not come back in a tight loop when it is sent away`, async () => {
      const small = await new Server({
        args: ["--plugins", plugins],
        config: `plugins = { door = {} }\nauth = { mode = "plugins" }\nlimits = { held_messages = 5 }`,
      }).start();
      const shared = socket(small);
      const it = collab(shared, "loop", { token: null }); // it never sends one, and its messages wait
      await until(() => shared.opens === 1, "connected");
      const end = Date.now() + 6_000;
      while (Date.now() < end) {
        it.text.insert(0, "x");
        it.provider.sendStateless?.("x");
        await pause(20);
      }
      note(`${shared.opens} connections in 6 s, closed with ${[...new Set(shared.closes)]}`);
      if (shared.opens > 8) throw new Error(`${shared.opens} connections in 6 s`);
      it.close();
      shared.close();
      await small.stop();
    });
  }
  for (const it of sockets) it.close();
}

await test("the servers drain and exit 0", async () => {
  await open.stop();
  await guarded.stop();
});
finish();
