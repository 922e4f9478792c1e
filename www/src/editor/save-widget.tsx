import { Icon } from "../shell/icon.tsx";
import { Popover } from "../shell/popover.tsx";
import { signInPath } from "../shell/router.ts";
import { changes } from "../provider/save-state.ts";
import type { SaveView } from "./use-save-state.ts";

export interface SaveActions {
  retry: () => void;
  copyChanges: () => void;
  downloadCopy: () => void;
}

export function SaveWidget({ save, actions }: { save: SaveView; actions: SaveActions }) {
  const { lastSavedAt } = save.snapshot;
  return (
    <Popover
      kind="dialog"
      label={`Save state: ${save.label}`}
      title={save.detail}
      buttonClass={`save save-${save.kind}`}
      class="save-panel"
      button={
        <>
          <Icon name={save.icon} />
          <span class="save-long">{save.label}</span>
          <span class="save-short">{save.short}</span>
        </>
      }
    >
      {(close) => (
        <>
          <p class="save-detail">{save.detail}</p>
          <dl class="facts">
            <dt>Waiting for the server</dt>
            <dd>{changes(save.count)}</dd>
            <dt>Last confirmed</dt>
            <dd>{lastSavedAt === null ? "not in this visit" : new Date(lastSavedAt).toLocaleTimeString()}</dd>
            <dt>Copy on this device</dt>
            <dd>{save.storeProblem ?? "up to date"}</dd>
          </dl>
          {save.kind !== "saved" && (
            <div class="panel-actions">
              <button type="button" class="btn" onClick={() => (actions.retry(), close())}>
                <Icon name="refresh-cw" /> Retry now
              </button>
              <button type="button" class="btn" onClick={() => (actions.downloadCopy(), close())}>
                <Icon name="download" /> Download a copy
              </button>
            </div>
          )}
        </>
      )}
    </Popover>
  );
}

/** Across the top only when somebody should do something, or can stop worrying. */
export function SaveBanner({ save, actions }: { save: SaveView; actions: SaveActions }) {
  if (save.kind === "refused") {
    return (
      <div class="banner banner-bad" role="group" aria-label="Can’t save">
        <Icon name="octagon-x" />
        <p>
          <strong>Can’t save:</strong> {save.snapshot.refusal}. Your text is still here.
        </p>
        <div class="banner-actions">
          <button type="button" class="btn btn-small" onClick={actions.downloadCopy}>
            <Icon name="download" /> Download a copy
          </button>
          {save.snapshot.signedOut ? (
            <a class="btn btn-small" href={signInPath(location)}>
              <Icon name="lock" /> Sign in
            </a>
          ) : (
            <button type="button" class="btn btn-small" onClick={actions.retry}>
              <Icon name="refresh-cw" /> Try again
            </button>
          )}
        </div>
      </div>
    );
  }
  if (save.kind === "offline") {
    return (
      <div class="banner banner-warn" role="group" aria-label="Offline">
        <Icon name="cloud-off" />
        <p>
          <strong>{save.label}.</strong> {save.storeProblem === null ? "Keep writing: it is sent when the server is back." : `${save.storeProblem}.`}
        </p>
        <div class="banner-actions">
          <button type="button" class="btn btn-small" onClick={actions.retry}>
            <Icon name="refresh-cw" /> Retry now
          </button>
          <button type="button" class="btn btn-small" onClick={actions.copyChanges}>
            <Icon name="copy" /> Copy my changes
          </button>
        </div>
      </div>
    );
  }
  return null;
}
