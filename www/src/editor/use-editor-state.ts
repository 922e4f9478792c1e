import type { Editor } from "@tiptap/core";
import { useEffect, useState } from "preact/hooks";

/** Reads something off the editor after each transaction, once per frame. Renders again when the answer differs. */
export function useEditorState<T>(editor: Editor, select: (editor: Editor) => T, same: (a: T, b: T) => boolean = Object.is): T {
  const [value, setValue] = useState(() => select(editor));
  useEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (editor.isDestroyed) return;
      setValue((before) => {
        const now = select(editor);
        return same(before, now) ? before : now;
      });
    };
    const later = () => {
      frame ||= requestAnimationFrame(look);
    };
    look();
    editor.on("transaction", later);
    editor.on("focus", later);
    editor.on("blur", later);
    return () => {
      cancelAnimationFrame(frame);
      editor.off("transaction", later);
      editor.off("focus", later);
      editor.off("blur", later);
    };
  }, [editor]);
  return value;
}

export function sameFields<T extends object>(a: T, b: T): boolean {
  return (Object.keys(a) as (keyof T)[]).every((key) => a[key] === b[key]);
}
