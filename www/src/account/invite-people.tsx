/* An invitation into the organisation, for those who may give one. */
import { useState } from "preact/hooks";
import { CopyRow } from "../shell/copy-row.tsx";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { invite, type Session } from "./api.ts";
import { Problem } from "./page.tsx";
import { problem } from "./problems.ts";

const ROLES: [string, string][] = [
  ["viewer", "Viewer"],
  ["editor", "Editor"],
  ["owner", "Owner"],
];
const LIFE_DAYS = 7;
const DAY_MS = 86_400_000;
const MAY_INVITE = ["owner", "admin"];

export function InvitePeople({ org, session }: { org: string; session: Session | null }) {
  const [role, setRole] = useState("editor");
  const [url, setUrl] = useState("");
  const [failure, setFailure] = useState("");
  if (session?.mode !== "password" || !session.user?.roles.some((held) => MAY_INVITE.includes(held))) return null;
  const make = async () => {
    setFailure("");
    try {
      setUrl(`${location.origin}/invite#${await invite(org, role, Date.now() + LIFE_DAYS * DAY_MS)}`);
    } catch (error) {
      setFailure(problem(error));
    }
  };
  return (
    <Popover
      kind="dialog"
      label="Invite people"
      title="Invite people"
      align="end"
      class="share"
      buttonClass="btn"
      onOpen={() => setUrl("")}
      button={
        <>
          <Icon name="user-plus" /> Invite
        </>
      }
    >
      {() => (
        <>
          <h2 class="panel-title">Invite somebody</h2>
          <p class="panel-text">The address makes one account, once, within {LIFE_DAYS} days. Send it to one person.</p>
          <div class="share-add">
            <span class="select">
              <select
                aria-label="Role of the new person"
                value={role}
                onChange={(event) => {
                  setRole(event.currentTarget.value);
                  setUrl("");
                }}
              >
                {ROLES.map(([value, words]) => (
                  <option key={value} value={value}>
                    {words}
                  </option>
                ))}
              </select>
              <Icon name="chevron-down" />
            </span>
            <button type="button" class="btn btn-primary" onClick={() => void make()}>
              Make an invitation
            </button>
          </div>
          <Problem text={failure} />
          {url !== "" && <CopyRow label="Address of the invitation" url={url} />}
        </>
      )}
    </Popover>
  );
}
