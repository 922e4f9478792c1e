// No space: nothing is acknowledged that is not on disk, reading goes on, and it recovers by itself when there is space.
//
// Two ways to run out: RLIMIT_FSIZE on the server (any user can do that), and a small tmpfs under its data folder.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { client, equalBytes, stateOf } from "../interop/clients.mjs";
import { decoding, encoding, Y } from "../interop/packages.mjs";
import { gap, integrity, readDocument } from "../support/node/journal.mjs";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, skip, test, until } from "../support/node/tap.mjs";

const CHUNK = "The disk is nearly full. ".repeat(80); // 2 000 bytes a transaction
const CHUNKS_MAX = 1_500; // 3 MB: below what one room may have waiting

/** Types chunks, each with a number, and asks for a y-sweet status after each. */
function writer(server, name) {
  const it = { typed: 0, confirmed: 0, echoed: 0, ...client(server, name, {
    tap: {
      got(_, { type, subtype, payload }) {
        if (type === 102) it.confirmed = Math.max(it.confirmed, decoding.readVarUint(decoding.createDecoder(payload)));
        if (type === 0 && subtype === 2) it.echoed += 1;
      },
    },
  }) };
  it.type = () => {
    it.typed += 1;
    it.text.insert(it.text.length, `${CHUNK}<${it.typed}>`);
    const version = encoding.createEncoder();
    encoding.writeVarUint(version, it.typed);
    const frame = encoding.createEncoder();
    encoding.writeVarUint(frame, 102);
    encoding.writeVarUint8Array(frame, encoding.toUint8Array(version));
    it.provider.ws.send(encoding.toUint8Array(frame));
  };
  return it;
}

const status = async (server, path) => (await fetch(server.url + path)).status;
const last = (text) => Number(/<(\d+)>$/.exec(text)?.[1] ?? 0);

/** The whole story; `make_space` ends the shortage. */
async function story(title, server, make_space) {
  await server.start();
  let anna, ben;
  await test(`${title}: acknowledgements stop when writing fails, and not before`, async () => {
    anna = writer(server, "full");
    ben = client(server, "full");
    await until(() => anna.synced() && ben.synced(), "both are synced");
    anna.type();
    await until(() => anna.confirmed === 1, "the first edit is acknowledged");
    let still = 0; // turns without an acknowledgement
    for (let i = 0; still < 60 && anna.typed < CHUNKS_MAX; i++) {
      const before = anna.confirmed;
      anna.type();
      await until(() => anna.confirmed > before, "", 50, 2).then(() => (still = 0), () => (still += 1));
    }
    if (anna.typed >= CHUNKS_MAX) throw new Error(`${anna.typed} edits and still acknowledged: the disk is not full`);
    note(`${title}: ${anna.confirmed} of ${anna.typed} edits acknowledged when space ran out`);
  }, { deadline_ms: 120_000 });

  await test(`${title}: meanwhile nothing unsaved is shown to others, presence works, the server says it is not ready`, async () => {
    if (last(ben.text.toString()) > anna.confirmed)
      throw new Error(`Ben sees edit ${last(ben.text.toString())}, only ${anna.confirmed} are acknowledged`);
    ben.awareness.setLocalStateField("user", { name: "Ben" });
    await until(() => anna.awareness.getStates().get(ben.doc.clientID)?.user, "presence works");
    if ((await status(server, "/healthz")) !== 200) throw new Error("not alive");
    await until(async () => (await status(server, "/readyz")) === 503, "/readyz says 503 within 10 s and a bit", 13_000, 200);
    if (anna.closes.length > 0) throw new Error(`the writer was closed: ${anna.closes}`);
  }, { deadline_ms: 40_000 });

  await test(`${title}: meanwhile who joins a document that is open reads what is saved`, async () => {
    const late = client(server, "full");
    try {
      await until(() => late.synced(), "a late reader is served");
      const seen = last(late.text.toString());
      if (seen > anna.confirmed) throw new Error(`it sees edit ${seen}, only ${anna.confirmed} are acknowledged`);
    } finally {
      late.close();
    }
  }, { deadline_ms: 40_000 });

  await test(`${title}: with space again everything is committed within 5 s, once, and acknowledged`, async () => {
    make_space();
    await until(() => anna.confirmed === anna.typed, "all is acknowledged", 5_000);
    await until(() => equalBytes(stateOf(ben.doc), stateOf(anna.doc)), "Ben has it all");
    await until(async () => (await status(server, "/readyz")) === 200, "/readyz says 200", 5_000, 100);
    const stored = readDocument(server.store, "full");
    const hole = gap(stored);
    if (hole) throw new Error(hole);
    const fold = new Y.Doc();
    for (const { bytes } of stored.records) Y.applyUpdate(fold, bytes);
    if (!equalBytes(stateOf(fold), stateOf(anna.doc))) throw new Error("the journal has another state");
    const numbers = anna.text.toString().match(/<\d+>/g);
    if (numbers.length !== anna.typed || new Set(numbers).size !== anna.typed) throw new Error("lost or doubled text");
    await server.stop();
    if (integrity(server.store) !== "ok") throw new Error("integrity_check");
    await server.start();
    const fresh = client(server, "full");
    await until(() => fresh.synced(), "a fresh reader");
    if (!equalBytes(stateOf(fresh.doc), stateOf(anna.doc))) throw new Error("another state after the restart");
    fresh.close();
    await server.stop();
    note(`${title}: edits ${anna.typed}, acknowledged ${anna.confirmed}, lost 0`);
  }, { deadline_ms: 60_000 });
  anna?.close();
  ben?.close();
}

const limited = new Server({
  wrap: (command, args) => ["prlimit", ["--fsize=1000000:unlimited", "--", command, ...args]],
});
afterFailure(() => note(limited.tail()));
await story("file size limit", limited, () => execFileSync("prlimit", ["--pid", String(limited.pid), "--fsize=unlimited"]));

const mount = join(temporaryFolder(), "small");
mkdirSync(mount);
let is_mounted = false;
try {
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], { stdio: "pipe" });
  is_mounted = true;
} catch (error) {
  skip("full tmpfs", `mount is not allowed here: ${String(error.stderr).trim()}`);
}
if (is_mounted) {
  const unmount = () => {
    try {
      execFileSync("umount", ["-l", mount], { stdio: "pipe" });
    } catch {} // gone already
  };
  process.once("exit", unmount);
  const ballast = join(mount, "ballast");
  writeFileSync(ballast, Buffer.alloc(2_500_000));
  const small = new Server({ data: mount });
  afterFailure(() => note(small.tail()));
  await story("full tmpfs", small, () => rmSync(ballast));
  unmount();
}
finish();
