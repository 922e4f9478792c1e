import { Dialog } from "./dialog.tsx";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const MOD = MAC ? "⌘" : "Ctrl";
const ALT = MAC ? "⌥" : "Alt";

const ROWS: [string, [string[], string][]][] = [
  [
    "Getting around",
    [
      [[ALT, "F10"], "Go to the formatting toolbar"],
      [["←", "→"], "Move inside the toolbar"],
      [["Esc"], "Back to the text, or close what is open"],
      [[MOD, "/"], "This list"],
    ],
  ],
  [
    "Text",
    [
      [[MOD, "B"], "Bold"],
      [[MOD, "I"], "Italic"],
      [[MOD, "U"], "Underline"],
      [[MOD, "E"], "Code"],
      [[MOD, "K"], "Link"],
      [[MOD, "Z"], "Undo your own last change"],
    ],
  ],
  [
    "Paragraphs",
    [
      [[MOD, ALT, "1"], "Heading 1 (2 and 3 likewise)"],
      [[MOD, ALT, "0"], "Plain text"],
      [[MOD, "Shift", "8"], "Bulleted list"],
      [[MOD, "Shift", "7"], "Numbered list"],
      [[MOD, "Shift", "9"], "Task list"],
    ],
  ],
  [
    "At the start of a line",
    [
      [["#", "Space"], "Heading"],
      [["-", "Space"], "Bulleted list"],
      [["1.", "Space"], "Numbered list"],
      [["[ ]", "Space"], "Task"],
      [[">", "Space"], "Quote"],
    ],
  ],
];

export function KeyboardHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose} class="dialog-wide">
      <div class="keys">
        {ROWS.map(([title, rows]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {rows.map(([keys, what]) => (
                <div key={what}>
                  <dt>
                    {keys.map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
