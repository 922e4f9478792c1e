/* SPDX-License-Identifier: MIT */
/*
 * The past in the Lua module `moonloom.engine`: snapshots, positions, undo, going back.
 *
 *   local moment = doc:snapshot()             doc:read_at(moment, "v1", "t", "text")
 *   doc:track { origins = { 1 }, join_ms = 500 }
 *   doc:origin(1, now_ms)  doc:apply(bytes)   doc:undo()
 */
#include "bind/bind_engine.h"

static const char *const formats[] = {"v1", "v2", NULL};

static const char *const views[] = {
    [ML_VIEW_TEXT] = "text",
    [ML_VIEW_DELTA] = "delta",
    [ML_VIEW_JSON] = "json",
    [ML_VIEW_XML] = "xml",
    NULL,
};

static enum ml_update_format check_format(lua_State *L, int index)
{
    return luaL_checkoption(L, index, "v1", formats) ? ML_UPDATE_V2 : ML_UPDATE_V1;
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* engine.authors(update) -> {{client =, from =, to =}, …} | nil, kind, text, offset */
static int engine_authors(lua_State *L)
{
    struct ml_slice bytes = ml_lua_check_bytes(L, 1);
    const struct ml_update *update;
    struct ml_author author;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    uint32_t cursor = 0;
    enum ml_err err;
    int n = 0;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    err = ml_update_decode(&arena, bytes, NULL, &diag, &update);
    if (err) {
        ml_arena_release(&arena);
        return ml_lua_push_error(L, err, &diag);
    }
    lua_newtable(L);
    while (ml_update_next_author(update, &cursor, &author)) {
        lua_newtable(L);
        ml_lua_set_number(L, "client", author.client);
        ml_lua_set_number(L, "from", author.from);
        ml_lua_set_number(L, "to", author.to);
        lua_rawseti(L, -2, ++n);
    }
    ml_arena_release(&arena);
    return 1;
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

/* doc:snapshot(["v1"|"v2"]) -> bytes | nil, kind, text */
static int doc_snapshot(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    enum ml_update_format format = check_format(L, 2);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, ML_LUA_OUT_MAX);
    return ml_lua_push_result(L, ml_doc_snapshot(handle->doc, format, &out), &out, &diag);
}

/* engine.snapshot(bytes, "v1"|"v2", to "v1"|"v2" [, limits]) -> bytes | nil, kind, text, offset */
static int engine_snapshot(lua_State *L)
{
    struct ml_slice bytes = ml_lua_check_bytes(L, 1);
    enum ml_update_format from = check_format(L, 2), to = check_format(L, 3);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 4);
    const struct ml_snapshot *snapshot;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_writer out;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    ml_writer_init(&out, ML_LUA_OUT_MAX);
    err = ml_snapshot_decode(&arena, bytes, from, &limits, &diag, &snapshot);
    if (!err) {
        ml_snapshot_encode(snapshot, to, &out);
        err = out.err;
    }
    ml_arena_release(&arena);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* engine.snapshot_contains(snapshot, update) -> boolean | nil, kind, text, offset   [V1 both] */
static int engine_snapshot_contains(lua_State *L)
{
    struct ml_slice bytes = ml_lua_check_bytes(L, 1), update_bytes = ml_lua_check_bytes(L, 2);
    const struct ml_snapshot *snapshot;
    const struct ml_update *update;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    err = ml_snapshot_decode(&arena, bytes, ML_UPDATE_V1, NULL, &diag, &snapshot);
    if (!err)
        err = ml_update_decode(&arena, update_bytes, NULL, &diag, &update);
    if (!err)
        lua_pushboolean(L, ml_snapshot_contains(snapshot, update));
    ml_arena_release(&arena);
    return err ? ml_lua_push_error(L, err, &diag) : 1;
}

/* doc:restore(snapshot) -> update | nil, kind, text, offset */
static int doc_restore(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice bytes = ml_lua_check_bytes(L, 2);
    const struct ml_snapshot *snapshot;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_writer out;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    ml_writer_init(&out, ML_LUA_OUT_MAX);
    err = ml_snapshot_decode(&arena, bytes, ML_UPDATE_V1, &handle->limits, &diag, &snapshot);
    if (!err)
        err = ml_doc_restore(handle->doc, snapshot, &out, &diag);
    ml_arena_release(&arena);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* doc:read_at(snapshot, root, view) -> text | nil, kind, text, offset */
static int doc_read_at(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice bytes = ml_lua_check_bytes(L, 2), root = ml_lua_check_bytes(L, 3);
    int view = luaL_checkoption(L, 4, "json", views);
    const struct ml_snapshot *snapshot;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_writer out;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    ml_writer_init(&out, ML_LUA_OUT_MAX);
    err = ml_snapshot_decode(&arena, bytes, ML_UPDATE_V1, &handle->limits, &diag, &snapshot);
    if (!err)
        err = ml_doc_read_at(handle->doc, snapshot, root, (enum ml_view)view, &out, &diag);
    ml_arena_release(&arena);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* doc:read_changes(from, to, root) -> delta as JSON | nil, kind, text, offset */
static int doc_read_changes(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice root = ml_lua_check_bytes(L, 4);
    const struct ml_snapshot *moment[2];
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_writer out;
    enum ml_err err = ML_OK;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    ml_writer_init(&out, ML_LUA_OUT_MAX);
    for (int i = 0; i < 2 && !err; i++)
        err = ml_snapshot_decode(&arena, ml_lua_check_bytes(L, i + 2), ML_UPDATE_V1,
                                 &handle->limits, &diag, &moment[i]);
    if (!err)
        err = ml_doc_read_changes(handle->doc, moment[0], moment[1], root, &out, &diag);
    ml_arena_release(&arena);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* doc:revert(old_state, client) -> update | nil, kind, text, offset */
static int doc_revert(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice old_state = ml_lua_check_bytes(L, 2);
    ml_client_id client = (ml_client_id)luaL_checknumber(L, 3);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, ML_LUA_OUT_MAX);
    return ml_lua_push_result(L, ml_doc_revert(handle->doc, old_state, client, &out, &diag), &out,
                              &diag);
}

/* ---- Positions ------------------------------------------------------------------------------- */

/* {root, key or index, …} at `index`: the slices borrow from Lua. */
static void check_path(lua_State *L, int index, struct ml_slice *root, struct ml_path_step *steps,
                       size_t max, size_t *count)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_rawgeti(L, index, 1);
    *root = ml_lua_check_bytes(L, -1);
    lua_pop(L, 1);
    for (*count = 0; *count < max; ++*count) {
        struct ml_path_step *step = &steps[*count];

        lua_rawgeti(L, index, (int)*count + 2);
        *step = (struct ml_path_step){0};
        if (lua_type(L, -1) == LUA_TNUMBER)
            step->index = (uint32_t)lua_tonumber(L, -1);
        else if (lua_isnil(L, -1))
            max = 0;
        else
            step->key = ml_lua_check_bytes(L, -1); /* the table keeps the string alive */
        lua_pop(L, 1);
        if (!max)
            return;
    }
}

static int push_position(lua_State *L, const struct ml_relpos *p)
{
    struct ml_writer bytes, json;

    ml_writer_init(&bytes, ML_LUA_OUT_MAX);
    ml_writer_init(&json, ML_LUA_OUT_MAX);
    ml_relpos_encode(p, &bytes);
    ml_relpos_to_json(p, &json);
    lua_pushlstring(L, (const char *)bytes.ptr, bytes.len);
    lua_pushlstring(L, (const char *)json.ptr, json.len);
    ml_writer_release(&bytes);
    ml_writer_release(&json);
    return 2;
}

/* doc:position(path, index, assoc) -> bytes, JSON | nil, kind, text */
static int doc_position(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    uint32_t index = (uint32_t)luaL_checknumber(L, 3);
    int64_t assoc = (int64_t)luaL_checknumber(L, 4);
    struct ml_path_step steps[16];
    struct ml_diag diag = {0};
    struct ml_slice root;
    struct ml_place place;
    struct ml_relpos p;
    enum ml_err err;
    size_t count;

    check_path(L, 2, &root, steps, 16, &count);
    err = ml_doc_find(handle->doc, root, steps, count, &place);
    if (!err)
        err = ml_relpos_make(handle->doc, &place, index, assoc, &p);
    return err ? ml_lua_push_error(L, err, &diag) : push_position(L, &p);
}

static int push_resolved(lua_State *L, struct ml_lua_doc *handle, const struct ml_relpos *p)
{
    struct ml_diag diag = {0};
    uint32_t index;
    enum ml_err err = ml_relpos_resolve(handle->doc, p, &index, NULL);

    if (err)
        return ml_lua_push_error(L, err, &diag);
    lua_pushnumber(L, index);
    return 1;
}

/* doc:resolve(bytes) -> index | nil, kind, text, offset */
static int doc_resolve(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_diag diag = {0};
    struct ml_relpos p;
    enum ml_err err = ml_relpos_decode(ml_lua_check_bytes(L, 2), &p, &diag);

    return err ? ml_lua_push_error(L, err, &diag) : push_resolved(L, handle, &p);
}

/* engine.position(bytes) -> bytes, JSON | nil, kind, text, offset */
static int engine_position(lua_State *L)
{
    struct ml_diag diag = {0};
    struct ml_relpos p;
    enum ml_err err = ml_relpos_decode(ml_lua_check_bytes(L, 1), &p, &diag);

    return err ? ml_lua_push_error(L, err, &diag) : push_position(L, &p);
}

/* engine.position_json(JSON) -> bytes, JSON | nil, kind, text, offset */
static int engine_position_json(lua_State *L)
{
    struct ml_slice json = ml_lua_check_bytes(L, 1);
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_relpos p;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    err = ml_relpos_from_json(&arena, json, &p, &diag);
    if (!err)
        (void)push_position(L, &p);
    ml_arena_release(&arena);
    return err ? ml_lua_push_error(L, err, &diag) : 2;
}

/* ---- What has changed ------------------------------------------------------------------------ */

static void push_key(lua_State *L, const struct ml_key_change *k)
{
    static const char *const actions[] = {
        [ML_KEY_ADDED] = "added", [ML_KEY_UPDATED] = "updated", [ML_KEY_DELETED] = "deleted"};

    lua_newtable(L);
    lua_pushstring(L, actions[k->action]);
    lua_setfield(L, -2, "action");
    ml_lua_set_bytes(L, "key", k->key);
    ml_lua_set_bytes(L, "before", k->before);
    ml_lua_set_bytes(L, "after", k->after);
}

static void push_list(lua_State *L, const struct ml_list_change *c)
{
    static const char *const actions[] = {
        [ML_LIST_RETAIN] = "retain", [ML_LIST_INSERT] = "insert", [ML_LIST_DELETE] = "delete"};

    lua_newtable(L);
    ml_lua_set_number(L, actions[c->action], c->len);
    ml_lua_set_bytes(L, "text", c->text);
    ml_lua_set_bytes(L, "values", c->values);
    ml_lua_set_bytes(L, "formats", c->formats);
}

static void push_event(lua_State *L, const struct ml_event *e)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushlstring(L, (const char *)e->root.ptr, e->root.len);
    lua_rawseti(L, -2, 1);
    for (size_t i = 0; i < e->step_count; i++) {
        if (e->steps[i].key.ptr)
            lua_pushlstring(L, (const char *)e->steps[i].key.ptr, e->steps[i].key.len);
        else
            lua_pushnumber(L, e->steps[i].index);
        lua_rawseti(L, -2, (int)i + 2);
    }
    lua_setfield(L, -2, "path");
    if (!e->is_root)
        ml_lua_set_number(L, "type_ref", e->type_ref);
    ml_lua_set_bytes(L, "name", e->name);
    lua_newtable(L);
    for (size_t i = 0; i < e->key_count; i++) {
        push_key(L, &e->keys[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "keys");
    lua_newtable(L);
    for (size_t i = 0; i < e->list_count; i++) {
        push_list(L, &e->list[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "list");
}

/* doc:listen(function [, arena_bytes]) -> {event, …} | nil, kind, text   what the function did */
static int doc_listen(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    size_t max_bytes = (size_t)luaL_optnumber(L, 3, (lua_Number)ML_LUA_SCRATCH);
    const struct ml_event *events = NULL;
    struct ml_listener *listener;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    enum ml_err err;
    int n = 0, failed;

    luaL_checktype(L, 2, LUA_TFUNCTION);
    ml_arena_init(&arena, max_bytes);
    err = ml_doc_listen(handle->doc, &arena, &listener);
    if (err) {
        ml_arena_release(&arena);
        return ml_lua_push_error(L, err, &diag);
    }
    lua_pushvalue(L, 2);
    failed = lua_pcall(L, 0, 0, 0);
    err = ml_doc_unlisten(handle->doc, listener, &events);
    if (!failed && !err) {
        lua_newtable(L);
        for (const struct ml_event *e = events; e; e = e->next) {
            push_event(L, e);
            lua_rawseti(L, -2, ++n);
        }
    }
    ml_arena_release(&arena);
    if (failed)
        return lua_error(L);
    return err ? ml_lua_push_error(L, err, &diag) : 1;
}

/* ---- Undo ------------------------------------------------------------------------------------ */

#define LIST_MAX 16

/* doc:track({roots = {…}, origins = {…}, join_ms =, steps_max =, ranges_max =}): a new history in
 * place of the old one */
static int doc_track(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_history_options options = {0};
    struct ml_slice roots[LIST_MAX];
    uint64_t origins[LIST_MAX];

    luaL_checktype(L, 2, LUA_TTABLE);
    options.join_ms = (uint64_t)ml_lua_number_field(L, 2, "join_ms");
    options.steps_max = (uint32_t)ml_lua_number_field(L, 2, "steps_max");
    options.ranges_max = (uint32_t)ml_lua_number_field(L, 2, "ranges_max");
    lua_getfield(L, 2, "roots");
    for (size_t i = 0; lua_istable(L, -1) && i < lua_objlen(L, -1) && i < LIST_MAX; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        roots[options.root_count++] = ml_lua_check_bytes(L, -1);
        lua_pop(L, 1);
    }
    lua_getfield(L, 2, "origins");
    for (size_t i = 0; lua_istable(L, -1) && i < lua_objlen(L, -1) && i < LIST_MAX; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        origins[options.origin_count++] = (uint64_t)luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    options.roots = roots;
    options.origins = origins;
    ml_lua_close_history(handle);
    handle->history = ml_history_new(handle->doc, &options);
    return handle->history ? 0 : luaL_error(L, "out of memory");
}

void ml_lua_close_history(struct ml_lua_doc *handle)
{
    ml_history_free(handle->history);
    handle->history = NULL;
}

/* doc:untrack() */
static int doc_untrack(lua_State *L)
{
    ml_lua_close_history(ml_lua_check_doc(L));
    return 0;
}

static struct ml_lua_doc *check_tracked(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);

    if (!handle->history)
        luaL_error(L, "this document is not tracked");
    return handle;
}

/* doc:origin(origin, now_ms): whose the changes are from now on */
static int doc_origin(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);

    ml_doc_set_origin(handle->doc, (uint64_t)luaL_checknumber(L, 2),
                      (uint64_t)luaL_optnumber(L, 3, 0));
    return 0;
}

static int go(lua_State *L,
              enum ml_err (*step)(struct ml_history *history, struct ml_arena *scratch,
                                  const struct ml_change **change_out))
{
    struct ml_lua_doc *handle = check_tracked(L);
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, ML_LUA_SCRATCH);
    err = step(handle->history, &arena, &change);
    if (!err)
        ml_lua_push_change(L, change);
    ml_arena_release(&arena);
    return err ? ml_lua_push_error(L, err, &diag) : 2;
}

/* doc:undo() -> emitted, change | nil, kind, text */
static int doc_undo(lua_State *L)
{
    return go(L, ml_history_undo);
}

/* doc:redo() -> emitted, change | nil, kind, text */
static int doc_redo(lua_State *L)
{
    return go(L, ml_history_redo);
}

/* doc:forget_steps() */
static int doc_forget_steps(lua_State *L)
{
    ml_history_clear(check_tracked(L)->history);
    return 0;
}

/* doc:stop_joining() */
static int doc_stop_joining(lua_State *L)
{
    ml_history_stop_joining(check_tracked(L)->history);
    return 0;
}

/* doc:steps() -> steps to undo, steps to redo */
static int doc_steps(lua_State *L)
{
    uint32_t undo, redo;

    ml_history_counts(check_tracked(L)->history, &undo, &redo);
    lua_pushnumber(L, undo);
    lua_pushnumber(L, redo);
    return 2;
}

const luaL_Reg ml_lua_history_methods[] = {
    {"snapshot", doc_snapshot},
    {"restore", doc_restore},
    {"read_at", doc_read_at},
    {"read_changes", doc_read_changes},
    {"revert", doc_revert},
    {"position", doc_position},
    {"resolve", doc_resolve},
    {"listen", doc_listen},
    {"track", doc_track},
    {"untrack", doc_untrack},
    {"origin", doc_origin},
    {"undo", doc_undo},
    {"redo", doc_redo},
    {"forget_steps", doc_forget_steps},
    {"stop_joining", doc_stop_joining},
    {"steps", doc_steps},
    {NULL, NULL},
};

const luaL_Reg ml_lua_history_functions[] = {
    {"authors", engine_authors},
    {"snapshot", engine_snapshot},
    {"snapshot_contains", engine_snapshot_contains},
    {"position", engine_position},
    {"position_json", engine_position_json},
    {NULL, NULL},
};
