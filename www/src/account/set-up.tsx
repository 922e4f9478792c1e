/* The first account, with the link that the server printed. */
import { AccountForm, NoToken, useToken } from "./account-form.tsx";
import { setUp } from "./api.ts";
import { AccountPage } from "./page.tsx";
import { setupProblem } from "./problems.ts";

export function SetUp({ onDone }: { onDone: (path: string) => void }) {
  const token = useToken();
  if (token === "") return <NoToken title="Set up Moonloom" text="Open the link that the server printed when it started." />;
  return (
    <AccountPage title="Set up Moonloom" lead="Choose a name and a password. This first account owns everything here.">
      <AccountForm token={token} button="Create the account" send={setUp} problem={setupProblem} onDone={() => onDone("/")} />
    </AccountPage>
  );
}
