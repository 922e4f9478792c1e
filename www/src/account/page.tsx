/* The frame of every page before somebody is in: one card on the desk, the moon above it. */
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Icon, Logo } from "../shell/icon.tsx";
import "../styles/account.css";

interface Props {
  title: string;
  /** One sentence below the title. */
  lead?: ComponentChildren;
  children: ComponentChildren;
}

export function AccountPage({ title, lead, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Moonloom`;
  }, [title]);
  return (
    <main class="account">
      <a class="brand account-brand" href="/" data-nav>
        <Logo />
        <span class="brand-word">Moonloom</span>
      </a>
      <section class="account-card">
        <h1>{title}</h1>
        {lead !== undefined && <p class="account-lead">{lead}</p>}
        {children}
      </section>
    </main>
  );
}

/** What went wrong, said once, beside what to do about it. */
export function Problem({ text, id }: { text: string; id?: string }) {
  if (text === "") return null;
  return (
    <p class="field-error account-problem" role="alert" id={id}>
      <Icon name="circle-alert" /> <span>{text}</span>
    </p>
  );
}

interface FieldProps {
  label: string;
  type?: "text" | "password";
  name: string;
  value: string;
  onValue: (value: string) => void;
  autocomplete: string;
  autofocus?: boolean;
  hint?: string;
  wrong?: boolean;
  /** Fewest characters. */
  least?: number;
}

export function Field({ label, type = "text", name, value, onValue, autocomplete, autofocus, hint, wrong, least }: FieldProps) {
  const id = `field-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        {...(type === "password" ? { type: "password" } : { type: "text" })}
        id={id}
        name={name}
        autocomplete={autocomplete}
        autocapitalize="none"
        spellcheck={false}
        minLength={least}
        maxLength={256}
        required
        autofocus={autofocus}
        aria-invalid={wrong === true}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      {hint !== undefined && (
        <span class="field-hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}
