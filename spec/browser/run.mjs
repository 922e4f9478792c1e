/*
 * Browser flows: `node spec/browser/run.mjs [WORD…]` runs those whose name contains a WORD.
 *
 *   MOONLOOM_URL   a running server; flows that kill theirs are skipped
 *   MOONLOOM_BIN   the program to start instead of build/release/moonloom
 *   CHROMIUM       /usr/bin/chromium
 *
 * A flow fails if a step fails, if a script throws, or if the content security policy was violated even once.
 * Needs `npm ci` in www/ (playwright-core, axe-core).
 */
import { readdirSync } from "node:fs";
import { Browser, Server, Skip } from "./support.mjs";

const FLOW_MS = 90_000;
const words = process.argv.slice(2);
const folder = new URL("./flows/", import.meta.url);
const flows = [];
for (const file of readdirSync(folder).sort()) {
  const { default: list } = await import(new URL(file, folder));
  flows.push(...list);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const browser = await Browser.start();
let server = null;

for (const [name, flow] of flows) {
  if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
  const began = Date.now();
  let verdict = "passed";
  let why = "";
  let timer;
  try {
    server ??= await Server.start();
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`not done in ${FLOW_MS / 1000} s`)), FLOW_MS);
    });
    await Promise.race([flow({ browser, server }), late]);
  } catch (error) {
    verdict = error instanceof Skip ? "skipped" : "failed";
    why = error instanceof Skip ? error.message : (error.stack ?? String(error));
  }
  clearTimeout(timer);
  const complaints = await browser.sweep();
  if (verdict === "passed" && complaints.length > 0) {
    verdict = "failed";
    why = complaints.join("\n");
  } else if (complaints.length > 0) {
    why += `\n${complaints.join("\n")}`;
  }
  counts[verdict] += 1;
  console.log(`${verdict === "passed" ? "ok" : verdict === "failed" ? "NOT OK" : "skip"}  ${name}  (${Date.now() - began} ms)`);
  if (why !== "") console.log(why.replace(/^/gm, "      "));
  // The next flow begins with a server that is whole.
  if (verdict === "failed" && server !== null) {
    await server.end().catch(() => undefined);
    server = null;
  }
}

await browser.end();
await server?.end();
console.log(`${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ""}`);
process.exit(counts.failed === 0 ? 0 : 1);
