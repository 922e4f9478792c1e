/* Another password: the one before is asked for, and whoever is signed in elsewhere has to sign in again. */
import { useState } from "preact/hooks";
import { LEAST_PASSWORD } from "./account-form.tsx";
import { changePassword } from "./api.ts";
import { SessionForm } from "./form.tsx";
import { AccountPage, Field } from "./page.tsx";
import { passwordProblem } from "./problems.ts";

export function Password({ onDone }: { onDone: (path: string) => void }) {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  return (
    <AccountPage title="Change your password" lead="You stay signed in here, and nowhere else.">
      <SessionForm button="Change it" busyButton="One moment…" send={() => changePassword(old, fresh)} problem={passwordProblem} onDone={() => onDone("/")}>
        {(failed) => (
          <>
            <Field label="The one you have" type="password" name="old" value={old} onValue={setOld} autocomplete="current-password" autofocus wrong={failed} />
            <Field
              label="The new one"
              type="password"
              name="new"
              value={fresh}
              onValue={setFresh}
              autocomplete="new-password"
              least={LEAST_PASSWORD}
              hint={`At least ${LEAST_PASSWORD} characters; a few words are good`}
            />
          </>
        )}
      </SessionForm>
    </AccountPage>
  );
}
