/* What a policy refuses vanishes from the writer's screen and is nowhere else; and the writer reads why. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, newName, openDocument, reaches, same, sees, Server, Stranger, textOf, until, writes } from "../support.mjs";

const CARD = "4111 1111 1111 1111";

const CONFIG = `
auth = { mode = "open" }
log = "debug"
plugins = { ["content-filter"] = { config = { builtin = { "card" }, action = "refuse" } } }
`;

/** A server of its own with a policy that takes card numbers back. */
async function guarded(work) {
  const folder = mkdtempSync(join(tmpdir(), "moonloom-refused-"));
  writeFileSync(join(folder, "moonloom.lua"), CONFIG);
  const server = await Server.start({ arguments: ["--config", join(folder, "moonloom.lua")] });
  try {
    await work(server);
  } finally {
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function pastes(page, text) {
  await page.locator(".prose").focus();
  await page.keyboard.press("Control+End");
  await page.evaluate((words) => navigator.clipboard.writeText(words), text);
  await page.keyboard.press("Control+V");
}

const notice = (page) => page.locator(".banner[role=alert]");

export default [
  [
    "a refused paste vanishes from the writer's screen, is nowhere else, and the writer goes on",
    async ({ browser }) => {
      await guarded(async (server) => {
        const name = newName("refused");
        const ana = await browser.visitor();
        const bo = await browser.visitor();
        await openDocument(ana, server, name);
        await openDocument(bo, server, name);
        const watcher = await Stranger.join(server, name);
        let heard = "";
        watcher.socket.on("message", (bytes) => {
          heard += bytes.toString("latin1");
        });
        await writes(ana, "My number: ");
        await sees(bo, "My number:");

        await pastes(ana, CARD);
        await notice(ana).waitFor();
        same(await notice(ana).locator("p").innerText(), "Taken back. This text was not added: it looks like a card number.");
        await until("the paste is gone", async () => (await textOf(ana)).trim() === "My number:");
        await reaches(ana, "saved");
        if (process.env.MOONLOOM_SHOTS) await ana.screenshot({ path: join(process.env.MOONLOOM_SHOTS, "refused-paste.png") });

        // What is typed leans on the place where the paste was.
        await writes(ana, "ask me");
        await reaches(ana, "saved");
        await sees(bo, "My number: ask me");
        same((await textOf(ana)).trim(), "My number: ask me");
        await until("the watcher heard the words", () => heard.includes("ask me") || heard.includes("ask"));
        check(!(await textOf(bo)).includes("4111"), "the other replica has it");
        same(await notice(bo).count(), 0, "notices for the other");
        check(!heard.includes("4111"), "it was in a frame");

        await notice(ana).getByRole("button", { name: "Dismiss" }).click();
        await notice(ana).waitFor({ state: "detached" });

        // Somebody who comes now, and the writer after a reload (with the copy on this device), see the same.
        const late = await browser.visitor();
        await openDocument(late, server, name);
        await sees(late, "My number: ask me");
        same((await textOf(late)).trim(), "My number: ask me", "who comes late");
        await ana.reload();
        await sees(ana, "My number: ask me");
        same((await textOf(ana)).trim(), "My number: ask me", "after a reload");
        await writes(ana, ", please");
        await sees(bo, "ask me, please");
        await reaches(ana, "saved");
        watcher.leave();

        await server.kill("SIGTERM");
        check(server.said.length > 0, "the server has a log");
        check(!server.said.includes("4111"), "it is in the log");
        for (const file of readdirSync(server.data, { recursive: true, withFileTypes: true })) {
          if (!file.isFile()) continue;
          check(!readFileSync(join(file.parentPath ?? file.path, file.name)).includes("4111"), `it is in ${file.name}`);
        }
        await server.again();
        const after = await browser.visitor();
        await openDocument(after, server, name);
        await sees(after, "My number: ask me, please");
        same((await textOf(after)).trim(), "My number: ask me, please", "after a restart");
      });
    },
  ],
];
