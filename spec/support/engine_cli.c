/* SPDX-License-Identifier: MIT */
/*
 * The engine, driven by another program: one JSON command a line on stdin, one answer a line on
 * stdout: {"ok":true,…} or {"ok":false,"error":…}. What stands on our side of the differential test
 * (spec/interop/differential.mjs). Answers are written when no whole line is left to read, so a
 * driver may send a thousand commands at once.
 *
 *   new {doc, client?, gc?, roots: [{name, type}]}   free {doc}
 *   apply {doc, v, hex}         checks all invariants of the document afterwards
 *   tx {doc, ops}               the same; writes as the document's client: bytes of an Any
 *   emitted {doc}               {updates: [{v1, v2}]} since it was asked last
 *   sv {doc}   state {doc, v, sv?}   pending {doc}   view {doc}   load {doc, from, v}
 *   edits {doc, hex}            what a V1 update would do; changes nothing
 *   judge {doc, hex, fates}     applies it; fates: [{n, fate: "undo"|"remove"|"replace", text?}],
 *                               undo_all?, undo_waiting?
 *   merge {v, list}   diff {v, hex, sv}   convert {from, hex}   svof {v, hex}
 *
 * Bytes are hex digits. Commands come from our own driver: what is malformed ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "engine/any.h"
#include "engine/engine.h"

#define DOCS_MAX  64
#define ROOTS_MAX 16
#define BYTES_MAX ((size_t)256 << 20)

struct emission {
    uint8_t *ptr;
    size_t len;
    struct emission *next;
};

struct seat {
    struct ml_doc *doc;
    cJSON *roots;
    struct emission *first, **last;
};

static struct seat seats[DOCS_MAX];
static struct ml_writer out;      /* answers */
static struct ml_writer in, mids; /* bytes of the command; what lies between two formats */
static struct ml_arena scratch;
static struct ml_diag diag;

/* ---- Arguments ------------------------------------------------------------------------------ */

_Noreturn static void give_up(const char *why)
{
    (void)fprintf(stderr, "engine_cli: %s\n", why);
    exit(99);
}

static const cJSON *member(const cJSON *command, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(command, name);
}

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a' + 10);
    give_up("not hex");
}

/* Bytes of a hex string, in the arena of the command. */
static struct ml_slice unhex(const cJSON *value)
{
    const char *hex = cJSON_IsString(value) ? value->valuestring : NULL;
    size_t len = hex ? strlen(hex) / 2 : 0;
    uint8_t *bytes = ml_arena_alloc(&scratch, len ? len : 1);

    if (!hex || !bytes)
        give_up("no bytes");
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return ml_slice_make(bytes, len);
}

/* A copy that lasts as long as the command. */
static struct ml_slice kept(struct ml_slice bytes)
{
    struct ml_slice copy = ml_arena_copy(&scratch, bytes);

    if (bytes.len && !copy.ptr)
        give_up("no memory");
    return copy;
}

static bool is_v2(const cJSON *command)
{
    const cJSON *v = member(command, "v");

    return cJSON_IsNumber(v) && v->valueint == 2;
}

static struct seat *seat_at(const cJSON *number)
{
    if (!cJSON_IsNumber(number) || number->valueint < 0 || number->valueint >= DOCS_MAX)
        give_up("no such seat");
    return &seats[number->valueint];
}

static struct seat *seat_of(const cJSON *command)
{
    struct seat *s = seat_at(member(command, "doc"));

    if (!s->doc)
        give_up("no such document");
    return s;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void say(const char *text)
{
    ml_write_bytes(&out, ml_slice_str(text));
}

static void say_hex(struct ml_slice bytes)
{
    static const char digits[] = "0123456789abcdef";

    ml_write_u8(&out, '"');
    if (ml_writer_reserve(&out, 2 * bytes.len))
        for (size_t i = 0; i < bytes.len; i++) {
            out.ptr[out.len++] = (uint8_t)digits[bytes.ptr[i] >> 4];
            out.ptr[out.len++] = (uint8_t)digits[bytes.ptr[i] & 15];
        }
    ml_write_u8(&out, '"');
}

/* ,"hex":"…" of what `w` holds. */
static void answer_bytes(const struct ml_writer *w)
{
    say(",\"hex\":");
    say_hex(ml_writer_slice(w));
}

/* ---- Documents ------------------------------------------------------------------------------ */

static void drop_emissions(struct seat *s)
{
    while (s->first) {
        struct emission *e = s->first;

        s->first = e->next;
        free(e->ptr);
        free(e);
    }
    s->last = &s->first;
}

static void keep_emission(struct seat *s, struct ml_slice bytes)
{
    struct emission *e;

    if (!bytes.len)
        return;
    e = calloc(1, sizeof *e);
    if (!e)
        give_up("no memory");
    e->ptr = malloc(bytes.len);
    if (!e->ptr)
        give_up("no memory");
    memcpy(e->ptr, bytes.ptr, bytes.len);
    e->len = bytes.len;
    *s->last = e;
    s->last = &e->next;
}

static void free_seat(struct seat *s)
{
    drop_emissions(s);
    ml_doc_free(s->doc);
    cJSON_Delete(s->roots);
    *s = (struct seat){0};
}

static enum ml_err do_new(const cJSON *c)
{
    struct seat *s = seat_at(member(c, "doc"));
    const cJSON *client = member(c, "client");
    const struct ml_doc_options options = {
        .client = cJSON_IsNumber(client) ? (ml_client_id)client->valuedouble : 0,
        .keep_deleted = cJSON_IsFalse(member(c, "gc")),
    };

    free_seat(s);
    s->last = &s->first;
    s->roots = cJSON_Duplicate(member(c, "roots"), true);
    s->doc = ml_doc_new(&options);
    if (!s->doc)
        give_up("no memory");
    return ML_OK;
}

static enum ml_err do_free(const cJSON *c)
{
    free_seat(seat_of(c));
    return ML_OK;
}

/* V1 of what may be V2. */
static enum ml_err to_v1(struct ml_slice *bytes, bool v2)
{
    enum ml_err err;

    if (!v2)
        return ML_OK;
    ml_writer_reset(&mids);
    err = ml_update_convert(*bytes, ML_UPDATE_V2, NULL, &scratch, &mids, &diag);
    *bytes = ml_writer_slice(&mids);
    return err;
}

static enum ml_err apply(struct seat *s, struct ml_slice bytes)
{
    const struct ml_update *update;
    const struct ml_change *change;
    enum ml_err err = ml_update_decode(&scratch, bytes, NULL, &diag, &update);

    if (!err)
        err = ml_doc_apply(s->doc, update, NULL, &scratch, &change);
    if (!err)
        keep_emission(s, change->bytes);
    return err ? err : ml_doc_check(s->doc, &diag);
}

static enum ml_err do_apply(const cJSON *c)
{
    struct ml_slice bytes = unhex(member(c, "hex"));
    enum ml_err err = to_v1(&bytes, is_v2(c));

    return err ? err : apply(seat_of(c), bytes);
}

/* ---- Edits -------------------------------------------------------------------------------- */

static const char *const effect_kinds[ML_EFFECT_KINDS] = {
    "text.insert",  "text.delete", "text.format", "map.set",  "map.delete", "array.insert",
    "array.delete", "xml.insert",  "xml.delete",  "xml.attr", "subdoc",
};

static void say_text(const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    say(name);
    ml_write_json_string(&out, text);
}

static void say_effect(struct ml_effects *effects, const struct ml_effect *e)
{
    char digits[96];
    uint32_t index;
    bool is_text;
    struct ml_id block;

    say("{\"kind\":\"");
    say(effect_kinds[e->kind]);
    (void)snprintf(digits, sizeof digits, "\",\"removes\":%s,\"waited\":%s,\"len\":%llu",
                   e->removes ? "true" : "false", e->waited ? "true" : "false",
                   (unsigned long long)e->len);
    say(digits);
    say_text(",\"path\":", e->path);
    say_text(",\"path_by_id\":", e->path_by_id);
    say_text(",\"key\":", e->key);
    say_text(",\"text\":", e->text);
    say_text(",\"tag\":", e->tag);
    if (!ml_effect_index(effects, e, &index)) {
        (void)snprintf(digits, sizeof digits, ",\"index\":%u", index);
        say(digits);
    }
    ml_writer_reset(&mids);
    if (!ml_effect_value(effects, e, &mids)) {
        say(",\"value\":");
        ml_write_bytes(&out, ml_writer_slice(&mids));
    }
    ml_writer_reset(&mids);
    if (!ml_effect_before(effects, e, &mids, &is_text)) {
        say(",\"before\":");
        if (is_text)
            ml_write_json_string(&out, ml_writer_slice(&mids));
        else
            ml_write_bytes(&out, ml_writer_slice(&mids));
    }
    ml_writer_reset(&mids);
    if (!ml_effect_block_text(effects, e, &mids))
        say_text(",\"block_text\":",
                 ml_slice_make(mids.len ? mids.ptr : (const uint8_t *)"", mids.len));
    if (ml_effect_block(effects, e, &block)) {
        (void)snprintf(digits, sizeof digits, ",\"block\":\"%llu-%llu\"",
                       (unsigned long long)block.client, (unsigned long long)block.clock);
        say(digits);
    }
    say("}");
}

static enum ml_err read_effects(const cJSON *c, const struct ml_update **update,
                                struct ml_effects **effects)
{
    enum ml_err err = ml_update_decode(&scratch, unhex(member(c, "hex")), NULL, &diag, update);

    return err ? err : ml_update_effects(seat_of(c)->doc, *update, &scratch, effects);
}

static enum ml_err do_edits(const cJSON *c)
{
    const struct ml_update *update;
    struct ml_effects *effects;
    enum ml_err err = read_effects(c, &update, &effects);

    if (err)
        return err;
    say(ml_effects_wait(effects) ? ",\"waits\":true" : ",\"waits\":false");
    say(",\"edits\":[");
    for (size_t n = 0; n < ml_effects_count(effects); n++) {
        if (n)
            say(",");
        say_effect(effects, ml_effects_at(effects, n));
    }
    say("]");
    return ml_doc_check(seat_of(c)->doc, &diag);
}

static enum ml_err decide(struct ml_effects *effects, const cJSON *fate)
{
    const char *name = member(fate, "fate")->valuestring;
    size_t n = (size_t)member(fate, "n")->valueint;

    if (strcmp(name, "undo") == 0)
        ml_effect_undo(effects, n);
    else if (strcmp(name, "remove") == 0)
        return ml_effect_remove(effects, n);
    else
        return ml_effect_replace(effects, n, ml_slice_str(member(fate, "text")->valuestring));
    return ML_OK;
}

static enum ml_err do_judge(const cJSON *c)
{
    struct ml_verdict verdict = {.undo_all = cJSON_IsTrue(member(c, "undo_all")),
                                 .undo_waiting = cJSON_IsTrue(member(c, "undo_waiting"))};
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_effects *effects;
    const cJSON *fate;
    enum ml_err err = read_effects(c, &update, &effects);

    cJSON_ArrayForEach(fate, member(c, "fates"))
    {
        if (!err)
            err = decide(effects, fate);
    }
    verdict.effects = effects;
    if (!err)
        err = ml_doc_apply(seat_of(c)->doc, update, &verdict, &scratch, &change);
    if (err)
        return err;
    say(",\"record\":");
    say_hex(change->bytes);
    say(change->was_pending ? ",\"pending\":true" : ",\"pending\":false");
    say(change->holds_waiting ? ",\"holds_waiting\":true" : ",\"holds_waiting\":false");
    say(change->pending_dropped ? ",\"dropped\":true" : ",\"dropped\":false");
    return ml_doc_check(seat_of(c)->doc, &diag);
}

/* Write as a client: `ops` is one encoded Any, as ml_doc_run_ops takes it. */
static enum ml_err do_tx(const cJSON *c)
{
    struct seat *s = seat_of(c);
    const struct ml_change *change;
    enum ml_err err = ml_doc_run_ops(s->doc, unhex(member(c, "ops")), &scratch, &diag, &change);

    if (!err)
        keep_emission(s, change->bytes);
    return err ? err : ml_doc_check(s->doc, &diag);
}

static enum ml_err do_emitted(const cJSON *c)
{
    struct seat *s = seat_of(c);
    enum ml_err err = ML_OK;

    say(",\"updates\":[");
    for (struct emission *e = s->first; e && !err; e = e->next) {
        struct ml_slice v1 = ml_slice_make(e->ptr, e->len);

        ml_writer_reset(&in);
        err = ml_state_to_v2(v1, NULL, &in, &diag);
        say(e == s->first ? "{\"v1\":" : ",{\"v1\":");
        say_hex(v1);
        say(",\"v2\":");
        say_hex(ml_writer_slice(&in));
        say("}");
    }
    say("]");
    drop_emissions(s);
    return err;
}

static enum ml_err do_sv(const cJSON *c)
{
    ml_writer_reset(&in);
    ml_doc_state_vector(seat_of(c)->doc, &in);
    answer_bytes(&in);
    return in.err;
}

/* The state in `in`. */
static enum ml_err state_of(struct seat *s, struct ml_slice state_vector, bool v2)
{
    ml_writer_reset(&in);
    return v2 ? ml_doc_encode_state_v2(s->doc, state_vector, &in)
              : ml_doc_encode_state(s->doc, state_vector, &in);
}

static enum ml_err do_state(const cJSON *c)
{
    const cJSON *sv = member(c, "sv");
    enum ml_err err = state_of(seat_of(c), sv ? unhex(sv) : ml_slice_make(NULL, 0), is_v2(c));

    answer_bytes(&in);
    return err;
}

static enum ml_err do_pending(const cJSON *c)
{
    struct ml_doc_stats stats;

    ml_doc_stats(seat_of(c)->doc, &stats);
    say(stats.pending_structs ? ",\"structs\":true" : ",\"structs\":false");
    say(stats.pending_deletes ? ",\"deletes\":true" : ",\"deletes\":false");
    return ML_OK;
}

/* What a type of root is compared by. */
static const struct {
    const char *type;
    enum ml_view views[2];
} looks[] = {
    {"text", {ML_VIEW_TEXT, ML_VIEW_DELTA}},     {"xmltext", {ML_VIEW_XML, ML_VIEW_DELTA}},
    {"map", {ML_VIEW_JSON, ML_VIEW_JSON}},       {"array", {ML_VIEW_JSON, ML_VIEW_JSON}},
    {"xmlfragment", {ML_VIEW_XML, ML_VIEW_XML}},
};

static enum ml_err say_view(struct seat *s, struct ml_slice root, enum ml_view view)
{
    static const char *const names[] = {"text", "delta", "json", "xml"};
    bool is_json = view == ML_VIEW_DELTA || view == ML_VIEW_JSON;
    enum ml_err err;

    ml_writer_reset(&in);
    err = ml_doc_read(s->doc, root, view, &in);
    say("\"");
    say(names[view]);
    say("\":");
    if (is_json && !err)
        ml_write_bytes(&out, ml_writer_slice(&in));
    else
        ml_write_json_string(&out, ml_writer_slice(&in));
    return err;
}

static enum ml_err say_root(struct seat *s, const cJSON *root)
{
    struct ml_slice name = ml_slice_str(member(root, "name")->valuestring);
    const char *type = member(root, "type")->valuestring;
    enum ml_err err = ML_OK;

    ml_write_json_string(&out, name);
    say(":{");
    for (size_t i = 0; i < sizeof looks / sizeof *looks && !err; i++) {
        const enum ml_view *views = looks[i].views;

        if (strcmp(looks[i].type, type) != 0)
            continue;
        err = say_view(s, name, views[0]);
        if (!err && views[1] != views[0]) {
            say(",");
            err = say_view(s, name, views[1]);
        }
    }
    say("}");
    return err;
}

static enum ml_err do_view(const cJSON *c)
{
    struct seat *s = seat_of(c);
    const cJSON *root;
    enum ml_err err = ML_OK;

    say(",\"roots\":{");
    cJSON_ArrayForEach(root, s->roots)
    {
        if (root != s->roots->child)
            say(",");
        if (!err)
            err = say_root(s, root);
    }
    say("}");
    return err;
}

/* A document goes on as what it has written. */
static enum ml_err do_load(const cJSON *c)
{
    struct seat *s = seat_of(c);
    struct ml_slice bytes;
    enum ml_err err = state_of(s, ml_slice_make(NULL, 0), is_v2(c));

    if (err)
        return err;
    bytes = kept(ml_writer_slice(&in));
    err = to_v1(&bytes, is_v2(c));
    if (err)
        return err;
    err = do_new(c);
    if (!err)
        err = apply(s, bytes);
    drop_emissions(s);
    return err;
}

/* ---- Bytes without a document --------------------------------------------------------------- */

/* Answers V1 bytes, or their V2. */
static enum ml_err answer_v1(const struct ml_writer *v1, bool v2)
{
    enum ml_err err = ML_OK;

    if (!v2) {
        answer_bytes(v1);
        return ML_OK;
    }
    ml_writer_reset(&mids);
    err = ml_update_convert(ml_writer_slice(v1), ML_UPDATE_V1, NULL, &scratch, &mids, &diag);
    answer_bytes(&mids);
    return err;
}

/* An argument in V1 that lasts as long as the command. */
static enum ml_err argument_v1(const cJSON *hex, bool v2, struct ml_slice *bytes_out)
{
    struct ml_slice bytes = unhex(hex);
    enum ml_err err = to_v1(&bytes, v2);

    if (!err)
        *bytes_out = kept(bytes);
    return err;
}

static enum ml_err do_merge(const cJSON *c)
{
    const cJSON *list = member(c, "list"), *hex;
    size_t most = (size_t)cJSON_GetArraySize(list), count = 0;
    struct ml_slice *updates = ml_arena_alloc(&scratch, (most + 1) * sizeof *updates);
    enum ml_err err = ML_OK;

    if (!updates)
        give_up("no memory");
    if (most == 1) { /* one is copied as it is, whatever its format */
        ml_writer_reset(&in);
        ml_write_bytes(&in, unhex(list->child));
        answer_bytes(&in);
        return in.err;
    }
    cJSON_ArrayForEach(hex, list)
    {
        if (!err)
            err = argument_v1(hex, is_v2(c), &updates[count++]);
    }
    ml_writer_reset(&in);
    if (!err)
        err = ml_updates_merge(updates, count, NULL, &scratch, &in, &diag);
    return err ? err : answer_v1(&in, is_v2(c));
}

static enum ml_err do_diff(const cJSON *c)
{
    struct ml_slice update;
    enum ml_err err = argument_v1(member(c, "hex"), is_v2(c), &update);

    ml_writer_reset(&in);
    if (!err)
        err = ml_update_diff(update, unhex(member(c, "sv")), NULL, &scratch, &in, &diag);
    return err ? err : answer_v1(&in, is_v2(c));
}

static enum ml_err do_convert(const cJSON *c)
{
    int from = member(c, "from")->valueint;
    enum ml_err err;

    ml_writer_reset(&in);
    err = ml_update_convert(unhex(member(c, "hex")), from == 2 ? ML_UPDATE_V2 : ML_UPDATE_V1, NULL,
                            &scratch, &in, &diag);
    answer_bytes(&in);
    return err;
}

static enum ml_err do_svof(const cJSON *c)
{
    struct ml_slice update;
    enum ml_err err = argument_v1(member(c, "hex"), is_v2(c), &update);

    ml_writer_reset(&in);
    if (!err)
        err = ml_update_state_vector(update, NULL, &in, &diag);
    answer_bytes(&in);
    return err;
}

/* ---- Commands ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum ml_err (*run)(const cJSON *command);
} commands[] = {
    {"apply", do_apply},     {"emitted", do_emitted}, {"sv", do_sv},       {"view", do_view},
    {"state", do_state},     {"pending", do_pending}, {"new", do_new},     {"free", do_free},
    {"load", do_load},       {"merge", do_merge},     {"diff", do_diff},   {"svof", do_svof},
    {"convert", do_convert}, {"tx", do_tx},           {"edits", do_edits}, {"judge", do_judge},
};

static enum ml_err run(const cJSON *command)
{
    const cJSON *name = member(command, "cmd");

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (cJSON_IsString(name) && strcmp(name->valuestring, commands[i].name) == 0)
            return commands[i].run(command);
    give_up("no such command");
}

static void answer(const char *line, size_t len)
{
    cJSON *command = cJSON_ParseWithLength(line, len);
    size_t start = out.len;
    enum ml_err err;

    if (!command)
        give_up("no JSON");
    diag = (struct ml_diag){0};
    say("{\"ok\":true");
    err = run(command);
    if (err) {
        out.len = start;
        say("{\"ok\":false,\"error\":");
        ml_write_json_string(&out, ml_slice_str(ml_err_name(err)));
        say(",\"text\":");
        ml_write_json_string(&out, ml_slice_str(diag.text));
    }
    say("}\n");
    ml_arena_reset(&scratch);
    cJSON_Delete(command);
    if (out.err)
        give_up("too much to say");
}

static void flush(void)
{
    for (size_t at = 0; at < out.len;) {
        ssize_t n = write(STDOUT_FILENO, out.ptr + at, out.len - at);

        if (n <= 0)
            give_up("nobody listens");
        at += (size_t)n;
    }
    ml_writer_reset(&out);
}

/* Answers every whole line of `text`; what is left of it moves to its start. */
static void answer_lines(struct ml_writer *text)
{
    const char *start = (const char *)text->ptr, *end = start + text->len, *line;

    while ((line = memchr(start, '\n', (size_t)(end - start)))) {
        answer(start, (size_t)(line - start));
        start = line + 1;
    }
    text->len = (size_t)(end - start);
    memmove(text->ptr, start, text->len);
}

int main(void)
{
    struct ml_writer text;
    ssize_t n;

    ml_arena_init(&scratch, BYTES_MAX);
    ml_writer_init(&out, BYTES_MAX);
    ml_writer_init(&in, BYTES_MAX);
    ml_writer_init(&mids, BYTES_MAX);
    ml_writer_init(&text, BYTES_MAX);
    for (;;) {
        if (!ml_writer_reserve(&text, 1 << 16))
            give_up("line too long");
        n = read(STDIN_FILENO, text.ptr + text.len, 1 << 16);
        if (n <= 0)
            break;
        text.len += (size_t)n;
        answer_lines(&text);
        flush();
    }
    for (size_t i = 0; i < DOCS_MAX; i++)
        free_seat(&seats[i]);
    ml_engine_thread_end();
    ml_writer_release(&text);
    ml_writer_release(&out);
    ml_writer_release(&in);
    ml_writer_release(&mids);
    ml_arena_release(&scratch);
    return n < 0 || text.len ? 99 : 0;
}
