/* The few questions the pages ask over HTTP. */

export interface DocItem {
  name: string;
  seq: number;
  updatedAt: number | null;
}

export interface DocPage {
  items: DocItem[];
  next: string | null;
}

export async function listDocs(org: string, after: string | null, signal: AbortSignal): Promise<DocPage> {
  const query = new URLSearchParams({ limit: "100" });
  if (after !== null) query.set("after", after);
  const response = await fetch(`/api/v1/orgs/${org}/docs?${query}`, { signal, headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const body = (await response.json()) as { items?: unknown; next?: unknown };
  const items = Array.isArray(body.items) ? body.items : [];
  return {
    items: items.flatMap((item: Record<string, unknown>) =>
      typeof item?.["name"] === "string"
        ? [
            {
              name: item["name"],
              seq: Number(item["seq"] ?? 0),
              updatedAt: typeof item["updated_at_ms"] === "number" ? item["updated_at_ms"] : null,
            },
          ]
        : [],
    ),
    next: typeof body.next === "string" && body.next !== "" ? body.next : null,
  };
}

export interface Session {
  mode: string | null;
  userId: string | null;
  userName: string | null;
}

/** Who the server thinks we are. A server that does not say is no reason to stop. */
export async function session(): Promise<Session> {
  const nobody: Session = { mode: null, userId: null, userName: null };
  try {
    const response = await fetch("/auth/session", { headers: { accept: "application/json" } });
    if (!response.ok) return nobody;
    const body = (await response.json()) as Record<string, unknown>;
    const user = (typeof body["user"] === "object" && body["user"] !== null ? body["user"] : {}) as Record<string, unknown>;
    return {
      mode: typeof body["mode"] === "string" ? body["mode"] : null,
      userId: typeof user["id"] === "string" ? user["id"] : null,
      userName: typeof user["name"] === "string" ? user["name"] : null,
    };
  } catch {
    return nobody;
  }
}
