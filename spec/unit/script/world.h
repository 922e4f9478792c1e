/* SPDX-License-Identifier: MIT */
/* A script with plugins written by the test, a fake clock, a log that is kept, and handmade
 * updates. */
#ifndef ML_SPEC_SCRIPT_WORLD_H
#define ML_SPEC_SCRIPT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec.h"
#include "script/script.h"

#define WORLD_PLUGINS 8

struct world {
    char dir[64]; /* of plugins */
    char names[WORLD_PLUGINS][48];
    struct ml_script_plugin plugins[WORLD_PLUGINS];
    size_t plugin_count;
    struct ml_script_options options;
    struct ml_script *script;
    struct ml_diag diag;
    enum ml_err err; /* of ml_script_new */
    char log[8192];
    struct ml_arena scratch;
    struct ml_denial denial;
    struct ml_access_answer access;   /* of the last question about access */
    unsigned access_count;            /* how many were answered */
    struct ml_doc *doc;               /* what updates meet; empty */
    struct ml_script_update decision; /* of the last update; in `scratch` */
};

/* The clocks of the scripts that run on this thread. */
extern _Thread_local uint64_t world_mono_ms;
extern _Thread_local int64_t world_wall_ms;

void world_init(struct world *world);
void world_release(struct world *world);
/** A file of a plugin, as "name/plugin.lua". */
void world_write(struct world *world, const char *path, const char *text);
/** Switch a plugin on; `config_json` NULL: none. */
void world_enable(struct world *world, const char *name, const char *config_json);
/** world_write twice and world_enable: `hooks` and `config` go into the manifest as they are. */
void world_plugin(struct world *world, const char *name, const char *manifest_rest,
                  const char *init);
/** ml_script_new with what was enabled; world->err, world->diag. */
void world_start(struct world *world);
/** An ml_access_done: `arg` is the world. */
void world_keep_access(void *arg, const struct ml_access_answer *answer);
/** Start over with other plugins. */
void world_stop(struct world *world);

/** One text insert to a root by client 1 at `clock`. */
void put_text_update(struct ml_writer *out, const char *root, const char *text);
/** One map write to a root. */
void put_map_update(struct ml_writer *out, const char *root, const char *key, const char *value);
/** One delete range. */
void put_delete_update(struct ml_writer *out, uint64_t len);

/** before_update by user "ana" in document "notes/1"; world->denial says more. */
enum ml_err world_update(struct world *world, struct ml_slice bytes);
enum ml_err world_insert(struct world *world, const char *root, const char *text);

/** `condition`, and otherwise the log and the diag on standard error. */
void world_expect(const struct world *world, int condition, const char *what, const char *file,
                  int line);
#define EXPECT(world, condition) world_expect(world, !!(condition), #condition, __FILE__, __LINE__)

#endif
