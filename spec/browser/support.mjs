/*
 * What every flow needs: a server that can be killed, windows that complain, a stranger with hand-made frames.
 * The packages come from www/node_modules, so there is one lock file.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const require = createRequire(join(ROOT, "www/package.json"));
const { chromium } = require("playwright-core");
export const Y = require("yjs");
const WebSocket = require("ws");
const encoding = require("lib0/encoding");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const START_MS = 15_000;

export class Skip extends Error {}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

export function same(actual, expected, what = "value") {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}

/** Polls, because what is awaited happens in another process. */
export async function until(what, probe, ms = 5_000) {
  const end = Date.now() + ms;
  for (;;) {
    let value;
    try {
      value = await probe();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

/** The binary on a free port, with a folder of its own; or a server that somebody else started. */
export class Server {
  static async start(options = {}) {
    const server = new Server();
    server.arguments = options.arguments ?? [];
    if (process.env.MOONLOOM_URL && options.arguments === undefined) {
      server.url = process.env.MOONLOOM_URL.replace(/\/$/, "");
      server.foreign = true;
    } else {
      server.data = mkdtempSync(join(tmpdir(), "moonloom-browser-"));
      await server.run("127.0.0.1:0");
    }
    return server;
  }

  async run(listen) {
    const [program, ...first] = (process.env.MOONLOOM_BIN ?? "build/release/moonloom").split(" ");
    const path = program.includes("/") ? resolve(ROOT, program) : program;
    this.process = spawn(path, [...first, "serve", "--listen", listen, "--data", this.data, ...this.arguments], {
      cwd: first.length > 0 ? ROOT : this.data,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const child = this.process;
    let said = "";
    this.said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        this.said = (this.said + chunk).slice(-1_000_000);
      });
    }
    child.stderr.on("data", (chunk) => {
      said = (said + chunk).slice(-2_000);
    });
    this.url = await new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`the server printed no address in ${START_MS} ms: ${said}`)), START_MS);
      child.once("error", fail);
      child.once("exit", (code) => fail(new Error(`the server ended with ${code}: ${said}`)));
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          const match = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
          if (match === null) return;
          clearTimeout(timer);
          done(match[0]);
        });
      }
    });
  }

  /** As a power cut does it. */
  async kill(signal = "SIGKILL") {
    if (this.foreign) throw new Skip("needs a server of its own");
    const child = this.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.removeAllListeners("exit");
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  }

  /** The same address and folder again. */
  async again() {
    await this.run(new URL(this.url).host);
  }

  async end() {
    if (this.foreign) return;
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }
}

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.chromium = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
    browser.contexts = [];
    browser.complaints = [];
    return browser;
  }

  /** A window of somebody who was never here. */
  async visitor(options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
    this.contexts.push(context);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => {
        console.error(`CSP-VIOLATION ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
      });
    });
    return this.window(context);
  }

  async window(context) {
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    page.on("pageerror", (error) => this.complaints.push(`error in the page: ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      if (/CSP-VIOLATION|Content Security Policy/.test(message.text())) this.complaints.push(message.text());
    });
    return page;
  }

  /** Ends the windows of a flow; answers what they complained about. */
  async sweep() {
    for (const context of this.contexts.splice(0)) await context.close();
    return this.complaints.splice(0);
  }

  async end() {
    await this.chromium.close();
  }
}

// --- what people do -----------------------------------------------------------------------------

let documents = 0;

export function newName(topic) {
  return `${topic}-${process.pid}-${++documents}-${Math.random().toString(36).slice(2, 8)}`;
}

export async function openDocument(page, server, name) {
  await page.goto(`${server.url}/edit/default/${name.split("/").map(encodeURIComponent).join("/")}`);
  await page.locator(".prose[contenteditable=true]").waitFor();
}

/** The text without the carets of others. */
export const textOf = (page) =>
  page.locator(".prose").evaluate((el) => {
    const copy = el.cloneNode(true);
    for (const caret of copy.querySelectorAll(".caret")) caret.remove();
    return [...copy.children].map((block) => block.textContent).join("\n");
  });

export async function sees(page, text, ms = 5_000) {
  await until(`the page shows ${JSON.stringify(text)}`, async () => (await textOf(page)).includes(text), ms);
}

export async function writes(page, text, options) {
  await page.locator(".prose").focus();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(text, options);
}

/** One of saved, saving, unsaved, offline, refused. */
export async function saveState(page) {
  const classes = await page.locator(".save").getAttribute("class");
  return /save-(saved|saving|unsaved|offline|refused)/.exec(classes)[1];
}

export async function reaches(page, state, ms = 5_000) {
  const wanted = [state].flat();
  await until(`the save widget shows ${wanted.join(" or ")}`, async () => wanted.includes(await saveState(page)), ms);
}

/** No finding of level serious or critical. */
/** Presses "Retry now", unless the page came back by itself a moment before. */
export async function hurries(page) {
  await page.evaluate(() => [...document.querySelectorAll("button")].find((b) => b.textContent.includes("Retry now"))?.click());
}

export async function accessible(page, where) {
  const loaded = await page.evaluate("typeof axe");
  if (loaded === "undefined") await page.evaluate(`(() => { const module = undefined, define = undefined; ${AXE} })()`);
  const findings = await page.evaluate(async () => {
    // What is half faded in has half its contrast.
    await Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => undefined)));
    const result = await window.axe.run(document, { resultTypes: ["violations"] });
    return result.violations
      .filter((v) => v.impact === "serious" || v.impact === "critical")
      .map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} (${n.any[0]?.message ?? n.failureSummary})`).join("; ")}`);
  });
  if (findings.length > 0) throw new Error(`${where}: ${findings.join(" | ")}`);
}

export async function noSidewaysScroll(page, where) {
  const [inner, wide] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
  check(wide <= inner, `${where}: the page is ${wide} px wide in a window of ${inner}`);
}

/** Somebody who sends frames by hand. */
export class Stranger {
  static async join(server, name) {
    const it = new Stranger();
    it.doc = new Y.Doc();
    it.socket = new WebSocket(`${server.url.replace("http", "ws")}/sync/default/${encodeURIComponent(name)}`, {
      origin: server.url,
    });
    await new Promise((done, fail) => {
      it.socket.once("open", done);
      it.socket.once("error", fail);
    });
    return it;
  }

  frame(type, subtype, payload) {
    const e = encoding.createEncoder();
    encoding.writeVarUint(e, type);
    if (subtype !== null) encoding.writeVarUint(e, subtype);
    encoding.writeVarUint8Array(e, payload);
    this.socket.send(encoding.toUint8Array(e));
  }

  /** Any JSON as an awareness state. */
  claims(state, clientId = this.doc.clientID, clock = 1) {
    const e = encoding.createEncoder();
    encoding.writeVarUint(e, 1);
    encoding.writeVarUint(e, clientId);
    encoding.writeVarUint(e, clock);
    encoding.writeVarString(e, JSON.stringify(state));
    this.frame(1, null, encoding.toUint8Array(e));
  }

  /** Whatever the function does to the document, as an update. */
  changes(work) {
    work(this.doc);
    this.frame(0, 2, Y.encodeStateAsUpdate(this.doc));
  }

  leave() {
    this.socket.terminate();
  }
}
