/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "bind/bind.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Thread_local uint64_t world_mono_ms;
_Thread_local int64_t world_wall_ms;

static uint64_t mono_ms(void)
{
    return world_mono_ms;
}

static int64_t wall_ms(void)
{
    return world_wall_ms;
}

static void on_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    struct world *world = arg;
    size_t used = strlen(world->log);

    snprintf(world->log + used, sizeof(world->log) - used, "%d %.*s: %.*s\n", level,
             ML_PRINT(plugin), ML_PRINT(message));
}

void world_init(struct world *world)
{
    ml_script_use_jwt(&ml_bind_jwt);
    *world = (struct world){.dir = "/tmp/moonloom-script-XXXXXX"};
    assert_non_null(mkdtemp(world->dir));
    ml_arena_init(&world->scratch, 1 << 24);
    world->doc = ml_doc_new(&(struct ml_doc_options){.client = 99});
    assert_non_null(world->doc);
    world_mono_ms = 1000000;
    world_wall_ms = 1700000000000;
    world->options = (struct ml_script_options){
        .plugins_dir = ml_slice_str(world->dir),
        .plugins = world->plugins,
        .log = on_log,
        .log_arg = world,
        .wall_ms = wall_ms,
        .mono_ms = mono_ms,
        .seal_key = ML_SLICE("0123456789abcdef0123456789abcdef"),
    };
}

void world_stop(struct world *world)
{
    char command[128];

    ml_script_free(world->script);
    world->script = NULL;
    world->plugin_count = 0;
    world->log[0] = '\0';
    world->diag.text[0] = '\0';
    snprintf(command, sizeof(command), "rm -rf %s/*", world->dir);
    assert_int_equal(system(command), 0);
}

void world_release(struct world *world)
{
    world_stop(world);
    ml_arena_release(&world->scratch);
    ml_doc_free(world->doc);
    assert_int_equal(rmdir(world->dir), 0);
}

void world_write(struct world *world, const char *path, const char *text)
{
    char full[256];
    FILE *f;

    snprintf(full, sizeof(full), "%s/%s", world->dir, path);
    for (char *p = full + strlen(world->dir) + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(full, 0700);
        *p = '/';
    }
    f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

void world_enable(struct world *world, const char *name, const char *config_json)
{
    size_t i = world->plugin_count++;

    assert_true(i < WORLD_PLUGINS);
    snprintf(world->names[i], sizeof(world->names[i]), "%s", name);
    world->plugins[i].name = ml_slice_str(world->names[i]);
    world->plugins[i].config_json = config_json ? ml_slice_str(config_json) : (struct ml_slice){0};
}

void world_plugin(struct world *world, const char *name, const char *manifest_rest,
                  const char *init)
{
    char path[96], manifest[4096];

    snprintf(path, sizeof(path), "%s/plugin.lua", name);
    snprintf(manifest, sizeof(manifest),
             "return { name = \"%s\", version = \"1.0.0\", api = 1, %s }", name, manifest_rest);
    world_write(world, path, manifest);
    snprintf(path, sizeof(path), "%s/init.lua", name);
    world_write(world, path, init);
    world_enable(world, name, NULL);
}

void world_start(struct world *world)
{
    world->options.plugin_count = world->plugin_count;
    world->err = ml_script_new(&world->options, &world->diag, &world->script);
    if (world->err)
        world->script = NULL;
}

static void put_string(struct ml_writer *out, const char *text)
{
    ml_write_varbytes(out, ml_slice_str(text));
}

/* Header of one struct by client 1 at clock 0, whose parent is a root. */
static void put_head(struct ml_writer *out, uint8_t info, const char *root)
{
    ml_write_varuint(out, 1); /* clients */
    ml_write_varuint(out, 1); /* structs */
    ml_write_varuint(out, 1); /* client */
    ml_write_varuint(out, 0); /* clock */
    ml_write_u8(out, info);
    ml_write_varuint(out, 1); /* the parent is a root */
    put_string(out, root);
}

void put_text_update(struct ml_writer *out, const char *root, const char *text)
{
    put_head(out, 4, root);
    put_string(out, text);
    ml_write_varuint(out, 0);
}

void put_map_update(struct ml_writer *out, const char *root, const char *key, const char *value)
{
    put_head(out, 8 | 0x20, root);
    put_string(out, key);
    ml_write_varuint(out, 1);
    ml_write_u8(out, 119);
    put_string(out, value);
    ml_write_varuint(out, 0);
}

void put_delete_update(struct ml_writer *out, uint64_t len)
{
    ml_write_varuint(out, 0); /* no structs */
    ml_write_varuint(out, 1); /* clients of the delete set */
    ml_write_varuint(out, 1); /* client */
    ml_write_varuint(out, 1); /* ranges */
    ml_write_varuint(out, 0);
    ml_write_varuint(out, len);
}

enum ml_err world_update(struct world *world, struct ml_slice bytes)
{
    static const struct ml_slice roles[] = {{(const uint8_t *)"editor", 6}};
    struct ml_scope scope = {
        .org = ML_SLICE("acme"),
        .document = ML_SLICE("notes/1"),
        .user = ML_SLICE("ana"),
        .user_name = ML_SLICE("Ana"),
        .session = ML_SLICE("s1"),
        .origin = "client",
        .roles = roles,
        .role_count = 1,
    };
    const struct ml_update *update;
    enum ml_err err;

    ml_arena_reset(&world->scratch);
    assert_int_equal(ml_update_decode(&world->scratch, bytes, NULL, NULL, &update), ML_OK);
    ml_script_update_init(&world->decision, update, world->doc, &world->scratch);
    err = ml_script_authorize_edit(world->script, &scope, &world->decision, &world->denial);
    return err ? err
               : ml_script_before_update(world->script, &scope, &world->decision, &world->denial);
}

enum ml_err world_insert(struct world *world, const char *root, const char *text)
{
    struct ml_writer out;
    enum ml_err err;

    ml_writer_init(&out, 1 << 24);
    put_text_update(&out, root, text);
    err = world_update(world, ml_writer_slice(&out));
    ml_writer_release(&out);
    return err;
}

void world_expect(const struct world *world, int condition, const char *what, const char *file,
                  int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n  diag: %s\n  log:\n%s\n", file, line, what,
            world->diag.text, world->log);
    if (gettid() != getpid()) /* cmocka can only leave a test on its own thread */
        abort();
    fail();
}

void world_keep_access(void *arg, const struct ml_access_answer *answer)
{
    struct world *w = arg;

    w->access = *answer;
    w->denial = answer->denial;
    w->access_count++;
}
