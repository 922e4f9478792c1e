/* Who may do what with this document: people, the link, and why. Every change is the server's before it is shown. */
import { useEffect, useState } from "preact/hooks";
import { dropShare, putShare, type Role, ROLES, type Share, shares, type User, why, type Why } from "../account/api.ts";
import { Problem } from "../account/page.tsx";
import { ServerError } from "../account/server.ts";
import { Icon } from "../shell/icon.tsx";
import { initials, inkOn, PALETTE } from "./person.ts";
import { CopyRow, documentUrl } from "./share.tsx";

const LINK = "link";
const LINK_ROLES: Role[] = ["viewer", "commenter", "suggester", "editor"];
const DAY_MS = 86_400_000;

const ROLE_WORDS: Record<Role, string> = {
  owner: "Owner",
  editor: "Editor",
  suggester: "Suggester",
  commenter: "Commenter",
  viewer: "Viewer",
};

interface Props {
  org: string;
  name: string;
  self: User;
  onCopied: (worked: boolean) => void;
}

export function People({ org, name, self, onCopied }: Props) {
  const [items, setItems] = useState<Share[] | null>(null);
  const [failure, setFailure] = useState("");
  const [token, setToken] = useState<string | null>(null);
  const [reason, setReason] = useState<Why | null>(null);

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
  useEffect(() => {
    void run(async () => undefined);
    why(org, name).then(setReason, () => undefined);
  }, []);

  const people = items?.filter((share) => share.kind === "user") ?? [];
  const link = items?.find((share) => share.kind === "link") ?? null;
  const makeLink = async (role: Role, days: number) => {
    const life = days > 0 ? { expires: Date.now() + days * DAY_MS } : {};
    setToken(await putShare(org, name, { id: LINK, kind: "link", role, ...life }));
  };

  return (
    <>
      <p class="panel-text">{reason === null ? " " : whyWords(reason)}</p>
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
      <section class="share-link" aria-label="Link">
        <div class="share-row">
          <Icon name="link" />
          <span class="share-name">{link === null ? "Only these people, and the organisation" : linkWords(link)}</span>
          {link !== null ? (
            <RoleSelect
              label="Role of the link"
              role={link.role}
              roles={LINK_ROLES}
              removable
              removeWord="Turn off"
              onRole={(role) => run(() => makeLink(role, 0))}
              onRemove={() => run(async () => (await dropShare(org, name, LINK), setToken(null)))}
            />
          ) : (
            <button type="button" class="btn btn-small" onClick={() => void run(() => makeLink("viewer", 30))}>
              Make a link
            </button>
          )}
        </div>
        {link !== null && token === null && (
          <p class="panel-text share-note">
            The link was shown when it was made.{" "}
            <button type="button" class="text-button" onClick={() => void run(() => makeLink(link.role, 30))}>
              Replace it by a new one
            </button>
          </p>
        )}
      </section>
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

interface RoleProps {
  label: string;
  role: Role;
  roles: readonly Role[];
  removable?: boolean;
  removeWord?: string;
  onRole: (role: Role) => unknown;
  onRemove?: () => unknown;
}

const REMOVE = "remove";

function RoleSelect({ label, role, roles, removable, removeWord = "Remove", onRole, onRemove }: RoleProps) {
  return (
    <span class="select">
      <select
        aria-label={label}
        value={role}
        onChange={(event) => {
          const chosen = event.currentTarget.value;
          // Shown only once the server agrees.
          event.currentTarget.value = role;
          if (chosen === REMOVE) onRemove?.();
          else onRole(chosen as Role);
        }}
      >
        {roles.map((known) => (
          <option key={known} value={known}>
            {ROLE_WORDS[known]}
          </option>
        ))}
        {removable === true && <option value={REMOVE}>{removeWord}</option>}
      </select>
      <Icon name="chevron-down" />
    </span>
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

function linkWords(link: Share): string {
  if (link.expires === null) return "Anyone with the link";
  return `Anyone with the link, until ${new Date(link.expires).toLocaleDateString()}`;
}

/** "You are Editor: shared with you by Ana." */
export function whyWords({ role, from, detail }: Why): string {
  const known = ROLES.find((r) => r === role);
  const what = known === undefined ? (role === "" ? "You have no role here" : `You are ${role}`) : `You are ${ROLE_WORDS[known]}`;
  const source = { org: "by your role in the organisation", share: "because it is shared with you", link: "by a link", policy: "by a policy", open: "because everybody may" }[from];
  return `${[what, source].filter(Boolean).join(" ")}${detail === "" ? "" : `: ${detail}`}.`;
}

export function shareProblem(error: unknown): string {
  if (!(error instanceof ServerError)) return "Something went wrong in this page. Reload it and try again.";
  if (error.code === "last_owner") return "A document needs an owner. Make somebody else owner first.";
  if (error.status === 403) return "You cannot give more than you may do yourself.";
  if (error.status === 404) return "You cannot see who has access to this document.";
  return error.message;
}
