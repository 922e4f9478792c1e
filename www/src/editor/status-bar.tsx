import type { Editor } from "@tiptap/core";
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { countWords } from "./export.ts";
import type { SaveView } from "./use-save-state.ts";

export const LANGUAGES: [string, string][] = [
  ["ar", "العربية"],
  ["de", "Deutsch"],
  ["en", "English"],
  ["es", "Español"],
  ["fr", "Français"],
  ["he", "עברית"],
  ["hi", "हिन्दी"],
  ["it", "Italiano"],
  ["ja", "日本語"],
  ["ko", "한국어"],
  ["nl", "Nederlands"],
  ["pl", "Polski"],
  ["pt", "Português"],
  ["tr", "Türkçe"],
  ["uk", "Українська"],
  ["zh", "中文"],
];

const COUNT_AFTER_MS = 250;

interface Props {
  editor: Editor;
  save: SaveView;
  language: string;
  onLanguage: (language: string) => void;
  onHelp: () => void;
}

export function StatusBar({ editor, save, language, onLanguage, onHelp }: Props) {
  const words = useWordCount(editor, language);
  const { status, confirmed } = save.snapshot;
  const line = status === "connected" && confirmed ? "Connected" : status === "refused" ? "Disconnected" : "Connecting…";
  return (
    <footer class="status">
      <span class="status-line">
        <Icon name={line === "Connected" ? "wifi" : "wifi-off"} />
        <span>{line}</span>
      </span>
      <span class="spring" />
      <span>
        {words < 1000 ? words : words.toLocaleString()} {words === 1 ? "word" : "words"}
      </span>
      <span class="select select-quiet">
        <select aria-label="Language of the document" title="Language: for spelling and word count" value={language} onChange={(event) => onLanguage(event.currentTarget.value)}>
          {LANGUAGES.map(([code, label]) => (
            <option key={code} value={code} lang={code}>
              {label}
            </option>
          ))}
        </select>
        <Icon name="chevron-down" />
      </span>
      <button type="button" class="btn btn-icon btn-small" aria-label="Keyboard help" title="Keyboard help (Ctrl+/)" onClick={onHelp}>
        <Icon name="keyboard" />
      </button>
    </footer>
  );
}

function useWordCount(editor: Editor, language: string): number {
  const [words, setWords] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const count = () => {
      timer = undefined;
      if (editor.isDestroyed) return;
      const { doc } = editor.state;
      setWords(countWords(doc.textBetween(0, doc.content.size, "\n", " "), language));
    };
    const later = () => {
      timer ??= setTimeout(count, COUNT_AFTER_MS);
    };
    count();
    editor.on("update", later);
    return () => {
      clearTimeout(timer);
      editor.off("update", later);
    };
  }, [editor, language]);
  return words;
}
