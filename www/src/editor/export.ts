/* Copies of the document that leave the page as files or through the clipboard. */
import type { Editor } from "@tiptap/core";
import type { Node } from "@tiptap/pm/model";

export type Format = "txt" | "html" | "json";

const TYPES: Record<Format, string> = {
  txt: "text/plain;charset=utf-8",
  html: "text/html;charset=utf-8",
  json: "application/json",
};

export function render(editor: Editor, title: string, format: Format): string {
  switch (format) {
    case "txt":
      return `${editor.getText({ blockSeparator: "\n\n" })}\n`;
    case "html":
      return `<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>${escapeHtml(title)}</title>\n</head>\n<body>\n${editor.getHTML()}\n</body>\n</html>\n`;
    case "json":
      return `${JSON.stringify({ title, content: editor.getJSON() }, null, 2)}\n`;
  }
}

export function download(editor: Editor, title: string, format: Format): void {
  const url = URL.createObjectURL(new Blob([render(editor, title, format)], { type: TYPES[format] }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${fileName(title)}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function fileName(title: string): string {
  const clean = title.replace(/[\u0000-\u001f\u007f/\\:*?"<>|]+/g, " ").replace(/\s+/g, " ").trim();
  return clean === "" || /^\.+$/.test(clean) ? "document" : clean.slice(0, 80);
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** The blocks that differ from what the server last confirmed, or everything if that is not known. */
export function changedText(now: Node, confirmed: Node | null): string {
  const whole = () => now.textBetween(0, now.content.size, "\n\n", "\n");
  if (confirmed === null) return whole();
  const start = now.content.findDiffStart(confirmed.content);
  if (start === null) return "";
  const end = now.content.findDiffEnd(confirmed.content);
  if (end === null) return whole();
  const from = now.resolve(Math.min(start, now.content.size));
  const to = now.resolve(Math.min(Math.max(end.a, start), now.content.size));
  const first = from.depth > 0 ? from.before(1) : from.pos;
  const last = to.depth > 0 ? to.after(1) : to.pos;
  return now.textBetween(first, last, "\n\n", "\n").trim();
}

export function countWords(text: string, language: string): number {
  let words = 0;
  for (const part of segmenter(language).segment(text)) if (part.isWordLike === true) words += 1;
  return words;
}

let cached: { language: string; segmenter: Intl.Segmenter } | null = null;

function segmenter(language: string): Intl.Segmenter {
  if (cached?.language !== language) cached = { language, segmenter: new Intl.Segmenter(language, { granularity: "word" }) };
  return cached.segmenter;
}
