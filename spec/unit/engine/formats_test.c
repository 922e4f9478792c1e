/* SPDX-License-Identifier: MIT */
/*
 * Formats against an array of units that know their attributes: random inserts, embeds, formats,
 * deletes and deltas by one writer; the delta that the document shows is that of the array.
 */
#include "support/test.h"

#include <stdio.h>

#include "engine/engine.h"

#define UNITS_MAX 4096
#define ROUNDS    60
#define STEPS     120
#define MAX_BYTES ((size_t)8 << 20)
#define KEYS      3
#define EMBED     1 /* in place of a character */

/* Attribute k has one of a few values; 0: not there. In the order in which deltas name them. */
static const char *const key_names[KEYS] = {"bold", "color", "link"};
static const char *const json_values[KEYS][3] = {{"null", "true", "true"},
                                                 {"null", "\"red\"", "7"},
                                                 {"null", "{\"href\":\"h\"}", "{\"a\":[1]}"}};

struct unit {
    char c;
    uint8_t attrs[KEYS];
};

static struct unit units[UNITS_MAX];
static uint32_t count;
static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 4) * n) >> 28);
}

/* ---- The array -------------------------------------------------------------------------------
 */

static void model_insert(uint32_t at, char c, const uint8_t attrs[KEYS])
{
    assert_true(count < UNITS_MAX);
    memmove(&units[at + 1], &units[at], (count - at) * sizeof *units);
    units[at].c = c;
    memcpy(units[at].attrs, attrs, KEYS);
    count++;
}

static void model_delete(uint32_t at, uint32_t len)
{
    memmove(&units[at], &units[at + len], (count - at - len) * sizeof *units);
    count -= len;
}

static void put(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void put_attributes(struct ml_writer *out, const uint8_t attrs[KEYS])
{
    bool any = false;

    for (int k = 0; k < KEYS; k++) {
        if (!attrs[k])
            continue;
        put(out, any ? "," : ",\"attributes\":{");
        put(out, "\"");
        put(out, key_names[k]);
        put(out, "\":");
        put(out, json_values[k][attrs[k]]);
        any = true;
    }
    put(out, any ? "}}" : "}");
}

static struct ml_writer model_delta(void)
{
    struct ml_writer out;

    ml_writer_init(&out, MAX_BYTES);
    put(&out, "[");
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;

        put(&out, i ? ",{\"insert\":" : "{\"insert\":");
        if (units[i].c == EMBED) {
            put(&out, "{\"image\":\"u\"}");
        } else {
            while (end < count && units[end].c != EMBED &&
                   memcmp(units[end].attrs, units[i].attrs, KEYS) == 0)
                end++;
            put(&out, "\"");
            for (uint32_t n = i; n < end; n++)
                ml_write_u8(&out, (uint8_t)units[n].c);
            put(&out, "\"");
        }
        put_attributes(&out, units[i].attrs);
        i = end;
    }
    put(&out, "]");
    return out;
}

/* ---- Edits as operations ---------------------------------------------------------------------
 */

/* Some attributes as JSON members; `set` gets them, 255: not named. */
static void some_attrs(struct ml_writer *out, uint8_t set[KEYS])
{
    bool any = false;

    put(out, "{");
    for (int k = KEYS - 1; k >= 0; k--) {
        set[k] = 255;
        if (random_below(2))
            continue;
        set[k] = (uint8_t)random_below(3);
        if (k == 0 && set[k] == 2)
            set[k] = 1;
        put(out, any ? ",\"" : "\"");
        put(out, key_names[k]);
        put(out, "\":");
        put(out, json_values[k][set[k]]);
        any = true;
    }
    put(out, "}");
}

static void only_named(const uint8_t set[KEYS], uint8_t attrs[KEYS])
{
    for (int k = 0; k < KEYS; k++)
        attrs[k] = set[k] == 255 ? 0 : set[k];
}

static void number(struct ml_writer *out, uint32_t n)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", n);
    put(out, text);
}

static void insert_op(struct ml_writer *out)
{
    uint32_t at = random_below(count + 1), n = 1 + random_below(3);
    bool embed = random_below(6) == 0, plain = random_below(2);
    uint8_t set[KEYS], attrs[KEYS] = {0};

    put(out, embed ? "[\"text.embed\",\"t\"," : "[\"text.insert\",\"t\",");
    number(out, at);
    put(out, embed ? ",{\"image\":\"u\"}" : n == 1 ? ",\"x\"" : n == 2 ? ",\"yz\"" : ",\"abc\"");
    if (plain) {
        if (at && !embed)
            memcpy(attrs, units[at - 1].attrs, KEYS);
    } else {
        put(out, ",");
        some_attrs(out, set);
        only_named(set, attrs);
    }
    put(out, "]");
    if (embed)
        model_insert(at, EMBED, attrs);
    else
        for (uint32_t i = 0; i < n; i++)
            model_insert(at + i, (n == 1 ? "x" : n == 2 ? "yz" : "abc")[i], attrs);
}

static void format_units(uint32_t at, uint32_t len, const uint8_t set[KEYS])
{
    for (uint32_t i = at; i < at + len; i++)
        for (int k = 0; k < KEYS; k++)
            if (set[k] != 255)
                units[i].attrs[k] = set[k];
}

static void range(uint32_t *at, uint32_t *len)
{
    *at = random_below(count + 1);
    *len = random_below(8);
    if (*len > count - *at)
        *len = count - *at;
}

static void format_op(struct ml_writer *out)
{
    uint8_t set[KEYS];
    uint32_t at, len;

    range(&at, &len);
    put(out, "[\"text.format\",\"t\",");
    number(out, at);
    put(out, ",");
    number(out, len);
    put(out, ",");
    some_attrs(out, set);
    put(out, "]");
    format_units(at, len, set);
}

static void delete_op(struct ml_writer *out)
{
    uint32_t at, len;

    range(&at, &len);
    put(out, "[\"text.delete\",\"t\",");
    number(out, at);
    put(out, ",");
    number(out, len);
    put(out, "]");
    model_delete(at, len);
}

static void delta_step(struct ml_writer *out, uint32_t *at)
{
    uint32_t len = random_below(5);
    uint8_t set[KEYS] = {255, 255, 255}, attrs[KEYS];

    if (len > count - *at)
        len = count - *at;
    switch (random_below(3)) {
    case 0:
        put(out, ",{\"insert\":\"Q\",\"attributes\":");
        some_attrs(out, set);
        only_named(set, attrs);
        model_insert((*at)++, 'Q', attrs);
        break;
    case 1:
        put(out, ",{\"delete\":");
        number(out, len);
        model_delete(*at, len);
        break;
    default:
        put(out, ",{\"retain\":");
        number(out, len);
        if (random_below(2)) {
            put(out, ",\"attributes\":");
            some_attrs(out, set);
            format_units(*at, len, set);
        }
        *at += len;
    }
    put(out, "}");
}

static void delta_op(struct ml_writer *out)
{
    uint32_t at = random_below(count + 1);

    put(out, "[\"text.delta\",\"t\",[{\"retain\":");
    number(out, at);
    put(out, "}");
    for (uint32_t n = random_below(5); n > 0; n--)
        delta_step(out, &at);
    put(out, "]]");
}

static void edit(struct ml_doc *doc)
{
    static void (*const ops[])(struct ml_writer *) = {insert_op, insert_op, format_op,
                                                      format_op, delete_op, delta_op};
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_writer json, any;
    struct ml_arena scratch;

    ml_writer_init(&json, MAX_BYTES);
    ml_writer_init(&any, MAX_BYTES);
    ml_arena_init(&scratch, MAX_BYTES);
    put(&json, "[");
    for (uint32_t n = 1 + random_below(3), first = 1; n > 0; n--, first = 0) {
        put(&json, first ? "" : ",");
        ops[random_below(6)](&json);
    }
    put(&json, "]");
    assert_int_equal(ml_any_from_json(ml_writer_slice(&json), NULL, &any), ML_OK);
    if (ml_doc_run_ops(doc, ml_writer_slice(&any), &scratch, &diag, &change))
        fail_msg("%s: %.*s", diag.text, (int)json.len, (const char *)json.ptr);
    ml_arena_release(&scratch);
    ml_writer_release(&json);
    ml_writer_release(&any);
}

static void check(struct ml_doc *doc, uint32_t round, uint32_t step)
{
    struct ml_writer want = model_delta(), got;
    struct ml_diag diag = {0};

    ml_writer_init(&got, MAX_BYTES);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("t"), ML_VIEW_DELTA, &got), ML_OK);
    if (!ml_slice_equal(ml_writer_slice(&want), ml_writer_slice(&got)))
        fail_msg("round %u step %u:\n%.*s\nnot\n%.*s", round, step, (int)got.len,
                 (const char *)got.ptr, (int)want.len, (const char *)want.ptr);
    if (ml_doc_check(doc, &diag))
        fail_msg("%s", diag.text);
    ml_writer_release(&want);
    ml_writer_release(&got);
}

static void deltas_are_those_of_units_with_attributes(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct ml_doc_options options = {.client = round};
        struct ml_doc *doc = ml_doc_new(&options);

        seed = round;
        count = 0;
        for (uint32_t step = 0; step < STEPS; step++) {
            edit(doc);
            check(doc, round, step);
        }
        ml_doc_free(doc);
    }
    ml_engine_thread_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deltas_are_those_of_units_with_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
