/* SPDX-License-Identifier: MIT */
/*
 * Writing against a flat array: three replicas edit a text, a list and a map by index, in
 * transactions of a few calls, some taken back; what they emit reaches the others late, in another
 * order, twice. After each step the document shows what the array shows, its invariants hold, and
 * the index of positions answers as a walk from the start does. In the end all states are the same
 * bytes.
 */
#include "support/test.h"

#include <stdio.h>

#include "base/utf8.h"
#include "engine/item.h"
#include "engine/position.h"

#define REPLICAS    3
#define ROUNDS      30
#define STEPS       60 /* and 15 more each round */
#define UNITS_MAX   16384
#define UPDATES_MAX 1024
#define MAX_BYTES   ((size_t)8 << 20)

struct update {
    uint8_t *bytes;
    size_t len;
};

struct replica {
    struct ml_doc *doc;
    uint16_t text[UNITS_MAX]; /* UTF-16 */
    uint32_t text_len;
    uint8_t list[UNITS_MAX];
    uint32_t list_len;
    int keys[4]; /* -1: not there */
};

static struct replica replicas[REPLICAS];
static struct update updates[UPDATES_MAX];
static size_t update_count;
static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 4) * n) >> 28);
}

/* ---- The array -------------------------------------------------------------------------------
 */

static bool is_low_half(const struct replica *r, uint32_t at)
{
    return at < r->text_len && (r->text[at] & 0xfc00) == 0xdc00;
}

static void model_text_insert(struct replica *r, uint32_t at, const uint16_t *units, uint32_t count)
{
    at -= is_low_half(r, at);
    assert_true(r->text_len + count <= UNITS_MAX);
    memmove(r->text + at + count, r->text + at, (r->text_len - at) * sizeof *r->text);
    memcpy(r->text + at, units, count * sizeof *units);
    r->text_len += count;
}

static void model_text_delete(struct replica *r, uint32_t at, uint32_t count)
{
    uint32_t end = at + count;

    if (!count)
        return;
    at -= is_low_half(r, at);
    end += is_low_half(r, end);
    memmove(r->text + at, r->text + end, (r->text_len - end) * sizeof *r->text);
    r->text_len -= end - at;
}

static size_t model_utf8(const struct replica *r, uint8_t *out)
{
    size_t n = 0;

    for (uint32_t i = 0; i < r->text_len; i++) {
        uint32_t c = r->text[i];

        if ((c & 0xfc00) == 0xd800)
            c = 0x10000 + ((c & 0x3ff) << 10) + (r->text[++i] & 0x3ff);
        n += ml_utf8_put(c, out + n);
    }
    return n;
}

static void model_list_json(const struct replica *r, struct ml_writer *out)
{
    char text[16];

    ml_write_u8(out, '[');
    for (uint32_t i = 0; i < r->list_len; i++) {
        int n = snprintf(text, sizeof text, i ? ",%d" : "%d", r->list[i]);

        ml_write_bytes(out, ml_slice_make(text, (size_t)n));
    }
    ml_write_u8(out, ']');
}

static void model_keys_json(const struct replica *r, struct ml_writer *out)
{
    bool any = false;

    ml_write_u8(out, '{');
    for (int k = 0; k < 4; k++) {
        char text[32];
        int n;

        if (r->keys[k] < 0)
            continue;
        n = snprintf(text, sizeof text, any ? ",\"k%d\":%d" : "\"k%d\":%d", k, r->keys[k]);
        ml_write_bytes(out, ml_slice_make(text, (size_t)n));
        any = true;
    }
    ml_write_u8(out, '}');
}

/* ---- Comparing -------------------------------------------------------------------------------
 */

static struct ml_writer read_root(const struct replica *r, const char *root, enum ml_view view)
{
    struct ml_writer out;

    ml_writer_init(&out, MAX_BYTES);
    assert_int_equal(ml_doc_read(r->doc, ml_slice_str(root), view, &out), ML_OK);
    return out;
}

/* The index against a walk: every unit of a short list, some of a long one. */
static void check_positions(const struct replica *r, const char *root)
{
    uint32_t name = ml_name_find(r->doc, ml_slice_str(root)), branch, length;

    branch = name == NIL ? NIL : r->doc->names[name].root;
    if (branch == NIL || ml_branch_at(r->doc, branch)->length == 0)
        return;
    assert_true(ml_position_index(r->doc, branch));
    assert_true(ml_positions_check(r->doc));
    length = ml_branch_at(r->doc, branch)->length;
    for (int n = 0; n < 8; n++) {
        uint32_t unit = random_below(length), left = unit, offset, item;
        uint32_t walked = ml_branch_at(r->doc, branch)->start;

        while (!ml_item_is_visible(ml_item_at(r->doc, walked)) ||
               left >= ml_item_at(r->doc, walked)->len) {
            if (ml_item_is_visible(ml_item_at(r->doc, walked)))
                left -= ml_item_at(r->doc, walked)->len;
            walked = ml_item_at(r->doc, walked)->right;
        }
        item = ml_position_find(r->doc, branch, unit, &offset);
        assert_int_equal(item, walked);
        assert_int_equal(offset, left);
    }
}

static void check_document(const struct replica *r)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(r->doc, &diag))
        fail_msg("%s", diag.text);
    check_positions(r, "text");
    check_positions(r, "list");
}

static void check_replica(const struct replica *r)
{
    static uint8_t utf8[UNITS_MAX * 3];
    struct ml_writer want, got;
    size_t len = model_utf8(r, utf8);

    got = read_root(r, "text", ML_VIEW_TEXT);
    assert_int_equal(got.len, len);
    assert_true(!len || memcmp(got.ptr, utf8, len) == 0);
    ml_writer_release(&got);

    ml_writer_init(&want, MAX_BYTES);
    model_list_json(r, &want);
    got = read_root(r, "list", ML_VIEW_JSON);
    if (r->list_len && !ml_slice_equal(ml_writer_slice(&want), ml_writer_slice(&got)))
        fail_msg("list: %.*s, not %.*s", (int)got.len, (const char *)got.ptr, (int)want.len,
                 (const char *)want.ptr);
    ml_writer_release(&got);

    ml_writer_reset(&want);
    model_keys_json(r, &want);
    got = read_root(r, "map", ML_VIEW_JSON);
    if (want.len > 2 && !ml_slice_equal(ml_writer_slice(&want), ml_writer_slice(&got)))
        fail_msg("map: %.*s, not %.*s", (int)got.len, (const char *)got.ptr, (int)want.len,
                 (const char *)want.ptr);
    ml_writer_release(&got);
    ml_writer_release(&want);
    check_document(r);
}

/* After an update from elsewhere: the array is what the document shows. */
static void reload_model(struct replica *r)
{
    struct ml_writer got = read_root(r, "text", ML_VIEW_TEXT);
    const char *at;

    r->text_len = r->list_len = 0;
    for (size_t i = 0; i < got.len;) {
        uint32_t c;

        i += ml_utf8_get(got.ptr + i, &c);
        if (c >= 0x10000) {
            r->text[r->text_len++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        r->text[r->text_len++] = (uint16_t)c;
    }
    ml_writer_release(&got);
    got = read_root(r, "list", ML_VIEW_JSON);
    ml_write_u8(&got, 0);
    for (at = (const char *)got.ptr; *at; at++)
        if (at[0] >= '0' && at[0] <= '9') {
            r->list[r->list_len++] = (uint8_t)strtoul(at, NULL, 10);
            while (at[1] >= '0' && at[1] <= '9')
                at++;
        }
    ml_writer_release(&got);
    got = read_root(r, "map", ML_VIEW_JSON);
    ml_write_u8(&got, 0);
    for (int k = 0; k < 4; k++) {
        char name[24];

        (void)snprintf(name, sizeof name, "\"k%d\":", k);
        at = strstr((const char *)got.ptr, name);
        r->keys[k] = at ? atoi(at + strlen(name)) : -1;
    }
    ml_writer_release(&got);
}

/* ---- Edits -----------------------------------------------------------------------------------
 */

static struct ml_type root_of(struct replica *r, const char *name)
{
    struct ml_type type;

    assert_int_equal(ml_type_root(r->doc, ml_slice_str(name), &type), ML_OK);
    return type;
}

static void insert_text(struct replica *r)
{
    static const uint16_t alphabet[][2] = {{'a', 0},    {'b', 0},         {0xe9, 0},
                                           {0x6f22, 0}, {0xd83d, 0xde00}, {0xd834, 0xdd1e},
                                           {'\n', 0},   {0xfffd, 0}};
    uint16_t units[16];
    uint8_t utf8[48];
    uint32_t count = 0, at = random_below(r->text_len + 1);
    size_t len = 0;

    for (uint32_t n = random_below(6); n > 0; n--) {
        const uint16_t *c = alphabet[random_below(8)];
        uint32_t code = c[1] ? 0x10000 + ((c[0] & 0x3ffu) << 10) + (c[1] & 0x3ffu) : c[0];

        units[count++] = c[0];
        if (c[1])
            units[count++] = c[1];
        len += ml_utf8_put(code, utf8 + len);
    }
    assert_int_equal(ml_text_insert(r->doc, root_of(r, "text"), at, ml_slice_make(utf8, len), NULL),
                     ML_OK);
    if (count)
        model_text_insert(r, at, units, count);
}

static void delete_text(struct replica *r)
{
    uint32_t at = random_below(r->text_len + 1), count = random_below(9);

    if (count > r->text_len - at)
        count = r->text_len - at;
    assert_int_equal(ml_text_delete(r->doc, root_of(r, "text"), at, count), ML_OK);
    model_text_delete(r, at, count);
}

static void insert_list(struct replica *r, bool push)
{
    struct ml_value values[4];
    uint8_t any[4][4];
    uint32_t count = random_below(4), at = push ? r->list_len : random_below(r->list_len + 1);

    memmove(r->list + at + count, r->list + at, r->list_len - at);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t value = (uint8_t)random_below(50);

        any[i][0] = 0x7d;
        any[i][1] = value;
        values[i] = (struct ml_value){.kind = ML_VALUE_ANY, .any = ml_slice_make(any[i], 2)};
        r->list[at + i] = value;
    }
    r->list_len += count;
    if (push)
        assert_int_equal(ml_list_push(r->doc, root_of(r, "list"), values, count), ML_OK);
    else
        assert_int_equal(ml_list_insert(r->doc, root_of(r, "list"), at, values, count), ML_OK);
}

static void delete_list(struct replica *r)
{
    uint32_t at = random_below(r->list_len + 1), count = random_below(5);

    if (count > r->list_len - at)
        count = r->list_len - at;
    assert_int_equal(ml_list_delete(r->doc, root_of(r, "list"), at, count), ML_OK);
    memmove(r->list + at, r->list + at + count, r->list_len - at - count);
    r->list_len -= count;
}

static void edit_map(struct replica *r)
{
    uint32_t k = random_below(4), what = random_below(8);
    uint8_t any[2] = {0x7d, (uint8_t)random_below(50)};
    struct ml_value value = {.kind = ML_VALUE_ANY, .any = ml_slice_make(any, 2)};
    char key[4] = {'k', (char)('0' + k), 0, 0};

    if (what == 0) {
        assert_int_equal(ml_map_clear(r->doc, root_of(r, "map")), ML_OK);
        for (int i = 0; i < 4; i++)
            r->keys[i] = -1;
    } else if (what < 3) {
        assert_int_equal(ml_map_delete(r->doc, root_of(r, "map"), ml_slice_str(key)), ML_OK);
        r->keys[k] = -1;
    } else {
        assert_int_equal(ml_map_set(r->doc, root_of(r, "map"), ml_slice_str(key), &value), ML_OK);
        r->keys[k] = any[1];
    }
}

/* A few units of the text become others: by range, or by saying the whole text that is wanted. */
static void replace_text(struct replica *r, bool whole)
{
    static const uint16_t units[] = {'x', 'a', 'y'};
    static uint8_t utf8[UNITS_MAX * 3];
    uint32_t at = random_below(r->text_len + 1), count = random_below(6), end;
    uint32_t comes = random_below(4);
    size_t len;

    if (count > r->text_len - at)
        count = r->text_len - at;
    end = at + count;
    if (!whole)
        assert_int_equal(
            ml_text_replace(r->doc, root_of(r, "text"), at, count, ml_slice_make("xay", comes)),
            ML_OK);
    at -= is_low_half(r, at);
    end = count ? end + is_low_half(r, end) : at;
    model_text_delete(r, at, end - at);
    model_text_insert(r, at, units, comes);
    if (!whole)
        return;
    len = model_utf8(r, utf8);
    assert_int_equal(ml_text_set(r->doc, root_of(r, "text"), ml_slice_make(utf8, len)), ML_OK);
}

static void move_in_list(struct replica *r)
{
    uint32_t from, to;
    uint8_t value;

    if (!r->list_len)
        return;
    from = random_below(r->list_len);
    to = random_below(r->list_len);
    value = r->list[from];
    assert_int_equal(ml_list_move(r->doc, root_of(r, "list"), from, to), ML_OK);
    memmove(r->list + from, r->list + from + 1, r->list_len - from - 1);
    memmove(r->list + to + 1, r->list + to, r->list_len - to - 1);
    r->list[to] = value;
}

static void edit(struct replica *r)
{
    switch (random_below(11)) {
    case 8:
        replace_text(r, false);
        break;
    case 9:
        replace_text(r, true);
        break;
    case 10:
        move_in_list(r);
        break;
    case 0:
    case 1:
    case 2:
        insert_text(r);
        break;
    case 3:
        delete_text(r);
        break;
    case 4:
        insert_list(r, false);
        break;
    case 5:
        insert_list(r, true);
        break;
    case 6:
        delete_list(r);
        break;
    default:
        edit_map(r);
    }
}

static struct ml_writer state_of(const struct replica *r)
{
    struct ml_writer out;

    ml_writer_init(&out, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(r->doc, ml_slice_make(NULL, 0), &out), ML_OK);
    return out;
}

static void transact_and_take_back(struct replica *r)
{
    static struct replica saved;
    struct ml_writer before = state_of(r), after;

    saved = *r;
    assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
    for (uint32_t n = 1 + random_below(5); n > 0; n--)
        edit(r);
    ml_doc_rollback(r->doc);
    *r = saved;
    after = state_of(r);
    assert_true(ml_slice_equal(ml_writer_slice(&before), ml_writer_slice(&after)));
    ml_writer_release(&before);
    ml_writer_release(&after);
}

static void transact(struct replica *r)
{
    const struct ml_change *change;
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
    for (uint32_t n = 1 + random_below(4); n > 0; n--)
        edit(r);
    assert_int_equal(ml_doc_commit(r->doc, &scratch, &change), ML_OK);
    if (change->bytes.len) {
        struct update *u = &updates[update_count++];

        u->bytes = malloc(change->bytes.len);
        memcpy(u->bytes, change->bytes.ptr, change->bytes.len);
        u->len = change->bytes.len;
    }
    ml_arena_release(&scratch);
}

static void deliver(struct replica *r, const struct update *u)
{
    assert_int_equal(ml_doc_apply_bytes(r->doc, ml_slice_make(u->bytes, u->len), NULL), ML_OK);
    check_document(r); /* before the index is asked for again: it has to be right by itself */
    reload_model(r);
}

static void start(void)
{
    update_count = 0;
    for (int i = 0; i < REPLICAS; i++) {
        struct ml_doc_options options = {.client = (ml_client_id)(11 + i * 1000003)};

        memset(&replicas[i], 0, sizeof replicas[i]);
        replicas[i].doc = ml_doc_new(&options);
        for (int k = 0; k < 4; k++)
            replicas[i].keys[k] = -1;
    }
}

static void finish(void)
{
    struct ml_writer first, other;

    for (int i = 0; i < REPLICAS; i++)
        for (size_t n = 0; n < update_count; n++)
            deliver(&replicas[i], &updates[n]);
    first = state_of(&replicas[0]);
    for (int i = 1; i < REPLICAS; i++) {
        other = state_of(&replicas[i]);
        assert_true(ml_slice_equal(ml_writer_slice(&first), ml_writer_slice(&other)));
        ml_writer_release(&other);
    }
    ml_writer_release(&first);
    for (int i = 0; i < REPLICAS; i++)
        ml_doc_free(replicas[i].doc);
    for (size_t n = 0; n < update_count; n++)
        free(updates[n].bytes);
}

static void local_edits_do_what_a_flat_array_does(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        seed = round;
        start();
        for (uint32_t n = 0; n < STEPS + 15 * round; n++) {
            struct replica *r = &replicas[random_below(REPLICAS)];
            uint32_t what = random_below(8);

            if (what == 0)
                transact_and_take_back(r);
            else if (what < 5 || !update_count)
                transact(r);
            else
                deliver(r, &updates[random_below((uint32_t)update_count)]);
            check_replica(r);
        }
        finish();
    }
    ml_engine_thread_end();
}

/* ---- Long lists ------------------------------------------------------------------------------
 */

static void an_edit_of_a_long_text_walks_over_a_few_runs(void **state)
{
    struct ml_doc_options options = {.client = 1};
    struct replica *r = &replicas[0];
    const struct ml_change *change;
    struct ml_arena scratch;
    uint64_t walked;
    uint32_t len = 1;

    (void)state;
    r->doc = ml_doc_new(&options);
    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
    assert_int_equal(ml_text_insert(r->doc, root_of(r, "text"), 0, ML_SLICE("-"), NULL), ML_OK);
    for (; len < 60000; len++)
        assert_int_equal(
            ml_text_insert(r->doc, root_of(r, "text"), random_below(len), ML_SLICE("x"), NULL),
            ML_OK);
    assert_int_equal(ml_doc_commit(r->doc, &scratch, &change), ML_OK);
    walked = ml_positions_walked(r->doc);
    for (int n = 0; n < 20000; n++, len++) {
        assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
        assert_int_equal(
            ml_text_insert(r->doc, root_of(r, "text"), random_below(len), ML_SLICE("y"), NULL),
            ML_OK);
        assert_int_equal(ml_doc_commit(r->doc, &scratch, &change), ML_OK);
        ml_arena_reset(&scratch);
    }
    assert_true(ml_positions_walked(r->doc) - walked <= 64);
    check_document(r);
    ml_arena_release(&scratch);
    ml_doc_free(r->doc);
}

/* m.k = a list of 200 lists of one number each, cut into many items. */
static void make_nested(struct replica *r)
{
    struct ml_value number = {.kind = ML_VALUE_ANY, .any = ml_slice_make("\x7d\x07", 2)};
    struct ml_value list = {.kind = ML_VALUE_ARRAY, .values = &number, .value_count = 1};
    struct ml_type in;

    assert_int_equal(ml_map_set(r->doc, root_of(r, "m"), ML_SLICE("k"), &list), ML_OK);
    assert_int_equal(ml_type_at_key(r->doc, root_of(r, "m"), ML_SLICE("k"), &in), ML_OK);
    for (uint32_t n = 1; n < 200; n++)
        assert_int_equal(ml_list_insert(r->doc, in, random_below(n), &list, 1), ML_OK);
}

static void an_index_goes_with_the_list_it_is_of(void **state)
{
    struct ml_doc_options options = {.client = 1};
    struct replica *r = &replicas[0];
    const struct ml_change *change;
    struct ml_arena scratch;

    (void)state;
    r->doc = ml_doc_new(&options);
    ml_arena_init(&scratch, MAX_BYTES);
    for (int n = 0; n < 3; n++) {
        assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
        make_nested(r);
        assert_int_equal(ml_doc_commit(r->doc, &scratch, &change), ML_OK);
        assert_non_null(r->doc->positions);
        check_document(r); /* the second time the first list has become GC */
    }
    ml_writing_release(r->doc);
    assert_null(r->doc->positions);
    check_document(r);
    ml_arena_release(&scratch);
    ml_doc_free(r->doc);
}

static void an_index_that_nobody_asks_goes(void **state)
{
    struct ml_doc_options options = {.client = 1};
    struct replica *r = &replicas[0];
    const struct ml_change *change;
    struct ml_arena scratch;
    uint32_t n = 0;

    (void)state;
    r->doc = ml_doc_new(&options);
    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_doc_begin(r->doc, NULL), ML_OK);
    for (; n < 500; n++)
        assert_int_equal(ml_text_insert(r->doc, root_of(r, "text"), n / 2, ML_SLICE("ab"), NULL),
                         ML_OK);
    assert_int_equal(ml_doc_commit(r->doc, &scratch, &change), ML_OK);
    assert_non_null(r->doc->positions);
    for (n = 0; r->doc->positions && n < 3000; n++) { /* client 2 types in another root */
        uint8_t typed[] = {1, 1, 2, 0, 0x84, 2, 0, 1, 'x', 0},
                first[] = {1, 1, 2, 0, 4, 1, 1, 'u', 1, 'x', 0};
        struct ml_writer w;

        ml_writer_init(&w, 64);
        ml_write_bytes(&w, ml_slice_make(typed, 3));
        ml_write_varuint(&w, n);
        ml_write_bytes(&w, ml_slice_make(typed + 4, 2));
        ml_write_varuint(&w, n - 1);
        ml_write_bytes(&w, ml_slice_make(typed + 7, 3));
        assert_int_equal(
            ml_doc_apply_bytes(r->doc, n ? ml_writer_slice(&w) : ml_slice_make(first, sizeof first),
                               NULL),
            ML_OK);
        ml_writer_release(&w);
    }
    assert_true(n > 1024 && n < 3000);
    check_document(r);
    ml_arena_release(&scratch);
    ml_doc_free(r->doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_edits_do_what_a_flat_array_does),
        cmocka_unit_test(an_index_goes_with_the_list_it_is_of),
        cmocka_unit_test(an_index_that_nobody_asks_goes),
        cmocka_unit_test(an_edit_of_a_long_text_walks_over_a_few_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
