/* What comes from other browsers is not to be trusted. */
import { shot } from "../accounts.mjs";
import { accessible, check, newName, openDocument, reaches, same, sees, Stranger, until, writes, Y } from "../support.mjs";

const marker = () => window.__hit;

export default [
  [
    "names, colours and places made by hand run nothing and break nothing",
    async ({ browser, server }) => {
      const name = newName("presence");
      const page = await browser.visitor();
      await openDocument(page, server, name);
      await writes(page, "steady");
      const stranger = await Stranger.join(server, name);
      let id = 1000;
      const states = [
        { user: { name: '<img src=x onerror="window.__hit=1">', color: "red;background:url(javascript:1)" }, cursor: { anchor: { type: null, tname: "content", item: null, assoc: 0 }, head: { type: null, tname: "content", item: null, assoc: 0 } } },
        { user: { name: 7, color: { toString: 1 } }, cursor: "nowhere" },
        { user: "text", cursor: { anchor: 5, head: null } },
        { user: {}, cursor: { anchor: { tname: "meta" }, head: { tname: "meta" } } },
        { user: {}, cursor: { anchor: { tname: "content", item: { client: 5, clock: 1e300 } }, head: { type: { client: 1, clock: 2 } } } },
        { user: null, cursor: { anchor: {}, head: { item: { client: "x", clock: -1 } } } },
        { user: { name: "x".repeat(5_000), color: "#12345" }, cursor: [] },
        [],
        "state",
      ];
      for (const state of states) stranger.claims(state, ++id);
      await until("a stranger is shown", async () => !(await page.locator(".avatars").innerText()).includes("only you"));
      await writes(page, " as before");
      await reaches(page, "saved");
      await sees(page, "steady as before");
      same(await page.evaluate(marker), undefined);
      const styled = await page.locator("[style]").evaluateAll((all) => all.map((el) => el.getAttribute("style")).filter((s) => /url|javascript|background/.test(s)));
      same(styled, [], "style attributes");
      check(!(await page.content()).includes("<img src=x"), "a name is text");
      stranger.leave();
    },
  ],
  [
    "links and elements made by hand run nothing",
    async ({ browser, server }) => {
      const name = newName("links");
      const page = await browser.visitor();
      const stranger = await Stranger.join(server, name);
      const bad = ["javascript:window.__hit=1", "JAVASCRIPT:1/alert(1)", " javascript:1", "data:text/html,<script>1</script>", "vbscript:1", "java\tscript:1", "//evil.example"];
      stranger.changes((doc) => {
        const content = doc.getXmlFragment("content");
        for (const href of bad) {
          const p = new Y.XmlElement("paragraph");
          const text = new Y.XmlText();
          text.insert(0, "click me", { link: { href, class: "toast toast-on", target: "_self" } });
          p.insert(0, [text]);
          content.push([p]);
        }
        const good = new Y.XmlElement("paragraph");
        const text = new Y.XmlText();
        text.insert(0, "good", { link: { href: "https://example.org" } });
        good.insert(0, [text]);
        content.push([good]);
        doc.getMap("meta").set("title", '"><img src=x onerror="window.__hit=1">');
        doc.getMap("meta").set("lang", '"><script>');
      });
      await openDocument(page, server, name);
      await sees(page, "good");
      const hrefs = await page.locator(".prose a").evaluateAll((all) => all.map((a) => [a.getAttribute("href"), a.className, a.target]));
      for (const [href, classes, target] of hrefs) {
        check(href === null || href === "https://example.org", `href ${href}`);
        same([classes, target], ["", "_blank"]);
      }
      for (const link of await page.locator(".prose a").all()) await link.click({ modifiers: ["Alt"] });
      same(await page.locator(".prose script, .prose img, .prose iframe, .prose [onclick], .prose [style]").evaluateAll((all) => all.filter((el) => !el.classList.contains("ProseMirror-separator")).map((el) => el.outerHTML)), []);
      same(await page.evaluate(marker), undefined);
      stranger.leave();
    },
  ],
  [
    "what this editor does not know is shown as text, and stays in the document",
    async ({ browser, server }) => {
      const name = newName("foreign");
      const page = await browser.visitor();
      await openDocument(page, server, name);
      await writes(page, "known");
      await reaches(page, "saved");
      // While somebody writes.
      const stranger = await Stranger.join(server, name);
      stranger.changes((doc) => {
        for (const tag of ["script", "img", "iframe", "table"]) {
          const el = new Y.XmlElement(tag);
          const p = new Y.XmlElement("paragraph");
          p.insert(0, [new Y.XmlText(`in ${tag}`)]);
          p.setAttribute("onclick", "window.__hit=1");
          p.setAttribute("style", "position:fixed;inset:0");
          el.insert(0, [p]);
          el.setAttribute("src", "x");
          el.setAttribute("onerror", "window.__hit=1");
          doc.getXmlFragment("content").push([el]);
        }
      });
      // When it is opened.
      const late = await browser.visitor();
      await late.goto(`${server.url}/edit/default/${name}`);
      for (const window of [page, late]) {
        await window.getByText("has parts that this one does not know").waitFor();
        for (const text of ["known", "in script", "in table"]) await sees(window, text);
        same(await window.locator("[contenteditable=true]").count(), 0, "places to write");
        same(await window.locator(".prose script, .prose img, .prose iframe, .prose [onclick], .prose [style]").count(), 0);
        same(await window.evaluate(marker), undefined);
      }
      await shot(late, "foreign");
      await accessible(late);
      const kept = await (await fetch(`${server.url}/api/v1/orgs/default/docs/${name}/content?as=xml&root=content`)).text();
      for (const tag of ["script", "img", "iframe", "table"]) check(kept.includes(`in ${tag}`), `${tag} is still there: ${kept}`);
      stranger.leave();
    },
  ],
  [
    "proposals of others are shown as such, and nobody's typing takes them away",
    async ({ browser, server }) => {
      const name = newName("proposals");
      const page = await browser.visitor();
      const stranger = await Stranger.join(server, name);
      const mark = { id: "s_1", author: "bo", at: 1_700_000_000 };
      stranger.changes((doc) => {
        for (const [kind, words] of [["paragraph", "We pay on Monday"], ["codeBlock", "pay(Monday)"]]) {
          const block = new Y.XmlElement(kind);
          const text = new Y.XmlText(words);
          const at = words.indexOf("Monday");
          block.insert(0, [text]);
          doc.getXmlFragment("content").push([block]);
          text.format(at, 6, { deletion: mark });
          text.insert(at + 6, "Friday", { insertion: mark });
        }
      });
      await openDocument(page, server, name);
      for (const block of ["p", "pre"]) {
        same(await page.locator(`.prose ${block} del`).textContent(), "Monday");
        same(await page.locator(`.prose ${block} ins`).textContent(), "Friday");
      }
      await shot(page, "proposals");
      await page.locator(".prose p").click();
      await page.keyboard.press("End");
      await page.keyboard.type(" at noon");
      await reaches(page, "saved");
      same(await page.locator(".prose p ins").textContent(), "Friday", "what is typed behind it is not a part of it");
      const late = await browser.visitor();
      await openDocument(late, server, name);
      await sees(late, "at noon");
      same(await late.locator(".prose ins").count(), 2);
      same(await late.locator(".prose del").count(), 2);
      stranger.leave();
    },
  ],
  [
    "pasted code runs nothing",
    async ({ browser, server }) => {
      const page = await browser.visitor();
      await openDocument(page, server, newName("paste"));
      await page.locator(".prose").focus();
      await page.evaluate(() => {
        const data = new DataTransfer();
        data.setData(
          "text/html",
          `<b style="font-weight:normal"><p>plain</p></b><p><span style="font-weight:700">heavy</span></p><p style="position:fixed" onclick="window.__hit=1">pasted <a href="javascript:window.__hit=1">link</a><img src=x onerror="window.__hit=1"></p><script>window.__hit=1</script><svg onload="window.__hit=1"></svg>`,
        );
        document.querySelector(".prose").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
      });
      await sees(page, "pasted link");
      same(await page.locator(".prose strong").allInnerTexts(), ["heavy"]);
      same(await page.locator(".prose a[href^=javascript], .prose [onclick], .prose [style]").count(), 0);
      same(await page.evaluate(marker), undefined);
    },
  ],
  [
    "many people are a few faces and a number",
    async ({ browser, server }) => {
      const name = newName("crowd");
      const page = await browser.visitor();
      await openDocument(page, server, name);
      const crowd = [];
      for (let n = 0; n < 7; n++) {
        const stranger = await Stranger.join(server, name);
        stranger.claims({ user: { id: `p${n}`, name: `Person ${n}`, color: "#2f7a4b" } });
        crowd.push(stranger);
      }
      await page.getByRole("button", { name: "Here: 8 people" }).waitFor();
      same(await page.locator(".avatar-more").innerText(), "+5");
      for (const stranger of crowd) stranger.leave();
      await page.getByRole("button", { name: "Here: only you" }).waitFor();
    },
  ],
  [
    "a cursor that is still for 10 s fades",
    async ({ browser, server }) => {
      const name = newName("still");
      const ana = await browser.visitor();
      const bo = await browser.visitor();
      await openDocument(ana, server, name);
      await openDocument(bo, server, name);
      await writes(bo, "and rests");
      await ana.locator(".caret").waitFor();
      same(await ana.locator(".caret.is-still").count(), 0);
      await ana.locator(".caret.is-still").waitFor({ timeout: 13_000 });
      await writes(bo, " no more");
      await until("it is lively again", async () => (await ana.locator(".caret.is-still").count()) === 0);
    },
  ],
];
