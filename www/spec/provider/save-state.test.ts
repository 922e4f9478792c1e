import { describe, expect, it } from "vitest";
import { announcement, type SaveInput, type SaveKind, saveState, settled } from "../../src/provider/save-state.ts";

const calm: SaveInput = {
  connected: true,
  confirmed: true,
  unacked: 0,
  unackedForMs: 0,
  gapMs: 0,
  wasSaved: true,
  refusal: null,
  keptOnDevice: true,
  slowForOthers: false,
};

const TABLE: [string, Partial<SaveInput>, SaveKind, string][] = [
  ["nothing waits", {}, "saved", "Saved"],
  ["the servers do not hear each other", { slowForOthers: true }, "saved", "Saved — slower for others"],
  ["the same with a change on its way", { slowForOthers: true, unacked: 1 }, "saving", "Saving…"],
  ["one change on its way", { unacked: 1, unackedForMs: 40 }, "saving", "Saving…"],
  ["just under two seconds", { unacked: 1, unackedForMs: 1_999 }, "saving", "Saving…"],
  ["overdue", { unacked: 3, unackedForMs: 2_000 }, "unsaved", "Not saved yet — 3 changes"],
  ["one overdue", { unacked: 1, unackedForMs: 9_000 }, "unsaved", "Not saved yet — 1 change"],
  ["first look", { confirmed: false, wasSaved: false, gapMs: 100 }, "saving", "Saving…"],
  ["first look, the server is slow", { confirmed: false, wasSaved: false, gapMs: 2_000 }, "unsaved", "Not saved yet"],
  ["short gap, nothing typed", { connected: false, confirmed: false, gapMs: 1_900 }, "saved", "Saved"],
  ["short gap while typing", { connected: false, confirmed: false, gapMs: 900, unacked: 2, unackedForMs: 900 }, "saving", "Saving…"],
  ["short gap, an old change waits", { connected: false, confirmed: false, gapMs: 900, unacked: 2, unackedForMs: 2_500 }, "unsaved", "Not saved yet — 2 changes"],
  ["no connection, nothing waits", { connected: false, confirmed: false, gapMs: 2_000 }, "offline", "Offline"],
  ["no connection, changes wait", { connected: false, confirmed: false, gapMs: 5_000, unacked: 3, unackedForMs: 100 }, "offline", "Offline — 3 changes kept on this device"],
  ["no connection and no store", { connected: false, confirmed: false, gapMs: 5_000, unacked: 1, keptOnDevice: false }, "offline", "Offline — 1 change only in this tab"],
  ["back, not confirmed yet", { confirmed: false, gapMs: 5_000, unacked: 3, unackedForMs: 4_000 }, "unsaved", "Not saved yet — 3 changes"],
  ["back, nothing typed, not confirmed yet", { confirmed: false, gapMs: 5_000 }, "unsaved", "Not saved yet"],
  ["refused", { refusal: "the document has reached its size limit", unacked: 2 }, "refused", "Can’t save"],
  ["refused and offline", { connected: false, gapMs: 60_000, refusal: "you are signed out" }, "refused", "Can’t save"],
];

describe("the save widget", () => {
  it.each(TABLE)("%s", (_, change, kind, label) => {
    const state = saveState({ ...calm, ...change });
    expect(state.kind).toBe(kind);
    expect(state.label).toBe(label);
    expect(state.detail).toMatch(/\d|No changes/);
    expect(state.icon).not.toBe("");
  });

  it("never says saved while something waits", () => {
    for (const connected of [true, false])
      for (const confirmed of [true, false])
        for (const wasSaved of [true, false])
          for (const gapMs of [0, 500, 5_000])
            for (const unackedForMs of [0, 5_000]) {
              const state = saveState({ ...calm, connected, confirmed, wasSaved, gapMs, unackedForMs, unacked: 1 });
              expect(state.kind).not.toBe("saved");
            }
  });

  it("names the reason of a refusal", () => {
    expect(saveState({ ...calm, refusal: "you are signed out" }).detail).toContain("you are signed out");
  });
});

describe("what needs no clock", () => {
  it.each<[string, Partial<SaveInput>, boolean]>([
    ["all saved", {}, true],
    ["refused", { refusal: "x", connected: false }, true],
    ["still Saved in a gap that grows", { connected: false, confirmed: false, gapMs: 10 }, false],
    ["a change on its way", { unacked: 1 }, false],
    ["not confirmed yet", { confirmed: false }, false],
  ])("%s", (_, change, expected) => expect(settled({ ...calm, ...change })).toBe(expected));
});

describe("the live region", () => {
  const at = (change: Partial<SaveInput>) => saveState({ ...calm, ...change });
  it("is silent while somebody types", () => {
    expect(announcement("saved", at({ unacked: 1 }))).toBe("");
    expect(announcement("saved", at({}))).toBe("");
    expect(announcement(null, at({}))).toBe("");
  });
  it("tells the way into trouble and out of it", () => {
    expect(announcement("saved", at({ unacked: 3, unackedForMs: 3_000 }))).toBe("Not saved yet — 3 changes");
    expect(announcement("unsaved", at({}))).toBe("Saved");
    expect(announcement("offline", at({ refusal: "x" }))).toBe("Can’t save");
  });
});
