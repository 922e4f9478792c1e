/* SPDX-License-Identifier: MIT */
/*
 * Which other nodes there are, by their pulses, and whether the bus can be relied on at this
 * moment: then heads are looked at every 10 s, else twice a second (REL-32, REL-33).
 *
 *   heard --(silent for LATE_MS)--> late --(GONE_MS)--> gone: its cursors go
 *     ^------- a pulse ------------- | ---------------- |
 *                                                       +--(DOUBT_MS)--> forgotten
 *
 * Each loop of a node speaks for itself: what is a node here is a loop of one. Loops of this
 * process are among them, and matter little: none has a document of another's.
 *
 * A node that is silent may be dead, or on the other side of a broken network and writing to the
 * same journal: nobody can tell, so its words are looked for as if there were no bus. One that said
 * that it leaves is forgotten without that.
 */
#include "room/live.h"

#define PULSE_LATE_MS 800    /* our own: one of 500 ms is missing */
#define LATE_MS       1300   /* of others: two are, with what loops take */
#define GONE_MS       3500   /* REL-33 */
#define DOUBT_MS      600000 /* whoever died is restarted by then, under another id */

/** A pulse of another node, or its farewell. */
void ml_rooms_node_heard(struct ml_rooms *rooms, const struct ml_news *news, uint64_t now)
{
    struct ml_other_node *nodes = rooms->others.nodes, *place = nodes;

    for (size_t i = 0; i < ML_NODES_MAX; i++) {
        if (nodes[i].id == news->node) {
            place = &nodes[i];
            break;
        }
        if (place->id && (!nodes[i].id || nodes[i].seen_ms < place->seen_ms))
            place = &nodes[i];
    }
    *place =
        (struct ml_other_node){.id = news->node, .seen_ms = now, .is_leaving = news->last != 0};
}

/** The bus is back: who was not heard meanwhile could not be. */
void ml_rooms_nodes_excused(struct ml_rooms *rooms, uint64_t now)
{
    for (size_t i = 0; i < ML_NODES_MAX; i++)
        if (rooms->others.nodes[i].id && !rooms->others.nodes[i].is_gone)
            rooms->others.nodes[i].seen_ms = now;
}

static void tick_node(struct ml_rooms *rooms, struct ml_other_node *node, uint64_t now)
{
    uint64_t silent_ms = now - node->seen_ms;

    if (!node->is_gone && silent_ms >= GONE_MS) {
        node->is_gone = true;
        ML_LIST_EACH(each, &rooms->all)
        ml_room_presence_of_node_gone(ML_CONTAINER(each, struct ml_room, node), node->id);
    }
    if (node->is_gone && (node->is_leaving || silent_ms >= DOUBT_MS))
        node->id = 0;
}

void ml_rooms_tick_nodes(struct ml_rooms *rooms, uint64_t now)
{
    for (size_t i = 0; i < ML_NODES_MAX && rooms->others.is_healthy; i++)
        if (rooms->others.nodes[i].id)
            tick_node(rooms, &rooms->others.nodes[i], now);
}

size_t ml_rooms_nodes(const struct ml_rooms *rooms, uint64_t *ids_out, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < ML_NODES_MAX && count < max; i++) {
        const struct ml_other_node *node = &rooms->others.nodes[i];

        if (node->id && !node->is_gone && !node->is_leaving)
            ids_out[count++] = node->id;
    }
    return count;
}

/** Does everybody's news come, as far as can be told at this moment? */
bool ml_rooms_bus_is_sure(const struct ml_rooms *rooms, uint64_t now)
{
    struct ml_bus_stats stats;

    if (!rooms->others.is_healthy)
        return false;
    ml_bus_stats(rooms->env.bus, &stats);
    if (stats.silent_ms > PULSE_LATE_MS)
        return false;
    for (size_t i = 0; i < ML_NODES_MAX; i++) {
        const struct ml_other_node *node = &rooms->others.nodes[i];

        if (node->id && !node->is_leaving && now - node->seen_ms > LATE_MS)
            return false;
    }
    return true;
}

/** This node goes, on purpose: nobody has to look for what it says. */
void ml_rooms_say_farewell(struct ml_rooms *rooms)
{
    const struct ml_news farewell = {.kind = ML_NEWS_PULSE, .last = 1};

    if (rooms->env.bus)
        ml_bus_tell(rooms->env.bus, &farewell);
}
