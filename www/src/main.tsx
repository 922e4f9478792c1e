import { render } from "preact";
import { App, loadEditor } from "./app.tsx";
import { followLinks, parseRoute } from "./shell/router.ts";
import { applyTheme, storedTheme } from "./shell/theme.ts";

applyTheme(storedTheme());
document.addEventListener("click", followLinks);
// Under way while the first page is drawn; who shows it reports the failure.
if (parseRoute(location.pathname).page === "edit") loadEditor().catch(() => undefined);
render(<App />, document.getElementById("app")!);

// The pages must open without a network too; in development the bundler's own server is enough.
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js").catch(() => undefined);
  });
}
