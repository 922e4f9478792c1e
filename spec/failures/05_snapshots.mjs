// Failure 5: whole HTML snapshots every 30 s write the document again and again, and a crash takes half a minute.
import { client } from "../interop/clients.mjs";
import { Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";

const DOCUMENT = "x".repeat(100_000);
const KEYS = 40;

await test("the obvious design: a snapshot for a letter, and what was typed since the last one dies with the server", () => {
  let clock = 0, stored = DOCUMENT, memory = DOCUMENT, written = 0;
  for (let key = 0; key < KEYS; key++) {
    memory += "y";
    clock += 1000;
    if (clock % 30_000 === 0) {
      stored = memory;
      written += stored.length;
    }
  }
  memory = stored; // killed, started again
  if (memory.length === DOCUMENT.length + KEYS || written < KEYS * 1000) throw new Error("the stand-in does not show it");
});

const server = await new Server().start();
afterFailure(() => note(server.tail()));
const journal = async () =>
  Number(/^moonloom_journal_bytes_total (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())[1]);

await test("here: a letter is a small record, and what was acknowledged outlives kill -9", async () => {
  const echoes = { count: 0 };
  const ana = client(server, "long", { maxBackoffTime: 200, tap: { got: (_, frame) => (echoes.count += frame.type === 0 && frame.subtype === 2) } });
  await until(() => ana.provider.synced, "Ana is there");
  ana.text.insert(0, DOCUMENT);
  await until(() => echoes.count >= 1, "the text is acknowledged", 20_000);
  const before = await journal();
  for (let key = 0; key < KEYS; key++) {
    const wanted = echoes.count + 1;
    ana.text.insert(0, "y");
    await until(() => echoes.count >= wanted, "the letter is acknowledged", 10_000, 1);
  }
  const bytes = (await journal()) - before;
  note(`${KEYS} letters in a text of ${DOCUMENT.length}: ${bytes} bytes of records`);
  if (bytes > KEYS * 200) throw new Error(`${bytes} bytes for ${KEYS} letters`);
  await server.kill(); // the last one was told a moment ago
  ana.provider.shouldConnect = false;
  ana.close();
  await server.start();
  const late = client(server, "long");
  await until(() => late.provider.synced, "somebody else", 20_000);
  if (late.text.length !== DOCUMENT.length + KEYS) throw new Error(`${late.text.length} letters`);
  late.close();
});

await server.stop();
finish();
