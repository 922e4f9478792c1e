/* SPDX-License-Identifier: MIT */
/* A copy of a document to write into; every transaction is kept as the update that it is. */
#include "script/draft.h"

#include "base/arena.h"
#include "base/codec.h"
#include "base/list.h"
#include "engine/engine.h"

#include <stdlib.h>

#define UPDATE_BYTES_MAX  ((size_t)16 << 20)
#define SCRATCH_BYTES_MAX ((size_t)64 << 20)

static struct ml_draft *draft_of(struct ml_doc_port *port)
{
    return ML_CONTAINER(port, struct ml_draft, port);
}

static void facts(struct ml_doc_port *port, struct ml_doc_facts *out)
{
    *out = draft_of(port)->facts;
}

/* Who is here is not known to a copy. */
static void sessions(struct ml_doc_port *port,
                     void (*each)(void *arg, const struct ml_doc_session *session), void *arg)
{
    (void)port;
    (void)each;
    (void)arg;
}

static enum ml_err begin(struct ml_doc_port *port, struct ml_diag *diag, struct ml_doc **doc_out)
{
    struct ml_draft *draft = draft_of(port);

    if (draft->count == ML_DRAFT_CHANGES_MAX)
        return ml_diag_set(diag, ML_ELIMIT, 0, "more than %d transactions in one call",
                           ML_DRAFT_CHANGES_MAX);
    *doc_out = draft->doc;
    return ml_doc_begin(draft->doc, diag);
}

static void rollback(struct ml_doc_port *port)
{
    ml_doc_rollback(draft_of(port)->doc);
}

static enum ml_err commit(struct ml_doc_port *port, const struct ml_doc_note *note,
                          struct ml_diag *diag)
{
    struct ml_draft *draft = draft_of(port);
    const struct ml_change *change;
    struct ml_writer *to = &draft->changes[draft->count];
    struct ml_arena scratch;
    enum ml_err err;

    (void)note;
    ml_arena_init(&scratch, SCRATCH_BYTES_MAX);
    err = ml_doc_commit(draft->doc, &scratch, &change);
    if (!err && change->bytes.len) {
        ml_writer_init(to, UPDATE_BYTES_MAX);
        ml_write_bytes(to, change->bytes);
        err = to->err;
        draft->count++;
    }
    ml_arena_release(&scratch);
    return err ? ml_diag_set(diag, err, 0, "the change is too large") : ML_OK;
}

void ml_draft_init(struct ml_draft *draft, struct ml_doc *doc, const struct ml_doc_facts *given)
{
    static const struct ml_doc_calls calls = {facts, sessions, begin, commit, rollback};

    *draft = (struct ml_draft){.port = {&calls}, .doc = doc, .facts = *given};
    draft->changes = calloc(ML_DRAFT_CHANGES_MAX, sizeof *draft->changes);
    if (!draft->changes)
        draft->count = ML_DRAFT_CHANGES_MAX; /* it can be read */
}

void ml_draft_release(struct ml_draft *draft)
{
    for (size_t i = 0; draft->changes && i < draft->count; i++)
        ml_writer_release(&draft->changes[i]);
    free(draft->changes);
    *draft = (struct ml_draft){0};
}

enum ml_err ml_draft_update(const struct ml_draft *draft, struct ml_arena *scratch,
                            struct ml_writer *out)
{
    struct ml_slice parts[ML_DRAFT_CHANGES_MAX];
    enum ml_err err = ML_OK;

    if (!draft->changes || !draft->count)
        return ML_OK;
    for (size_t i = 0; i < draft->count; i++) {
        parts[i] = ml_writer_slice(&draft->changes[i]);
        err = err ? err : draft->changes[i].err;
    }
    if (!err)
        err = ml_updates_merge(parts, draft->count, NULL, scratch, out, NULL);
    return err ? err : out->err;
}
