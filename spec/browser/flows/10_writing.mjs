/* One or two people, a server that works. */
import { check, newName, openDocument, reaches, same, saveState, sees, textOf, until, writes } from "../support.mjs";

export default [
  [
    "a new visitor makes a document, types, and reads Saved within a second",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await page.goto(`${server.url}/`);
      await page.getByRole("button", { name: "New document" }).click();
      await page.waitForURL(/\/edit\/default\/[a-z]+-[a-z]+-\w{4}$/);
      await page.locator(".prose").waitFor();
      await reaches(page, "saved");
      await page.keyboard.type("The first words");
      const typed = Date.now();
      await until("all is saved", async () => (await saveState(page)) === "saved", 1_000);
      check(Date.now() - typed <= 1_000, "it took longer than a second");
      same(await page.locator(".save-long").innerText(), "Saved");
      check((await page.locator(".save").getAttribute("title")).includes("0 changes"), "the tooltip has a number");
    },
  ],
  [
    "a document is on the first page with its title, and its address opens it anywhere",
    async ({ browser, server }) => {
      const name = newName("list");
      const one = await browser.visitor();
      await openDocument(one, server, name);
      await writes(one, "found again");
      const title = one.getByRole("textbox", { name: "Document title" });
      same(await title.inputValue(), name, "the title of an untitled document");
      await title.fill("A quiet title");
      await reaches(one, "saved");
      await until("the tab has the title", async () => (await one.title()) === "A quiet title · Moonloom");
      await one.goto(`${server.url}/`);
      await one.getByRole("link", { name: "A quiet title" }).click();
      await sees(one, "found again");

      const two = await browser.visitor();
      await two.goto(`${server.url}/`);
      await two.getByRole("link", { name }).waitFor();
      await openDocument(two, server, name);
      await sees(two, "found again");
      same(await two.getByRole("textbox", { name: "Document title" }).inputValue(), "A quiet title");
    },
  ],
  [
    "two people see each other's text, cursors and names",
    async ({ browser, server }) => {
      const name = newName("two");
      const ana = await browser.visitor();
      const bo = await browser.visitor({ colorScheme: "dark" });
      await openDocument(ana, server, name);
      await renames(ana, "Ana Bell");
      await writes(ana, "Ana writes. ");
      await openDocument(bo, server, name);
      await renames(bo, "Bo Chen");
      await sees(bo, "Ana writes.");
      await writes(bo, "Bo answers.");
      await sees(ana, "Ana writes. Bo answers.");
      await ana.locator(".caret-name", { hasText: "Bo Chen" }).waitFor();
      await writes(ana, " Good.");
      await bo.locator(".caret-name", { hasText: "Ana Bell" }).waitFor();
      await ana.getByRole("button", { name: "Here: 2 people" }).waitFor();
      same((await ana.locator(".avatars .avatar:visible").allInnerTexts()).sort(), ["AB", "BC"], "initials");
      await bo.close();
      await until("the cursor of who left is gone", async () => (await ana.locator(".caret").count()) === 0);
      await ana.getByRole("button", { name: "Here: only you" }).waitFor();
    },
  ],
  [
    "both type in one paragraph at once and end up with the same text",
    async ({ browser, server }) => {
      const name = newName("same");
      const pages = [await browser.visitor(), await browser.visitor()];
      for (const page of pages) await openDocument(page, server, name);
      await writes(pages[0], "start ");
      await sees(pages[1], "start");
      await Promise.all([writes(pages[0], "aaaaaaaaaaaaaaaaaaaa", { delay: 5 }), writes(pages[1], "bbbbbbbbbbbbbbbbbbbb", { delay: 5 })]);
      for (const page of pages) await reaches(page, "saved");
      await until("both show the same", async () => (await textOf(pages[0])) === (await textOf(pages[1])));
      const text = await textOf(pages[0]);
      same([text.split("a").length - 2, text.split("b").length - 1], [20, 20], "letters of each");
    },
  ],
  [
    "a reload keeps the text",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("reload"));
      await writes(page, "# Kept\nword for word");
      await reaches(page, "saved");
      const before = await textOf(page);
      await page.reload();
      await sees(page, "word for word");
      same(await textOf(page), before);
      await reaches(page, "saved");
      await page.getByRole("navigation", { name: "Outline" }).getByRole("button", { name: "Kept" }).waitFor();
    },
  ],
  [
    "names with slashes, spaces and letters of all kinds are one document each",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      for (const name of [`${newName("team")}/plan für 2027`, `${newName("日本語")} ?#%`]) {
        await openDocument(page, server, name);
        await writes(page, `this is ${name}`);
        await reaches(page, "saved");
        const again = await browser.visitor();
        await again.goto(page.url());
        await sees(again, `this is ${name}`);
      }
    },
  ],
  [
    "undo takes back one's own words only",
    async ({ browser, server }) => {
      const name = newName("undo");
      const ana = await browser.visitor();
      const bo = await browser.visitor();
      await openDocument(ana, server, name);
      await writes(ana, "ana ");
      await openDocument(bo, server, name);
      await sees(bo, "ana");
      await writes(bo, "bo ");
      await sees(ana, "ana bo");
      await ana.locator(".prose").focus();
      await ana.keyboard.press("Control+z");
      await until("only bo's word is left", async () => (await textOf(bo)).trim() === "bo");
    },
  ],
  [
    "copies leave as text, web page and data",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("copy"));
      await page.getByRole("textbox", { name: "Document title" }).fill('Plan <b>"A"</b>');
      await writes(page, "# Head\nbody & soul");
      for (const [item, ending, wanted] of [
        ["Text (.txt)", ".txt", "Head\n\nbody & soul\n"],
        ["Web page (.html)", ".html", "<h1 dir=\"auto\">Head</h1><p dir=\"auto\">body &amp; soul</p>"],
        ["Data (.json)", ".json", '"text": "body & soul"'],
      ]) {
        await page.getByRole("button", { name: "More" }).click();
        const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: item }).click()]);
        check(file.suggestedFilename().endsWith(ending), file.suggestedFilename());
        const stream = await file.createReadStream();
        let text = "";
        for await (const chunk of stream) text += chunk;
        check(text.includes(wanted), `${ending} holds ${text}`);
        check(!text.includes('<b>"A"'), "the title is escaped in the page");
        if (ending === ".html") check(!/<title>[^<]*<b>/.test(text), "the title is escaped");
      }
    },
  ],
  [
    "the link is copied",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("link"));
      await page.getByRole("button", { name: "Share" }).click();
      await page.getByRole("button", { name: "Copy link" }).click();
      await page.getByRole("button", { name: "Copied" }).waitFor();
      same(await page.evaluate(() => navigator.clipboard.readText()), page.url());
    },
  ],
  [
    "a theme is kept",
    async ({ browser, server }) => {
      const page = await browser.visitor({ colorScheme: "light" });
      await page.goto(`${server.url}/`);
      const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      const light = await ground();
      await page.getByRole("button", { name: "Theme" }).click();
      await page.getByRole("menuitemradio", { name: "Dark" }).click();
      const dark = await ground();
      check(light !== dark, "dark looks different");
      await page.reload();
      same(await ground(), dark);
    },
  ],
];

export async function renames(page, name) {
  await page.locator(".avatars").click();
  await page.getByRole("textbox", { name: "Your name here" }).fill(name);
  await page.keyboard.press("Enter");
}
