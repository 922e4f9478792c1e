/* SPDX-License-Identifier: MIT */
/* The document at hand: facts, who is here, values by their path. Handles are in view_shown.c. */
#include "script/view.h"

#include <openssl/evp.h>

#include "script/values.h"

#define DIGEST_BYTES 32

static const struct doc_subject *check_doc(lua_State *L)
{
    return ((const struct ml_lent *)ml_view_check(L, 1, KIND_DOC))->subject;
}

static const struct ml_doc *content(lua_State *L, const struct doc_subject *subject)
{
    if (!subject->doc)
        luaL_error(L, "this document is not at hand");
    return subject->doc;
}

static struct ml_slice check_path(lua_State *L, int arg)
{
    size_t len;
    const char *path = luaL_checklstring(L, arg, &len);

    return ml_slice_make(path, len);
}

/* ---- Values -----------------------------------------------------------------------------------
 */

/* doc:json(root) -> JSON text   [may raise] */
static int doc_json(lua_State *L)
{
    const struct doc_subject *subject = check_doc(L);
    struct ml_writer *out = &ml_script_of(L)->text;
    const struct ml_doc *doc = content(L, subject);
    struct ml_shown at;
    enum ml_err err;

    ml_writer_reset(out);
    err = ml_shown_at(doc, check_path(L, 2), &at)
              ? ml_shown_read(doc, &at, ML_VIEW_JSON, out)
              : ml_doc_read(doc, check_path(L, 2), ML_VIEW_JSON, out);
    if (err == ML_ENOTFOUND)
        luaL_error(L, "'%s' is a plain value: doc:get(path) reads it", lua_tostring(L, 2));
    if (err || out->err)
        luaL_error(L, "the document is too large to be read here");
    ml_push_slice(L, ml_writer_slice(out));
    return 1;
}

/* doc:get(path) -> plain value, a deep copy; nil: absent   [may raise] */
static int doc_get(lua_State *L)
{
    const struct doc_subject *subject = check_doc(L);
    struct ml_shown at;

    if (ml_shown_at(content(L, subject), check_path(L, 2), &at))
        ml_shown_push_value(L, subject->doc, &at);
    else
        lua_pushnil(L);
    return 1;
}

/* Mix in one root or place: its name and all of it, formats of a text included. */
static void digest_part(lua_State *L, const struct ml_doc *doc, struct ml_slice name,
                        const struct ml_shown *at, uint8_t sum[DIGEST_BYTES])
{
    struct ml_writer *out = &ml_script_of(L)->text;
    bool is_text = ml_shown_kind(doc, at) == ML_VALUE_TEXT;
    uint8_t hash[DIGEST_BYTES];
    enum ml_err err;

    ml_writer_reset(out);
    ml_write_varbytes(out, name);
    err = is_text ? ml_shown_read(doc, at, ML_VIEW_DELTA, out) : ml_shown_any(doc, at, out);
    if (err || out->err || EVP_Digest(out->ptr, out->len, hash, NULL, EVP_sha256(), NULL) != 1)
        luaL_error(L, "the document is too large to be read here");
    for (int i = 0; i < DIGEST_BYTES; i++)
        sum[i] ^= hash[i];
}

/* doc:digest([path]) -> text; the same content gives the same text   [may raise] */
static int doc_digest(lua_State *L)
{
    static const char digits[] = "0123456789abcdef";
    const struct doc_subject *subject = check_doc(L);
    const struct ml_doc *doc = content(L, subject);
    uint8_t sum[DIGEST_BYTES] = {0};
    char text[2 * DIGEST_BYTES];
    struct ml_shown at;
    struct ml_slice name;
    uint32_t cursor = 0;

    if (!lua_isnoneornil(L, 2)) {
        if (ml_shown_at(doc, check_path(L, 2), &at))
            digest_part(L, doc, ml_slice_make("", 0), &at, sum);
    } else {
        /* Roots come in an order of their own: it must not matter. */
        while (ml_doc_next_root(doc, &cursor, &name))
            if (ml_shown_root(doc, name, &at))
                digest_part(L, doc, name, &at, sum);
    }
    for (int i = 0; i < DIGEST_BYTES; i++) {
        text[2 * i] = digits[sum[i] >> 4];
        text[2 * i + 1] = digits[sum[i] & 15];
    }
    lua_pushlstring(L, text, sizeof(text));
    return 1;
}

/* doc:position(anchor) -> live units before it in its list | nil: it is not there   [may raise] */
static int doc_position(lua_State *L)
{
    const struct doc_subject *subject = check_doc(L);
    struct ml_relpos position;
    uint32_t index;

    if (ml_relpos_decode(check_path(L, 2), &position, NULL))
        luaL_error(L, "position: e:anchor() makes what is wanted here");
    ml_budget_check(&ml_script_of(L)->budget, L);
    if (ml_relpos_resolve(content(L, subject), &position, &index, NULL))
        lua_pushnil(L);
    else
        lua_pushnumber(L, index);
    return 1;
}

/* ---- Handles ----------------------------------------------------------------------------------
 */

static int push_handle(lua_State *L, enum ml_lent_kind kind)
{
    const struct doc_subject *subject = check_doc(L);

    ml_shown_push(L, kind, subject, check_path(L, 2));
    return 1;
}

/* doc:text(path) -> handle; likewise the others   [may raise] */
static int doc_text(lua_State *L)
{
    return push_handle(L, KIND_TEXT);
}

static int doc_map(lua_State *L)
{
    return push_handle(L, KIND_MAP);
}

static int doc_array(lua_State *L)
{
    return push_handle(L, KIND_ARRAY);
}

static int doc_xml(lua_State *L)
{
    return push_handle(L, KIND_XML);
}

static int doc_counter(lua_State *L)
{
    return push_handle(L, KIND_COUNTER);
}

/* ---- Around it --------------------------------------------------------------------------------
 */

struct session_list {
    lua_State *L;
    int count;
};

static void add_session(void *arg, const struct ml_doc_session *session)
{
    struct session_list *list = arg;
    lua_State *L = list->L;

    lua_createtable(L, 0, 4);
    ml_push_slice(L, session->id);
    lua_setfield(L, -2, "session");
    ml_push_slice(L, session->user);
    lua_setfield(L, -2, "user");
    ml_push_slice(L, session->name);
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, session->can_write);
    lua_setfield(L, -2, "write");
    lua_rawseti(L, -2, ++list->count);
}

/* doc:sessions() -> list of { session, user, name, write }   [may raise] */
static int doc_sessions(lua_State *L)
{
    const struct doc_subject *subject = check_doc(L);
    struct session_list list = {L, 0};

    lua_newtable(L);
    ml_json_mark_list(L);
    if (subject->port && subject->port->calls->sessions)
        subject->port->calls->sessions(subject->port, add_session, &list);
    return 1;
}

enum { DOC_ID, DOC_ORG, DOC_SEQ, DOC_EPOCH, DOC_BYTES, DOC_CREATED, DOC_LABELS };

static const struct ml_lent_field doc_fields[] = {
    {"id", DOC_ID, NULL},
    {"org", DOC_ORG, NULL},
    {"seq", DOC_SEQ, NULL},
    {"epoch", DOC_EPOCH, NULL},
    {"bytes", DOC_BYTES, NULL},
    {"created_at", DOC_CREATED, NULL},
    {"labels", DOC_LABELS, NULL},
    {"text", 0, doc_text},
    {"json", 0, doc_json},
    {"get", 0, doc_get},
    {"map", 0, doc_map},
    {"array", 0, doc_array},
    {"xml", 0, doc_xml},
    {"counter", 0, doc_counter},
    {"sessions", 0, doc_sessions},
    {"digest", 0, doc_digest},
    {"position", 0, doc_position},
    {"transact", 0, ml_doc_transact},
    {NULL, 0, NULL},
};

static void push_fact(lua_State *L, const struct doc_subject *subject, int id)
{
    struct ml_doc_facts facts = {0};

    if (!subject->port) {
        lua_pushnil(L);
        return;
    }
    subject->port->calls->facts(subject->port, &facts);
    if (id == DOC_SEQ)
        lua_pushnumber(L, (double)facts.seq);
    else if (id == DOC_EPOCH)
        lua_pushnumber(L, (double)facts.epoch);
    else if (id == DOC_BYTES)
        lua_pushnumber(L, (double)facts.bytes);
    else if (facts.created_ms)
        lua_pushnumber(L, (double)facts.created_ms / 1000);
    else
        lua_pushnil(L);
}

static void get_doc(lua_State *L, const struct ml_lent *view, int id)
{
    const struct doc_subject *subject = view->subject;

    switch (id) {
    case DOC_ID:
        ml_push_slice_or_nil(L, subject->ref.document);
        break;
    case DOC_ORG:
        ml_push_slice_or_nil(L, subject->ref.org);
        break;
    case DOC_LABELS: /* documents carry none yet */
        lua_newtable(L);
        break;
    default:
        push_fact(L, subject, id);
    }
}

void ml_view_push_doc_at(lua_State *L, const struct doc_subject *subject)
{
    struct ml_views *views = ml_views_of(L);

    views->doc = *subject;
    ml_view_push(L, views->views[KIND_DOC], &views->doc, NULL);
}

void ml_view_push_doc(lua_State *L, struct ml_slice org, struct ml_slice document,
                      const struct ml_doc *doc)
{
    const struct doc_subject subject = {{org, document}, doc, NULL, NULL};

    ml_view_push_doc_at(L, &subject);
}

const struct ml_lent_def ml_lent_doc = {"doc", doc_fields, get_doc, sizeof(struct ml_lent)};

static const struct ml_lent_field ref_fields[] = {
    {"id", DOC_ID, NULL}, {"org", DOC_ORG, NULL}, {NULL, 0, NULL}};

static void get_ref(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_ref *ref = view->subject;

    ml_push_slice_or_nil(L, id == DOC_ID ? ref->document : ref->org);
}

const struct ml_lent_def ml_lent_ref = {"ref", ref_fields, get_ref, sizeof(struct ml_lent)};
