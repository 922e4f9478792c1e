// Hocuspocus clients: the real providers, several documents on one socket, and what happened to that socket.
import { WebSocket, Y } from "./packages.mjs";

/**
 * One socket of a generation of the provider. `opens`, `closes`: of connections, in order. `tap` hears opened(socket),
 * sent(socket, bytes), got(socket, bytes), closed(socket).
 */
export function collabSocket(server, library, { tap = {}, ...options } = {}) {
  const it = { library, opens: 0, closes: [] };
  class Seen extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      it.current = this;
      this.on("error", () => {}); // provider 3 takes its own listener off before it gives up
      this.on("open", () => {
        it.opens += 1;
        tap.opened?.(this);
      });
      this.on("message", (data) => tap.got?.(this, data));
      this.on("close", (code) => {
        it.closes.push(code);
        tap.closed?.(this);
      });
    }

    send(data, ...rest) {
      tap.sent?.(this, data);
      return super.send(data, ...rest);
    }
  }
  it.socket = new library.Socket({ url: server.collab ?? server, WebSocketPolyfill: Seen, ...options });
  it.close = () => it.socket.destroy();
  /** The line is dead without a word; the provider comes back by itself. */
  it.cut = () => it.current?.terminate();
  return it;
}

/** A document on such a socket. `options` go to the provider. */
export function collab(shared, name, { doc = new Y.Doc(), token = "none", ...options } = {}) {
  const it = { doc, refusals: [], ends: [], stateless: [] };
  it.provider = new shared.library.Provider({
    websocketProvider: shared.socket,
    name,
    document: doc,
    token,
    onAuthenticationFailed: ({ reason }) => it.refusals.push(reason),
    onStateless: ({ payload }) => it.stateless.push(payload),
    onClose: ({ event }) => it.ends.push(event),
    ...options,
  });
  it.provider.attach?.();
  it.text = doc.getText?.("content");
  it.awareness = it.provider.awareness;
  it.synced = () => it.provider.synced || it.provider.isSynced;
  /** Everything was sent and acknowledged. Provider 2 may count below zero. */
  it.saved = () => it.provider.unsyncedChanges <= 0;
  it.close = () => {
    it.provider.destroy();
    it.awareness?.destroy();
    doc.destroy();
  };
  return it;
}
