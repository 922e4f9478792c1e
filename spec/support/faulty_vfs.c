/* SPDX-License-Identifier: MIT */
#include "support/faulty_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A change that was not synced: a write (its bytes stand in the cache) or a new end of file. */
struct change {
    bool is_truncate;
    sqlite3_int64 at;
    int len;
};

/* One file as the kernel sees it: `cache` is what reads see, the descriptor is the disk. */
struct node {
    struct node *next;
    char *path;
    int fd;
    unsigned char *cache;
    sqlite3_int64 size, cap;
    struct change *changes;
    size_t change_count, change_cap;
};

struct faulty_file {
    sqlite3_file base;
    struct node *node;
    sqlite3_file *real; /* behind this struct; has the locks and the shared memory */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs *real_vfs, faulty_vfs;
static struct node *nodes;
static enum vfs_fault planned;
static unsigned countdown, plan_seed;
static bool fired, is_dead, is_full;
static unsigned long operations;

/* --- files (all under the mutex) --- */

static void must(bool fact, const char *what)
{
    if (fact)
        return;
    perror(what);
    abort();
}

static void set_size(struct node *node, sqlite3_int64 size)
{
    if (size > node->cap) {
        node->cap = size * 2;
        node->cache = realloc(node->cache, (size_t)node->cap);
        must(node->cache != NULL, "cache");
    }
    if (size > node->size)
        memset(node->cache + node->size, 0, (size_t)(size - node->size));
    node->size = size;
}

static void read_disk(struct node *node)
{
    off_t size = lseek(node->fd, 0, SEEK_END);

    node->size = 0;
    set_size(node, size);
    must(size == 0 || pread(node->fd, node->cache, (size_t)size, 0) == size, "pread");
}

static struct node *find_node(const char *path)
{
    for (struct node *node = nodes; node; node = node->next)
        if (strcmp(node->path, path) == 0)
            return node;
    return NULL;
}

static struct node *open_node(const char *path)
{
    struct node *node = find_node(path);

    if (node)
        return node;
    node = calloc(1, sizeof *node);
    must(node != NULL, "node");
    node->path = strdup(path);
    node->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(node->fd >= 0, path);
    read_disk(node);
    node->next = nodes;
    nodes = node;
    return node;
}

static void drop_node(struct node *node)
{
    struct node **at = &nodes;

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    close(node->fd);
    free(node->path);
    free(node->cache);
    free(node->changes);
    free(node);
}

static void note_change(struct node *node, struct change change)
{
    if (node->change_count == node->change_cap) {
        node->change_cap = node->change_cap ? node->change_cap * 2 : 64;
        node->changes = realloc(node->changes, node->change_cap * sizeof change);
        must(node->changes != NULL, "changes");
    }
    node->changes[node->change_count++] = change;
}

/* Bring the first `len` bytes of a change to the disk. */
static void apply(struct node *node, const struct change *change, int len)
{
    if (change->is_truncate) {
        must(ftruncate(node->fd, change->at) == 0, "ftruncate");
        return;
    }
    if (change->at + len > node->size)
        len = change->at < node->size ? (int)(node->size - change->at) : 0;
    must(pwrite(node->fd, node->cache + change->at, (size_t)len, change->at) == len, "pwrite");
}

static void sync_node(struct node *node)
{
    for (size_t i = 0; i < node->change_count; i++)
        apply(node, &node->changes[i], node->changes[i].len);
    node->change_count = 0;
}

/* --- faults --- */

/* Of what was not synced nothing, some or all has reached the disk, and one write only in part. */
static void cut_power(void)
{
    unsigned state = plan_seed, kept_of_four = (unsigned)rand_r(&state) % 5;

    for (struct node *node = nodes; node; node = node->next) {
        for (size_t i = 0; i < node->change_count; i++) {
            const struct change *change = &node->changes[i];
            bool torn = rand_r(&state) % 8 == 0;

            if ((unsigned)rand_r(&state) % 4 < kept_of_four)
                apply(node, change,
                      torn && change->len ? rand_r(&state) % change->len : change->len);
        }
        node->change_count = 0;
    }
    is_dead = true;
}

/* The fault that comes with this operation, if any. */
static enum vfs_fault next_operation(bool is_sync)
{
    operations++;
    if (is_dead)
        return VFS_FAULT_POWER_CUT;
    if (planned == VFS_FAULT_NONE || (countdown > 0 && --countdown > 0))
        return VFS_FAULT_NONE;
    if ((planned == VFS_FAULT_SYNC_LOSES || planned == VFS_FAULT_SYNC_KEEPS ||
         planned == VFS_FAULT_SYNC_KILLS) &&
        !is_sync)
        return VFS_FAULT_NONE;
    if (planned == VFS_FAULT_WRITE_EIO && is_sync)
        return VFS_FAULT_NONE;
    {
        enum vfs_fault fault = planned;

        planned = VFS_FAULT_NONE;
        fired = true;
        if (fault == VFS_FAULT_POWER_CUT)
            cut_power();
        if (fault == VFS_FAULT_FULL)
            is_full = true;
        return fault;
    }
}

/* --- sqlite3_io_methods --- */

static struct faulty_file *file_of(sqlite3_file *file)
{
    return (struct faulty_file *)(void *)file;
}

static int on_close(sqlite3_file *file)
{
    struct faulty_file *f = file_of(file);

    return f->real->pMethods ? f->real->pMethods->xClose(f->real) : SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    struct node *node = file_of(file)->node;
    int rc = SQLITE_OK, there;

    pthread_mutex_lock(&mutex);
    there = at >= node->size ? 0 : node->size - at < len ? (int)(node->size - at) : len;
    if (is_dead) {
        rc = SQLITE_IOERR_READ;
    } else {
        if (there)
            memcpy(to, node->cache + at, (size_t)there);
        memset((char *)to + there, 0, (size_t)(len - there));
        rc = there < len ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static void write_cache(struct node *node, const void *from, int len, sqlite3_int64 at)
{
    if (at + len > node->size)
        set_size(node, at + len);
    memcpy(node->cache + at, from, (size_t)len);
    note_change(node, (struct change){.at = at, .len = len});
}

static int on_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    struct node *node = file_of(file)->node;
    int rc = SQLITE_OK;

    pthread_mutex_lock(&mutex);
    switch (next_operation(false)) {
    case VFS_FAULT_POWER_CUT:
        rc = SQLITE_IOERR_WRITE;
        break;
    case VFS_FAULT_WRITE_EIO:
        write_cache(node, from, len / 2, at);
        rc = SQLITE_IOERR_WRITE;
        break;
    default:
        if (is_full && at + len > node->size)
            rc = SQLITE_FULL;
        else
            write_cache(node, from, len, at);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct node *node = file_of(file)->node;
    int rc = SQLITE_OK;

    pthread_mutex_lock(&mutex);
    if (is_dead) {
        rc = SQLITE_IOERR_TRUNCATE;
    } else if (size < node->size) {
        set_size(node, size);
        note_change(node, (struct change){.is_truncate = true, .at = size});
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int on_sync(sqlite3_file *file, int flags)
{
    struct node *node = file_of(file)->node;
    int rc = SQLITE_IOERR_FSYNC;

    (void)flags;
    pthread_mutex_lock(&mutex);
    switch (next_operation(true)) {
    case VFS_FAULT_POWER_CUT:
        break;
    case VFS_FAULT_SYNC_LOSES:
        node->change_count = 0;
        read_disk(node);
        break;
    case VFS_FAULT_SYNC_KEEPS:
        node->change_count = 0;
        break;
    case VFS_FAULT_SYNC_KILLS:
        node->change_count = 0;
        is_dead = true;
        break;
    default:
        sync_node(node);
        rc = SQLITE_OK;
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    pthread_mutex_lock(&mutex);
    *size = file_of(file)->node->size;
    pthread_mutex_unlock(&mutex);
    return SQLITE_OK;
}

#define REAL(file) (file_of(file)->real)

static int on_lock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xLock(REAL(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), level);
}

static int on_check_reserved(sqlite3_file *file, int *out)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out);
}

static int on_control(sqlite3_file *file, int op, void *arg)
{
    /* These would change the real file behind our back. */
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}

static int on_sector_size(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int on_characteristics(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int on_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, out);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int on_shm_unmap(sqlite3_file *file, int delete)
{
    return REAL(file)->pMethods->xShmUnmap(REAL(file), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_file_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_reserved,
    .xFileControl = on_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_characteristics,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
};

/* --- sqlite3_vfs --- */

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                   int *out_flags)
{
    struct faulty_file *f = file_of(file);
    int rc;

    (void)vfs;
    if (!path) /* temporary files have no power to lose */
        return real_vfs->xOpen(real_vfs, path, file, flags, out_flags);
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(void *)(f + 1);
    if (is_dead)
        return SQLITE_CANTOPEN;
    rc = real_vfs->xOpen(real_vfs, path, f->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    pthread_mutex_lock(&mutex);
    f->node = open_node(path);
    pthread_mutex_unlock(&mutex);
    f->base.pMethods = &methods;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    struct node *node;
    int rc = SQLITE_IOERR_DELETE;

    (void)vfs;
    pthread_mutex_lock(&mutex);
    if (!is_dead) {
        node = find_node(path);
        if (node)
            drop_node(node);
        rc = real_vfs->xDelete(real_vfs, path, sync_folder);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    const struct node *node;

    (void)vfs;
    pthread_mutex_lock(&mutex);
    node = find_node(path);
    if (node && flags == SQLITE_ACCESS_EXISTS)
        *out = node->size > 0;
    pthread_mutex_unlock(&mutex);
    return node && flags == SQLITE_ACCESS_EXISTS ? SQLITE_OK
                                                 : real_vfs->xAccess(real_vfs, path, flags, out);
}

void vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.pNext = NULL;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = on_open;
    faulty_vfs.xDelete = on_delete;
    faulty_vfs.xAccess = on_access;
    must(sqlite3_vfs_register(&faulty_vfs, 1) == SQLITE_OK, "vfs");
}

void vfs_plan(enum vfs_fault fault, unsigned after, unsigned seed)
{
    pthread_mutex_lock(&mutex);
    planned = fault;
    countdown = after;
    plan_seed = seed;
    fired = false;
    pthread_mutex_unlock(&mutex);
}

bool vfs_fired(void)
{
    bool result;

    pthread_mutex_lock(&mutex);
    result = fired;
    pthread_mutex_unlock(&mutex);
    return result;
}

void vfs_heal(void)
{
    pthread_mutex_lock(&mutex);
    while (is_dead && nodes)
        drop_node(nodes);
    is_dead = is_full = false;
    planned = VFS_FAULT_NONE;
    pthread_mutex_unlock(&mutex);
}

void vfs_revive(void)
{
    pthread_mutex_lock(&mutex);
    is_dead = false;
    pthread_mutex_unlock(&mutex);
}

unsigned long vfs_operations(void)
{
    unsigned long result;

    pthread_mutex_lock(&mutex);
    result = operations;
    pthread_mutex_unlock(&mutex);
    return result;
}
