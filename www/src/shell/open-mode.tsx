import { useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

const KEY = "moonloom:open-mode-read";

/** Open mode is right for a first look and wrong for a secret, so it is said on every page until read. */
export function OpenModeBanner({ mode }: { mode: string | null }) {
  const [read, setRead] = useState(() => sessionStorage.getItem(KEY) === "1");
  if (mode !== "open" || read) return null;
  return (
    <div class="banner banner-note" role="note">
      <Icon name="users" />
      <p>Open mode: everybody who can reach this address can edit.</p>
      <button
        type="button"
        class="btn btn-icon btn-small"
        aria-label="Hide this note"
        onClick={() => {
          sessionStorage.setItem(KEY, "1");
          setRead(true);
        }}
      >
        <Icon name="x" />
      </button>
    </div>
  );
}
