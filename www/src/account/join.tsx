/* A first account and an invited one: the same form, another question. The token stands behind the `#`. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { acceptInvite, type NewAccount, setUp } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage, Field } from "./page.tsx";
import { problem, setupProblem } from "./problems.ts";
import { useSession } from "./session.ts";

const LEAST_PASSWORD = 8;

/** Taken out of the address at once: nobody reads it over a shoulder, no bookmark keeps it. */
function useToken(): string {
  const [token] = useState(() => location.hash.slice(1));
  useEffect(() => history.replaceState(null, "", location.pathname), []);
  return token;
}

export function SetUp({ onDone }: { onDone: (path: string) => void }) {
  const token = useToken();
  if (token === "") return <NoToken title="Set up Moonloom" text="Open the link that the server printed when it started." />;
  return (
    <AccountPage title="Set up Moonloom" lead="Choose a name and a password. This first account owns everything here.">
      <AccountForm token={token} button="Create the account" send={setUp} explain={setupProblem} onDone={() => onDone("/")} />
    </AccountPage>
  );
}

export function Invite({ onDone }: { onDone: (path: string) => void }) {
  const token = useToken();
  const session = useSession();
  if (token === "") return <NoToken title="Invitation" text="This address is not whole. Open the invitation again, or ask for a new one." />;
  const user = session?.user ?? null;
  if (session === null) return <AccountPage title="You are invited">{null}</AccountPage>;
  if (user !== null) {
    return (
      <AccountPage title="You are invited" lead={<>You are signed in as <strong>{user.name}</strong>.</>}>
        <SessionForm button={`Join as ${user.name}`} busyButton="Joining…" send={() => acceptInvite({ token })} problem={problem} onDone={() => onDone("/")}>
          {() => null}
        </SessionForm>
      </AccountPage>
    );
  }
  return (
    <AccountPage title="You are invited" lead="Choose a name and a password, and you are in.">
      <AccountForm token={token} button="Join" send={acceptInvite} explain={problem} onDone={() => onDone("/")} />
    </AccountPage>
  );
}

interface FormProps {
  token: string;
  button: string;
  send: (account: NewAccount) => Promise<unknown>;
  explain: (error: unknown) => string;
  onDone: () => void;
}

function AccountForm({ token, button, send, explain, onDone }: FormProps) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const user = accountId(name);
  const create = async () => {
    if (user === "") throw new TypeError("no name");
    await send({ token, user, name: name.trim(), password });
  };
  return (
    <SessionForm button={button} busyButton="One moment…" send={create} problem={explain} onDone={onDone}>
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
    .replace(/[^\p{L}\p{N}._@-]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);
}

function NoToken({ title, text }: { title: string; text: string }) {
  return (
    <AccountPage title={title} lead={text}>
      <a class="btn btn-wide" href="/" data-nav>
        <Icon name="house" /> All documents
      </a>
    </AccountPage>
  );
}
