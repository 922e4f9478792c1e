import { useEffect, useState } from "preact/hooks";
import { type Why, why } from "../account/api.ts";
import type { Session } from "../account/session.ts";
import type { ProviderSnapshot } from "../provider/provider.ts";
import type { OpenDocument } from "./document.ts";

/** Roles that write in places of their own only. `proposer`: a suggester of whose typing the server makes proposals. */
export type PartialRole = "commenter" | "suggester" | "proposer";

const AGAIN_MS = 5_000;

/**
 * The role here, if it is one of those: their sockets may write, so only the server can tell. Asked when the socket is
 * there, when rights change, when an edit was refused, and, while it is one of them, every few seconds.
 */
export function usePartialRole(open: OpenDocument, session: Session | null, snapshot: ProviderSnapshot): PartialRole | null {
  const [role, setRole] = useState<PartialRole | null>(null);
  const asks = session?.mode === "password" && snapshot.confirmed && !snapshot.readOnly;
  useEffect(() => {
    if (!asks) return;
    let live = true;
    const look = async () => {
      if (document.hidden) return;
      const found = await why(open.org, open.name).catch(() => null);
      if (live && found !== null) setRole(partOf(found));
    };
    void look();
    const timer = role === null ? undefined : setInterval(() => void look(), AGAIN_MS);
    return () => {
      live = false;
      clearInterval(timer);
    };
  }, [open, asks, role, snapshot.notice]);
  return snapshot.readOnly ? null : role;
}

function partOf({ role, proposals }: Why): PartialRole | null {
  if (role === "suggester") return proposals ? "proposer" : "suggester";
  return role === "commenter" ? role : null;
}
