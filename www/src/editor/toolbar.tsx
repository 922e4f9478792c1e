/*
 * Formatting. One tab stop; arrows move inside, Escape goes back to the text, Alt+F10 comes here from the text.
 */
import type { Editor } from "@tiptap/core";
import { yUndoPluginKey } from "@tiptap/y-tiptap";
import type { TargetedKeyboardEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { LinkDialog } from "./link-dialog.tsx";
import { sameFields, useEditorState } from "./use-editor-state.ts";

interface Tool {
  id: string;
  label: string;
  icon: string;
  keys?: string;
  run: (editor: Editor) => void;
  active?: (editor: Editor) => boolean;
}

const MOD = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl+";
const SHIFT = MOD === "⌘" ? "⇧" : "Shift+";

const mark = (id: string, label: string, icon: string, keys: string, run: Tool["run"]): Tool => ({
  id,
  label,
  icon,
  keys,
  run,
  active: (e) => e.isActive(id),
});

const GROUPS: Tool[][] = [
  [
    mark("bold", "Bold", "bold", `${MOD}B`, (e) => e.chain().focus().toggleBold().run()),
    mark("italic", "Italic", "italic", `${MOD}I`, (e) => e.chain().focus().toggleItalic().run()),
    mark("underline", "Underline", "underline", `${MOD}U`, (e) => e.chain().focus().toggleUnderline().run()),
    mark("strike", "Strike through", "strikethrough", `${MOD}${SHIFT}S`, (e) => e.chain().focus().toggleStrike().run()),
    mark("code", "Code", "code", `${MOD}E`, (e) => e.chain().focus().toggleCode().run()),
  ],
  [
    mark("bulletList", "Bulleted list", "list", `${MOD}${SHIFT}8`, (e) => e.chain().focus().toggleBulletList().run()),
    mark("orderedList", "Numbered list", "list-ordered", `${MOD}${SHIFT}7`, (e) => e.chain().focus().toggleOrderedList().run()),
    mark("taskList", "Task list", "list-todo", `${MOD}${SHIFT}9`, (e) => e.chain().focus().toggleTaskList().run()),
    mark("blockquote", "Quote", "text-quote", `${MOD}${SHIFT}B`, (e) => e.chain().focus().toggleBlockquote().run()),
    mark("codeBlock", "Code block", "square-code", `${MOD}Alt+C`, (e) => e.chain().focus().toggleCodeBlock().run()),
    { id: "rule", label: "Dividing line", icon: "minus", run: (e) => e.chain().focus().setHorizontalRule().run() },
  ],
];

const HISTORY: Tool[] = [
  { id: "undo", label: "Undo", icon: "undo-2", keys: `${MOD}Z`, run: (e) => e.chain().focus().undo().run() },
  { id: "redo", label: "Redo", icon: "redo-2", keys: `${MOD}${SHIFT}Z`, run: (e) => e.chain().focus().redo().run() },
];

const BLOCKS = ["Text", "Heading 1", "Heading 2", "Heading 3"] as const;

const CLEAR: Tool = {
  id: "clear",
  label: "Clear formatting",
  icon: "remove-formatting",
  run: (e) => e.chain().focus().unsetAllMarks().clearNodes().run(),
};

export function Toolbar({ editor }: { editor: Editor }) {
  const bar = useRef<HTMLDivElement>(null);
  const [stop, setStop] = useState(0);
  // What a key does is decided before the next render: it reads the place from here.
  const place = useRef(0);
  const [linking, setLinking] = useState(false);
  const state = useEditorState(editor, toolState, sameFields);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.altKey && event.key === "F10") {
        event.preventDefault();
        controls(bar.current)[place.current]?.focus();
      } else if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k" && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        setLinking(true);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const moveTo = (at: number) => {
    place.current = at;
    setStop(at);
  };

  const keys = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    const all = controls(bar.current);
    const now = all.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape") {
      event.preventDefault();
      editor.commands.focus();
      return;
    }
    // Up and down belong to the select.
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || now < 0) return;
    event.preventDefault();
    const next = to % all.length;
    moveTo(next);
    all[next]?.focus();
  };

  let index = 0;
  const button = (tool: Tool, pressed?: boolean, disabled = false) => {
    const at = index++;
    return (
      <button
        key={tool.id}
        type="button"
        class="tool"
        data-tool={tool.id}
        aria-label={tool.label}
        title={tool.keys === undefined ? tool.label : `${tool.label} (${tool.keys})`}
        aria-pressed={pressed}
        aria-disabled={disabled}
        tabIndex={at === stop ? 0 : -1}
        onFocus={() => moveTo(at)}
        onMouseDown={(event) => event.preventDefault()}
        onClick={() => !disabled && tool.run(editor)}
      >
        <Icon name={tool.icon} />
      </button>
    );
  };
  const blockAt = 2;

  return (
    <>
      <div ref={bar} class="toolbar" role="toolbar" aria-label="Formatting" aria-orientation="horizontal" onKeyDown={keys}>
        <div class="tool-group">
          {button(HISTORY[0]!, undefined, !state.undo)}
          {button(HISTORY[1]!, undefined, !state.redo)}
        </div>
        <div class="tool-group">
          <span class="select">
            <select
              aria-label="Paragraph style"
              title="Paragraph style (Ctrl+Alt+0 to 3)"
              value={String(state.block)}
              tabIndex={(index++, stop === blockAt ? 0 : -1)}
              onFocus={() => moveTo(blockAt)}
              onChange={(event) => setBlock(editor, Number(event.currentTarget.value))}
            >
              {BLOCKS.map((label, level) => (
                <option key={label} value={String(level)}>
                  {label}
                </option>
              ))}
            </select>
            <Icon name="chevron-down" />
          </span>
        </div>
        <div class="tool-group">
          {GROUPS[0]!.map((tool) => button(tool, state[tool.id] === true))}
          {button({ id: "link", label: "Link", icon: "link", keys: `${MOD}K`, run: () => setLinking(true) }, state["link"] === true)}
        </div>
        <div class="tool-group">{GROUPS[1]!.map((tool) => button(tool, tool.active === undefined ? undefined : state[tool.id] === true))}</div>
        <div class="tool-group">{button(CLEAR)}</div>
      </div>
      {linking && (
        <LinkDialog
          editor={editor}
          onClose={() => {
            setLinking(false);
            editor.commands.focus();
          }}
        />
      )}
    </>
  );
}

type ToolState = Record<string, boolean | number> & { undo: boolean; redo: boolean; block: number };

function toolState(editor: Editor): ToolState {
  const state: ToolState = { undo: false, redo: false, block: 0 };
  for (const tool of GROUPS.flat()) if (tool.active !== undefined) state[tool.id] = tool.active(editor);
  state["link"] = editor.isActive("link");
  for (const level of [1, 2, 3]) if (editor.isActive("heading", { level })) state.block = level;
  const history = yUndoPluginKey.getState(editor.state) as { hasUndoOps?: boolean; hasRedoOps?: boolean } | undefined;
  state.undo = history?.hasUndoOps === true;
  state.redo = history?.hasRedoOps === true;
  return state;
}

function setBlock(editor: Editor, level: number): void {
  const chain = editor.chain().focus();
  if (level === 0) chain.setParagraph().run();
  else chain.setHeading({ level: level as 1 | 2 | 3 }).run();
}

function controls(bar: HTMLElement | null): HTMLElement[] {
  return bar === null ? [] : [...bar.querySelectorAll<HTMLElement>("button, select")];
}
