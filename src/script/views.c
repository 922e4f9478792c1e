/* SPDX-License-Identifier: MIT */
/*
 * Views: what a hook is lent for one call (plugin-api 9).
 *
 *   u ---- author, member, doc ---- text handle            one userdata per kind and state, reused;
 *   |                                                      handles and loops over edits get their
 * own
 *   +-- edits() ---- e
 *
 *  [V1] A view holds pointers into the caller's memory, valid for the call that pushed it. Every
 *       access compares the view's generation with that of the running call; afterwards it raises
 *       "view expired". The number only grows, so a kept view is never mistaken for a new one,
 * except the argument of the same hook in a later call, which is that call's argument then. [V2]
 * Views cannot be changed, and their metatables answer false. [V3] Reading allocates only what Lua
 * is given (strings, lists). Pushing a view allocates nothing. [V4] An unknown field raises: a
 * policy with a typing error is failing, not silently without opinion.
 *
 * What a struct of an update is cannot always be told from its bytes: one that has an origin on the
 * wire names neither root nor key, so a value may be a map write or a list insert. Such an edit has
 * kind "value" and exact = false, and every filter that it could belong to lets it through.
 */
#include "script/state.h"

#include <stdlib.h>

#include "base/utf8.h"

#define KINDS 12

enum kind {
    KIND_REQUEST = VIEW_REQUEST,
    KIND_ASK = VIEW_ASK,
    KIND_UPDATE = VIEW_UPDATE,
    KIND_BATCH = VIEW_BATCH,
    KIND_REF = VIEW_REF,
    /* reached from the others */
    KIND_PAIRS,
    KIND_IDENTITY,
    KIND_AUTHOR,
    KIND_MEMBER,
    KIND_DOC,
    KIND_TEXT,
    KIND_EDIT,
};

/* A userdata of any kind. */
struct view {
    uint64_t generation;
    enum kind kind;
    const void *subject; /* what the kind is about */
    const void *scope;   /* of an update: struct ml_scope; of pairs: their number */
};

struct text_view {
    struct view view;
    size_t len; /* of the root's name */
    char root[];
};

struct edit_view {
    struct view view; /* subject: struct ml_update */
    struct ml_edit_cursor cursor;
    struct ml_edit edit;
    uint32_t may_be; /* of `edit` */
    uint32_t wanted; /* kinds of this loop */
    struct ml_slice
        pattern; /* of this loop; .ptr NULL: none. Stands in the environment of the userdata */
    bool busy;
};

struct doc_subject {
    struct ml_script_ref ref; /* first: a ref is read the same way */
    const struct ml_doc *doc;
};

struct ml_views {
    uint64_t generation; /* of the running call; odd while one runs */
    int views[KINDS];    /* references to the reused userdata */
    int pairs[3];        /* headers, query, cookies */
    int metatables[KINDS];
    struct doc_subject doc;
};

struct field {
    const char *name;
    int id; /* of a field */
    lua_CFunction method;
};

static struct ml_views *views_of(lua_State *L)
{
    return ml_script_of(L)->views;
}

static void push_slice(lua_State *L, struct ml_slice text)
{
    lua_pushlstring(L, text.len ? (const char *)text.ptr : "", text.len);
}

static void push_slice_or_nil(lua_State *L, struct ml_slice text)
{
    if (text.ptr)
        lua_pushlstring(L, (const char *)text.ptr, text.len);
    else
        lua_pushnil(L);
}

static void push_list(lua_State *L, const struct ml_slice *items, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_slice(L, items[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* The view at `index`, alive and of this kind, or an error. */
static void *check_view(lua_State *L, int index, enum kind kind)
{
    struct ml_views *views = views_of(L);
    struct view *view = lua_touserdata(L, index);
    bool ours = false;

    if (view && lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[kind]);
        ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!ours)
        luaL_error(L, "this method belongs to another view; call it with ':'");
    if (view->generation != views->generation)
        luaL_error(L, "view expired: copy what you keep");
    return view;
}

/* Push the reused view of `kind`, about `subject`. */
static void push_reused(lua_State *L, int ref, const void *subject, const void *scope)
{
    struct view *view;

    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    view = lua_touserdata(L, -1);
    view->generation = views_of(L)->generation;
    view->subject = subject;
    view->scope = scope;
}

static int not_yet(lua_State *L)
{
    return luaL_error(L, "%s is not available in this version",
                      lua_tostring(L, lua_upvalueindex(1)));
}

/* ---- Pairs: headers, query, cookies
 * ------------------------------------------------------------------ */

static bool same_name(struct ml_slice a, const char *b, size_t len)
{
    return a.len == len && strncasecmp((const char *)a.ptr, b, len) == 0;
}

static void get_pair(lua_State *L, const struct view *view)
{
    const struct ml_script_pair *pairs = view->subject;
    size_t len, count = *(const size_t *)view->scope;
    const char *name = luaL_checklstring(L, 2, &len);

    for (size_t i = 0; i < count; i++) {
        if (same_name(pairs[i].name, name, len)) {
            push_slice(L, pairs[i].value);
            return;
        }
    }
    lua_pushnil(L);
}

/* ---- req
 * -----------------------------------------------------------------------------------------------
 */

enum {
    REQ_METHOD,
    REQ_PATH,
    REQ_IP,
    REQ_HOST,
    REQ_ORIGIN,
    REQ_TOKEN,
    REQ_HEADERS,
    REQ_QUERY,
    REQ_COOKIES,
    REQ_WEBSOCKET,
    REQ_TLS,
};

static const struct field request_fields[] = {
    {"method", REQ_METHOD, NULL},   {"path", REQ_PATH, NULL},
    {"ip", REQ_IP, NULL},           {"host", REQ_HOST, NULL},
    {"origin", REQ_ORIGIN, NULL},   {"token", REQ_TOKEN, NULL},
    {"headers", REQ_HEADERS, NULL}, {"query", REQ_QUERY, NULL},
    {"cookies", REQ_COOKIES, NULL}, {"is_websocket", REQ_WEBSOCKET, NULL},
    {"tls", REQ_TLS, NULL},         {NULL, 0, NULL},
};

static void get_request(lua_State *L, const struct view *view, int id)
{
    const struct ml_script_request *request = view->subject;
    struct ml_views *views = views_of(L);

    switch (id) {
    case REQ_METHOD:
        push_slice(L, request->method);
        break;
    case REQ_PATH:
        push_slice(L, request->path);
        break;
    case REQ_IP:
        push_slice_or_nil(L, request->ip);
        break;
    case REQ_HOST:
        push_slice_or_nil(L, request->host);
        break;
    case REQ_ORIGIN:
        push_slice_or_nil(L, request->origin);
        break;
    case REQ_TOKEN:
        push_slice_or_nil(L, request->token);
        break;
    case REQ_HEADERS:
        push_reused(L, views->pairs[0], request->headers, &request->header_count);
        break;
    case REQ_QUERY:
        push_reused(L, views->pairs[1], request->query, &request->query_count);
        break;
    case REQ_COOKIES:
        push_reused(L, views->pairs[2], request->cookies, &request->cookie_count);
        break;
    case REQ_WEBSOCKET:
        lua_pushboolean(L, request->is_websocket);
        break;
    default:
        lua_pushboolean(L, request->tls);
    }
}

/* ---- ask, identity
 * ------------------------------------------------------------------------------------- */

enum { ID_USER, ID_NAME, ID_SESSION, ID_KIND, ID_ROLES, ID_EXPIRES_AT };

/* identity:has_role(name) -> boolean */
static int identity_has_role(lua_State *L)
{
    const struct view *view = check_view(L, 1, KIND_IDENTITY);
    const struct ml_script_identity *identity = view->subject;
    size_t len;
    const char *role = luaL_checklstring(L, 2, &len);
    bool has = false;

    for (size_t i = 0; identity && i < identity->role_count; i++)
        has |= ml_slice_equal(identity->roles[i], ml_slice_make(role, len));
    lua_pushboolean(L, has);
    return 1;
}

static const struct field identity_fields[] = {
    {"user", ID_USER, NULL},
    {"name", ID_NAME, NULL},
    {"session", ID_SESSION, NULL},
    {"kind", ID_KIND, NULL},
    {"roles", ID_ROLES, NULL},
    {"expires_at", ID_EXPIRES_AT, NULL},
    {"has_role", 0, identity_has_role},
    {NULL, 0, NULL},
};

static void get_identity(lua_State *L, const struct view *view, int id)
{
    const struct ml_script_identity *identity = view->subject;

    switch (id) {
    case ID_USER:
        push_slice_or_nil(L, identity->user);
        break;
    case ID_NAME:
        push_slice_or_nil(L, identity->name);
        break;
    case ID_SESSION:
        push_slice_or_nil(L, identity->session);
        break;
    case ID_KIND:
        push_slice_or_nil(L, identity->kind);
        break;
    case ID_ROLES:
        push_list(L, identity->roles, identity->role_count);
        break;
    default:
        if (identity->expires_at_ms)
            lua_pushnumber(L, (double)identity->expires_at_ms / 1000.0);
        else
            lua_pushnil(L);
    }
}

enum { ASK_ACTION, ASK_ORG, ASK_DOC_ID, ASK_IDENTITY, ASK_SESSION };

static const struct field ask_fields[] = {
    {"action", ASK_ACTION, NULL},     {"org", ASK_ORG, NULL},         {"doc_id", ASK_DOC_ID, NULL},
    {"identity", ASK_IDENTITY, NULL}, {"session", ASK_SESSION, NULL}, {NULL, 0, NULL},
};

static void get_ask(lua_State *L, const struct view *view, int id)
{
    const struct ml_script_ask *ask = view->subject;

    switch (id) {
    case ASK_ACTION:
        push_slice(L, ask->action);
        break;
    case ASK_ORG:
        push_slice_or_nil(L, ask->org);
        break;
    case ASK_DOC_ID:
        push_slice(L, ask->document);
        break;
    case ASK_SESSION:
        push_slice_or_nil(L, ask->identity ? ask->identity->session : (struct ml_slice){0});
        break;
    default:
        /* nil: anonymous */
        if (ask->identity)
            push_reused(L, views_of(L)->views[KIND_IDENTITY], ask->identity, NULL);
        else
            lua_pushnil(L);
    }
}

/* ---- doc
 * -----------------------------------------------------------------------------------------------
 */

/* Print a root into the script's writer and push it as text. */
static void push_root(lua_State *L, const struct doc_subject *subject, struct ml_slice root,
                      enum ml_view how)
{
    struct ml_writer *out = &ml_script_of(L)->text;

    ml_writer_reset(out);
    if (!subject->doc)
        luaL_error(L, "this document is not at hand");
    if (ml_doc_read(subject->doc, root, how, out) || out->err)
        luaL_error(L, "the document is too large to be read here");
    lua_pushlstring(L, out->len ? (const char *)out->ptr : "", out->len);
}

/* Argument `arg` as the name of a root. */
static struct ml_slice check_root(lua_State *L, int arg)
{
    size_t len;
    const char *path = luaL_checklstring(L, arg, &len);

    if (memchr(path, '/', len))
        luaL_error(
            L, "'%s': reading inside a root is not available in this version, except by doc:get",
            path);
    return ml_slice_make(path, len);
}

/* doc:json(root) -> JSON text   [may raise] */
static int doc_json(lua_State *L)
{
    const struct view *view = check_view(L, 1, KIND_DOC);

    push_root(L, view->subject, check_root(L, 2), ML_VIEW_JSON);
    return 1;
}

/* One step of a path into the value at the top: a key or a 0-based index. Replaces it. */
static void step_into(lua_State *L, const char *part, size_t len)
{
    char *end;
    unsigned long index = strtoul(part, &end, 10);

    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return;
    }
    if (lua_objlen(L, -1) > 0 && len > 0 && end == part + len && index < INT32_MAX) {
        lua_rawgeti(L, -1, (int)index + 1);
    } else {
        luaL_Buffer key;

        luaL_buffinit(L, &key);
        for (size_t i = 0; i < len; i++) {
            bool escaped =
                part[i] == '~' && i + 1 < len && (part[i + 1] == '0' || part[i + 1] == '1');

            luaL_addchar(&key, escaped ? (part[i + 1] == '1' ? '/' : '~') : part[i]);
            i += escaped;
        }
        luaL_pushresult(&key);
        lua_rawget(L, -2);
    }
    lua_remove(L, -2);
}

/* doc:get(path) -> plain value, a deep copy; nil: absent   [may raise] */
static int doc_get(lua_State *L)
{
    const struct view *view = check_view(L, 1, KIND_DOC);
    size_t len;
    const char *path = luaL_checklstring(L, 2, &len), *end = path + len;
    const char *slash = memchr(path, '/', len);
    struct ml_slice root = ml_slice_make(path, slash ? (size_t)(slash - path) : len);
    size_t text_len;
    const char *text;

    lua_settop(L, 2);
    push_root(L, view->subject, root, ML_VIEW_JSON);
    text = lua_tolstring(L, 3, &text_len);
    ml_json_push(L, ml_slice_make(text, text_len));
    while (slash) {
        const char *part = slash + 1;

        slash = memchr(part, '/', (size_t)(end - part));
        step_into(L, part, (size_t)((slash ? slash : end) - part));
    }
    return 1;
}

/* doc:text(path) -> handle   [may raise] */
static int doc_text(lua_State *L)
{
    const struct view *view = check_view(L, 1, KIND_DOC);
    struct ml_slice root = check_root(L, 2);
    struct text_view *text = lua_newuserdata(L, sizeof(*text) + root.len);

    text->view = (struct view){view->generation, KIND_TEXT, view->subject, NULL};
    text->len = root.len;
    memcpy(text->root, root.ptr, root.len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, views_of(L)->metatables[KIND_TEXT]);
    lua_setmetatable(L, -2);
    return 1;
}

enum { DOC_ID, DOC_ORG };

static const struct field doc_fields[] = {
    {"id", DOC_ID, NULL},     {"org", DOC_ORG, NULL}, {"text", 0, doc_text},
    {"json", 0, doc_json},    {"get", 0, doc_get},    {"map", 0, not_yet},
    {"array", 0, not_yet},    {"xml", 0, not_yet},    {"counter", 0, not_yet},
    {"sessions", 0, not_yet}, {"digest", 0, not_yet}, {"transact", 0, not_yet},
    {NULL, 0, NULL},
};

static void get_doc(lua_State *L, const struct view *view, int id)
{
    const struct ml_script_ref *ref = view->subject;

    push_slice_or_nil(L, id == DOC_ID ? ref->document : ref->org);
}

static void push_doc(lua_State *L, struct ml_slice org, struct ml_slice document,
                     const struct ml_doc *doc)
{
    struct ml_views *views = views_of(L);

    views->doc = (struct doc_subject){{org, document}, doc};
    push_reused(L, views->views[KIND_DOC], &views->doc, NULL);
}

/* ---- doc:text()
 * ------------------------------------------------------------------------------------------ */

static struct ml_slice push_text(lua_State *L)
{
    const struct text_view *text = check_view(L, 1, KIND_TEXT);
    size_t len;
    const char *bytes;

    lua_settop(L, 3); /* optional arguments are there now */
    push_root(L, text->view.subject, ml_slice_make(text->root, text->len), ML_VIEW_TEXT);
    bytes = lua_tolstring(L, -1, &len);
    return ml_slice_make(bytes, len);
}

/* text:tostring() -> text */
static int text_tostring(lua_State *L)
{
    (void)push_text(L);
    return 1;
}

/* text:len() -> UTF-16 units */
static int text_len(lua_State *L)
{
    size_t units = 0;

    (void)ml_utf8_check(push_text(L), &units);
    lua_pushnumber(L, (double)units);
    return 1;
}

/* text:slice(index, n) -> text; both in UTF-16 units   [may raise] */
static int text_slice(lua_State *L)
{
    struct ml_slice text = push_text(L);
    double index = luaL_checknumber(L, 2), n = luaL_checknumber(L, 3);
    size_t units = 0, from, to;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (!(index >= 0 && index <= (double)units && n >= 0))
        luaL_error(L, "slice: out of range");
    if (n > (double)units - index)
        n = (double)units - index;
    from = ml_utf8_offset(text, (size_t)index, &inside);
    to = ml_utf8_offset(text, (size_t)index + (size_t)n, &inside);
    push_slice(L, ml_slice_make(text.ptr + from, to - from));
    return 1;
}

/* text:find(s [, from]) -> index in UTF-16 units | nil   [may raise] */
static int text_find(lua_State *L)
{
    struct ml_slice text = push_text(L);
    size_t len, units = 0, from;
    const char *wanted = luaL_checklstring(L, 2, &len);
    double start = luaL_optnumber(L, 3, 0);
    const uint8_t *hit;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (!(start >= 0 && start <= (double)units))
        luaL_error(L, "find: out of range");
    from = ml_utf8_offset(text, (size_t)start, &inside);
    hit = memmem(text.ptr + from, text.len - from, wanted, len);
    if (!hit) {
        lua_pushnil(L);
        return 1;
    }
    (void)ml_utf8_check(ml_slice_make(text.ptr, (size_t)(hit - text.ptr)), &units);
    lua_pushnumber(L, (double)units);
    return 1;
}

static const struct field text_fields[] = {
    {"tostring", 0, text_tostring},
    {"len", 0, text_len},
    {"slice", 0, text_slice},
    {"find", 0, text_find},
    {"delta", 0, not_yet},
    {"block_at", 0, not_yet},
    {NULL, 0, NULL},
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

static const struct field edit_fields[] = {
    {"kind", EDIT_KIND, NULL},  {"exact", EDIT_EXACT, NULL},   {"key", EDIT_KEY, NULL},
    {"root", EDIT_ROOT, NULL},  {"path", EDIT_PATH, NULL},     {"text", EDIT_TEXT, NULL},
    {"len", EDIT_LEN, NULL},    {"client", EDIT_CLIENT, NULL}, {"clock", EDIT_CLOCK, NULL},
    {"block_text", 0, not_yet}, {"anchor", 0, not_yet},        {NULL, 0, NULL},
};

static void get_edit(lua_State *L, const struct view *view, int id)
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
        push_slice_or_nil(L, e->edit.key);
        break;
    case EDIT_ROOT:
    case EDIT_PATH: /* a struct that names its root stands in it: the path of the container */
        push_slice_or_nil(L, e->edit.root);
        break;
    case EDIT_TEXT:
        push_slice_or_nil(L,
                          e->edit.kind == ML_EDIT_STRING ? e->edit.content : (struct ml_slice){0});
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
    struct edit_view *e = check_view(L, 1, KIND_EDIT);

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

/* ---- u
 * ---------------------------------------------------------------------------------------------------
 */

static struct edit_view *push_edit_view(lua_State *L)
{
    struct ml_views *views = views_of(L);
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
    const struct view *view = check_view(L, 1, KIND_UPDATE);
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
    const struct view *view = check_view(L, 1, KIND_UPDATE);
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

static void get_update(lua_State *L, const struct view *view, int id);

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
    const struct view *view = check_view(L, 1, KIND_UPDATE);
    const struct ml_scope *scope = view->scope;
    struct edit_view e = {.view = {.subject = view->subject}};
    int n = 0;

    lua_settop(L, 1);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++) {
        get_update(L, view, totals[i].id);
        lua_setfield(L, 2, totals[i].name);
    }
    push_slice_or_nil(L, scope->document);
    lua_setfield(L, 2, "doc_id");
    lua_newtable(L);
    push_slice_or_nil(L, scope->user);
    lua_setfield(L, -2, "user");
    push_slice_or_nil(L, scope->user_name);
    lua_setfield(L, -2, "name");
    lua_setfield(L, 2, "author");
    lua_newtable(L);
    while (ml_update_next_edit(view->subject, &e.cursor, &e.edit)) {
        e.may_be = ml_edit_may_be(&e.edit);
        if (!e.may_be)
            continue;
        ml_budget_check(&ml_script_of(L)->budget, L);
        lua_createtable(L, 0, 4);
        for (const struct field *field = edit_fields; field->name; field++) {
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

static const struct field update_fields[] = {
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
    {"undo", 0, not_yet},
    {"replace", 0, not_yet},
    {"remove", 0, not_yet},
    {"amend", 0, not_yet},
    {"label", 0, not_yet},
    {NULL, 0, NULL},
};

static void get_update(lua_State *L, const struct view *view, int id)
{
    const struct ml_scope *scope = view->scope;
    const struct ml_update_facts *facts = ml_update_facts(view->subject);
    struct ml_views *views = views_of(L);

    switch (id) {
    case UPDATE_AUTHOR:
        push_reused(L, views->views[KIND_AUTHOR], scope, NULL);
        break;
    case UPDATE_MEMBER:
        push_reused(L, views->views[KIND_MEMBER], scope, NULL);
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
        push_doc(L, scope->org, scope->document, scope->doc);
        break;
    case UPDATE_ORG:
        push_slice_or_nil(L, scope->org);
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

/* ---- u.author, u.member
 * ------------------------------------------------------------------------------------ */

enum { AUTHOR_USER, AUTHOR_NAME, AUTHOR_SESSION, AUTHOR_ROLES };

/* author:has_role(name) -> boolean */
static int author_has_role(lua_State *L)
{
    const struct view *view = check_view(L, 1, KIND_AUTHOR);
    const struct ml_scope *scope = view->subject;
    size_t len;
    const char *role = luaL_checklstring(L, 2, &len);
    bool has = false;

    for (size_t i = 0; i < scope->role_count; i++)
        has |= ml_slice_equal(scope->roles[i], ml_slice_make(role, len));
    lua_pushboolean(L, has);
    return 1;
}

static const struct field author_fields[] = {
    {"user", AUTHOR_USER, NULL},       {"name", AUTHOR_NAME, NULL},
    {"session", AUTHOR_SESSION, NULL}, {"roles", AUTHOR_ROLES, NULL},
    {"has_role", 0, author_has_role},  {NULL, 0, NULL},
};

static void get_author(lua_State *L, const struct view *view, int id)
{
    const struct ml_scope *scope = view->subject;

    switch (id) {
    case AUTHOR_USER:
        push_slice_or_nil(L, scope->user);
        break;
    case AUTHOR_NAME:
        push_slice_or_nil(L, scope->user_name);
        break;
    case AUTHOR_SESSION:
        push_slice_or_nil(L, scope->session);
        break;
    default:
        push_list(L, scope->roles, scope->role_count);
    }
}

enum { MEMBER_SESSION, MEMBER_IDENTITY };

static const struct field member_fields[] = {
    {"session", MEMBER_SESSION, NULL},
    {"identity", MEMBER_IDENTITY, NULL},
    {"label", 0, not_yet},
    {"notify", 0, not_yet},
    {"close", 0, not_yet},
    {NULL, 0, NULL},
};

static void get_member(lua_State *L, const struct view *view, int id)
{
    const struct ml_scope *scope = view->subject;

    if (id == MEMBER_SESSION)
        push_slice_or_nil(L, scope->session);
    else
        push_reused(L, views_of(L)->views[KIND_AUTHOR], scope, NULL);
}

/* ---- batch, ref
 * -------------------------------------------------------------------------------------------- */

enum {
    BATCH_DOC,
    BATCH_ORG,
    BATCH_COUNT,
    BATCH_BYTES,
    BATCH_FROM,
    BATCH_TO,
    BATCH_AUTHORS,
    BATCH_GAP
};

static const struct field batch_fields[] = {
    {"doc", BATCH_DOC, NULL},
    {"org", BATCH_ORG, NULL},
    {"count", BATCH_COUNT, NULL},
    {"bytes", BATCH_BYTES, NULL},
    {"from_seq", BATCH_FROM, NULL},
    {"to_seq", BATCH_TO, NULL},
    {"authors", BATCH_AUTHORS, NULL},
    {"gap", BATCH_GAP, NULL},
    {"changes", 0, not_yet},
    {"touched", 0, not_yet},
    {NULL, 0, NULL},
};

static void get_batch(lua_State *L, const struct view *view, int id)
{
    const struct ml_script_batch *batch = view->subject;

    switch (id) {
    case BATCH_DOC:
        push_doc(L, batch->org, batch->document, batch->doc);
        break;
    case BATCH_ORG:
        push_slice_or_nil(L, batch->org);
        break;
    case BATCH_COUNT:
        lua_pushnumber(L, (double)batch->count);
        break;
    case BATCH_BYTES:
        lua_pushnumber(L, (double)batch->bytes);
        break;
    case BATCH_FROM:
        lua_pushnumber(L, (double)batch->from_seq);
        break;
    case BATCH_TO:
        lua_pushnumber(L, (double)batch->to_seq);
        break;
    case BATCH_AUTHORS:
        push_list(L, batch->authors, batch->author_count);
        break;
    default:
        lua_pushboolean(L, 0);
    }
}

static const struct field ref_fields[] = {
    {"id", DOC_ID, NULL}, {"org", DOC_ORG, NULL}, {NULL, 0, NULL}};

/* ---- The kinds
 * ------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;           /* in messages */
    const struct field *fields; /* NULL: any name is a field */
    void (*get)(lua_State *L, const struct view *view, int id);
    size_t bytes; /* of the reused userdata */
} kinds[KINDS] = {
    [KIND_REQUEST] = {"req", request_fields, get_request, sizeof(struct view)},
    [KIND_ASK] = {"ask", ask_fields, get_ask, sizeof(struct view)},
    [KIND_UPDATE] = {"update", update_fields, get_update, sizeof(struct view)},
    [KIND_BATCH] = {"batch", batch_fields, get_batch, sizeof(struct view)},
    [KIND_REF] = {"ref", ref_fields, get_doc, sizeof(struct view)},
    [KIND_PAIRS] = {"headers", NULL, NULL, sizeof(struct view)},
    [KIND_IDENTITY] = {"identity", identity_fields, get_identity, sizeof(struct view)},
    [KIND_AUTHOR] = {"author", author_fields, get_author, sizeof(struct view)},
    [KIND_MEMBER] = {"member", member_fields, get_member, sizeof(struct view)},
    [KIND_DOC] = {"doc", doc_fields, get_doc, sizeof(struct view)},
    [KIND_TEXT] = {"text", text_fields, NULL, sizeof(struct text_view)},
    [KIND_EDIT] = {"edit", edit_fields, get_edit, sizeof(struct edit_view)},
};

/*
 * __index of all kinds; upvalues: table of name -> number | method, kind. Only ever called with a
 * view of its own kind: the metatable is out of reach.
 */
static int view_index(lua_State *L)
{
    const struct view *view = lua_touserdata(L, 1);
    int kind;

    if (view->generation != views_of(L)->generation)
        luaL_error(L, "view expired: copy what you keep");
    kind = (int)view->kind;
    if (kind == KIND_PAIRS) {
        get_pair(L, view);
        return 1;
    }
    lua_rawget(L, lua_upvalueindex(1));
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        kinds[kind].get(L, view, (int)lua_tointeger(L, -1));
        return 1;
    case LUA_TFUNCTION:
        return 1;
    default:
        return luaL_error(L, "%s has no such field", kinds[kind].name);
    }
}

static int view_newindex(lua_State *L)
{
    return luaL_error(L, "a view is read-only");
}

static int view_tostring(lua_State *L)
{
    lua_pushfstring(L, "view: %s", lua_tostring(L, lua_upvalueindex(1)));
    return 1;
}

static void push_fields(lua_State *L, enum kind kind)
{
    lua_newtable(L);
    for (const struct field *field = kinds[kind].fields; field && field->name; field++) {
        if (field->method == not_yet) {
            lua_pushfstring(L, "%s:%s", kinds[kind].name, field->name);
            lua_pushcclosure(L, not_yet, 1);
        } else if (field->method) {
            lua_pushcfunction(L, field->method);
        } else {
            lua_pushinteger(L, field->id);
        }
        lua_setfield(L, -2, field->name);
    }
}

static void make_metatable(lua_State *L, enum kind kind)
{
    lua_newtable(L);
    push_fields(L, kind);
    lua_pushcclosure(L, view_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, view_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, kinds[kind].name);
    lua_pushcclosure(L, view_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

static int make_view(lua_State *L, struct ml_views *views, enum kind kind)
{
    struct view *view = lua_newuserdata(L, kinds[kind].bytes);

    memset(view, 0, kinds[kind].bytes);
    view->kind = kind;
    lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[kind]);
    lua_setmetatable(L, -2);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

void ml_views_open(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_views *views = script->views;

    if (!views) {
        views = script->views = calloc(1, sizeof(*views));
        if (!views)
            luaL_error(L, "out of memory");
    }
    for (int kind = 0; kind < KINDS; kind++) {
        make_metatable(L, (enum kind)kind);
        views->metatables[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
        if (kind != KIND_TEXT)
            views->views[kind] = make_view(L, views, (enum kind)kind);
    }
    for (int i = 0; i < 3; i++)
        views->pairs[i] = make_view(L, views, KIND_PAIRS);
    views->generation = 2;
}

void ml_views_push(struct ml_script *script, enum ml_view_kind kind, const void *subject,
                   const void *scope)
{
    script->views->generation |= 1;
    push_reused(script->L, script->views->views[kind], subject, scope);
}

void ml_views_expire(struct ml_script *script)
{
    script->views->generation += 2;
    script->views->generation &= ~(uint64_t)1;
}
