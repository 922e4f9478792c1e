import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Home } from "./pages/home.tsx";
import { Missing } from "./pages/missing.tsx";
import { Skeleton } from "./pages/skeleton.tsx";
import { parseRoute, type Route } from "./shell/router.ts";

interface EditorProps {
  org: string;
  name: string;
}

export function App() {
  const [route, setRoute] = useState<Route>(() => parseRoute(location.pathname));
  useEffect(() => {
    const onPop = () => setRoute(parseRoute(location.pathname));
    addEventListener("popstate", onPop);
    return () => removeEventListener("popstate", onPop);
  }, []);

  switch (route.page) {
    case "home":
      return <Home />;
    case "edit":
      return <LazyEditor key={`${route.org}/${route.name}`} org={route.org} name={route.name} />;
    case "missing":
      return <Missing />;
  }
}

/** The editor is most of the weight, so it comes on its own. */
function LazyEditor(props: EditorProps) {
  const [page, setPage] = useState<{ Page: ComponentType<EditorProps> } | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let live = true;
    import("./editor/page.tsx").then(
      (module) => live && setPage({ Page: module.EditorPage }),
      () => live && setFailed(true),
    );
    return () => {
      live = false;
    };
  }, []);
  if (page !== null) return <page.Page {...props} />;
  return <Skeleton name={props.name} failed={failed} />;
}
