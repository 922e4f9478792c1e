import type { Editor } from "@tiptap/core";
import { useState } from "preact/hooks";
import { Icon } from "../shell/icon.tsx";
import { Dialog } from "./dialog.tsx";
import { safeUrl } from "./links.ts";

export function LinkDialog({ editor, onClose }: { editor: Editor; onClose: () => void }) {
  const now: unknown = editor.getAttributes("link")["href"];
  const [url, setUrl] = useState(typeof now === "string" ? now : "");
  const [wrong, setWrong] = useState(false);

  const apply = (event: Event) => {
    event.preventDefault();
    const href = safeUrl(url);
    if (href === null) {
      setWrong(true);
      return;
    }
    const chain = editor.chain().extendMarkRange("link");
    if (editor.state.selection.empty && !editor.isActive("link")) {
      chain.insertContent({ type: "text", text: url.trim(), marks: [{ type: "link", attrs: { href } }] }).run();
    } else {
      chain.setLink({ href }).run();
    }
    onClose();
  };

  return (
    <Dialog title={editor.isActive("link") ? "Change link" : "Add link"} onClose={onClose}>
      <form onSubmit={apply} class="form">
        <label class="field">
          <span>Address</span>
          <input
            type="text"
            inputMode="url"
            autocomplete="off"
            spellcheck={false}
            placeholder="https://example.org"
            value={url}
            autofocus
            aria-invalid={wrong}
            aria-describedby={wrong ? "link-wrong" : undefined}
            onInput={(event) => {
              setUrl(event.currentTarget.value);
              setWrong(false);
            }}
          />
        </label>
        {wrong && (
          <p id="link-wrong" class="field-error" role="alert">
            <Icon name="circle-alert" /> A link needs a web address or an e-mail address.
          </p>
        )}
        <div class="form-end">
          {editor.isActive("link") && (
            <button
              type="button"
              class="btn"
              onClick={() => {
                editor.chain().extendMarkRange("link").unsetLink().run();
                onClose();
              }}
            >
              <Icon name="unlink" /> Remove link
            </button>
          )}
          <button type="submit" class="btn btn-primary">
            {editor.isActive("link") ? "Change" : "Add link"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
