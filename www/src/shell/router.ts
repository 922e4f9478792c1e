/* The addresses: `/`, `/edit/ORG/NAME`, those of the account, and everything else. */

export type Route = { page: "home" } | { page: "edit"; org: string; name: string } | { page: AccountPageName } | { page: "missing" };
/** `/sign-in`, `/password`, `/setup#TOKEN`, `/invite#TOKEN`: what follows the `#` stays in the browser. */
const ACCOUNT_PAGES = ["sign-in", "password", "setup", "invite"] as const;
export type AccountPageName = (typeof ACCOUNT_PAGES)[number];

const ORG = /^[a-z0-9][a-z0-9-]{0,62}$/;
const NAME_BYTES = 512;

export function parseRoute(pathname: string): Route {
  if (pathname === "/") return { page: "home" };
  const account = ACCOUNT_PAGES.find((page) => pathname === `/${page}`);
  if (account !== undefined) return { page: account };
  const match = /^\/edit\/([^/]+)\/(.+)$/.exec(pathname);
  if (match === null) return { page: "missing" };
  const org = match[1]!;
  let name: string;
  try {
    name = decodeURIComponent(match[2]!).normalize("NFC");
  } catch {
    return { page: "missing" };
  }
  return ORG.test(org) && validName(name) ? { page: "edit", org, name } : { page: "missing" };
}

export function validName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length;
  return bytes >= 1 && bytes <= NAME_BYTES && !/[\u0000-\u001f\u007f-\u009f]/.test(name);
}

/** The name as it stands in an address. Slashes stay readable unless the address parser would eat a segment. */
export function encodeName(name: string): string {
  const parts = name.split("/");
  const eaten = parts.some((part) => part === "" || part === "." || part === "..");
  return eaten ? encodeURIComponent(name) : parts.map(encodeURIComponent).join("/");
}

export function editPath(org: string, name: string): string {
  return `/edit/${org}/${encodeName(name)}`;
}

export function signInPath(from: { pathname: string }): string {
  return from.pathname === "/" ? "/sign-in" : `/sign-in?${new URLSearchParams({ next: from.pathname })}`;
}

export function syncUrl(location: { protocol: string; host: string }, org: string, name: string): string {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/sync/${org}/${encodeName(name)}`;
}

export function navigate(path: string): void {
  history.pushState(null, "", path);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** Plain clicks on our own links change the page without loading it again. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[data-nav]");
  if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin) return;
  event.preventDefault();
  navigate(link.pathname);
}
