/* Rights that change while somebody types: the tab says so, nothing later gets in, nothing earlier is lost. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, newName, openDocument, reaches, same, sees, Server, Stranger, textOf, until, writes, Y } from "../support.mjs";

const MANIFEST = `return { name = "door", version = "1.0.0", api = 1, summary = "Rights of a flow", phase = "auth", needs = { "cache" },
  hooks = { authenticate = {}, authorize = {},
    rpc = { ["door.mode"] = { args = { { "mode", type = "string", required = true } } } } } }`;

/** Everybody is Ana, and may do what was said last; her rights are looked at every two seconds. */
const DOOR = `
local ml = require "moonloom"
local P = { rpc = {} }
function P:authenticate(req)
  return { user = "ana", name = "Ana Bell" }
end
function P:authorize(ask)
  if ask.action:sub(1, 4) == "rpc." then return ml.grant { read = true, write = true } end
  local mode = ml.cache.get "mode" or "write"
  if mode == "none" then return ml.deny("gone", "This document is private now.") end
  return ml.grant { read = true, presence = true, write = mode == "write", ttl = "2s" }
end
P.rpc["door.mode"] = function(self, call)
  ml.cache.set("mode", call.args.mode, "1h")
  return true
end
return P
`;

async function withDoor(work) {
  const folder = mkdtempSync(join(tmpdir(), "moonloom-access-"));
  mkdirSync(join(folder, "plugins/door"), { recursive: true });
  writeFileSync(join(folder, "plugins/door/plugin.lua"), MANIFEST);
  writeFileSync(join(folder, "plugins/door/init.lua"), DOOR);
  writeFileSync(join(folder, "moonloom.lua"), 'plugins = { door = {} }\ngrants = { door = { "cache" } }\nauth = { mode = "plugins" }\nloops = 1\n');
  const server = await Server.start({ arguments: ["--config", join(folder, "moonloom.lua"), "--plugins", join(folder, "plugins")] });
  const rights = async (mode) => {
    const response = await fetch(`${server.url}/api/v1/orgs/default/rpc/door.mode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ mode }),
    });
    same(response.status, 200, "the door");
  };
  try {
    await work(server, rights);
  } finally {
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

const readOnly = (page) => page.getByText("You can read this document, not change it.");

export default [
  [
    "rights taken away while typing: the tab says so, what was typed before stays, what comes later does not get in",
    async ({ browser }) => {
      await withDoor(async (server, rights) => {
        const name = newName("lowered");
        const page = await browser.visitor();
        await openDocument(page, server, name);
        await writes(page, "before");
        await reaches(page, "saved");
        await rights("read");
        await readOnly(page).waitFor({ timeout: 10_000 });
        same(await page.locator(".prose").getAttribute("contenteditable"), "false", "the text");
        if (process.env.MOONLOOM_SHOTS) await page.screenshot({ path: join(process.env.MOONLOOM_SHOTS, "read-only.png") });
        await page.locator(".prose").click();
        await page.keyboard.type("after");
        same((await textOf(page)).trim(), "before");

        // Somebody who comes now is told at once, and reads.
        const reader = await browser.visitor();
        await reader.goto(page.url());
        await readOnly(reader).waitFor();
        await sees(reader, "before");

        // A frame made by hand is no way in.
        const stranger = await Stranger.join(server, name);
        stranger.changes((doc) => doc.getXmlFragment("content").insert(0, [new Y.XmlElement("paragraph")]));
        await until("the door is shut", () => stranger.socket.readyState === 3);
        await sees(reader, "before");

        await rights("write");
        await readOnly(page).waitFor({ state: "detached", timeout: 10_000 });
        await reaches(page, "saved", 8_000);
        await writes(page, " and after");
        await reaches(page, "saved");
        await sees(reader, "before and after");
      });
    },
  ],
  [
    "access taken away: the reason, the text is still there, and it can be taken along",
    async ({ browser }) => {
      await withDoor(async (server, rights) => {
        const page = await browser.visitor();
        await openDocument(page, server, newName("private"));
        await writes(page, "mine");
        await reaches(page, "saved");
        await rights("none");
        await reaches(page, "refused", 10_000);
        const banner = page.getByRole("group", { name: "Can’t save" });
        check((await banner.innerText()).includes("This document is private now"), await banner.innerText());
        check((await textOf(page)).includes("mine"), "the text");
        await banner.getByRole("button", { name: "Download a copy" }).waitFor();
        // Also for a page that is opened now: the reason comes over HTTP, no socket opens.
        await page.reload();
        await reaches(page, "refused", 10_000);
        check((await banner.innerText()).includes("This document is private now"), await banner.innerText());
        await sees(page, "mine");
        await rights("write");
        await banner.getByRole("button", { name: "Try again" }).click();
        await reaches(page, "saved", 8_000);
      });
    },
  ],
];
