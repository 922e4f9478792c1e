import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import type { MoonloomProvider } from "../provider/provider.ts";

/** A policy of the server took an edit back: its text is gone from the page, and here is why. */
export function NoticeBanner({ provider }: { provider: MoonloomProvider }) {
  const [notice, setNotice] = useState(() => provider.snapshot().notice);
  useEffect(() => provider.subscribe(() => setNotice(provider.snapshot().notice)), [provider]);
  if (notice === null) return null;
  return (
    <div class="banner banner-warn" role="alert">
      <Icon name="octagon-x" />
      <p>
        <strong>Taken back.</strong> {notice.reason === "" ? "The rules of this document do not allow that edit." : notice.reason}
      </p>
      <div class="banner-actions">
        <button type="button" class="btn btn-small" onClick={() => provider.dismissNotice()}>
          Dismiss
        </button>
      </div>
    </div>
  );
}
