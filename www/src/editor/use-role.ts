import { useEffect, useState } from "preact/hooks";
import { why } from "../account/api.ts";
import type { Session } from "../account/session.ts";
import type { ProviderSnapshot } from "../provider/provider.ts";
import type { OpenDocument } from "./document.ts";

/** Roles that write in places of their own only; the text of this editor is none of them. */
export type PartialRole = "commenter" | "suggester";

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
      if (live && found !== null) setRole(found.role === "commenter" || found.role === "suggester" ? found.role : null);
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
