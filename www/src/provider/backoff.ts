/*
 * When to try again, and when not to.
 *
 * Full jitter from the first try: a thousand tabs that lost the same server come back spread out.
 * The first wait is drawn from 0–1 s, the ceiling doubles to 30 s.
 */
export const CEILING_MS = 30_000;
export const FIRST_MS = 1_000;
export const DRAIN_MS = 3_000;

export function backoffMs(attempt: number, random: () => number): number {
  return random() * Math.min(CEILING_MS, FIRST_MS * 2 ** attempt);
}

export type CloseVerdict =
  | { kind: "final"; reason: string }
  /** Going away or overloaded: another node, or the same one in a moment. */
  | { kind: "drain" }
  | { kind: "retry"; afterMs: number };

const FINAL: Record<number, string> = {
  1009: "this change is too large for the server",
  4400: "the server did not understand this page; reload it",
  4401: "you are signed out",
  4403: "you may no longer edit this document",
  4404: "this document was deleted",
  4408: "signing in took too long",
  4413: "the document has reached its size limit",
  4429: "too many changes from this browser",
};

/** What a close code asks of us: 4400–4499 and 1009 are final, everything else is worth another try. */
export function closeVerdict(code: number, reason: string): CloseVerdict {
  if (code === 4404 && reason === "epoch") {
    return { kind: "final", reason: "the history of this document was replaced; reload to see it" };
  }
  if (code === 1009 || (code >= 4400 && code <= 4499)) {
    const known = FINAL[code] ?? "the server refused this document";
    return { kind: "final", reason: reason !== "" && !isBareWord(reason) ? reason : known };
  }
  if (code === 1001 || code === 1013) return { kind: "drain" };
  const after = /retry-after[=:]\s*(\d{1,4})/i.exec(reason);
  return { kind: "retry", afterMs: after ? Number(after[1]) * 1000 : 0 };
}

/** "forbidden", "too_large": for machines. A person gets our sentence instead. */
function isBareWord(reason: string): boolean {
  return /^[\w-]+$/.test(reason);
}
