/* Who may what, said in the browser: invitations, the share dialog, links for anyone, and other people's pages. */
import { createServer } from "node:http";
import { makesAccount, shot, withAccounts } from "../accounts.mjs";
import { accessible, check, newName, openDocument, reaches, same, sees, textOf, until, writes } from "../support.mjs";

const readOnly = (page) => page.getByText("You can read this document, not change it.");
const dialog = (page) => page.getByRole("dialog", { name: "Share" });

/** Ana has set the server up and is on the first page. */
async function withAna(browser, work) {
  await withAccounts(async (server, link) => {
    const ana = await browser.visitor();
    await ana.goto(link);
    await makesAccount(ana, "ana");
    await work(server, ana);
  });
}

async function invites(ana, role) {
  await ana.getByRole("button", { name: "Invite" }).click();
  await ana.getByLabel("Role of the new person").selectOption(role);
  await ana.getByRole("button", { name: "Make an invitation" }).click();
  const address = await ana.getByLabel("Address of the invitation").inputValue();
  await ana.keyboard.press("Escape");
  return address;
}

async function joins(browser, ana, name, role) {
  const page = await browser.visitor();
  await page.goto(await invites(ana, role));
  await makesAccount(page, name, "Join");
  return page;
}

async function opensShare(page) {
  await page.getByRole("button", { name: "Share" }).click();
  await dialog(page).getByText("Share this document").waitFor();
}

/** A page of somebody else on a port of its own, with a script that tries things. */
async function withForeignPage(work) {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end("<!doctype html><title>elsewhere</title><p>elsewhere</p>");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await work(server.address().port);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

/** In the page: does a socket of the document open and answer, and does a post arrive? */
function tries({ address, doc }) {
  const socket = new Promise((done) => {
    const it = new WebSocket(`${address.replace("http", "ws")}/sync/default/${doc}`);
    it.binaryType = "arraybuffer";
    it.onopen = () => it.send(new Uint8Array([0, 0, 1, 0]));
    it.onmessage = () => done("answered");
    it.onclose = () => done("closed");
    setTimeout(() => done("silent"), 4_000);
  });
  const post = fetch(`${address}/api/v1/orgs/default/docs/${doc}/ops`, {
    method: "POST",
    mode: "no-cors",
    credentials: "include",
    headers: { "content-type": "text/plain" },
    body: '{"ops":[["text.insert","content",0,"from elsewhere"]]}',
  }).then(
    () => "sent",
    () => "failed",
  );
  return Promise.all([socket, post]);
}

export default [
  [
    "an invitation makes one account, once",
    async ({ browser }) => {
      await withAna(browser, async (server, ana) => {
        const address = await invites(ana, "editor");
        const ben = await browser.visitor();
        await ben.goto(address);
        await ben.getByRole("heading", { name: "You are invited" }).waitFor();
        check(!ben.url().includes("#"), "the token is out of the address");
        await accessible(ben, "an invitation");
        await shot(ben, "invitation");
        await makesAccount(ben, "ben", "Join");
        check(await ben.getByRole("button", { name: "Invite" }).isHidden(), "an editor invites nobody");

        const name = newName("together");
        await openDocument(ana, server, name);
        await openDocument(ben, server, name);
        await writes(ana, "by the owner");
        await sees(ben, "by the owner");
        await writes(ben, ", and by who was invited");
        await sees(ana, "and by who was invited");

        const late = await browser.visitor();
        await late.goto(address);
        await late.getByLabel("Your name").fill("eve");
        await late.getByLabel("Password", { exact: true }).fill("a loom in the moonlight");
        await late.getByRole("button", { name: "Join" }).click();
        await late.getByText("This invitation is over, or it was used already.").waitFor();
      });
    },
  ],
  [
    "a person is made editor of one document and is told why; taken away, the open tab says so",
    async ({ browser }) => {
      await withAna(browser, async (server, ana) => {
        const cleo = await joins(browser, ana, "cleo", "viewer");
        const name = newName("shared");
        await openDocument(ana, server, name);
        await writes(ana, "for you");
        await reaches(ana, "saved");
        await cleo.goto(`${server.url}/edit/default/${name}`);
        await sees(cleo, "for you", 10_000);
        await readOnly(cleo).waitFor();

        await opensShare(ana);
        await dialog(ana).getByText("You are Owner").waitFor();
        await dialog(ana).getByLabel("Sign-in name of a person").fill("cleo");
        await dialog(ana).getByRole("button", { name: "Add" }).click();
        await dialog(ana).getByLabel("Role of cleo").waitFor();
        await readOnly(cleo).waitFor({ state: "hidden", timeout: 4_000 });
        await dialog(ana).getByRole("button", { name: "Why cleo has access" }).click();
        await dialog(ana).getByText("cleo is Editor because the document is shared with them").waitFor();
        await accessible(ana, "the share dialog");
        await shot(ana, "share");
        await writes(cleo, ", thanks");
        await sees(ana, ", thanks");

        await dialog(ana).getByLabel("Role of cleo").selectOption("remove");
        await readOnly(cleo).waitFor({ timeout: 4_000 });
      });
    },
  ],
  [
    "a link lets anyone in with its role, until it is turned off",
    async ({ browser }) => {
      await withAna(browser, async (server, ana) => {
        const name = newName("public");
        await openDocument(ana, server, name);
        await writes(ana, "read me");
        await reaches(ana, "saved");
        await opensShare(ana);
        await dialog(ana).getByRole("button", { name: "Make a link" }).click();
        const address = await until("the link", async () => {
          const value = await dialog(ana).getByLabel("Link for anyone").inputValue();
          return value.includes("#link=") && value;
        });
        await shot(ana, "share-link");

        const guest = await browser.visitor();
        await guest.goto(address);
        await sees(guest, "read me");
        check(!guest.url().includes("link="), "the token is out of the address");
        await readOnly(guest).waitFor();
        await shot(guest, "guest");
        await opensShare(guest);
        await dialog(guest).getByText("Its owners decide who else can open it. You are Viewer by a link.").waitFor();
        await guest.keyboard.press("Escape");

        // Another role under the same address; then another address.
        await dialog(ana).getByLabel("Role of the link").selectOption("editor");
        await readOnly(guest).waitFor({ state: "detached", timeout: 8_000 });
        same(await dialog(ana).getByLabel("Link for anyone").inputValue(), address, "the address after a change of role");
        await ana.keyboard.press("Escape");
        await opensShare(ana);
        await dialog(ana).getByRole("button", { name: "Replace it by a new one" }).click();
        const second = await until("the second link", async () => {
          const value = await dialog(ana).getByLabel("Link for anyone").inputValue({ timeout: 1_000 });
          return value.includes("#link=") && value;
        });
        check(second !== address, "the new link is another one");
        await reaches(guest, "refused", 8_000);
        const other = await browser.visitor();
        await other.goto(second);
        await sees(other, "read me");

        await dialog(ana).getByLabel("Role of the link").selectOption("remove");
        await dialog(ana).getByRole("button", { name: "Make a link" }).waitFor();
        await reaches(other, "refused", 8_000);
      });
    },
  ],
  [
    "signing out everywhere ends the other window",
    async ({ browser }) => {
      await withAna(browser, async (server, ana) => {
        const name = newName("everywhere");
        await openDocument(ana, server, name);
        await writes(ana, "kept");
        await reaches(ana, "saved");
        const second = await ana.context().newPage();
        await second.goto(`${server.url}/`);
        await second.getByRole("button", { name: "Account of ana" }).click();
        await second.getByRole("menuitem", { name: "Sign out everywhere" }).click();
        await second.waitForURL("**/sign-in");
        await reaches(ana, "refused", 8_000);
        same((await textOf(ana)).trim(), "kept", "what stays on the screen");
      });
    },
  ],
  [
    "a page of another origin gets neither a socket nor a post, though the cookie would travel",
    async ({ browser }) => {
      await withAna(browser, async (server, ana) => {
        const name = newName("mine");
        await openDocument(ana, server, name);
        await writes(ana, "mine");
        await reaches(ana, "saved");
        // The same from our own page, so that the difference is the origin.
        const own = await ana.context().newPage();
        await own.goto(`${server.url}/`);
        same((await own.evaluate(tries, { address: server.url, doc: name }))[0], "answered", "a socket from our page");
        await withForeignPage(async (port) => {
          for (const host of ["127.0.0.1", "localhost"]) {
            const foreign = await ana.context().newPage();
            await foreign.goto(`http://${host}:${port}/`);
            const [socket] = await foreign.evaluate(tries, { address: server.url, doc: name });
            check(socket !== "answered", `a socket from ${host}: ${socket}`);
            await foreign.close();
          }
        });
        same((await textOf(ana)).trim(), "mine", "after all posts");
      });
    },
  ],
];
