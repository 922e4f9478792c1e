/* A server that stands alone, with its first account, for the flows about people who sign in. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server, until } from "./support.mjs";

export const PASSWORD = "a loom in the moonlight";

/** `work(address)`: the provider of identities of the server specs, who says that everybody is Ana. */
export async function withProvider(work) {
  const lua = fileURLToPath(new URL("../support/lua/", import.meta.url));
  const provider = spawn("luajit", ["-e", `package.path = '${lua}?.lua;' .. package.path`, join(lua, "issuer.lua")], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const port = await new Promise((done) => provider.stdout.once("data", (text) => done(Number(/\d+/.exec(text)[0]))));
    await work(`http://127.0.0.1:${port}`);
  } finally {
    provider.kill();
  }
}

/** `work(server, link)`: the link is the one that the server printed. `auth` is what stands in its configuration. */
export async function withAccounts(work, auth = 'auth = { mode = "password" }') {
  const folder = mkdtempSync(join(tmpdir(), "moonloom-accounts-"));
  writeFileSync(join(folder, "moonloom.lua"), `${auth}\n`);
  const server = await Server.start({ arguments: ["--config", join(folder, "moonloom.lua")] });
  try {
    const link = await until("the link", () => /http:\S+\/setup#[0-9a-f]{64}/.exec(server.said)?.[0]);
    await work(server, link);
  } finally {
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The form of a first or an invited account is open: fill it in. */
export async function makesAccount(page, name, button = "Create the account") {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: button }).click();
  await page.getByRole("button", { name: `Account of ${name}` }).waitFor();
}

export async function signsIn(page, name, password) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export async function shot(page, name) {
  if (process.env.MOONLOOM_SHOTS) await page.screenshot({ path: join(process.env.MOONLOOM_SHOTS, `${name}.png`) });
}
