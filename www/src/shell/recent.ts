/* Documents opened in this browser, with the titles they had: the list on `/` knows names only. */
import { read, write } from "./theme.ts";

export interface Recent {
  org: string;
  name: string;
  title: string;
  at: number;
}

const KEY = "moonloom:recent";
const KEEP = 60;

export function recents(): Recent[] {
  try {
    const value: unknown = JSON.parse(read(KEY) ?? "[]");
    return Array.isArray(value) ? value.filter(isRecent) : [];
  } catch {
    return [];
  }
}

export function remember(org: string, name: string, title: string): void {
  const others = recents().filter((r) => r.org !== org || r.name !== name);
  write(KEY, JSON.stringify([{ org, name, title, at: Date.now() }, ...others].slice(0, KEEP)));
}

function isRecent(value: unknown): value is Recent {
  if (typeof value !== "object" || value === null) return false;
  const r = value as Record<string, unknown>;
  return typeof r["org"] === "string" && typeof r["name"] === "string" && typeof r["title"] === "string" && typeof r["at"] === "number";
}
