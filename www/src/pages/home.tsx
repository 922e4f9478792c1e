import { useEffect, useMemo, useState } from "preact/hooks";
import { InvitePeople } from "../account/invite-people.tsx";
import { AccountMenu } from "../account/menu.tsx";
import { useSession } from "../account/session.ts";
import { type DocItem, listDocs } from "../shell/api.ts";
import { Icon, Logo } from "../shell/icon.tsx";
import { newDocumentName } from "../shell/names.ts";
import { recents } from "../shell/recent.ts";
import { editPath, navigate, signInPath } from "../shell/router.ts";
import { ThemeMenu } from "../shell/theme-menu.tsx";
import { OpenModeBanner } from "../shell/open-mode.tsx";

const ORG = "default";

interface Row {
  org: string;
  name: string;
  title: string;
  at: number | null;
}

export function Home() {
  const [items, setItems] = useState<DocItem[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [state, setState] = useState<"loading" | "ready" | "failed">("loading");
  const [query, setQuery] = useState("");
  const session = useSession();
  const mode = session?.mode ?? null;
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    document.title = "Documents · Moonloom";
  }, []);

  const signedOut = session?.mode === "password" && session.user === null;
  useEffect(() => {
    if (signedOut) navigate(signInPath(location));
  }, [signedOut]);

  useEffect(() => {
    const abort = new AbortController();
    setState("loading");
    listDocs(ORG, null, abort.signal).then(
      (page) => {
        setItems(page.items);
        setNext(page.next);
        setState("ready");
      },
      () => !abort.signal.aborted && setState("failed"),
    );
    return () => abort.abort();
  }, [attempt]);

  const more = async () => {
    try {
      const page = await listDocs(ORG, next, new AbortController().signal);
      setItems((before) => [...before, ...page.items]);
      setNext(page.next);
    } catch {
      setState("failed");
    }
  };

  const rows = useMemo(() => merge(items, state === "failed"), [items, state]);
  const wanted = query.trim().toLocaleLowerCase();
  const shown = wanted === "" ? rows : rows.filter((r) => `${r.title}\n${r.name}`.toLocaleLowerCase().includes(wanted));
  const create = () => navigate(editPath(ORG, newDocumentName()));

  return (
    <div class="home">
      <header class="bar">
        <a class="brand" href="/" data-nav aria-label="Moonloom, all documents">
          <Logo />
          <span class="brand-word">Moonloom</span>
        </a>
        <span class="spring" />
        <AccountMenu session={session} />
        <ThemeMenu />
      </header>
      <OpenModeBanner mode={mode} />
      <main class="home-main">
        <div class="home-head">
          <h1>Documents</h1>
          <div class="home-actions">
            <InvitePeople org={ORG} session={session} />
            <button type="button" class="btn btn-primary" onClick={create}>
              <Icon name="plus" /> New document
            </button>
          </div>
        </div>

        {state === "failed" && (
          <div class="callout" role="alert">
            <Icon name="cloud-off" />
            <p>The list could not be loaded. These are the documents this browser remembers.</p>
            <button type="button" class="btn" onClick={() => setAttempt((n) => n + 1)}>
              <Icon name="refresh-cw" /> Try again
            </button>
          </div>
        )}

        {rows.length > 0 && (
          <label class="search">
            <Icon name="search" />
            <span class="sr-only">Search documents</span>
            <input type="search" placeholder="Search by title or name" value={query} onInput={(e) => setQuery(e.currentTarget.value)} />
          </label>
        )}

        {state === "loading" && rows.length === 0 && (
          <p class="home-wait" role="status">
            Loading…
          </p>
        )}

        {state !== "loading" && rows.length === 0 && <FirstDocument mode={mode} />}

        {rows.length > 0 && shown.length === 0 && <p class="home-wait">Nothing matches “{query}”.</p>}

        {shown.length > 0 && (
          <ul class="docs">
            {shown.map((row) => (
              <li key={`${row.org}/${row.name}`}>
                <a class="doc" href={editPath(row.org, row.name)} data-nav>
                  <Icon name="file-text" class="doc-icon" />
                  <span class="doc-title">{row.title}</span>
                  <span class="doc-name">{row.title === row.name ? "" : row.name}</span>
                  <span class="doc-time">{row.at === null ? "" : <When ms={row.at} />}</span>
                </a>
              </li>
            ))}
          </ul>
        )}

        {next !== null && (
          <button type="button" class="btn" onClick={() => void more()}>
            Show more
          </button>
        )}
      </main>
    </div>
  );
}

function FirstDocument({ mode }: { mode: string | null }) {
  return (
    <section class="empty">
      <svg class="empty-art" viewBox="0 0 200 120" aria-hidden="true">
        <rect class="art-paper" x="52" y="26" width="96" height="92" rx="6" />
        <path class="art-line" d="M68 50h48M68 64h64M68 78h58M68 92h36" />
        <path class="art-moon" d="M150 8a20 20 0 1 0 14 33A17 17 0 0 1 150 8Z" />
      </svg>
      <h2>A clean page is waiting</h2>
      <p>Start a document, share its address, and write together.{mode === "open" ? " Nothing to sign up for, nothing to set up." : ""}</p>
    </section>
  );
}

function When({ ms }: { ms: number }) {
  const date = new Date(ms);
  return (
    <time dateTime={date.toISOString()} title={date.toLocaleString()}>
      {relative(ms, Date.now())}
    </time>
  );
}

export function relative(ms: number, now: number): string {
  const seconds = Math.round((ms - now) / 1000);
  const format = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [
    [60, "second"],
    [3600, "minute"],
    [86_400, "hour"],
    [86_400 * 30, "day"],
    [86_400 * 365, "month"],
  ];
  if (Math.abs(seconds) < 45) return "just now";
  let unit = 1;
  for (const [limit, name] of steps) {
    if (Math.abs(seconds) < limit) return format.format(Math.round(seconds / unit), name);
    unit = limit;
  }
  return format.format(Math.round(seconds / unit), "year");
}

/** What the server lists, with the titles this browser knows; only the latter if the server is silent. */
function merge(items: DocItem[], offline: boolean): Row[] {
  const known = recents();
  const rows: Row[] = items.map((item) => {
    const seen = known.find((r) => r.org === ORG && r.name === item.name);
    return { org: ORG, name: item.name, title: seen?.title || item.name, at: item.updatedAt ?? seen?.at ?? null };
  });
  if (offline) {
    for (const r of known) rows.push({ org: r.org, name: r.name, title: r.title || r.name, at: r.at });
  }
  return rows.sort((a, b) => (b.at ?? 0) - (a.at ?? 0));
}
