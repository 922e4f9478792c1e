/* Light, dark, or what the system says. Kept in this browser. */

export type Theme = "system" | "light" | "dark";
const KEY = "moonloom:theme";

export function storedTheme(): Theme {
  const value = read(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

export function applyTheme(theme: Theme): void {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = theme;
  write(KEY, theme);
}

/** localStorage that cannot throw: private windows and full disks. */
export function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it is forgotten with this tab.
  }
}
