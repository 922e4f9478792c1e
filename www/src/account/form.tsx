import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Problem } from "./page.tsx";
import { forgetSession } from "./session.ts";

interface Props {
  button: string;
  busyButton: string;
  /** Rejects with what `problem` explains. */
  send: () => Promise<unknown>;
  problem: (error: unknown) => string;
  onDone: () => void;
  children: (failed: boolean) => ComponentChildren;
}

/** A form that makes a session: one request at a time, one sentence when it fails, the focus where it helps. */
export function SessionForm({ button, busyButton, send, problem, onDone, children }: Props) {
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);

  const submit = async (form: HTMLFormElement) => {
    if (busy) return;
    setBusy(true);
    setFailure("");
    try {
      await send();
      forgetSession();
      onDone();
    } catch (error) {
      setFailure(problem(error));
      form.querySelector<HTMLInputElement>('input[type="password"]')?.select();
    } finally {
      setBusy(false);
    }
  };

  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit(event.currentTarget);
      }}
    >
      {children(failure !== "")}
      <Problem text={failure} />
      <button type="submit" class="btn btn-primary btn-wide" aria-disabled={busy}>
        {busy ? busyButton : button}
      </button>
    </form>
  );
}
