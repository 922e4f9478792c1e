import type { Editor } from "@tiptap/core";
import type { Node } from "@tiptap/pm/model";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Skeleton } from "../pages/skeleton.tsx";
import { enterByLink } from "../account/link.ts";
import { useSession } from "../account/session.ts";
import { copyText } from "../shell/copy-row.tsx";
import { Icon, Logo } from "../shell/icon.tsx";
import { newDocumentName } from "../shell/names.ts";
import { OpenModeBanner } from "../shell/open-mode.tsx";
import { Popover } from "../shell/popover.tsx";
import { remember } from "../shell/recent.ts";
import { editPath, navigate } from "../shell/router.ts";
import { ThemeItems } from "../shell/theme-menu.tsx";
import "../styles/editor.css";
import { type OpenDocument, openDocument } from "./document.ts";
import { createEditor, schema } from "./editor.ts";
import { changedText, download, type Format } from "./export.ts";
import { foreignParts, watchForeign } from "./foreign.ts";
import { KeyboardHelp } from "./keyboard-help.tsx";
import { OutlinePanel } from "./outline.tsx";
import { me, type Person } from "./person.ts";
import { ForeignBanner, PlainView } from "./plain-view.tsx";
import { Presence } from "./presence.tsx";
import { NoticeBanner } from "./notice.tsx";
import { SaveBanner, SaveWidget, type SaveActions } from "./save-widget.tsx";
import { documentUrl, Share } from "./share.tsx";
import { LANGUAGES, StatusBar } from "./status-bar.tsx";
import type { Rules } from "./proposing.ts";
import { Suggestions } from "./suggestions.tsx";
import { Toolbar } from "./toolbar.tsx";
import { type PartialRole, usePartialRole } from "./use-role.ts";
import { type SaveView, useAnnouncement, useSaveState } from "./use-save-state.ts";

interface Props {
  org: string;
  name: string;
}

/** Keyed by its document: another one is another page. */
export function EditorPage({ org, name }: Props) {
  const [ready, setReady] = useState(false);
  const [self] = useState(me);
  // At once, not after the first paint: the store and the server can answer meanwhile.
  const [open] = useState(() => openDocument(org, name, self, enterByLink(location, self.name)));
  useLayoutEffect(() => {
    let live = true;
    void open.ready.then(() => live && setReady(true));
    return () => {
      live = false;
      open.close();
    };
  }, [open]);
  if (!ready) return <Skeleton name={name} failed={false} />;
  return <Workspace open={open} self={self} />;
}

function Workspace({ open, self: firstSelf }: { open: OpenDocument; self: Person }) {
  const paper = useRef<HTMLDivElement>(null);
  const [editor, setEditor] = useState<Editor | null>(null);
  // What this editor does not know in this document. It would delete it, so then there is no editor.
  const [foreign, setForeign] = useState<string[]>([]);
  const [self, setSelf] = useState(firstSelf);
  const [help, setHelp] = useState(false);
  const [toast, setToast] = useState("");
  const session = useSession();
  const mode = session?.mode ?? null;
  const title = useMeta(open, "title") ?? open.name;
  const language = knownLanguage(useMeta(open, "lang")) ?? knownLanguage(navigator.language.split("-")[0]) ?? "en";
  const save = useSaveState(open);
  const confirmed = useRef<Node | null>(null);
  const { readOnly } = save.snapshot;
  const partial = usePartialRole(open, session, save.snapshot);
  const proposes = partial === "proposer";
  const editable = save.kind !== "refused" && !readOnly && (partial === null || proposes);
  // Read by the editor, which is made once.
  const [rules] = useState<Rules>(() => ({ proposes: false, onStopped: () => setToast("Suggestions change words, not the shape of the text") }));

  useLayoutEffect(() => {
    const found = foreignParts(open.content, schema);
    if (found.length > 0) {
      setForeign(found);
      return;
    }
    const ignore = watchForeign(open.content, schema, (names) => {
      created.destroy();
      setEditor(null);
      setForeign(names);
    });
    const created = createEditor(open, paper.current!, rules);
    setEditor(created);
    // A keyboard that covers half a phone comes when it is asked for.
    if (created.isEmpty && matchMedia("(pointer: fine)").matches) created.commands.focus("start", { scrollIntoView: false });
    return () => {
      ignore();
      created.destroy();
    };
  }, [open]);

  useEffect(() => {
    const user = session?.user ?? null;
    // A server that knows the visitor knows the name better. In open mode everybody is its guest.
    if (user !== null && mode !== "open") setSelf((now) => ({ ...now, id: user.id, name: user.name }));
  }, [session]);

  useEffect(() => {
    open.awareness.setLocalStateField("user", self);
  }, [open, self]);

  useEffect(() => {
    document.title = `${title} · Moonloom`;
    remember(open.org, open.name, title);
  }, [title]);

  useEffect(() => {
    paper.current?.setAttribute("lang", language);
  }, [language, editor]);

  useEffect(() => {
    rules.proposes = proposes;
    editor?.setEditable(editable, false);
    if (save.kind === "saved") confirmed.current = editor?.state.doc ?? null;
  }, [editor, save, editable, proposes]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "/") {
        event.preventDefault();
        setHelp(true);
      } else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "s") {
        // Habit of many; there is nothing to do but say so.
        event.preventDefault();
        setToast(save.label);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [save.label]);

  useEffect(() => {
    if (toast === "") return;
    const timer = setTimeout(() => setToast(""), 3_000);
    return () => clearTimeout(timer);
  }, [toast]);

  const copied = (worked: boolean, what: string) => setToast(worked ? `${what} copied` : "This browser does not let the page copy");
  const actions: SaveActions = {
    retry: () => open.provider.retry(),
    copyChanges: () => {
      if (editor === null) return;
      const text = changedText(editor.state.doc, confirmed.current);
      if (text === "") setToast("There are no changes to copy");
      else void copyText(text).then((worked) => copied(worked, "Changes"));
    },
    downloadCopy: () => editor !== null && download(editor, title, "html"),
  };

  return (
    <div class="page">
      <header class="bar">
        <a class="brand" href="/" data-nav aria-label="All documents" title="All documents">
          <Logo />
        </a>
        <TitleField title={title} name={open.name} onTitle={(value) => setTitle(open, value)} readOnly={!editable || proposes} />
        <SaveWidget save={save} actions={actions} />
        <span class="spring" />
        <Presence awareness={open.awareness} self={self} onSelf={setSelf} />
        <Suggestions open={open} editor={editor} decides={editable && !proposes} onFailed={setToast} />
        <Share org={open.org} name={open.name} session={session} onCopied={(worked) => copied(worked, "Link")} />
        <MoreMenu
          onDownload={editor === null ? null : (format) => download(editor, title, format)}
          onCopyLink={() => void copyText(documentUrl(open.org, open.name)).then((worked) => copied(worked, "Link"))}
          onHelp={() => setHelp(true)}
        />
      </header>
      <div class="banners">
        <OpenModeBanner mode={mode} />
        <SaveBanner save={save} actions={actions} />
        <NoticeBanner provider={open.provider} />
        {foreign.length > 0 && <ForeignBanner names={foreign} />}
        {proposes && <ProposesBanner />}
        {!editable && foreign.length === 0 && save.kind !== "refused" && <ReadOnlyBanner role={partial} />}
      </div>
      {editor !== null && editable && !proposes && <Toolbar editor={editor} />}
      <div class="workspace">
        {editor !== null && <OutlinePanel editor={editor} />}
        <main class="desk" onMouseDown={(event) => editor !== null && focusFromDesk(event, editor)}>
          <div ref={paper} class="paper">
            {foreign.length > 0 && <PlainView open={open} />}
          </div>
        </main>
      </div>
      {editor !== null && (
        <StatusBar editor={editor} save={save} language={language} onLanguage={(code) => open.meta.set("lang", code)} onHelp={() => setHelp(true)} />
      )}
      <LiveRegion save={save} />
      <div class={toast === "" ? "toast" : "toast toast-on"} aria-hidden={toast === ""}>
        {toast}
      </div>
      {help && <KeyboardHelp onClose={() => setHelp(false)} />}
    </div>
  );
}

/** Touched only when there is something to say: some readers speak again at any change below it. */
function LiveRegion({ save }: { save: SaveView }) {
  const region = useRef<HTMLDivElement>(null);
  const text = useAnnouncement(save);
  useEffect(() => {
    if (region.current!.textContent !== text) region.current!.textContent = text;
  }, [text]);
  return <div ref={region} class="sr-only" role="status" aria-live="polite" data-live />;
}

const READ_ONLY_WORDS: Record<Exclude<PartialRole, "proposer">, string> = {
  commenter: "You can comment on this document, not change it. Comments are not shown in this editor yet.",
  suggester: "You can propose changes to this document, not make them. This server does not make suggestions of what is typed here.",
};

function ProposesBanner() {
  return (
    <div class="banner banner-note" role="status">
      <Icon name="pencil" />
      <p>You suggest: what you write and delete here is marked, and an editor accepts or rejects it.</p>
    </div>
  );
}

function ReadOnlyBanner({ role }: { role: PartialRole | null }) {
  return (
    <div class="banner banner-note" role="status">
      <Icon name="eye" />
      <p>{role === null || role === "proposer" ? "You can read this document, not change it." : READ_ONLY_WORDS[role]}</p>
    </div>
  );
}

interface TitleProps {
  title: string;
  name: string;
  readOnly: boolean;
  onTitle: (title: string) => void;
}

function TitleField({ title, name, readOnly, onTitle }: TitleProps) {
  return (
    <h1 class="title">
      <span class="title-sizer" aria-hidden="true">
        {title || name}
      </span>
      <input
        class="title-input"
        aria-label="Document title"
        title="Rename"
        autocomplete="off"
        maxLength={200}
        size={1}
        placeholder={name}
        readOnly={readOnly}
        value={title}
        onInput={(event) => onTitle(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" || event.key === "Escape") document.querySelector<HTMLElement>(".prose")?.focus();
        }}
      />
    </h1>
  );
}

interface MoreProps {
  /** null: there is no copy to be had. */
  onDownload: ((format: Format) => void) | null;
  onCopyLink: () => void;
  onHelp: () => void;
}

function MoreMenu({ onDownload, onCopyLink, onHelp }: MoreProps) {
  const item = (icon: string, label: string, run: () => void) => (
    <button
      type="button"
      role="menuitem"
      class="menu-item"
      tabIndex={-1}
      onClick={(event) => {
        event.currentTarget.closest<HTMLElement>("[popover]")?.hidePopover();
        run();
      }}
    >
      <Icon name={icon} /> {label}
    </button>
  );
  return (
    <Popover kind="menu" label="More" title="More" align="end" buttonClass="btn btn-icon" button={<Icon name="ellipsis" />}>
      {item("plus", "New document", () => navigate(editPath("default", newDocumentName())))}
      {item("house", "All documents", () => navigate("/"))}
      {item("link", "Copy link", onCopyLink)}
      {onDownload !== null && (
        <div class="menu-group" role="group" aria-label="Download a copy">
          <span class="menu-label" aria-hidden="true">
            Download a copy
          </span>
          {item("download", "Text (.txt)", () => onDownload("txt"))}
          {item("download", "Web page (.html)", () => onDownload("html"))}
          {item("download", "Data (.json)", () => onDownload("json"))}
        </div>
      )}
      <div class="menu-group" role="group" aria-label="Theme">
        <span class="menu-label" aria-hidden="true">
          Theme
        </span>
        <ThemeItems />
      </div>
      <div class="menu-group" role="group" aria-label="Help">
        {item("keyboard", "Keyboard", onHelp)}
      </div>
    </Popover>
  );
}

function useMeta(open: OpenDocument, key: string): string | null {
  const get = () => {
    const value = open.meta.get(key);
    return typeof value === "string" && value !== "" ? value : null;
  };
  const [value, setValue] = useState(get);
  useEffect(() => {
    const look = () => setValue(get());
    look();
    open.meta.observe(look);
    return () => open.meta.unobserve(look);
  }, [open]);
  return value;
}

function setTitle(open: OpenDocument, title: string): void {
  if (title.trim() === "") open.meta.delete("title");
  else open.meta.set("title", title);
}

function knownLanguage(code: string | null | undefined): string | null {
  return LANGUAGES.find(([known]) => known === code)?.[0] ?? null;
}

/** A click beside or below the text still means: write. */
function focusFromDesk(event: MouseEvent, editor: Editor): void {
  const target = event.target as HTMLElement;
  if (!target.matches(".desk, .paper") || target.clientWidth <= event.offsetX) return;
  event.preventDefault();
  editor.commands.focus("end");
}
