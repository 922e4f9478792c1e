/* `/invite#TOKEN`: somebody new makes an account, somebody who is signed in joins as who they are. */
import { AccountForm, NoToken, useToken } from "./account-form.tsx";
import { acceptInvite } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage } from "./page.tsx";
import { problem } from "./problems.ts";
import { useSession } from "./session.ts";

export function Invite({ onDone }: { onDone: (path: string) => void }) {
  const token = useToken();
  const session = useSession();
  if (token === "") return <NoToken title="Invitation" text="This address is not whole. Open the invitation again, or ask for a new one." />;
  if (session === null) return <AccountPage title="You are invited">{null}</AccountPage>;
  const { user } = session;
  if (user === null) {
    return (
      <AccountPage title="You are invited" lead="Choose a name and a password, and you are in.">
        <AccountForm token={token} button="Join" send={acceptInvite} problem={problem} onDone={() => onDone("/")} />
      </AccountPage>
    );
  }
  return (
    <AccountPage title="You are invited" lead={<>You are signed in as <strong>{user.name}</strong>.</>}>
      <SessionForm button={`Join as ${user.name}`} busyButton="Joining…" send={() => acceptInvite({ token })} problem={problem} onDone={() => onDone("/")}>
        {() => null}
      </SessionForm>
    </AccountPage>
  );
}
