import { useEffect, useState } from "preact/hooks";
import type { Awareness } from "y-protocols/awareness";
import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { initials, inkOn, keepMe, type Person, PALETTE, toPerson, validName } from "./person.ts";

interface Present extends Person {
  self: boolean;
  windows: number;
}

const SHOWN = 4;

export function Presence({ awareness, self, onSelf }: { awareness: Awareness; self: Person; onSelf: (person: Person) => void }) {
  const people = usePeople(awareness);
  const shown = people.length > SHOWN ? people.slice(0, SHOWN - 1) : people;
  const more = people.length - shown.length;
  const label = people.length === 1 ? "Here: only you" : `Here: ${people.length} people`;
  return (
    <Popover
      kind="dialog"
      label={label}
      title={people.map((p) => (p.self ? `${p.name} (you)` : p.name)).join(", ")}
      align="end"
      buttonClass="avatars"
      class="people"
      spoken
      button={
        <>
          <span class="sr-only">{label}</span>
          {shown.map((p) => (
            <Avatar key={p.id} person={p} />
          ))}
          {more > 0 && <span class="avatar avatar-more" aria-hidden="true">+{more}</span>}
          {people.length > 1 && <span class="avatar avatar-rest" aria-hidden="true">+{people.length - 1}</span>}
        </>
      }
    >
      {(close) => (
        <>
          <h2 class="panel-title">{label}</h2>
          <SelfForm self={self} onSelf={onSelf} onDone={close} />
          {people.length > 1 && (
            <ul class="people-list">
              {people
                .filter((p) => !p.self)
                .map((p) => (
                  <li key={p.id}>
                    <Avatar person={p} />
                    <span>{p.name}</span>
                    {p.windows > 1 && <span class="muted">{p.windows} windows</span>}
                  </li>
                ))}
            </ul>
          )}
        </>
      )}
    </Popover>
  );
}

function SelfForm({ self, onSelf, onDone }: { self: Person; onSelf: (person: Person) => void; onDone: () => void }) {
  const [name, setName] = useState(self.name);
  const save = (person: Person) => {
    keepMe(person);
    onSelf(person);
  };
  return (
    <form
      class="self"
      onSubmit={(event) => {
        event.preventDefault();
        save({ ...self, name: validName(name) });
        onDone();
      }}
    >
      <label class="field">
        <span>Your name here</span>
        <span class="self-row">
          <Avatar person={{ ...self, name }} guest />
          <input type="text" maxLength={40} autocomplete="nickname" value={name} onInput={(event) => setName(event.currentTarget.value)} />
          <button type="submit" class="btn btn-primary">
            Save
          </button>
        </span>
      </label>
      <fieldset class="swatches">
        <legend>Your colour</legend>
        {PALETTE.map((color, at) => (
          <label key={color} class="swatch" ref={(el) => el?.style.setProperty("--author", color)}>
            <input type="radio" name="color" aria-label={`Colour ${at + 1}`} checked={self.color === color} onChange={() => save({ ...self, name: validName(name), color })} />
            <Icon name="check" />
          </label>
        ))}
      </fieldset>
    </form>
  );
}

/** Colour is never alone: the initials are always there. A dashed ring: a nickname, not a member. */
function Avatar({ person, guest = false }: { person: Person; guest?: boolean }) {
  return (
    <span
      class={guest ? "avatar avatar-guest" : "avatar"}
      aria-hidden="true"
      ref={(el) => {
        el?.style.setProperty("--author", person.color);
        el?.style.setProperty("--author-ink", inkOn(person.color));
      }}
    >
      {initials(person.name)}
    </span>
  );
}

function usePeople(awareness: Awareness): Present[] {
  const [people, setPeople] = useState(() => present(awareness));
  useEffect(() => {
    let key = JSON.stringify(people);
    const look = () => {
      const now = present(awareness);
      const nowKey = JSON.stringify(now);
      if (nowKey === key) return;
      key = nowKey;
      setPeople(now);
    };
    look();
    awareness.on("change", look);
    return () => awareness.off("change", look);
  }, [awareness]);
  return people;
}

/** One entry per person, however many windows; oneself first. */
function present(awareness: Awareness): Present[] {
  const own = toPerson(awareness.getLocalState()?.["user"], String(awareness.clientID));
  const byId = new Map<string, Present>([[own.id, { ...own, self: true, windows: 0 }]]);
  for (const [clientId, state] of awareness.getStates()) {
    if (state["user"] === undefined) continue;
    const person = toPerson(state["user"], String(clientId));
    const known = byId.get(person.id);
    if (known === undefined) byId.set(person.id, { ...person, self: false, windows: 1 });
    else known.windows += 1;
  }
  return [...byId.values()].sort((a, b) => Number(b.self) - Number(a.self) || a.name.localeCompare(b.name));
}
