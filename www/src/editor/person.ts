/* Who somebody is on screen: a name, a colour, initials. Everything here may come from a stranger's browser. */
import { newNickname } from "../shell/names.ts";
import { read, write } from "../shell/theme.ts";

export interface Person {
  id: string;
  name: string;
  /** `#rrggbb`, nothing else. */
  color: string;
}

/** White text on each of these is at least 4.5 : 1. */
export const PALETTE = [
  "#2b6cb0",
  "#7b4fb3",
  "#b83268",
  "#b5432f",
  "#8a5a14",
  "#5f6b12",
  "#2f7a4b",
  "#0f766e",
  "#4a5b78",
  "#4a55b8",
] as const;

const NEUTRAL = "#4a5b78";
const NAME_LENGTH = 40;
const KEY = "moonloom:me";

export function validColor(value: unknown): string {
  return typeof value === "string" && /^#[0-9a-f]{6}$/i.test(value) ? value.toLowerCase() : NEUTRAL;
}

export function validName(value: unknown): string {
  if (typeof value !== "string") return "Somebody";
  const clean = value.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, "").trim();
  return clean === "" ? "Somebody" : [...clean].slice(0, NAME_LENGTH).join("");
}

export function toPerson(value: unknown, fallbackId: string): Person {
  const user = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  return {
    id: typeof user["id"] === "string" ? user["id"].slice(0, 64) : fallbackId,
    name: validName(user["name"]),
    color: validColor(user["color"]),
  };
}

export function initials(name: string): string {
  const words = name.split(/\s+/).filter((w) => w !== "");
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? ([...words[words.length - 1]!][0] ?? "") : "";
  return (first + last).toLocaleUpperCase();
}

/** Black or white, whichever reads better on the colour (WCAG relative luminance). */
export function inkOn(color: string): "#ffffff" | "#15181e" {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const c = parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.183 ? "#15181e" : "#ffffff";
}

/** The visitor of this browser: kept from visit to visit, friendly by default. */
export function me(): Person {
  try {
    const kept: unknown = JSON.parse(read(KEY) ?? "null");
    if (typeof kept === "object" && kept !== null) return toPerson(kept, newId());
  } catch {
    // A broken entry is replaced.
  }
  const person: Person = { id: newId(), name: newNickname(), color: PALETTE[Math.floor(Math.random() * PALETTE.length)]! };
  keepMe(person);
  return person;
}

export function keepMe(person: Person): void {
  write(KEY, JSON.stringify(person));
}

function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(9))].map((b) => b.toString(36).padStart(2, "0")).join("");
}
