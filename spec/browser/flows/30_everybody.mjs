/* Keyboards, small screens, screen readers. */
import { accessible, check, newName, noSidewaysScroll, openDocument, reaches, same, sees, textOf, until, writes } from "../support.mjs";

const TEXT = "# A heading\nSome words with a [link](https://example.org) and more.\n## Second\n- one\ntwo\n\n> quoted\n\n";
const WIDTHS = [320, 768, 1280];
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.tagName);

const inText = (page) => until("the focus is in the text", async () => (await focused(page)) === "Document text");

const axeFlows = ["light", "dark"].flatMap((colorScheme) =>
  WIDTHS.map((width) => [
    `no serious accessibility finding: ${colorScheme}, ${width} px`,
    async ({ browser, server }) => {
      const name = newName("axe");
      const page = await browser.visitor({ colorScheme, viewport: { width, height: 740 } });
      await page.goto(`${server.url}/`);
      await page.getByRole("heading", { name: "Documents" }).waitFor();
      await accessible(page, "documents");
      await noSidewaysScroll(page, "documents");
      await openDocument(page, server, name);
      await accessible(page, "new document");
      await writes(page, TEXT);
      await page.keyboard.press("Control+b");
      await page.keyboard.type("[ ] task");
      const other = await browser.visitor();
      await openDocument(other, server, name);
      await writes(other, " by another");
      await page.locator(".caret").waitFor();
      await reaches(page, "saved");
      await accessible(page, "document");
      await noSidewaysScroll(page, "document");

      await page.getByRole("button", { name: "More" }).click();
      await page.getByRole("menu", { name: "More" }).waitFor();
      await accessible(page, "more menu");
      await page.getByRole("menuitem", { name: "Keyboard" }).click();
      await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
      await accessible(page, "keyboard help");
      await noSidewaysScroll(page, "keyboard help");
      await page.keyboard.press("Escape");
      await page.locator(".save").click();
      await accessible(page, "save panel");
      await page.keyboard.press("Escape");
      await page.locator(".avatars").click();
      await accessible(page, "people");
      await page.keyboard.press("Escape");
      if (width > 380) {
        await page.getByRole("button", { name: "Share" }).click();
        await accessible(page, "share");
        await page.keyboard.press("Escape");
      }
      await page.locator(".prose").focus();
      await page.keyboard.press("Control+k");
      await page.getByRole("dialog", { name: /link/ }).waitFor();
      await accessible(page, "link dialog");
      await page.keyboard.press("Escape");

      await page.goto(`${server.url}/nowhere/at/all`).catch(() => undefined);
    },
  ]),
);

const troubleFlows = ["light", "dark"].map((colorScheme) => [
  `no serious accessibility finding in trouble: ${colorScheme}`,
  async ({ browser, server }) => {
    for (const [code, state] of [
      [1011, "offline"],
      [4403, "refused"],
    ]) {
      const page = await browser.visitor({ colorScheme, viewport: { width: 320, height: 640 } });
      await page.routeWebSocket(/\/sync\//, (socket) => socket.close({ code, reason: "" }));
      await page.goto(`${server.url}/edit/default/${newName("trouble")}`);
      await page.locator(".prose").waitFor();
      if (state === "offline") await writes(page, "alone");
      await reaches(page, state, 8_000);
      await accessible(page, state);
      await noSidewaysScroll(page, state);
    }
  },
]);

export default [
  ...axeFlows,
  ...troubleFlows,
  [
    "everything can be done from the keyboard",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("keys"));
      await inText(page);
      await page.keyboard.type("strong");
      await page.keyboard.press("Control+a");
      await page.keyboard.press("Alt+F10");
      same(await focused(page), "Undo");
      for (const label of ["Redo", "Paragraph style", "Bold"]) {
        await page.keyboard.press("ArrowRight");
        same(await focused(page), label);
      }
      await page.keyboard.press("Enter");
      same(await page.locator(".prose strong").innerText(), "strong");
      await until("the button is pressed", async () => (await page.getByRole("button", { name: "Bold" }).getAttribute("aria-pressed")) === "true");
      await inText(page);

      await page.keyboard.press("Alt+F10");
      same(await focused(page), "Bold", "the toolbar remembers its place");
      await page.keyboard.press("End");
      same(await focused(page), "Clear formatting");
      await page.keyboard.press("Home");
      same(await focused(page), "Undo");
      await page.keyboard.press("Escape");
      await inText(page);

      await page.keyboard.press("Alt+F10");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      same(await focused(page), "Paragraph style");
      await page.getByRole("combobox", { name: "Paragraph style" }).selectOption("Heading 2");
      await page.locator(".prose h2").waitFor();

      await page.locator(".prose").focus();
      await page.keyboard.press("Control+a");
      await page.keyboard.press("Control+k");
      const address = page.getByRole("textbox", { name: "Address", exact: true });
      await until("the address has the focus", () => address.evaluate((el) => el === document.activeElement));
      await page.keyboard.type("javascript:alert(1)");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").waitFor();
      await address.fill("example.org");
      await page.keyboard.press("Enter");
      same(await page.locator(".prose a").getAttribute("href"), "https://example.org");
      await inText(page);

      await page.keyboard.press("Control+/");
      await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
      for (let n = 0; n < 4; n++) {
        await page.keyboard.press("Tab");
        const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest("dialog") !== null);
        check(inside, "the focus stays in the dialog");
      }
      await page.keyboard.press("Escape");
      await until("the dialog is closed", async () => (await page.getByRole("dialog", { name: "Keyboard" }).count()) === 0);
      await inText(page);
    },
  ],
  [
    "menus and panels open, move and close from the keyboard, and give the focus back",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("menus"));
      const more = page.getByRole("button", { name: "More" });
      await more.focus();
      await page.keyboard.press("Enter");
      const at = () => page.evaluate(() => document.activeElement.textContent.trim());
      await until("the first item has the focus", async () => (await at()) === "New document");
      await page.keyboard.press("ArrowDown");
      same(await at(), "All documents");
      await page.keyboard.press("End");
      same(await at(), "Keyboard");
      await page.keyboard.press("ArrowDown");
      same(await at(), "New document", "the end leads to the beginning");
      await page.keyboard.press("Escape");
      same(await focused(page), "More");
      for (const [name, inside] of [
        [/^Save state/, "Waiting for the server"],
        [/^Here/, "Your name here"],
        ["Share", "Share this document"],
      ]) {
        const button = page.getByRole("button", { name, exact: typeof name === "string" });
        await button.focus();
        await page.keyboard.press("Enter");
        await page.getByText(inside).waitFor();
        await page.keyboard.press("Escape");
        check(await button.evaluate((el) => el === document.activeElement), `${name} has the focus again`);
      }
    },
  ],
  [
    "every control has a visible focus",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("focus"));
      await page.evaluate(() => document.activeElement.blur());
      const seen = new Set();
      for (let n = 0; n < 24; n++) {
        await page.keyboard.press("Tab");
        const now = await page.evaluate(() => {
          const el = document.activeElement;
          const style = getComputedStyle(el);
          return { label: el.getAttribute("aria-label") ?? el.tagName, text: el.classList.contains("prose"), outline: style.outlineStyle, width: parseFloat(style.outlineWidth) };
        });
        // In the text the caret is the focus.
        if (!now.text && now.label !== "BODY") check(now.outline !== "none" && now.width >= 2, `${now.label} shows no focus`);
        seen.add(now.label);
        if (now.text) await page.evaluate(() => document.querySelector(".status select").focus());
      }
      for (const label of ["All documents", "Document title", "Share", "More"]) check(seen.has(label), `Tab reaches ${label}: ${[...seen]}`);
    },
  ],
  [
    "a phone of 320 px: write, format, read the state",
    async ({ browser, server }) => {
      const page = await browser.visitor({ viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true });
      await openDocument(page, server, newName("phone"));
      await page.locator(".prose").tap();
      await page.keyboard.type("thumb");
      await reaches(page, "saved");
      check(await page.locator(".save-short").isVisible(), "the word is there");
      await page.keyboard.press("Control+a");
      await page.getByRole("button", { name: "Task list" }).tap();
      await page.locator('.prose ul[data-type="taskList"]').waitFor();
      const box = await page.getByRole("button", { name: "Bold" }).boundingBox();
      check(box.width >= 36 && box.height >= 36, "a thumb finds the button");
      await noSidewaysScroll(page, "phone");
    },
  ],
  [
    "writing from right to left",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("rtl"));
      await writes(page, "שלום עולם");
      await reaches(page, "saved");
      const direction = await page.locator(".prose p").first().evaluate((el) => getComputedStyle(el).direction);
      same(direction, "rtl");
      await page.reload();
      await sees(page, "שלום עולם");
      same((await textOf(page)).trim(), "שלום עולם");
    },
  ],
  [
    "the editor route carries 220 kB of code at most, and nothing from elsewhere",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await page.goto(`${server.url}/edit/default/${newName("light")}`);
      await page.locator(".prose[contenteditable=true]").waitFor();
      const parts = await page.evaluate(() =>
        [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].map((part) => ({
          name: part.name,
          bytes: part.encodedBodySize,
        })),
      );
      const strangers = parts.filter((part) => !part.name.startsWith(server.url));
      same(strangers, [], "what comes from elsewhere");
      const bytesOf = (kind) => parts.filter((part) => kind.test(part.name)).reduce((sum, part) => sum + part.bytes, 0);
      const [code, fonts] = [bytesOf(/\.(js|css)$/), bytesOf(/\.woff2$/)];
      check(code > 50_000 && fonts > 10_000, `the page was measured: ${code} and ${fonts} bytes`);
      check(code <= 220_000, `${code} bytes of script and style: ${JSON.stringify(parts)}`);
      check(fonts <= 80_000, `${fonts} bytes of fonts`);
      check(parts.length <= 16, `${parts.length} requests until the editor takes words`);
    },
  ],
];
