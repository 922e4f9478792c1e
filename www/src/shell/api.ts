/* The few questions the pages ask over HTTP. */
import { ask } from "../account/server.ts";

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
  const body = (await ask("GET", `/api/v1/orgs/${org}/docs?${query}`, { signal })) as { items?: unknown; next?: unknown };
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
