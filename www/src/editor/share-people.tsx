/* Who may do what with this document: people, the link, and why. Every change is the server's before it is shown. */
import { useEffect, useState } from "preact/hooks";
import { dropShare, putShare, type Role, ROLES, type Share, shares, type User, why, type Why } from "../account/api.ts";
import { Problem } from "../account/page.tsx";
import { ServerError } from "../account/server.ts";
import { CopyRow } from "../shell/copy-row.tsx";
import { Icon } from "../shell/icon.tsx";
import { initials, inkOn, PALETTE } from "./person.ts";
import { ROLE_WORDS, RoleSelect } from "./role-select.tsx";
import { documentUrl } from "./share.tsx";
import { LinkRow } from "./share-link.tsx";

const LINK = "link";
interface Props {
  org: string;
  name: string;
  self: User;
  onCopied: (worked: boolean) => void;
}

interface Reason {
  user: string;
  words: string;
}

export function People({ org, name, self, onCopied }: Props) {
  const [items, setItems] = useState<Share[] | null>(null);
  const [failure, setFailure] = useState("");
  const [mayShare, setMayShare] = useState(true);
  const [token, setToken] = useState<string | null>(null);
  const [reason, setReason] = useState<Reason | null>(null);

  const look = async () => setItems(await shares(org, name));
  const run = async (change: () => Promise<unknown>) => {
    setFailure("");
    try {
      await change();
      await look();
    } catch (error) {
      setFailure(shareProblem(error));
    }
  };
  const explain = async ({ user, name: person }: Pick<Share, "user" | "name">) => {
    const found = await why(org, name, user === self.id ? undefined : user).catch(() => null);
    if (found !== null) setReason({ user, words: whyWords(found, user === self.id ? null : person) });
  };
  useEffect(() => {
    look().catch((error: unknown) => {
      if (error instanceof ServerError && error.status === 403) setMayShare(false);
      else setFailure(shareProblem(error));
    });
    void explain({ user: self.id, name: "" });
  }, []);

  const people = items?.filter((share) => share.kind === "user") ?? [];
  const link = items?.find((share) => share.kind === "link") ?? null;
  const putLink = (role: Role, expires: number | null) => putShare(org, name, { id: LINK, kind: "link", role, ...(expires === null ? {} : { expires }) });
  const makeLink = async (role: Role, expires: number | null) => setToken(await putLink(role, expires));
  const dropLink = async () => {
    await dropShare(org, name, LINK);
    setToken(null);
  };

  if (!mayShare) {
    return (
      <>
        <p class="panel-text">Its owners decide who else can open it. {reason?.words ?? ""}</p>
        <CopyRow label="Address of this document" url={documentUrl(org, name)} onCopied={onCopied} />
      </>
    );
  }
  return (
    <>
      <AddPerson onAdd={(user, role) => run(() => putShare(org, name, { id: user, kind: "user", role }))} />
      <Problem text={failure} />
      <ul class="share-list" aria-label="People with access">
        {people.map((share) => (
          <li key={share.id}>
            <Initials name={share.name} />
            <span class="share-name">
              {share.name}
              {share.user === self.id && <span class="muted"> (you)</span>}
            </span>
            <button
              type="button"
              class="text-button share-why"
              aria-label={`Why ${share.name} has access`}
              aria-expanded={reason?.user === share.user}
              onClick={() => void explain(share)}
            >
              Why?
            </button>
            <RoleSelect
              label={`Role of ${share.name}`}
              role={share.role}
              roles={ROLES}
              removable
              onRole={(role) => run(() => putShare(org, name, { id: share.id, kind: "user", role }))}
              onRemove={() => run(() => dropShare(org, name, share.id))}
            />
          </li>
        ))}
        {items === null && failure === "" && <li class="muted">Loading…</li>}
      </ul>
      <LinkRow
        link={link}
        fresh={token !== null}
        onMake={(role, expires) => run(() => makeLink(role, expires))}
        onRole={(role) => run(() => putLink(role, link?.expires ?? null))}
        onReplace={(role, expires) => run(() => dropLink().then(() => makeLink(role, expires)))}
        onDrop={() => run(dropLink)}
      />
      <p class="panel-text share-reason" aria-live="polite">
        {reason?.words ?? " "}
      </p>
      <CopyRow
        label={token === null ? "Address of this document" : "Link for anyone"}
        url={token === null ? documentUrl(org, name) : `${documentUrl(org, name)}#link=${token}`}
        onCopied={onCopied}
      />
    </>
  );
}

function AddPerson({ onAdd }: { onAdd: (user: string, role: Role) => Promise<void> }) {
  const [user, setUser] = useState("");
  const [role, setRole] = useState<Role>("editor");
  return (
    <form
      class="share-add"
      onSubmit={(event) => {
        event.preventDefault();
        if (user.trim() === "") return;
        void onAdd(user.trim(), role).then(() => setUser(""));
      }}
    >
      <input
        type="text"
        aria-label="Sign-in name of a person"
        placeholder="Add a person by name"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        maxLength={256}
        value={user}
        onInput={(event) => setUser(event.currentTarget.value)}
      />
      <RoleSelect label="Role of the new person" role={role} roles={ROLES} onRole={setRole} />
      <button type="submit" class="btn btn-primary">
        <Icon name="user-plus" /> Add
      </button>
    </form>
  );
}

function Initials({ name }: { name: string }) {
  const color = PALETTE[[...name].reduce((sum, c) => sum + c.codePointAt(0)!, 0) % PALETTE.length]!;
  return (
    <span
      class="avatar"
      aria-hidden="true"
      ref={(element) => {
        if (element === null) return;
        element.style.backgroundColor = color;
        element.style.color = inkOn(color);
      }}
    >
      {initials(name)}
    </span>
  );
}

const SOURCES: Record<string, string> = {
  org: "by their role in the organisation",
  share: "because the document is shared with them",
  link: "by a link",
  policy: "by a policy",
  open: "because everybody may",
};

/** "Ana is Editor because the document is shared with them." @param person null: the reader */
export function whyWords({ role, from, detail }: Why, person: string | null): string {
  const known = ROLES.find((r) => r === role);
  const word = known === undefined ? role : ROLE_WORDS[known];
  const who = person ?? "You";
  const are = person === null ? "are" : "is";
  if (word === "") return person === null ? "You have no role here." : `${person} has no role here.`;
  let source = SOURCES[from] ?? "";
  const more = from === "policy" && detail !== "" ? ` (${detail.replace(/\.$/, "")})` : "";
  if (person === null) source = source.replace("their", "your").replace("them", "you");
  return `${[`${who} ${are} ${word}`, source].filter(Boolean).join(" ")}${more}.`;
}

export function shareProblem(error: unknown): string {
  if (!(error instanceof ServerError)) return "Something went wrong in this page. Reload it and try again.";
  if (error.code === "last_owner") return "A document needs an owner. Make somebody else owner first.";
  if (error.status === 403) return "You cannot give more than you may do yourself.";
  if (error.status === 404) return "You cannot see who has access to this document.";
  return error.message;
}
