// A y-websocket client with a window in it: the real provider, and a socket that tells what passes.
import { decoding, providers, WebSocket, Y } from "./packages.mjs";

process.setMaxListeners(0); // y-websocket 2 listens to the end of the process, once per client

/** The first message of a frame, as the clients read it: { type, subtype?, payload? }. */
export function readFrame(bytes) {
  const d = decoding.createDecoder(new Uint8Array(bytes));
  const type = decoding.readVarUint(d);
  if (type === 0) {
    const subtype = decoding.readVarUint(d);
    return { type, subtype, payload: decoding.readVarUint8Array(d), rest: d.arr.length - d.pos };
  }
  if (type === 1 || type === 102) return { type, payload: decoding.readVarUint8Array(d), rest: d.arr.length - d.pos };
  return { type, rest: d.arr.length - d.pos };
}

/** A WebSocket class whose instances report to `tap`: opened(socket), sent(socket, frame), got(socket, frame), closed(socket, code). */
export function tapped(tap) {
  return class Tapped extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("open", () => tap.opened?.(this));
      this.on("close", (code, reason) => tap.closed?.(this, code, reason.toString()));
      this.on("message", (data) => tap.got?.(this, readFrame(data), data));
    }

    send(data, ...rest) {
      tap.sent?.(this, readFrame(data), data);
      return super.send(data, ...rest);
    }
  };
}

/** A document and its provider. `options` go to the provider. */
export function client(server, name, { Provider = providers[0].Provider, tap = {}, doc = new Y.Doc(), ...options } = {}) {
  const it = { doc, opens: 0, closes: [] };
  it.provider = new Provider(server.sync ?? server, name, doc, {
    disableBc: true,
    WebSocketPolyfill: tapped({
      ...tap,
      opened(socket) {
        it.opens += 1;
        tap.opened?.(socket);
      },
      closed(socket, code, reason) {
        it.closes.push(code);
        tap.closed?.(socket, code, reason);
      },
    }),
    ...options,
  });
  it.provider.messageHandlers[102] = () => {}; // a y-sweet status: `tap` sees it, the provider would complain
  it.text = doc.getText("content");
  it.awareness = it.provider.awareness;
  it.synced = () => it.provider.synced;
  it.close = () => {
    it.provider.destroy();
    it.awareness.destroy();
    doc.destroy();
  };
  return it;
}

export const stateOf = (doc) => Buffer.from(Y.encodeStateAsUpdate(doc));
export const equalBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
