/* SPDX-License-Identifier: MIT */
/*
 * Views of an update and its edits, and the filters that keep Lua out.
 *
 * What a struct of an update is cannot always be told from its bytes: one that has an origin on the
 * wire names neither root nor key, so a value may be a map write or a list insert. Such an edit has
 * kind "value" and exact = false, and every filter that it could belong to lets it through.
 */
#include "script/view.h"

struct edit_view {
    struct ml_lent view; /* subject: struct ml_update */
    struct ml_edit_cursor cursor;
    struct ml_edit edit;
    uint32_t may_be; /* of `edit` */
    uint32_t wanted; /* kinds of this loop */
    struct ml_slice
        pattern; /* of this loop; .ptr NULL: none. Stands in the environment of the userdata */
    bool busy;
};

/* ---- What a struct of an update is
 * ------------------------------------------------------------------------ */

const char *const ml_edit_words[WORD_COUNT] = {
    [WORD_TEXT_INSERT] = "text.insert",
    [WORD_TEXT_DELETE] = "text.delete",
    [WORD_TEXT_FORMAT] = "text.format",
    [WORD_MAP_SET] = "map.set",
    [WORD_MAP_DELETE] = "map.delete",
    [WORD_ARRAY_INSERT] = "array.insert",
    [WORD_ARRAY_DELETE] = "array.delete",
    [WORD_XML_INSERT] = "xml.insert",
    [WORD_XML_DELETE] = "xml.delete",
    [WORD_XML_ATTR] = "xml.attr",
    [WORD_SUBDOC] = "subdoc",
};

#define BIT(word) (1u << (word))
#define DELETE_BITS                                                                                \
    (BIT(WORD_TEXT_DELETE) | BIT(WORD_MAP_DELETE) | BIT(WORD_ARRAY_DELETE) | BIT(WORD_XML_DELETE))
#define KEYED_BITS   (BIT(WORD_MAP_SET) | BIT(WORD_XML_ATTR))
#define TYPE_XML_MIN 3 /* type references from here on are XML (element, fragment, hook, text) */

uint32_t ml_edit_word_bits(struct ml_slice word)
{
    uint32_t bits = 0;

    for (int i = 0; i < WORD_COUNT; i++) {
        struct ml_slice known = ml_slice_str(ml_edit_words[i]);

        if (ml_slice_equal(known, word) || (known.len > word.len && known.ptr[word.len] == '.' &&
                                            memcmp(known.ptr, word.ptr, word.len) == 0))
            bits |= BIT(i);
    }
    return bits;
}

uint32_t ml_origin_bits(struct ml_slice word)
{
    static const char *const origins[] = {"client", "sync", "import"};

    for (unsigned i = 0; i < sizeof(origins) / sizeof(*origins); i++)
        if (ml_slice_equal(ml_slice_str(origins[i]), word))
            return 1u << i;
    return 0;
}

static uint32_t value_may_be(const struct ml_edit *edit)
{
    if (edit->key.ptr)
        return edit->root.ptr ? BIT(WORD_MAP_SET) | BIT(WORD_XML_ATTR) : KEYED_BITS;
    if (edit->root.ptr)
        return BIT(WORD_ARRAY_INSERT);
    return KEYED_BITS | BIT(WORD_ARRAY_INSERT);
}

uint32_t ml_edit_may_be(const struct ml_edit *edit)
{
    switch (edit->kind) {
    case ML_EDIT_STRING:
        /* Attributes of XML elements are strings of the Any kind in current Yjs, plain ones in old.
         */
        return edit->key.ptr ? KEYED_BITS : BIT(WORD_TEXT_INSERT);
    case ML_EDIT_FORMAT:
        return BIT(WORD_TEXT_FORMAT);
    case ML_EDIT_EMBED:
        return BIT(WORD_TEXT_INSERT);
    case ML_EDIT_JSON:
    case ML_EDIT_ANY:
    case ML_EDIT_BINARY:
        return value_may_be(edit);
    case ML_EDIT_TYPE: {
        bool xml = edit->content.len > 0 && edit->content.ptr[0] >= TYPE_XML_MIN;
        uint32_t inside = BIT(xml ? WORD_XML_INSERT : WORD_ARRAY_INSERT);

        if (edit->key.ptr)
            return BIT(WORD_MAP_SET);
        return edit->root.ptr ? inside : inside | BIT(WORD_MAP_SET);
    }
    case ML_EDIT_DOC:
        return BIT(WORD_SUBDOC);
    case ML_EDIT_GC:
    case ML_EDIT_DELETED:
        break;
    }
    return 0;
}

/* A map write to a root is exact although an attribute could in theory stand there too. */
static const char *kind_of(const struct edit_view *e, bool *exact_out)
{
    uint32_t bits = e->may_be;

    *exact_out = (bits & (bits - 1)) == 0;
    if (bits == KEYED_BITS && e->edit.root.ptr)
        return ml_edit_words[WORD_MAP_SET];
    for (int i = 0; *exact_out && i < WORD_COUNT; i++)
        if (bits == BIT(i))
            return ml_edit_words[i];
    return bits == KEYED_BITS ? ml_edit_words[WORD_MAP_SET] : "value";
}

/* A struct that does not name its root may be anywhere. */
static bool may_be_at(const struct ml_edit *edit, struct ml_slice pattern)
{
    return !edit->root.ptr || ml_glob_match(pattern, edit->root);
}

static bool at_any_path(const struct ml_edit_filter *filter, const struct ml_edit *edit)
{
    if (filter->path_count == 0)
        return true;
    for (size_t i = 0; i < filter->path_count; i++)
        if (may_be_at(edit, ml_slice_str(filter->paths[i])))
            return true;
    return false;
}

bool ml_filter_matches(const struct ml_edit_filter *filter, const struct ml_update *update,
                       const char *origin)
{
    const struct ml_update_facts *facts = ml_update_facts(update);
    struct ml_edit_cursor cursor = {0};
    struct ml_edit edit;

    if (facts->bytes < filter->min_bytes)
        return false;
    if (filter->origins &&
        !(filter->origins & ml_origin_bits(ml_slice_str(origin ? origin : "client"))))
        return false;
    if (!filter->kinds && !filter->path_count)
        return true;
    /* The delete set says neither what nor where. */
    if (facts->deleted_units && (!filter->kinds || (filter->kinds & DELETE_BITS)))
        return true;
    while (ml_update_next_edit(update, &cursor, &edit)) {
        uint32_t may_be = ml_edit_may_be(&edit);

        if (may_be && (!filter->kinds || (filter->kinds & may_be)) && at_any_path(filter, &edit))
            return true;
    }
    return false;
}

/* ---- e
 * ---------------------------------------------------------------------------------------------------
 */

enum {
    EDIT_KIND,
    EDIT_EXACT,
    EDIT_KEY,
    EDIT_ROOT,
    EDIT_PATH,
    EDIT_TEXT,
    EDIT_LEN,
    EDIT_CLIENT,
    EDIT_CLOCK
};

static const struct ml_lent_field edit_fields[] = {
    {"kind", EDIT_KIND, NULL},      {"exact", EDIT_EXACT, NULL},
    {"key", EDIT_KEY, NULL},        {"root", EDIT_ROOT, NULL},
    {"path", EDIT_PATH, NULL},      {"text", EDIT_TEXT, NULL},
    {"len", EDIT_LEN, NULL},        {"client", EDIT_CLIENT, NULL},
    {"clock", EDIT_CLOCK, NULL},    {"block_text", 0, ml_view_not_yet},
    {"anchor", 0, ml_view_not_yet}, {NULL, 0, NULL},
};

static void get_edit(lua_State *L, const struct ml_lent *view, int id)
{
    const struct edit_view *e = (const struct edit_view *)(const void *)view;
    bool exact;
    const char *kind;

    switch (id) {
    case EDIT_KIND:
        lua_pushstring(L, kind_of(e, &exact));
        break;
    case EDIT_EXACT:
        kind = kind_of(e, &exact);
        lua_pushboolean(L, exact || (kind == ml_edit_words[WORD_MAP_SET] && e->edit.root.ptr));
        break;
    case EDIT_KEY:
        ml_push_slice_or_nil(L, e->edit.key);
        break;
    case EDIT_ROOT:
    case EDIT_PATH: /* a struct that names its root stands in it: the path of the container */
        ml_push_slice_or_nil(L, e->edit.root);
        break;
    case EDIT_TEXT:
        ml_push_slice_or_nil(L, e->edit.kind == ML_EDIT_STRING ? e->edit.content
                                                               : (struct ml_slice){0});
        break;
    case EDIT_LEN:
        lua_pushnumber(L, (double)e->edit.len);
        break;
    case EDIT_CLIENT:
        lua_pushnumber(L, (double)e->edit.client);
        break;
    default:
        lua_pushnumber(L, (double)e->edit.clock);
    }
}

/* Step of u:edits(): the edit again, or nothing. */
static int next_edit(lua_State *L)
{
    struct edit_view *e = ml_view_check(L, 1, KIND_EDIT);

    while (ml_update_next_edit(e->view.subject, &e->cursor, &e->edit)) {
        e->may_be = ml_edit_may_be(&e->edit);
        if (!(e->may_be & e->wanted) || (e->pattern.ptr && !may_be_at(&e->edit, e->pattern)))
            continue;
        lua_settop(L, 1);
        return 1;
    }
    e->busy = false;
    return 0;
}

const struct ml_lent_def ml_lent_edit = {"edit", edit_fields, get_edit, sizeof(struct edit_view)};

/* ---- u
 * ---------------------------------------------------------------------------------------------------
 */

static struct edit_view *push_edit_view(lua_State *L)
{
    struct ml_views *views = ml_views_of(L);
    struct edit_view *e;

    lua_rawgeti(L, LUA_REGISTRYINDEX, views->views[KIND_EDIT]);
    e = lua_touserdata(L, -1);
    if (e->busy && e->view.generation == views->generation) { /* a loop inside a loop */
        lua_pop(L, 1);
        e = lua_newuserdata(L, sizeof(*e));
        lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[KIND_EDIT]);
        lua_setmetatable(L, -2);
    }
    return e;
}

/* u:edits([kind [, pattern]]) -> iterator   [may raise] */
static int update_edits(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_UPDATE);
    size_t len = 0, pattern_len = 0;
    const char *kind = luaL_optlstring(L, 2, NULL, &len);
    const char *pattern = luaL_optlstring(L, 3, NULL, &pattern_len);
    uint32_t wanted = UINT32_MAX;
    struct edit_view *e;

    if (kind) {
        wanted = ml_edit_word_bits(ml_slice_make(kind, len));
        if (!wanted)
            luaL_error(L, "unknown edit kind '%s'", kind);
    }
    lua_pushcfunction(L, next_edit);
    e = push_edit_view(L);
    *e = (struct edit_view){
        .view = {view->generation, KIND_EDIT, view->subject, NULL}, .wanted = wanted, .busy = true};
    if (pattern) {
        /* The pattern lives as long as the loop. */
        e->pattern = ml_slice_make(pattern, pattern_len);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, 3);
        lua_rawseti(L, -2, 1);
        lua_setfenv(L, -2);
    }
    return 2;
}

/* u:touches(pattern) -> boolean; true also where it cannot be told   [may raise] */
static int update_touches(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_UPDATE);
    size_t len;
    const char *pattern = luaL_checklstring(L, 2, &len);
    struct ml_edit_cursor cursor = {0};
    struct ml_edit edit;
    bool touches = ml_update_facts(view->subject)->deleted_units > 0;

    while (!touches && ml_update_next_edit(view->subject, &cursor, &edit))
        touches = ml_edit_may_be(&edit) && may_be_at(&edit, ml_slice_make(pattern, len));
    lua_pushboolean(L, touches);
    return 1;
}

enum {
    UPDATE_AUTHOR,
    UPDATE_MEMBER,
    UPDATE_ORIGIN,
    UPDATE_BYTES,
    UPDATE_AT,
    UPDATE_DOC,
    UPDATE_ORG,
    UPDATE_INSERTED,
    UPDATE_INSERTED_BYTES,
    UPDATE_DELETED,
    UPDATE_KEYS,
};

static void get_update(lua_State *L, const struct ml_lent *view, int id);

/* u:snapshot() -> plain table that outlives the hook */
static int update_snapshot(lua_State *L)
{
    static const struct {
        const char *name;
        int id;
    } totals[] = {
        {"origin", UPDATE_ORIGIN},
        {"bytes", UPDATE_BYTES},
        {"at", UPDATE_AT},
        {"inserted", UPDATE_INSERTED},
        {"inserted_bytes", UPDATE_INSERTED_BYTES},
        {"deleted", UPDATE_DELETED},
        {"keys", UPDATE_KEYS},
    };
    const struct ml_lent *view = ml_view_check(L, 1, KIND_UPDATE);
    const struct ml_scope *scope = view->scope;
    struct edit_view e = {.view = {.subject = view->subject}};
    int n = 0;

    lua_settop(L, 1);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++) {
        get_update(L, view, totals[i].id);
        lua_setfield(L, 2, totals[i].name);
    }
    ml_push_slice_or_nil(L, scope->document);
    lua_setfield(L, 2, "doc_id");
    lua_newtable(L);
    ml_push_slice_or_nil(L, scope->user);
    lua_setfield(L, -2, "user");
    ml_push_slice_or_nil(L, scope->user_name);
    lua_setfield(L, -2, "name");
    lua_setfield(L, 2, "author");
    lua_newtable(L);
    while (ml_update_next_edit(view->subject, &e.cursor, &e.edit)) {
        e.may_be = ml_edit_may_be(&e.edit);
        if (!e.may_be)
            continue;
        ml_budget_check(&ml_script_of(L)->budget, L);
        lua_createtable(L, 0, 4);
        for (const struct ml_lent_field *field = edit_fields; field->name; field++) {
            if (field->method)
                continue;
            get_edit(L, &e.view, field->id);
            lua_setfield(L, -2, field->name);
        }
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, 2, "edits");
    return 1;
}

static const struct ml_lent_field update_fields[] = {
    {"author", UPDATE_AUTHOR, NULL},
    {"member", UPDATE_MEMBER, NULL},
    {"origin", UPDATE_ORIGIN, NULL},
    {"bytes", UPDATE_BYTES, NULL},
    {"at", UPDATE_AT, NULL},
    {"doc", UPDATE_DOC, NULL},
    {"org", UPDATE_ORG, NULL},
    {"inserted", UPDATE_INSERTED, NULL},
    {"inserted_bytes", UPDATE_INSERTED_BYTES, NULL},
    {"deleted", UPDATE_DELETED, NULL},
    {"keys", UPDATE_KEYS, NULL},
    {"edits", 0, update_edits},
    {"touches", 0, update_touches},
    {"snapshot", 0, update_snapshot},
    {"undo", 0, ml_view_not_yet},
    {"replace", 0, ml_view_not_yet},
    {"remove", 0, ml_view_not_yet},
    {"amend", 0, ml_view_not_yet},
    {"label", 0, ml_view_not_yet},
    {NULL, 0, NULL},
};

static void get_update(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_scope *scope = view->scope;
    const struct ml_update_facts *facts = ml_update_facts(view->subject);
    struct ml_views *views = ml_views_of(L);

    switch (id) {
    case UPDATE_AUTHOR:
        ml_view_push(L, views->views[KIND_AUTHOR], scope, NULL);
        break;
    case UPDATE_MEMBER:
        ml_view_push(L, views->views[KIND_MEMBER], scope, NULL);
        break;
    case UPDATE_ORIGIN:
        lua_pushstring(L, scope->origin ? scope->origin : "client");
        break;
    case UPDATE_BYTES:
        lua_pushnumber(L, (double)facts->bytes);
        break;
    case UPDATE_AT:
        lua_pushnumber(L, (double)ml_script_of(L)->wall_ms() / 1000.0);
        break;
    case UPDATE_DOC:
        ml_view_push_doc_at(
            L, &(struct doc_subject){{scope->org, scope->document}, scope->doc, scope->port, NULL});
        break;
    case UPDATE_ORG:
        ml_push_slice_or_nil(L, scope->org);
        break;
    case UPDATE_INSERTED:
        lua_pushnumber(L, (double)facts->inserted_units);
        break;
    case UPDATE_INSERTED_BYTES:
        lua_pushnumber(L, (double)facts->inserted_bytes);
        break;
    case UPDATE_DELETED:
        lua_pushnumber(L, (double)facts->deleted_units);
        break;
    default:
        lua_pushnumber(L, (double)facts->keys);
    }
}

const struct ml_lent_def ml_lent_update = {"update", update_fields, get_update,
                                           sizeof(struct ml_lent)};
