import { useState } from "preact/hooks";
import { logIn } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage, Field } from "./page.tsx";
import { problem } from "./problems.ts";
import { useSession } from "./session.ts";

/** Where to go afterwards, from `?next=`: a path of this server, or the first page. */
export function returnPath(search: string, origin: string): string {
  const next = new URLSearchParams(search).get("next");
  if (next === null || !/^\/(?![/\\])/.test(next)) return "/";
  try {
    const url = new URL(next, origin);
    return url.origin === origin ? url.pathname.replace(/^\/+/, "/") + url.search : "/";
  } catch {
    return "/";
  }
}

/** "google" is Google: the name in the configuration, as people write it. */
function providerName(name: string): string {
  return name.charAt(0).toLocaleUpperCase("en") + name.slice(1);
}

export function SignIn({ onDone }: { onDone: (path: string) => void }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const next = returnPath(location.search, location.origin);
  const providers = useSession()?.providers ?? [];
  return (
    <AccountPage title="Sign in">
      <SessionForm button="Sign in" busyButton="Signing in…" send={() => logIn(user.trim(), password)} problem={problem} onDone={() => onDone(next)}>
        {(failed) => (
          <>
            <Field label="Name" name="username" value={user} onValue={setUser} autocomplete="username" autofocus wrong={failed} />
            <Field label="Password" type="password" name="password" value={password} onValue={setPassword} autocomplete="current-password" wrong={failed} />
          </>
        )}
      </SessionForm>
      {providers.map((name) => (
        <a key={name} class="btn btn-wide account-provider" href={`/auth/oidc/${encodeURIComponent(name)}?${new URLSearchParams({ return: next })}`}>
          Sign in with {providerName(name)}
        </a>
      ))}
    </AccountPage>
  );
}
