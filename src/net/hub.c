/* SPDX-License-Identifier: MIT */
/*
 * Parcels from loop to loop.
 *
 *   any loop    ml_hub_post --(mutex)--> inbox of loop B --(uv_async)--> on_async: opens them in
 * order
 *
 * However many parcels a turn has for one loop, it is one lock and at most one wake-up. Wake-ups
 * coalesce, so the whole inbox is emptied each time. All inboxes are there before the first thread
 * runs; each ends on its own loop, and what comes later is opened as for a loop that has ended.
 */
#include "net/hub.h"

#include "base/assert.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

struct inbox {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct ml_list parcels;            /* under the mutex */
    bool is_open;                      /* under the mutex */
    struct ml_rooms_stats rooms_stats; /* under the mutex, as published */
    struct ml_net_stats net_stats;     /* likewise */
    /* the loop's: */
    struct ml_rooms *rooms;
    struct ml_net *net;
};

struct ml_hub {
    unsigned count;
    struct ml_shared shared;
    struct inbox inboxes[];
};

static void lock(pthread_mutex_t *mutex)
{
    ML_ASSERT(pthread_mutex_lock(mutex) == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    ML_ASSERT(pthread_mutex_unlock(mutex) == 0);
}

void ml_shared_init(struct ml_shared *shared)
{
    ML_ASSERT(pthread_mutex_init(&shared->mutex, NULL) == 0);
    ml_hashmap_init(&shared->addresses);
    ml_doubts_init(&shared->doubts);
    shared->facts = ml_facts_new();
    if (getrandom(&shared->tag, sizeof shared->tag, 0) != (ssize_t)sizeof shared->tag)
        shared->tag = 0;
    ml_counts_init(&shared->counts);
    shared->sessions = 0;
    shared->is_ready = true;
}

void ml_shared_release(struct ml_shared *shared)
{
    ml_hashmap_release(&shared->addresses);
    ml_doubts_release(&shared->doubts);
    ml_facts_free(shared->facts);
    ml_counts_release(&shared->counts);
    for (size_t i = 0; i < ML_LOOPS_MAX; i++)
        free(shared->plugins[i].rows);
    ML_ASSERT(pthread_mutex_destroy(&shared->mutex) == 0);
}

struct ml_hub *ml_hub_new(unsigned loops)
{
    struct ml_hub *hub = calloc(1, sizeof *hub + loops * sizeof *hub->inboxes);

    if (!hub)
        return NULL;
    hub->count = loops;
    ml_shared_init(&hub->shared);
    for (unsigned i = 0; i < loops; i++) {
        ml_list_init(&hub->inboxes[i].parcels);
        ML_ASSERT(pthread_mutex_init(&hub->inboxes[i].mutex, NULL) == 0);
    }
    (void)ml_hash_bytes(ML_SLICE("")); /* its key is made by the first call */
    return hub;
}

void ml_hub_free(struct ml_hub *hub)
{
    if (!hub)
        return;
    for (unsigned i = 0; i < hub->count; i++) {
        ML_ASSERT(!hub->inboxes[i].is_open);
        ML_ASSERT(pthread_mutex_destroy(&hub->inboxes[i].mutex) == 0);
    }
    ml_shared_release(&hub->shared);
    free(hub);
}

static void open_all(struct ml_list *parcels, struct ml_rooms *rooms)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(parcels)) != NULL) {
        struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

        parcel->open(parcel, rooms);
    }
}

static void take(struct inbox *inbox, struct ml_list *out)
{
    ml_list_init(out);
    lock(&inbox->mutex);
    ml_list_splice(out, &inbox->parcels);
    unlock(&inbox->mutex);
}

static void on_async(uv_async_t *async)
{
    struct inbox *inbox = async->data;
    struct ml_list parcels;

    take(inbox, &parcels);
    open_all(&parcels, inbox->rooms);
}

enum ml_err ml_hub_attach(struct ml_hub *hub, unsigned loop, uv_loop_t *uv, struct ml_rooms *rooms)
{
    struct inbox *inbox = &hub->inboxes[loop];

    ML_ASSERT(loop < hub->count && !inbox->is_open);
    if (uv_async_init(uv, &inbox->async, on_async))
        return ML_EIO;
    inbox->async.data = inbox;
    inbox->rooms = rooms;
    inbox->is_open = true;
    return ML_OK;
}

void ml_hub_post(void *arg, unsigned loop, struct ml_list *parcels)
{
    struct ml_hub *hub = arg;
    struct inbox *inbox = &hub->inboxes[loop];

    ML_ASSERT(loop < hub->count);
    lock(&inbox->mutex);
    if (inbox->is_open) {
        ml_list_splice(&inbox->parcels, parcels);
        (void)uv_async_send(&inbox->async); /* under the mutex: it may close after this */
    }
    unlock(&inbox->mutex);
    open_all(parcels, NULL);
}

void ml_hub_detach(struct ml_hub *hub, unsigned loop)
{
    struct inbox *inbox = &hub->inboxes[loop];
    struct ml_list parcels;

    lock(&inbox->mutex);
    inbox->is_open = false;
    unlock(&inbox->mutex);
    take(inbox, &parcels);
    inbox->rooms = NULL;
    open_all(&parcels, NULL);
    uv_close((uv_handle_t *)&inbox->async, NULL);
}

struct ml_shared *ml_hub_shared(struct ml_hub *hub)
{
    return &hub->shared;
}

struct ml_net *ml_hub_net(struct ml_hub *hub, unsigned loop)
{
    return hub->inboxes[loop].net;
}

void ml_hub_set_net(struct ml_hub *hub, unsigned loop, struct ml_net *net)
{
    hub->inboxes[loop].net = net;
}

unsigned ml_hub_loops(const struct ml_hub *hub)
{
    return hub->count;
}

void ml_hub_publish(struct ml_hub *hub, unsigned loop, const struct ml_rooms_stats *rooms,
                    const struct ml_net_stats *net)
{
    struct inbox *inbox = &hub->inboxes[loop];

    lock(&inbox->mutex);
    inbox->rooms_stats = *rooms;
    inbox->net_stats = *net;
    unlock(&inbox->mutex);
}

/* Both structs are nothing but counts. */
static_assert(sizeof(struct ml_rooms_stats) % sizeof(uint64_t) == 0, "counts of 64 bits");
static_assert(sizeof(struct ml_net_stats) % sizeof(uint64_t) == 0, "counts of 64 bits");

static void add(void *sum, const void *more, size_t size)
{
    uint64_t *to = sum;
    const uint64_t *from = more;

    for (size_t i = 0; i < size / sizeof *to; i++)
        to[i] += from[i];
}

void ml_hub_sum(struct ml_hub *hub, struct ml_rooms_stats *rooms_out, struct ml_net_stats *net_out)
{
    *rooms_out = (struct ml_rooms_stats){0};
    *net_out = (struct ml_net_stats){0};
    for (unsigned i = 0; i < hub->count; i++) {
        struct inbox *inbox = &hub->inboxes[i];

        lock(&inbox->mutex);
        add(rooms_out, &inbox->rooms_stats, sizeof *rooms_out);
        add(net_out, &inbox->net_stats, sizeof *net_out);
        unlock(&inbox->mutex);
    }
}
