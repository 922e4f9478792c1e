/* SPDX-License-Identifier: MIT */
/*
 * What clients send beside edits: admit (may this message be looked at now?), message (what becomes
 * of a text that is none of the protocol's).
 */
#include "script/round.h"

#include <math.h>

#include "script/view.h"

#define SLOW_MAX_MS    5000 /* longer, and the other end takes it for dead */
#define ANY_MAX_BYTES  (1u << 20)
#define SESSION_FIELDS 2

static const char *const identity_fields[] = {"user", "name", "session", "roles", "groups", NULL};
static const char *const frame_fields[] = {"kind", "bytes", "session", NULL};
static const char *const session_fields[] = {"id", "identity", NULL};
static const char *const message_fields[] = {"topic", "payload", "identity", "doc", "to", NULL};

static void push_identity(lua_State *L, const struct ml_scope *who)
{
    lua_createtable(L, 0, 5);
    ml_round_text(L, "user", who->user);
    ml_round_text(L, "name", who->user_name);
    ml_round_text(L, "session", who->session);
    ml_round_texts(L, "roles", who->roles, who->role_count);
    ml_round_texts(L, "groups", who->groups, who->group_count);
    ml_round_seal(L, "identity", identity_fields);
}

/* ---- admit -------------------------------------------------------------------------------------
 */

struct admission {
    struct ml_round base; /* first */
    const struct ml_script_frame *frame;
    struct ml_script_admission *out;
};

static void push_frame(lua_State *L, struct ml_round *round)
{
    const struct ml_script_frame *frame = ((struct admission *)(void *)round)->frame;

    lua_createtable(L, 0, 3);
    ml_round_text(L, "kind", ml_slice_str(frame->kind));
    ml_round_number(L, "bytes", (double)frame->bytes);
    lua_createtable(L, 0, SESSION_FIELDS);
    ml_round_text(L, "id", frame->who->session);
    push_identity(L, frame->who);
    lua_setfield(L, -2, "identity");
    ml_round_seal(L, "session", session_fields);
    lua_setfield(L, -2, "session");
    ml_round_seal(L, "frame", frame_fields);
}

static void decode_admission(lua_State *L, struct ml_round *round)
{
    struct ml_script_admission *out = ((struct admission *)(void *)round)->out;
    double ms;

    switch (ml_api_answer_kind(L, 1)) {
    case ML_ANSWER_DENY:
        out->is_denied = round->is_over = true;
        return;
    case ML_ANSWER_SLOW:
        lua_getfield(L, 1, "seconds");
        ms = lua_tonumber(L, -1) * 1000;
        ms = ms < SLOW_MAX_MS ? ms : SLOW_MAX_MS;
        if (ms > out->slow_ms)
            out->slow_ms = (uint32_t)ceil(ms);
        return;
    default:
        luaL_error(L, "must answer ml.deny, ml.slow or nil, not a %s", luaL_typename(L, 1));
    }
}

void ml_script_admit(struct ml_script *script, const struct ml_script_frame *frame,
                     struct ml_script_admission *out)
{
    struct admission admission = {
        .base = {.hook = HOOK_ADMIT, .push = push_frame, .decode = decode_admission},
        .frame = frame,
        .out = out};

    *out = (struct ml_script_admission){0};
    ml_round_run(script, &admission.base);
}

/* ---- message -----------------------------------------------------------------------------------
 */

struct message {
    struct ml_round base; /* first */
    const struct ml_scope *who;
    struct ml_arena *scratch;
    struct ml_script_message *m;
    bool is_json;
    enum ml_err err;
};

/* A member of the payload, if that is an object and it is text. */
static void push_member(lua_State *L, int payload, const char *name)
{
    lua_pushnil(L);
    if (lua_istable(L, payload)) {
        lua_pop(L, 1);
        lua_pushstring(L, name);
        lua_rawget(L, payload);
        if (lua_type(L, -1) != LUA_TSTRING) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
    }
}

static void push_message(lua_State *L, struct ml_round *round)
{
    const struct message *message = (struct message *)(void *)round;
    const struct ml_scope *who = message->who;
    const struct ml_script_ref ref = {who->org, who->document};
    const struct doc_subject doc = {ref, who->doc, who->port, NULL};
    int table;

    /* Views are alive from here on; this one is thrown away where another kind is wanted. */
    ml_views_push(ml_script_of(L), VIEW_REF, &ref, NULL);
    lua_pop(L, 1);
    lua_createtable(L, 0, 5);
    table = lua_gettop(L);
    if (message->is_json)
        ml_json_push(L, message->m->text);
    else
        lua_pushlstring(L, (const char *)message->m->text.ptr, message->m->text.len);
    push_member(L, table + 1, "topic");
    lua_setfield(L, table, "topic");
    push_member(L, table + 1, "to");
    lua_setfield(L, table, "to");
    lua_setfield(L, table, "payload");
    push_identity(L, who);
    lua_setfield(L, table, "identity");
    ml_view_push_doc_at(L, &doc);
    lua_setfield(L, table, "doc");
    ml_round_seal(L, "m", message_fields);
}

static bool is_json(struct ml_slice text)
{
    struct ml_writer any;
    bool is;

    ml_writer_init(&any, ANY_MAX_BYTES);
    is = ml_any_from_json(text, NULL, &any) == ML_OK;
    ml_writer_release(&any);
    return is;
}

static void decode_message(lua_State *L, struct ml_round *round)
{
    struct message *message = (struct message *)(void *)round;
    struct ml_script_message *m = message->m;
    const struct ml_denial_text to = {round->handler->plugin, message->scratch, &m->denial};
    int type = lua_type(L, 1);

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DENY) {
        ml_answer_denial(L, 1, &to);
        message->err = ML_EDENIED;
        round->is_over = true;
        return;
    }
    if ((type != LUA_TTABLE || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER) && type != LUA_TSTRING)
        luaL_error(L, "must answer a payload (text or table), ml.deny or nil, not a %s",
                   luaL_typename(L, 1));
    push_member(L, 1, "to");
    m->to = lua_isnil(L, -1) ? (struct ml_slice){0} : ml_answer_keep(L, message->scratch, -1);
    lua_settop(L, 1);
    if (type == LUA_TTABLE)
        ml_json_text(L, 1);
    if (lua_objlen(L, -1) > ML_SCRIPT_MESSAGE_MAX)
        luaL_error(L, "a payload has at most %d bytes", ML_SCRIPT_MESSAGE_MAX);
    m->text = ml_answer_keep(L, message->scratch, -1);
    m->is_for_others = true;
    message->is_json = is_json(m->text);
}

static void failed_message(struct ml_round *round)
{
    ((struct message *)(void *)round)->err = ML_ESCRIPT;
    round->is_over = true;
}

enum ml_err ml_script_message(struct ml_script *script, const struct ml_scope *who,
                              struct ml_arena *scratch, struct ml_script_message *m)
{
    struct message message = {.base = {.hook = HOOK_MESSAGE,
                                       .push = push_message,
                                       .decode = decode_message,
                                       .failed = failed_message},
                              .who = who,
                              .scratch = scratch,
                              .m = m,
                              .is_json = is_json(m->text)};

    m->is_for_others = false;
    m->to = (struct ml_slice){0};
    ml_round_run(script, &message.base);
    ml_views_expire(script);
    return message.err;
}
