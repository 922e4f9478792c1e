/* SPDX-License-Identifier: MIT */
/*
 * The envelopes of port.h as Lua tables. Only modules of ours (lua/moonloom) see them.
 *
 *   op      { kind =, space =, name =, key =, prefix =, after =, value =, limit =, timeout_ms =,
 *             items = { { kind =, key =, value =, upto =, rev =, count =, number =, ttl_ms = } } }
 *   answer  { err =, text =, value =, number =, items = { … } }
 */
#include "script/wait.h"

#define ITEMS_MAX 4096

const char *const ml_op_names[] = {"store.read", "store.commit", "http", "sessions", "docs", NULL};
static const char *const item_names[] = {"check", "range", "set",   "delete",
                                         "incr",  "job",   "field", NULL};

_Static_assert(sizeof(ml_op_names) / sizeof(*ml_op_names) == ML_OP_COUNT + 1, "an op lacks a name");
_Static_assert(sizeof(item_names) / sizeof(*item_names) == ML_ITEM_COUNT + 1, "an item lacks one");

/* The field as bytes that live as long as the table. */
static struct ml_slice text_of(lua_State *L, int index, const char *name)
{
    struct ml_slice text = {0};
    size_t len;

    lua_getfield(L, index, name);
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *bytes = lua_tolstring(L, -1, &len);

        text = ml_slice_make(bytes, len);
    } else if (!lua_isnil(L, -1)) {
        luaL_error(L, "%s must be text", name);
    }
    lua_pop(L, 1);
    return text;
}

static double number_of(lua_State *L, int index, const char *name)
{
    double number;

    lua_getfield(L, index, name);
    number = lua_isnil(L, -1) ? 0 : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return number;
}

static uint64_t count_of(lua_State *L, int index, const char *name)
{
    double number = number_of(L, index, name);

    if (!(number >= 0 && number <= 9007199254740992.0))
        luaL_error(L, "%s is out of range", name);
    return (uint64_t)number;
}

static int word_of(lua_State *L, int index, const char *const *words)
{
    int word;

    lua_getfield(L, index, "kind");
    word = luaL_checkoption(L, -1, NULL, words);
    lua_pop(L, 1);
    return word;
}

static void read_item(lua_State *L, int index, struct ml_script_item *item)
{
    *item = (struct ml_script_item){
        .kind = (enum ml_script_item_kind)word_of(L, index, item_names),
        .key = text_of(L, index, "key"),
        .value = text_of(L, index, "value"),
        .upto = text_of(L, index, "upto"),
        .rev = count_of(L, index, "rev"),
        .count = count_of(L, index, "count"),
        .ttl_ms = count_of(L, index, "ttl_ms"),
        .number = number_of(L, index, "number"),
    };
}

/* Into a userdata that stands on the stack, below the return address of whoever called us. */
static void read_items(lua_State *L, int index, struct ml_script_op *op)
{
    struct ml_script_item *items;
    size_t count;

    lua_getfield(L, index, "items");
    if (lua_isnil(L, -1))
        return;
    luaL_checktype(L, -1, LUA_TTABLE);
    count = lua_objlen(L, -1);
    if (count > ITEMS_MAX)
        luaL_error(L, "more than %d items at once", ITEMS_MAX);
    items = lua_newuserdata(L, (count ? count : 1) * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        read_item(L, lua_gettop(L), &items[i]);
        lua_pop(L, 1);
    }
    op->items = items;
    op->item_count = count;
}

void ml_op_read(lua_State *L, int index, struct ml_script_op *op)
{
    luaL_checktype(L, index, LUA_TTABLE);
    *op = (struct ml_script_op){
        .kind = (enum ml_script_op_kind)word_of(L, index, ml_op_names),
        .space = text_of(L, index, "space"),
        .name = text_of(L, index, "name"),
        .key = text_of(L, index, "key"),
        .prefix = text_of(L, index, "prefix"),
        .after = text_of(L, index, "after"),
        .value = text_of(L, index, "value"),
        .limit = count_of(L, index, "limit"),
        .timeout_ms = count_of(L, index, "timeout_ms"),
    };
    read_items(L, index, op);
}

static void set_text(lua_State *L, const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    lua_pushlstring(L, (const char *)text.ptr, text.len);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double number)
{
    lua_pushnumber(L, number);
    lua_setfield(L, -2, name);
}

void ml_op_push(lua_State *L, const struct ml_script_answer *answer)
{
    lua_createtable(L, 0, 4);
    if (answer->err) {
        set_text(L, "err", ml_slice_str(ml_err_name(answer->err)));
        set_text(L, "text",
                 answer->text.ptr ? answer->text : ml_slice_str(ml_err_text(answer->err)));
    }
    set_text(L, "value", answer->value);
    set_number(L, "number", (double)answer->number);
    lua_createtable(L, (int)answer->item_count, 0);
    for (size_t i = 0; i < answer->item_count; i++) {
        const struct ml_script_item *item = &answer->items[i];

        lua_createtable(L, 0, 4);
        set_text(L, "key", item->key);
        set_text(L, "value", item->value);
        set_number(L, "rev", (double)item->rev);
        set_number(L, "number", item->number);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "items");
}
