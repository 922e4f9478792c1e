/*
 * A button and what it opens, on the browser's own popover: Escape, a click elsewhere and the way back of the
 * focus are its work. Placed from the button's edges just before it shows, so nothing has to be measured.
 */
import type { ComponentChildren, TargetedKeyboardEvent } from "preact";
import { useId, useRef, useState } from "preact/hooks";

const GAP = 6;
const EDGE = 8;
const NARROW = 480;

interface PopoverProps {
  /** Names the panel, and the button unless `button` brings its own words. */
  label: string;
  spoken?: boolean;
  button: ComponentChildren;
  buttonClass?: string;
  title?: string;
  /** "menu": arrow keys move between its items. "dialog": anything else. */
  kind: "menu" | "dialog";
  side?: "below" | "above";
  align?: "start" | "end";
  class?: string;
  onOpen?: () => void;
  children: ComponentChildren | ((close: () => void) => ComponentChildren);
}

export function Popover(props: PopoverProps) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const close = () => panel.current?.hidePopover();

  const place = (event: { newState: string }) => {
    if (event.newState !== "open" || panel.current === null || button.current === null) return;
    const at = button.current.getBoundingClientRect();
    const style = panel.current.style;
    const start = (props.align ?? "start") === "start";
    style.inset = "auto";
    if (innerWidth < NARROW) style.left = style.right = `${EDGE}px`;
    else if (start) style.left = `${Math.max(EDGE, at.left)}px`;
    else style.right = `${Math.max(EDGE, innerWidth - at.right)}px`;
    if (props.side === "above") {
      style.bottom = `${innerHeight - at.top + GAP}px`;
      style.maxHeight = `${at.top - GAP - EDGE}px`;
    } else {
      style.top = `${at.bottom + GAP}px`;
      style.maxHeight = `${innerHeight - at.bottom - GAP - EDGE}px`;
    }
  };

  const toggled = (event: { newState: string }) => {
    const isOpen = event.newState === "open";
    setOpen(isOpen);
    if (!isOpen) return;
    props.onOpen?.();
    if (props.kind === "menu") items(panel.current)[0]?.focus();
  };

  const keys = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    if (props.kind !== "menu") return;
    const all = items(panel.current);
    const now = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all[to % all.length]?.focus();
    } else if (event.key === "Tab") {
      close();
    }
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        class={props.buttonClass ?? "btn btn-quiet"}
        popovertarget={id}
        aria-label={props.spoken === true ? undefined : props.label}
        aria-haspopup={props.kind}
        aria-expanded={open}
        aria-controls={id}
        title={props.title}
      >
        {props.button}
      </button>
      <div
        ref={panel}
        id={id}
        popover="auto"
        role={props.kind}
        aria-label={props.label}
        class={`popover ${props.kind === "menu" ? "menu" : "panel"} ${props.class ?? ""}`}
        onBeforeToggle={place}
        onToggle={toggled}
        onKeyDown={keys}
      >
        {typeof props.children === "function" ? (open ? props.children(close) : null) : props.children}
      </div>
    </>
  );
}

function items(panel: HTMLElement | null): HTMLElement[] {
  return panel === null ? [] : [...panel.querySelectorAll<HTMLElement>('[role^="menuitem"]:not([disabled])')];
}
