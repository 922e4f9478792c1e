/* SPDX-License-Identifier: MIT */
/*
 * The C half of t.app (lua/moonloom/test/app.lua): a server without sockets in the process of a
 * spec. Real rooms, the memory journal, real plugins; clients, clock and the outside are the
 * spec's.
 *
 *   spec                                      here
 *   app:join, app:receive, app:leave  ----->  ml_rooms_join, ml_room_submit …
 *   app:step, app:tick                ----->  journal, rooms and plugins go on by one step
 *   app:events() -> { event, … }      <-----  what ports, journal, log and plugins said since
 *
 * Nothing here decides anything: who sends what when is in Lua.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind_app.h"

#define APP         "moonloom.test.app"
#define SCRATCH_MAX (64u << 20)
#define HOOK_MS     2000 /* a spec is not about the speed of the machine it runs on */
#define REPORT_MAX  (64u << 10)
#define DRAIN_STEPS 400
#define DRAIN_MS    100

static struct ml_app *check_app(lua_State *L)
{
    struct ml_app *app = luaL_checkudata(L, 1, APP);

    if (!app->rooms)
        luaL_error(L, "this app is closed");
    app->L = L;
    return app;
}

static struct ml_slice slice_at(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_checklstring(L, index, &len);

    return ml_slice_make(text, len);
}

/* Text of a field of the table at `index`; lives as long as the table. */
static struct ml_slice field_of(lua_State *L, int index, const char *name)
{
    struct ml_slice out = {0};
    size_t len;
    const char *text;

    lua_getfield(L, index, name);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text)
        out = ml_slice_make(text, len);
    lua_pop(L, 1);
    return out;
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* Leaves a new event on the stack; ml_app_post files it. */
void ml_app_event(struct ml_app *app, const char *kind)
{
    lua_newtable(app->L);
    lua_pushstring(app->L, kind);
    lua_setfield(app->L, -2, "kind");
}

void ml_app_put(struct ml_app *app, const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    lua_pushlstring(app->L, (const char *)text.ptr, text.len);
    lua_setfield(app->L, -2, name);
}

void ml_app_put_number(struct ml_app *app, const char *name, double value)
{
    lua_pushnumber(app->L, value);
    lua_setfield(app->L, -2, name);
}

void ml_app_post(struct ml_app *app)
{
    lua_State *L = app->L;

    lua_rawgeti(L, LUA_REGISTRYINDEX, app->events_ref);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    lua_pop(L, 1);
}

/* app:events() -> { event, … } since the last call */
static int app_events(lua_State *L)
{
    const struct ml_app *app = check_app(L);

    lua_rawgeti(L, LUA_REGISTRYINDEX, app->events_ref);
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, app->events_ref);
    return 1;
}

static void on_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    struct ml_app *app = arg;

    ml_app_event(app, "log");
    ml_app_put_number(app, "level", level);
    ml_app_put(app, "plugin", plugin);
    ml_app_put(app, "text", message);
    ml_app_post(app);
}

static void on_commit(void *arg, struct ml_slice org, struct ml_slice name, uint64_t seq,
                      struct ml_slice bytes)
{
    struct ml_app *app = arg;

    ml_app_event(app, "record");
    ml_app_put(app, "org", org);
    ml_app_put(app, "doc", name);
    ml_app_put_number(app, "seq", (double)seq);
    ml_app_put(app, "bytes", bytes);
    ml_app_post(app);
}

/* ---- Seats ----------------------------------------------------------------------------------- */

struct seat {
    struct ml_port port; /* first */
    struct ml_list node; /* app->seats */
    struct ml_app *app;
    struct ml_member *member;
    unsigned id;
};

static struct seat *seat_of(struct ml_port *port)
{
    return (struct seat *)(void *)port;
}

static void seat_event(const struct seat *seat, const char *kind)
{
    ml_app_event(seat->app, kind);
    ml_app_put_number(seat->app, "seat", seat->id);
}

static enum ml_err port_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    struct seat *seat = seat_of(port);

    (void)as;
    seat_event(seat, "frame");
    ml_app_put(seat->app, "bytes", ml_frame_message(frame));
    ml_app_post(seat->app);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, "ack");
    ml_app_put_number(seat->app, "no", (double)message_no);
    ml_app_post(seat->app);
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, member ? "joined" : "closed");
    if (!member) {
        seat->member = NULL;
        ml_app_put_number(seat->app, "why", (double)why);
    }
    ml_app_post(seat->app);
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, "closed");
    ml_app_put_number(seat->app, "why", (double)why);
    ml_app_put(seat->app, "reason", reason);
    ml_app_post(seat->app);
}

static void port_pause(struct ml_port *port, bool paused)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, paused ? "paused" : "resumed");
    ml_app_post(seat->app);
}

static void port_refused(struct ml_port *port, const struct ml_notice *notice)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, "refused");
    ml_app_put_number(seat->app, "update", (double)notice->message_no);
    ml_app_put(seat->app, "code", notice->denial->code);
    ml_app_put(seat->app, "reason", notice->denial->reason);
    ml_app_put(seat->app, "mode", ml_slice_str(notice->is_fenced ? "fence" : "undo"));
    ml_app_post(seat->app);
}

static void port_failed(struct ml_port *port, uint64_t message_no, enum ml_err err)
{
    struct seat *seat = seat_of(port);

    seat_event(seat, "failed");
    ml_app_put_number(seat->app, "no", (double)message_no);
    ml_app_put(seat->app, "err", ml_slice_str(ml_err_name(err)));
    ml_app_post(seat->app);
}

static struct seat *find_seat(lua_State *L, const struct ml_app *app, int index)
{
    unsigned id = (unsigned)luaL_checkinteger(L, index);

    ML_LIST_EACH(node, &app->seats)
    {
        struct seat *seat = ML_CONTAINER(node, struct seat, node);

        if (seat->id == id)
            return seat;
    }
    luaL_error(L, "this seat was given up");
    return NULL;
}

/* Rights by their names in the table at `index`. */
static unsigned rights_at(lua_State *L, int index)
{
    static const struct {
        const char *name;
        unsigned bit;
    } rights[] = {{"read", ML_MAY_READ},
                  {"write", ML_MAY_WRITE},
                  {"presence", ML_MAY_PRESENCE},
                  {"messages", ML_MAY_MESSAGE},
                  {"history", ML_MAY_HISTORY}};
    unsigned may = 0;

    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        lua_getfield(L, index, rights[i].name);
        if (lua_toboolean(L, -1))
            may |= rights[i].bit;
        lua_pop(L, 1);
    }
    return may;
}

/* app:join(org, doc, { user, name, roles, kind }, { read = …, write = … }) -> seat | nil, kind */
static int app_join(lua_State *L)
{
    struct ml_app *app = check_app(L);
    static const struct ml_port port = {.dialect = ML_DIALECT_YWEBSOCKET,
                                        .send = port_send,
                                        .ack = port_ack,
                                        .joined = port_joined,
                                        .close = port_close,
                                        .pause = port_pause,
                                        .refused = port_refused,
                                        .failed = port_failed};
    struct ml_identity identity;
    struct ml_grant grant;
    struct seat *seat;
    enum ml_err err;

    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checktype(L, 5, LUA_TTABLE);
    ml_app_identity(L, 4, &identity);
    grant = (struct ml_grant){.may = rights_at(L, 5)};
    seat = calloc(1, sizeof *seat);
    if (!seat)
        return luaL_error(L, "out of memory");
    seat->port = port;
    seat->app = app;
    seat->id = ++app->next_seat;
    ml_list_append(&app->seats, &seat->node);
    err = ml_rooms_join(app->rooms, slice_at(L, 2), slice_at(L, 3), &identity, &grant, &seat->port,
                        &seat->member);
    if (err) {
        ml_list_remove(&seat->node);
        free(seat);
        lua_pushnil(L);
        lua_pushstring(L, ml_err_name(err));
        return 2;
    }
    lua_pushinteger(L, seat->id);
    return 1;
}

static void drop_seat(struct seat *seat)
{
    if (seat->member)
        ml_member_leave(seat->member);
    ml_list_remove(&seat->node);
    free(seat);
}

/* app:leave(seat) */
static int app_leave(lua_State *L)
{
    const struct ml_app *app = check_app(L);

    drop_seat(find_seat(L, app, 2));
    return 0;
}

/* app:receive(seat, "step1"|"step2"|"update"|"awareness"|"query", bytes, no) -> nil | kind */
static int app_receive(lua_State *L)
{
    struct ml_app *app = check_app(L);
    static const char *const kinds[] = {"step1", "step2", "update", "awareness", "query", NULL};
    struct seat *seat = find_seat(L, app, 2);
    int kind = luaL_checkoption(L, 3, NULL, kinds);
    struct ml_slice bytes = slice_at(L, 4);
    uint64_t no = (uint64_t)luaL_optnumber(L, 5, 0);
    enum ml_err err = ML_ECLOSED;

    if (seat->member && kind == 0)
        err = ml_room_sync(seat->member, bytes, &app->scratch);
    else if (seat->member && kind < 3)
        err = ml_room_submit(seat->member, bytes, no, kind == 1, &app->scratch);
    else if (seat->member && kind == 3)
        err = ml_room_presence(seat->member, bytes, &app->scratch);
    else if (seat->member)
        err = ml_room_query_presence(seat->member);
    ml_arena_reset(&app->scratch);
    if (!err)
        return 0;
    lua_pushstring(L, ml_err_name(err));
    return 1;
}

/* ---- The world ------------------------------------------------------------------------------- */

static uint64_t env_mono(void *arg)
{
    (void)arg;
    return ml_test_mono_ms();
}

static int64_t env_wall(void *arg)
{
    (void)arg;
    return ml_test_wall_ms();
}

/* Source: splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t env_random(void *arg)
{
    struct ml_app *app = arg;
    uint64_t z;

    app->rng += 0x9e3779b97f4a7c15ull;
    z = app->rng;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* app:step() -> did anything move? */
static int app_step(lua_State *L)
{
    struct ml_app *app = check_app(L);
    bool moved = ml_journal_memory_step(app->journal) > 0;

    moved |= ml_rooms_flush(app->rooms);
    lua_pushboolean(L, moved);
    return 1;
}

/* app:tick(): timers that are due, after the clock was moved */
static int app_tick(lua_State *L)
{
    struct ml_app *app = check_app(L);

    ml_rooms_tick(app->rooms);
    if (app->cells)
        ml_cells_tick(app->cells);
    return 0;
}

/* app:journal_fault("none"|"fail"|"unknown", transactions) */
static int app_journal_fault(lua_State *L)
{
    static const char *const faults[] = {"none", "fail", "unknown", NULL};
    const struct ml_app *app = check_app(L);

    ml_journal_memory_fault(app->journal,
                            (enum ml_journal_fault)luaL_checkoption(L, 2, NULL, faults),
                            (unsigned)luaL_optinteger(L, 3, 1));
    return 0;
}

/* app:sessions(org, doc) -> how many sit there */
static void count_session(void *arg, const struct ml_room_session *session)
{
    (void)session;
    ++*(unsigned *)arg;
}

static int app_sessions(lua_State *L)
{
    const struct ml_app *app = check_app(L);
    unsigned n = 0;

    ml_rooms_each_session(app->rooms, slice_at(L, 2), slice_at(L, 3), count_session, &n);
    lua_pushinteger(L, n);
    return 1;
}

static void on_journal_closed(void *arg)
{
    (void)arg;
}

static void drain(struct ml_app *app)
{
    int64_t began_ms = ml_test_wall_ms();

    ml_rooms_drain(app->rooms, ML_CLOSE_SHUTDOWN);
    for (int i = 0; i < DRAIN_STEPS && !ml_rooms_is_empty(app->rooms); i++) {
        (void)ml_journal_memory_step(app->journal);
        ml_test_advance_ms(DRAIN_MS);
        ml_rooms_tick(app->rooms);
    }
    ml_rooms_free(app->rooms);
    app->rooms = NULL;
    ml_test_advance_ms(began_ms - ml_test_wall_ms()); /* the clock is everybody's */
}

static int app_close(lua_State *L)
{
    struct ml_app *app = luaL_checkudata(L, 1, APP);

    if (!app->journal)
        return 0;
    app->L = L;
    ML_LIST_EACH(node, &app->seats)
    drop_seat(ML_CONTAINER(node, struct seat, node));
    if (app->rooms)
        drain(app);
    ml_app_forget(app);
    ml_app_docs_forget(app);
    ml_cells_free(app->cells); /* cancels what it waits for */
    ml_shared_store_free(app->shared);
    ml_deploy_unref(app->deploy);
    ml_deploy_unref(app->next);
    ml_journal_close(app->journal, on_journal_closed, NULL);
    (void)ml_journal_memory_step(app->journal);
    app->journal = NULL;
    ml_arena_release(&app->scratch);
    luaL_unref(L, LUA_REGISTRYINDEX, app->events_ref);
    return 0;
}

/* ---- Plugins --------------------------------------------------------------------------------- */

struct ml_script *ml_app_script(const struct ml_app *app, struct ml_slice document)
{
    return app->cells ? ml_cells_script(app->cells, ml_slice_str(app->org), document) : NULL;
}

/* Another deployment from the JSON of a server file and a folder, or the sentences about it. */
static enum ml_err deploy(struct ml_app *app, struct ml_slice server_json, struct ml_slice dir,
                          struct ml_writer *report, struct ml_deploy **out)
{
    struct ml_deploy_options options = {
        .plugins_dir = dir, .server_json = server_json, .before = app->deploy};
    struct ml_diag diag = {0};
    enum ml_err err = ml_deploy_new(&options, report, &diag, out);

    if (err && !report->len)
        ml_write_bytes(report, ml_slice_str(diag.text));
    return err;
}

static int raise_report(lua_State *L, struct ml_writer *report)
{
    size_t len = report->len;

    while (len && report->ptr[len - 1] == '\n')
        len--;
    lua_pushlstring(L, (const char *)report->ptr, len);
    ml_writer_release(report);
    return lua_error(L);
}

/*
 * app:redeploy(server_json, plugins_dir) -> true | false   [may raise]
 * New generations of what has changed. False: their setup waits; call app:redeploy() when the app
 * has moved.
 */
static int app_redeploy(lua_State *L)
{
    struct ml_app *app = check_app(L);
    struct ml_cells_swap swap;
    struct ml_writer report;
    struct ml_diag diag = {0};
    enum ml_err err;

    if (!app->cells)
        return luaL_error(L, "this app has no plugins");
    ml_writer_init(&report, REPORT_MAX);
    if (!app->next && deploy(app, slice_at(L, 2), slice_at(L, 3), &report, &app->next))
        return raise_report(L, &report);
    err = ml_cells_prepare(app->cells, app->next, false, &diag);
    if (err == ML_EBUSY) {
        ml_writer_release(&report);
        lua_pushboolean(L, 0);
        return 1;
    }
    if (err)
        ml_cells_withdraw(app->cells);
    else
        err = ml_cells_swap(app->cells, app->next, false, &diag, &swap);
    if (err) {
        ml_deploy_unref(app->next);
        app->next = NULL;
        ml_write_bytes(&report, ml_slice_str(diag.text));
        return raise_report(L, &report);
    }
    ml_cells_settle(app->cells);
    ml_deploy_unref(app->deploy);
    app->deploy = app->next;
    app->next = NULL;
    ml_writer_release(&report);
    lua_pushboolean(L, 1);
    return 1;
}

static bool open_plugins(lua_State *L, struct ml_app *app, struct ml_writer *report)
{
    struct ml_cells_options options = {.script = {.limits = {.hook_ms = HOOK_MS},
                                                  .log = on_log,
                                                  .log_arg = app,
                                                  .wall_ms = ml_test_wall_ms,
                                                  .mono_ms = ml_test_mono_ms,
                                                  .port = ml_app_port(app)}};
    struct ml_slice server = field_of(L, 1, "server");
    struct ml_diag diag = {0};

    if (!server.len)
        return true;
    if (deploy(app, server, field_of(L, 1, "plugins_dir"), report, &app->deploy))
        return false;
    options.deploy = app->deploy;
    options.script.shared = app->shared = ml_shared_store_new(0);
    if (!app->shared || ml_cells_new(&options, &diag, &app->cells)) {
        ml_write_bytes(report, ml_slice_str(diag.text));
        return false;
    }
    (void)ml_app_script(app, ML_SLICE("")); /* timers begin now, not with the first edit */
    return true;
}

static const luaL_Reg methods[] = {
    {"events", app_events},     {"join", app_join},   {"leave", app_leave},
    {"receive", app_receive},   {"step", app_step},   {"tick", app_tick},
    {"sessions", app_sessions}, {"close", app_close}, {"journal_fault", app_journal_fault},
    {"redeploy", app_redeploy}, {NULL, NULL},
};

/* core.app{ server = JSON of a server file or nil, plugins_dir =, org =, seed = } -> app
 * [may raise] */
int ml_app_new(lua_State *L)
{
    struct ml_room_env env;
    struct ml_writer report;
    struct ml_app *app;

    luaL_checktype(L, 1, LUA_TTABLE);
    app = lua_newuserdata(L, sizeof *app);
    *app = (struct ml_app){.L = L, .events_ref = LUA_NOREF};
    ml_list_init(&app->seats);
    ml_list_init(&app->asking);
    ml_list_init(&app->docs);
    luaL_getmetatable(L, APP);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    app->events_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "seed");
    app->rng = (uint64_t)luaL_optnumber(L, -1, 1);
    snprintf(app->org, sizeof app->org, "%.*s", ML_PRINT(field_of(L, 1, "org")));
    if (ml_journal_open_memory(NULL, &app->journal))
        return luaL_error(L, "out of memory");
    ml_journal_memory_on_commit(app->journal, on_commit, app);
    ml_arena_init(&app->scratch, SCRATCH_MAX);
    ml_writer_init(&report, REPORT_MAX);
    if (!open_plugins(L, app, &report))
        return raise_report(L, &report);
    ml_writer_release(&report);
    env = (struct ml_room_env){
        .journal = app->journal,
        .cells = app->cells,
        .mono_ms = env_mono,
        .wall_ms = env_wall,
        .random = env_random,
        .arg = app,
        .snapshot = {.every_ops = 1000, .min_gap_ms = 30000, .on_unload = true},
    };
    app->rooms = ml_rooms_new(&env);
    if (!app->rooms)
        return luaL_error(L, "out of memory");
    lua_settop(L, 2);
    return 1;
}

void ml_app_open(lua_State *L)
{
    const luaL_Reg *const lists[] = {methods, ml_app_store_methods, ml_app_script_methods,
                                     ml_app_work_methods, ml_app_docs_methods};

    luaL_newmetatable(L, APP);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const luaL_Reg *m = lists[i]; m->name; m++) {
            lua_pushcfunction(L, m->func);
            lua_setfield(L, -2, m->name);
        }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, app_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

struct ml_app *ml_app_check(lua_State *L)
{
    return check_app(L);
}
