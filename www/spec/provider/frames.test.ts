import { describe, expect, it } from "vitest";
import { decodeFrame, encodeFrame, type Frame } from "../../src/provider/frames.ts";

const bytes = (hex: string) => Uint8Array.from(hex.trim().split(/\s+/), (b) => parseInt(b, 16));
const hex = (b: Uint8Array) => [...b].map((x) => x.toString(16).padStart(2, "0")).join(" ");

const VECTORS: [string, Exclude<Frame, { type: "unknown" }>][] = [
  ["00 00 01 00", { type: "step1", stateVector: bytes("00") }],
  ["00 00 06 02 af 02 02 65 03", { type: "step1", stateVector: bytes("02 af 02 02 65 03") }],
  ["00 01 02 00 00", { type: "step2", update: bytes("00 00") }],
  ["00 02 0a 01 01 65 02 84 65 01 01 21 00", { type: "update", update: bytes("01 01 65 02 84 65 01 01 21 00") }],
  ["01 01 00", { type: "awareness", update: bytes("00") }],
  ["02 00 06 64 65 6e 69 65 64", { type: "denied", reason: "denied" }],
  ["03", { type: "query-awareness" }],
  ["66 01 01", { type: "status", version: 1 }],
  ["67 00", { type: "notice", text: "" }],
  ["67 02 7b 7d", { type: "notice", text: "{}" }],
  ["66 02 ac 02", { type: "status", version: 300 }],
];

describe("frames", () => {
  it.each(VECTORS)("reads %s", (text, frame) => expect(decodeFrame(bytes(text))).toEqual(frame));
  it.each(VECTORS)("writes %s", (text, frame) => expect(hex(encodeFrame(frame))).toBe(text));
  it("does not stumble over a type from the future", () => expect(decodeFrame(bytes("63 01"))).toEqual({ type: "unknown", code: 99 }));
  it.each(["00 02 0a 01", "01 7f", "66 05 01", "00"])("throws on %s, which ends too early", (text) => {
    expect(() => decodeFrame(bytes(text))).toThrow();
  });
});
