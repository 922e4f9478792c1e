/*
 * What is said on /sync/ORG/NAME: one message per WebSocket frame.
 *
 *   00 00 varBytes(state vector)    Step1    "this is what I have"
 *   00 01 varBytes(update)          Step2    the answer to a Step1
 *   00 02 varBytes(update)          Update
 *   01 varBytes(awareness update)   Awareness
 *   02 00 varString(reason)         Auth denied, from the server
 *   02 00 varString(token)          a new credential, from us
 *   02 02 varString(scope)          "read-write" or "readonly", from the server, when it changes
 *   02 03                           the server wants a new credential
 *   03                              QueryAwareness
 *   66 varBytes(varUint version)    SyncStatus (type 102): echoed once everything sent before is on disk
 *   67 varString(JSON)              Notice (type 103): empty, from us: "tell me"; then what became of refused edits
 */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";

export type Frame =
  | { type: "step1"; stateVector: Uint8Array }
  | { type: "step2"; update: Uint8Array }
  | { type: "update"; update: Uint8Array }
  | { type: "awareness"; update: Uint8Array }
  | { type: "query-awareness" }
  | { type: "denied"; reason: string }
  | { type: "token"; token: string }
  | { type: "scope"; write: boolean }
  | { type: "token-request" }
  | { type: "status"; version: number }
  | { type: "notice"; text: string }
  | { type: "unknown"; code: number };

const SYNC = 0;
const AWARENESS = 1;
const AUTH = 2;
const QUERY_AWARENESS = 3;
const STATUS = 102;
const NOTICE = 103;

const READ_WRITE = "read-write";

const SYNC_TYPES = ["step1", "step2", "update"] as const;

export function encodeFrame(frame: Exclude<Frame, { type: "unknown" }>): Uint8Array<ArrayBuffer> {
  const e = encoding.createEncoder();
  switch (frame.type) {
    case "step1":
      sync(e, 0, frame.stateVector);
      break;
    case "step2":
      sync(e, 1, frame.update);
      break;
    case "update":
      sync(e, 2, frame.update);
      break;
    case "awareness":
      encoding.writeVarUint(e, AWARENESS);
      encoding.writeVarUint8Array(e, frame.update);
      break;
    case "query-awareness":
      encoding.writeVarUint(e, QUERY_AWARENESS);
      break;
    case "denied":
      auth(e, 0, frame.reason);
      break;
    case "token":
      auth(e, 0, frame.token);
      break;
    case "scope":
      auth(e, 2, frame.write ? READ_WRITE : "readonly");
      break;
    case "token-request":
      encoding.writeVarUint(e, AUTH);
      encoding.writeVarUint(e, 3);
      break;
    case "notice":
      encoding.writeVarUint(e, NOTICE);
      encoding.writeVarString(e, frame.text);
      break;
    case "status": {
      const inner = encoding.createEncoder();
      encoding.writeVarUint(inner, frame.version);
      encoding.writeVarUint(e, STATUS);
      encoding.writeVarUint8Array(e, encoding.toUint8Array(inner));
      break;
    }
  }
  return encoding.toUint8Array(e) as Uint8Array<ArrayBuffer>;
}

function sync(e: encoding.Encoder, subtype: number, payload: Uint8Array): void {
  encoding.writeVarUint(e, SYNC);
  encoding.writeVarUint(e, subtype);
  encoding.writeVarUint8Array(e, payload);
}

function auth(e: encoding.Encoder, subtype: number, text: string): void {
  encoding.writeVarUint(e, AUTH);
  encoding.writeVarUint(e, subtype);
  encoding.writeVarString(e, text);
}

/** Throws on bytes that end too early; a type from the future is "unknown", not an error. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const d = decoding.createDecoder(bytes);
  const code = decoding.readVarUint(d);
  switch (code) {
    case SYNC: {
      const subtype = decoding.readVarUint(d);
      const type = SYNC_TYPES[subtype];
      if (type === undefined) return { type: "unknown", code: subtype };
      const payload = decoding.readVarUint8Array(d);
      return type === "step1" ? { type, stateVector: payload } : { type, update: payload };
    }
    case AWARENESS:
      return { type: "awareness", update: decoding.readVarUint8Array(d) };
    case AUTH:
      return decodeAuth(d);
    case QUERY_AWARENESS:
      return { type: "query-awareness" };
    case STATUS: {
      const inner = decoding.createDecoder(decoding.readVarUint8Array(d));
      return { type: "status", version: decoding.readVarUint(inner) };
    }
    case NOTICE:
      return { type: "notice", text: decoding.readVarString(d) };
    default:
      return { type: "unknown", code };
  }
}

function decodeAuth(d: decoding.Decoder): Frame {
  switch (decoding.readVarUint(d)) {
    case 0:
      return { type: "denied", reason: decoding.readVarString(d) };
    case 2:
      return { type: "scope", write: decoding.readVarString(d) === READ_WRITE };
    case 3:
      return { type: "token-request" };
    default:
      return { type: "unknown", code: AUTH };
  }
}
