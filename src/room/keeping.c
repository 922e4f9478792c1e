/* SPDX-License-Identifier: MIT */
/*
 * What was deleted stays readable for a while, where a policy decides about deletions.
 *
 *   time     |---- 15 s ----|---- 15 s ----|---- ...
 *   history  A keeps ......................A goes
 *                           B keeps ......................B goes
 *
 * A node that is deleted is collected at once, and with it the place where a keystroke belonged
 * that was on its way. Two histories (ml_history) keep in turns what deletes nodes, and nothing
 * else; so a node is there for 15 to 30 s, or until the next update after that.
 */
#include "room/conflict.h"
#include "room/live.h"

#include <stdlib.h>

#define TURN_MS 15000

struct ml_keeping {
    struct ml_doc *doc;              /* borrowed; both histories are of it */
    struct ml_history *histories[2]; /* the one with an origin of its index + 1; NULL: none */
    uint64_t last_tags[2];           /* nothing that it keeps was deleted later */
    uint64_t since_ms;               /* the present turn */
    unsigned turn;
};

static uint64_t now_ms(const struct ml_room *room)
{
    return room->rooms->env.mono_ms(room->rooms->env.arg);
}

static void stop(struct ml_keeping *keeping, struct ml_past *past, unsigned turn)
{
    if (!keeping->histories[turn])
        return;
    ml_history_free(keeping->histories[turn]);
    keeping->histories[turn] = NULL;
    ml_past_forget_nodes(past, keeping->last_tags[turn]);
}

static void start(struct ml_keeping *keeping, unsigned turn)
{
    const uint64_t origin = turn + 1;
    const struct ml_history_options options = {.origins = &origin, .origin_count = 1};

    keeping->histories[turn] = ml_history_new(keeping->doc, &options);
    keeping->turn = turn;
}

bool ml_desk_keeps(const struct ml_desk *desk, const struct ml_doc *doc)
{
    return desk->keeping && desk->keeping->doc == doc;
}

void ml_desk_keep_no_more(struct ml_desk *desk)
{
    if (!desk || !desk->keeping)
        return;
    for (unsigned turn = 0; turn < 2; turn++)
        ml_history_free(desk->keeping->histories[turn]);
    ml_past_forget_nodes(ml_notes_past(desk->notes), UINT64_MAX);
    free(desk->keeping);
    desk->keeping = NULL;
}

/* The origin under which what deletes a node is kept; 0: nothing is. */
static uint64_t keep(struct ml_room *room, struct ml_doc *doc, unsigned decides, uint64_t tag)
{
    struct ml_desk *desk = room->desk;
    struct ml_past *past = ml_notes_past(desk->notes);
    struct ml_keeping *keeping;

    if (desk->keeping && desk->keeping->doc != doc)
        ml_desk_keep_no_more(desk);
    if (!(decides & 1u << ML_COLLISION_DELETE)) {
        ml_desk_keep_no_more(desk);
        return 0;
    }
    if (!desk->keeping) {
        desk->keeping = calloc(1, sizeof *desk->keeping);
        if (!desk->keeping)
            return 0;
        desk->keeping->doc = doc;
        desk->keeping->since_ms = now_ms(room);
        start(desk->keeping, 0);
    }
    keeping = desk->keeping;
    if (now_ms(room) - keeping->since_ms >= 2 * TURN_MS)
        stop(keeping, past, keeping->turn);
    if (now_ms(room) - keeping->since_ms >= TURN_MS) {
        stop(keeping, past, !keeping->turn);
        start(keeping, !keeping->turn);
        keeping->since_ms = now_ms(room);
    }
    if (!keeping->histories[keeping->turn])
        return 0;
    keeping->last_tags[keeping->turn] = tag;
    return keeping->turn + 1;
}

struct ml_collide ml_desk_question(struct ml_room *room, struct ml_doc *doc, uint64_t tag)
{
    unsigned decides = ml_room_decides(room);

    return (struct ml_collide){
        .minds = decides,
        .past = ml_notes_past(room->desk->notes),
        .texts = decides & 1u << ML_COLLISION_BLOCK ? ml_notes_texts(room->desk->notes) : NULL,
        .keep_as = keep(room, doc, decides, tag),
        .tag = tag,
    };
}
