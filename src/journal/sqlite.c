/* SPDX-License-Identifier: MIT */
/*
 * SQLite beneath the threads of threads.c: one file, two connections.
 *
 * A commit whose sync failed may be in the WAL or not (REL-23), and the kernel may believe that
 * pages are clean which never reached the disk. So a new connection is used only after everything
 * that the WAL holds was written to the database file anew and synced there, and the WAL was
 * emptied. After that a row is there or it is not, and the retry with the same key finds out which.
 *
 * One writer per file: an advisory lock (flock) on FILE.lock, held as long as the journal is open.
 * The kernel drops it when the process dies, however it dies. SQLite's own exclusive mode would
 * keep out our reader, and tools that only look.
 */
#include "journal/sqlite.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Checkpoint when nothing was asked for so long: soon if the WAL is long, at leisure if it is not.
 */
#define WAL_LONG_PAGES  1000
#define IDLE_SOON_MS    20
#define IDLE_LEISURE_MS 500
/* Never idle: then between two transactions. 64 MiB of 4 KiB pages. */
#define WAL_CEILING_PAGES 16384

struct sqlite {
    struct ml_backing base;
    char *path;    /* absolute */
    int lock_fd;   /* -1: none */
    bool is_guest; /* another process has the lock, and does the tidying */
    struct ml_sqlite_conn writer, reader;
};

static struct sqlite *sqlite_of(struct ml_backing *backing)
{
    return ML_CONTAINER(backing, struct sqlite, base);
}

static const struct sqlite *sqlite_of_const(const struct ml_backing *backing)
{
    return (const struct sqlite *)(const void *)((const char *)backing -
                                                 offsetof(struct sqlite, base));
}

static bool sqlite_is_open(const struct ml_backing *backing, enum ml_side side)
{
    const struct sqlite *s = sqlite_of_const(backing);

    return side == ML_SIDE_WRITE ? s->writer.db != NULL : s->reader.db != NULL;
}

static enum ml_err sqlite_open(struct ml_backing *backing, enum ml_side side, struct ml_diag *diag)
{
    struct sqlite *s = sqlite_of(backing);
    enum ml_err err;

    if (side == ML_SIDE_READ)
        return ml_sqlite_conn_open(&s->reader, s->path, false, ml_sqlite_read_sql, diag);
    err = ml_sqlite_conn_open(&s->writer, s->path, true, ml_sqlite_write_sql, diag);
    if (err)
        return err;
    /* Make what an unfortunate predecessor left in the WAL certain. */
    err = ml_sqlite_checkpoint(&s->writer, true, diag);
    if (err)
        ml_sqlite_conn_close(&s->writer);
    return err;
}

static void sqlite_close(struct ml_backing *backing, enum ml_side side)
{
    struct sqlite *s = sqlite_of(backing);

    ml_sqlite_conn_close(side == ML_SIDE_WRITE ? &s->writer : &s->reader);
}

static enum ml_err sqlite_commit_appends(struct ml_backing *backing, struct ml_append **appends,
                                         size_t count, struct ml_journal_stats *stats,
                                         struct ml_diag *diag)
{
    return ml_sqlite_commit_appends(&sqlite_of(backing)->writer, appends, count, stats, diag);
}

static enum ml_err commit_alone(struct ml_sqlite_conn *conn, struct ml_journal_node *node,
                                struct ml_diag *diag)
{
    if (node->kind == ML_REQUEST_STORE_WRITE)
        return ml_sqlite_commit_store(conn, ml_store_write_of(node), diag);
    if (node->kind == ML_REQUEST_SNAPSHOT)
        return ml_sqlite_commit_snapshot(conn, ml_snapshot_of(node), diag);
    if (node->kind == ML_REQUEST_CHANGE_VERSION)
        return ml_sqlite_commit_version_change(conn, ml_version_change_of(node), diag);
    if (node->kind == ML_REQUEST_NOTE_PURGE)
        return ml_sqlite_commit_purge(conn, ml_purge_note_of(node), diag);
    if (node->kind == ML_REQUEST_COMPACT)
        return ml_sqlite_commit_compact(conn, ml_compact_of(node), diag);
    return ml_sqlite_commit_deleted(conn, ml_set_deleted_of(node), diag);
}

/* Not in their transactions: none of these makes a document, and of a removed org there is none. */
static enum ml_err sqlite_commit_alone(struct ml_backing *backing, struct ml_journal_node *node,
                                       struct ml_diag *diag)
{
    struct ml_sqlite_conn *conn = &sqlite_of(backing)->writer;
    enum ml_gate gate;

    if (ml_sqlite_gate(conn, ml_request_org(node), &gate) != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "looking at the org", diag);
    return ml_gate_turns_away(gate, node) ? ML_OK : commit_alone(conn, node, diag);
}

static enum ml_err sqlite_read(struct ml_backing *backing, struct ml_journal_node *node)
{
    struct ml_sqlite_conn *conn = &sqlite_of(backing)->reader;
    enum ml_gate gate;

    if (ml_sqlite_gate(conn, ml_request_org(node), &gate) == SQLITE_OK &&
        ml_gate_turns_away(gate, node))
        return ML_OK;
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_LOAD:
        return ml_load_of(node)->err = ml_sqlite_read_load(conn, ml_load_of(node));
    case ML_REQUEST_LIST:
        return ml_list_of(node)->err = ml_sqlite_read_list(conn, ml_list_of(node));
    case ML_REQUEST_DESCRIBE:
        return ml_describe_of(node)->err = ml_sqlite_read_describe(conn, ml_describe_of(node));
    case ML_REQUEST_HISTORY:
        return ml_history_of(node)->err = ml_sqlite_read_history(conn, ml_history_of(node));
    case ML_REQUEST_HEADS:
        return ml_heads_of(node)->err = ml_sqlite_read_heads(conn, ml_heads_of(node));
    case ML_REQUEST_PURGES:
        return ml_purges_of(node)->err = ml_sqlite_read_purges(conn, ml_purges_of(node));
    case ML_REQUEST_VERSIONS:
        return ml_versions_of(node)->err = ml_sqlite_read_versions(conn, ml_versions_of(node));
    case ML_REQUEST_STORE_READ:
        return ml_store_read_of(node)->err = ml_sqlite_read_store(conn, ml_store_read_of(node));
    case ML_REQUEST_STORE_WRITE:
    case ML_REQUEST_APPEND:
    case ML_REQUEST_SNAPSHOT:
    case ML_REQUEST_SET_DELETED:
    case ML_REQUEST_CHANGE_VERSION:
    case ML_REQUEST_COMPACT:
    case ML_REQUEST_NOTE_PURGE:
        break; /* the writer's */
    }
    return ML_OK;
}

/* ---- Housekeeping: the WAL into the file ---------------------------------------------------- */

static unsigned sqlite_tidy_in_ms(const struct ml_backing *backing)
{
    const struct ml_sqlite_conn *writer = &sqlite_of_const(backing)->writer;

    if (!writer->db || !writer->wal_pages)
        return 0;
    return writer->wal_pages >= WAL_LONG_PAGES ? IDLE_SOON_MS : IDLE_LEISURE_MS;
}

static bool sqlite_is_overdue(const struct ml_backing *backing)
{
    const struct ml_sqlite_conn *writer = &sqlite_of_const(backing)->writer;

    return writer->db && writer->wal_pages >= WAL_CEILING_PAGES;
}

static enum ml_err sqlite_tidy(struct ml_backing *backing, struct ml_diag *diag)
{
    struct ml_sqlite_conn *writer = &sqlite_of(backing)->writer;

    return writer->db ? ml_sqlite_checkpoint(writer, false, diag) : ML_OK;
}

/* Everything answered is in the WAL, synced: this only saves the next start some work. */
static void sqlite_finish(struct ml_backing *backing)
{
    struct ml_sqlite_conn *writer = &sqlite_of(backing)->writer;
    struct ml_diag diag = {0};

    if (!sqlite_of(backing)->is_guest && writer->db && ml_sqlite_checkpoint(writer, true, &diag))
        ml_log(ML_LOG_WARN, "journal.checkpoint_failed", "what=\"%s\"", diag.text);
}

static void sqlite_free(struct ml_backing *backing)
{
    struct sqlite *s = sqlite_of(backing);

    ml_sqlite_conn_close(&s->writer);
    ml_sqlite_conn_close(&s->reader);
    if (s->lock_fd >= 0)
        close(s->lock_fd); /* gives up the lock; the file stays: removing it would race */
    free(s->path);
    free(s);
}

static const struct ml_backing_ops sqlite_ops = {
    .open = sqlite_open,
    .close = sqlite_close,
    .is_open = sqlite_is_open,
    .commit_appends = sqlite_commit_appends,
    .commit_alone = sqlite_commit_alone,
    .read = sqlite_read,
    .tidy_in_ms = sqlite_tidy_in_ms,
    .is_overdue = sqlite_is_overdue,
    .tidy = sqlite_tidy,
    .finish = sqlite_finish,
    .free = sqlite_free,
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

static enum ml_err take_lock(struct sqlite *s, const char *path, bool beside, struct ml_diag *diag)
{
    char *lock_path;

    if (asprintf(&lock_path, "%s.lock", path) < 0)
        return ML_ELIMIT;
    s->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        enum ml_err err = system_error(diag, "open", lock_path);

        free(lock_path);
        return err;
    }
    free(lock_path);
    if (is_network_file_system(s->lock_fd))
        return ml_diag_set(diag, ML_EIO, 0, "%s is on a network file system: use a local disk",
                           path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ML_OK;
    if (errno == EWOULDBLOCK && beside) {
        s->is_guest = true;
        return ML_OK;
    }
    if (errno == EWOULDBLOCK)
        return ml_diag_set(diag, ML_EBUSY, 0, "%s is open for writing in another process", path);
    return system_error(diag, "lock", path);
}

/* SQLite gives its companions the mode of the file, so the mode is right from the start. */
static enum ml_err create_file(struct sqlite *s, const char *path, struct ml_diag *diag)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return system_error(diag, "create", path);
    s->path = realpath(path, NULL);
    return s->path ? ML_OK : system_error(diag, "find", path);
}

static enum ml_err open_file(const char *path, bool beside, uv_loop_t *loop, struct ml_diag *diag,
                             struct ml_journal **journal_out)
{
    struct sqlite *s = calloc(1, sizeof *s);
    enum ml_err err;

    if (!s)
        return ML_ELIMIT;
    s->base.ops = &sqlite_ops;
    s->lock_fd = -1;
    err = make_folders(path, diag);
    if (!err)
        err = take_lock(s, path, beside, diag);
    if (!err)
        err = create_file(s, path, diag);
    if (!err)
        err = ml_sqlite_conn_open(&s->writer, s->path, true, ml_sqlite_write_sql, diag);
    if (!err)
        err = ml_sqlite_conn_open(&s->reader, s->path, false, ml_sqlite_read_sql, diag);
    if (err) {
        sqlite_free(&s->base);
        return err;
    }
    /* A full disk must not keep us from serving what is there: the writer goes on trying. */
    if (!beside && ml_sqlite_checkpoint(&s->writer, true, diag))
        ml_sqlite_conn_close(&s->writer);
    return ml_journal_start_threads(&s->base, loop, diag, journal_out);
}

enum ml_err ml_journal_open_sqlite(const char *path, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out)
{
    return open_file(path, false, loop, diag, journal_out);
}

enum ml_err ml_journal_open_beside_sqlite(const char *path, uv_loop_t *loop, struct ml_diag *diag,
                                          struct ml_journal **journal_out)
{
    return open_file(path, true, loop, diag, journal_out);
}
