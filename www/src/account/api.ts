/* What the pages ask about people and rights. The answers come from outside, so every field is looked at. */
import { ask, ServerError } from "./server.ts";

export interface User {
  id: string;
  name: string;
  roles: string[];
}

export interface Session {
  /** "open", "password", "jwt", "plugin"; null: the server did not say. */
  mode: string | null;
  user: User | null;
  /** When the access ends, in ms; null: never, or nobody knows. */
  expires: number | null;
}

type Fields = Record<string, unknown>;

export async function whoAmI(): Promise<Session> {
  try {
    const body = fields(await ask("GET", "/auth/session", { renew: false }));
    return { mode: text(body["mode"]), user: toUser(body["user"]), expires: time(body["expires"]) };
  } catch {
    return { mode: null, user: null, expires: null };
  }
}

export const logIn = (user: string, password: string) => ask("POST", "/auth/login", { body: { user, password }, renew: false });
export const logOut = () => ask("POST", "/auth/logout", { renew: false });

export interface NewAccount {
  token: string;
  user: string;
  name: string;
  password: string;
}

export const setUp = (account: NewAccount) => ask("POST", "/auth/setup", { body: account, renew: false });

/** Why a document does not open, as far as the server says; null: nothing speaks against another try. */
export async function whyClosed(org: string, doc: string): Promise<{ reason: string; signedOut: boolean } | null> {
  try {
    await ask("GET", docPath(org, doc));
    return null;
  } catch (error) {
    if (!(error instanceof ServerError)) return null;
    if (error.status === 401) return { reason: "you are signed out", signedOut: true };
    if (error.status === 403) return { reason: error.message.replace(/\.$/, ""), signedOut: false };
    if (error.status !== 404) return null;
    // Not there, or not ours: the server does not tell these apart.
    const { mode, user } = await whoAmI();
    if (mode === null || mode === "open") return null;
    return user === null
      ? { reason: "you are not signed in", signedOut: true }
      : { reason: "this document is not shared with you, or it is not there", signedOut: false };
  }
}

const docPath = (org: string, doc: string) => `/api/v1/orgs/${org}/docs/${encodeURIComponent(doc)}`;

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function time(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function toUser(value: unknown): User | null {
  const user = fields(value);
  const id = text(user["id"]);
  if (id === null) return null;
  const roles = Array.isArray(user["roles"]) ? user["roles"].filter((role): role is string => typeof role === "string") : [];
  return { id, name: text(user["name"]) ?? id, roles };
}
