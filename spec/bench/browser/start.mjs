/*
 * How long the editor takes to be there on a slow machine: `node spec/bench/browser/start.mjs [RUNS]`.
 *
 * Real Chromium with its processor slowed four times, against build/release on loopback. Wanted: first contentful paint
 * within 1.0 s, ready for typing within 1.5 s. A measurement, not a test: it says how busy the machine is.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg } from "node:os";
import { Browser, newName, Server } from "../../browser/support.mjs";

const RUNS = Number(process.argv[2] ?? 9);
const SLOWER = 4;
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const browser = await Browser.start();
const server = await Server.start();
const runs = [];
for (let n = 0; n < RUNS; n++) {
  const page = await browser.visitor();
  const client = await page.context().newCDPSession(page);
  await client.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await page.addInitScript(() => {
    new MutationObserver(() => {
      if (window.__ready === undefined && document.querySelector(".prose[contenteditable=true]") !== null) window.__ready = performance.now();
    }).observe(document, { childList: true, subtree: true, attributes: true });
  });
  await page.goto(`${server.url}/edit/default/${newName("fast")}`);
  await page.locator(".prose[contenteditable=true]").waitFor();
  runs.push(await page.evaluate(() => ({ paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN, ready: window.__ready })));
  await page.context().close();
}
await browser.end();
await server.end();

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
console.log(`machine ${cpus()[0].model}, ${availableParallelism()} cores, load ${(loadavg()[0] / availableParallelism()).toFixed(1)} per core; commit ${commit}`);
for (const key of ["paint", "ready"]) {
  const all = runs.map((run) => Math.round(run[key]));
  console.log(`${key.padEnd(6)} ms: median ${median(all)}, best ${Math.min(...all)}, worst ${Math.max(...all)} of ${RUNS}`);
}
