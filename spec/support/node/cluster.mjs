// Several real nodes over one PostgreSQL and one Redis, and a proxy that gives every connection to the next of them.
// Run by spec/support/with-postgres and with-redis, which say where they are.
import { execFileSync, spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { freePort, Server } from "./server.mjs";
import { afterFailure, note, until } from "./tap.mjs";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Plain round robin over ports, as a balancer without stickiness does it. */
export class Balancer {
  next = 0;
  sockets = new Set();

  /** @param ports  asked for each connection */
  constructor(ports) {
    this.ports = ports;
    this.used = new Set();
  }

  async start() {
    this.port = await freePort();
    this.server = createServer((socket) => {
      const ports = this.ports();
      const port = ports[this.next++ % ports.length];
      const behind = connect(port, "127.0.0.1");
      this.used.add(port);
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      for (const [from, to] of [[socket, behind], [behind, socket]]) {
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
      }
      socket.pipe(behind);
      behind.pipe(socket);
    });
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get sync() {
    return `ws://127.0.0.1:${this.port}/sync/default`;
  }

  /** Every connection goes; who connects again comes to the next node. */
  bounce() {
    for (const socket of this.sockets) socket.destroy();
  }

  stop() {
    this.server.close();
    this.bounce();
  }
}

const pg = process.env.MOONLOOM_TEST_PG;

/** One statement, rows of tab-separated words. */
export function sql(database, statement) {
  return execFileSync("psql", [`${pg} dbname=${database}`, "-XqAtF\t", "-c", statement], { encoding: "utf8" })
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split("\t"));
}

export function createStore(database) {
  sql("postgres", `CREATE DATABASE ${database}`);
  return `postgres:///${database}?host=${/host=(\S+)/.exec(pg)[1]}&user=moonloom`;
}

const asPostgres = process.getuid() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : ["env"];
const pgCtl = (...words) =>
  execFileSync(asPostgres[0], [...asPostgres.slice(1), `${execFileSync("pg_config", ["--bindir"], { encoding: "utf8" }).trim()}/pg_ctl`,
    "-D", process.env.MOONLOOM_TEST_PG_DATA, "-l", `${process.env.MOONLOOM_TEST_PG_DATA}/server.log`, "-w", ...words], { stdio: "ignore", cwd: "/" });
export const restartPostgres = (mode) => pgCtl("-m", mode, "restart");
export const stopPostgres = () => pgCtl("-m", "immediate", "stop");
export const startPostgres = () =>
  pgCtl("-o", `-c listen_addresses= -c unix_socket_directories=${/host=(\S+)/.exec(pg)[1]} -c max_connections=100`, "start");

export const redisPort = Number(process.env.MOONLOOM_TEST_REDIS);
let redisChild = null; // what startRedis started
export const redisPid = () => redisChild?.pid ?? Number(process.env.MOONLOOM_TEST_REDIS_PID);
process.on("exit", () => redisChild?.kill("SIGKILL"));
/** Another one in the place of one that was killed. */
export async function startRedis() {
  redisChild = spawn("setpriv", ["--pdeathsig", "KILL", "--", "redis-server", "--port", String(redisPort), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
    "--dir", process.env.MOONLOOM_TEST_REDIS_FOLDER], { stdio: "ignore" });
  await until(() => new Promise((resolve) => {
    const socket = connect(redisPort, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false)).on("connect", () => socket.destroy());
  }), "Redis is there again", 20_000, 20);
}
export const redis = (...words) =>
  execFileSync("redis-cli", ["-p", String(redisPort), ...words], { encoding: "utf8", timeout: 5000 }).trim().split("\n");

/** A wire to Redis that can be cut. */
export class Wire {
  sockets = new Set();
  isCut = false; // connections end, and nobody gets a new one
  isHole = false; // connections stay, and nothing arrives any more, on either side

  async start() {
    this.port = await freePort();
    this.server = createServer((socket) => {
      if (this.isCut) return socket.destroy();
      const behind = connect(redisPort, "127.0.0.1");
      this.sockets.add(socket);
      for (const [from, to] of [[socket, behind], [behind, socket]]) {
        from.on("data", (bytes) => {
          if (from === socket && bytes.includes("PUBLISH")) socket.speaks = true;
          if (!this.isHole && !socket.isMute) to.write(bytes);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.sockets.delete(socket);
          to.destroy();
        });
      }
    });
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    return this;
  }

  get bus() {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Of the connections on which something is published one loses all that it is given. */
  muteOne() {
    const socket = [...this.sockets].find((it) => it.speaks);
    if (!socket) throw new Error("nobody speaks here");
    socket.isMute = true;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  /** What came through a hole is lost: the connections with it. */
  heal() {
    if (this.isHole) for (const socket of this.sockets) socket.destroy();
    this.isCut = this.isHole = false;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}

/** Nodes that know each other; `options` go to each Server; `bus` may be one for each. */
export async function startNodes(count, { database = "cluster", bus = `redis://127.0.0.1:${redisPort}`, args = [], env = {}, ...options } = {}) {
  const store = createStore(database);
  const nodes = [];
  for (let i = 0; i < count; i++)
    nodes.push(new Server({ args: ["--store", store, "--bus", Array.isArray(bus) ? bus[i] : bus, ...args], env: { MOONLOOM_LOG: "info", ...env }, ...options }));
  for (const node of nodes) await node.start(); // the first makes the tables
  afterFailure(() => nodes.forEach((node, i) => note(`node ${i}:\n${node.tail(1500)}`)));
  return nodes;
}

export const ready = async (node) => {
  const answer = await fetch(`${node.url}/readyz`);
  return { status: answer.status, text: await answer.text() };
};

/** Every node hears itself over the bus. */
export const busIsThere = (nodes) =>
  until(async () => (await Promise.all(nodes.map(ready))).every(({ text }) => text === "ready\n"), "the bus is there", 20_000, 50);

/** The value of a metric without labels. */
export async function metric(node, name) {
  const text = await (await fetch(`${node.url}/metrics`)).text();
  return Number(new RegExp(`^moonloom_${name} (\\d+)$`, "m").exec(text)[1]);
}
