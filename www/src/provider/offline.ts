/*
 * The copy of a document on this device: y-indexeddb, plus the two things it does not tell:
 * when a change really is in the store, and how many changes the server had not acknowledged.
 *
 * The fence: a read-write transaction over the same stores can only finish after every write that was
 * begun before it. When it completes, those changes are on this device; when it aborts (quota), they may not be.
 */
import { IndexeddbPersistence } from "y-indexeddb";
import type * as Y from "yjs";

const UNACKED = "unacked";
const OPEN_WAIT_MS = 3_000;

export class OfflineStore {
  private readonly persistence: IndexeddbPersistence;
  private behind = false;
  private failure: string | null = null;

  /** Transactions that come out of the store carry this origin. */
  readonly origin: unknown;

  constructor(org: string, name: string, doc: Y.Doc) {
    this.persistence = new IndexeddbPersistence(`moonloom:${org}:${name}`, doc);
    this.origin = this.persistence;
    doc.on("update", (_: Uint8Array, origin: unknown) => {
      if (origin !== this.persistence) this.behind = true;
    });
  }

  /** Is every change of this tab in the store? */
  get kept(): boolean {
    return !this.behind && this.failure === null;
  }

  /** Why the store does not work, for a person; null if it does. */
  get problem(): string | null {
    return this.failure;
  }

  /** Loads the copy; answers how many changes an earlier visit left unacknowledged. Never rejects. */
  async load(): Promise<number> {
    try {
      await within(OPEN_WAIT_MS, this.persistence.whenSynced);
      const unacked: unknown = await this.persistence.get(UNACKED);
      return typeof unacked === "number" && unacked > 0 ? unacked : 0;
    } catch {
      this.failure = "this browser does not let the page store documents";
      return 0;
    }
  }

  /** Resolves when every change made before the call is on this device. */
  readonly fence = async (unacked: number): Promise<void> => {
    const db = this.persistence.db;
    if (db === null) throw new Error("store not open");
    this.behind = false;
    try {
      await new Promise<void>((resolve, reject) => {
        const t = db.transaction(["updates", "custom"], "readwrite");
        t.objectStore("custom").put(unacked, UNACKED);
        t.oncomplete = () => resolve();
        t.onabort = () => reject(t.error ?? new Error("aborted"));
      });
      this.failure = null;
    } catch (error) {
      this.behind = true;
      this.failure =
        error instanceof DOMException && error.name === "QuotaExceededError"
          ? "the storage of this browser is full"
          : "this browser could not store the change";
      throw error;
    }
  };

  destroy(): void {
    void this.persistence.destroy();
  }
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("too slow")), ms);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
