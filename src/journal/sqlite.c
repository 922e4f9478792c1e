/* SPDX-License-Identifier: MIT */
/*
 * The SQLite journal's threads and queues.
 *
 *   loop          append ----------------------------> to_write ---> writer thread --+
 *                 put_snapshot --> to_read --(packed)----^                           |
 *                 load, list, … -> to_read ---> reader thread ----------------------+
 *                                                                                    v
 *                 done() <---- on_async <------------------------------------ answers
 *
 * Other loops have doors (door.c): their requests go to the same queues, their answers to them.
 *
 * Group commit: while the writer is inside one transaction, everything that is asked gathers in
 * to_write; the next transaction takes it, up to ML_COMMIT_MAX_RECORDS and ML_COMMIT_MAX_BYTES.
 * An idle writer commits at once. A busy one leaves 3 ms between the beginnings of two commits, so
 * that each holds more: a sync costs as much for one record as for a hundred (ADR 10).
 *
 * The writer's connection:
 *
 *              open_writer                     I/O error in a commit or checkpoint
 *    (start) --------------> USABLE ------------------------------------------+
 *                              ^                                             v
 *                              |  open, checkpoint everything         POISONED: closed at once,
 *                              +------------------------------------  all of the batch is ML_EIO;
 *                                    after a back-off of 50 ms … 2 s  what arrives meanwhile waits
 *
 * A commit whose sync failed may be in the WAL or not (REL-23), and the kernel may believe that
 * pages are clean which never reached the disk. So a new connection is used only after everything
 * that the WAL holds was written to the database file anew and synced there, and the WAL was
 * emptied. After that a row is there or it is not, and the retry with the same key finds out which.
 *
 * One writer per file: an advisory lock (flock) on FILE.lock, held as long as the journal is open.
 * The kernel drops it when the process dies, however it dies. SQLite's own exclusive mode would
 * keep out our reader, and tools that only look.
 *
 * Invariants, under `mutex`:
 *  [Q1] a request is in one of to_write, to_read, answers, or in the hands of one thread;
 *  [Q2] waiting_bytes is the cost of all appends that were not refused and not yet answered;
 *  [Q3] the writer ends only after the reader has ended, so that no snapshot is left over.
 */
#include "journal/journal.h"

#include "base/assert.h"
#include "base/log.h"
#include "journal/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* Checkpoint when nothing was asked for so long: soon if the WAL is long, at leisure if it is not.
 */
#define WAL_LONG_PAGES  1000
#define IDLE_SOON_MS    20
#define IDLE_LEISURE_MS 500
/* Never idle: then between two transactions. 64 MiB of 4 KiB pages. */
#define WAL_CEILING_PAGES 16384
#define BACKOFF_FIRST_MS  50
#define BACKOFF_LAST_MS   2000

#define COMMIT_APART_US 3000

struct sqlite_journal {
    struct ml_journal base;
    char *path; /* absolute */
    int lock_fd;
    uv_async_t async;
    pthread_t writer_thread, reader_thread;

    pthread_mutex_t mutex;
    pthread_cond_t writer_wakes, reader_wakes;
    /* under the mutex: */
    struct ml_list to_write, to_read, answers;
    struct ml_journal_stats stats;
    bool closing, writer_ended, reader_ended;

    /* the writer thread's: */
    struct ml_sqlite_conn writer;
    unsigned failures; /* in a row */
    uint64_t retry_at_ms;
    uint64_t next_commit_us; /* not before, unless the journal closes */
    /* the reader thread's: */
    struct ml_sqlite_conn reader;
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

static struct sqlite_journal *sqlite_of(struct ml_journal *journal)
{
    return ML_CONTAINER(journal, struct sqlite_journal, base);
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

static void lock(struct sqlite_journal *j)
{
    ML_ASSERT(pthread_mutex_lock(&j->mutex) == 0);
}

static void unlock(struct sqlite_journal *j)
{
    ML_ASSERT(pthread_mutex_unlock(&j->mutex) == 0);
}

/* False: the time is over. The condition's clock is monotonic. */
static bool wait_at_most(struct sqlite_journal *j, pthread_cond_t *cond, uint64_t wait_ms)
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
static void put_answer(struct sqlite_journal *j, struct ml_journal_node *node)
{
    if (!node->door) {
        ml_list_append(&j->answers, &node->link);
        return;
    }
    if (node->kind == ML_REQUEST_APPEND && !node->refused)
        j->stats.waiting_bytes -= ml_append_cost(ml_append_of(node));
    ml_door_answer(node);
}

static void wake_loop(struct sqlite_journal *j)
{
    (void)uv_async_send(&j->async); /* fails only on a broken handle */
}

/* --- the writer's connection --- */

static void note_failure(struct sqlite_journal *j, const struct ml_diag *diag)
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

/* Open, and make what an unfortunate predecessor left in the WAL certain. */
static enum ml_err open_writer(struct sqlite_journal *j, struct ml_diag *diag)
{
    enum ml_err err = ml_sqlite_conn_open(&j->writer, j->path, true, ml_sqlite_write_sql, diag);

    if (err)
        return err;
    err = ml_sqlite_checkpoint(&j->writer, true, diag);
    if (err)
        ml_sqlite_conn_close(&j->writer);
    return err;
}

/* The connection has failed: never use it again. */
static void poison(struct sqlite_journal *j, const struct ml_diag *why)
{
    struct ml_diag diag = {0};

    ml_sqlite_conn_close(&j->writer);
    note_failure(j, why);
    if (open_writer(j, &diag))
        ml_log(ML_LOG_ERROR, "journal.reopen_failed", "what=\"%s\"", diag.text);
}

static void checkpoint(struct sqlite_journal *j)
{
    struct ml_diag diag = {0};

    if (j->writer.db && ml_sqlite_checkpoint(&j->writer, false, &diag))
        poison(j, &diag);
}

/* --- the writer thread --- */

static void batch_init(struct batch *batch)
{
    ml_list_init(&batch->nodes);
    batch->count = 0;
    batch->alone = NULL;
}

/* Under the mutex. At least one request, and then whatever fits beside it. */
static void take_batch(struct sqlite_journal *j, struct batch *batch)
{
    size_t records = 0;
    uint64_t bytes = 0;

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
        records += append->count;
        bytes += ml_append_cost(append);
        if (batch->count && (records > ML_COMMIT_MAX_RECORDS || bytes > ML_COMMIT_MAX_BYTES))
            return;
        batch->appends[batch->count++] = append;
        ml_list_remove(link);
        ml_list_append(&batch->nodes, link);
        if (batch->count == ML_COMMIT_MAX_RECORDS)
            return;
    }
}

static enum ml_err commit_batch(struct sqlite_journal *j, struct batch *batch,
                                struct ml_journal_stats *added, struct ml_diag *diag)
{
    if (!j->writer.db) {
        enum ml_err err = open_writer(j, diag);

        if (err)
            return err;
    }
    if (batch->alone && batch->alone->kind == ML_REQUEST_SNAPSHOT)
        return ml_sqlite_commit_snapshot(&j->writer, ml_snapshot_of(batch->alone), diag);
    if (batch->alone)
        return ml_sqlite_commit_deleted(&j->writer, ml_set_deleted_of(batch->alone), diag);
    return ml_sqlite_commit_appends(&j->writer, batch->appends, batch->count, added, diag);
}

static void write_batch(struct sqlite_journal *j, struct batch *batch,
                        struct ml_journal_stats *added)
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

/* Under the mutex; gives it up while it waits. False: the end. */
static bool wait_for_writing(struct sqlite_journal *j)
{
    while (ml_list_is_empty(&j->to_write)) {
        if (j->closing && j->reader_ended)
            return false;
        if (!j->writer.db || !j->writer.wal_pages) {
            pthread_cond_wait(&j->writer_wakes, &j->mutex);
        } else if (!wait_at_most(j, &j->writer_wakes,
                                 j->writer.wal_pages >= WAL_LONG_PAGES ? IDLE_SOON_MS
                                                                       : IDLE_LEISURE_MS) &&
                   ml_list_is_empty(&j->to_write)) {
            unlock(j);
            checkpoint(j);
            lock(j);
        }
    }
    while (j->failures && !j->closing && now_ms() < j->retry_at_ms)
        (void)wait_at_most(j, &j->writer_wakes, j->retry_at_ms - now_ms() + 1);
    return true;
}

/* Under the mutex; gives it up while it waits. */
static void leave_time(struct sqlite_journal *j)
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
    struct sqlite_journal *j = arg;
    struct ml_diag diag = {0};

    lock(j);
    while (wait_for_writing(j)) {
        struct ml_journal_stats added = {0};
        struct batch batch;

        batch_init(&batch);
        leave_time(j);
        take_batch(j, &batch);
        unlock(j);
        j->next_commit_us = now_us() + COMMIT_APART_US;
        write_batch(j, &batch, &added);
        lock(j);
        add_stats(&j->stats, &added);
        ML_LIST_EACH(link, &batch.nodes)
        {
            ml_list_remove(link);
            put_answer(j, ml_node_of(link));
        }
        wake_loop(j);
        if (j->writer.db && j->writer.wal_pages >= WAL_CEILING_PAGES) {
            unlock(j);
            checkpoint(j);
            lock(j);
        }
    }
    unlock(j);
    /* Only tidies up: everything answered is in the WAL, synced. */
    if (j->writer.db && ml_sqlite_checkpoint(&j->writer, true, &diag))
        ml_log(ML_LOG_WARN, "journal.checkpoint_failed", "what=\"%s\"", diag.text);
    ml_sqlite_conn_close(&j->writer);
    lock(j);
    j->writer_ended = true;
    wake_loop(j);
    unlock(j);
    return NULL;
}

/* --- the reader thread --- */

static enum ml_err read_from(struct ml_sqlite_conn *conn, struct ml_journal_node *node)
{
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_LOAD:
        return ml_load_of(node)->err = ml_sqlite_read_load(conn, ml_load_of(node));
    case ML_REQUEST_LIST:
        return ml_list_of(node)->err = ml_sqlite_read_list(conn, ml_list_of(node));
    case ML_REQUEST_DESCRIBE:
        return ml_describe_of(node)->err = ml_sqlite_read_describe(conn, ml_describe_of(node));
    case ML_REQUEST_HISTORY:
        return ml_history_of(node)->err = ml_sqlite_read_history(conn, ml_history_of(node));
    case ML_REQUEST_APPEND:
    case ML_REQUEST_SNAPSHOT:
    case ML_REQUEST_SET_DELETED:
        break; /* the writer's */
    }
    return ML_OK;
}

/* True: the request goes on to the writer. */
static bool read_one(struct sqlite_journal *j, struct ml_journal_node *node)
{
    struct ml_diag diag = {0};
    enum ml_err err = ML_OK;

    if (node->kind == ML_REQUEST_SNAPSHOT) {
        err = ml_sqlite_pack_snapshot(ml_snapshot_of(node));
        if (err)
            ml_request_fail(node, err, "the snapshot could not be packed");
        return !err;
    }
    if (!j->reader.db)
        err = ml_sqlite_conn_open(&j->reader, j->path, false, ml_sqlite_read_sql, &diag);
    if (err)
        ml_request_fail(node, ML_EIO, diag.text);
    else
        err = read_from(&j->reader, node);
    if (err == ML_EIO)
        ml_sqlite_conn_close(&j->reader);
    return false;
}

static void *run_reader(void *arg)
{
    struct sqlite_journal *j = arg;

    lock(j);
    for (;;) {
        struct ml_list *link = ml_list_take_first(&j->to_read);
        bool goes_on;

        if (!link && j->closing)
            break;
        if (!link) {
            pthread_cond_wait(&j->reader_wakes, &j->mutex);
            continue;
        }
        unlock(j);
        goes_on = read_one(j, ml_node_of(link));
        lock(j);
        if (goes_on) {
            ml_list_append(&j->to_write, link);
            pthread_cond_signal(&j->writer_wakes);
        } else {
            put_answer(j, ml_node_of(link));
            wake_loop(j);
        }
    }
    unlock(j);
    ml_sqlite_conn_close(&j->reader);
    lock(j);
    j->reader_ended = true;
    pthread_cond_signal(&j->writer_wakes);
    unlock(j);
    return NULL;
}

/* --- the loop --- */

static void answer_all(struct sqlite_journal *j)
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

static void free_journal(struct sqlite_journal *j)
{
    pthread_cond_destroy(&j->reader_wakes);
    pthread_cond_destroy(&j->writer_wakes);
    pthread_mutex_destroy(&j->mutex);
    if (j->lock_fd >= 0)
        close(j->lock_fd); /* gives up the lock; the file stays: removing it would race */
    free(j->path);
    free(j);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sqlite_journal *j = handle->data;
    void (*on_closed)(void *arg) = j->on_closed;
    void *arg = j->on_closed_arg;

    free_journal(j);
    if (on_closed)
        on_closed(arg);
}

static bool threads_ended(struct sqlite_journal *j)
{
    bool ended;

    lock(j);
    ended = j->writer_ended && j->reader_ended;
    unlock(j);
    return ended;
}

static bool has_answers(struct sqlite_journal *j)
{
    bool any;

    lock(j);
    any = !ml_list_is_empty(&j->answers);
    unlock(j);
    return any;
}

static void on_async(uv_async_t *async)
{
    struct sqlite_journal *j = async->data;

    answer_all(j);
    if (j->ended || !threads_ended(j))
        return;
    ML_ASSERT(pthread_join(j->writer_thread, NULL) == 0);
    ML_ASSERT(pthread_join(j->reader_thread, NULL) == 0);
    while (has_answers(j))
        answer_all(j);
    j->ended = true;
    uv_close((uv_handle_t *)async, on_handle_closed);
}

/* `queue`: where the request goes, unless it is refused already or everything is. */
static void enqueue(struct sqlite_journal *j, struct ml_journal_node *node, struct ml_list *queue,
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

static void sqlite_append(struct ml_journal *journal, struct ml_append *append)
{
    struct sqlite_journal *j = sqlite_of(journal);
    uint64_t cost = ml_append_cost(append);

    lock(j);
    if (!j->closing && cost > ML_WAITING_MAX_BYTES - j->stats.waiting_bytes) {
        /* Through the queue all the same, so that answers keep their order. */
        ml_request_fail(&append->node, cost > ML_WAITING_MAX_BYTES ? ML_ELIMIT : ML_EBUSY, NULL);
        append->node.refused = true;
    } else if (!j->closing) {
        j->stats.waiting_bytes += cost;
    }
    enqueue(j, &append->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void sqlite_load(struct ml_journal *journal, struct ml_load *load)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &load->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void sqlite_put_snapshot(struct ml_journal *journal, struct ml_snapshot_put *put)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &put->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void sqlite_list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &list->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void sqlite_set_deleted(struct ml_journal *journal, struct ml_set_deleted *request)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_write, &j->writer_wakes);
    unlock(j);
}

static void sqlite_describe(struct ml_journal *journal, struct ml_describe *request)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void sqlite_history(struct ml_journal *journal, struct ml_history *request)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    enqueue(j, &request->node, &j->to_read, &j->reader_wakes);
    unlock(j);
}

static void sqlite_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    *out = j->stats;
    unlock(j);
}

static void sqlite_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    struct sqlite_journal *j = sqlite_of(journal);

    lock(j);
    ML_ASSERT(!j->closing);
    j->on_closed = done;
    j->on_closed_arg = arg;
    j->closing = true;
    pthread_cond_signal(&j->writer_wakes);
    pthread_cond_signal(&j->reader_wakes);
    unlock(j);
}

static const struct ml_journal_ops sqlite_ops = {
    .append = sqlite_append,
    .load = sqlite_load,
    .put_snapshot = sqlite_put_snapshot,
    .list_documents = sqlite_list_documents,
    .set_deleted = sqlite_set_deleted,
    .describe = sqlite_describe,
    .history = sqlite_history,
    .stats = sqlite_stats,
    .close = sqlite_close,
};

/* --- opening --- */

static enum ml_err system_error(struct ml_diag *diag, const char *doing, const char *path)
{
    char text[128];

    return ml_diag_set(diag, ML_EIO, 0, "%s %s: %s", doing, path,
                       strerror_r(errno, text, sizeof text));
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd); /* some file systems refuse to sync a folder; then there is nothing to do */
    close(fd);
}

/* Every folder above the file that is missing, 0700. */
static enum ml_err make_folders(const char *file, struct ml_diag *diag)
{
    char *path = strdup(file);
    enum ml_err err = ML_OK;

    if (!path)
        return ML_ELIMIT;
    for (char *slash = strchr(path + 1, '/'); slash && !err; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0700) == 0) {
            char *above = strrchr(path, '/');

            if (above && above != path)
                *above = 0;
            sync_folder(above == path ? "/" : above ? path : ".");
            if (above)
                *above = '/';
        } else if (errno != EEXIST) {
            err = system_error(diag, "mkdir", path);
        }
        *slash = '/';
    }
    free(path);
    return err;
}

/* A write-ahead log needs shared memory and locks that work: not so over a network. */
static bool is_network_file_system(int fd)
{
    static const unsigned long kinds[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xfe534d42, /* SMB2 */
        0xff534d42, /* CIFS */
        0x5346414f, /* AFS */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
    };
    struct statfs info;

    if (fstatfs(fd, &info))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (((unsigned long)info.f_type & 0xffffffff) == kinds[i])
            return true;
    return false;
}

static enum ml_err take_lock(struct sqlite_journal *j, const char *path, struct ml_diag *diag)
{
    char *lock_path;

    if (asprintf(&lock_path, "%s.lock", path) < 0)
        return ML_ELIMIT;
    j->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0) {
        enum ml_err err = system_error(diag, "open", lock_path);

        free(lock_path);
        return err;
    }
    free(lock_path);
    if (is_network_file_system(j->lock_fd))
        return ml_diag_set(diag, ML_EIO, 0, "%s is on a network file system: use a local disk",
                           path);
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ML_OK;
    if (errno == EWOULDBLOCK)
        return ml_diag_set(diag, ML_EBUSY, 0, "%s is open for writing in another process", path);
    return system_error(diag, "lock", path);
}

/* SQLite gives its companions the mode of the file, so the mode is right from the start. */
static enum ml_err create_file(struct sqlite_journal *j, const char *path, struct ml_diag *diag)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return system_error(diag, "create", path);
    j->path = realpath(path, NULL);
    return j->path ? ML_OK : system_error(diag, "find", path);
}

static enum ml_err open_connections(struct sqlite_journal *j, struct ml_diag *diag)
{
    enum ml_err err;

    err = ml_sqlite_conn_open(&j->writer, j->path, true, ml_sqlite_write_sql, diag);
    if (err)
        return err;
    err = ml_sqlite_conn_open(&j->reader, j->path, false, ml_sqlite_read_sql, diag);
    if (err) {
        ml_sqlite_conn_close(&j->writer);
        return err;
    }
    if (ml_sqlite_checkpoint(&j->writer, true, diag)) {
        /* A full disk must not keep us from serving what is there: the writer goes on trying. */
        ml_sqlite_conn_close(&j->writer);
        note_failure(j, diag);
    }
    return ML_OK;
}

static void init_sync(struct sqlite_journal *j)
{
    pthread_condattr_t monotonic;

    ML_ASSERT(pthread_mutex_init(&j->mutex, NULL) == 0);
    ML_ASSERT(pthread_condattr_init(&monotonic) == 0);
    ML_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    ML_ASSERT(pthread_cond_init(&j->writer_wakes, &monotonic) == 0);
    ML_ASSERT(pthread_cond_init(&j->reader_wakes, &monotonic) == 0);
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

static bool start_threads(struct sqlite_journal *j)
{
    if (!start_thread(&j->writer_thread, run_writer, j))
        return false;
    if (start_thread(&j->reader_thread, run_reader, j))
        return true;
    lock(j);
    j->closing = j->reader_ended = true;
    pthread_cond_signal(&j->writer_wakes);
    unlock(j);
    ML_ASSERT(pthread_join(j->writer_thread, NULL) == 0);
    return false;
}

enum ml_err ml_journal_open_sqlite(const char *path, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out)
{
    struct sqlite_journal *j = calloc(1, sizeof *j);
    enum ml_err err;

    if (!j)
        return ML_ELIMIT;
    j->base.ops = &sqlite_ops;
    j->lock_fd = -1;
    ml_list_init(&j->to_write);
    ml_list_init(&j->to_read);
    ml_list_init(&j->answers);
    init_sync(j);

    err = make_folders(path, diag);
    if (!err)
        err = take_lock(j, path, diag);
    if (!err)
        err = create_file(j, path, diag);
    if (!err)
        err = open_connections(j, diag);
    if (err)
        goto fail;
    if (uv_async_init(loop, &j->async, on_async)) {
        err = ml_diag_set(diag, ML_EIO, 0, "no async handle");
        goto fail_connections;
    }
    j->async.data = j;
    if (!start_threads(j)) {
        err = ml_diag_set(diag, ML_EIO, 0, "no thread");
        goto fail_async;
    }
    *journal_out = &j->base;
    return ML_OK;

fail_async:
    ml_sqlite_conn_close(&j->writer);
    ml_sqlite_conn_close(&j->reader);
    uv_close((uv_handle_t *)&j->async, on_handle_closed); /* frees when the loop gets there */
    return err;
fail_connections:
    ml_sqlite_conn_close(&j->writer);
    ml_sqlite_conn_close(&j->reader);
fail:
    free_journal(j);
    return err;
}
