import { useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { editPath } from "../shell/router.ts";
import { copyText } from "./export.ts";

interface Props {
  org: string;
  name: string;
  mode: string | null;
  onCopied: (worked: boolean) => void;
}

export function documentUrl(org: string, name: string): string {
  return location.origin + editPath(org, name);
}

export function Share({ org, name, mode, onCopied }: Props) {
  const [copied, setCopied] = useState(false);
  const url = documentUrl(org, name);
  const copy = async () => {
    const worked = await copyText(url);
    setCopied(worked);
    onCopied(worked);
    if (worked) setTimeout(() => setCopied(false), 2_000);
  };
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
      <h2 class="panel-title">Share this document</h2>
      <p class="panel-text">
        {mode === "open" ? "Everybody who can reach this address can read and edit." : "People with access to this document can open it at this address."}
      </p>
      <div class="copy-row">
        <input type="text" readOnly aria-label="Address of this document" value={url} onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="btn btn-primary" onClick={() => void copy()}>
          <Icon name={copied ? "check" : "copy"} /> {copied ? "Copied" : "Copy link"}
        </button>
      </div>
    </Popover>
  );
}
