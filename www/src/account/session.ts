/* Who is here, for every page: asked once, renewed a minute before it ends. */
import { useEffect, useState } from "preact/hooks";
import { type User, whoAmI, type Session } from "./api.ts";
import { renewed } from "./server.ts";

const EARLY_MS = 60_000;
/** A clock that is wrong must not become a loop. */
const LEAST_MS = 30_000;

let asked: Promise<Session> | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;

/** The session of this page. Never rejects: a server that does not say is no reason to stop. */
export function session(): Promise<Session> {
  asked ??= whoAmI().then(async (now) => {
    const known = now.user === null && now.mode === "password" ? await again(now) : now;
    keep(known.expires);
    return known;
  });
  return asked;
}

async function again(now: Session): Promise<Session> {
  try {
    return (await renewed()) ? await whoAmI() : now;
  } catch {
    // Who is here is not known, and asked again by the next one who wants it.
    asked = null;
    return { ...now, mode: null };
  }
}

/** After a login, a logout, a link: the next one who asks gets the truth. */
export function forgetSession(): void {
  asked = null;
  clearTimeout(timer);
}

function keep(expires: number | null): void {
  clearTimeout(timer);
  if (expires === null) return;
  timer = setTimeout(
    () => {
      void renewed().then(
        (worked) => void (worked && whoAmI().then((now) => keep(now.expires))),
        () => keep(expires),
      );
    },
    Math.max(LEAST_MS, expires - Date.now() - EARLY_MS),
  );
}

export function useSession(): Session | null {
  const [now, setNow] = useState<Session | null>(null);
  useEffect(() => {
    let live = true;
    void session().then((s) => live && setNow(s));
    return () => {
      live = false;
    };
  }, []);
  return now;
}

export type { Session, User };
