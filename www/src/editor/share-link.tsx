/* The link of a document: who has it is a guest with its role until it ends or is turned off. */
import { useState } from "preact/hooks";
import type { Role, Share } from "../account/api.ts";
import { Icon } from "../shell/icon.tsx";
import { RoleSelect } from "./role-select.tsx";

const ROLES: Role[] = ["viewer", "commenter", "suggester", "editor"];
const DAY_MS = 86_400_000;
/** Of a new link, in days; 0: until it is turned off. */
const LIVES: [number, string][] = [
  [1, "1 day"],
  [7, "7 days"],
  [30, "30 days"],
  [0, "no end"],
];
const USUAL_LIFE = 30;

interface Props {
  /** null: there is none. */
  link: Share | null;
  /** It was made just now, so its address can be copied. */
  fresh: boolean;
  onMake: (role: Role, expires: number | null) => unknown;
  /** The address stays the same. */
  onRole: (role: Role) => unknown;
  /** The address of before opens nothing any more. */
  onReplace: (role: Role, expires: number | null) => unknown;
  onDrop: () => unknown;
}

export function LinkRow({ link, fresh, onMake, onRole, onReplace, onDrop }: Props) {
  const [days, setDays] = useState(USUAL_LIFE);
  const expires = () => (days === 0 ? null : Date.now() + days * DAY_MS);
  if (link === null) {
    return (
      <section class="share-link" aria-label="Link">
        <div class="share-row">
          <Icon name="link" />
          <span class="share-name">A link for anyone</span>
          <span class="select">
            <select aria-label="How long the link holds" value={String(days)} onChange={(event) => setDays(Number(event.currentTarget.value))}>
              {LIVES.map(([count, words]) => (
                <option key={count} value={String(count)}>
                  {words}
                </option>
              ))}
            </select>
            <Icon name="chevron-down" />
          </span>
          <button type="button" class="btn" onClick={() => onMake("viewer", expires())}>
            Make a link
          </button>
        </div>
      </section>
    );
  }
  return (
    <section class="share-link" aria-label="Link">
      <div class="share-row">
        <Icon name="link" />
        <span class="share-name">{linkWords(link)}</span>
        <RoleSelect label="Role of the link" role={link.role} roles={ROLES} removable removeWord="Turn off" onRole={onRole} onRemove={onDrop} />
      </div>
      {!fresh && (
        <p class="panel-text share-note">
          The link was shown when it was made.{" "}
          <button type="button" class="text-button" onClick={() => onReplace(link.role, expires())}>
            Replace it by a new one
          </button>
        </p>
      )}
    </section>
  );
}

function linkWords(link: Share): string {
  if (link.expires === null) return "Anyone with the link";
  return `Anyone with the link, until ${new Date(link.expires).toLocaleDateString()}`;
}
