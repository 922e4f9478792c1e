// People come and go by the thousand: after every sync the connection is closed, and in the end the server holds no more
// memory and no more files than after the first of them. MOONLOOM_LONG: 100,000 times.
import { readdirSync } from "node:fs";
import { encoding, WebSocket } from "../interop/packages.mjs";
import { fastBinary, LONG, Server } from "../support/node/server.mjs";
import { afterFailure, finish, note, test } from "../support/node/tap.mjs";

const CYCLES = LONG ? 100_000 : 6000;
const AT_ONCE = 40;
const DOCUMENTS = 25;

const server = await new Server({ bin: fastBinary() }).start();
afterFailure(() => note(server.tail()));

const step1 = (() => {
  const e = encoding.createEncoder();
  encoding.writeVarUint(e, 0);
  encoding.writeVarUint(e, 0);
  encoding.writeVarUint8Array(e, new Uint8Array([0]));
  return encoding.toUint8Array(e);
})();

/** One visit: open, sync, close. */
function visit(number) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${server.sync}/churn${number % DOCUMENTS}`, { perMessageDeflate: false });
    socket.on("open", () => socket.send(step1));
    socket.on("message", (data) => {
      if (data[0] === 0 && data[1] === 1) socket.close();
    });
    socket.on("close", resolve);
    socket.on("error", reject);
  });
}

async function visits(count, from) {
  let next = from;
  const worker = async () => {
    while (next < from + count) await visit(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const files = () => readdirSync(`/proc/${server.pid}/fd`).length;

await test(`${CYCLES} visits leave nothing behind`, async () => {
  const warm = Math.min(CYCLES / 3, 5000);
  await visits(warm, 0);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const before = { rss: server.rss(), files: files() };
  const began = Date.now();
  await visits(CYCLES - warm, warm);
  const took = Date.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const after = { rss: server.rss(), files: files() };
  note(`${((CYCLES - warm) / took * 1000).toFixed(0)} visits a second; memory ${(before.rss / 2 ** 20).toFixed(1)} MiB, afterwards ${(after.rss / 2 ** 20).toFixed(1)} MiB; ` +
    `files ${before.files}, afterwards ${after.files}`);
  if (after.rss - before.rss > 4 * 2 ** 20) throw new Error("memory grew");
  if (after.files > before.files + 2) throw new Error("files stayed open");
}, { deadline_ms: LONG ? 900_000 : 120_000 });

await server.stop();
finish();
