// SPDX-License-Identifier: MIT
// Conversations with net_demo over real sockets: what a client is told, and what it cannot do to the server.
//   node demo_test.mjs PATH/net_demo [name part]        ends with "N passed, N failed"
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";

const [program, only = ""] = process.argv.slice(2);
const hex = (text) => Buffer.from(text.replaceAll(" ", ""), "hex");
const tests = [];
const it = (name, options, run) => tests.push(run ? { name, options, run } : { name, options: [], run: options });

/* ---- the server ------------------------------------------------------------------------------ */

class Server {
  static async start(flags) {
    const server = new Server();
    server.child = spawn(program, flags, {
      stdio: ["ignore", "pipe", "pipe"],
      // Freed memory that a sanitizer keeps aside is not a leak.
      env: { ...process.env, ASAN_OPTIONS: "quarantine_size_mb=1:thread_local_quarantine_size_kb=64" },
    });
    server.lines = [];
    server.waiting = [];
    server.errors = "";
    server.child.stderr.on("data", (d) => (server.errors += d));
    let rest = "";
    server.child.stdout.on("data", (d) => {
      const parts = (rest + d).split("\n");
      rest = parts.pop();
      for (const line of parts) (server.waiting.shift() ?? ((l) => server.lines.push(l)))(line);
    });
    server.exit = new Promise((resolve) => server.child.on("exit", (code, signal) => resolve(signal ?? code)));
    server.port = Number((await server.line()).split(" ")[1]);
    return server;
  }
  line() {
    if (this.lines.length) return Promise.resolve(this.lines.shift());
    return new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      this.exit.then((code) => reject(new Error(`net_demo ended: ${code}\n${this.errors}`)));
    });
  }
  async stats() {
    const line = this.line();
    this.child.kill("SIGUSR1");
    return JSON.parse(await line);
  }
  rss() {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, "utf8"))[1]);
  }
  cpuMs() {
    const f = readFileSync(`/proc/${this.child.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(f[11]) + Number(f[12])) * 10;
  }
  async stop() {
    this.child.kill("SIGTERM");
    const code = await this.exit;
    assert.equal(code, 0, `net_demo ended with ${code}\n${this.errors}`);
    assert.equal(this.errors, "");
  }
}

/* ---- a client that can misbehave ------------------------------------------------------------- */

class Client {
  constructor(socket) {
    this.socket = socket;
    this.frames = [];
    this.waiting = [];
    this.input = Buffer.alloc(0);
    this.closed = new Promise((resolve) => (this.onClosed = resolve));
    socket.on("data", (d) => this.take(d));
    socket.on("close", () => {
      this.onClosed(this.code ?? 1006);
      for (const w of this.waiting.splice(0)) w.reject(new Error(`closed: ${this.code ?? 1006} ${this.reason ?? ""}`));
    });
    socket.on("error", () => {});
  }
  static async open(port, path, headers = {}) {
    const { socket, head, rest } = await Client.request(port, path, headers);
    assert.match(head, /^HTTP\/1\.1 101 /, head);
    const client = new Client(socket);
    client.head = head;
    client.take(rest);
    return client;
  }
  /* The handshake as it is answered, whatever that is. */
  static request(port, path, headers = {}, extra = "") {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, "127.0.0.1");
      socket.setNoDelay(true);
      const fields = {
        Host: `127.0.0.1:${port}`,
        Upgrade: "websocket",
        Connection: "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
        ...headers,
      };
      const lines = Object.entries(fields).filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${v}\r\n`);
      socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n${extra}`);
      let input = Buffer.alloc(0);
      const onData = (d) => {
        input = Buffer.concat([input, d]);
        const end = input.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", onData);
        resolve({ socket, head: input.subarray(0, end).toString(), rest: input.subarray(end + 4) });
      };
      socket.on("data", onData);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("closed before an answer")));
    });
  }
  take(d) {
    this.input = Buffer.concat([this.input, d]);
    for (;;) {
      if (this.input.length < 2) return;
      let len = this.input[1], at = 2;
      assert.equal(len & 0x80, 0, "a server does not mask");
      if (len === 126) [len, at] = [this.input.length < 4 ? Infinity : this.input.readUInt16BE(2), 4];
      else if (len === 127) [len, at] = [this.input.length < 10 ? Infinity : Number(this.input.readBigUInt64BE(2)), 10];
      if (this.input.length < at + len) return;
      const [first, payload] = [this.input[0], this.input.subarray(at, at + len)];
      this.input = this.input.subarray(at + len);
      if (first === 0x88) {
        // The library answers our answer once more; a client has stopped listening by then.
        if (this.code !== undefined) continue;
        this.code = payload.length ? payload.readUInt16BE(0) : 1005;
        this.reason = payload.subarray(2).toString();
        if (!this.isStubborn) {
          this.raw(0x88, payload.subarray(0, 2));
          this.socket.end();
        }
      } else if (first === 0x89) {
        this.pings = (this.pings ?? 0) + 1;
        if (!this.isStubborn) this.raw(0x8a, payload);
      } else if (first === 0x8a) {
        this.pongs = (this.pongs ?? 0) + 1;
      } else {
        assert.equal(first, 0x82, "one binary frame per message");
        const w = this.waiting.shift();
        if (w) w.resolve(payload);
        else this.frames.push(payload);
      }
    }
  }
  static frame(first, payload, masked = true) {
    const len = payload.length;
    const head = len < 126 ? Buffer.from([first, len]) : len < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
    if (len >= 126) {
      head[0] = first;
      head[1] = len < 65536 ? 126 : 127;
      if (len < 65536) head.writeUInt16BE(len, 2);
      else head.writeBigUInt64BE(BigInt(len), 2);
    }
    if (!masked) return Buffer.concat([head, payload]);
    head[1] |= 0x80;
    const mask = randomBytes(4), body = Buffer.from(payload);
    for (let i = 0; i < body.length; i++) body[i] ^= mask[i & 3];
    return Buffer.concat([head, mask, body]);
  }
  raw(first, payload) {
    if (!this.socket.destroyed) this.socket.write(Client.frame(first, payload));
  }
  send(bytes) {
    this.raw(0x82, Buffer.isBuffer(bytes) ? bytes : hex(bytes));
  }
  next(ms = 3000) {
    if (this.frames.length) return Promise.resolve(this.frames.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("nothing came")), ms);
      this.waiting.push({
        resolve: (v) => (clearTimeout(timer), resolve(v)),
        reject: (e) => (clearTimeout(timer), reject(e)),
      });
    });
  }
  async sees(text) {
    assert.equal((await this.next()).toString("hex"), text.replaceAll(" ", ""));
  }
  /* Nothing more than what was read: a query is answered, and nothing stands before the answer. */
  async seesNothingElse() {
    this.send("03");
    await this.sees("010100");
  }
  async endsWith(code, ms = 6000) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`not closed after ${ms} ms`)), ms).unref());
    assert.equal(await Promise.race([this.closed, late]), code);
  }
  leave() {
    this.socket.destroy();
  }
}

const UPDATE = "0002 0a 01016502846501012100";
const joined = async (server, path = "/sync/default/one", headers) => {
  const client = await Client.open(server.port, path, headers);
  await client.sees("00000100");
  return client;
};
const ask = (port, path, options = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request({ port, host: "127.0.0.1", path, agent: false, ...options }, (response) => {
      const parts = [];
      response.on("data", (d) => parts.push(d));
      response.on("end", () => {
        const bytes = Buffer.concat(parts);
        resolve({ status: response.statusCode, headers: response.headers, bytes, text: bytes.toString() });
      });
    });
    request.on("error", reject);
    request.end(options.body);
  });
/* Raw bytes in, everything that comes back until the end. */
const talk = (port, bytes, ms = 3000) =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    socket.setTimeout(ms, () => socket.destroy(new Error(`not closed; so far: ${text}`)));
    socket.on("data", (d) => (text += d));
    socket.on("error", (e) => (text ? resolve(text) : reject(e)));
    socket.on("close", () => resolve(text));
  });
const until = async (fact, what, ms = 5000) => {
  for (const end = Date.now() + ms; !(await fact()); await new Promise((r) => setTimeout(r, 10)))
    assert.ok(Date.now() < end, `never: ${what}`);
};

/* ---- WebSocket ------------------------------------------------------------------------------- */

it("speaks first, answers Step1, echoes an update when it is committed", async (server) => {
  const [anna, ben] = [await joined(server), await joined(server)];
  anna.send("00000100");
  await anna.sees("00 01 02 0000");
  anna.send(UPDATE);
  await anna.sees(UPDATE);
  await ben.sees(UPDATE);
  anna.send("00 01 02 0000");
  await anna.seesNothingElse();
  await ben.seesNothingElse();
  anna.leave();
  ben.leave();
});

it("echoes a y-sweet status unchanged, and after what was sent before it", async (server) => {
  const anna = await joined(server, "/sync/default/sweet");
  anna.send("66 01 00");
  await anna.sees("660100");
  anna.send(UPDATE);
  anna.send("66 02 8101");
  const both = [(await anna.next()).toString("hex"), (await anna.next()).toString("hex")];
  assert.deepEqual(both.sort(), [UPDATE.replaceAll(" ", ""), "66028101"]);
  anna.leave();
});

it("answers joined messages and ignores text, unknown types and a client's word of denial", async (server) => {
  const anna = await joined(server, "/sync/default/joined");
  anna.send("03 00000100 660105");
  for (const want of ["010100", "0001020000", "660105"]) await anna.sees(want);
  anna.raw(0x81, Buffer.from('{"type":"hello"}'));
  for (const bytes of ["2a0102", "04", "0009 00", "0200 06 64656e696564", "7f"]) anna.send(bytes);
  await anna.seesNothingElse();
  anna.leave();
});

it("passes presence on, and a silent one keeps nothing alive but itself", async (server) => {
  const [anna, ben] = [await joined(server, "/sync/default/p"), await joined(server, "/sync/default/p")];
  anna.send("01 06 01 65 01 02 7b7d");
  await ben.sees("01 06 01 65 01 02 7b7d");
  await anna.sees("01 06 01 65 01 02 7b7d");
  ben.send("010100");
  await anna.seesNothingElse();
  anna.leave();
  ben.leave();
});

it("lets presence through at a rate, and the newest in the end", async (server) => {
  const [anna, ben] = [await joined(server, "/sync/default/rate"), await joined(server, "/sync/default/rate")];
  for (let clock = 1; clock <= 100; clock++) anna.send(Buffer.from([1, 6, 1, 0x65, clock, 2, 0x7b, 0x7d]));
  let seen = 0, last = 0;
  while (last !== 100) [seen, last] = [seen + 1, (await ben.next())[4]];
  assert.ok(seen >= 2 && seen <= 40, `${seen} of 100 came`);
  anna.leave();
  ben.leave();
});

it("echoes one of the sub-protocols that were offered, and only then", async (server) => {
  const one = await joined(server, "/sync/default/sub", { "Sec-WebSocket-Protocol": "yauth-abc.def_1, b" });
  assert.match(one.head, /\r\nsec-websocket-protocol: yauth-abc\.def_1$/im);
  const two = await joined(server, "/sync/default/sub");
  assert.doesNotMatch(two.head, /protocol:/i);
  assert.doesNotMatch(two.head, /extensions/i);
  const long = await Client.request(server.port, "/sync/default/sub", { "Sec-WebSocket-Protocol": "a".repeat(512) });
  assert.match(long.head, / 101 /);
  const longer = await Client.request(server.port, "/sync/default/sub", { "Sec-WebSocket-Protocol": "a".repeat(513) });
  assert.match(longer.head, / 400 /);
  for (const s of [one, two, long, longer]) s.socket.destroy();
});

it("refuses by status what is no handshake, no document or no business of this page", async (server) => {
  const rows = [
    ["/sync/default", {}, 404], ["/sync/default/", {}, 404], ["/sync/Default/x", {}, 404], ["/sync/other/x", {}, 404],
    ["/sync/default/%00", {}, 404], ["/sync/default/e%CC%81", {}, 404], ["/sync/default/..", {}, 404],
    ["/sync/default/x", { Upgrade: "h2c" }, 400], ["/sync/default/x", { Upgrade: "h2c, websocket" }, 400],
    ["/sync/default/x", { Upgrade: null }, 426], ["/sync/default/x", { Connection: "close" }, 426],
    ["/sync/default/x", { "Sec-WebSocket-Version": "8" }, 426], ["/sync/default/x", { "Sec-WebSocket-Version": null }, 426],
    ["/sync/default/x", { "Sec-WebSocket-Key": "short" }, 400], ["/sync/default/x", { "Sec-WebSocket-Key": null }, 400],
    ["/sync/default/x", { "Sec-WebSocket-Key": "A".repeat(24) }, 400],
    ["/", { Upgrade: "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__" }, 400],
    ["/sync/default/x", { "Content-Length": "2000000" }, 413],
  ];
  for (const [path, headers, status] of rows) {
    const { socket, head } = await Client.request(server.port, path, headers);
    assert.equal(Number(head.split(" ")[1]), status, `${path} ${JSON.stringify(headers)}`);
    assert.match(head, /connection: close/i);
    socket.destroy();
  }
  const early = await Client.request(server.port, "/sync/default/x", {}, "too early");
  assert.match(early.head, / 400 /);
  early.socket.destroy();
});

it("opens for its own pages and listed ones, and for nobody else's", async (server) => {
  const host = `127.0.0.1:${server.port}`;
  const rows = [
    [null, 101], [`http://${host}`, 101], [`https://${host}`, 101], ["https://docs.example.com", 101],
    ["https://a.example.org", 101], ["HTTPS://DOCS.EXAMPLE.COM", 101],
    ["null", 403], ["", 403], ["https://evil.com", 403], ["https://docs.example.com.evil.com", 403],
    ["https://evil.com#docs.example.com", 403], ["https://docs.example.com:8443", 403], ["http://docs.example.com", 403],
    ["https://docs.example.com.", 403], ["https://docs.example.com/", 403], ["https://x@docs.example.com", 403],
    ["https://example.org", 403], ["https://a.b.example.org", 403], ["https://evilexample.org", 403],
    ["https://.example.org", 403], [`http://127.0.0.1:${server.port + 1}`, 403], [`ftp://${host}`, 403], [host, 403],
    ["http://xn--dcs-pla.example.com", 403], ["http://localhost", 403],
  ];
  for (const [origin, status] of rows) {
    const { socket, head } = await Client.request(server.port, "/sync/default/o", { Origin: origin });
    assert.equal(Number(head.split(" ")[1]), status, origin);
    socket.destroy();
  }
  // A name that was rebound to loopback is its own origin, and still a stranger.
  const rebound = await Client.request(server.port, "/sync/default/o", { Host: "evil.com", Origin: "http://evil.com" });
  assert.match(rebound.head, / 403 /);
  rebound.socket.destroy();
  assert.equal((await ask(server.port, "/api/v1/orgs/default/docs", { headers: { Host: "evil.com" } })).status, 403);
  for (const name of ["localhost:1", "127.9.9.9", "[::1]:8", "a.localhost", "docs.example.com"])
    assert.equal((await ask(server.port, "/auth/session", { headers: { Host: name } })).status, 200, name);
  for (const name of ["localhost.evil.com", "127.0.0.1.evil.com", "0127.0.0.1", "128.0.0.1", "127.1", "[::2]"])
    assert.equal((await ask(server.port, "/auth/session", { headers: { Host: name } })).status, 403, name);
});

it("closes with the code that says what was wrong", async (server) => {
  const rows = [
    ["0002 03 ff0000", 4400], ["0002 03 fe0000", 4413], ["0002 7f 00", 4400], ["0000 00", 4400], ["80", 4400],
    ["01 02 01", 4400], ["01 03 010100", 4400], ["0200 02 c328", 4400], ["660500", 4400],
  ];
  for (const [bytes, code] of rows) {
    const anna = await joined(server, "/sync/default/codes");
    anna.send(bytes);
    await anna.endsWith(code);
  }
  const deleted = await Client.open(server.port, "/sync/default/broken");
  await deleted.endsWith(4404);
});

it("refuses what is too large before it has come", async (server) => {
  const frame = (first, len) => {
    const head = Buffer.alloc(14);
    head[0] = first;
    head[1] = 0xff;
    head.writeBigUInt64BE(BigInt(len), 2);
    return head;
  };
  const before = server.rss();
  for (const len of [100e6, 2 ** 40, 4 * 2 ** 20 + 1]) {
    const anna = await joined(server, "/sync/default/large");
    anna.socket.write(Buffer.concat([frame(0x82, len), hex("0002"), Buffer.alloc(100)]));
    await anna.endsWith(1009);
  }
  assert.ok(server.rss() - before < 4096, "memory");
  // As large as it may be, and as a reply larger still.
  const anna = await joined(server, "/sync/default/large");
  const body = Buffer.alloc(4 * 2 ** 20 - 6, 1);
  anna.send(Buffer.concat([hex("0002 f9ffff01"), body.subarray(0, 4 * 2 ** 20 - 7)]));
  assert.equal((await anna.next(8000)).length, 4 * 2 ** 20 - 7 + 6);
  const reply = Buffer.alloc(9 * 2 ** 20, 1);
  anna.send(Buffer.concat([hex("0001 8080c004"), reply]));
  assert.equal((await anna.next(8000)).length, 9 * 2 ** 20 + 6);
  // In fragments it is no different.
  const parts = await joined(server, "/sync/default/fragments");
  parts.raw(0x02, Buffer.concat([hex("0002"), Buffer.alloc(3 * 2 ** 20)]));
  parts.raw(0x80, Buffer.alloc(2 * 2 ** 20));
  await parts.endsWith(1009);
  anna.leave();
});

it("counts fragments", async (server) => {
  const anna = await joined(server, "/sync/default/many");
  const update = hex(UPDATE);
  anna.raw(0x02, update.subarray(0, 1));
  for (let i = 0; i < 1022; i++) anna.raw(0x00, Buffer.alloc(0));
  anna.raw(0x80, update.subarray(1));
  await anna.sees(UPDATE);
  anna.raw(0x02, update.subarray(0, 1));
  for (let i = 0; i < 1024; i++) anna.raw(0x00, Buffer.alloc(0));
  await anna.endsWith(1002);
});

it("survives what is no WebSocket at all", async (server) => {
  for (let i = 0; i < 200; i++) {
    const anna = await joined(server, "/sync/default/garbage");
    anna.socket.write(randomBytes(1 + (i * 37) % 3000));
    setTimeout(() => anna.socket.end(), 20);
    await anna.closed;
  }
  const fine = await joined(server, "/sync/default/garbage");
  fine.leave();
});

it("answers pings, and is not moved by a flood of pongs", async (server) => {
  const anna = await joined(server, "/sync/default/ping");
  anna.raw(0x89, Buffer.from("hi"));
  await until(() => anna.pongs === 1, "a pong");
  for (let i = 0; i < 30; i++) anna.raw(0x8a, Buffer.from("x"));
  await anna.endsWith(1008);
});

it("holds what comes before the seat is ready, and hands it over in order", async (server) => {
  const anna = await Client.open(server.port, `/sync/default/early-${Date.now()}`);
  for (let i = 1; i <= 50; i++) anna.send(Buffer.from([0, 2, 1, i]));
  await anna.sees("00000100");
  for (let i = 1; i <= 50; i++) assert.equal((await anna.next())[3], i);
  anna.leave();
});

it("stops reading from a client whose room is busy, and loses nothing", async (server) => {
  const anna = await joined(server, "/sync/default/busy");
  const parts = [];
  for (let i = 0; i < 300; i++) parts.push(Client.frame(0x82, Buffer.from([0, 2, 2, i & 0x7f, 1])));
  parts.push(Client.frame(0x82, hex("66 01 07")));
  anna.socket.write(Buffer.concat(parts));
  const seen = [];
  while (seen.length < 301) seen.push(await anna.next());
  const updates = seen.filter((f) => f[0] === 0);
  updates.forEach((f, i) => assert.equal(f[3], i & 0x7f));
  assert.equal(seen.filter((f) => f[0] === 0x66).length, 1);
  assert.ok(seen.findIndex((f) => f[0] === 0x66) >= 299);
  anna.leave();
});

it("pauses on large messages too, in the middle of them", async (server) => {
  const anna = await joined(server, "/sync/default/busy");
  const parts = [];
  for (let i = 0; i < 40; i++) parts.push(Client.frame(0x82, Buffer.concat([hex("0002 a09c01"), Buffer.alloc(20000, i)])));
  anna.socket.write(Buffer.concat(parts));
  for (let i = 0; i < 40; i++) assert.equal((await anna.next())[10], i);
  anna.leave();
});

it("sends a large first sync whole to a slow reader, and does not count it as its backlog", async (server) => {
  const anna = await joined(server, "/sync/default/big");
  anna.send("00000100");
  anna.socket.pause();
  await new Promise((r) => setTimeout(r, 300));
  anna.socket.resume();
  let bytes = 0;
  for (let i = 0; i < 32; i++) bytes += (await anna.next(8000)).length;
  assert.equal(bytes, 32 * (512 * 1024 + 5));
  assert.equal((await server.stats()).closed_slow, 0);
  anna.leave();
});

it("lets go of a reader that is too slow, and of nobody else", async (server) => {
  const slow = await joined(server, "/sync/default/flood");
  slow.socket.pause();
  const quick = await joined(server, "/sync/default/flood");
  await until(async () => (await server.stats()).closed_slow === 1, "closed as too slow", 15000);
  slow.socket.resume();
  await slow.endsWith(1013, 8000);
  assert.equal(quick.code, undefined);
  quick.leave();
  await until(async () => (await server.stats()).sessions === 0, "all gone");
});

/* ---- deadlines ------------------------------------------------------------------------------- */

it("does not wait for ever for a head", ["--fast"], async (server) => {
  const started = Date.now();
  const text = await talk(server.port, "GET / HTTP/1.1\r\nHost: a\r\n", 5000);
  assert.equal(text, "");
  assert.ok(Date.now() - started < 2000);
  // A byte now and then does not buy more time.
  const socket = net.connect(server.port, "127.0.0.1");
  const end = new Promise((r) => socket.on("close", r));
  socket.on("error", () => {});
  const drip = setInterval(() => socket.write("G"), 50);
  await end;
  clearInterval(drip);
  assert.ok(Date.now() - started < 4000);
});

it("does not wait for ever for a seat", ["--fast"], async (server) => {
  const anna = await Client.open(server.port, "/sync/default/slow");
  await anna.endsWith(1013);
  await until(async () => (await server.stats()).members === 0, "the seat is given up");
});

it("says something to a client that hears nothing, and pings it", ["--fast"], async (server) => {
  const anna = await joined(server, "/sync/default/quiet");
  const started = Date.now();
  await anna.sees("010100");
  assert.ok(Date.now() - started > 500);
  await until(() => anna.pings > 0, "a ping");
  await anna.sees("010100");
  await new Promise((r) => setTimeout(r, 3500));
  assert.equal(anna.code, undefined, "a client that answers pings stays");
  anna.leave();
});

it("notices that a peer is dead", ["--fast"], async (server) => {
  const anna = await joined(server, "/sync/default/dead");
  anna.isStubborn = true;
  await until(async () => (await server.stats()).sessions === 0, "gone", 9000);
});

it("cuts a client that does not answer a close", ["--fast"], async (server) => {
  const anna = await joined(server, "/sync/default/stubborn");
  anna.isStubborn = true;
  anna.send("80");
  await until(async () => (await server.stats()).members === 0, "the seat is given up at once", 1000);
  await anna.endsWith(4400, 9000);
  assert.equal((await server.stats()).sessions, 0);
});

it("does not wait for a reader that takes nothing", ["--fast"], async (server) => {
  const anna = await joined(server, "/sync/default/big");
  anna.socket.pause();
  anna.send("00000100");
  await until(async () => (await server.stats()).closed_slow === 1, "closed as too slow", 9000);
  await until(async () => (await server.stats()).sessions === 0, "gone", 9000);
});

/* ---- who may --------------------------------------------------------------------------------- */

it("asks the plugins who may", ["--closed"], async (server) => {
  const rows = [["", 404], ["?token=nobody", 404], ["?token=evil", 401], ["?token=crash", 503], ["?token=%", 400], ["?token=anna", 101]];
  for (const [query, status] of rows) {
    const { socket, head } = await Client.request(server.port, `/sync/default/x${query}`);
    assert.equal(Number(head.split(" ")[1]), status, query);
    socket.destroy();
  }
  const bearer = await Client.request(server.port, "/sync/other/x", { Authorization: "Bearer anna" });
  assert.match(bearer.head, / 101 /);
  bearer.socket.destroy();
  assert.match(server.errors, /^\S+ warn http\.refused status=503 code=policy_unavailable incident=[0-9a-f]{16}\n$/);
  server.errors = "";
  const session = await ask(server.port, "/auth/session", { headers: { Authorization: "Bearer anna" } });
  assert.deepEqual(JSON.parse(session.text), { mode: "plugin", user: { id: "anna", name: "anna" } });
  assert.equal(JSON.parse((await ask(server.port, "/auth/session")).text).user, null);
  const denial = await ask(server.port, "/auth/session?token=evil");
  assert.equal(denial.status, 401);
  assert.equal(JSON.parse(denial.text).error.code, "fake.evil");
  assert.equal((await ask(server.port, "/api/v1/orgs/default/docs")).status, 404);
  assert.equal((await ask(server.port, "/api/v1/orgs/default/docs?token=rita")).status, 200);
});

it("allocates nothing for a document before it knows who asks", ["--closed"], async (server) => {
  for (let i = 0; i < 300; i++) {
    const { socket } = await Client.request(server.port, `/sync/default/secret-${i}?token=nobody`);
    socket.destroy();
  }
  assert.equal((await server.stats()).members, 0);
});

it("tells a reader that it may not write", ["--closed"], async (server) => {
  const rita = await Client.open(server.port, "/sync/default/x?token=rita");
  await rita.sees("02 02 08 726561646f6e6c79"); // "readonly"; stock clients skip it
  await rita.sees("00000100");
  rita.send("00 01 02 0000");
  await rita.seesNothingElse();
  rita.send(UPDATE);
  await rita.sees("02 00 11 7065726d697373696f6e2064656e696564");
  await rita.endsWith(4403);
});

it("slows down who writes too fast, and sends away who keeps on", ["--closed"], async (server) => {
  const anna = await joined(server, "/sync/default/fast?token=anna");
  const many = (n) => Buffer.concat(Array.from({ length: n }, () => Client.frame(0x82, hex(UPDATE))));
  anna.socket.write(many(120));
  for (let i = 0; i < 120; i++) await anna.sees(UPDATE);
  const ben = await joined(server, "/sync/default/faster?token=anna");
  ben.socket.write(many(2000));
  await ben.endsWith(4529, 9000);
  anna.leave();
});

/* ---- HTTP ------------------------------------------------------------------------------------ */

const ALWAYS = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

it("answers its routes, with the headers that belong on all of them", async (server) => {
  const rows = [
    ["/healthz", 200], ["/readyz", 200], ["/auth/session", 200], ["/", 200], ["/index.html", 200], ["/edit/default/a%20b", 200],
    ["/edit/default/", 404], ["/edit", 404], ["/edit/default/%00", 404], ["/api/v1/orgs/default/docs", 200], ["/api/", 404],
    ["/api/v1/orgs/other/docs", 404], ["/api/v1/orgs//docs", 404], ["/api/v1/orgs/docs", 404], ["/api/v1/orgs/default/docs?limit=0", 400],
    ["/api/v1/orgs/default/docs?limit=1001", 400], ["/api/v1/orgs/default/docs?limit=x", 400], ["/api/v1/orgs/default/docs?prefix=%", 400],
    ["/nothing", 404], ["/sync/default/x", 426], ["//", 404],
  ];
  for (const [path, status] of rows) {
    const answer = await ask(server.port, path);
    assert.equal(answer.status, status, path);
    for (const [name, value] of Object.entries(ALWAYS)) assert.equal(answer.headers[name], value, `${path} ${name}`);
    assert.ok(answer.headers["permissions-policy"] && answer.headers["date"] && answer.headers["content-security-policy"], path);
    assert.equal(answer.headers["cache-control"], "no-store", path);
    if (path.startsWith("/api/") && status !== 200) {
      const { error } = JSON.parse(answer.text);
      assert.deepEqual(Object.keys(error).sort(), ["code", "incident", "message"]);
    }
  }
});

it("gives the page a fresh nonce each time, in policy and text alike", async (server) => {
  const seen = new Set();
  for (let i = 0; i < 20; i++) {
    const { text, headers } = await ask(server.port, "/");
    const policy = headers["content-security-policy"];
    const nonce = /'nonce-([A-Za-z0-9+/]{22}==)'/.exec(policy)[1];
    assert.equal(policy,
      `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data: blob:; font-src 'self'; ` +
      "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'");
    assert.ok(!text.includes("__ML_NONCE__"));
    seen.add(nonce);
  }
  assert.equal(seen.size, 20);
});

it("serves assets compressed, tagged, and to HEAD without a body", async (server) => {
  const page = (await ask(server.port, "/")).text;
  const path = /(?:src|href)="(\/assets\/[^"]+\.js)"/.exec(page)?.[1];
  if (!path) {
    assert.match(page, /not built/, "either the application or the page that says it is not there");
    return;
  }
  const plain = await ask(server.port, path);
  assert.equal(plain.status, 200);
  assert.equal(plain.headers["cache-control"], "public, max-age=31536000, immutable");
  assert.match(plain.headers["content-type"], /^text\/javascript/);
  const { gunzipSync } = await import("node:zlib");
  const packed = await ask(server.port, path, { headers: { "Accept-Encoding": "br, gzip" } });
  assert.equal(packed.headers["content-encoding"], "gzip");
  assert.equal(packed.headers["vary"], "Accept-Encoding");
  assert.ok(gunzipSync(packed.bytes).equals(plain.bytes));
  assert.notEqual(packed.headers["etag"], plain.headers["etag"]);
  const again = await ask(server.port, path, { headers: { "If-None-Match": `"x", ${plain.headers["etag"]}` } });
  assert.equal(again.status, 304);
  assert.equal(again.bytes.length, 0);
  const head = await ask(server.port, path, { method: "HEAD" });
  assert.equal(head.headers["content-length"], String(plain.bytes.length));
  assert.equal(head.bytes.length, 0);
});

it("lists documents page by page", async (server) => {
  const names = [];
  for (let after = ""; after !== null; ) {
    const { text } = await ask(server.port, `/api/v1/orgs/default/docs?limit=100&after=${encodeURIComponent(after)}`);
    const { items, next } = JSON.parse(text);
    names.push(...items.map((i) => i.name));
    assert.deepEqual(Object.keys(items[0]), ["name", "seq", "bytes", "created_at_ms", "updated_at_ms"]);
    after = next;
  }
  assert.equal(names.length, 250);
  assert.equal(names[249], 'doc "249"');
  const some = JSON.parse((await ask(server.port, "/api/v1/orgs/default/docs?prefix=doc%20%2224")).text);
  assert.equal(some.items.length, 10);
  assert.equal(some.next, null);
  const none = JSON.parse((await ask(server.port, "/api/v1/orgs/default/docs?prefix=zzz")).text);
  assert.deepEqual(none, { items: [], next: null });
});

it("refuses by the right status what it will not read", async (server) => {
  const get = (rest) => `GET ${rest}`;
  const rows = [
    [get(`/${"a".repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`), 414], [get("/ HTTP/1.1\r\n\r\n"), 400],
    [get(`/ HTTP/1.1\r\nHost: a\r\nX: ${"b".repeat(17000)}\r\n\r\n`), 431],
    [get(`/ HTTP/1.1\r\nHost: a\r\n${"x: y\r\n".repeat(100)}\r\n`), 431], ["\x16\x03\x01\x02\x00", 400],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400], [get("/ HTTP/3.0\r\n\r\n"), 505],
    ["PUT /api/v1/orgs/default/docs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405],
    ["POST /api/v1/orgs/default/docs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 415],
    ["DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405], ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413],
    ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400],
    ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501],
    ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 405],
  ];
  for (const [bytes, status] of rows) {
    const text = await talk(server.port, bytes);
    assert.equal(Number(text.split(" ")[1]), status, JSON.stringify(bytes.slice(0, 60)));
    assert.match(text, /connection: close/i);
  }
});

it("takes requests one after the other on one connection", async (server) => {
  const one = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  const text = await talk(server.port, one.repeat(20) + "HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.equal(text.split("HTTP/1.1 200 OK").length, 22);
  assert.equal(text.split("\r\n\r\nok\n").length, 21);
});

it("opens no file for a path, whatever it looks like", async (server) => {
  const ups = ["..", "%2e%2e", "..%2f", "..%5C", "%c0%ae%c0%ae", "....//", "..;", ".%2e", "%252e%252e", "..%00"];
  for (const up of ups)
    for (const base of ["/assets/", "/", "/edit/default/x/", "//"]) {
      const text = await talk(server.port, `GET ${base}${up}/${up}/etc/passwd HTTP/1.0\r\n\r\n`);
      assert.ok(!text.includes("root:"), `${base}${up}`);
      assert.ok([404, 200].includes(Number(text.split(" ")[1])) && (base.startsWith("/edit") || text.includes(" 404 ")), `${base}${up}`);
    }
});

/* ---- many, and the end ----------------------------------------------------------------------- */

it("opens and closes ten thousand times in the same memory", async (server) => {
  const cycles = async (n) => {
    let left = n;
    const worker = async () => {
      while (left-- > 0) {
        const client = await Client.open(server.port, `/sync/default/cycle-${left % 50}`);
        if (left % 3 === 0) {
          client.raw(0x88, Buffer.alloc(0));
          await client.closed;
        } else client.leave();
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    await until(async () => (await server.stats()).sessions === 0, "all gone", 15000);
  };
  await cycles(2000);
  const before = server.rss();
  await cycles(10000);
  const grown = server.rss() - before;
  console.log(`      ${grown} KiB more after 10 000 cycles`);
  assert.ok(grown < (process.env.ML_SANITIZED ? 20000 : 2048), `${grown} KiB more`);
  assert.equal((await server.stats()).members, 0);
});

it("says goodbye to everybody when it stops", async (server) => {
  const clients = [];
  for (let i = 0; i < 100; i++) clients.push(await joined(server, `/sync/default/bye-${i % 7}`));
  const stubborn = await joined(server, "/sync/default/bye");
  stubborn.isStubborn = true;
  const idle = net.connect(server.port, "127.0.0.1");
  idle.on("error", () => {});
  server.child.kill("SIGTERM");
  for (const client of clients) assert.equal(await client.closed, 1001);
  assert.equal(await server.exit, 0, server.errors);
  assert.equal(server.errors, "");
  await stubborn.closed;
  server.isStopped = true;
});

/* ---- run ------------------------------------------------------------------------------------- */

let failed = 0, passed = 0;
for (const test of tests.filter((t) => t.name.includes(only))) {
  const server = await Server.start(test.options);
  try {
    await test.run(server);
    if (!server.isStopped) await server.stop();
    passed++;
    console.log(`ok    ${test.name}`);
  } catch (error) {
    failed++;
    server.child.kill("SIGKILL");
    console.log(`FAIL  ${test.name}\n      ${error.stack.replaceAll("\n", "\n      ")}\n      ${server.errors}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
