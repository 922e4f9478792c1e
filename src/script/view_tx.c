/* SPDX-License-Identifier: MIT */
/*
 * Handles that write. A handle is a path; each method is one operation of the engine, as data, in
 * the transaction that is under way: what a plugin may write is what the HTTP API may.
 *
 *   tx:text("content"):insert(0, "Hi", attrs)   ->   ["text.insert", "content", 0, "Hi", attrs]
 *
 *  [T1] A handle is good while its transaction runs: every use compares numbers.
 *  [T2] An operation that fails has changed nothing and raises; the transaction goes on if the
 *       plugin catches that, as in Lua.
 */
#include "script/tx.h"

#include "script/values.h"
#include "script/view.h"

#define SCRATCH_BYTES (64u << 20)
#define NODE_DEPTH    100

struct tx_view {
    struct ml_lent view; /* subject: struct ml_tx, in memory of who called */
    uint64_t number;     /* of the transaction */
    size_t len;
    char path[];
};

void ml_tx_init(struct ml_tx *tx)
{
    *tx = (struct ml_tx){0};
    ml_arena_init(&tx->scratch, SCRATCH_BYTES);
}

void ml_tx_release(struct ml_tx *tx)
{
    ml_arena_release(&tx->scratch);
}

/* Push a view with room for a path. */
static void push_view(lua_State *L, enum ml_lent_kind kind, const struct ml_tx *tx,
                      struct ml_slice path)
{
    struct ml_views *views = ml_views_of(L);
    struct tx_view *view = lua_newuserdata(L, sizeof(*view) + path.len);

    view->view = (struct ml_lent){views->generation, kind, tx, NULL};
    view->number = views->tx_number;
    view->len = path.len;
    memcpy(view->path, path.len ? (const char *)path.ptr : "", path.len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[kind]);
    lua_setmetatable(L, -2);
}

void ml_tx_push(lua_State *L, struct ml_tx *tx)
{
    struct ml_views *views = ml_views_of(L);

    if (views->tx)
        luaL_error(L, "a transaction is at work already: they do not nest");
    views->tx_number++;
    push_view(L, KIND_TX, tx, ml_slice_make("", 0));
}

int ml_tx_call_with(lua_State *L, struct ml_tx *tx, int count)
{
    struct ml_views *views = ml_views_of(L);
    int status;

    views->tx = tx;
    status = lua_pcall(L, count, 1, 0);
    views->tx = NULL;
    views->tx_number++;
    return status;
}

int ml_tx_call(lua_State *L, struct ml_tx *tx)
{
    return ml_tx_call_with(L, tx, 1);
}

/* ---- Operations -------------------------------------------------------------------------------
 */

struct op {
    lua_State *L;
    const struct tx_view *at;
    struct ml_tx *tx;
    struct ml_writer *out;
};

static const struct tx_view *check(lua_State *L, enum ml_lent_kind kind)
{
    const struct tx_view *view = ml_view_check(L, 1, kind);

    if (view->number != ml_views_of(L)->tx_number)
        luaL_error(L, "the transaction is over");
    return view;
}

/* The method at work began: its operation has `count` arguments, which follow. */
static struct op begin(lua_State *L, enum ml_lent_kind kind, const char *name, unsigned count)
{
    struct op op = {L, check(L, kind), ml_views_of(L)->tx, &ml_script_of(L)->text};

    ml_writer_reset(op.out);
    ml_write_u8(op.out, 0x75);
    ml_write_varuint(op.out, 2 + count);
    ml_write_u8(op.out, 0x77);
    ml_write_varbytes(op.out, ml_slice_str(name));
    ml_write_u8(op.out, 0x77);
    ml_write_varbytes(op.out, ml_slice_make(op.at->path, op.at->len));
    return op;
}

static void put_text(const struct op *op, int arg)
{
    luaL_checktype(op->L, arg, LUA_TSTRING);
    ml_any_write(op->L, arg, op->out);
}

/* A position or a number of units. */
static void put_index(const struct op *op, int arg)
{
    double value = luaL_checknumber(op->L, arg);

    if (!(value >= 0 && value <= UINT32_MAX && value == (double)(uint32_t)value))
        luaL_argerror(op->L, arg, "a whole number from 0 is wanted");
    ml_any_write(op->L, arg, op->out);
}

static void put_table(const struct op *op, int arg)
{
    luaL_checktype(op->L, arg, LUA_TTABLE);
    ml_any_write(op->L, arg, op->out);
}

static void put_value(const struct op *op, int arg)
{
    if (lua_isnoneornil(op->L, arg))
        luaL_argerror(op->L, arg, "a value is missing; ml.null stands for null");
    ml_any_write(op->L, arg, op->out);
}

static int run(const struct op *op)
{
    enum ml_err err = op->out->err;

    if (!err)
        err = ml_doc_run_op(op->tx->doc, ml_writer_slice(op->out), &op->tx->scratch);
    ml_arena_reset(&op->tx->scratch);
    if (!err)
        return 0;
    lua_pushlstring(op->L, op->at->path, op->at->len);
    return luaL_error(op->L, "'%s': %s", lua_tostring(op->L, -1),
                      op->tx->diag.text[0] ? op->tx->diag.text : ml_err_text(err));
}

/* ---- tx ---------------------------------------------------------------------------------------
 */

static int push_handle(lua_State *L, enum ml_lent_kind kind)
{
    const struct tx_view *tx = check(L, KIND_TX);
    size_t len;
    const char *path = luaL_checklstring(L, 2, &len);

    push_view(L, kind, tx->view.subject, ml_slice_make(path, len));
    return 1;
}

/* tx:text(path) -> handle; likewise the others   [may raise] */
static int tx_text(lua_State *L)
{
    return push_handle(L, KIND_TX_TEXT);
}

static int tx_map(lua_State *L)
{
    return push_handle(L, KIND_TX_MAP);
}

static int tx_array(lua_State *L)
{
    return push_handle(L, KIND_TX_ARRAY);
}

static int tx_xml(lua_State *L)
{
    return push_handle(L, KIND_TX_XML);
}

static int tx_counter(lua_State *L)
{
    return push_handle(L, KIND_TX_COUNTER);
}

static const struct ml_lent_field tx_fields[] = {
    {"text", 0, tx_text}, {"map", 0, tx_map},         {"array", 0, tx_array},
    {"xml", 0, tx_xml},   {"counter", 0, tx_counter}, {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_tx = {"tx", tx_fields, NULL, 0};

/* ---- tx:text() --------------------------------------------------------------------------------
 */

/* text:insert(i, s [, attrs])   [may raise] */
static int text_insert(lua_State *L)
{
    bool attrs = !lua_isnoneornil(L, 4);
    struct op op = begin(L, KIND_TX_TEXT, "text.insert", attrs ? 3 : 2);

    put_index(&op, 2);
    put_text(&op, 3);
    if (attrs)
        put_table(&op, 4);
    return run(&op);
}

/* text:embed(i, value [, attrs])   [may raise] */
static int text_embed(lua_State *L)
{
    bool attrs = !lua_isnoneornil(L, 4);
    struct op op = begin(L, KIND_TX_TEXT, "text.embed", attrs ? 3 : 2);

    put_index(&op, 2);
    put_value(&op, 3);
    if (attrs)
        put_table(&op, 4);
    return run(&op);
}

/* text:delete(i, n)   [may raise] */
static int text_delete(lua_State *L)
{
    struct op op = begin(L, KIND_TX_TEXT, "text.delete", 2);

    put_index(&op, 2);
    put_index(&op, 3);
    return run(&op);
}

/* text:replace(i, n, s)   [may raise] */
static int text_replace(lua_State *L)
{
    struct op op = begin(L, KIND_TX_TEXT, "text.replace", 3);

    put_index(&op, 2);
    put_index(&op, 3);
    put_text(&op, 4);
    return run(&op);
}

/* text:format(i, n, attrs)   [may raise] */
static int text_format(lua_State *L)
{
    struct op op = begin(L, KIND_TX_TEXT, "text.format", 3);

    put_index(&op, 2);
    put_index(&op, 3);
    put_table(&op, 4);
    return run(&op);
}

/* text:set(s)   [may raise] */
static int text_set(lua_State *L)
{
    struct op op = begin(L, KIND_TX_TEXT, "text.set", 1);

    put_text(&op, 2);
    return run(&op);
}

static const struct ml_lent_field text_fields[] = {
    {"insert", 0, text_insert},
    {"embed", 0, text_embed},
    {"delete", 0, text_delete},
    {"set", 0, text_set},
    {"replace", 0, text_replace},
    {"format", 0, text_format},
    {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_tx_text = {"tx text", text_fields, NULL, 0};

/* ---- tx:map() ---------------------------------------------------------------------------------
 */

static int set_key(lua_State *L, enum ml_lent_kind kind, const char *name, int key, int value)
{
    struct op op = begin(L, kind, name, 2);

    put_text(&op, key);
    put_value(&op, value);
    return run(&op);
}

static int delete_key(lua_State *L, enum ml_lent_kind kind, const char *name)
{
    struct op op = begin(L, kind, name, 1);

    put_text(&op, 2);
    return run(&op);
}

/* map:set(key, value)   [may raise] */
static int map_set(lua_State *L)
{
    return set_key(L, KIND_TX_MAP, "map.set", 2, 3);
}

/* map:delete(key)   [may raise] */
static int map_delete(lua_State *L)
{
    return delete_key(L, KIND_TX_MAP, "map.delete");
}

/* map:assign(values)   [may raise] */
static int map_assign(lua_State *L)
{
    (void)check(L, KIND_TX_MAP);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    for (lua_pushnil(L); lua_next(L, 2); lua_settop(L, 3))
        (void)set_key(L, KIND_TX_MAP, "map.set", 3, 4);
    return 0;
}

/* A type that is empty, as an operation's value. */
static void put_new(const struct op *op, const char *kind)
{
    ml_write_u8(op->out, 0x76);
    ml_write_varuint(op->out, 1);
    ml_write_varbytes(op->out, ML_SLICE("$new"));
    ml_write_u8(op->out, 0x77);
    ml_write_varbytes(op->out, ml_slice_str(kind));
}

/* map:create(key, kind)   [may raise] */
static int map_create(lua_State *L)
{
    static const char *const kinds[] = {"map", "array", "text", "xml", "counter", NULL};
    static const char *const types[] = {"map", "array", "text", "xmlfragment", "map"};
    int kind = luaL_checkoption(L, 3, NULL, kinds);
    struct op op = begin(L, KIND_TX_MAP, "map.set", 2);

    put_text(&op, 2);
    put_new(&op, types[kind]);
    return run(&op);
}

static const struct ml_lent_field map_fields[] = {
    {"set", 0, map_set},       {"delete", 0, map_delete}, {"assign", 0, map_assign},
    {"create", 0, map_create}, {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_tx_map = {"tx map", map_fields, NULL, 0};

/* ---- tx:array() -------------------------------------------------------------------------------
 */

/* The arguments from `first` on as one list. */
static void put_rest(const struct op *op, int first)
{
    int last = lua_gettop(op->L);

    ml_write_u8(op->out, 0x75);
    ml_write_varuint(op->out, last < first ? 0 : (uint64_t)(last - first + 1));
    for (int arg = first; arg <= last; arg++)
        put_value(op, arg);
}

/* array:insert(i, ...)   [may raise] */
static int array_insert(lua_State *L)
{
    struct op op = begin(L, KIND_TX_ARRAY, "array.insert", 2);

    put_index(&op, 2);
    put_rest(&op, 3);
    return run(&op);
}

/* array:push(...)   [may raise] */
static int array_push(lua_State *L)
{
    struct op op = begin(L, KIND_TX_ARRAY, "array.push", 1);

    put_rest(&op, 2);
    return run(&op);
}

/* Elements or children from i on; one if no number is given. */
static int delete_range(lua_State *L, enum ml_lent_kind kind, const char *name)
{
    struct op op;

    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_pushinteger(L, 1);
        lua_replace(L, 3);
    }
    op = begin(L, kind, name, 2);
    put_index(&op, 2);
    put_index(&op, 3);
    return run(&op);
}

/* array:delete(i [, n])   [may raise] */
static int array_delete(lua_State *L)
{
    return delete_range(L, KIND_TX_ARRAY, "array.delete");
}

/* array:move(i, j)   [may raise] */
static int array_move(lua_State *L)
{
    struct op op = begin(L, KIND_TX_ARRAY, "array.move", 2);

    put_index(&op, 2);
    put_index(&op, 3);
    return run(&op);
}

static const struct ml_lent_field array_fields[] = {
    {"insert", 0, array_insert}, {"push", 0, array_push}, {"delete", 0, array_delete},
    {"move", 0, array_move},     {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_tx_array = {"tx array", array_fields, NULL, 0};

/* ---- tx:xml() ---------------------------------------------------------------------------------
 */

static void put_member(const struct op *op, const char *name, const char *text)
{
    ml_write_varbytes(op->out, ml_slice_str(name));
    if (!text)
        return;
    ml_write_u8(op->out, 0x77);
    ml_write_varbytes(op->out, ml_slice_str(text));
}

static void put_node(const struct op *op, unsigned depth);

/* The children at the top: a list of nodes and texts, or one text. */
static void put_children(const struct op *op, unsigned depth)
{
    lua_State *L = op->L;
    bool is_text = lua_type(L, -1) == LUA_TSTRING;
    size_t count = is_text ? 1 : lua_objlen(L, -1);

    if (!is_text && !lua_istable(L, -1))
        luaL_error(L, "children are a list of elements and texts");
    ml_write_u8(op->out, 0x75);
    ml_write_varuint(op->out, count);
    for (size_t i = 1; i <= count; i++) {
        if (is_text)
            lua_pushvalue(L, -1);
        else
            lua_rawgeti(L, -1, (int)i);
        put_node(op, depth + 1);
        lua_pop(L, 1);
    }
}

/* The node at the top: text, or { tag =, attrs =, children = }. Recursion: NODE_DEPTH. */
static void put_node(const struct op *op, unsigned depth)
{
    lua_State *L = op->L;
    int node = lua_gettop(L);
    bool attrs, children;

    luaL_checkstack(L, 8, "children");
    if (depth > NODE_DEPTH)
        luaL_error(L, "elements are nested too deeply");
    ml_write_u8(op->out, 0x76);
    if (lua_type(L, node) == LUA_TSTRING) {
        ml_write_varuint(op->out, 2);
        put_member(op, "$new", "xmltext");
        put_member(op, "text", NULL);
        ml_any_write(L, node, op->out);
        return;
    }
    if (!lua_istable(L, node))
        luaL_error(L, "an element is { tag =, attrs =, children = }, or text");
    lua_getfield(L, node, "tag");
    lua_getfield(L, node, "attrs");
    lua_getfield(L, node, "children");
    if (lua_type(L, node + 1) != LUA_TSTRING)
        luaL_error(L, "an element needs a tag");
    attrs = !lua_isnil(L, node + 2);
    children = !lua_isnil(L, node + 3);
    ml_write_varuint(op->out, 2u + attrs + children);
    put_member(op, "$new", "xmlelement");
    put_member(op, "name", NULL);
    ml_any_write(L, node + 1, op->out);
    if (attrs) {
        put_member(op, "attrs", NULL);
        put_table(op, node + 2);
    }
    if (children) {
        put_member(op, "children", NULL);
        put_children(op, depth);
    }
    lua_settop(L, node);
}

/* xml:insert(i, node)   [may raise] */
static int xml_insert(lua_State *L)
{
    struct op op = begin(L, KIND_TX_XML, "xml.insert", 2);

    lua_settop(L, 3);
    put_index(&op, 2);
    ml_write_u8(op.out, 0x75);
    ml_write_varuint(op.out, 1);
    put_node(&op, 0);
    return run(&op);
}

/* xml:delete(i [, n])   [may raise] */
static int xml_delete(lua_State *L)
{
    return delete_range(L, KIND_TX_XML, "xml.delete");
}

/* xml:attr(key, value)   [may raise] */
static int xml_attr(lua_State *L)
{
    return set_key(L, KIND_TX_XML, "attr.set", 2, 3);
}

/* xml:remove_attr(key)   [may raise] */
static int xml_remove_attr(lua_State *L)
{
    return delete_key(L, KIND_TX_XML, "attr.remove");
}

static const struct ml_lent_field xml_fields[] = {
    {"insert", 0, xml_insert},           {"delete", 0, xml_delete}, {"attr", 0, xml_attr},
    {"remove_attr", 0, xml_remove_attr}, {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_tx_xml = {"tx xml", xml_fields, NULL, 0};

/* ---- tx:counter() -----------------------------------------------------------------------------
 */

/* counter:add(n)   [may raise] */
static int counter_add(lua_State *L)
{
    struct op op = begin(L, KIND_TX_COUNTER, "counter.add", 1);

    (void)luaL_checknumber(L, 2);
    put_value(&op, 2);
    return run(&op);
}

static const struct ml_lent_field counter_fields[] = {{"add", 0, counter_add}, {NULL, 0, NULL}};

const struct ml_lent_def ml_lent_tx_counter = {"tx counter", counter_fields, NULL, 0};
