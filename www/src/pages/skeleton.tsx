import { Icon, Logo } from "../shell/icon.tsx";

/** The editor page before its code has arrived: the same lines in the same places. */
export function Skeleton({ name, failed }: { name: string; failed: boolean }) {
  if (failed) {
    return (
      <main class="notice">
        <Logo />
        <h1>The editor could not be loaded</h1>
        <p>Your documents are untouched. Check the connection and try again.</p>
        <button type="button" class="btn btn-primary" onClick={() => location.reload()}>
          <Icon name="refresh-cw" /> Try again
        </button>
      </main>
    );
  }
  return (
    <div class="skeleton" aria-busy="true">
      <header class="bar">
        <a class="brand" href="/" data-nav aria-label="All documents">
          <Logo />
        </a>
        <h1 class="skeleton-title">{name}</h1>
      </header>
      <main class="skeleton-desk">
        <p class="sr-only" role="status">
          Opening the document
        </p>
        <div class="skeleton-paper" aria-hidden="true">
          <span class="ghost ghost-h" />
          <span class="ghost" />
          <span class="ghost" />
          <span class="ghost ghost-s" />
        </div>
      </main>
    </div>
  );
}
