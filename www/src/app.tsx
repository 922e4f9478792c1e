import type { ComponentType } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { Invite } from "./account/invite.tsx";
import { Password } from "./account/password.tsx";
import { SetUp } from "./account/set-up.tsx";
import { SignIn } from "./account/sign-in.tsx";
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
    case "sign-in":
      return <SignIn onDone={enter} />;
    case "setup":
      return <SetUp onDone={enter} />;
    case "invite":
      return <Invite onDone={enter} />;
    case "password":
      return <Password onDone={enter} />;
    case "missing":
      return <Missing />;
  }
}

/** Somebody came in: the pages begin anew, as that person. */
function enter(path: string): void {
  location.assign(path);
}

type EditorModule = typeof import("./editor/page.tsx");
let editor: Promise<EditorModule> | null = null;

/** The editor is most of the weight, so it comes on its own. After a failure the next call tries again. */
export function loadEditor(): Promise<EditorModule> {
  editor ??= import("./editor/page.tsx").catch((error: unknown) => {
    editor = null;
    throw error;
  });
  return editor;
}

function LazyEditor(props: EditorProps) {
  const [page, setPage] = useState<{ Page: ComponentType<EditorProps> } | null>(null);
  const [failed, setFailed] = useState(false);
  useLayoutEffect(() => {
    let live = true;
    loadEditor().then(
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
