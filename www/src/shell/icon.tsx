import sprite from "../assets/icons.svg?url";

/** One of the Lucide icons in the sprite. Decoration only: the word beside it, or the button's label, says it. */
export function Icon({ name, class: extra }: { name: string; class?: string }) {
  return (
    <svg class={extra === undefined ? "icon" : `icon ${extra}`} aria-hidden="true" focusable="false">
      <use href={`${sprite}#${name}`} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path class="logo-moon" d="M20.6 4.6a11.6 11.6 0 1 0 7 15.8A10 10 0 0 1 20.6 4.6Z" />
      <path class="logo-threads" d="M5.6 12.6h11.2M4.4 16.7h13M5.8 20.8h15" />
    </svg>
  );
}
