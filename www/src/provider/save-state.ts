/*
 * What the save widget says. One pure function: five states, no other.
 *
 *   saved      everything from here is on the server's disk, and the server has said so
 *   saving     sent, no answer yet, for less than 2 s
 *   unsaved    the answer is overdue
 *   offline    no connection for more than 2 s; changes stay on this device
 *   refused    the server will not take them
 */
export type SaveKind = "saved" | "saving" | "unsaved" | "offline" | "refused";

export interface SaveInput {
  /** The socket is open. */
  connected: boolean;
  /** On this connection the server has acknowledged everything we had when it began. */
  confirmed: boolean;
  /** Local changes that the server has not acknowledged. */
  unacked: number;
  /** Age of the oldest of them; 0 if there is none. */
  unackedForMs: number;
  /** How long there has been no confirmed connection; 0 while there is one. */
  gapMs: number;
  /** The last thing we knew before the gap was "saved". */
  wasSaved: boolean;
  /** Why the server refuses; null if it does not. */
  refusal: string | null;
  /** Are local changes also in this browser's store? */
  keptOnDevice: boolean;
  /** Saved as always, but people on other servers see it later. */
  slowForOthers: boolean;
}

export interface SaveState {
  kind: SaveKind;
  /** What a person reads. */
  label: string;
  /** The same for narrow screens. */
  short: string;
  /** One sentence with the number. */
  detail: string;
  icon: string;
  count: number;
}

export const OVERDUE_MS = 2_000;
const SLOW = "Others may see it a second later than usual, and not see your cursor.";

export function saveState(s: SaveInput): SaveState {
  const n = s.unacked;
  if (s.refusal !== null) {
    return {
      kind: "refused",
      label: "Can’t save",
      short: "Can’t save",
      detail: `Can’t save: ${s.refusal}. ${n === 0 ? "No changes are waiting." : `${changes(n)} not saved.`}`,
      icon: "octagon-x",
      count: n,
    };
  }
  if (!s.connected && s.gapMs >= OVERDUE_MS) return offline(n, s.keptOnDevice);
  if (n > 0 && s.unackedForMs >= OVERDUE_MS) return unsaved(n, s.connected);
  if (n > 0) {
    return {
      kind: "saving",
      label: "Saving…",
      short: "Saving…",
      detail: `${changes(n)} on the way to the server.`,
      icon: "cloud-upload",
      count: n,
    };
  }
  if (s.confirmed || (s.wasSaved && s.gapMs < OVERDUE_MS)) {
    return {
      kind: "saved",
      label: s.slowForOthers ? "Saved — slower for others" : "Saved",
      short: "Saved",
      detail: `Saved: the server has written every change to disk. 0 changes waiting.${s.slowForOthers ? ` ${SLOW}` : ""}`,
      icon: "circle-check",
      count: 0,
    };
  }
  if (s.gapMs >= OVERDUE_MS) return unsaved(0, s.connected);
  return {
    kind: "saving",
    label: "Saving…",
    short: "Saving…",
    detail: "Comparing this device with the server. 0 changes waiting.",
    icon: "cloud-upload",
    count: 0,
  };
}

function unsaved(n: number, connected: boolean): SaveState {
  const why = connected ? "The server has not confirmed yet." : "Trying to reach the server.";
  return {
    kind: "unsaved",
    label: n === 0 ? "Not saved yet" : `Not saved yet — ${changes(n)}`,
    short: "Not saved",
    detail: n === 0 ? `${why} 0 changes waiting.` : `${changes(n)} not saved yet. ${why}`,
    icon: "clock-alert",
    count: n,
  };
}

function offline(n: number, kept: boolean): SaveState {
  const detail =
    n === 0
      ? "No connection. 0 changes waiting; you can keep writing."
      : kept
        ? `No connection. ${changes(n)} kept on this device, sent as soon as the server is back.`
        : `No connection, and this browser cannot store ${changes(n)}: keep this tab open.`;
  return {
    kind: "offline",
    label: n === 0 ? "Offline" : kept ? `Offline — ${changes(n)} kept on this device` : `Offline — ${changes(n)} only in this tab`,
    short: "Offline",
    detail,
    icon: "cloud-off",
    count: n,
  };
}

/** Can the state only change because something happens, not because time passes? */
export function settled(s: SaveInput): boolean {
  return s.refusal !== null || (s.connected && s.confirmed && s.unacked === 0);
}

export function changes(n: number): string {
  return n === 1 ? "1 change" : `${n} changes`;
}

/**
 * What the live region says when the state goes from one to the next; "" for nothing. Typing flips between
 * saved and saving many times a minute, so only the way into trouble and the way out of it are told.
 */
export function announcement(before: SaveKind | null, now: SaveState): string {
  if (before === now.kind || now.kind === "saving") return "";
  if (now.kind === "saved") return before === null || before === "saved" ? "" : "Saved";
  return now.label;
}
