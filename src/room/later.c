/* SPDX-License-Identifier: MIT */
/*
 * Hooks that are told of later: one job for each instance that has the hook, all in one write. From
 * then on the queue sees to it that they hear of it.
 */
#include "room/live.h"

#include <stdio.h>
#include <stdlib.h>

#define INSTANCES_MAX 32

struct later {
    struct ml_rooms *rooms; /* which are not empty until this is over */
    struct ml_arena arena;
    struct ml_store_write write;
    struct ml_store_item items[INSTANCES_MAX];
    void (*done)(void *arg, enum ml_err err);
    void *arg;
};

static void on_written(struct ml_store_write *write)
{
    struct later *later = ML_CONTAINER(write, struct later, write);
    void (*done)(void *arg, enum ml_err err) = later->done;
    void *arg = later->arg;
    enum ml_err err = write->err;

    ml_store_write_release(write);
    later->rooms->keeping_count--;
    ml_arena_release(&later->arena);
    free(later);
    done(arg, err);
}

/* The jobs. False: no memory. */
static bool add_items(struct later *later, struct ml_script *script, struct ml_slice name,
                      const struct ml_later *what, struct ml_slice args)
{
    struct ml_slice instance;

    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        struct ml_store_item *item = &later->items[i];

        if (!ml_script_later(script, what->hook, what->document, i, &instance))
            break;
        *item = (struct ml_store_item){.act = ML_STORE_PUSH,
                                       .instance = ml_arena_copy(&later->arena, instance),
                                       .key = name,
                                       .value = args};
        if (!item->instance.ptr)
            return false;
        later->write.count++;
    }
    return true;
}

bool ml_rooms_tell_later(struct ml_rooms *rooms, const struct ml_later *what)
{
    const struct ml_room_env *env = &rooms->env;
    struct ml_script *script =
        env->cells ? ml_cells_script(env->cells, what->org, what->document) : env->script;
    struct ml_slice instance, args, name;
    struct later *later;
    char text[64];

    if (!script || !ml_script_later(script, what->hook, what->document, 0, &instance))
        return false;
    later = calloc(1, sizeof *later);
    if (!later)
        return false;
    ml_arena_init(&later->arena, 1u << 20);
    (void)snprintf(text, sizeof text, "@%s", what->hook);
    name = ml_arena_copy(&later->arena, ml_slice_str(text));
    args = ml_arena_copy(&later->arena, what->args);
    later->rooms = rooms;
    later->done = what->done;
    later->arg = what->arg;
    later->write = (struct ml_store_write){
        .org = ml_arena_copy(&later->arena, what->org),
        .space = ML_SLICE("kv"),
        .items = later->items,
        .now_ms = env->wall_ms(env->arg),
        .done = on_written,
    };
    if (!name.ptr || !args.ptr || !later->write.org.ptr ||
        !add_items(later, script, name, what, args)) {
        ml_log(ML_LOG_ERROR, "hook.untold", "org=%s hook=%s reason=memory", ML_LOG_TEXT(what->org),
               what->hook);
        ml_arena_release(&later->arena);
        free(later);
        return false;
    }
    rooms->keeping_count++;
    ml_store_commit(env->journal, &later->write);
    return true;
}
