/* Lines that break, servers that die, servers that refuse: the widget tells the truth and no word is lost. */
import { check, hurries, newName, openDocument, reaches, same, saveState, sees, Skip, textOf, until, writes } from "../support.mjs";

const label = (page) => page.locator(".save-long").innerText();

export default [
  [
    "without a server the changes stay on this device, through a reload, and are saved once it is back",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      const name = newName("offline");
      const page = await browser.visitor();
      await openDocument(page, server, name);
      await writes(page, "before. ");
      await reaches(page, "saved");
      // The pages open without a server once their worker is installed.
      await page.evaluate(async () => {
        await navigator.serviceWorker.ready;
      });
      await until("the worker has the pages", () => page.evaluate(async () => (await caches.match("/")) !== undefined));

      await server.kill();
      await reaches(page, "offline");
      await writes(page, "during. ");
      await until("the number is shown", async () => /^Offline — \d+ changes kept on this device$/.test(await label(page)));
      await page.getByRole("group", { name: "Offline" }).getByRole("button", { name: "Retry now" }).waitFor();

      await page.reload();
      await sees(page, "before. during.");
      await reaches(page, "offline");
      check(/^Offline — \d+ changes kept on this device$/.test(await label(page)), `after a reload: ${await label(page)}`);
      await writes(page, "after. ");

      await server.again();
      await hurries(page);
      await reaches(page, "saved", 10_000);
      same((await textOf(page)).trim(), "before. during. after.");

      const fresh = await browser.visitor();
      await openDocument(fresh, server, name);
      await sees(fresh, "before. during. after.");
      same((await textOf(fresh)).trim(), "before. during. after.", "in a new browser");
    },
  ],
  [
    "a document never seen before can be begun without a server",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      const page = await browser.visitor();
      await page.goto(`${server.url}/`);
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
      await until("the worker has the pages", () => page.evaluate(async () => (await caches.match("/")) !== undefined));
      await server.kill();
      const name = newName("begun");
      await openDocument(page, server, name);
      await writes(page, "begun alone");
      await reaches(page, "offline", 8_000);
      await server.again();
      await hurries(page);
      await reaches(page, "saved", 10_000);
      const fresh = await browser.visitor();
      await openDocument(fresh, server, name);
      await sees(fresh, "begun alone");
    },
  ],
  [
    "kill -9 while typing: amber, then Saved, and nothing is lost",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      const name = newName("kill");
      const page = await browser.visitor();
      await openDocument(page, server, name);
      await reaches(page, "saved");
      const words = Array.from({ length: 60 }, (_, n) => `w${n}`).join(" ");
      const typing = writes(page, words, { delay: 12 });
      await sees(page, "w5 ");
      await server.kill("SIGKILL");
      await typing;
      await reaches(page, ["unsaved", "offline"]);
      await server.again();
      await reaches(page, "saved", 35_000);
      same((await textOf(page)).trim(), words);
      const fresh = await browser.visitor();
      await openDocument(fresh, server, name);
      await sees(fresh, "w59");
      same((await textOf(fresh)).trim(), words, "on the server");
    },
  ],
  [
    "what was Saved before a kill -9 is there after it, in another browser",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      for (let round = 0; round < 3; round++) {
        const name = newName("durable");
        const page = await browser.visitor();
        await openDocument(page, server, name);
        await writes(page, `round ${round} holds`);
        await reaches(page, "saved");
        await server.kill("SIGKILL");
        await page.context().close();
        await server.again();
        const fresh = await browser.visitor();
        await openDocument(fresh, server, name);
        await sees(fresh, `round ${round} holds`);
      }
    },
  ],
  [
    "an acknowledgement that is late turns the widget amber with the number of changes",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      const held = [];
      let hold = false;
      await page.routeWebSocket(/\/sync\//, (socket) => {
        const far = socket.connectToServer();
        far.onMessage((message) => {
          if (hold && typeof message !== "string" && message[0] === 0x66) held.push(message);
          else socket.send(message);
        });
        held.release = () => held.splice(0).forEach((message) => socket.send(message));
      });
      await openDocument(page, server, newName("late"));
      await reaches(page, "saved");
      hold = true;
      await writes(page, "abc");
      await reaches(page, "unsaved", 4_000);
      same(await label(page), "Not saved yet — 3 changes");
      const colour = await page.locator(".save").evaluate((el) => getComputedStyle(el).color);
      check(colour !== (await page.locator(".title-input").evaluate((el) => getComputedStyle(el).color)), "amber is not ink");
      hold = false;
      held.release();
      await reaches(page, "saved");
    },
  ],
  [
    "lost access: Can't save, the reason, and a copy to keep",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      let refuse = () => {};
      await page.routeWebSocket(/\/sync\//, (socket) => {
        socket.connectToServer();
        refuse = () => socket.close({ code: 4403, reason: "locked after sign-off" });
      });
      await openDocument(page, server, newName("refused"));
      await writes(page, "keep this");
      await reaches(page, "saved");
      refuse();
      await reaches(page, "refused");
      same(await label(page), "Can’t save");
      const banner = page.getByRole("group", { name: "Can’t save" });
      check((await banner.innerText()).includes("locked after sign-off"), "the reason is shown");
      same(await page.locator(".prose").getAttribute("contenteditable"), "false");
      const [file] = await Promise.all([page.waitForEvent("download"), banner.getByRole("button", { name: "Download a copy" }).click()]);
      let text = "";
      for await (const chunk of await file.createReadStream()) text += chunk;
      check(text.includes("keep this"), "the copy holds the text");
    },
  ],
  [
    "a write that the server denies is said at once",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await page.routeWebSocket(/\/sync\//, (socket) => {
        const far = socket.connectToServer();
        socket.onMessage((message) => {
          if (message[0] === 0 && message[1] === 2) socket.send(Buffer.from([2, 0, 9, ...Buffer.from("read only")]));
          else if (message[0] !== 0x66 || message[2] === 0) far.send(message);
        });
      });
      await openDocument(page, server, newName("denied"));
      await reaches(page, "saved");
      await writes(page, "x");
      await reaches(page, "refused");
      check((await page.getByRole("group", { name: "Can’t save" }).innerText()).includes("read only"), "the reason is shown");
    },
  ],
  [
    "a short gap without typing is not worth a word",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      let cut = () => {};
      await page.routeWebSocket(/\/sync\//, (socket) => {
        socket.connectToServer();
        cut = () => socket.close({ code: 1011, reason: "" });
      });
      await openDocument(page, server, newName("gap"));
      await writes(page, "calm");
      await reaches(page, "saved");
      await page.evaluate(() => {
        window.__states = new Set();
        const widget = document.querySelector(".save");
        new MutationObserver(() => window.__states.add(widget.className)).observe(widget, { attributes: true });
      });
      cut();
      await new Promise((done) => setTimeout(done, 1_500));
      const seen = await page.evaluate(() => [...window.__states]);
      check(!seen.some((s) => /offline|unsaved|refused/.test(s)), `states: ${seen}`);
      same(await saveState(page), "saved");
    },
  ],
  [
    "the network goes and comes back",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("network"));
      await reaches(page, "saved");
      let socket;
      await page.routeWebSocket(/\/sync\//, (ws) => {
        socket = ws;
        ws.connectToServer();
      });
      await page.reload();
      await page.locator(".prose[contenteditable=true]").waitFor();
      await reaches(page, "saved");
      await page.context().setOffline(true);
      await page.routeWebSocket(/\/sync\//, (ws) => ws.close({ code: 1011 }));
      socket.close({ code: 1011 });
      await writes(page, "in a tunnel");
      await reaches(page, ["offline", "unsaved"], 6_000);
      await page.routeWebSocket(/\/sync\//, (ws) => ws.connectToServer());
      await page.context().setOffline(false);
      await reaches(page, "saved", 8_000);
    },
  ],
  [
    "Copy my changes copies what the server does not have",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      const page = await browser.visitor();
      await openDocument(page, server, newName("mine"));
      await writes(page, "saved paragraph\n");
      await reaches(page, "saved");
      await server.kill();
      await writes(page, "only here");
      await reaches(page, "offline");
      await page.getByRole("button", { name: "Copy my changes" }).click();
      await until("the clipboard has it", async () => (await page.evaluate(() => navigator.clipboard.readText())) === "only here");
      await server.again();
      await hurries(page);
      await reaches(page, "saved", 10_000);
    },
  ],
  [
    "the live region speaks of trouble and of its end, not of keystrokes",
    async ({ browser, server }) => {
      if (server.foreign) throw new Skip("needs a server of its own");
      const page = await browser.visitor();
      await openDocument(page, server, newName("live"));
      await reaches(page, "saved");
      await page.evaluate(() => {
        window.__said = [];
        const live = document.querySelector("[data-live]");
        new MutationObserver(() => window.__said.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
      });
      await writes(page, "many keystrokes and not a word", { delay: 15 });
      await reaches(page, "saved");
      same(await page.evaluate(() => window.__said), [], "while typing");
      await server.kill();
      await reaches(page, "offline");
      await server.again();
      await hurries(page);
      await reaches(page, "saved", 10_000);
      await until("the end is told", () => page.evaluate(() => window.__said.at(-1) === "Saved"));
      const said = await page.evaluate(() => window.__said);
      check(said.length <= 4 && said[0].startsWith("Offline"), `said: ${JSON.stringify(said)}`);
    },
  ],
];
