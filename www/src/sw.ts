/*
 * Lets the pages open without a network. Documents are none of its business: they live in IndexedDB.
 *
 *   a page          from the network; if that fails, the copy of `/` (the same file for every address)
 *   /assets/…       from the cache: their names change with their content
 *   all else        not touched
 *
 * The kept page carries the nonce of the response it came with, in the text and in the header alike. It is shown
 * only while there is no server to make a fresh one.
 */
declare const self: ServiceWorkerGlobalScope;

/** Both are filled in by build/finish.mjs. */
const VERSION = "__ML_VERSION__";
const PRECACHE = "__ML_PRECACHE__";

const CACHE = `moonloom-${VERSION}`;
const PAGE = "/";
const SLOW_MS = 4_000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.addAll([PAGE, ...PRECACHE.split(" ")]);
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const key of await caches.keys()) if (key.startsWith("moonloom-") && key !== CACHE) await caches.delete(key);
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate" && (url.pathname === "/" || url.pathname.startsWith("/edit/"))) {
    event.respondWith(page(request));
  } else if (url.pathname.startsWith("/assets/")) {
    event.respondWith(asset(request));
  }
});

async function page(request: Request): Promise<Response> {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(SLOW_MS) });
  } catch (error) {
    const kept = await caches.match(PAGE, { cacheName: CACHE });
    if (kept === undefined) throw error;
    return kept;
  }
}

async function asset(request: Request): Promise<Response> {
  const kept = await caches.match(request, { ignoreVary: true });
  if (kept !== undefined) return kept;
  const fresh = await fetch(request);
  if (fresh.ok) await (await caches.open(CACHE)).put(request, fresh.clone());
  return fresh;
}

export {};
