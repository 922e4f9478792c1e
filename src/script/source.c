/* SPDX-License-Identifier: MIT */
/*
 * From a folder on disk, or from the binary, to a source that never changes: states that are made
 * later, on any loop, run exactly what was checked.
 */
#include "script/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "moonloom_lua.h"

#define SOURCE_MAX (512u * 1024)
#define FILES_MAX  256
#define DEPTH_MAX  4
#define PATH_BYTES 1024

struct ml_slice ml_source_read_file(const char *path, size_t max)
{
    FILE *f = fopen(path, "rbe");
    struct ml_slice none = {0};
    char *bytes, *fitted;
    size_t len;

    if (!f)
        return none;
    bytes = malloc(max + 1);
    if (!bytes) {
        fclose(f);
        errno = ENOMEM;
        return none;
    }
    len = fread(bytes, 1, max + 1, f);
    if (ferror(f) || len > max) {
        errno = ferror(f) ? EIO : EFBIG;
        free(bytes);
        fclose(f);
        return none;
    }
    fclose(f);
    bytes[len] = '\0';
    fitted = realloc(bytes, len + 1);
    return ml_slice_make(fitted ? fitted : bytes, len);
}

struct ml_slice ml_source_shipped(const char *path)
{
    for (const struct ml_embedded *e = ml_shipped_files; e->name; e++)
        if (strcmp(e->name, path) == 0)
            return ml_slice_make(e->bytes, e->len);
    return (struct ml_slice){0};
}

/* Takes the text. False: no memory, and the text is gone. */
static bool add_file(struct ml_source *source, const char *path, struct ml_slice text)
{
    struct ml_plugin_file *files =
        realloc(source->files, (source->file_count + 1) * sizeof(*files));
    char *name = strdup(path);

    if (files)
        source->files = files;
    if (!files || !name) {
        free(name);
        free((void *)(uintptr_t)text.ptr);
        return false;
    }
    source->files[source->file_count++] = (struct ml_plugin_file){name, text};
    source->bytes += text.len;
    return true;
}

/* ---- On disk -------------------------------------------------------------------------------- */

struct reading {
    struct ml_source *source;
    const char *folder; /* name of the plugin, for messages */
    const char *root;   /* its path */
    struct ml_diag *diag;
};

static enum ml_err read_one(const struct reading *r, const char *path)
{
    char full[PATH_BYTES];
    struct ml_slice text;

    if (snprintf(full, sizeof(full), "%s/%s", r->root, path) >= (int)sizeof(full))
        return ml_diag_set(r->diag, ML_EIO, 0, "%s/%s: the path is too long", r->folder, path);
    errno = 0;
    text = ml_source_read_file(full, SOURCE_MAX - r->source->bytes);
    if (!text.ptr && (errno == ENOENT || errno == ENOTDIR))
        return ML_OK;
    if (!text.ptr)
        return ml_diag_set(r->diag, ML_EIO, 0, "%s/%s: %s", r->folder, path,
                           errno == EFBIG ? "the plugin has more than 512 KiB of source"
                                          : strerror(errno));
    if (r->source->file_count >= FILES_MAX) {
        free((void *)(uintptr_t)text.ptr);
        return ml_diag_set(r->diag, ML_EIO, 0, "%s: more than %d files", r->folder, FILES_MAX);
    }
    return add_file(r->source, path, text) ? ML_OK
                                           : ml_diag_set(r->diag, ML_ELIMIT, 0, "out of memory");
}

static bool ends_in_lua(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static enum ml_err read_folder(const struct reading *r, const char *inside, unsigned depth);

static enum ml_err read_entry(const struct reading *r, const char *path, unsigned depth)
{
    char full[PATH_BYTES];
    struct stat st;

    if (snprintf(full, sizeof(full), "%s/%s", r->root, path) >= (int)sizeof(full) ||
        stat(full, &st))
        return ML_OK;
    if (S_ISDIR(st.st_mode))
        return depth < DEPTH_MAX ? read_folder(r, path, depth + 1) : ML_OK;
    return S_ISREG(st.st_mode) && ends_in_lua(path) ? read_one(r, path) : ML_OK;
}

/* At most DEPTH_MAX deep. In the order of the names, so that the hash does not depend on the disk.
 */
static enum ml_err read_folder(const struct reading *r, const char *inside, unsigned depth)
{
    char full[PATH_BYTES], path[PATH_BYTES];
    struct dirent **entries;
    enum ml_err err = ML_OK;
    int n;

    if (snprintf(full, sizeof(full), "%s/%s", r->root, inside) >= (int)sizeof(full))
        return ML_OK;
    n = scandir(full, &entries, NULL, alphasort);
    if (n < 0)
        return ML_OK;
    for (int i = 0; i < n; i++) {
        if (!err && entries[i]->d_name[0] != '.' &&
            snprintf(path, sizeof(path), "%s/%s", inside, entries[i]->d_name) < (int)sizeof(path))
            err = read_entry(r, path, depth);
        free(entries[i]);
    }
    free(entries);
    return err;
}

static enum ml_err read_disk(const struct reading *r)
{
    enum ml_err err = read_one(r, "plugin.lua");

    if (!err)
        err = read_one(r, "init.lua");
    if (!err && r->source->file_count)
        err = read_folder(r, "lib", 1);
    if (!err && r->source->file_count)
        err = read_folder(r, "vendor", 1);
    return err;
}

/* ---- In the binary -------------------------------------------------------------------------- */

static enum ml_err copy_shipped(struct ml_source *source, const char *folder, struct ml_diag *diag)
{
    char prefix[64];
    size_t len = (size_t)snprintf(prefix, sizeof(prefix), "plugins/%s/", folder);

    for (const struct ml_embedded *e = ml_shipped_files; e->name; e++) {
        char *copy;

        if (len >= sizeof(prefix) || strncmp(e->name, prefix, len) != 0)
            continue;
        copy = malloc(e->len + 1);
        if (!copy)
            return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
        memcpy(copy, e->bytes, e->len);
        copy[e->len] = '\0';
        if (!add_file(source, e->name + len, ml_slice_make(copy, e->len)))
            return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    }
    return ML_OK;
}

/* ---- Public --------------------------------------------------------------------------------- */

/* FNV-1a: it tells versions apart for a person and is no protection. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

/* Is every file the one that ships under this name, and none is missing? */
static bool is_as_shipped(const struct ml_source *source, const char *folder)
{
    char prefix[64];
    size_t len = (size_t)snprintf(prefix, sizeof(prefix), "plugins/%s/", folder), count = 0;

    for (const struct ml_embedded *e = ml_shipped_files; e->name; e++) {
        const struct ml_plugin_file *file;

        if (len >= sizeof(prefix) || strncmp(e->name, prefix, len) != 0)
            continue;
        file = ml_source_file(source, e->name + len);
        if (!file || !ml_slice_equal(file->text, ml_slice_make(e->bytes, e->len)))
            return false;
        count++;
    }
    return count && count == source->file_count;
}

enum ml_err ml_source_read(struct ml_slice plugins_dir, const char *folder, struct ml_diag *diag,
                           struct ml_source **source_out)
{
    struct ml_source *source = calloc(1, sizeof(*source));
    char root[PATH_BYTES];
    struct reading reading = {source, folder, root, diag};
    enum ml_err err = ML_OK;

    if (!source)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    atomic_init(&source->refs, 1);
    if (plugins_dir.len &&
        snprintf(root, sizeof(root), "%.*s/%s", ML_PRINT(plugins_dir), folder) < (int)sizeof(root))
        err = read_disk(&reading);
    if (!err && !source->file_count)
        err = copy_shipped(source, folder, diag);
    if (err) {
        ml_source_free(source);
        return err;
    }
    source->is_shipped = is_as_shipped(source, folder);
    source->hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < source->file_count; i++) {
        source->hash = mix(source->hash, source->files[i].path, strlen(source->files[i].path));
        source->hash = mix(source->hash, source->files[i].text.ptr, source->files[i].text.len);
    }
    *source_out = source;
    return ML_OK;
}

struct ml_source *ml_source_ref(struct ml_source *source)
{
    atomic_fetch_add(&source->refs, 1);
    return source;
}

void ml_source_free(struct ml_source *source)
{
    if (!source || atomic_fetch_sub(&source->refs, 1) != 1)
        return;
    for (size_t i = 0; i < source->file_count; i++) {
        free(source->files[i].path);
        free((void *)(uintptr_t)source->files[i].text.ptr);
    }
    free(source->files);
    free(source);
}

const struct ml_plugin_file *ml_source_file(const struct ml_source *source, const char *path)
{
    for (size_t i = 0; i < source->file_count; i++)
        if (strcmp(source->files[i].path, path) == 0)
            return &source->files[i];
    return NULL;
}
