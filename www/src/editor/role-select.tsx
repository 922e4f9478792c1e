import { type Role } from "../account/api.ts";
import { Icon } from "../shell/icon.tsx";

export const ROLE_WORDS: Record<Role, string> = {
  owner: "Owner",
  editor: "Editor",
  suggester: "Suggester",
  commenter: "Commenter",
  viewer: "Viewer",
};

interface Props {
  label: string;
  role: Role;
  roles: readonly Role[];
  removable?: boolean;
  removeWord?: string;
  onRole: (role: Role) => unknown;
  onRemove?: () => unknown;
}

const REMOVE = "remove";

export function RoleSelect({ label, role, roles, removable, removeWord = "Remove", onRole, onRemove }: Props) {
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
