/* SPDX-License-Identifier: MIT */
/*
 * SQLite writes a frame of the WAL in two calls, 24 bytes and a page: a commit that touches ten
 * documents is sixty system calls. Here they are joined, and leave as one before the sync.
 *
 *   xWrite  behind what is held? -> held        else what is held is written, then this
 *   xSync, xRead, xTruncate, xFileSize, xFileControl, xClose: first what is held is written
 *
 * Why nobody sees the difference: with synchronous=FULL the WAL is synced in every commit before
 * the index of the WAL names its frames, and other connections read only what the index names. An
 * error in the late write is an error of the sync, and fails the same commit.
 */
#include "journal/sqlite_wal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX (124u << 10) /* the unix VFS writes at most 2^17 - 1 bytes at once */

struct wal_file {
    sqlite3_file base;
    unsigned char *held; /* HELD_MAX bytes; NULL: nothing was written yet */
    sqlite3_int64 held_at;
    size_t held_len;
    /* the real file stands behind */
};

static sqlite3_vfs *real_vfs, wal_vfs;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *name;

static sqlite3_file *real_of(struct wal_file *f)
{
    return (sqlite3_file *)(void *)(f + 1);
}

static struct wal_file *wal_of(sqlite3_file *file)
{
    return (struct wal_file *)(void *)file;
}

static int write_held(struct wal_file *f)
{
    sqlite3_file *real = real_of(f);
    size_t len = f->held_len;

    if (!len)
        return SQLITE_OK;
    /* Not twice: after an error the transaction is over. */
    f->held_len = 0;
    return real->pMethods->xWrite(real, f->held, (int)len, f->held_at);
}

static int on_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct wal_file *f = wal_of(file);
    sqlite3_file *real = real_of(f);
    size_t n = (size_t)len;
    int rc = SQLITE_OK;

    if (!f->held)
        f->held = malloc(HELD_MAX);
    if (f->held_len &&
        (at != f->held_at + (sqlite3_int64)f->held_len || n > HELD_MAX - f->held_len))
        rc = write_held(f);
    if (rc != SQLITE_OK)
        return rc;
    if (!f->held || n > HELD_MAX)
        return real->pMethods->xWrite(real, bytes, len, at);
    if (!f->held_len)
        f->held_at = at;
    memcpy(f->held + f->held_len, bytes, n);
    f->held_len += n;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(wal_of(file));
    int rc = write_held(wal_of(file));

    return rc == SQLITE_OK ? real->pMethods->xRead(real, out, len, at) : rc;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_file *real = real_of(wal_of(file));
    int rc = write_held(wal_of(file));

    return rc == SQLITE_OK ? real->pMethods->xTruncate(real, size) : rc;
}

static int on_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = real_of(wal_of(file));
    int rc = write_held(wal_of(file));

    return rc == SQLITE_OK ? real->pMethods->xSync(real, flags) : rc;
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    sqlite3_file *real = real_of(wal_of(file));
    int rc = write_held(wal_of(file));

    return rc == SQLITE_OK ? real->pMethods->xFileSize(real, size) : rc;
}

static int on_file_control(sqlite3_file *file, int what, void *arg)
{
    sqlite3_file *real = real_of(wal_of(file));
    int rc = write_held(wal_of(file));

    return rc == SQLITE_OK ? real->pMethods->xFileControl(real, what, arg) : rc;
}

static int on_sector_size(sqlite3_file *file)
{
    sqlite3_file *real = real_of(wal_of(file));

    return real->pMethods->xSectorSize(real);
}

static int on_characteristics(sqlite3_file *file)
{
    sqlite3_file *real = real_of(wal_of(file));

    return real->pMethods->xDeviceCharacteristics(real);
}

static int on_close(sqlite3_file *file)
{
    struct wal_file *f = wal_of(file);
    sqlite3_file *real = real_of(f);
    int written = write_held(f), closed = real->pMethods->xClose(real);

    free(f->held);
    f->held = NULL;
    return written == SQLITE_OK ? closed : written;
}

/* A WAL is not locked, shared or mapped: those are methods of the file beside it. */
static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_file_size,
    .xFileControl = on_file_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_characteristics,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                   int *flags_out)
{
    struct wal_file *f = wal_of(file);
    int rc;

    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return real_vfs->xOpen(real_vfs, path, file, flags, flags_out);
    *f = (struct wal_file){0};
    real_of(f)->pMethods = NULL;
    rc = real_vfs->xOpen(real_vfs, path, real_of(f), flags, flags_out);
    if (real_of(f)->pMethods)
        f->base.pMethods = &wal_methods;
    return rc;
}

static void enrol(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs)
        return;
    wal_vfs = *real_vfs;
    wal_vfs.pNext = NULL;
    wal_vfs.zName = "moonloom-wal";
    wal_vfs.szOsFile = (int)sizeof(struct wal_file) + real_vfs->szOsFile;
    wal_vfs.xOpen = on_open;
    if (sqlite3_vfs_register(&wal_vfs, 0) == SQLITE_OK)
        name = wal_vfs.zName;
}

const char *ml_sqlite_wal_vfs(void)
{
    (void)pthread_once(&once, enrol);
    return name;
}
