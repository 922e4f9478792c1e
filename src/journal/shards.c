/* SPDX-License-Identifier: MIT */
/*
 * Several primaries behind one journal: a request goes to the one where its org lives.
 *
 *   any loop   append ---> route of the org known ------------------------> shard's own queues
 *                      \-> not known: parked --> finder thread (blocks) --^
 *   loop 0     heads of many, purges of all: asked everywhere, answered when all have answered
 *
 * Each shard is a journal of its own with its own threads, so one that is down holds up nobody
 * else's orgs. What is known of an org is a cache: the database that has it says so
 * (shards_find.c). A request that comes back because its org lives elsewhere now, or is held on its
 * way there, is parked again; who asks meanwhile waits behind it.
 *
 * Invariants, under `mutex`:
 *  [H1] a request is parked in one route, or a shard's, or answered;
 *  [H2] requests of one org reach their shard in the order in which they were made;
 *  [H3] a route with parked requests is in `to_find` or `to_wait`, or in the finder's hands, or
 *       waits until the last of its requests is back from where its org was (`out`).
 */
#include "journal/shards.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "journal/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define ROUTES_MAX      100000
#define PARKED_MAX      20000
#define PLACE_MS        5000
#define HELD_AGAIN_MS   10 /* an org that moves at this moment is asked about again */
#define PURGE_SHARD(id) ((unsigned)((id) >> ML_PURGE_ID_BITS))

struct route {
    struct ml_list link;     /* in to_find, or to_wait */
    struct ml_list returned; /* came back; they were asked before those that are parked */
    struct ml_list parked;
    int shard;  /* -1: not known */
    size_t out; /* at that shard */
    bool is_queued;
    size_t org_len;
    char org[];
};

struct shards {
    struct ml_journal base;
    struct ml_shard_list list;
    struct ml_shard_finder *finder;
    struct ml_journal *inner[ML_SHARDS_MAX];
    uv_async_t async;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t finder_wakes, placed;
    /* under the mutex: */
    struct ml_hashmap routes;
    struct ml_list to_find, to_wait, answers;
    size_t parked;
    bool is_closing, finder_ended;
    unsigned next_take;
    struct ml_slice placing; /* an org that loop 0 is asked about */
    bool is_placing;
    size_t placed_at;
    /* loop 0's: */
    ml_journal_placer placer;
    void *placer_arg;
    bool is_joined;
    size_t open; /* shards not closed yet */
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

static struct shards *shards_of(struct ml_journal *journal)
{
    return ML_CONTAINER(journal, struct shards, base);
}

static void lock(struct shards *s)
{
    ML_ASSERT(pthread_mutex_lock(&s->mutex) == 0);
}

static void unlock(struct shards *s)
{
    ML_ASSERT(pthread_mutex_unlock(&s->mutex) == 0);
}

/* ---- What a request is about ------------------------------------------------------------------
 */

/* Does an org that does not exist yet begin with it? */
static bool begins_org(const struct ml_journal_node *node)
{
    return node->kind == ML_REQUEST_APPEND || node->kind == ML_REQUEST_STORE_WRITE;
}

static void pass(struct shards *s, unsigned shard, struct ml_journal_node *node)
{
    struct ml_journal *to = s->inner[shard];

    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_APPEND:
        to->ops->append(to, ml_append_of(node));
        break;
    case ML_REQUEST_LOAD:
        to->ops->load(to, ml_load_of(node));
        break;
    case ML_REQUEST_SNAPSHOT:
        to->ops->put_snapshot(to, ml_snapshot_of(node));
        break;
    case ML_REQUEST_LIST:
        to->ops->list_documents(to, ml_list_of(node));
        break;
    case ML_REQUEST_SET_DELETED:
        to->ops->set_deleted(to, ml_set_deleted_of(node));
        break;
    case ML_REQUEST_DESCRIBE:
        to->ops->describe(to, ml_describe_of(node));
        break;
    case ML_REQUEST_HISTORY:
        to->ops->history(to, ml_history_of(node));
        break;
    case ML_REQUEST_HEADS:
        to->ops->heads(to, ml_heads_of(node));
        break;
    case ML_REQUEST_VERSIONS:
        to->ops->versions(to, ml_versions_of(node));
        break;
    case ML_REQUEST_CHANGE_VERSION:
        to->ops->change_version(to, ml_version_change_of(node));
        break;
    case ML_REQUEST_COMPACT:
        to->ops->compact(to, ml_compact_of(node));
        break;
    case ML_REQUEST_PURGES:
        to->ops->purges(to, ml_purges_of(node));
        break;
    case ML_REQUEST_NOTE_PURGE:
        to->ops->note_purge(to, ml_purge_note_of(node));
        break;
    case ML_REQUEST_STORE_READ:
        to->ops->store_look(to, ml_store_read_of(node));
        break;
    case ML_REQUEST_STORE_WRITE:
        to->ops->store_commit(to, ml_store_write_of(node));
        break;
    }
}

/* ---- Answers that no shard gives --------------------------------------------------------------
 */

/* Under the mutex. */
static void put_answer(struct shards *s, struct ml_journal_node *node)
{
    if (node->door) {
        ml_door_answer(node);
        return;
    }
    ml_list_append(&s->answers, &node->link);
    (void)uv_async_send(&s->async);
}

static void refuse(struct shards *s, struct ml_journal_node *node, enum ml_err err,
                   const char *text)
{
    ml_request_fail(node, err, text);
    put_answer(s, node);
}

/* ---- Routes -----------------------------------------------------------------------------------
 */

/* Under the mutex: those that nobody waits for go. */
static void forget_routes(struct shards *s)
{
    void *value;
    size_t cursor = 0;
    bool again = true;

    while (again) {
        again = false;
        for (cursor = 0; ml_hashmap_next(&s->routes, &cursor, &value);) {
            struct route *route = value;

            if (route->is_queued || route->out || !ml_list_is_empty(&route->parked))
                continue;
            (void)ml_hashmap_remove(&s->routes, ml_slice_make(route->org, route->org_len));
            free(route);
            again = true; /* the map has changed under the walk */
            break;
        }
    }
}

/* Under the mutex. NULL: out of memory. */
static struct route *route_of(struct shards *s, struct ml_slice org)
{
    struct route *route = ml_hashmap_get(&s->routes, org);

    if (route)
        return route;
    if (s->routes.count >= ROUTES_MAX)
        forget_routes(s);
    route = calloc(1, sizeof *route + org.len + 1);
    if (!route)
        return NULL;
    memcpy(route->org, org.ptr, org.len);
    route->org_len = org.len;
    route->shard = -1;
    ml_list_init(&route->parked);
    ml_list_init(&route->returned);
    if (!ml_hashmap_put(&s->routes, ml_slice_make(route->org, route->org_len), route)) {
        free(route);
        return NULL;
    }
    return route;
}

static void find(struct shards *s, struct route *route)
{
    if (route->is_queued || route->out)
        return;
    route->is_queued = true;
    ml_list_append(&s->to_find, &route->link);
    pthread_cond_signal(&s->finder_wakes);
}

static void pass_by(struct shards *s, struct route *route, struct ml_journal_node *node)
{
    node->route = route;
    route->out++;
    pass(s, (unsigned)route->shard, node);
}

static bool has_parked(const struct route *route)
{
    return !ml_list_is_empty(&route->parked) || !ml_list_is_empty(&route->returned);
}

/* On a thread of the shard: see ml_threads_return. */
static bool on_return(void *arg, struct ml_journal_node *node)
{
    struct shards *s = arg;
    struct route *route = node->route;
    bool is_kept = false;

    if (!route)
        return false;
    lock(s);
    node->route = NULL;
    route->out--;
    if (node->is_astray && !s->is_closing) {
        is_kept = true;
        node->is_astray = node->refused = false;
        ml_request_fail(node, ML_OK, "");
        ml_list_append(&route->returned, &node->link);
        s->parked++;
        route->shard = -1;
    }
    if (!route->out && has_parked(route))
        find(s, route);
    unlock(s);
    return is_kept;
}

/* What belongs to no org ("-": the nodes' own) is on the first primary. */
static bool is_ours(struct ml_slice org)
{
    return !org.len || ml_slice_equal(org, ML_SLICE("-"));
}

static void route_request(struct shards *s, struct ml_journal_node *node)
{
    struct ml_slice org = ml_request_org(node);
    struct route *route;

    lock(s);
    if (s->is_closing) {
        refuse(s, node, ML_ECLOSED, NULL);
    } else if (is_ours(org)) {
        pass(s, 0, node);
    } else if ((route = route_of(s, org)) == NULL) {
        refuse(s, node, ML_EIO, "out of memory");
    } else if (route->shard >= 0) {
        pass_by(s, route, node);
    } else if (s->parked >= PARKED_MAX) {
        refuse(s, node, node->kind == ML_REQUEST_APPEND ? ML_EBUSY : ML_EIO,
               "too much waits for the primaries");
    } else {
        ml_list_append(&route->parked, &node->link);
        s->parked++;
        find(s, route);
    }
    unlock(s);
}

/* ---- The finder's thread ----------------------------------------------------------------------
 */

static bool wants_place(const struct route *route)
{
    ML_LIST_EACH(link, &route->parked)
    if (begins_org(ml_node_of(link)))
        return true;
    ML_LIST_EACH(link, &route->returned)
    if (begins_org(ml_node_of(link)))
        return true;
    return false;
}

/* Asked on the finder's thread; the plugins' states live on loop 0. */
static size_t ask_placer(void *arg, struct ml_slice org)
{
    struct shards *s = arg;
    struct timespec until;
    size_t answer;
    bool in_time = true;

    lock(s);
    s->placing = org;
    s->is_placing = true;
    s->placed_at = SIZE_MAX;
    (void)uv_async_send(&s->async);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PLACE_MS / 1000;
    while (s->is_placing && in_time)
        in_time = pthread_cond_timedwait(&s->placed, &s->mutex, &until) == 0;
    s->is_placing = false;
    answer = s->placed_at;
    unlock(s);
    return answer;
}

/* Under the mutex. */
static void settle(struct shards *s, struct route *route, enum ml_err err, unsigned shard,
                   const struct ml_diag *diag)
{
    struct ml_list *link;

    if (!err)
        route->shard = (int)shard;
    if (err == ML_ENOTFOUND && wants_place(route)) { /* somebody who writes has come meanwhile */
        find(s, route);
        return;
    }
    while ((link = ml_list_take_first(&route->returned)) != NULL ||
           (link = ml_list_take_first(&route->parked)) != NULL) {
        s->parked--;
        if (!err)
            pass_by(s, route, ml_node_of(link));
        else if (err == ML_ENOTFOUND) /* it is nowhere, which that shard will say */
            pass(s, shard, ml_node_of(link));
        else
            refuse(s, ml_node_of(link), ML_EIO, diag->text);
    }
}

/* Under the mutex, which it gives up. NULL: the end. */
static struct route *next_to_find(struct shards *s)
{
    struct ml_list *link;
    struct timespec until;

    while ((link = ml_list_take_first(&s->to_find)) == NULL) {
        if (s->is_closing && !s->parked)
            return NULL;
        if (ml_list_is_empty(&s->to_wait)) {
            pthread_cond_wait(&s->finder_wakes, &s->mutex);
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += HELD_AGAIN_MS * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        (void)pthread_cond_timedwait(&s->finder_wakes, &s->mutex, &until);
        ml_list_splice(&s->to_find, &s->to_wait);
    }
    return ML_CONTAINER(link, struct route, link);
}

static void *run_finder(void *arg)
{
    struct shards *s = arg;

    lock(s);
    for (;;) {
        struct route *route = next_to_find(s);
        struct ml_diag diag = {0};
        unsigned shard = 0;
        bool may_place;
        enum ml_err err;

        if (!route)
            break;
        may_place = wants_place(route);
        unlock(s);
        err = ml_shard_find(s->finder, ml_slice_make(route->org, route->org_len),
                            may_place ? ask_placer : NULL, s, &shard, &diag);
        lock(s);
        if (err == ML_EBUSY) {
            ml_list_append(&s->to_wait, &route->link);
            continue;
        }
        route->is_queued = false;
        settle(s, route, err, shard, &diag);
    }
    s->finder_ended = true;
    (void)uv_async_send(&s->async);
    unlock(s);
    return NULL;
}

/* ---- Asked everywhere -------------------------------------------------------------------------
 */

/* The parts are answered on loop 0, whoever asked. */
struct heads_part {
    struct heads_gather *gather;
    struct ml_heads heads;
    size_t *at; /* of each item in the original */
};
struct heads_gather {
    struct shards *s;
    struct ml_heads *origin;
    size_t waiting;
    struct heads_part parts[ML_SHARDS_MAX];
};

static void end_heads(struct heads_gather *g)
{
    struct shards *s = g->s;

    for (size_t i = 0; i < s->list.count; i++) {
        free(g->parts[i].heads.items);
        free(g->parts[i].at);
    }
    lock(s);
    put_answer(s, &g->origin->node);
    unlock(s);
    free(g);
}

/* One of the orgs has moved: all of them are looked for again. */
static void forget_homes(struct shards *s, const struct ml_heads *heads)
{
    lock(s);
    for (size_t i = 0; i < heads->count; i++) {
        struct route *route = ml_hashmap_get(&s->routes, heads->items[i].org);

        if (route && !route->is_queued)
            route->shard = -1;
    }
    unlock(s);
}

static void on_heads_part(struct ml_heads *heads)
{
    struct heads_part *part = ML_CONTAINER(heads, struct heads_part, heads);
    struct heads_gather *g = part->gather;

    if (heads->err)
        ml_request_fail(&g->origin->node, heads->err, heads->diag.text);
    if (heads->node.is_astray)
        forget_homes(g->s, heads);
    for (size_t i = 0; i < heads->count && !heads->err; i++)
        g->origin->items[part->at[i]] = heads->items[i];
    if (--g->waiting == 0)
        end_heads(g);
}

static bool add_head(struct heads_part *part, size_t of, const struct ml_doc_head *item, size_t at)
{
    if (!part->heads.items) {
        part->heads.items = calloc(of, sizeof *part->heads.items);
        part->at = calloc(of, sizeof *part->at);
    }
    if (!part->heads.items || !part->at)
        return false;
    part->at[part->heads.count] = at;
    part->heads.items[part->heads.count++] = *item;
    return true;
}

/* Under the mutex. ML_EIO: one of the orgs is not known to be anywhere, and is looked for. */
static enum ml_err split_heads(struct shards *s, struct heads_gather *g)
{
    enum ml_err err = ML_OK;

    for (size_t i = 0; i < g->origin->count; i++) {
        struct route *route = route_of(s, g->origin->items[i].org);

        if (route && route->shard < 0)
            find(s, route);
        if (!route || route->shard < 0 ||
            !add_head(&g->parts[route->shard], g->origin->count, &g->origin->items[i], i))
            err = ML_EIO;
    }
    return err;
}

static void shards_heads(struct ml_journal *journal, struct ml_heads *request)
{
    struct shards *s = shards_of(journal);
    struct heads_gather *g = calloc(1, sizeof *g);
    enum ml_err err = ML_EIO;

    lock(s);
    if (g) {
        *g = (struct heads_gather){.s = s, .origin = request};
        err = s->is_closing ? ML_ECLOSED : split_heads(s, g);
        for (size_t i = 0; i < s->list.count; i++)
            g->waiting += g->parts[i].heads.count > 0;
    }
    unlock(s);
    if (err) {
        ml_request_fail(&request->node, err, "the primary of an org is not known yet");
        if (g)
            end_heads(g);
        return;
    }
    for (size_t i = 0, left = g->waiting; left; i++) {
        struct heads_part *part = &g->parts[i];

        if (!part->heads.count)
            continue;
        left--; /* the last one may end the gathering */
        part->gather = g;
        part->heads.done = on_heads_part;
        ml_journal_heads(s->inner[i], &part->heads);
    }
}

struct purges_gather;
struct purges_part {
    struct purges_gather *gather;
    struct ml_purges purges;
};
struct purges_gather {
    struct shards *s;
    struct ml_purges *origin;
    size_t waiting, failed;
    struct purges_part parts[ML_SHARDS_MAX];
};

static int by_time(const void *a, const void *b)
{
    const struct ml_purge *x = a, *y = b;

    if (x->due_ms != y->due_ms)
        return x->due_ms < y->due_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static enum ml_err merge_purges(struct purges_gather *g)
{
    size_t count = 0, limit = g->origin->limit;
    struct ml_purge *all;
    enum ml_err err;

    for (size_t i = 0; i < g->s->list.count; i++)
        count += g->parts[i].purges.count;
    all = calloc(count + 1, sizeof *all);
    if (!all)
        return ML_ELIMIT;
    count = 0;
    for (size_t i = 0; i < g->s->list.count; i++)
        for (size_t k = 0; k < g->parts[i].purges.count; k++) {
            all[count] = g->parts[i].purges.items[k];
            all[count++].id |= (uint64_t)i << ML_PURGE_ID_BITS;
        }
    qsort(all, count, sizeof *all, by_time);
    err = ml_purges_take(g->origin, all, count < limit ? count : limit);
    free(all);
    return err;
}

/* What can be reached is told; the rest waits. */
static void end_purges(struct purges_gather *g)
{
    struct shards *s = g->s;
    enum ml_err err = g->failed == s->list.count ? ML_EIO : merge_purges(g);

    if (err)
        ml_request_fail(&g->origin->node, err, NULL);
    for (size_t i = 0; i < s->list.count; i++)
        ml_purges_release(&g->parts[i].purges);
    lock(s);
    put_answer(s, &g->origin->node);
    unlock(s);
    free(g);
}

static void on_purges_part(struct ml_purges *purges)
{
    struct purges_gather *g = ML_CONTAINER(purges, struct purges_part, purges)->gather;

    g->failed += purges->err != ML_OK;
    if (--g->waiting == 0)
        end_purges(g);
}

static void shards_purges(struct ml_journal *journal, struct ml_purges *request)
{
    struct shards *s = shards_of(journal);
    struct purges_gather *g = calloc(1, sizeof *g);
    size_t count = s->list.count;
    bool is_closing;

    lock(s);
    is_closing = s->is_closing;
    if (is_closing || !g)
        refuse(s, &request->node, is_closing ? ML_ECLOSED : ML_EIO, NULL);
    unlock(s);
    if (is_closing || !g) {
        free(g);
        return;
    }
    *g = (struct purges_gather){.s = s, .origin = request, .waiting = count};
    for (size_t i = 0; i < count; i++) {
        g->parts[i].gather = g;
        g->parts[i].purges = (struct ml_purges){.limit = request->limit, .done = on_purges_part};
        ml_journal_purges(s->inner[i], &g->parts[i].purges);
    }
}

/* ---- One at a time ----------------------------------------------------------------------------
 */

static void pass_or_close(struct shards *s, unsigned shard, struct ml_journal_node *node)
{
    lock(s);
    if (s->is_closing)
        refuse(s, node, ML_ECLOSED, NULL);
    else
        pass(s, shard, node);
    unlock(s);
}

static void shards_note_purge(struct ml_journal *journal, struct ml_purge_note *note)
{
    struct shards *s = shards_of(journal);

    if (note->act == ML_PURGE_PUSH || !note->count)
        route_request(s, &note->node);
    else /* those of one document, so of one shard */
        pass_or_close(s, PURGE_SHARD(note->ids[0]) % (unsigned)s->list.count, &note->node);
}

static void shards_store_commit(struct ml_journal *journal, struct ml_store_write *write)
{
    struct shards *s = shards_of(journal);
    unsigned shard;

    if (write->org.len) {
        route_request(s, &write->node);
        return;
    }
    lock(s); /* jobs of all orgs: of one shard after the other */
    shard = s->next_take++ % (unsigned)s->list.count;
    unlock(s);
    pass_or_close(s, shard, &write->node);
}

#define SEND(name, type)                                                                           \
    static void shards_##name(struct ml_journal *journal, struct type *request)                    \
    {                                                                                              \
        route_request(shards_of(journal), &request->node);                                         \
    }

SEND(append, ml_append)
SEND(load, ml_load)
SEND(put_snapshot, ml_snapshot_put)
SEND(list_documents, ml_list_documents)
SEND(set_deleted, ml_set_deleted)
SEND(describe, ml_describe)
SEND(history, ml_history)
SEND(versions, ml_versions)
SEND(change_version, ml_version_change)
SEND(compact, ml_compact)
SEND(store_look, ml_store_read)

static void shards_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    struct shards *s = shards_of(journal);

    *out = (struct ml_journal_stats){0};
    for (size_t i = 0; i < s->list.count; i++) {
        struct ml_journal_stats one;

        ml_journal_stats(s->inner[i], &one);
        out->commits += one.commits;
        out->rows += one.rows;
        out->bytes += one.bytes;
        out->errors += one.errors;
        out->from_replicas += one.from_replicas;
        out->not_from_replicas += one.not_from_replicas;
        out->waiting_bytes += one.waiting_bytes;
        ml_histogram_merge(&out->commit_took, &one.commit_took);
    }
}

/* ---- Life and death ---------------------------------------------------------------------------
 */

static void free_shards(struct shards *s)
{
    void *value;
    size_t cursor = 0;

    while (ml_hashmap_next(&s->routes, &cursor, &value))
        free(value);
    ml_hashmap_release(&s->routes);
    ml_shard_finder_free(s->finder);
    ml_shard_list_release(&s->list);
    pthread_cond_destroy(&s->finder_wakes);
    pthread_cond_destroy(&s->placed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void answer_all(struct shards *s)
{
    struct ml_list answers, *link;

    ml_list_init(&answers);
    lock(s);
    ml_list_splice(&answers, &s->answers);
    unlock(s);
    while ((link = ml_list_take_first(&answers)) != NULL)
        ml_request_answer(ml_node_of(link));
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct shards *s = handle->data;
    void (*on_closed)(void *arg) = s->on_closed;
    void *arg = s->on_closed_arg;

    free_shards(s);
    if (on_closed)
        on_closed(arg);
}

static void on_inner_closed(void *arg)
{
    struct shards *s = arg;

    if (--s->open)
        return;
    answer_all(s);
    uv_close((uv_handle_t *)&s->async, on_handle_closed);
}

/* The finder has ended, so nothing is parked. */
static void close_inner(struct shards *s)
{
    s->is_joined = true;
    ML_ASSERT(pthread_join(s->thread, NULL) == 0);
    s->open = s->list.count;
    for (size_t i = 0; i < s->list.count; i++)
        ml_journal_close(s->inner[i], on_inner_closed, s);
}

static void place(struct shards *s)
{
    struct ml_slice names[ML_SHARDS_MAX];

    lock(s);
    if (s->is_placing) {
        for (size_t i = 0; i < s->list.count; i++)
            names[i] = ml_slice_str(s->list.items[i].name);
        if (s->placer)
            s->placed_at = s->placer(s->placer_arg, s->placing, names, s->list.count);
        s->is_placing = false;
        pthread_cond_signal(&s->placed);
    }
    unlock(s);
}

static void on_async(uv_async_t *async)
{
    struct shards *s = async->data;
    bool has_ended;

    place(s);
    answer_all(s);
    lock(s);
    has_ended = s->finder_ended;
    unlock(s);
    if (has_ended && !s->is_joined)
        close_inner(s);
}

static void shards_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    struct shards *s = shards_of(journal);

    lock(s);
    ML_ASSERT(!s->is_closing);
    s->on_closed = done;
    s->on_closed_arg = arg;
    s->is_closing = true;
    pthread_cond_signal(&s->finder_wakes);
    unlock(s);
}

static const struct ml_journal_ops shards_ops = {
    .append = shards_append,
    .load = shards_load,
    .put_snapshot = shards_put_snapshot,
    .list_documents = shards_list_documents,
    .set_deleted = shards_set_deleted,
    .describe = shards_describe,
    .history = shards_history,
    .heads = shards_heads,
    .versions = shards_versions,
    .change_version = shards_change_version,
    .compact = shards_compact,
    .purges = shards_purges,
    .note_purge = shards_note_purge,
    .store_look = shards_store_look,
    .store_commit = shards_store_commit,
    .stats = shards_stats,
    .close = shards_close,
};

void ml_journal_set_placer(struct ml_journal *journal, ml_journal_placer placer, void *arg)
{
    if (journal->ops != &shards_ops)
        return;
    shards_of(journal)->placer = placer;
    shards_of(journal)->placer_arg = arg;
}

static void init_sync(struct shards *s)
{
    pthread_condattr_t monotonic;

    ML_ASSERT(pthread_mutex_init(&s->mutex, NULL) == 0);
    ML_ASSERT(pthread_condattr_init(&monotonic) == 0);
    ML_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    ML_ASSERT(pthread_cond_init(&s->finder_wakes, &monotonic) == 0);
    ML_ASSERT(pthread_cond_init(&s->placed, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    ml_hashmap_init(&s->routes);
    ml_list_init(&s->to_find);
    ml_list_init(&s->to_wait);
    ml_list_init(&s->answers);
}

/* Signals are the loop's business. */
static bool start_finder(struct shards *s)
{
    sigset_t all, before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(&s->thread, NULL, run_finder, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void on_given_up(void *arg)
{
    (void)arg;
}

/* Those that were opened already close by themselves as the loop turns. */
static enum ml_err open_inner(struct shards *s, uv_loop_t *loop, struct ml_diag *diag)
{
    for (size_t i = 0; i < s->list.count; i++) {
        struct ml_diag why = {0};
        enum ml_err err =
            ml_journal_open_postgres_later(&s->list.items[i], loop, &why, &s->inner[i]);

        if (!err) {
            ml_threads_on_return(s->inner[i], on_return, s);
            continue;
        }
        while (i)
            ml_journal_close(s->inner[--i], on_given_up, NULL);
        return ml_diag_set(diag, err, 0, "primary %s: %s", s->list.items[i].name, why.text);
    }
    return ML_OK;
}

enum ml_err ml_journal_open_shards(const char *address, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out)
{
    struct shards *s = calloc(1, sizeof *s);
    enum ml_err err;

    if (!s)
        return ML_ELIMIT;
    s->base.ops = &shards_ops;
    init_sync(s);
    err = ml_shard_list_parse(address, &s->list, diag);
    if (!err) {
        s->finder = ml_shard_finder_new(&s->list);
        err = s->finder ? open_inner(s, loop, diag) : ML_ELIMIT;
    }
    if (err) {
        free_shards(s);
        return err;
    }
    s->async.data = s;
    if (uv_async_init(loop, &s->async, on_async) || !start_finder(s)) {
        for (size_t i = 0; i < s->list.count; i++)
            ml_journal_close(s->inner[i], on_given_up, NULL);
        return ml_diag_set(diag, ML_EIO, 0,
                           "no thread for the primaries"); /* at start-up: it ends */
    }
    *journal_out = &s->base;
    return ML_OK;
}

enum ml_err ml_shards_migrate(const char *address, bool only_look, const char *role,
                              struct ml_migration *out, struct ml_diag *diag)
{
    struct ml_shard_list list;
    enum ml_err err = ml_shard_list_parse(address, &list, diag);

    for (size_t i = 0; i < list.count && !err; i++) {
        struct ml_migration one = {0};

        err = ml_pg_migrate(list.items[i].url, only_look, role, &one, diag);
        if (i == 0 || one.before < out->before)
            *out = one;
    }
    ml_shard_list_release(&list);
    return err;
}
