import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "../account/session.ts";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { editPath } from "../shell/router.ts";
import { copyText } from "./export.ts";

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
  return (
    <Popover
      kind="dialog"
      label="Share"
      title="Share"
      align="end"
      buttonClass="btn btn-primary share-button"
      button={
        <>
          <Icon name="share-2" /> <span class="share-word">Share</span>
        </>
      }
    >
      {() => (
        <>
          <h2 class="panel-title">Share this document</h2>
          <p class="panel-text">
            {session?.mode === "open"
              ? "Everybody who can reach this address can read and edit."
              : "People with access to this document can open it at this address."}
          </p>
          <CopyRow label="Address of this document" url={documentUrl(org, name)} onCopied={onCopied} />
        </>
      )}
    </Popover>
  );
}

function CopyRow({ label, url, onCopied }: { label: string; url: string; onCopied: (worked: boolean) => void }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const worked = await copyText(url);
    setCopied(worked);
    onCopied(worked);
    clearTimeout(timer.current);
    if (worked) timer.current = setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <div class="copy-row">
      <input type="text" readOnly aria-label={label} value={url} onFocus={(event) => event.currentTarget.select()} />
      <button type="button" class="btn btn-primary" onClick={() => void copy()}>
        <Icon name={copied ? "check" : "copy"} /> {copied ? "Copied" : "Copy link"}
      </button>
    </div>
  );
}
