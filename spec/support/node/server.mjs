// The real process on a free port with a folder of its own. Whatever was started here is ended here, by its pid.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within, note } from "./tap.mjs";

export const BIN = process.env.MOONLOOM_BIN ?? "build/dev/src/server/moonloom";
export const LONG = Boolean(process.env.MOONLOOM_LONG);

const running = new Set();
const folders = new Set();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {} // busy: the machine's temporary folder keeps it
  }
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/** Set by fastBinary: how much more time and memory what was measured may take. */
export let slowness = 1;

/** The release build, for what needs speed or measures; says so when there is none. */
export function fastBinary() {
  const release = process.env.MOONLOOM_RELEASE_BIN;
  if (release && existsSync(release)) {
    note(`binary: ${release}`);
    return release;
  }
  note(`no release build: measured with ${BIN}, which is slower`);
  slowness = 4;
  return BIN;
}

export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "moonloom-spec-"));
  folders.add(folder);
  return folder;
}

/**
 * A port that is free now and that no outgoing connection will be given: a server that comes back needs the same one,
 * and a client that knocks in between must not meet itself.
 */
export async function freePort() {
  for (let tries = 0; tries < 200; tries++) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const is_free = await new Promise((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (is_free) return port;
  }
  throw new Error("no free port");
}

export class Server {
  constructor({ bin = BIN, port, data = temporaryFolder(), config, args = [], env = {}, wrap } = {}) {
    Object.assign(this, { bin, port, data, config, args, env, wrap });
    this.log = "";
    this.starts = 0;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Where y-websocket clients connect. */
  get sync() {
    return `ws://127.0.0.1:${this.port}/sync/default`;
  }

  /** Where Hocuspocus clients connect. */
  get collab() {
    return `ws://127.0.0.1:${this.port}/collab/default`;
  }

  get store() {
    return join(this.data, "moonloom.db");
  }

  async start(deadline_ms = 20_000) {
    this.port ??= await freePort();
    let args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, ...this.args];
    if (this.config) {
      const path = join(this.data, "spec.lua");
      writeFileSync(path, this.config);
      args.push("--config", path);
    }
    let command = this.bin;
    if (this.wrap) [command, args] = this.wrap(command, args);
    // It does not outlive the spec, even if that is killed.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", command, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.env },
      cwd: this.data,
    });
    running.add(child);
    this.child = child;
    this.starts += 1;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
      child.once("error", (error) => {
        running.delete(child);
        this.log += `${error}\n`;
        resolve({ code: -1, signal: null });
      });
    });
    let ended = null;
    this.exited.then((how) => (ended = how));
    let out = "";
    child.stdout.on("data", (bytes) => (out += bytes));
    child.stderr.on("data", (bytes) => {
      this.log = (this.log + bytes).slice(-200_000);
    });
    await until(
      () => {
        if (ended) throw new Error(`the server ended with ${JSON.stringify(ended)}\n${this.log.slice(-4000)}`);
        return /http:\/\/\S+:\d+/.test(out);
      },
      "the server says where it is",
      deadline_ms,
      2,
    );
    return this;
  }

  get isRunning() {
    return running.has(this.child);
  }

  get pid() {
    return this.child.pid;
  }

  /** kill -9, and the process is gone when this answers. */
  async kill() {
    this.child.kill("SIGKILL");
    return within(this.exited, "a killed process is gone");
  }

  /** SIGTERM; answers the exit status. */
  async stop(deadline_ms = 30_000) {
    this.child.kill("SIGTERM");
    const { code, signal } = await within(this.exited, "the server drains and exits", deadline_ms);
    if (code !== 0) {
      throw new Error(`after SIGTERM: exit ${code} signal ${signal}\n${this.log.slice(-6000)}`);
    }
    return code;
  }

  /** Resident bytes. */
  rss() {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    return Number(kib[1]) * 1024;
  }

  tail(bytes = 3000) {
    return this.log.slice(-bytes);
  }
}

/** Does the binary run? Everything else would fail in a less clear way. */
export function checkBinary(bin = BIN) {
  execFileSync(bin, ["version"], { stdio: "ignore" });
}
