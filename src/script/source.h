/* SPDX-License-Identifier: MIT */
/* The source of a plugin: all of its Lua, read once. Private to script/. */
#ifndef ML_SCRIPT_SOURCE_H
#define ML_SCRIPT_SOURCE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ml_plugin_file {
    char *path; /* inside the plugin's folder: "init.lua", "lib/rules.lua" */
    struct ml_slice text;
};

/* Immutable once it was read, counted: deployments share what did not change. */
struct ml_source {
    _Atomic unsigned refs;
    struct ml_plugin_file *files;
    size_t file_count, bytes;
    uint64_t hash;   /* of paths and texts */
    bool is_shipped; /* what it ships with, unchanged */
};

/**
 * Read PLUGINS_DIR/FOLDER, or what ships with the binary under that name: plugin.lua, init.lua,
 * lib/ and vendor/. A folder that is not there is a source without files.
 * @retval ML_EIO  it cannot be read, or is larger than 512 KiB
 */
enum ml_err ml_source_read(struct ml_slice plugins_dir, const char *folder, struct ml_diag *diag,
                           struct ml_source **source_out) ML_MUST_CHECK;
struct ml_source *ml_source_ref(struct ml_source *source);
/** Gives back one reference. NULL is fine. */
void ml_source_free(struct ml_source *source);
/** NULL: it has no such file. */
const struct ml_plugin_file *ml_source_file(const struct ml_source *source, const char *path);

/** The bytes of a file, malloc'ed, with a NUL behind; .ptr NULL and errno if there is none. EFBIG
 * over `max`. */
struct ml_slice ml_source_read_file(const char *path, size_t max);
/** What ships with the binary under this path; .ptr NULL: nothing. */
struct ml_slice ml_source_shipped(const char *path);

#endif
