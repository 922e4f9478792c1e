/* A document that this editor cannot open without harm: its text, as it changes, and nothing to press. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import type { OpenDocument } from "./document.ts";
import { plainLines } from "./foreign.ts";

const AGAIN_MS = 100;

export function ForeignBanner({ names }: { names: string[] }) {
  return (
    <div class="banner banner-note" role="status">
      <Icon name="eye" />
      <p>
        This document was made with another editor and has parts that this one does not know ({names.slice(0, 5).join(", ")}
        {names.length > 5 ? ", …" : ""}). So you see its text only, and nothing here changes it.
      </p>
    </div>
  );
}

export function PlainView({ open }: { open: OpenDocument }) {
  const [lines, setLines] = useState(() => plainLines(open.content));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setLines(plainLines(open.content));
      }, AGAIN_MS);
    };
    open.content.observeDeep(look);
    look();
    return () => {
      clearTimeout(timer);
      open.content.unobserveDeep(look);
    };
  }, [open]);
  return (
    <div class="prose" dir="auto" aria-label="Document text" role="document">
      {lines.map((line, index) => (
        <p key={index}>{line}</p>
      ))}
    </div>
  );
}
