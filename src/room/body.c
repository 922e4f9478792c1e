/* SPDX-License-Identifier: MIT */
/*
 * What a room has of its document: structs, or only bytes.
 *
 *              on_loaded                     ml_room_wake
 *   (none) ----------------> LOADED  -----------------------------> AWAKE   `doc` holds everything
 *             `rest` holds           somebody's update is news      |   ^
 *             what was loaded                          ml_room_rest |   | ml_room_wake
 *                                         (tick, memory is short)   v   |
 *                                                                  RESTING  `parked`: V2 bytes
 *
 * A document that is only read is never built: a Step1 is answered from its bytes. Bytes cost a
 * fraction of the structs, so a room that nobody has written in for a while rests even while it has
 * members, and it is the oldest of these that give way when memory is short.
 *
 * Answers to a Step1 are kept as finished frames, by state vector: who joins a document that five
 * hundred others are opening gets a reference to the frame that the first one was sent.
 *
 * Invariants:
 *  [Y1] of `doc`, `rest` and `parked` exactly one is there, from LIVE to the end of the room;
 *  [Y2] a room with staged work is awake;
 *  [Y3] an answer is of the document as it is now: the first change forgets them all.
 */
#include "room/live.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>

/* ---- Answers ----------------------------------------------------------------------------------
 */

static void answer_release(struct ml_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        ml_blob_unref(answer->frames[i]);
    free(answer->frames);
    ml_blob_unref(answer->vector);
    *answer = (struct ml_answer){0};
}

/** The document changes: what was answered is history. */
void ml_room_forget_answers(struct ml_room *room)
{
    ml_blob_unref(room->vector);
    room->vector = NULL;
    for (size_t i = 0; i < ML_ANSWERS; i++)
        answer_release(&room->answers[i]);
}

/** Frames that nobody has asked for lately only cost memory. */
void ml_room_drop_old_answers(struct ml_room *room, uint64_t now)
{
    for (size_t i = 0; i < ML_ANSWERS; i++)
        if (room->answers[i].frames && now - room->answers[i].used_ms > ML_ANSWER_MS)
            answer_release(&room->answers[i]);
}

struct ml_answer *ml_room_find_answer(struct ml_room *room, enum ml_dialect dialect,
                                      struct ml_slice vector)
{
    for (size_t i = 0; i < ML_ANSWERS; i++) {
        struct ml_answer *answer = &room->answers[i];

        if (answer->frames && answer->dialect == dialect &&
            ml_slice_equal(ml_blob_slice(answer->vector), vector))
            return answer;
    }
    return NULL;
}

/** Makes place for an answer: the one that was not asked for for the longest time goes. */
struct ml_answer *ml_room_add_answer(struct ml_room *room, enum ml_dialect dialect,
                                     struct ml_slice vector)
{
    struct ml_answer *oldest = &room->answers[0];

    for (size_t i = 1; i < ML_ANSWERS && oldest->frames; i++)
        if (!room->answers[i].frames || room->answers[i].used_ms < oldest->used_ms)
            oldest = &room->answers[i];
    answer_release(oldest);
    oldest->vector = ml_blob_new(vector);
    oldest->dialect = dialect;
    return oldest->vector ? oldest : NULL;
}

/** Takes its own reference. False: out of memory, and the answer is of no use any more. */
bool ml_answer_push(struct ml_answer *answer, struct ml_blob *frame)
{
    struct ml_blob **bigger;

    if (answer->count == answer->cap) {
        size_t cap = answer->cap ? answer->cap * 2 : 1;

        bigger = realloc(answer->frames, cap * sizeof *bigger);
        if (!bigger)
            return false;
        answer->frames = bigger;
        answer->cap = cap;
    }
    answer->frames[answer->count++] = ml_blob_ref(frame);
    return true;
}

void ml_answer_drop(struct ml_answer *answer)
{
    answer_release(answer);
}

/* ---- Structs or bytes -------------------------------------------------------------------------
 */

static size_t weight_of(const struct ml_room *room)
{
    struct ml_doc_stats stats;
    size_t bytes = sizeof *room + room->key.len + room->record_cap * sizeof *room->records +
                   room->presence_cap * sizeof *room->presence +
                   ml_owners_memory_bytes(&room->claims) + room->writers.cap;

    if (room->rest)
        bytes += room->rest->len;
    if (room->parked)
        bytes += ml_parked_memory_bytes(room->parked);
    if (room->doc) {
        ml_doc_stats(room->doc, &stats);
        bytes += stats.memory_bytes;
    }
    for (size_t i = 0; i < ML_ANSWERS; i++)
        for (size_t k = 0; k < room->answers[i].count; k++)
            bytes += room->answers[i].frames[k]->len;
    return bytes;
}

/** What the room costs has changed. Cost: one pass over the clients of the document. */
void ml_room_weigh(struct ml_room *room)
{
    struct ml_rooms *rooms = room->rooms;

    size_t now = weight_of(room);

    rooms->memory_bytes += now - room->memory_bytes;
    rooms->shared->memory_bytes += now - room->memory_bytes;
    room->memory_bytes = now;
}

/** What a holder of `vector` lacks (an empty slice: everything). */
enum ml_err ml_room_write_state(struct ml_room *room, struct ml_slice vector, struct ml_writer *out)
{
    struct ml_rooms *rooms = room->rooms;
    enum ml_err err;

    if (room->doc) {
        err = ml_doc_encode_state(room->doc, vector, out);
    } else if (room->parked) {
        err = ml_parked_encode_state(room->parked, vector, out);
    } else if (vector.len <= 1) {
        ml_write_bytes(out, ml_blob_slice(room->rest)); /* nobody lacks more than everything */
        err = ML_OK;
    } else {
        err = ml_update_diff(ml_blob_slice(room->rest), vector, rooms->env.limits.engine,
                             &rooms->scratch, out, NULL);
        ml_arena_reset(&rooms->scratch);
    }
    return err ? err : out->err;
}

/**
 * Would `more` bytes make the document too large (SEC-LM-11)? The size is measured anew when the
 * sum of what came since the last time says so.
 */
bool ml_room_is_full(struct ml_room *room, size_t more)
{
    size_t most = room->rooms->env.limits.document_bytes;
    struct ml_writer state;

    if (room->state_bytes + more <= most)
        return false;
    ml_writer_init(&state, most * 2);
    if (!ml_room_write_state(room, ml_slice_make(NULL, 0), &state))
        room->state_bytes = state.len;
    ml_writer_release(&state);
    return room->state_bytes + more > most;
}

/** The room takes what was loaded, as bytes; nothing of it is integrated yet. */
enum ml_err ml_room_take_bytes(struct ml_room *room, const struct ml_load *load,
                               struct ml_diag *diag)
{
    struct ml_rooms *rooms = room->rooms;
    const struct ml_engine_limits *limits = rooms->env.limits.engine;
    const struct ml_update *checked;
    struct ml_slice *parts;
    struct ml_writer merged;
    size_t count = 0;
    enum ml_err err;

    if (load->snapshot && !load->count) {
        err = ml_update_decode(&rooms->scratch, ml_blob_slice(load->snapshot), limits, diag,
                               &checked);
        if (!err)
            room->rest = ml_blob_ref(load->snapshot);
        room->state_bytes = load->snapshot->len;
        ml_arena_reset(&rooms->scratch);
        return err;
    }
    ml_writer_init(&merged, rooms->env.limits.document_bytes * 2);
    parts = ml_arena_array(&rooms->scratch, load->count + 1, sizeof *parts);
    if (!parts)
        return ML_ELIMIT;
    if (load->snapshot)
        parts[count++] = ml_blob_slice(load->snapshot);
    for (size_t i = 0; i < load->count; i++)
        parts[count++] = ml_blob_slice(load->records[i].bytes);
    /* A single part is copied without a look. */
    err = count == 1 ? ml_update_decode(&rooms->scratch, parts[0], limits, diag, &checked) : ML_OK;
    if (!err)
        err = ml_updates_merge(parts, count, limits, &rooms->scratch, &merged, diag);
    if (!err)
        err = merged.err;
    if (!err) {
        room->rest = ml_blob_new(ml_writer_slice(&merged));
        room->state_bytes = merged.len;
        err = room->rest ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&merged);
    ml_arena_reset(&rooms->scratch);
    return err;
}

static enum ml_err build(struct ml_slice bytes, const struct ml_doc_options *options,
                         struct ml_doc **doc_out, struct ml_diag *diag)
{
    struct ml_doc *doc = ml_doc_new(options);
    enum ml_err err = doc ? ml_doc_apply_bytes(doc, bytes, diag) : ML_ELIMIT;

    if (err)
        ml_doc_free(doc);
    else
        *doc_out = doc;
    return err;
}

/**
 * Build the document. Answers do not change: it is the same document.
 * @retval ML_ELIMIT, ML_EFORMAT  it cannot be built; it rests as before
 */
enum ml_err ml_room_wake(struct ml_room *room)
{
    const struct ml_room_env *env = &room->rooms->env;
    struct ml_doc_options options = {
        .client = env->random(env->arg) & ML_VARUINT_MAX,
        .limits = env->limits.engine,
    };
    struct ml_diag diag = {0};
    struct ml_doc *doc;
    enum ml_err err;

    if (room->doc)
        return ML_OK;
    err = room->parked ? ml_parked_wake(room->parked, &options, &doc)
                       : build(ml_blob_slice(room->rest), &options, &doc, &diag);
    if (err) {
        ml_log(ML_LOG_ERROR, "room.unreadable", "org=%.*s doc=%s err=%s why=%s",
               ML_PRINT(room->org), ML_LOG_TEXT(room->name), ml_err_name(err),
               ML_LOG_TEXT(ml_slice_str(diag.text)));
        return err;
    }
    room->doc = doc;
    ml_blob_unref(room->rest);
    room->rest = NULL;
    ml_parked_free(room->parked);
    room->parked = NULL;
    room->rooms->stats.wakes++;
    ml_room_touch(room);
    ml_room_weigh(room);
    return ML_OK;
}

/** Only bytes from now on, if that is possible at this moment. Cost: two encodes. */
void ml_room_rest(struct ml_room *room)
{
    if (!room->doc || room->state != ML_ROOM_LIVE || ml_room_is_staging(room) ||
        room->is_read_only || room->is_abandoned || ml_doc_is_broken(room->doc))
        return;
    ml_desk_keep_no_more(room->desk);
    if (ml_doc_park(room->doc, &room->parked)) /* what waits for others has an age: not now */
        return;
    ml_doc_free(room->doc);
    room->doc = NULL;
    free(room->records); /* nothing is staged [Y2] */
    room->records = NULL;
    room->record_cap = 0;
    room->rooms->stats.rests++;
    ml_room_touch(room);
    ml_room_weigh(room);
}

/** Made once per version of the document. Borrowed until it changes. */
enum ml_err ml_room_state_vector(struct ml_room *room, struct ml_slice *vector_out)
{
    struct ml_writer out;
    enum ml_err err = ML_OK;

    if (!room->vector) {
        ml_writer_init(&out, room->rooms->env.limits.document_bytes);
        if (room->doc)
            ml_doc_state_vector(room->doc, &out);
        else if (room->parked)
            err = ml_parked_state_vector(room->parked, &out);
        else
            err = ml_update_state_vector(ml_blob_slice(room->rest), room->rooms->env.limits.engine,
                                         &out, NULL);
        if (!err)
            err = out.err;
        if (!err)
            room->vector = ml_blob_new(ml_writer_slice(&out));
        ml_writer_release(&out);
    }
    if (err || !room->vector)
        return err ? err : ML_ELIMIT;
    *vector_out = ml_blob_slice(room->vector);
    return ML_OK;
}
