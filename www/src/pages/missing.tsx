import { Logo } from "../shell/icon.tsx";

export function Missing() {
  return (
    <main class="notice">
      <Logo />
      <h1>There is no page here</h1>
      <p>Documents live at addresses like /edit/default/silver-harbor.</p>
      <a class="btn btn-primary" href="/" data-nav>
        All documents
      </a>
    </main>
  );
}
