/* A server that stands alone: its first account, signing out and in, and a session that ends while somebody writes. */
import { makesAccount, PASSWORD, shot, signsIn, withAccounts, withProvider } from "../accounts.mjs";
import { accessible, check, newName, openDocument, reaches, same, sees, textOf, writes } from "../support.mjs";

export default [
  [
    "first run: the printed link makes the account, and a document is written",
    async ({ browser }) => {
      await withAccounts(async (server, link) => {
        const page = await browser.visitor();
        await page.goto(`${server.url}/`);
        await page.waitForURL("**/sign-in");
        await accessible(page, "signing in");

        await page.goto(link);
        await accessible(page, "setting up");
        check(!page.url().includes("#"), "the token is out of the address");
        await page.getByLabel("Your name").fill("Ana Bell");
        await page.getByText("You sign in as ana-bell").waitFor();
        await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
        await shot(page, "setup");
        await page.getByRole("button", { name: "Create the account" }).click();
        await page.getByRole("heading", { name: "Documents" }).waitFor();
        await page.getByRole("button", { name: "Account of Ana Bell" }).waitFor();
        const cookies = await page.evaluate(() => document.cookie);
        check(!cookies.includes("ml_at") && !cookies.includes("ml_rt"), `a script can read ${cookies}`);
        const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
        check(!stored.includes("eyJ"), "a token in web storage");

        const name = newName("first");
        await openDocument(page, server, name);
        await writes(page, "by the owner");
        await reaches(page, "saved");

        const late = await browser.visitor();
        await late.goto(link);
        await late.getByLabel("Your name").fill("Eve");
        await late.getByLabel("Password", { exact: true }).fill(PASSWORD);
        await late.getByRole("button", { name: "Create the account" }).click();
        await late.getByText("This link was used already").waitFor();
      });
    },
  ],
  [
    "signing out and in again; a document's address leads through the sign-in and back",
    async ({ browser }) => {
      await withAccounts(async (server, link) => {
        const page = await browser.visitor();
        await page.goto(link);
        await makesAccount(page, "ana");
        const name = newName("private");
        await openDocument(page, server, name);
        await writes(page, "kept");
        await reaches(page, "saved");

        await page.goto(`${server.url}/`);
        await page.getByRole("button", { name: "Account of ana" }).click();
        await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
        await page.waitForURL("**/sign-in");

        const stranger = await browser.visitor();
        await stranger.goto(`${server.url}/edit/default/${name}`);
        await reaches(stranger, "refused", 8_000);
        same((await textOf(stranger)).trim(), "", "what a stranger sees");
        await stranger.getByRole("link", { name: "Sign in" }).click();
        await stranger.waitForURL("**/sign-in?next=*");
        await signsIn(stranger, "ana", "not the password");
        await stranger.getByText("Name and password do not match.").waitFor();
        await shot(stranger, "sign-in");
        await signsIn(stranger, "ana", PASSWORD);
        await stranger.waitForURL(`**/edit/default/${name}`);
        await sees(stranger, "kept");
        await writes(stranger, " and more");
        await reaches(stranger, "saved");
      });
    },
  ],
  [
    "another password: asked for the one before, and other windows have to sign in again",
    async ({ browser }) => {
      await withAccounts(async (server, link) => {
        const page = await browser.visitor();
        await page.goto(link);
        await makesAccount(page, "ana");
        const other = await browser.visitor();
        await other.goto(`${server.url}/sign-in`);
        await signsIn(other, "ana", PASSWORD);
        await other.getByRole("button", { name: "Account of ana" }).waitFor();
        const name = newName("elsewhere");
        await openDocument(other, server, name);
        await reaches(other, "saved");

        await page.getByRole("button", { name: "Account of ana" }).click();
        await page.getByRole("menuitem", { name: "Change your password" }).click();
        await page.waitForURL("**/password");
        await accessible(page, "changing the password");
        await page.getByLabel("The one you have").fill("something else");
        await page.getByLabel("The new one").fill("threads of silver light");
        await page.getByRole("button", { name: "Change it" }).click();
        await page.getByText("This is not the password you have.").waitFor();
        await shot(page, "password");
        await page.getByLabel("The one you have").fill(PASSWORD);
        await page.getByRole("button", { name: "Change it" }).click();
        await page.waitForURL(`${server.url}/`);
        await page.getByRole("button", { name: "Account of ana" }).waitFor();

        await reaches(other, "refused", 8_000);
        await other.goto(`${server.url}/sign-in`);
        await signsIn(other, "ana", "threads of silver light");
        await other.getByRole("button", { name: "Account of ana" }).waitFor();
      });
    },
  ],
  [
    "signing in at a provider leads back to the document",
    async ({ browser }) => {
      await withProvider(async (issuer) => {
        const auth = `outgoing = { "127.0.0.0/8" }
          auth = { mode = "password", oidc = { moonbase = { issuer = "${issuer}", client_id = "docs", client_secret = "s", role = "editor" } } }`;
        await withAccounts(async (server) => {
          const page = await browser.visitor();
          const name = newName("provided");
          await page.goto(`${server.url}/sign-in?next=/edit/default/${name}`);
          await page.getByRole("link", { name: "Sign in with Moonbase" }).waitFor();
          await accessible(page, "signing in at a provider");
          await shot(page, "provider");
          await page.getByRole("link", { name: "Sign in with Moonbase" }).click();
          await page.waitForURL(`**/edit/default/${name}`);
          await writes(page, "from elsewhere");
          await reaches(page, "saved");
          await page.goto(`${server.url}/`);
          await page.getByRole("button", { name: "Account of Ana of the Provider" }).waitFor();
        }, auth);
      });
    },
  ],
];
