import type { Session } from "../account/session.ts";
import { CopyRow } from "../shell/copy-row.tsx";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { editPath } from "../shell/router.ts";
import { People } from "./share-people.tsx";

interface Props {
  org: string;
  name: string;
  session: Session | null;
  onCopied: (worked: boolean) => void;
}

export function documentUrl(org: string, name: string): string {
  return location.origin + editPath(org, name);
}

export function Share({ org, name, session, onCopied }: Props) {
  const known = session !== null && session.mode !== "open" && session.user !== null;
  return (
    <Popover
      kind="dialog"
      label="Share"
      title="Share"
      align="end"
      buttonClass="btn btn-primary share-button"
      class={known ? "share" : ""}
      button={
        <>
          <Icon name="share-2" /> <span class="share-word">Share</span>
        </>
      }
    >
      {() => (
        <>
          <h2 class="panel-title">Share this document</h2>
          {known ? (
            <People org={org} name={name} self={session.user!} onCopied={onCopied} />
          ) : (
            <>
              <p class="panel-text">
                {session?.mode === "open"
                  ? "Everybody who can reach this address can read and edit."
                  : "People with access to this document can open it at this address."}
              </p>
              <CopyRow label="Address of this document" url={documentUrl(org, name)} onCopied={onCopied} />
            </>
          )}
        </>
      )}
    </Popover>
  );
}
