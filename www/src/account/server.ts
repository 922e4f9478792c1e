/*
 * How the pages ask the server as somebody: the access cookie travels by itself, unsafe requests carry the token from
 * the readable cookie, and an access cookie that ran out is renewed once, by one tab for all.
 */

const LOCK = "moonloom:refresh";
const TIMEOUT_MS = 15_000;
const CSRF_COOKIES = ["__Host-ml_csrf", "ml_csrf"];

/** What the server answered instead of 2xx. `status` 0: there was no answer. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Seconds to wait before the next try; 0 if it did not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

export type Method = "GET" | "POST" | "PUT" | "DELETE";

interface Ask {
  body?: unknown;
  signal?: AbortSignal;
  /** false for the requests that make a session: a 401 is their answer, not a reason to renew. */
  renew?: boolean;
}

/** Answers the JSON body, null for 204. Throws a ServerError. */
export async function ask(method: Method, path: string, options: Ask = {}): Promise<unknown> {
  let response = await send(method, path, options);
  if (response.status === 401 && options.renew !== false && (await renewed())) response = await send(method, path, options);
  if (response.ok) return response.status === 204 ? null : ((await response.json()) as unknown);
  throw await refusal(response);
}

/** A new access cookie from the refresh cookie. False: nobody is signed in here any more. Throws a ServerError if the server cannot tell now. */
export async function renewed(): Promise<boolean> {
  const renew = async () => {
    const response = await send("POST", "/auth/refresh", { body: {} });
    if (response.status >= 500 || response.status === 429) throw await refusal(response);
    return response.ok;
  };
  return "locks" in navigator ? navigator.locks.request(LOCK, renew) : renew();
}

async function send(method: Method, path: string, { body, signal }: Ask): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (method !== "GET") {
    headers["content-type"] = "application/json";
    const token = csrf();
    if (token !== null) headers["x-ml-csrf"] = token;
  }
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal === undefined ? [] : [signal])];
  try {
    return await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      signal: AbortSignal.any(limits),
      ...(method === "POST" || method === "PUT" ? { body: JSON.stringify(body ?? {}) } : {}),
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new ServerError(0, "unreachable", "The server cannot be reached.");
  }
}

function csrf(): string | null {
  for (const pair of document.cookie.split("; ")) {
    const at = pair.indexOf("=");
    if (CSRF_COOKIES.includes(pair.slice(0, at))) return pair.slice(at + 1);
  }
  return null;
}

async function refusal(response: Response): Promise<ServerError> {
  let code = "";
  let message = `The server answered ${response.status}.`;
  try {
    const { error } = (await response.json()) as { error?: { code?: unknown; message?: unknown } };
    if (typeof error?.code === "string") code = error.code;
    if (typeof error?.message === "string" && error.message !== "") message = error.message;
  } catch {
    // Not one of our errors: a proxy speaks.
  }
  const wait = Number(response.headers.get("retry-after"));
  return new ServerError(response.status, code, message, Number.isFinite(wait) ? wait : 0);
}
