/* SPDX-License-Identifier: MIT */
/*
 *   loop of who asks            loop of the document
 *   ml_rooms_errand -- parcel --> room, loaded if need be --> work --> committed --+
 *        done <------------------------------------- parcel ---------------------+
 *
 * One piece of memory goes there and back. In the room it stands in `errands`, which keeps the room
 * from closing. It is over when all that was staged up to its end has been committed (`settle_at`
 * counts entries of the room, in their order); a task that waits in Lua while its room is given up
 * answers by itself when it comes back.
 *
 *  [V1] on the way, and in a room's list, exactly one place holds it;
 *  [V2] `room` is NULL, or it stands in that room's list.
 */
#include "base/assert.h"
#include "room/live.h"

#include <stdio.h>
#include <stdlib.h>

#define ERRANDS_MAX  256 /* asked by one loop and not answered */
#define ANSWER_BYTES (20u << 20)
#define OPS_BYTES    (64u << 20)

enum state { WAITS, RUNS, SETTLES, CATCHES_UP };

struct errand {
    struct ml_parcel parcel; /* first */
    struct ml_list node;     /* room->errands */
    unsigned from;
    struct ml_rooms *rooms; /* where the document is */
    struct ml_room *room;
    struct ml_errand what; /* texts in the arena */
    enum state state;
    uint64_t settle_at;
    struct ml_work_input input;
    struct ml_script_moment moment;
    struct ml_errand_result result; /* texts in the arena */
    struct ml_arena arena;
};

static void errand_free(struct errand *v)
{
    ml_arena_release(&v->arena);
    free(v);
}

/* ---- the way back -----------------------------------------------------------------------------
 */

static void open_answer(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct errand *v = ML_CONTAINER(parcel, struct errand, parcel);

    if (rooms) {
        rooms->errands_out--;
        v->what.done(v->what.arg, &v->result);
    }
    errand_free(v);
}

/* To the loop it came from; from now on it is that loop's. */
static void go_back(struct errand *v)
{
    struct ml_rooms *rooms = v->rooms;

    if (v->room) {
        ml_list_remove(&v->node);
        v->room->errand_count--;
        if (!v->room->member_count)
            v->room->empty_since_ms = ml_room_now(v->room);
        v->room = NULL;
    }
    v->parcel.open = open_answer;
    ml_rooms_post(rooms, v->from, &v->parcel);
}

static void fail(struct errand *v, enum ml_err err, const char *why)
{
    v->result.err = err;
    if (why)
        v->result.text = ml_arena_copy(&v->arena, ml_slice_str(why));
    go_back(v);
}

/* Its work is done: as soon as what it wrote is durable. */
static void settle(struct errand *v)
{
    struct ml_room *room = v->room;

    if (!room) {
        go_back(v);
        return;
    }
    v->state = SETTLES;
    v->settle_at = room->staged_no;
    ml_room_serve_errands(room);
}

/* ---- work -------------------------------------------------------------------------------------
 */

static void run_ops(struct errand *v)
{
    struct ml_diag diag = {0};
    enum ml_err err;
    char author[160];

    (void)snprintf(author, sizeof author, "plugin:%.*s", ML_PRINT(v->what.instance));
    err = ml_room_run_ops(v->room, ml_slice_str(author), v->what.text, &diag);
    if (err) {
        fail(v, err, diag.text[0] ? diag.text : ml_err_text(err));
        return;
    }
    settle(v);
}

static void keep(struct errand *v, struct ml_slice from, struct ml_slice *to)
{
    *to = ml_arena_copy(&v->arena, from);
    if (!to->ptr)
        v->result.err = ML_ELIMIT;
}

static void on_task(void *arg, const struct ml_work_output *output)
{
    struct errand *v = arg;

    switch (output->end) {
    case ML_WORK_DONE:
        keep(v, output->value, &v->result.text);
        break;
    case ML_WORK_REFUSED:
        v->result.err = ML_EDENIED;
        keep(v, output->kind, &v->result.kind);
        keep(v, output->text, &v->result.text);
        break;
    case ML_WORK_DENIED:
        v->result.err = ML_EDENIED;
        keep(v, output->denial.reason, &v->result.text);
        break;
    default:
        v->result.err = ML_ESCRIPT;
        keep(v, output->text, &v->result.text);
    }
    settle(v);
}

static void run_task(struct errand *v)
{
    struct ml_room *room = v->room;
    struct ml_script *script = ml_room_script(room);
    const struct ml_work *work =
        script ? ml_script_find_work(script, ML_WORK_TASK, v->what.instance, v->what.task) : NULL;

    if (!work) {
        fail(v, ML_ENOTFOUND, "there is no such task for this document");
        return;
    }
    if (ml_room_wake(room) || !ml_room_begin_telling(room)) {
        fail(v, ML_EBUSY, "the document cannot be built");
        return;
    }
    v->moment = ml_room_moment(room, NULL);
    v->input = (struct ml_work_input){.args_json = v->what.text, .at = &v->moment};
    /* It may be over, and gone, when this returns; the room stays until the end of the turn. */
    (void)ml_script_do(script, work, &v->input, on_task, v);
    ml_room_end_telling(room);
}

static void run(struct errand *v)
{
    if (v->what.kind == ML_ERRAND_CATCH_UP) {
        v->state = CATCHES_UP;
        ml_room_serve_errands(v->room);
        return;
    }
    v->state = RUNS;
    if (v->room->is_read_only || v->room->is_abandoned)
        fail(v, ML_EDENIED, "the document cannot be written now");
    else if (v->what.kind == ML_ERRAND_OPS)
        run_ops(v);
    else
        run_task(v);
}

/* Observers are told by the room itself; whoever asked hears when they were. */
static void look_whether_told(struct errand *v)
{
    enum ml_owing owing = ml_room_owing(v->room);

    if (owing == ML_OWES_NOTHING)
        go_back(v);
    else if (owing == ML_OWES_IN_VAIN)
        fail(v, ML_EBUSY, NULL);
}

/** The room is open, has committed or told something: who waited goes on. */
void ml_room_serve_errands(struct ml_room *room)
{
    ML_LIST_EACH(node, &room->errands)
    {
        struct errand *v = ML_CONTAINER(node, struct errand, node);

        if (v->state == SETTLES && room->settled_no >= v->settle_at) {
            v->result.seq = room->head;
            go_back(v);
        } else if (v->state == CATCHES_UP) {
            look_whether_told(v);
        }
    }
}

/** It is there (`exists`), or nobody has ever written it. */
void ml_room_start_errands(struct ml_room *room, bool exists)
{
    struct ml_list *node, todo;

    /* What runs may bring more. */
    ml_list_init(&todo);
    while ((node = ml_list_take_first(&room->errands)) != NULL)
        ml_list_append(&todo, node);
    while ((node = ml_list_take_first(&todo)) != NULL) {
        struct errand *v = ML_CONTAINER(node, struct errand, node);

        ml_list_append(&room->errands, node);
        if (v->state != WAITS)
            continue;
        if (exists)
            run(v);
        else
            fail(v, ML_ENOTFOUND, "there is no such document");
    }
}

/** What is staged will never be committed, or the room could not be loaded. */
void ml_room_end_errands(struct ml_room *room, enum ml_err err)
{
    ML_LIST_EACH(node, &room->errands)
    {
        struct errand *v = ML_CONTAINER(node, struct errand, node);

        if (v->state == RUNS) { /* comes back by itself; what it has written is lost */
            ml_list_remove(&v->node);
            room->errand_count--;
            v->room = NULL;
            v->result.err = ML_ECLOSED;
        } else {
            fail(v, v->state == WAITS ? err : ML_ECLOSED, ml_err_text(err));
        }
    }
}

/* ---- the way there ----------------------------------------------------------------------------
 */

static void open_there(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct errand *v = ML_CONTAINER(parcel, struct errand, parcel);
    struct ml_room *room;

    if (!rooms) {
        errand_free(v);
        return;
    }
    v->rooms = rooms;
    room = rooms->is_draining ? NULL : ml_rooms_find_or_load(rooms, v->what.org, v->what.name);
    if (!room || room->is_abandoned || room->state == ML_ROOM_CLOSING) {
        fail(v, ML_EBUSY, "not now, try again");
        return;
    }
    ml_list_append(&room->errands, &v->node);
    room->errand_count++;
    v->room = room;
    if (room->state == ML_ROOM_LIVE || room->state == ML_ROOM_HELD)
        run(v);
}

static bool copy(struct ml_arena *arena, struct ml_slice *text)
{
    if (!text->ptr)
        *text = ml_slice_make("", 0);
    *text = ml_arena_copy(arena, *text);
    return text->ptr != NULL;
}

enum ml_err ml_rooms_errand(struct ml_rooms *rooms, const struct ml_errand *errand)
{
    unsigned home = ml_document_loop(errand->org, errand->name, rooms->env.loops);
    struct errand *v;

    if (rooms->is_draining || rooms->errands_out >= ERRANDS_MAX)
        return ML_EBUSY;
    v = calloc(1, sizeof *v);
    if (!v)
        return ML_EBUSY;
    ml_arena_init(&v->arena, ANSWER_BYTES + OPS_BYTES);
    v->what = *errand;
    v->from = rooms->env.loop;
    if (!copy(&v->arena, &v->what.org) || !copy(&v->arena, &v->what.name) ||
        !copy(&v->arena, &v->what.instance) || !copy(&v->arena, &v->what.task) ||
        !copy(&v->arena, &v->what.text)) {
        errand_free(v);
        return ML_EBUSY;
    }
    rooms->errands_out++;
    v->parcel.open = open_there;
    ml_rooms_post(rooms, home, &v->parcel);
    return ML_OK;
}
