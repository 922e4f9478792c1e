/* SPDX-License-Identifier: MIT */
/*
 * The threads and queues of a journal whose store blocks. What is beneath is a backing (SQLite,
 * PostgreSQL): one connection that writes, one that reads, and no thread of its own.
 *
 *   loop          append ----------------------------> to_write ---> writer thread --+
 *                 put_snapshot --> to_read --(packed)----^                           |
 *                 load, list, … -> to_read ---> reader thread ----------------------+
 *                        \-> to_copy ---> copies' thread (where there are replicas) -+
 *                                               \-> to_read, if none is up to date
 *                                                                                    v
 *                 done() <---- on_async <------------------------------------ answers
 *
 * Other loops have doors (door.c): their requests go to the same queues, their answers to them.
 *
 * Group commit: while the writer is inside one transaction, everything that is asked gathers in
 * to_write; the next transaction takes it, up to ML_COMMIT_MAX_RECORDS and ML_COMMIT_MAX_BYTES.
 * An idle writer commits at once. A busy one leaves 5 ms between the beginnings of two commits, so
 * that each holds more: a sync costs as much for one record as for a hundred (ADR 10).
 *
 * The writing connection:
 *
 *                 open                           error in a commit or while tidying
 *    (start) --------------> USABLE ------------------------------------------+
 *                              ^                                             v
 *                              |  open                                POISONED: closed at once,
 *                              +------------------------------------  all of the batch is ML_EIO;
 *                                    after a back-off of 50 ms … 2 s  what arrives meanwhile waits
 *
 * Invariants, under `mutex`:
 *  [Q1] a request is in one of to_write, to_read, answers, or in the hands of one thread;
 *  [Q2] waiting_bytes is the cost of all appends that were not refused and not yet answered;
 *  [Q3] the writer ends only after the reader has ended, so that no snapshot is left over.
 */
#include "journal/threads.h"

#include "base/assert.h"
#include "base/log.h"
#include "journal/pack.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS  2000
#define COMMIT_APART_US  5000

struct threads {
    struct ml_journal base;
    struct ml_backing *backing;
    ml_threads_return returns; /* NULL: nobody wants them back */
    void *returns_arg;
    uv_async_t async;
    pthread_t writer_thread, reader_thread, copier_thread;
    bool has_copier;

    pthread_mutex_t mutex;
    pthread_cond_t writer_wakes, reader_wakes, copier_wakes;
    /* under the mutex: */
    struct ml_list to_write, to_read, to_copy, answers;
    struct ml_journal_stats stats;
    bool closing, writer_ended, reader_ended, copier_ended;

    /* the writer thread's: */
    unsigned failures; /* in a row */
    uint64_t retry_at_ms;
    uint64_t next_commit_us; /* not before, unless the journal closes */
    /* the loop's: */
    bool ended; /* closing, and nothing can be asked any more */
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* What one turn of the writer takes. */
struct batch {
    struct ml_list nodes;
    struct ml_append *appends[ML_COMMIT_MAX_RECORDS]; /* those of them that are tried */
    size_t count;
    struct ml_journal_node *alone; /* or another kind of request, by itself */
};

static struct threads *threads_of(struct ml_journal *journal)
{
    return ML_CONTAINER(journal, struct threads, base);
}

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    (void)nanosleep(&t, NULL); /* a signal ends it early, and no harm is done */
}

static void lock(struct threads *j)
{
    ML_ASSERT(pthread_mutex_lock(&j->mutex) == 0);
}

static void unlock(struct threads *j)
{
    ML_ASSERT(pthread_mutex_unlock(&j->mutex) == 0);
}

/* False: the time is over. The condition's clock is monotonic. */
static bool wait_at_most(struct threads *j, pthread_cond_t *cond, uint64_t wait_ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(cond, &j->mutex, &until) != ETIMEDOUT;
}

/* Under the mutex. Answers for other loops go there at once. */
static void put_answer(struct threads *j, struct ml_journal_node *node)
{
    if (!node->door) {
        ml_list_append(&j->answers, &node->link);
        return;
    }
    if (node->kind == ML_REQUEST_APPEND && !node->refused)
        j->stats.waiting_bytes -= ml_append_cost(ml_append_of(node));
    ml_door_answer(node);
}

static void wake_loop(struct threads *j)
{
    (void)uv_async_send(&j->async); /* fails only on a broken handle */
}

/* Not under the mutex. False: it is to be answered. The request is in no list. */
static bool is_kept(struct threads *j, struct ml_journal_node *node)
{
    bool counts = node->kind == ML_REQUEST_APPEND && !node->refused;
    uint64_t cost = counts ? ml_append_cost(ml_append_of(node)) : 0;

    if (!j->returns || !j->returns(j->returns_arg, node))
        return false;
    lock(j);
    j->stats.waiting_bytes -= cost;
    unlock(j);
    return true;
}

/* --- the writer's connection --- */

static void note_failure(struct threads *j, const struct ml_diag *diag)
{
    unsigned shift = j->failures < 6 ? j->failures : 6;
    uint64_t backoff_ms = (uint64_t)BACKOFF_FIRST_MS << shift;

    if (backoff_ms > BACKOFF_LAST_MS)
        backoff_ms = BACKOFF_LAST_MS;
    j->failures++;
    j->retry_at_ms = now_ms() + backoff_ms;
    ml_log(ML_LOG_ERROR, "journal.failed", "failures=%u retry_ms=%llu what=\"%s\"", j->failures,
           (unsigned long long)backoff_ms, diag->text);
}

/* The connection has failed: never use it again. */
static void poison(struct threads *j, const struct ml_diag *why)
{
    struct ml_diag diag = {0};

    j->backing->ops->close(j->backing, ML_SIDE_WRITE);
    note_failure(j, why);
    if (j->backing->ops->open(j->backing, ML_SIDE_WRITE, &diag))
        ml_log(ML_LOG_ERROR, "journal.reopen_failed", "what=\"%s\"", diag.text);
}

static void tidy(struct threads *j)
{
    struct ml_diag diag = {0};

    if (j->backing->ops->tidy && j->backing->ops->tidy(j->backing, &diag))
        poison(j, &diag);
}

/* --- the writer thread --- */

static void batch_init(struct batch *batch)
{
    ml_list_init(&batch->nodes);
    batch->count = 0;
    batch->alone = NULL;
}

/* Under the mutex. Nothing may pass an append that waits for more but other appends. */
static bool has_hurry(const struct threads *j)
{
    if (j->closing)
        return true;
    ML_LIST_EACH(link, &j->to_write)
    if (ml_node_of(link)->kind != ML_REQUEST_APPEND)
        return true;
    return false;
}

/* Under the mutex. When the first of what waits wants to be taken; 0: now, or nothing waits. */
static uint64_t first_due_ms(const struct threads *j)
{
    uint64_t first = 0;

    if (has_hurry(j))
        return 0;
    ML_LIST_EACH(link, &j->to_write)
    {
        const struct ml_journal_node *node = ml_node_of(link);
        uint64_t due = node->refused ? 0 : ml_append_of(ml_node_of(link))->not_before_ms;

        if (!due)
            return 0;
        first = !first || due < first ? due : first;
    }
    return first;
}

/* Under the mutex. What is due: at least one request, and then whatever fits beside it. */
static void take_batch(struct threads *j, struct batch *batch)
{
    size_t records = 0;
    uint64_t bytes = 0, now = has_hurry(j) ? UINT64_MAX : now_ms();

    ML_LIST_EACH(link, &j->to_write)
    {
        struct ml_journal_node *node = ml_node_of(link);
        struct ml_append *append;

        if (node->refused) {
            ml_list_remove(link);
            ml_list_append(&batch->nodes, link);
            continue;
        }
        if (node->kind != ML_REQUEST_APPEND) {
            if (batch->count)
                return;
            batch->alone = node;
            ml_list_remove(link);
            ml_list_append(&batch->nodes, link);
            return;
        }
        append = ml_append_of(node);
        if (append->not_before_ms > now)
            continue;
        records += append->count;
        bytes += ml_append_cost(append);
        if (batch->count && (records > ML_COMMIT_MAX_RECORDS || bytes > ML_COMMIT_MAX_BYTES))
            return;
        batch->appends[batch->count++] = append;
        node->waits_at = NULL;
        ml_list_remove(link);
        ml_list_append(&batch->nodes, link);
        if (batch->count == ML_COMMIT_MAX_RECORDS)
            return;
    }
}

static enum ml_err commit_batch(struct threads *j, struct batch *batch,
                                struct ml_journal_stats *added, struct ml_diag *diag)
{
    struct ml_backing *backing = j->backing;

    if (!backing->ops->is_open(backing, ML_SIDE_WRITE)) {
        enum ml_err err = backing->ops->open(backing, ML_SIDE_WRITE, diag);

        if (err)
            return err;
    }
    if (batch->alone)
        return backing->ops->commit_alone(backing, batch->alone, diag);
    return backing->ops->commit_appends(backing, batch->appends, batch->count, added, diag);
}

static void write_batch(struct threads *j, struct batch *batch, struct ml_journal_stats *added)
{
    struct ml_diag diag = {0};
    uint64_t began_us = now_us();

    if (!batch->count && !batch->alone)
        return;
    if (commit_batch(j, batch, added, &diag)) {
        /* Nothing that was found out inside the transaction counts, refusals included. */
        ML_LIST_EACH(link, &batch->nodes)
        if (!ml_node_of(link)->refused)
            ml_request_fail(ml_node_of(link), ML_EIO, diag.text);
        added->errors++;
        poison(j, &diag);
    } else {
        if (j->failures)
            ml_log(ML_LOG_WARN, "journal.recovered", "failures=%u", j->failures);
        j->failures = 0;
    }
    if (batch->alone) {
        ml_blob_unref(batch->alone->packed);
        batch->alone->packed = NULL;
    }
    ml_histogram_add(&added->commit_took, now_us() - began_us);
}

/* How long nothing must have been asked before the backing is tidied; 0: it is tidy. */
static unsigned tidy_in_ms(struct threads *j)
{
    return j->backing->ops->tidy_in_ms ? j->backing->ops->tidy_in_ms(j->backing) : 0;
}

/* Under the mutex; gives it up while it waits. */
static void wait_until_due(struct threads *j)
{
    uint64_t due, now;

    while ((due = first_due_ms(j)) > (now = now_ms()))
        (void)wait_at_most(j, &j->writer_wakes, due - now);
}

/* Under the mutex; gives it up while it waits. False: the end. */
static bool wait_for_writing(struct threads *j)
{
    while (ml_list_is_empty(&j->to_write)) {
        if (j->closing && j->reader_ended)
            return false;
        if (!tidy_in_ms(j)) {
            pthread_cond_wait(&j->writer_wakes, &j->mutex);
        } else if (!wait_at_most(j, &j->writer_wakes, tidy_in_ms(j)) &&
                   ml_list_is_empty(&j->to_write)) {
            unlock(j);
            tidy(j);
            lock(j);
        }
    }
    while (j->failures && !j->closing && now_ms() < j->retry_at_ms)
        (void)wait_at_most(j, &j->writer_wakes, j->retry_at_ms - now_ms() + 1);
    wait_until_due(j);
    return true;
}

/* Under the mutex; gives it up while it waits. */
static void leave_time(struct threads *j)
{
    uint64_t now = now_us();

    if (j->closing || now >= j->next_commit_us)
        return;
    unlock(j);
    sleep_us(j->next_commit_us - now);
    lock(j);
}

static void add_stats(struct ml_journal_stats *sum, const struct ml_journal_stats *added)
{
    sum->commits += added->commits;
    sum->rows += added->rows;
    sum->bytes += added->bytes;
    sum->errors += added->errors;
    ml_histogram_merge(&sum->commit_took, &added->commit_took);
}

static void *run_writer(void *arg)
{
    struct threads *j = arg;

    lock(j);
    while (wait_for_writing(j)) {
        struct ml_journal_stats added = {0};
        struct ml_list done;
        struct batch batch;

        ml_list_init(&done);
        batch_init(&batch);
        leave_time(j);
        take_batch(j, &batch);
        unlock(j);
        j->next_commit_us = now_us() + COMMIT_APART_US;
        write_batch(j, &batch, &added);
        ML_LIST_EACH(link, &batch.nodes)
        {
            ml_list_remove(link);
            if (!is_kept(j, ml_node_of(link)))
                ml_list_append(&done, link);
        }
        lock(j);
        add_stats(&j->stats, &added);
        ML_LIST_EACH(link, &done)
        {
            ml_list_remove(link);
            put_answer(j, ml_node_of(link));
        }
        wake_loop(j);
        if (j->backing->ops->is_overdue && j->backing->ops->is_overdue(j->backing)) {
            unlock(j);
            tidy(j);
            lock(j);
        }
    }
    unlock(j);
    if (j->backing->ops->finish)
        j->backing->ops->finish(j->backing);
    j->backing->ops->close(j->backing, ML_SIDE_WRITE);
    lock(j);
    j->writer_ended = true;
    wake_loop(j);
    unlock(j);
    return NULL;
}

/* --- the reader thread --- */

/* True: the request goes on to the writer. */
static bool read_one(struct threads *j, struct ml_journal_node *node)
{
    struct ml_backing *backing = j->backing;
    struct ml_diag diag = {0};
    enum ml_err err = ML_OK;

    if (node->kind == ML_REQUEST_SNAPSHOT) {
        err = ml_snapshot_pack(ml_snapshot_of(node));
        if (err)
            ml_request_fail(node, err, "the snapshot could not be packed");
        return !err;
    }
    if (!backing->ops->is_open(backing, ML_SIDE_READ))
        err = backing->ops->open(backing, ML_SIDE_READ, &diag);
    if (err)
        ml_request_fail(node, ML_EIO, diag.text);
    else
        err = backing->ops->read(backing, node);
    if (err == ML_EIO)
        backing->ops->close(backing, ML_SIDE_READ);
    return false;
}

static void *run_reader(void *arg)
{
    struct threads *j = arg;

    lock(j);
    for (;;) {
        struct ml_list *link = ml_list_take_first(&j->to_read);
        bool goes_on, is_gone;

        if (!link && j->closing && j->copier_ended)
            break;
        if (!link) {
            pthread_cond_wait(&j->reader_wakes, &j->mutex);
            continue;
        }
        unlock(j);
        goes_on = read_one(j, ml_node_of(link));
        is_gone = !goes_on && is_kept(j, ml_node_of(link));
        lock(j);
        if (is_gone)
            continue;
        if (goes_on) {
            ml_list_append(&j->to_write, link);
            pthread_cond_signal(&j->writer_wakes);
        } else {
            put_answer(j, ml_node_of(link));
            wake_loop(j);
        }
    }
    unlock(j);
    j->backing->ops->close(j->backing, ML_SIDE_READ);
    lock(j);
    j->reader_ended = true;
    pthread_cond_signal(&j->writer_wakes);
    unlock(j);
    return NULL;
}

/* --- the copies' thread --- */

static bool may_be_copied(const struct ml_journal_node *node)
{
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_LOAD:
        return ml_load_of((struct ml_journal_node *)(uintptr_t)node)->is_closed;
    case ML_REQUEST_LIST:
    case ML_REQUEST_DESCRIBE:
    case ML_REQUEST_HISTORY:
    case ML_REQUEST_VERSIONS:
        return true;
    default:
        return false;
    }
}

static void *run_copier(void *arg)
{
    struct threads *j = arg;

    lock(j);
    for (;;) {
        struct ml_list *link = ml_list_take_first(&j->to_copy);
        bool is_answered, is_gone;

        if (!link && j->closing)
            break;
        if (!link) {
            pthread_cond_wait(&j->copier_wakes, &j->mutex);
            continue;
        }
        unlock(j);
        is_answered = j->backing->ops->read_copy(j->backing, ml_node_of(link)) != ML_EBUSY;
        is_gone = is_answered && is_kept(j, ml_node_of(link));
        lock(j);
        if (is_gone)
            continue;
        if (is_answered) {
            j->stats.from_replicas++;
            put_answer(j, ml_node_of(link));
            wake_loop(j);
        } else {
            j->stats.not_from_replicas++;
            ml_list_append(&j->to_read, link);
            pthread_cond_signal(&j->reader_wakes);
        }
    }
    unlock(j);
    j->backing->ops->close_copies(j->backing);
    lock(j);
    j->copier_ended = true;
    pthread_cond_signal(&j->reader_wakes);
    unlock(j);
    return NULL;
}

/* --- the loop --- */

static void answer_all(struct threads *j)
{
    struct ml_list answers, *link;

    ml_list_init(&answers);
    lock(j);
    ml_list_splice(&answers, &j->answers);
    ML_LIST_EACH(at, &answers)
    if (ml_node_of(at)->kind == ML_REQUEST_APPEND && !ml_node_of(at)->refused)
        j->stats.waiting_bytes -= ml_append_cost(ml_append_of(ml_node_of(at)));
    unlock(j);
    for (link = ml_list_take_first(&answers); link; link = ml_list_take_first(&answers))
        ml_request_answer(ml_node_of(link));
}

static void free_journal(struct threads *j)
{
    pthread_cond_destroy(&j->copier_wakes);
    pthread_cond_destroy(&j->reader_wakes);
    pthread_cond_destroy(&j->writer_wakes);
    pthread_mutex_destroy(&j->mutex);
    j->backing->ops->free(j->backing);
    free(j);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct threads *j = handle->data;
    void (*on_closed)(void *arg) = j->on_closed;
    void *arg = j->on_closed_arg;

    free_journal(j);
    if (on_closed)
        on_closed(arg);
}

static bool threads_ended(struct threads *j)
{
    bool ended;

    lock(j);
    ended = j->writer_ended && j->reader_ended;
    unlock(j);
    return ended;
}

static bool has_answers(struct threads *j)
{
    bool any;

    lock(j);
    any = !ml_list_is_empty(&j->answers);
    unlock(j);
    return any;
}

static void on_async(uv_async_t *async)
{
    struct threads *j = async->data;

    answer_all(j);
    if (j->ended || !threads_ended(j))
        return;
    ML_ASSERT(pthread_join(j->writer_thread, NULL) == 0);
    ML_ASSERT(pthread_join(j->reader_thread, NULL) == 0);
    if (j->has_copier)
        ML_ASSERT(pthread_join(j->copier_thread, NULL) == 0);
    while (has_answers(j))
        answer_all(j);
    j->ended = true;
    uv_close((uv_handle_t *)async, on_handle_closed);
}

/* `queue`: where the request goes, unless it is refused already or everything is. */
static void enqueue(struct threads *j, struct ml_journal_node *node, struct ml_list *queue,
                    pthread_cond_t *wakes)
{
    ML_ASSERT(!j->ended);
    if (j->closing) {
        ml_request_fail(node, ML_ECLOSED, NULL);
        node->refused = true;
        put_answer(j, node);
        wake_loop(j);
        return;
    }
    ml_list_append(queue, &node->link);
    pthread_cond_signal(wakes);
}

/* Something that only reads, and where: a copy if there is one, and it may. */
static void enqueue_read(struct threads *j, struct ml_journal_node *node)
{
    if (j->has_copier && may_be_copied(node))
        enqueue(j, node, &j->to_copy, &j->copier_wakes);
    else
        enqueue(j, node, &j->to_read, &j->reader_wakes);
}

static void threads_append(struct ml_journal *journal, struct ml_append *append)
{
    struct threads *j = threads_of(journal);
    uint64_t cost = ml_append_cost(append);

    lock(j);
    if (!j->closing && cost > ML_WAITING_MAX_BYTES - j->stats.waiting_bytes) {
        /* Through the queue all the same, so that answers keep their order. */
        ml_request_fail(&append->node, cost > ML_WAITING_MAX_BYTES ? ML_ELIMIT : ML_EBUSY, NULL);
        append->node.refused = true;
    } else if (!j->closing) {
        j->stats.waiting_bytes += cost;
        append->node.waits_at = journal;
    }
    enqueue(j, &append->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static bool threads_grow(struct ml_journal *journal, struct ml_append *append,
                         struct ml_record *records, size_t count)
{
    struct threads *j = threads_of(journal);
    bool grows;

    lock(j);
    grows = append->node.waits_at == journal && /* the writer has not come yet */
            ml_append_grow(append, records, count, &j->stats.waiting_bytes);
    unlock(j);
    return grows;
}

static void threads_load(struct ml_journal *journal, struct ml_load *load)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &load->node);
    unlock(j);
}

static void threads_put_snapshot(struct ml_journal *journal, struct ml_snapshot_put *put)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &put->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void threads_list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &list->node);
    unlock(j);
}

static void threads_set_deleted(struct ml_journal *journal, struct ml_set_deleted *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void threads_describe(struct ml_journal *journal, struct ml_describe *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &request->node);
    unlock(j);
}

static void threads_history(struct ml_journal *journal, struct ml_history *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &request->node);
    unlock(j);
}

static void threads_heads(struct ml_journal *journal, struct ml_heads *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &request->node);
    unlock(j);
}

static void threads_versions(struct ml_journal *journal, struct ml_versions *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &request->node);
    unlock(j);
}

static void threads_change_version(struct ml_journal *journal, struct ml_version_change *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void threads_compact(struct ml_journal *journal, struct ml_compact *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void threads_store_look(struct ml_journal *journal, struct ml_store_read *read)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &read->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void threads_store_commit(struct ml_journal *journal, struct ml_store_write *write)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &write->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void threads_purges(struct ml_journal *journal, struct ml_purges *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue_read(j, &request->node);
    unlock(j);
}

static void threads_note_purge(struct ml_journal *journal, struct ml_purge_note *request)
{
    struct threads *j = threads_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void threads_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    struct threads *j = threads_of(journal);

    lock(j);
    *out = j->stats;
    unlock(j);
}

static void threads_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    struct threads *j = threads_of(journal);

    lock(j);
    ML_ASSERT(!j->closing);
    j->on_closed = done;
    j->on_closed_arg = arg;
    j->closing = true;
    pthread_cond_signal(&j->writer_wakes);
    pthread_cond_signal(&j->reader_wakes);
    pthread_cond_signal(&j->copier_wakes);
    unlock(j);
}

static const struct ml_journal_ops threads_ops = {
    .append = threads_append,
    .grow = threads_grow,
    .load = threads_load,
    .put_snapshot = threads_put_snapshot,
    .list_documents = threads_list_documents,
    .set_deleted = threads_set_deleted,
    .describe = threads_describe,
    .history = threads_history,
    .heads = threads_heads,
    .store_look = threads_store_look,
    .store_commit = threads_store_commit,
    .versions = threads_versions,
    .change_version = threads_change_version,
    .compact = threads_compact,
    .purges = threads_purges,
    .note_purge = threads_note_purge,
    .stats = threads_stats,
    .close = threads_close,
};

static void init_sync(struct threads *j)
{
    pthread_condattr_t monotonic;

    ML_ASSERT(pthread_mutex_init(&j->mutex, NULL) == 0);
    ML_ASSERT(pthread_condattr_init(&monotonic) == 0);
    ML_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    ML_ASSERT(pthread_cond_init(&j->writer_wakes, &monotonic) == 0);
    ML_ASSERT(pthread_cond_init(&j->reader_wakes, &monotonic) == 0);
    ML_ASSERT(pthread_cond_init(&j->copier_wakes, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
}

/* Signals are the loop's business. */
static bool start_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* Whoever has started ends. */
static void stop_threads(struct threads *j, bool reader_started)
{
    lock(j);
    j->closing = j->copier_ended = true;
    j->reader_ended = !reader_started;
    pthread_cond_signal(&j->writer_wakes);
    pthread_cond_signal(&j->reader_wakes);
    unlock(j);
    if (reader_started)
        ML_ASSERT(pthread_join(j->reader_thread, NULL) == 0);
    ML_ASSERT(pthread_join(j->writer_thread, NULL) == 0);
}

static bool start_threads(struct threads *j)
{
    bool reader_started;

    if (!start_thread(&j->writer_thread, run_writer, j))
        return false;
    reader_started = start_thread(&j->reader_thread, run_reader, j);
    if (reader_started && (!j->has_copier || start_thread(&j->copier_thread, run_copier, j)))
        return true;
    stop_threads(j, reader_started);
    return false;
}

enum ml_err ml_journal_start_threads(struct ml_backing *backing, uv_loop_t *loop,
                                     struct ml_diag *diag, struct ml_journal **journal_out)
{
    struct threads *j = calloc(1, sizeof *j);

    if (!j) {
        backing->ops->free(backing);
        return ML_ELIMIT;
    }
    j->base.ops = &threads_ops;
    j->backing = backing;
    ml_list_init(&j->to_write);
    ml_list_init(&j->to_read);
    ml_list_init(&j->to_copy);
    j->has_copier = backing->ops->has_copies && backing->ops->has_copies(backing);
    j->copier_ended = !j->has_copier;
    ml_list_init(&j->answers);
    init_sync(j);
    if (!backing->ops->is_open(backing, ML_SIDE_WRITE))
        note_failure(j, diag); /* it serves what is there, and goes on trying */
    if (uv_async_init(loop, &j->async, on_async)) {
        free_journal(j);
        return ml_diag_set(diag, ML_EIO, 0, "no async handle");
    }
    j->async.data = j;
    if (!start_threads(j)) {
        uv_close((uv_handle_t *)&j->async, on_handle_closed); /* frees when the loop gets there */
        return ml_diag_set(diag, ML_EIO, 0, "no thread");
    }
    *journal_out = &j->base;
    return ML_OK;
}

void ml_threads_on_return(struct ml_journal *journal, ml_threads_return returns, void *arg)
{
    threads_of(journal)->returns = returns;
    threads_of(journal)->returns_arg = arg;
}
