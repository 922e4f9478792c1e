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

#include <stdlib.h>

#define DUE_MS 1000

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

/* ---- what plugins say ------------------------------------------------------------------------ */

static const char *trigger_of(const struct ml_room *room, bool is_last)
{
    const struct ml_snapshot_policy *p = &room->policy;

    if (is_last)
        return room->rooms->is_draining ? "shutdown" : "unload";
    if (p->every_ops && room->ops_since >= p->every_ops)
        return "ops";
    if (p->every_bytes && room->bytes_since >= p->every_bytes)
        return "bytes";
    if (p->idle_ms && ml_room_now(room) - room->changed_at_ms >= p->idle_ms)
        return "idle";
    return "every";
}

static struct ml_script_snapshot facts(const struct ml_room *room, const char *trigger)
{
    return (struct ml_script_snapshot){
        .document = room->name,
        .name = ML_SLICE(""),
        .seq = room->head,
        .bytes = room->bytes_since,
        .ops = room->ops_since,
        .at_ms = room->rooms->env.wall_ms(room->rooms->env.arg),
        .age_ms = ml_room_now(room) - room->snapshot_at_ms,
        .idle_ms = ml_room_now(room) - room->changed_at_ms,
        .trigger = ml_slice_str(trigger),
        .authors = ml_room_writers(room),
    };
}

/* At most once a second, of a document that has changed. */
static bool is_wanted(struct ml_room *room)
{
    struct ml_script *script;
    struct ml_script_snapshot s;

    if (!room->ops_since || ml_room_now(room) - room->asked_due_ms < DUE_MS ||
        ml_room_now(room) - room->snapshot_at_ms < room->policy.min_gap_ms)
        return false;
    room->asked_due_ms = ml_room_now(room);
    script = ml_room_script(room);
    if (!script || !(ml_script_hooks(script) & ML_HOOK_SNAPSHOT_DUE))
        return false;
    s = facts(room, trigger_of(room, false));
    return ml_script_snapshot_due(script, &s);
}

/* Name and labels of the one that is about to be taken. False: not now. */
static bool ask_plugins(struct ml_putting *putting, const char *trigger)
{
    struct ml_room *room = putting->room;
    struct ml_script *script = ml_room_script(room);
    uint64_t hooks = script ? ml_script_hooks(script) : 0;
    struct ml_arena *scratch = &room->rooms->scratch;
    struct ml_slice name = {0}, labels = {0};
    struct ml_script_snapshot s = facts(room, trigger);
    struct ml_blob *texts = NULL;
    bool may = true;

    if (!(hooks & (ML_HOOK_SNAPSHOT_NAME | ML_HOOK_BEFORE_SNAPSHOT)))
        return true;
    if (hooks & ML_HOOK_BEFORE_SNAPSHOT)
        may = ml_script_before_snapshot(script, &s, scratch, &labels);
    s.labels = labels;
    if (may && (hooks & ML_HOOK_SNAPSHOT_NAME))
        name = ml_script_snapshot_name(script, &s, scratch);
    if (may && name.len + labels.len)
        texts = ml_blob_alloc(name.len + labels.len);
    if (texts) {
        memcpy(texts->bytes, name.ptr ? name.ptr : texts->bytes, name.len);
        memcpy(texts->bytes + name.len, labels.ptr ? labels.ptr : texts->bytes, labels.len);
        putting->put.version_name = ml_slice_make(texts->bytes, name.len);
        putting->put.labels = ml_slice_make(texts->bytes + name.len, labels.len);
    }
    putting->texts = texts;
    ml_arena_reset(scratch);
    return may;
}

static void tell_plugins(struct ml_room *room, const struct ml_snapshot_put *put)
{
    struct ml_script *script = ml_room_script(room);
    const struct ml_script_snapshot s = {
        .document = room->name,
        .name = ml_slice_str(put->name_out),
        .labels = put->labels,
        .version = put->version,
        .seq = put->seq,
        .bytes = put->state->len,
        .at_ms = put->at_ms,
    };

    if (script)
        ml_script_after_snapshot(script, &s);
    ml_room_keep_house(room, put->seq);
}

static void free_putting(struct ml_putting *putting)
{
    ml_blob_unref(putting->put.state);
    ml_blob_unref(putting->put.state_vector);
    ml_blob_unref(putting->texts);
    free(putting);
}

/** For simulations: the answer will not come. */
void ml_room_forget_snapshot(struct ml_room *room)
{
    free_putting(room->putting);
    room->putting = NULL;
}

static void on_snapshot_put(struct ml_snapshot_put *put)
{
    struct ml_putting *putting = ML_CONTAINER(put, struct ml_putting, put);
    struct ml_room *room = putting->room;

    room->is_putting = false;
    room->putting = NULL;
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
        tell_plugins(room, put);
    }
    free_putting(putting);
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

/* All of them, where retention has a say. */
static uint32_t how_many(struct ml_room *room)
{
    struct ml_script *script = ml_room_script(room);

    return script && (ml_script_hooks(script) & ML_HOOK_RETAIN) ? UINT32_MAX : 3;
}

/* The state of the document, verified, as what is put. */
static enum ml_err encode(struct ml_room *room, struct ml_snapshot_put *put)
{
    size_t max_bytes = room->rooms->env.limits.document_bytes * 2;
    struct ml_writer state, vector;
    enum ml_err err;

    ml_writer_init(&state, max_bytes);
    ml_writer_init(&vector, max_bytes);
    err = ml_doc_encode_state(room->doc, ml_slice_make(NULL, 0), &state);
    if (!err)
        err = verify(room, ml_writer_slice(&state));
    ml_doc_state_vector(room->doc, &vector);
    if (!err)
        err = state.err ? state.err : vector.err;
    if (!err) {
        put->state = ml_blob_new(ml_writer_slice(&state));
        put->state_vector = ml_blob_new(ml_writer_slice(&vector));
        err = put->state && put->state_vector ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&state);
    ml_writer_release(&vector);
    return err;
}

/* Nothing may be staged. Cost: one encode, one load and one encode of the document. */
static void take_snapshot(struct ml_room *room, const char *trigger)
{
    struct ml_putting *putting = calloc(1, sizeof *putting);
    enum ml_err err;

    room->snapshot_due = false;
    room->snapshot_at_ms = ml_room_now(room); /* also after a failure: the next try has its gap */
    if (!putting) {
        room->rooms->stats.snapshot_errors++;
        return;
    }
    putting->room = room;
    if (!ask_plugins(putting, trigger)) {
        free_putting(putting);
        return;
    }
    err = ml_room_wake(room);
    ml_desk_keep_no_more(room->desk); /* what was deleted is in no snapshot */
    if (!err)
        err = encode(room, &putting->put);
    if (err) {
        free_putting(putting);
        room->rooms->stats.snapshot_errors++;
        ml_log(ML_LOG_ERROR, "snapshot.refused", "org=%.*s doc=%s seq=%llu err=%s",
               ML_PRINT(room->org), ML_LOG_TEXT(room->name), (unsigned long long)room->head,
               ml_err_name(err));
        return;
    }
    room->ops_since = room->bytes_since = 0;
    ml_room_forget_writers(room);
    room->is_putting = true;
    room->putting = putting;
    putting->put.org = room->org;
    putting->put.name = room->name;
    putting->put.seq = room->head;
    putting->put.epoch = room->epoch;
    putting->put.at_ms = room->rooms->env.wall_ms(room->rooms->env.arg);
    putting->put.keep = how_many(room);
    putting->put.done = on_snapshot_put;
    ml_journal_put_snapshot(room->rooms->env.journal, &putting->put);
}

/** The one that was due, now that nothing is staged. */
void ml_room_take_snapshot(struct ml_room *room)
{
    take_snapshot(room, trigger_of(room, false));
}

/** Take the snapshot that the cadence asks for, or the last one of a room that goes. */
void ml_room_consider_snapshot(struct ml_room *room, bool is_last)
{
    const char *trigger = trigger_of(room, is_last);

    if (room->state != ML_ROOM_LIVE || room->is_putting || room->is_read_only || room->is_abandoned)
        return;
    if (is_last) {
        bool wanted = room->rooms->is_draining ? room->policy.on_shutdown : room->policy.on_unload;

        if (!wanted || !room->ops_since)
            return;
    } else if (!room->snapshot_due && !is_due(room) && !is_wanted(room)) {
        return;
    }
    if (ml_room_is_staging(room))
        room->snapshot_due = true;
    else
        take_snapshot(room, trigger);
}
