import { render } from "preact";
import { App } from "./app.tsx";
import { followLinks } from "./shell/router.ts";
import { applyTheme, storedTheme } from "./shell/theme.ts";

applyTheme(storedTheme());
document.addEventListener("click", followLinks);
render(<App />, document.getElementById("app")!);

// The pages must open without a network too; in development the bundler's own server is enough.
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js").catch(() => undefined);
  });
}
