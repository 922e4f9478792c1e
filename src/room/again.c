/* SPDX-License-Identifier: MIT */
/*
 * The end of a burst, said again. Of news that are lost the next ones tell (their first is not what
 * is expected); after the last ones of a burst nothing comes, and only the heads that are looked at
 * every 10 s would. So the number of the last record follows it, without its bytes, until it is
 * likely that everybody has heard it; who has the record drops it, who has not reads the journal.
 *
 *   commit --> records 7 … 9 ... 0.6 s ... 9? ... 9? ... 9?        a commit in between begins anew
 *
 * `recent` holds the rooms that have something to say, the one that is due first first: all wait
 * equally long. What a second costs: at most TIMES small news per document that was written to.
 */
#include "room/live.h"

#define AGAIN_MS 600
#define TIMES    3

static void say(struct ml_room *room)
{
    const struct ml_news news = {
        .kind = ML_NEWS_RECORDS,
        .org = room->org,
        .name = room->name,
        .epoch = room->epoch,
        .first = room->told_last,
        .last = room->told_last,
    };

    room->again--;
    ml_bus_tell(room->rooms->env.bus, &news);
}

static void line_up(struct ml_room *room)
{
    ml_list_remove(&room->recent);
    room->again_at_ms = ml_room_now(room) + AGAIN_MS;
    ml_list_append(&room->rooms->recent, &room->recent);
}

/** Others were told of records up to `last`. There is a bus. */
void ml_room_tell_again(struct ml_room *room, uint64_t last)
{
    if (ml_bus_is_local(room->rooms->env.bus))
        return;
    room->told_last = last;
    room->again = TIMES;
    line_up(room);
}

/** The room goes: what it has to say is said now. */
void ml_room_tell_at_last(struct ml_room *room)
{
    if (ml_list_is_linked(&room->recent))
        say(room);
    ml_list_remove(&room->recent);
}

void ml_rooms_tick_again(struct ml_rooms *rooms, uint64_t now)
{
    ML_LIST_EACH(node, &rooms->recent)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, recent);

        if (room->again_at_ms > now)
            return;
        say(room);
        if (room->again)
            line_up(room);
        else
            ml_list_remove(&room->recent);
    }
}
