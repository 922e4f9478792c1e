/* The form that makes an account: a name, a password. For the first account and for an invited one. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import type { NewAccount } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage, Field } from "./page.tsx";

export const LEAST_PASSWORD = 8;

/** What stands behind the `#`. Taken out of the address at once: nobody reads it over a shoulder, no bookmark keeps it. */
export function useToken(): string {
  const [token] = useState(() => location.hash.slice(1));
  useEffect(() => history.replaceState(null, "", location.pathname), []);
  return token;
}

interface Props {
  token: string;
  button: string;
  send: (account: NewAccount) => Promise<unknown>;
  problem: (error: unknown) => string;
  onDone: () => void;
}

export function AccountForm({ token, button, send, problem, onDone }: Props) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const user = accountId(name);
  return (
    <SessionForm button={button} busyButton="One moment…" send={() => send({ token, user, name: name.trim(), password })} problem={problem} onDone={onDone}>
      {() => (
        <>
          <Field
            label="Your name"
            name="username"
            value={name}
            onValue={setName}
            autocomplete="username"
            autofocus
            hint={user === "" || user === name.trim() ? "Others see it beside your cursor" : `You sign in as ${user}`}
          />
          <Field
            label="Password"
            type={shown ? "text" : "password"}
            name="password"
            value={password}
            onValue={setPassword}
            autocomplete="new-password"
            least={LEAST_PASSWORD}
            hint={`At least ${LEAST_PASSWORD} characters; a few words are good`}
          />
          <label class="check">
            <input type="checkbox" checked={shown} onChange={(event) => setShown(event.currentTarget.checked)} />
            <span>Show the password</span>
          </label>
        </>
      )}
    </SessionForm>
  );
}

/** "Ana Bell" signs in as "ana-bell". */
export function accountId(name: string): string {
  return name
    .trim()
    .toLocaleLowerCase("en")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9._@+-]+/g, "-")
    .replace(/^[^a-z0-9]+|-+$/g, "")
    .slice(0, 64);
}

/** The address is not whole, or nothing stands behind the `#`. */
export function NoToken({ title, text }: { title: string; text: string }) {
  return (
    <AccountPage title={title} lead={text}>
      <a class="btn btn-wide" href="/" data-nav>
        <Icon name="house" /> All documents
      </a>
    </AccountPage>
  );
}
