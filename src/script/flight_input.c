/* SPDX-License-Identifier: MIT */
/*
 * What a hook was asked, as the views of moonloom.test take it ("t.update{ … }"), so that it can be
 * asked again.
 *
 * Never in it: credentials, cookies, values of headers and of the query. Text that people wrote
 * stands as so many 'x', values as their size, unless the org lets them be kept.
 */
#include "script/recorder.h"

#include <stdio.h>

#define EDITS_MAX 64
#define VALUE_MAX 1024u
#define LOOK_MAX  65536u /* bytes of an update that nobody has looked at yet */

void ml_flight_text(struct ml_writer *out, struct ml_slice text)
{
    char code[8];

    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c < 0x20) {
            (void)snprintf(code, sizeof code, "\\u%04x", c);
            ml_write_bytes(out, ml_slice_str(code));
            continue;
        }
        if (c == '"' || c == '\\')
            ml_write_u8(out, '\\');
        ml_write_u8(out, c);
    }
    ml_write_u8(out, '"');
}

static void name(struct ml_writer *out, const char *text)
{
    if (out->len && out->ptr[out->len - 1] != '{')
        ml_write_u8(out, ',');
    ml_flight_text(out, ml_slice_str(text));
    ml_write_u8(out, ':');
}

static void text_member(struct ml_writer *out, const char *key, struct ml_slice text)
{
    if (!text.ptr)
        return;
    name(out, key);
    ml_flight_text(out, text);
}

static void number_member(struct ml_writer *out, const char *key, uint64_t number)
{
    char text[24];

    name(out, key);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    ml_write_bytes(out, ml_slice_str(text));
}

static void flag_member(struct ml_writer *out, const char *key, bool flag)
{
    name(out, key);
    ml_write_bytes(out, flag ? ML_SLICE("true") : ML_SLICE("false"));
}

static void list_member(struct ml_writer *out, const char *key, const struct ml_slice *texts,
                        size_t count)
{
    name(out, key);
    ml_write_u8(out, '[');
    for (size_t i = 0; i < count && i < EDITS_MAX; i++) {
        if (i)
            ml_write_u8(out, ',');
        ml_flight_text(out, texts[i]);
    }
    ml_write_u8(out, ']');
}

/* Names only: what was there, not what it said. */
static void names_member(struct ml_writer *out, const char *key, const struct ml_script_pair *pairs,
                         size_t count)
{
    name(out, key);
    ml_write_u8(out, '{');
    for (size_t i = 0; i < count && i < EDITS_MAX; i++) {
        if (i)
            ml_write_u8(out, ',');
        ml_flight_text(out, pairs[i].name);
        ml_write_bytes(out, ML_SLICE(":\"***\""));
    }
    ml_write_u8(out, '}');
}

static void document_member(struct ml_writer *out, struct ml_slice org, struct ml_slice document)
{
    name(out, "doc");
    ml_write_u8(out, '{');
    text_member(out, "id", document);
    text_member(out, "org", org);
    ml_write_u8(out, '}');
}

static void masked_member(struct ml_writer *out, const char *key, struct ml_slice text)
{
    name(out, key);
    ml_write_u8(out, '"');
    for (size_t i = 0, n = 0; i < text.len && n < VALUE_MAX; i++)
        if ((text.ptr[i] & 0xc0) != 0x80) {
            ml_write_u8(out, 'x');
            n++;
        }
    ml_write_u8(out, '"');
}

/* ---- Edits ---------------------------------------------------------------------------------- */

static void value_member(struct ml_writer *out, struct ml_effects *effects,
                         const struct ml_effect *effect, bool with_text)
{
    struct ml_writer value;

    ml_writer_init(&value, VALUE_MAX);
    if (!ml_effect_value(effects, effect, &value) && !value.err && value.len) {
        if (with_text) {
            name(out, "value");
            ml_write_bytes(out, ml_writer_slice(&value));
        } else {
            number_member(out, "value_bytes", value.len);
        }
    }
    ml_writer_release(&value);
}

static void put_edit(struct ml_writer *out, struct ml_effects *effects,
                     const struct ml_effect *effect, bool with_text)
{
    uint32_t index;

    ml_write_u8(out, '{');
    text_member(out, "kind", ml_slice_str(ml_edit_words[effect->kind]));
    text_member(out, "path", effect->path);
    text_member(out, "key", effect->key);
    number_member(out, "len", effect->len);
    if (!ml_effect_index(effects, effect, &index))
        number_member(out, "index", index);
    if (effect->text.ptr && with_text && effect->text.len <= VALUE_MAX)
        text_member(out, "text", effect->text);
    else if (effect->text.ptr)
        masked_member(out, "text", effect->text);
    else if (!effect->removes)
        value_member(out, effects, effect, with_text);
    if (effect->fate == ML_FATE_UNDONE)
        flag_member(out, "undone", true);
    ml_write_u8(out, '}');
}

static void put_edits(struct ml_writer *out, const struct ml_script_update *asked, size_t from,
                      size_t count, bool with_text)
{
    /* The effects are made when somebody looks, which this is. */
    struct ml_script_update *update = (struct ml_script_update *)(uintptr_t)asked;
    size_t all, to;

    if (!update->effects &&
        (ml_update_facts(update->update)->bytes > LOOK_MAX || ml_script_update_look(update)))
        return;
    all = ml_effects_count(update->effects);
    to = from + count < all ? from + count : all;
    name(out, "edits");
    ml_write_u8(out, '[');
    for (size_t i = from; i < to; i++) {
        if (i > from)
            ml_write_u8(out, ',');
        put_edit(out, update->effects, ml_effects_at(update->effects, i), with_text);
    }
    ml_write_u8(out, ']');
    if (to < all && count > 1)
        number_member(out, "left_out", all - to);
}

static void put_author(struct ml_writer *out, const struct ml_scope *scope)
{
    name(out, "author");
    ml_write_u8(out, '{');
    text_member(out, "user", scope->user);
    text_member(out, "session", scope->session);
    text_member(out, "kind", scope->kind);
    list_member(out, "roles", scope->roles, scope->roles ? scope->role_count : 0);
    list_member(out, "groups", scope->groups, scope->groups ? scope->group_count : 0);
    ml_write_u8(out, '}');
}

static void put_update(const struct ml_question *q, bool with_text, struct ml_writer *out)
{
    const struct ml_script_update *update = q->subject;
    const struct ml_scope *scope = q->scope;
    bool is_edit = q->kind == VIEW_EDIT;

    put_author(out, scope);
    if (scope->origin)
        text_member(out, "origin", ml_slice_str(scope->origin));
    document_member(out, scope->org, scope->document);
    number_member(out, "bytes", ml_update_facts(update->update)->bytes);
    number_member(out, "inserted_bytes", ml_update_facts(update->update)->inserted_bytes);
    flag_member(out, "masked", !with_text);
    put_edits(out, update, is_edit ? update->current : 0, is_edit ? 1 : EDITS_MAX, with_text);
}

/* ---- The other questions -------------------------------------------------------------------- */

static void put_request(const struct ml_script_request *request, struct ml_writer *out)
{
    text_member(out, "method", request->method);
    text_member(out, "path", request->path);
    text_member(out, "ip", request->ip);
    text_member(out, "host", request->host);
    text_member(out, "origin", request->origin);
    if (request->token.len)
        text_member(out, "token", ML_SLICE("***"));
    names_member(out, "headers", request->headers, request->header_count);
    names_member(out, "query", request->query, request->query_count);
    names_member(out, "cookies", request->cookies, request->cookie_count);
    flag_member(out, "is_websocket", request->is_websocket);
    flag_member(out, "tls", request->tls);
}

static void put_ask(const struct ml_script_ask *ask, struct ml_writer *out)
{
    text_member(out, "action", ask->action);
    text_member(out, "org", ask->org);
    text_member(out, "doc_id", ask->document);
    if (!ask->identity) {
        flag_member(out, "identity", false);
        return;
    }
    name(out, "identity");
    ml_write_u8(out, '{');
    text_member(out, "user", ask->identity->user);
    text_member(out, "kind", ask->identity->kind);
    list_member(out, "roles", ask->identity->roles, ask->identity->role_count);
    ml_write_u8(out, '}');
}

static void put_batch(const struct ml_script_batch *batch, struct ml_writer *out)
{
    document_member(out, batch->org, batch->document);
    number_member(out, "from_seq", batch->from_seq);
    number_member(out, "to_seq", batch->to_seq);
    number_member(out, "count", batch->count);
    number_member(out, "bytes", batch->bytes);
    list_member(out, "authors", batch->authors, batch->author_count);
    flag_member(out, "gap", batch->gap);
}

void ml_flight_input(const struct ml_question *q, bool with_text, struct ml_writer *out)
{
    ml_write_u8(out, '{');
    switch (q->kind) {
    case VIEW_REQUEST:
        put_request(q->subject, out);
        break;
    case VIEW_ASK:
        put_ask(q->subject, out);
        break;
    case VIEW_UPDATE:
    case VIEW_EDIT:
        put_update(q, with_text, out);
        break;
    case VIEW_BATCH:
        put_batch(q->subject, out);
        break;
    case VIEW_REF: {
        const struct ml_script_ref *ref = q->subject;

        text_member(out, "org", ref->org);
        text_member(out, "id", ref->document);
        break;
    }
    case VIEW_CONFLICT: {
        const struct ml_script_conflict *conflict = q->subject;

        document_member(out, conflict->org, conflict->document);
        text_member(out, "path", conflict->path);
        text_member(out, "key", conflict->key);
        break;
    }
    case VIEW_COUNT:
        break;
    }
    ml_write_u8(out, '}');
}
