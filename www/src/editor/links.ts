/* Which addresses a link may have. */

const SCHEMES = new Set(["https:", "http:", "mailto:"]);

/** May this stand in an `href` as it is? Asked of everything that is shown, whoever it came from. */
export function allowedHref(href: string | null | undefined): boolean {
  return /^(https?:\/\/|mailto:)[^\u0000-\u0020\u007f]+$/i.test(href ?? "");
}

/** The address that somebody typed, made whole ("example.org" becomes https://example.org), or null if it must not be a link. */
export function safeUrl(text: string | null | undefined): string | null {
  const value = (text ?? "").trim();
  if (value === "" || /[\u0000-\u001f\u007f]/.test(value)) return null;
  if (/^[\w.+-]+@[\w-]+(\.[\w-]+)+$/.test(value)) return `mailto:${value}`;
  const whole = /^[a-z][a-z0-9+.-]*:/i.test(value) && !/^[\w.-]+:\d/.test(value) ? value : `https://${value.replace(/^\/+/, "")}`;
  try {
    return SCHEMES.has(new URL(whole).protocol) ? whole : null;
  } catch {
    return null;
  }
}
