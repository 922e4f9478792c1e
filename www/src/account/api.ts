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
  /** Names of providers that people may sign in at. */
  providers: string[];
}

export const ROLES = ["owner", "editor", "suggester", "commenter", "viewer"] as const;
export type Role = (typeof ROLES)[number];

export interface Share {
  id: string;
  kind: "user" | "link";
  user: string;
  name: string;
  role: Role;
  expires: number | null;
}

export interface Why {
  role: string;
  from: string;
  detail: string;
  /** A plugin makes proposals of what suggesters write. */
  proposals: boolean;
}

type Fields = Record<string, unknown>;

export async function whoAmI(): Promise<Session> {
  try {
    const body = fields(await ask("GET", "/auth/session", { renew: false }));
    return { mode: text(body["mode"]), user: toUser(body["user"]), expires: time(body["expires"]), providers: texts(body["providers"]) };
  } catch {
    return { mode: null, user: null, expires: null, providers: [] };
  }
}

export const logIn = (user: string, password: string) => ask("POST", "/auth/login", { body: { user, password }, renew: false });
export const logOut = () => ask("POST", "/auth/logout", { renew: false });
export const changePassword = (old: string, fresh: string) => ask("POST", "/auth/password", { body: { old, new: fresh } });
export const logOutEverywhere = () => ask("POST", "/auth/logout-everywhere");

export interface NewAccount {
  token: string;
  user: string;
  name: string;
  password: string;
}

export const setUp = (account: NewAccount) => ask("POST", "/auth/setup", { body: account, renew: false });
/** Only the token: the person who is signed in joins. */
export const acceptInvite = (invite: NewAccount | { token: string }) => ask("POST", "/auth/invite", { body: invite, renew: !("user" in invite) });
export const enterAsGuest = (token: string, name: string) => ask("POST", "/auth/guest", { body: { token, name }, renew: false });

/** Answers the token of the invitation, which nobody can ask for again. */
export async function invite(org: string, role: string, expires: number): Promise<string> {
  const token = text(fields(await ask("POST", `/api/v1/orgs/${org}/invites`, { body: { role, expires } }))["token"]);
  if (token === null) throw new ServerError(0, "", "The server made no invitation.");
  return token;
}

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

export async function shares(org: string, doc: string): Promise<Share[]> {
  const items = fields(await ask("GET", `${docPath(org, doc)}/shares`))["items"];
  return Array.isArray(items) ? items.flatMap(toShare) : [];
}

export interface Wish {
  id: string;
  kind: Share["kind"];
  role: Role;
  expires?: number;
}

/** Answers the token of a new link, which nobody can ask for again. */
export async function putShare(org: string, doc: string, { id, ...share }: Wish): Promise<string | null> {
  return text(fields(await ask("PUT", `${docPath(org, doc)}/shares/${encodeURIComponent(id)}`, { body: share }))["token"]);
}

export const dropShare = (org: string, doc: string, id: string) => ask("DELETE", `${docPath(org, doc)}/shares/${encodeURIComponent(id)}`);

export async function why(org: string, doc: string, user?: string): Promise<Why> {
  const query = user === undefined ? "" : `?${new URLSearchParams({ user })}`;
  const body = fields(await ask("GET", `${docPath(org, doc)}/why${query}`));
  return { role: text(body["role"]) ?? "", from: text(body["from"]) ?? "", detail: text(body["detail"]) ?? "", proposals: body["proposals"] === true };
}

/** A function of a plugin, about a document. */
export const call = (org: string, doc: string, name: string, args: Record<string, unknown>) =>
  ask("POST", `/api/v1/orgs/${org}/rpc/${name}?${new URLSearchParams({ doc })}`, { body: args });

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

function time(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function toUser(value: unknown): User | null {
  const user = fields(value);
  const id = text(user["id"]);
  if (id === null) return null;
  return { id, name: text(user["name"]) ?? id, roles: texts(user["roles"]) };
}

function toShare(value: unknown): Share[] {
  const share = fields(value);
  const id = text(share["id"]);
  const kind = share["kind"];
  const role = ROLES.find((known) => known === share["role"]);
  if (id === null || role === undefined || (kind !== "user" && kind !== "link")) return [];
  const user = text(share["user"]) ?? id;
  return [{ id, kind, user, name: text(share["name"]) ?? user, role, expires: time(share["expires"]) }];
}
