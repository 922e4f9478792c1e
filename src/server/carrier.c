/* SPDX-License-Identifier: MIT */
#include "server/carrier.h"

#include "base/clock.h"
#include "server/loop.h"

#define NODES_EVERY 10 /* ticks */

static void follow(void *arg, struct ml_slice org, struct ml_slice instance, bool follow)
{
    struct ml_bus *bus = arg;

    if (follow)
        ml_bus_follow(bus, org, instance);
    else
        ml_bus_unfollow(bus, org, instance);
}

static void tell(void *arg, struct ml_slice org, struct ml_slice instance, struct ml_slice bytes)
{
    const struct ml_news news = {
        .kind = ML_NEWS_MESSAGE, .org = org, .name = instance, .bytes = bytes};

    ml_bus_tell(arg, &news);
}

static struct ml_board *board_of(const struct ml_loop *loop)
{
    return ml_shared_board(loop->process->shared);
}

void ml_carrier_begin(struct ml_loop *loop)
{
    if (loop->bus)
        ml_board_set_reach(board_of(loop), ml_bus_bytes_max(loop->bus));
}

static bool is_among(uint64_t id, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* Those of `now` that are not among `before`. */
static void tell_of(struct ml_loop *loop, struct ml_cluster_event event, const uint64_t *now,
                    size_t now_count, const uint64_t *before, size_t before_count)
{
    for (size_t i = 0; i < now_count && loop->cells; i++) {
        event.node = now[i];
        if (!is_among(now[i], before, before_count))
            ml_cells_tell_cluster(loop->cells, &event);
    }
}

static void compare_nodes(struct ml_loop *loop, const uint64_t *ids, size_t count)
{
    const struct ml_cluster_event up = {.kind = ML_CLUSTER_NODE_UP},
                                  down = {.kind = ML_CLUSTER_NODE_DOWN};

    tell_of(loop, up, ids, count, loop->others, loop->other_count);
    tell_of(loop, down, loop->others, loop->other_count, ids, count);
    memcpy(loop->others, ids, count * sizeof *ids);
    loop->other_count = count;
}

/* Every loop has a pulse of its own: one name for those of a process. */
static void count_nodes(struct ml_loop *loop)
{
    uint64_t ids[ML_BOARD_NODES_MAX];
    size_t heard = ml_rooms_nodes(loop->rooms, ids, ML_BOARD_NODES_MAX), count = 0;

    for (size_t i = 0; i < heard; i++) {
        uint64_t id = ids[i] - ids[i] % ML_NODE_LOOPS;

        if (id != loop->process->node && !is_among(id, ids, count))
            ids[count++] = id;
    }
    ml_board_set_others(board_of(loop), ids, count);
    compare_nodes(loop, ids, count);
}

void ml_carrier_tick(struct ml_loop *loop)
{
    const struct ml_board_carrier carrier = {follow, tell, loop->bus};

    if (!loop->bus || ml_bus_is_local(loop->bus))
        return;
    ml_board_carry(board_of(loop), ml_clock_mono_ms(), &carrier);
    if (loop->ticks % NODES_EVERY == 0)
        count_nodes(loop);
}

void ml_carrier_heard(struct ml_loop *loop, const struct ml_news *news)
{
    ml_board_heard(board_of(loop), news->org, news->name, news->bytes);
}
