/* Two servers over one database, and what carries their news goes: everything is saved, and people are told that it is slower. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { check, newName, openDocument, reaches, saveState, sees, Server, until, writes } from "../support.mjs";

const label = (page) => page.locator(".save-long").innerText();
const WITH_POSTGRES = fileURLToPath(new URL("../../support/with-postgres", import.meta.url));

/** A database of its own; ends when its standard input does. */
async function database() {
  const child = spawn(WITH_POSTGRES, ["sh", "-c", 'psql "$MOONLOOM_TEST_PG dbname=postgres" -Xqc "CREATE DATABASE pages" && echo "$MOONLOOM_TEST_PG" && cat'], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const address = await new Promise((done, fail) => {
    createInterface({ input: child.stdout }).once("line", done);
    child.once("exit", (code) => fail(new Error(`PostgreSQL ended with ${code}`)));
  });
  return {
    store: `postgres:///pages?host=${/host=(\S+)/.exec(address)[1]}&user=moonloom`,
    end: () => new Promise((done) => child.removeAllListeners("exit").once("exit", done) && child.stdin.end()),
  };
}

const freePort = () =>
  new Promise((done) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

const startRedis = (port) =>
  spawn("setpriv", ["--pdeathsig", "KILL", "--", "redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], {
    stdio: "ignore",
    cwd: "/tmp",
  });

export default [
  [
    "without Redis two people on two servers write, save and read each other, and the page says that it is slower",
    async ({ browser }) => {
      const pg = await database();
      const port = await freePort();
      let redis = startRedis(port);
      const servers = [];
      try {
        for (let i = 0; i < 2; i++)
          servers.push(await Server.start({ arguments: ["--store", pg.store, "--bus", `redis://127.0.0.1:${port}`] }));
        const name = newName("bus");
        const [ana, ben] = [await browser.visitor(), await browser.visitor()];
        await openDocument(ana, servers[0], name);
        await openDocument(ben, servers[1], name);
        await writes(ana, "with. ");
        await sees(ben, "with.");
        for (const page of [ana, ben]) await until("nothing is said", async () => (await label(page)) === "Saved", 20_000);

        redis.kill("SIGKILL");
        for (const page of [ana, ben]) await until("it is said", async () => (await label(page)) === "Saved — slower for others", 20_000);
        const said = await ana.locator(".save").first().getAttribute("title");
        check(/later than usual/.test(said), `what is explained: ${said}`);
        await writes(ana, "without. ");
        await reaches(ana, "saved");
        await until("the other server has it", async () => (await ben.locator(".prose").innerText()).includes("without."), 20_000);
        check((await saveState(ben)) === "saved", "the reader is told of trouble");
        const late = await browser.visitor();
        await openDocument(late, servers[1], name);
        await sees(late, "with. without.");
        await until("who comes now is told", async () => (await label(late)) === "Saved — slower for others", 20_000);

        redis = startRedis(port);
        for (const page of [ana, ben, late]) await until("nothing is said any more", async () => (await label(page)) === "Saved", 30_000);
      } finally {
        redis.kill("SIGKILL");
        for (const server of servers) await server.end();
        await pg.end();
      }
    },
  ],
];
