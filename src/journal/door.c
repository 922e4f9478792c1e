/* SPDX-License-Identifier: MIT */
/*
 * A journal seen from another loop.
 *
 *   loop B      ml_journal_append(door) --> the journal's own queue --> its threads
 *   loop B      done() <-- on_async <-- door.answers <-- ml_door_answer (on whatever thread)
 *
 * A door holds nothing but what was asked and not answered yet, so it may close when that is zero.
 */
#include "journal/journal.h"

#include "base/assert.h"
#include "journal/request.h"

#include <pthread.h>
#include <stdlib.h>

struct ml_door {
    struct ml_journal base;
    struct ml_journal *inner;
    uv_async_t async;
    pthread_mutex_t mutex;
    struct ml_list answers; /* under the mutex */
    /* the loop's: */
    size_t asked; /* and not answered */
    bool is_ended;
    void (*on_closed)(void *arg); /* closing: NULL: not asked for */
    void *on_closed_arg;
};

static struct ml_door *door_of(struct ml_journal *journal)
{
    return ML_CONTAINER(journal, struct ml_door, base);
}

static void lock(struct ml_door *door)
{
    ML_ASSERT(pthread_mutex_lock(&door->mutex) == 0);
}

static void unlock(struct ml_door *door)
{
    ML_ASSERT(pthread_mutex_unlock(&door->mutex) == 0);
}

void ml_door_answer(struct ml_journal_node *node)
{
    struct ml_door *door = node->door;

    /* Under the mutex also the waking: once the answers are taken, the door may be closed. */
    lock(door);
    ml_list_append(&door->answers, &node->link);
    (void)uv_async_send(&door->async);
    unlock(door);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ml_door *door = handle->data;
    void (*done)(void *arg) = door->on_closed;
    void *arg = door->on_closed_arg;

    ML_ASSERT(pthread_mutex_destroy(&door->mutex) == 0);
    free(door);
    done(arg);
}

static void end_if_quiet(struct ml_door *door)
{
    if (!door->on_closed || door->asked || door->is_ended)
        return;
    door->is_ended = true;
    lock(door); /* whoever gave the last answer has let go of it */
    unlock(door);
    uv_close((uv_handle_t *)&door->async, on_handle_closed);
}

static void on_async(uv_async_t *async)
{
    struct ml_door *door = async->data;
    struct ml_list answers, *link;

    ml_list_init(&answers);
    lock(door);
    ml_list_splice(&answers, &door->answers);
    unlock(door);
    while ((link = ml_list_take_first(&answers)) != NULL) {
        door->asked--;
        ml_request_answer(ml_node_of(link));
    }
    end_if_quiet(door);
}

/* Through the inner journal's queues, with a mark that says where the answer belongs. */
static struct ml_journal *pass(struct ml_journal *journal, struct ml_journal_node *node)
{
    struct ml_door *door = door_of(journal);

    ML_ASSERT(!door->is_ended);
    door->asked++;
    node->door = door;
    return door->inner;
}

#define PASS(name, type)                                                                           \
    static void door_##name(struct ml_journal *journal, struct type *request)                      \
    {                                                                                              \
        struct ml_journal *inner = pass(journal, &request->node);                                  \
                                                                                                   \
        inner->ops->name(inner, request);                                                          \
    }

PASS(append, ml_append)
PASS(load, ml_load)
PASS(put_snapshot, ml_snapshot_put)
PASS(list_documents, ml_list_documents)
PASS(set_deleted, ml_set_deleted)
PASS(describe, ml_describe)
PASS(history, ml_history)
PASS(heads, ml_heads)
PASS(versions, ml_versions)
PASS(change_version, ml_version_change)
PASS(compact, ml_compact)
PASS(purges, ml_purges)
PASS(note_purge, ml_purge_note)
PASS(store_look, ml_store_read)
PASS(store_commit, ml_store_write)

static void door_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    ml_journal_stats(door_of(journal)->inner, out);
}

static void door_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    struct ml_door *door = door_of(journal);

    ML_ASSERT(!door->on_closed);
    door->on_closed = done;
    door->on_closed_arg = arg;
    end_if_quiet(door);
}

static const struct ml_journal_ops door_ops = {
    .append = door_append,
    .load = door_load,
    .put_snapshot = door_put_snapshot,
    .list_documents = door_list_documents,
    .set_deleted = door_set_deleted,
    .describe = door_describe,
    .history = door_history,
    .heads = door_heads,
    .versions = door_versions,
    .change_version = door_change_version,
    .compact = door_compact,
    .purges = door_purges,
    .note_purge = door_note_purge,
    .store_look = door_store_look,
    .store_commit = door_store_commit,
    .stats = door_stats,
    .close = door_close,
};

enum ml_err ml_journal_attach(struct ml_journal *journal, uv_loop_t *loop,
                              struct ml_journal **door_out)
{
    struct ml_door *door = calloc(1, sizeof *door);

    if (!door)
        return ML_ELIMIT;
    if (uv_async_init(loop, &door->async, on_async)) {
        free(door);
        return ML_EIO;
    }
    door->base.ops = &door_ops;
    door->inner = journal;
    door->async.data = door;
    ml_list_init(&door->answers);
    ML_ASSERT(pthread_mutex_init(&door->mutex, NULL) == 0);
    *door_out = &door->base;
    return ML_OK;
}
