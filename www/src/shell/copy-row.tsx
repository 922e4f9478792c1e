/* An address and the button that copies it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

export function CopyRow({ label, url, onCopied }: { label: string; url: string; onCopied?: (worked: boolean) => void }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const worked = await copyText(url);
    setCopied(worked);
    onCopied?.(worked);
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

/** Works on plain http too, where the clipboard interface does not exist. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr-only";
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}
