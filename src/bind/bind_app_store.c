/* SPDX-License-Identifier: MIT */
/*
 * The store of a t.app's plugins is the memory journal's, by the app's clock; the web is the
 * spec's. Also what a server does with the queue: take jobs, and say what became of them.
 *
 *   plugin -- op --> begin -- ml_store_look, ml_store_commit --> journal
 *                      |                                            | app:step
 *                      +---- "http" event --> spec -- app:resume    v
 *                                               +--> ml_script_resume <-- done
 */
#include <stdlib.h>

#include "bind/bind_app.h"

#define ASKING_BYTES (8u << 20)
#define LEASE_MS     60000

struct asking {
    struct ml_list node; /* app->asking */
    struct ml_app *app;
    struct ml_script *script; /* NULL: cancelled */
    uint64_t ticket;
    uint64_t id; /* of an event; 0: a question to the store */
    struct ml_arena arena;
    struct ml_store_read read;
    struct ml_store_write write;
};

static void free_asking(struct asking *a)
{
    ml_list_remove(&a->node);
    ml_arena_release(&a->arena);
    free(a);
}

static void answer(struct asking *a, const struct ml_script_answer *with)
{
    struct ml_script *script = a->script;

    a->script = NULL;
    if (script)
        ml_script_resume(script, a->ticket, with);
}

static void on_read(struct ml_store_read *read)
{
    struct asking *a = ML_CONTAINER(read, struct asking, read);
    struct ml_script_item *items = ml_arena_array(&a->arena, read->count + 1, sizeof *items);
    struct ml_script_answer with = {.err = read->err, .number = read->more};

    for (size_t i = 0; items && read->pairs && i < read->count; i++)
        items[i] = (struct ml_script_item){
            .key = read->pairs[i].key, .value = read->pairs[i].value, .rev = read->pairs[i].rev};
    with.items = items;
    with.item_count = items && read->pairs ? read->count : 0;
    answer(a, &with);
    ml_store_read_release(read);
    free_asking(a);
}

static void on_write(struct ml_store_write *write)
{
    struct asking *a = ML_CONTAINER(write, struct asking, write);
    struct ml_script_item *items = ml_arena_array(&a->arena, write->count + 1, sizeof *items);
    struct ml_script_answer with = {.err = write->err, .number = write->rev};

    for (size_t i = 0; items && i < write->count; i++)
        items[i] = (struct ml_script_item){.value = ml_slice_str(write->items[i].id_out),
                                           .rev = write->items[i].rev_out,
                                           .number = write->items[i].number_out};
    with.items = items;
    with.item_count = items ? write->count : 0;
    answer(a, &with);
    ml_store_write_release(write);
    free_asking(a);
}

static struct ml_slice keep(struct asking *a, struct ml_slice text)
{
    return text.ptr ? ml_arena_copy(&a->arena, text) : text;
}

static void begin_read(struct asking *a, const struct ml_script_op *op)
{
    a->read = (struct ml_store_read){
        .look = ml_slice_equal(op->name, ML_SLICE("usage")) ? ML_STORE_USAGE
                : op->key.len                               ? ML_STORE_GET
                                                            : ML_STORE_SCAN,
        .org = keep(a, op->org),
        .instance = keep(a, op->instance),
        .space = keep(a, op->space),
        .key = keep(a, op->key.len ? op->key : op->prefix),
        .after = keep(a, op->after),
        .limit = op->limit < 1                   ? 1
                 : op->limit > ML_STORE_PAGE_MAX ? ML_STORE_PAGE_MAX
                                                 : op->limit,
        .now_ms = ml_test_wall_ms(),
        .done = on_read,
    };
    ml_store_look(a->app->journal, &a->read);
}

static void begin_write(struct asking *a, const struct ml_script_op *op)
{
    static const enum ml_store_act acts[] = {
        [ML_ITEM_CHECK] = ML_STORE_CHECK, [ML_ITEM_RANGE] = ML_STORE_RANGE,
        [ML_ITEM_SET] = ML_STORE_SET,     [ML_ITEM_DELETE] = ML_STORE_DELETE,
        [ML_ITEM_INCR] = ML_STORE_INCR,   [ML_ITEM_JOB] = ML_STORE_PUSH,
    };

    a->write = (struct ml_store_write){
        .org = keep(a, op->org),
        .instance = keep(a, op->instance),
        .space = keep(a, op->space),
        .items = ml_arena_array(&a->arena, op->item_count + 1, sizeof *a->write.items),
        .now_ms = ml_test_wall_ms(),
        .done = on_write,
    };
    for (size_t i = 0; a->write.items && i < op->item_count; i++) {
        const struct ml_script_item *item = &op->items[i];
        bool is_job = item->kind == ML_ITEM_JOB;

        a->write.items[i] = (struct ml_store_item){
            .act = acts[item->kind],
            .key = keep(a, item->key),
            .value = keep(a, item->value),
            .upto = keep(a, item->upto),
            .rev = item->rev,
            .count = item->count,
            .ttl_ms = is_job ? 0 : item->ttl_ms,
            .number = item->number,
            .due_ms = is_job ? (int64_t)item->ttl_ms : 0,
        };
        a->write.count++;
    }
    ml_store_commit(a->app->journal, &a->write);
}

/* Headers as { name, value } pairs. */
static void put_items(struct ml_app *app, const struct ml_script_op *op)
{
    lua_createtable(app->L, (int)op->item_count, 0);
    for (size_t i = 0; i < op->item_count; i++) {
        lua_newtable(app->L);
        ml_app_put(app, "key", op->items[i].key);
        ml_app_put(app, "value", op->items[i].value);
        lua_rawseti(app->L, -2, (int)i + 1);
    }
    lua_setfield(app->L, -2, "items");
}

static void tell(struct ml_app *app, uint64_t ticket, const struct ml_script_op *op)
{
    ml_app_event(app, "op");
    ml_app_put(app, "op",
               ml_slice_str(op->kind == ML_OP_HTTP   ? "http"
                            : op->kind == ML_OP_DOCS ? "docs"
                                                     : "sessions"));
    ml_app_put_number(app, "ticket", (double)ticket);
    ml_app_put(app, "org", op->org);
    ml_app_put(app, "instance", op->instance);
    ml_app_put(app, "name", op->name);
    ml_app_put(app, "key", op->key);
    ml_app_put(app, "value", op->value);
    ml_app_put(app, "prefix", op->prefix);
    ml_app_put(app, "after", op->after);
    ml_app_put_number(app, "limit", (double)op->limit);
    ml_app_put_number(app, "timeout_ms", (double)op->timeout_ms);
    put_items(app, op);
    ml_app_post(app);
}

static enum ml_err begin(void *arg, struct ml_script *script, uint64_t ticket,
                         const struct ml_script_op *op)
{
    struct ml_app *app = arg;
    struct asking *a;

    a = calloc(1, sizeof *a);
    if (!a)
        return ML_ELIMIT;
    a->app = app;
    a->script = script;
    a->ticket = ticket;
    ml_arena_init(&a->arena, ASKING_BYTES);
    ml_list_append(&app->asking, &a->node);
    if (op->kind == ML_OP_STORE_READ) {
        begin_read(a, op);
    } else if (op->kind == ML_OP_STORE_COMMIT) {
        begin_write(a, op);
    } else {
        a->id = ++app->next_event;
        tell(app, a->id, op);
    }
    return ML_OK;
}

static void cancel(void *arg, struct ml_script *script, uint64_t ticket)
{
    struct ml_app *app = arg;

    ML_LIST_EACH(node, &app->asking)
    {
        struct asking *a = ML_CONTAINER(node, struct asking, node);

        if (a->script != script || a->ticket != ticket)
            continue;
        a->script = NULL;
        if (!a->id)
            return; /* the journal still answers */
        if (app->rooms) {
            ml_app_event(app, "cancel");
            ml_app_put_number(app, "ticket", (double)a->id);
            ml_app_post(app);
        }
        free_asking(a);
        return;
    }
}

void ml_app_resume(struct ml_app *app, uint64_t id, const struct ml_script_answer *with)
{
    ML_LIST_EACH(node, &app->asking)
    {
        struct asking *a = ML_CONTAINER(node, struct asking, node);

        if (!id || a->id != id)
            continue;
        answer(a, with);
        free_asking(a);
        return;
    }
}

static void wake_at(void *arg, struct ml_script *script, uint64_t at_ms)
{
    (void)arg; /* app:advance ticks often enough */
    (void)script;
    (void)at_ms;
}

struct ml_script_port ml_app_port(struct ml_app *app)
{
    return (struct ml_script_port){
        .arg = app, .begin = begin, .cancel = cancel, .wake_at = wake_at};
}

/* ---- Looking, and the queue ------------------------------------------------------------------ */

struct look {
    struct ml_store_read read;
    bool is_done;
};

static void on_look(struct ml_store_read *read)
{
    ML_CONTAINER(read, struct look, read)->is_done = true;
}

static struct ml_slice slice_at(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_optlstring(L, index, "", &len);

    return ml_slice_make(text, len);
}

/* app:store(org, instance, space, prefix) -> { { key, value (JSON), rev }, … } */
static int app_store(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct look look = {.read = {.look = ML_STORE_SCAN,
                                 .org = slice_at(L, 2),
                                 .instance = slice_at(L, 3),
                                 .space = slice_at(L, 4),
                                 .key = slice_at(L, 5),
                                 .limit = ML_STORE_PAGE_MAX,
                                 .now_ms = ml_test_wall_ms(),
                                 .done = on_look}};

    ml_store_look(app->journal, &look.read);
    while (!look.is_done)
        (void)ml_journal_memory_step(app->journal);
    lua_newtable(L);
    for (size_t i = 0; look.read.pairs && i < look.read.count; i++) {
        lua_newtable(L);
        ml_app_put(app, "key", look.read.pairs[i].key);
        ml_app_put(app, "value", look.read.pairs[i].value);
        ml_app_put_number(app, "rev", (double)look.read.pairs[i].rev);
        lua_rawseti(L, -2, (int)i + 1);
    }
    ml_store_read_release(&look.read);
    return 1;
}

/* The queue as lists of jobs: app:queue(org, instance, only_dead) */
static void put_job(struct ml_app *app, const struct ml_store_job *job)
{
    lua_newtable(app->L);
    ml_app_put(app, "id", ml_slice_str(job->id));
    ml_app_put(app, "org", job->org);
    ml_app_put(app, "instance", job->instance);
    ml_app_put(app, "name", job->name);
    ml_app_put(app, "key", job->key);
    ml_app_put(app, "args", job->args);
    ml_app_put(app, "why", job->why);
    ml_app_put_number(app, "try", job->try);
    ml_app_put_number(app, "queued_ms", (double)job->queued_ms);
    ml_app_put_number(app, "due_ms", (double)job->due_ms);
}

static int app_queue(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct look look = {.read = {.look = ML_STORE_JOBS,
                                 .org = slice_at(L, 2),
                                 .instance = slice_at(L, 3),
                                 .limit = ML_STORE_PAGE_MAX,
                                 .only_dead = lua_toboolean(L, 4),
                                 .now_ms = ml_test_wall_ms(),
                                 .done = on_look}};

    ml_store_look(app->journal, &look.read);
    while (!look.is_done)
        (void)ml_journal_memory_step(app->journal);
    lua_newtable(L);
    for (size_t i = 0; look.read.jobs && i < look.read.count; i++) {
        put_job(app, &look.read.jobs[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    ml_store_read_release(&look.read);
    return 1;
}

struct change {
    struct ml_store_write write;
    struct ml_store_item item;
    bool is_done;
};

static void on_change(struct ml_store_write *write)
{
    ML_CONTAINER(write, struct change, write)->is_done = true;
}

static void commit(struct ml_app *app, struct change *change)
{
    change->write.items = &change->item;
    change->write.count = 1;
    change->write.now_ms = ml_test_wall_ms();
    change->write.done = on_change;
    ml_store_commit(app->journal, &change->write);
    while (!change->is_done)
        (void)ml_journal_memory_step(app->journal);
}

/* app:take_jobs(org, instance, count) -> { job, … }: what is due, leased for a minute */
static int app_take_jobs(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct change change = {
        .write = {.org = slice_at(L, 2), .instance = slice_at(L, 3)},
        .item = {.act = ML_STORE_TAKE,
                 .count = (uint64_t)luaL_optnumber(L, 4, 16),
                 .ttl_ms = LEASE_MS},
    };

    commit(app, &change);
    lua_newtable(L);
    for (size_t i = 0; change.write.jobs && i < change.write.job_count; i++) {
        put_job(app, &change.write.jobs[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    ml_store_write_release(&change.write);
    return 1;
}

/* app:end_job(job, "done"|"retry"|"dead", due_ms, why) -> was it still ours? */
static int app_end_job(lua_State *L)
{
    static const char *const words[] = {"done", "retry", "dead", NULL};
    static const enum ml_store_act acts[] = {ML_STORE_DONE, ML_STORE_RETRY, ML_STORE_DEAD};
    struct ml_app *app = ml_app_check(L);
    struct change change = {.item = {.act = acts[luaL_checkoption(L, 3, NULL, words)],
                                     .due_ms = (int64_t)luaL_optnumber(L, 4, 0),
                                     .value = slice_at(L, 5)}};

    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "org");
    lua_getfield(L, 2, "instance");
    lua_getfield(L, 2, "id");
    lua_getfield(L, 2, "try");
    change.write.org = slice_at(L, -4);
    change.write.instance = slice_at(L, -3);
    change.item.key = slice_at(L, -2);
    change.item.rev = (uint64_t)lua_tonumber(L, -1);
    commit(app, &change);
    lua_pushboolean(L, change.write.err == ML_OK);
    ml_store_write_release(&change.write);
    return 1;
}

const luaL_Reg ml_app_store_methods[] = {{"store", app_store},
                                         {"queue", app_queue},
                                         {"take_jobs", app_take_jobs},
                                         {"end_job", app_end_job},
                                         {NULL, NULL}};
