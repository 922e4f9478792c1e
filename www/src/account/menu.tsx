import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { signInPath } from "../shell/router.ts";
import { logOut, logOutEverywhere, type Session } from "./api.ts";
import { forgetSession } from "./session.ts";

/** Who is signed in here, and the way out. Nothing where nobody signs in. */
export function AccountMenu({ session }: { session: Session | null }) {
  if (session === null || session.mode === null || session.mode === "open") return null;
  const { user } = session;
  if (user === null) {
    return (
      <a class="btn" href={signInPath(location)}>
        Sign in
      </a>
    );
  }
  const leave = async (everywhere: boolean) => {
    await (everywhere ? logOutEverywhere() : logOut()).catch(() => undefined);
    forgetSession();
    location.assign("/sign-in");
  };
  return (
    <Popover kind="menu" label={`Account of ${user.name}`} title={user.name} align="end" buttonClass="btn" button={<span class="account-name">{user.name}</span>}>
      {session.mode === "password" && (
        <a role="menuitem" class="menu-item" tabIndex={-1} href="/password" data-nav>
          <Icon name="lock" /> Change your password
        </a>
      )}
      <button type="button" role="menuitem" class="menu-item" tabIndex={-1} onClick={() => void leave(false)}>
        <Icon name="log-out" /> Sign out
      </button>
      <button type="button" role="menuitem" class="menu-item" tabIndex={-1} onClick={() => void leave(true)}>
        <Icon name="shield" /> Sign out everywhere
      </button>
    </Popover>
  );
}
