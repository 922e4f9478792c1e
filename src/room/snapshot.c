/* SPDX-License-Identifier: MIT */
/*
 * When a snapshot is due, and how it is made: encode, decode again into an empty document, compare
 * the bytes of both states (they are canonical), and only then hand it to the journal (REL-25). The
 * cadence is the core's default or what plugins said for this document; the counting is done here.
 *
 * A snapshot is the fold of records 1 … head, so it is made in a moment in which nothing is staged;
 * a due one makes writers wait for one commit (submit.c, has_barrier).
 */
#include "base/log.h"
#include "room/live.h"

static bool is_due(const struct ml_room *room)
{
    const struct ml_snapshot_policy *p = &room->policy;
    uint64_t now = ml_room_now(room);

    if (!room->ops_since || now - room->snapshot_at_ms < p->min_gap_ms)
        return false;
    return (p->every_ops && room->ops_since >= p->every_ops) ||
           (p->every_bytes && room->bytes_since >= p->every_bytes) ||
           (p->every_ms && now - room->snapshot_at_ms >= p->every_ms) ||
           (p->idle_ms && now - room->changed_at_ms >= p->idle_ms);
}

static void on_snapshot_put(struct ml_snapshot_put *put)
{
    struct ml_room *room = ML_CONTAINER(put, struct ml_room, put);

    room->is_putting = false;
    if (put->err) {
        room->rooms->stats.snapshot_errors++;
        ml_log(ML_LOG_WARN, "snapshot.failed", "org=%.*s doc=%s seq=%llu err=%s why=%s",
               ML_PRINT(room->org), ML_LOG_TEXT(room->name), (unsigned long long)put->seq,
               ml_err_name(put->err), ML_LOG_TEXT(ml_slice_str(put->diag.text)));
    } else {
        room->rooms->stats.snapshots++;
        ml_log(ML_LOG_INFO, "snapshot.taken", "org=%.*s doc=%s seq=%llu bytes=%zu",
               ML_PRINT(room->org), ML_LOG_TEXT(room->name), (unsigned long long)put->seq,
               put->state->len);
    }
    ml_blob_unref(put->state);
    ml_blob_unref(put->state_vector);
    if (room->state == ML_ROOM_CLOSING)
        ml_room_free(room);
    else
        ml_room_close_if_idle(room);
}

/* Does a document made of `state` alone have exactly this state? */
static enum ml_err verify(const struct ml_room *room, struct ml_slice state)
{
    struct ml_doc_options options = {.limits = room->rooms->env.limits.engine};
    struct ml_doc *copy = ml_doc_new(&options);
    struct ml_writer again;
    enum ml_err err = copy ? ML_OK : ML_ELIMIT;

    ml_writer_init(&again, room->rooms->env.limits.document_bytes * 2);
    if (!err)
        err = ml_doc_apply_bytes(copy, state, NULL);
    if (!err)
        err = ml_doc_encode_state(copy, ml_slice_make(NULL, 0), &again);
    if (!err)
        err = again.err;
    if (!err && !ml_slice_equal(state, ml_writer_slice(&again)))
        err = ML_EFORMAT;
    ml_writer_release(&again);
    ml_doc_free(copy);
    return err;
}

/** Nothing may be staged. Cost: one encode, one load and one encode of the document. */
void ml_room_take_snapshot(struct ml_room *room)
{
    size_t max_bytes = room->rooms->env.limits.document_bytes * 2;
    struct ml_blob *state_blob = NULL, *vector_blob = NULL;
    struct ml_writer state, vector;
    enum ml_err err;

    room->snapshot_due = false;
    room->snapshot_at_ms = ml_room_now(room); /* also after a failure: the next try has its gap */
    err = ml_room_wake(room);
    if (err) {
        room->rooms->stats.snapshot_errors++;
        return;
    }
    ml_writer_init(&state, max_bytes);
    ml_writer_init(&vector, max_bytes);
    err = ml_doc_encode_state(room->doc, ml_slice_make(NULL, 0), &state);
    if (!err)
        err = verify(room, ml_writer_slice(&state));
    ml_doc_state_vector(room->doc, &vector);
    if (!err)
        err = state.err ? state.err : vector.err;
    if (!err) {
        state_blob = ml_blob_new(ml_writer_slice(&state));
        vector_blob = ml_blob_new(ml_writer_slice(&vector));
        err = state_blob && vector_blob ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&state);
    ml_writer_release(&vector);
    if (err) {
        ml_blob_unref(state_blob);
        ml_blob_unref(vector_blob);
        room->rooms->stats.snapshot_errors++;
        ml_log(ML_LOG_ERROR, "snapshot.refused", "org=%.*s doc=%s seq=%llu err=%s",
               ML_PRINT(room->org), ML_LOG_TEXT(room->name), (unsigned long long)room->head,
               ml_err_name(err));
        return;
    }
    room->ops_since = room->bytes_since = 0;
    room->is_putting = true;
    room->put = (struct ml_snapshot_put){
        .org = room->org,
        .name = room->name,
        .seq = room->head,
        .epoch = room->epoch,
        .state = state_blob,
        .state_vector = vector_blob,
        .at_ms = room->rooms->env.wall_ms(room->rooms->env.arg),
        .keep = 3,
        .done = on_snapshot_put,
    };
    ml_journal_put_snapshot(room->rooms->env.journal, &room->put);
}

/** Take the snapshot that the cadence asks for, or the last one of a room that goes. */
void ml_room_consider_snapshot(struct ml_room *room, bool is_last)
{
    if (room->state != ML_ROOM_LIVE || room->is_putting || room->is_read_only || room->is_abandoned)
        return;
    if (is_last) {
        bool wanted = room->rooms->is_draining ? room->policy.on_shutdown : room->policy.on_unload;

        if (!wanted || !room->ops_since)
            return;
    } else if (!room->snapshot_due && !is_due(room)) {
        return;
    }
    if (ml_room_is_staging(room))
        room->snapshot_due = true;
    else
        ml_room_take_snapshot(room);
}
