/* SPDX-License-Identifier: MIT */
/*
 * What the server itself writes into a document: a transaction of a plugin becomes a record like
 * any other, with an author and without a seat. It meets neither before_update nor grants, reaches
 * every member and after_update, and a chain of reactions to reactions ends at CHAIN_MAX.
 */
#include "room/live.h"

#include <stdio.h>

#define CHAIN_MAX     4
#define SCRATCH_BYTES (64u << 20)

static struct ml_room *room_of(struct ml_doc_port *port)
{
    return ML_CONTAINER(port, struct ml_room, port);
}

static void facts(struct ml_doc_port *port, struct ml_doc_facts *out)
{
    const struct ml_room *room = room_of(port);

    *out = (struct ml_doc_facts){
        .seq = room->head,
        .epoch = room->epoch,
        .bytes = room->state_bytes,
    };
}

static void sessions(struct ml_doc_port *port,
                     void (*each)(void *arg, const struct ml_doc_session *session), void *arg)
{
    const struct ml_room *room = room_of(port);

    ML_LIST_EACH(node, &room->members)
    {
        const struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);
        const struct ml_doc_session session = {
            .id = ml_slice_str(member->identity.session),
            .user = ml_slice_str(member->identity.user),
            .name = ml_slice_str(member->identity.name),
            .can_write = ml_grant_allows(&member->grant, ML_MAY_WRITE),
        };

        if (member->is_seated && !member->is_closing && !member->port->is_hidden)
            each(arg, &session);
    }
}

/* On ML_OK the document is built, and there is room in it. */
static enum ml_err may_write(struct ml_room *room, struct ml_diag *diag)
{
    enum ml_err err;

    if (room->is_read_only || room->is_abandoned)
        return ml_diag_set(diag, ML_EDENIED, 0, "the document cannot be written now");
    if (room->staged_bytes > room->rooms->env.limits.staged_bytes)
        return ml_diag_set(diag, ML_EBUSY, 0, "too much waits to be committed");
    err = ml_room_wake(room);
    if (err)
        return ml_diag_set(diag, err, 0, "the document cannot be built");
    if (ml_room_is_full(room, 0))
        return ml_diag_set(diag, ML_ELIMIT, 0, "the document is too large");
    return ML_OK;
}

static enum ml_err begin(struct ml_doc_port *port, struct ml_diag *diag, struct ml_doc **doc_out)
{
    struct ml_room *room = room_of(port);
    enum ml_err err;
    uint32_t depth;

    if (!ml_room_is_telling(room, &depth))
        return ml_diag_set(diag, ML_EDENIED, 0, "this is not the moment to write");
    if (depth > CHAIN_MAX)
        return ml_diag_set(diag, ML_ELIMIT, 0, "plugins react to each other: cut after %d in a row",
                           CHAIN_MAX);
    err = may_write(room, diag);
    if (err)
        return err;
    err = ml_doc_begin(room->doc, diag);
    if (err)
        return err;
    ml_room_watch(room);
    *doc_out = room->doc;
    return ML_OK;
}

static void rollback(struct ml_doc_port *port)
{
    struct ml_room *room = room_of(port);

    ml_doc_rollback(room->doc);
    ml_room_watched(room, ml_slice_make("", 0), "plugin");
    if (ml_doc_is_broken(room->doc))
        ml_room_abandon(room);
}

static enum ml_err stage(struct ml_room *room, const struct ml_doc_note *note,
                         const struct ml_change *change)
{
    struct ml_blob *record = ml_blob_new(change->bytes);
    uint32_t depth = 0;
    enum ml_err err;

    (void)ml_room_is_telling(room, &depth);
    room->rooms->stats.updates++;
    room->state_bytes += change->bytes.len;
    ml_room_forget_answers(room);
    ml_room_touch(room);
    err = record ? ml_room_stage_own(room, note->author, record, depth) : ML_ELIMIT;
    if (err) {
        /* Integrated but not recorded: this room may not go on telling others about it. */
        ml_blob_unref(record);
        ml_room_abandon(room);
    }
    return err;
}

static enum ml_err commit(struct ml_doc_port *port, const struct ml_doc_note *note,
                          struct ml_diag *diag)
{
    struct ml_room *room = room_of(port);
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, SCRATCH_BYTES);
    err = ml_doc_commit(room->doc, &scratch, &change);
    ml_room_watched(room, note->author, "plugin");
    if (err)
        ml_room_abandon(room);
    else if (change->bytes.len)
        err = stage(room, note, change);
    ml_arena_release(&scratch);
    return err ? ml_diag_set(diag, err, 0, "out of memory") : ML_OK;
}

/**
 * Operations as one record, from outside of every hook.
 * @retval ML_EFORMAT  diag tells which one is wrong: nothing has changed
 */
enum ml_err ml_room_run_ops(struct ml_room *room, struct ml_slice author, struct ml_slice ops,
                            struct ml_diag *diag)
{
    const struct ml_doc_note note = {.author = author};
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err = may_write(room, diag);

    if (err)
        return err;
    if (!ml_room_begin_telling(room))
        return ML_EBUSY;
    ml_arena_init(&scratch, SCRATCH_BYTES);
    ml_room_watch(room);
    err = ml_doc_run_ops(room->doc, ops, &scratch, diag, &change);
    ml_room_watched(room, author, "plugin");
    if (err && ml_doc_is_broken(room->doc))
        ml_room_abandon(room);
    else if (!err && change->bytes.len)
        err = stage(room, &note, change);
    ml_arena_release(&scratch);
    ml_room_end_telling(room);
    return err;
}

void ml_room_port_init(struct ml_room *room)
{
    static const struct ml_doc_calls calls = {facts, sessions, begin, commit, rollback};

    room->port.calls = &calls;
}
