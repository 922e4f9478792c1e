import { useState } from "preact/hooks";
import { Icon } from "./icon.tsx";
import { Popover } from "./popover.tsx";
import { applyTheme, storedTheme, type Theme } from "./theme.ts";

const THEMES: { theme: Theme; label: string; icon: string }[] = [
  { theme: "light", label: "Light", icon: "sun" },
  { theme: "dark", label: "Dark", icon: "moon" },
  { theme: "system", label: "Like the system", icon: "monitor" },
];

export function ThemeMenu() {
  return (
    <Popover kind="menu" label="Theme" title="Theme" align="end" buttonClass="btn btn-icon" button={<Icon name="sun-moon" />}>
      <ThemeItems />
    </Popover>
  );
}

export function ThemeItems() {
  const [now, setNow] = useState(storedTheme());
  return (
    <>
      {THEMES.map(({ theme, label, icon }) => (
        <button
          key={theme}
          type="button"
          role="menuitemradio"
          aria-checked={now === theme}
          class="menu-item"
          tabIndex={-1}
          onClick={() => {
            applyTheme(theme);
            setNow(theme);
          }}
        >
          <Icon name={icon} /> {label}
          <Icon name="check" class="menu-check" />
        </button>
      ))}
    </>
  );
}
