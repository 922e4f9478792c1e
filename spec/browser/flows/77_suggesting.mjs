/* A suggester writes in the shipped editor, an editor decides. The server runs the plugin `suggestion-mode`. */
import { fileURLToPath } from "node:url";
import { makesAccount, shot, withAccounts } from "../accounts.mjs";
import { accessible, newName, openDocument, reaches, same, sees, textOf, until, writes } from "../support.mjs";

const PLUGINS = fileURLToPath(new URL("../../../plugins", import.meta.url));
const CONFIG = `auth = { mode = "password" }\nplugins_dir = "${PLUGINS}"\nplugins = { ["suggestion-mode"] = {} }`;

const panel = (page) => page.getByRole("dialog", { name: "Suggestions" });

/** All that is marked so, without the carets of others in it. */
const marked = (page, tag) =>
  page.locator(`.prose ${tag}`).evaluateAll((all) =>
    all
      .map((element) => {
        const copy = element.cloneNode(true);
        for (const caret of copy.querySelectorAll(".caret")) caret.remove();
        return copy.textContent;
      })
      .join(""),
  );
async function becomes(page, tag, words) {
  try {
    await until(words, async () => (await marked(page, tag)) === words, 8_000);
  } catch {
    const [found, whole] = [await marked(page, tag), await page.locator(".prose").innerHTML()];
    throw new Error(`${tag}: “${found}”, expected “${words}” in ${whole}`);
  }
}

/** The editor hears of a moved selection later than the key: as people do, the next key waits for that. */
async function moves(page, key) {
  await page.keyboard.press(key);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100))));
}

/** Ana owns a document, Sue has its link as a suggester. */
async function withSuggester(browser, words, work) {
  await withAccounts(async (server, link) => {
    const ana = await browser.visitor();
    await ana.goto(link);
    await makesAccount(ana, "ana");
    await openDocument(ana, server, newName("plan"));
    await writes(ana, words);
    await reaches(ana, "saved");
    await ana.getByRole("button", { name: "Share" }).click();
    const dialog = ana.getByRole("dialog", { name: "Share" });
    await dialog.getByRole("button", { name: "Make a link" }).click();
    const address = await until("the link", async () => {
      const value = await dialog.getByLabel("Link for anyone").inputValue();
      return value.includes("#link=") && value;
    });
    await dialog.getByLabel("Role of the link").selectOption("suggester");
    await until("the role", async () => (await dialog.getByLabel("Role of the link").inputValue()) === "suggester");
    await ana.keyboard.press("Escape");
    const sue = await browser.visitor();
    await sue.goto(address);
    await sees(sue, words);
    await sue.getByText("You suggest: what you write and delete here is marked").waitFor();
    await work({ ana, sue });
  }, CONFIG);
}

export default [
  [
    "what a suggester types and deletes is marked for everybody, and an editor accepts or rejects it",
    async ({ browser }) => {
      await withSuggester(browser, "We pay on Monday", async ({ ana, sue }) => {
        await sue.locator(".prose p").click();
        await moves(sue, "End");
        await sue.keyboard.type(" at noon");
        for (const page of [ana, sue]) await becomes(page, "ins", " at noon");
        await moves(sue, "Home");
        // One when the one before has come back, as somebody types who looks; then two at once.
        await sue.keyboard.press("Delete");
        await becomes(sue, "del", "W");
        for (let i = 0; i < 2; i += 1) await sue.keyboard.press("Delete");
        for (const page of [ana, sue]) await becomes(page, "del", "We ");
        same((await textOf(ana)).trim(), "We pay on Monday at noon");
        // Its author takes back a part of a suggestion.
        await moves(sue, "End");
        for (const left of [" at noo", " at no"]) {
          await sue.keyboard.press("Backspace");
          await becomes(ana, "ins", left);
        }

        await ana.getByRole("button", { name: /suggestions$/ }).click();
        await panel(ana).getByRole("button", { name: /^Accept: .* adds “ at no”/ }).waitFor();
        await shot(ana, "suggestions");
        await accessible(ana);
        await panel(ana).getByRole("button", { name: /^Accept: .* adds/ }).click();
        await ana.locator(".prose ins").waitFor({ state: "detached" });
        // What was deleted in one go is one suggestion, on a slow machine there are more.
        const rejects = panel(ana).getByRole("button", { name: /^Reject: .* deletes/ });
        for (let left = await rejects.count(); left > 0; left -= 1) {
          await rejects.first().click();
          await until("one less", async () => (await rejects.count()) < left);
        }
        for (const page of [ana, sue]) {
          await page.locator(".prose del").waitFor({ state: "detached" });
          same((await textOf(page)).trim(), "We pay on Monday at no");
        }
        await ana.getByRole("button", { name: /suggestion/ }).waitFor({ state: "detached" });
        await reaches(ana, "saved");
      });
    },
  ],
  [
    "a suggester cannot change the shape of the text, and is told so",
    async ({ browser }) => {
      await withSuggester(browser, "One line", async ({ ana, sue }) => {
        same(await sue.getByRole("toolbar").count(), 0, "toolbars");
        await sue.locator(".prose p").click();
        await moves(sue, "End");
        await sue.keyboard.press("Enter");
        await sue.getByText("Suggestions change words, not the shape of the text").waitFor();
        await moves(sue, "ControlOrMeta+a");
        await sue.keyboard.press("ControlOrMeta+b");
        await moves(sue, "Home");
        // Would begin a list elsewhere.
        await sue.keyboard.type("- ");
        await becomes(ana, "ins", "- ");
        await reaches(sue, "saved");
        for (const page of [ana, sue]) {
          same(await page.locator(".prose p").count(), 1, "paragraphs");
          same(await page.locator(".prose strong, .prose ul").count(), 0);
          same(await textOf(page).then((text) => text.trim()), "- One line");
        }
        await shot(sue, "suggester");
      });
    },
  ],
];
