// Our engine behind a pipe: spec/support/engine_cli.c. Commands are answered in order, so many may be under way.
import { spawn } from "node:child_process";

export class Engine {
  constructor(program) {
    this.child = spawn(program, [], { stdio: ["pipe", "pipe", "pipe"] });
    this.waiting = [];
    this.rest = [];
    this.complaint = "";
    this.child.stdout.setEncoding("latin1");
    this.child.stdout.on("data", (text) => this.onText(text));
    this.child.stderr.on("data", (text) => {
      this.complaint += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.on("close", (status, signal) => {
        const error = new Error(`the engine ended (${signal ?? status})\n${this.complaint.slice(0, 8000)}`);
        for (const { reject } of this.waiting.splice(0)) reject(error);
        this.error = error;
        resolve(status);
      });
    });
    this.child.stdin.on("error", () => {}); // "close" tells
  }

  onText(text) {
    const lines = text.split("\n");
    this.rest.push(lines[0]);
    if (lines.length === 1) return;
    lines[0] = this.rest.join("");
    this.rest = [lines.pop()];
    for (const line of lines) this.onLine(line);
  }

  onLine(line) {
    const [first] = this.waiting;
    first.lines.push(line);
    if (first.lines.length === first.count) {
      this.waiting.shift();
      first.resolve(first.lines);
    }
  }

  /** Answers to all of `commands`, as lines of UTF-8 read byte by byte (see `parse`). */
  ask(commands) {
    return new Promise((resolve, reject) => {
      if (this.error) return reject(this.error);
      this.waiting.push({ count: commands.length, lines: [], resolve, reject });
      this.child.stdin.write(`${commands.map((command) => JSON.stringify(command)).join("\n")}\n`);
    });
  }

  static parse(line) {
    return JSON.parse(Buffer.from(line, "latin1").toString());
  }

  /** The program's exit status. */
  async end() {
    this.child.stdin.end();
    return this.ended;
  }
}
