// Accounts with a password, as a browser sees them: cookies kept by name, sent back with the origin and the CSRF word of the page.
import { execFileSync } from "node:child_process";
import { WebSocket } from "../../interop/packages.mjs";

/** A new account, made by the command. `where`: --data DIR or --store URL, as the server has it. */
export function addUser(server, name, password, role, where = ["--data", server.data]) {
  execFileSync(server.bin, ["user", "add", name, "--org", "default", "--role", role, "--password-stdin", ...where], {
    input: `${password}\n`, env: { ...process.env, ...server.env }, stdio: ["pipe", "ignore", "pipe"],
  });
}

export class Visitor {
  cookies = new Map(); // name → { value, attributes }

  constructor(server) {
    this.server = server;
  }

  /** Cookies of the same browser, at another node. */
  at(server) {
    const it = new Visitor(server);
    it.cookies = new Map(this.cookies);
    return it;
  }

  get cookie() {
    return [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ");
  }

  /** What a script on the page can read. */
  get visible() {
    return [...this.cookies].filter(([, { attributes }]) => !/httponly/i.test(attributes)).map(([name]) => name);
  }

  async ask(method, path, body, headers = {}) {
    const answer = await fetch(`${this.server.url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(this.cookies.size ? { Cookie: this.cookie, "X-ML-CSRF": this.cookies.get("ml_csrf")?.value ?? "", Origin: this.server.url } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value, attributes] = /^([^=]+)=([^;]*)(.*)$/.exec(line);
      this.cookies.set(name, { value, attributes });
    }
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  }

  login(user, password) {
    return this.ask("POST", "/auth/login", { user, password });
  }

  /** For a y-websocket provider: a socket as this browser opens it, from a page of `origin`. */
  socketClass(origin = this.server.url) {
    const headers = () => ({ origin, cookie: this.cookie });
    return class Signed extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { perMessageDeflate: false, headers: headers() });
        this.on("error", () => {}); // "close" follows
      }
    };
  }
}
