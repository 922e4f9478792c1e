/* SPDX-License-Identifier: MIT */
/*
 * Why may somebody do something? The question of `authorize`, put once more to everybody who is
 * asked, for a person who wants to know who said what. It decides nothing, so it goes past breaker,
 * numbers and flight recorder.
 */
#include "script/recorder.h"

struct asking {
    const struct ml_handler *handler;
    const struct ml_script_ask *ask;
    struct ml_writer *out;
    enum ml_answer_kind kind;
    bool is_nil;
};

/* Where errors are caught: the answer as a word and, if it can be printed, as JSON. */
static void ask_one(lua_State *L, void *arg)
{
    struct asking *a = arg;
    struct ml_script *script = ml_script_of(L);
    size_t len;
    const char *json;

    lua_rawgeti(L, LUA_REGISTRYINDEX, a->handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->handler->plugin->self_ref);
    ml_views_push(script, VIEW_ASK, a->ask, NULL);
    lua_call(L, 2, 1);
    a->is_nil = lua_isnil(L, -1);
    a->kind = a->is_nil ? ML_ANSWER_OTHER : ml_api_answer_kind(L, -1);
    if (a->is_nil)
        return;
    ml_json_text(L, -1);
    json = lua_tolstring(L, -1, &len);
    ml_write_bytes(a->out, ml_slice_make(json, len));
}

static const char *word_of(const struct asking *a, enum ml_err err)
{
    if (err)
        return "failed";
    if (a->is_nil)
        return "none";
    switch (a->kind) {
    case ML_ANSWER_GRANT:
        return "grant";
    case ML_ANSWER_RESTRICT:
        return "restrict";
    case ML_ANSWER_DENY:
        return "deny";
    default:
        return "failed";
    }
}

static const char *explain(struct ml_script *script, const struct ml_handler *handler,
                           const struct ml_script_ask *ask, struct ml_writer *out)
{
    struct ml_writer detail;
    struct asking a = {.handler = handler, .ask = ask, .out = &detail};
    const char *word;
    char text[512];
    enum ml_err err;

    ml_writer_init(&detail, 65536);
    script->asking = "authorize";
    err = ml_script_protect(script, 0, ask_one, &a, script->hook_us);
    script->asking = NULL;
    ml_views_expire(script);
    word = word_of(&a, err);
    (void)snprintf(text, sizeof text,
                   "{\"instance\":\"%s\",\"plugin\":\"%s\",\"generation\":%u,\"shadow\":%s,"
                   "\"place\":\"%s\",\"answer\":\"%s\",\"text\":",
                   handler->plugin->name, handler->plugin->folder, handler->plugin->generation,
                   handler->plugin->is_shadow ? "true" : "false", handler->reason, word);
    ml_write_bytes(out, ml_slice_str(text));
    ml_flight_text(out, err ? ml_slice_str(script->fault.text) : (struct ml_slice){0});
    ml_write_bytes(out, ML_SLICE(",\"detail\":"));
    ml_write_bytes(out, err || !detail.len ? ML_SLICE("null") : ml_writer_slice(&detail));
    ml_write_u8(out, '}');
    ml_writer_release(&detail);
    return handler->plugin->is_shadow ? "none" : word;
}

void ml_script_why(struct ml_script *script, const struct ml_script_ask *ask, struct ml_writer *out)
{
    const struct ml_chain *chain = &script->chains[HOOK_AUTHORIZE];
    bool granted = false, denied = false, failed = !script->L, any = false;

    ml_write_bytes(out, ML_SLICE("{\"answers\":["));
    for (size_t i = 0; script->L && i < chain->count; i++) {
        const char *word;

        if (!ml_plan_has(script->plan, chain->handlers[i].plugin))
            continue;
        if (any)
            ml_write_u8(out, ',');
        any = true;
        word = explain(script, &chain->handlers[i], ask, out);
        granted |= strcmp(word, "grant") == 0;
        denied |= strcmp(word, "deny") == 0;
        failed |= strcmp(word, "failed") == 0;
    }
    ml_write_bytes(out, ML_SLICE("],\"outcome\":"));
    ml_flight_text(out, ml_slice_str(denied    ? "deny"
                                     : failed  ? "unavailable"
                                     : granted ? "grant"
                                     : any     ? "no_grant"
                                               : "nobody_asked"));
    ml_write_u8(out, '}');
}
