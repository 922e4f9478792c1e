/* SPDX-License-Identifier: MIT */
/*
 * The Lua module `moonloom.engine`: documents and updates for specs and tools. No decisions here: a
 * line of stack effect, argument checks, one call of the engine, results.
 *
 * Bytes are Lua strings. What bytes can cause is answered as `nil, kind, text, offset`; wrong use
 * raises. A document is a userdata that Lua owns; its options and limits live in it.
 *
 *   local engine = require "moonloom.engine"
 *   local doc = engine.new { client = 7, gc = true, limits = { pending_structs = 10 } }
 *   local emitted, change = doc:apply(bytes)
 */
#include "bind/bind_engine.h"

#define DOC        "moonloom.engine.doc"
#define OUT_MAX    ML_LUA_OUT_MAX
#define SCRATCH    ML_LUA_SCRATCH
#define MODULE_API __attribute__((visibility("default")))

MODULE_API int luaopen_moonloom_engine(lua_State *L);

/* ---- Arguments and results ------------------------------------------------------------------- */

struct ml_slice ml_lua_check_bytes(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_checklstring(L, index, &len);

    return ml_slice_make(text, len);
}

struct ml_slice ml_lua_opt_bytes(lua_State *L, int index)
{
    return lua_isnoneornil(L, index) ? ml_slice_make(NULL, 0) : ml_lua_check_bytes(L, index);
}

int ml_lua_push_error(lua_State *L, enum ml_err err, const struct ml_diag *diag)
{
    lua_pushnil(L);
    lua_pushstring(L, ml_err_name(err));
    lua_pushstring(L, diag->text[0] ? diag->text : ml_err_text(err));
    lua_pushnumber(L, (lua_Number)diag->offset);
    return 4;
}

/* Bytes of `out` or the error; `out` is released. */
int ml_lua_push_result(lua_State *L, enum ml_err err, struct ml_writer *out,
                       const struct ml_diag *diag)
{
    if (!err)
        lua_pushlstring(L, (const char *)out->ptr, out->len);
    ml_writer_release(out);
    return err ? ml_lua_push_error(L, err, diag) : 1;
}

lua_Number ml_lua_number_field(lua_State *L, int index, const char *name)
{
    lua_Number value;

    lua_getfield(L, index, name);
    value = luaL_optnumber(L, -1, 0);
    lua_pop(L, 1);
    return value < 0 ? 0 : value;
}

/* A table of limits, or nothing: missing fields are 0 and mean the default. */
struct ml_engine_limits ml_lua_opt_limits(lua_State *L, int index)
{
    struct ml_engine_limits limits = {0};

    if (lua_isnoneornil(L, index))
        return limits;
    luaL_checktype(L, index, LUA_TTABLE);
#define FIELD(name, type) limits.name = (type)ml_lua_number_field(L, index, #name)
    FIELD(update_bytes, size_t);
    FIELD(doc_bytes, size_t);
    FIELD(pending_bytes, size_t);
    FIELD(pending_structs, uint32_t);
    FIELD(update_structs, uint32_t);
    FIELD(type_depth, uint32_t);
    FIELD(any_depth, uint32_t);
    FIELD(key_bytes, uint32_t);
    FIELD(clients, uint32_t);
#undef FIELD
    return limits;
}

void ml_lua_set_number(lua_State *L, const char *name, uint64_t value)
{
    lua_pushnumber(L, (lua_Number)value);
    lua_setfield(L, -2, name);
}

void ml_lua_set_bytes(lua_State *L, const char *name, struct ml_slice bytes)
{
    if (!bytes.ptr)
        return;
    lua_pushlstring(L, (const char *)bytes.ptr, bytes.len);
    lua_setfield(L, -2, name);
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* engine.merge({update, …} [, limits]) -> update | nil, kind, text, offset */
static int engine_merge(lua_State *L)
{
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 2);
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_slice *list;
    struct ml_writer out;
    enum ml_err err;
    size_t count;

    luaL_checktype(L, 1, LUA_TTABLE);
    count = lua_objlen(L, 1);
    list = lua_newuserdata(L, (count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            return luaL_argerror(L, 1, "a list of strings");
        list[i] = ml_lua_check_bytes(L, -1); /* the table keeps the string alive */
        lua_pop(L, 1);
    }
    ml_arena_init(&scratch, SCRATCH);
    ml_writer_init(&out, OUT_MAX);
    err = ml_updates_merge(list, count, &limits, &scratch, &out, &diag);
    ml_arena_release(&scratch);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* engine.diff(update, state_vector [, limits]) -> update | nil, kind, text, offset */
static int engine_diff(lua_State *L)
{
    struct ml_slice update = ml_lua_check_bytes(L, 1), state_vector = ml_lua_check_bytes(L, 2);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 3);
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_writer out;
    enum ml_err err;

    ml_arena_init(&scratch, SCRATCH);
    ml_writer_init(&out, OUT_MAX);
    err = ml_update_diff(update, state_vector, &limits, &scratch, &out, &diag);
    ml_arena_release(&scratch);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* engine.sv(update [, limits]) -> state vector | nil, kind, text, offset */
static int engine_sv(lua_State *L)
{
    struct ml_slice update = ml_lua_check_bytes(L, 1);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 2);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_update_state_vector(update, &limits, &out, &diag), &out, &diag);
}

/* engine.convert(update, "v1"|"v2" [, limits]) -> update in the other format | nil, kind, … */
static int engine_convert(lua_State *L)
{
    static const char *const formats[] = {"v1", "v2", NULL};
    struct ml_slice update = ml_lua_check_bytes(L, 1);
    int from = luaL_checkoption(L, 2, NULL, formats);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 3);
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_writer out;
    enum ml_err err;

    ml_arena_init(&scratch, SCRATCH);
    ml_writer_init(&out, OUT_MAX);
    err = ml_update_convert(update, from ? ML_UPDATE_V2 : ML_UPDATE_V1, &limits, &scratch, &out,
                            &diag);
    ml_arena_release(&scratch);
    return ml_lua_push_result(L, err, &out, &diag);
}

/* engine.state_v2(state [, limits]) -> the state as V2 | nil, kind, text, offset */
static int engine_state_v2(lua_State *L)
{
    struct ml_slice state = ml_lua_check_bytes(L, 1);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 2);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_state_to_v2(state, &limits, &out, &diag), &out, &diag);
}

/* engine.show(update [, json [, limits]]) -> lines | nil, kind, text, offset */
static int engine_show(lua_State *L)
{
    struct ml_slice update = ml_lua_check_bytes(L, 1);
    bool json = lua_toboolean(L, 2);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 3);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_update_show(update, json, &limits, &out, &diag), &out, &diag);
}

/* Where the parts of a split end, one behind the other. */
struct parts {
    struct ml_writer bytes;
    size_t *end;
    size_t count, cap;
};

static enum ml_err on_part(void *to, struct ml_slice part, bool last)
{
    struct parts *parts = to;

    if (parts->count == parts->cap)
        return ML_ELIMIT;
    ml_write_bytes(&parts->bytes, part);
    ml_write_u8(&parts->bytes, last);
    parts->end[parts->count++] = parts->bytes.len;
    return parts->bytes.err;
}

/* engine.split(update, part_bytes [, limits]) -> {update, …} | nil, kind, text, offset */
static int engine_split(lua_State *L)
{
    struct ml_slice update = ml_lua_check_bytes(L, 1);
    lua_Number part_bytes = luaL_checknumber(L, 2);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 3);
    struct parts parts = {.cap = update.len + 1};
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    size_t from = 0;
    enum ml_err err;

    luaL_argcheck(L, part_bytes >= 0 && part_bytes < 1e15, 2, "a number of bytes");
    parts.end = lua_newuserdata(L, parts.cap * sizeof *parts.end);
    ml_arena_init(&scratch, SCRATCH);
    ml_writer_init(&parts.bytes, OUT_MAX);
    err = ml_update_split(update, (size_t)part_bytes, &limits, &scratch, on_part, &parts, &diag);
    ml_arena_release(&scratch);
    if (err) {
        ml_writer_release(&parts.bytes);
        return ml_lua_push_error(L, err, &diag);
    }
    lua_newtable(L);
    for (size_t i = 0; i < parts.count; i++) {
        const uint8_t *end = parts.bytes.ptr + parts.end[i] - 1;

        lua_pushlstring(L, (const char *)parts.bytes.ptr + from, parts.end[i] - 1 - from);
        lua_rawseti(L, -2, (int)i + 1);
        from = parts.end[i];
        if ((*end != 0) != (i + 1 == parts.count)) {
            ml_writer_release(&parts.bytes);
            return luaL_error(L, "split: part %d says the wrong thing about being last", (int)i);
        }
    }
    ml_writer_release(&parts.bytes);
    return 1;
}

/* engine.sv_check(state_vector) -> true | nil, kind, text, offset */
static int engine_sv_check(lua_State *L)
{
    struct ml_diag diag = {0};
    enum ml_err err = ml_state_vector_check(ml_lua_check_bytes(L, 1), &diag);

    if (err)
        return ml_lua_push_error(L, err, &diag);
    lua_pushboolean(L, true);
    return 1;
}

static const char *const edit_kinds[] = {
    [ML_EDIT_GC] = "gc",         [ML_EDIT_DELETED] = "deleted", [ML_EDIT_JSON] = "json",
    [ML_EDIT_BINARY] = "binary", [ML_EDIT_STRING] = "string",   [ML_EDIT_EMBED] = "embed",
    [ML_EDIT_FORMAT] = "format", [ML_EDIT_TYPE] = "type",       [ML_EDIT_ANY] = "any",
    [ML_EDIT_DOC] = "doc",
};

static void push_edit(lua_State *L, const struct ml_edit *edit)
{
    lua_newtable(L);
    lua_pushstring(L, edit_kinds[edit->kind]);
    lua_setfield(L, -2, "kind");
    ml_lua_set_number(L, "client", edit->client);
    ml_lua_set_number(L, "clock", edit->clock);
    ml_lua_set_number(L, "len", edit->len);
    ml_lua_set_bytes(L, "root", edit->root);
    ml_lua_set_bytes(L, "key", edit->key);
    ml_lua_set_bytes(L, "content", edit->content);
}

static void push_facts(lua_State *L, const struct ml_update_facts *facts)
{
    lua_newtable(L);
    ml_lua_set_number(L, "bytes", facts->bytes);
    ml_lua_set_number(L, "structs", facts->structs);
    ml_lua_set_number(L, "inserted_units", facts->inserted_units);
    ml_lua_set_number(L, "inserted_bytes", facts->inserted_bytes);
    ml_lua_set_number(L, "deleted_units", facts->deleted_units);
    ml_lua_set_number(L, "keys", facts->keys);
    ml_lua_set_number(L, "clients", facts->clients);
}

/* engine.edits(update [, limits]) -> {edit, …}, facts | nil, kind, text, offset */
static int engine_edits(lua_State *L)
{
    struct ml_slice bytes = ml_lua_check_bytes(L, 1);
    struct ml_engine_limits limits = ml_lua_opt_limits(L, 2);
    const struct ml_update *update;
    struct ml_edit_cursor cursor = {0};
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_edit edit;
    enum ml_err err;
    int n = 0;

    ml_arena_init(&arena, SCRATCH);
    err = ml_update_decode(&arena, bytes, &limits, &diag, &update);
    if (err) {
        ml_arena_release(&arena);
        return ml_lua_push_error(L, err, &diag);
    }
    lua_newtable(L);
    while (ml_update_next_edit(update, &cursor, &edit)) {
        push_edit(L, &edit);
        lua_rawseti(L, -2, ++n);
    }
    push_facts(L, ml_update_facts(update));
    ml_arena_release(&arena);
    return 2;
}

/* ---- Documents ------------------------------------------------------------------------------- */

struct ml_lua_doc *ml_lua_check_doc(lua_State *L)
{
    struct ml_lua_doc *handle = luaL_checkudata(L, 1, DOC);

    if (!handle->doc)
        luaL_error(L, "this document was closed");
    return handle;
}

/* engine.new([{client =, gc =, limits =}]) -> doc */
static int engine_new(lua_State *L)
{
    struct ml_doc_options options = {0};
    struct ml_engine_limits limits = {0};
    struct ml_lua_doc *handle;

    if (!lua_isnoneornil(L, 1)) {
        luaL_checktype(L, 1, LUA_TTABLE);
        options.client = (ml_client_id)ml_lua_number_field(L, 1, "client");
        lua_getfield(L, 1, "gc");
        options.keep_deleted = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
        lua_getfield(L, 1, "limits");
        limits = ml_lua_opt_limits(L, lua_gettop(L));
        lua_pop(L, 2);
    }
    handle = lua_newuserdata(L, sizeof *handle);
    *handle = (struct ml_lua_doc){.limits = limits};
    luaL_getmetatable(L, DOC);
    lua_setmetatable(L, -2);
    options.limits = &handle->limits;
    handle->doc = ml_doc_new(&options);
    if (!handle->doc)
        return luaL_error(L, "out of memory");
    return 1;
}

/* doc:close()   [also __gc] */
static int doc_close(lua_State *L)
{
    struct ml_lua_doc *handle = luaL_checkudata(L, 1, DOC);

    ml_lua_close_history(handle);
    ml_doc_free(handle->doc);
    handle->doc = NULL;
    return 0;
}

void ml_lua_push_change(lua_State *L, const struct ml_change *change)
{
    lua_pushlstring(L, (const char *)change->bytes.ptr, change->bytes.len);
    lua_newtable(L);
    lua_pushboolean(L, change->is_received);
    lua_setfield(L, -2, "is_received");
    lua_pushboolean(L, change->was_pending);
    lua_setfield(L, -2, "was_pending");
    lua_pushboolean(L, change->undone);
    lua_setfield(L, -2, "undone");
    ml_lua_push_subdocs(L, change);
    lua_setfield(L, -2, "subdocs");
    ml_lua_set_number(L, "inserted_units", change->inserted_units);
    ml_lua_set_number(L, "deleted_units", change->deleted_units);
}

/* doc:apply(update [, undo_all]) -> emitted, change | nil, kind, text, offset */
static int doc_apply(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice bytes = ml_lua_check_bytes(L, 2);
    struct ml_verdict verdict = {.undo_all = lua_toboolean(L, 3)};
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, SCRATCH);
    err = ml_update_decode(&arena, bytes, &handle->limits, &diag, &update);
    if (!err)
        err =
            ml_doc_apply(handle->doc, update, verdict.undo_all ? &verdict : NULL, &arena, &change);
    if (!err)
        ml_lua_push_change(L, change);
    ml_arena_release(&arena);
    return err ? ml_lua_push_error(L, err, &diag) : 2;
}

/* doc:contains(update) -> boolean | nil, kind, text, offset */
static int doc_contains(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice bytes = ml_lua_check_bytes(L, 2);
    const struct ml_update *update;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, SCRATCH);
    err = ml_update_decode(&arena, bytes, &handle->limits, &diag, &update);
    if (!err)
        lua_pushboolean(L, ml_doc_contains(handle->doc, update));
    ml_arena_release(&arena);
    return err ? ml_lua_push_error(L, err, &diag) : 1;
}

/* doc:state([state_vector]) -> update | nil, kind, text */
static int doc_state(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice state_vector = ml_lua_opt_bytes(L, 2);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_doc_encode_state(handle->doc, state_vector, &out), &out, &diag);
}

/* doc:sv() -> state vector */
static int doc_sv(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    ml_doc_state_vector(handle->doc, &out);
    return ml_lua_push_result(L, out.err, &out, &diag);
}

/* doc:read(root, "text"|"delta"|"json"|"xml") -> text | nil, kind, text */
static int doc_read(lua_State *L)
{
    static const char *const views[] = {
        [ML_VIEW_TEXT] = "text",
        [ML_VIEW_DELTA] = "delta",
        [ML_VIEW_JSON] = "json",
        [ML_VIEW_XML] = "xml",
        NULL,
    };
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice root = ml_lua_check_bytes(L, 2);
    int view = luaL_checkoption(L, 3, "json", views);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_doc_read(handle->doc, root, (enum ml_view)view, &out), &out,
                              &diag);
}

/* doc:roots() -> {name, …} */
static int doc_roots(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice name;
    uint32_t cursor = 0;
    int n = 0;

    lua_newtable(L);
    while (ml_doc_next_root(handle->doc, &cursor, &name)) {
        lua_pushlstring(L, (const char *)name.ptr, name.len);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* doc:check() -> true | nil, kind, text */
static int doc_check(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_diag diag = {0};
    enum ml_err err = ml_doc_check(handle->doc, &diag);

    if (err)
        return ml_lua_push_error(L, err, &diag);
    lua_pushboolean(L, true);
    return 1;
}

/* doc:stats() -> table */
static int doc_stats(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_doc_stats stats;

    ml_doc_stats(handle->doc, &stats);
    lua_newtable(L);
#define FIELD(name) ml_lua_set_number(L, #name, stats.name)
    FIELD(runs);
    FIELD(deleted_runs);
    FIELD(clients);
    FIELD(pending_structs);
    FIELD(pending_bytes);
    FIELD(pending_deletes);
    FIELD(memory_bytes);
    FIELD(fast_append);
    FIELD(fast_delete);
    FIELD(general);
#undef FIELD
    return 1;
}

static const luaL_Reg functions[] = {
    {"new", engine_new},
    {"merge", engine_merge},
    {"diff", engine_diff},
    {"sv", engine_sv},
    {"show", engine_show},
    {"convert", engine_convert},
    {"state_v2", engine_state_v2},
    {"split", engine_split},
    {"edits", engine_edits},
    {"sv_check", engine_sv_check},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"apply", doc_apply}, {"contains", doc_contains}, {"state", doc_state}, {"sv", doc_sv},
    {"read", doc_read},   {"roots", doc_roots},       {"check", doc_check}, {"stats", doc_stats},
    {"close", doc_close}, {"__gc", doc_close},        {NULL, NULL},
};

int luaopen_moonloom_engine(lua_State *L)
{
    luaL_newmetatable(L, DOC);
    luaL_register(L, NULL, methods);
    luaL_register(L, NULL, ml_lua_write_methods);
    luaL_register(L, NULL, ml_lua_history_methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    luaL_register(L, NULL, ml_lua_write_functions);
    luaL_register(L, NULL, ml_lua_history_functions);
    return 1;
}
