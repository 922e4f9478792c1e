/* The first account, with the link that the server printed; its token stands behind the `#`. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { setUp } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage, Field } from "./page.tsx";
import { setupProblem } from "./problems.ts";

const LEAST_PASSWORD = 8;

/** Taken out of the address at once: nobody reads it over a shoulder, no bookmark keeps it. */
function useToken(): string {
  const [token] = useState(() => location.hash.slice(1));
  useEffect(() => history.replaceState(null, "", location.pathname), []);
  return token;
}

export function SetUp({ onDone }: { onDone: (path: string) => void }) {
  const token = useToken();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const user = accountId(name);
  if (token === "") {
    return (
      <AccountPage title="Set up Moonloom" lead="Open the link that the server printed when it started.">
        <a class="btn btn-wide" href="/" data-nav>
          <Icon name="house" /> All documents
        </a>
      </AccountPage>
    );
  }
  return (
    <AccountPage title="Set up Moonloom" lead="Choose a name and a password. This first account owns everything here.">
      <SessionForm
        button="Create the account"
        busyButton="One moment…"
        send={() => setUp({ token, user, name: name.trim(), password })}
        problem={setupProblem}
        onDone={() => onDone("/")}
      >
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
    </AccountPage>
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
