/* SPDX-License-Identifier: MIT */
/* Ceilings and a heap that refuses: an update that fails leaves the document as it was, or marked.
 */
#include "support/test.h"

#include <stdio.h>

#include "engine/codec_v1.h"
#include "engine/engine.h"
#include "support/vectors.h"

#define MAX_BYTES ((size_t)16 << 20)

/* ---- The heap under control (linked with --wrap)
 * --------------------------------------------------- */

static size_t heap_calls;
static size_t refuse_after; /* 0: never; 1: the next call */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static bool refuses(void)
{
    heap_calls++;
    return refuse_after && --refuse_after == 0;
}

void *__wrap_malloc(size_t bytes)
{
    return refuses() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refuses() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return refuses() ? NULL : __real_realloc(old, bytes);
}

/* ---- Small updates
 * ------------------------------------------------------------------------------------ */

/* One struct of text: behind unit `clock` - 1 of its client, or first in root "t". */
static void write_text(struct ml_writer *w, ml_client_id client, uint64_t clock,
                       struct ml_slice text)
{
    struct ml_wire s = {.client = client, .clock = clock, .len = text.len, .kind = ML_WIRE_STRING};

    s.content = text;
    if (clock) {
        s.info = ML_INFO_ORIGIN;
        s.origin = (struct ml_id){client, clock - 1};
    } else {
        s.parent = ML_PARENT_ROOT;
        s.root = ML_SLICE("t");
    }
    ml_writer_reset(w);
    ml_write_varuint(w, 1);
    ml_wire_write_section(w, 1, client, clock);
    ml_wire_write(w, &s);
    ml_write_varuint(w, 0);
}

static struct ml_writer state_of(struct ml_doc *doc)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w), ML_OK);
    return w;
}

static void assert_state(struct ml_doc *doc, const struct ml_writer *expected)
{
    struct ml_writer now = state_of(doc);

    assert_true(ml_slice_equal(ml_writer_slice(&now), ml_writer_slice(expected)));
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_writer_release(&now);
}

/* ---- Tests
 * ---------------------------------------------------------------------------------------------- */

static void typing_needs_no_heap(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_doc_stats stats;
    struct ml_arena scratch;
    struct ml_writer w;
    size_t before = 0, keys = 4000;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&w, MAX_BYTES);
    for (uint64_t clock = 0; clock < keys; clock++) {
        const struct ml_update *update;
        const struct ml_change *change;

        write_text(&w, 5000000000, clock, ML_SLICE("x"));
        if (clock == keys / 2)
            before = heap_calls;
        assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(&w), NULL, NULL, &update),
                         ML_OK);
        assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
        assert_ptr_equal(change->bytes.ptr, w.ptr);
        ml_arena_reset(&scratch);
    }
    assert_true(heap_calls - before <= keys / 2 / 500);
    ml_doc_stats(doc, &stats);
    assert_int_equal(stats.fast_append, keys - 1);
    assert_int_equal(stats.runs, 1);
    ml_writer_release(&w);
    ml_arena_release(&scratch);
    ml_doc_free(doc);
}

static void a_document_over_its_ceiling_is_unchanged(void **state)
{
    struct ml_engine_limits limits = {.doc_bytes = 200000};
    struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_slice kilobyte;
    struct ml_writer w, full;
    static char text[1000];
    enum ml_err err = ML_OK;
    uint64_t n = 0;

    (void)state;
    memset(text, 'k', sizeof text);
    kilobyte = ml_slice_make(text, sizeof text);
    ml_writer_init(&w, MAX_BYTES);
    for (; !err && n < 1000; n++) {
        write_text(&w, n + 1, 0, kilobyte);
        err = ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL);
    }
    assert_int_equal(err, ML_ELIMIT);
    assert_true(n > 50 && n < 250);
    full = state_of(doc);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_ELIMIT);
    assert_state(doc, &full);
    ml_writer_release(&w);
    ml_writer_release(&full);
    ml_doc_free(doc);
}

static void clients_have_a_ceiling(void **state)
{
    struct ml_engine_limits limits = {.clients = 3};
    struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_writer w, full;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    for (ml_client_id client = 1; client <= 3; client++) {
        write_text(&w, client, 0, ML_SLICE("a"));
        assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_OK);
    }
    full = state_of(doc);
    write_text(&w, 4, 0, ML_SLICE("a"));
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_ELIMIT);
    assert_state(doc, &full);
    write_text(&w, 3, 1, ML_SLICE("b"));
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_OK);
    ml_writer_release(&w);
    ml_writer_release(&full);
    ml_doc_free(doc);
}

static void clocks_end_at_32_bits(void **state)
{
    static const uint8_t most[] = {1, 1, 7, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}; /* GC 2^32-1 */
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_writer w, full;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_slice_make(most, sizeof most), NULL), ML_OK);
    full = state_of(doc);
    write_text(&w, 7, UINT32_MAX, ML_SLICE("a"));
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_ELIMIT);
    assert_state(doc, &full);
    write_text(&w, 7, 1ull << 40, ML_SLICE("a")); /* far ahead: it waits, for ever */
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_OK);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_writer_release(&w);
    ml_writer_release(&full);
    ml_doc_free(doc);
}

static void what_waits_is_bounded(void **state)
{
    struct ml_engine_limits limits = {.pending_structs = 10, .pending_bytes = 4000};
    struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_doc_stats stats;
    struct ml_arena scratch;
    struct ml_writer w;
    size_t dropped = 0;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&w, MAX_BYTES);
    for (uint64_t n = 0; n < 200; n++) {
        const struct ml_update *update;
        const struct ml_change *change;

        write_text(&w, 1 + n % 2, 10 + n * 3, ML_SLICE("a"));
        if (n % 3 == 2) { /* a delete range instead */
            struct ml_wire_range range = {77, n * 5, 2};

            ml_writer_reset(&w);
            ml_write_varuint(&w, 0);
            ml_wire_write_ranges(&w, &range, 1);
        }
        assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(&w), NULL, NULL, &update),
                         ML_OK);
        assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
        assert_true(change->was_pending);
        assert_int_equal(change->bytes.len, 0);
        dropped += change->pending_dropped;
        ml_arena_reset(&scratch);
    }
    ml_doc_stats(doc, &stats);
    assert_int_equal(stats.pending_structs, 10);
    assert_true(stats.pending_bytes + stats.pending_deletes * sizeof(struct ml_wire_range) <= 4000);
    assert_true(dropped > 100);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_arena_release(&scratch);
    ml_writer_release(&w);
    ml_doc_free(doc);
}

static void types_below_the_ceiling_are_gone_at_once(void **state)
{
    struct ml_engine_limits limits = {.type_depth = 8};
    struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_writer w, json;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    ml_writer_init(&json, MAX_BYTES);
    ml_write_varuint(&w, 1);
    ml_wire_write_section(&w, 100, 1, 0);
    for (uint64_t n = 0; n < 100; n++) { /* an array in an array in ... */
        ml_write_u8(&w, ML_WIRE_TYPE);
        ml_write_u8(&w, n == 0);
        if (n == 0) {
            ml_write_varbytes(&w, ML_SLICE("a"));
        } else {
            ml_write_varuint(&w, 1);
            ml_write_varuint(&w, n - 1);
        }
        ml_write_varuint(&w, ML_TYPE_ARRAY);
    }
    ml_write_varuint(&w, 0);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_OK);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("a"), ML_VIEW_JSON, &json), ML_OK);
    ml_write_u8(&json, 0);
    assert_string_equal((const char *)json.ptr, "[[[[[[[[[]]]]]]]]]");
    ml_writer_release(&w);
    ml_writer_release(&json);
    ml_doc_free(doc);
}

/* Text by client 1, and client 2 who wrote a unit before each of its units, always from the start.
 */
static void write_pile(struct ml_writer *base, struct ml_writer *pile, uint32_t count)
{
    static char text[4096];

    memset(text, 'b', sizeof text);
    write_text(base, 1, 0, ml_slice_make(text, count));
    ml_writer_reset(pile);
    ml_write_varuint(pile, 1);
    ml_wire_write_section(pile, count - 1, 2, 0);
    for (uint32_t n = 0; n < count - 1; n++) {
        struct ml_wire s = {.client = 2, .clock = n, .len = 1, .kind = ML_WIRE_STRING};

        s.info = ML_INFO_RIGHT_ORIGIN;
        s.right_origin = (struct ml_id){1, n + 1};
        s.content = ML_SLICE("p");
        ml_wire_write(pile, &s);
    }
    ml_write_varuint(pile, 0);
}

static void piling_up_at_one_place_is_done_in_portions(void **state)
{
    static const uint8_t nothing[] = {0, 0};
    struct ml_doc *doc = ml_doc_new(NULL), *loaded = ml_doc_new(NULL);
    struct ml_writer base, pile, expected;
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_doc_stats stats;
    struct ml_arena scratch;
    int portions = 0;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&base, MAX_BYTES);
    ml_writer_init(&pile, MAX_BYTES);
    write_pile(&base, &pile, 4096);
    assert_int_equal(ml_doc_apply_bytes(loaded, ml_writer_slice(&base), NULL), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(loaded, ml_writer_slice(&pile), NULL), ML_OK);
    expected = state_of(loaded);

    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&base), NULL), ML_OK);
    assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(&pile), NULL, NULL, &update),
                     ML_OK);
    do { /* the update, and then whatever comes next */
        assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
        assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
        assert_true(change->bytes.len > 0);
        assert_int_equal(
            ml_update_decode(&scratch, ml_slice_make(nothing, sizeof nothing), NULL, NULL, &update),
            ML_OK);
        ml_doc_stats(doc, &stats);
        portions++;
    } while (stats.pending_structs);
    assert_true(portions > 3 && portions < 100);
    assert_state(doc, &expected);
    ml_writer_release(&base);
    ml_writer_release(&pile);
    ml_writer_release(&expected);
    ml_arena_release(&scratch);
    ml_doc_free(doc);
    ml_doc_free(loaded);
}

static void an_own_id_used_by_others_is_reported(void **state)
{
    struct ml_doc_options options = {.client = 6};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_arena scratch;
    struct ml_writer w;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&w, MAX_BYTES);
    for (ml_client_id client = 5; client <= 7; client++)
        for (uint64_t clock = 0; clock < 2; clock++) { /* a first unit, and typing that goes on */
            const struct ml_update *update;
            const struct ml_change *change;

            write_text(&w, client, clock, ML_SLICE("a"));
            assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(&w), NULL, NULL, &update),
                             ML_OK);
            assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
            assert_int_equal(change->client_taken, client == 6);
        }
    ml_arena_release(&scratch);
    ml_writer_release(&w);
    ml_doc_free(doc);
}

/* Apply `bytes` while the k-th heap call is refused, for every k until none is. */
static size_t refuse_each(struct ml_slice base, struct ml_slice bytes)
{
    size_t refusals = 0;
    bool refused = true;

    for (size_t k = 1; refused; k++) {
        struct ml_doc *doc = ml_doc_new(NULL);
        struct ml_diag diag = {0};
        struct ml_writer before;
        enum ml_err err;

        ml_engine_thread_end(); /* no spare blocks: everything comes from the heap */
        assert_int_equal(ml_doc_apply_bytes(doc, base, NULL), ML_OK);
        before = state_of(doc);
        refuse_after = k;
        err = ml_doc_apply_bytes(doc, bytes, NULL);
        refused = refuse_after == 0;
        refuse_after = 0;
        if (!refused) {
            assert_int_equal(err, ML_OK);
        } else if (err) {
            refusals++;
            assert_int_equal(err, ML_ELIMIT);
            if (ml_doc_check(doc, &diag) == ML_OK) {
                assert_state(doc, &before);
            } else { /* in the middle: marked, and every call says so */
                assert_int_equal(strncmp(diag.text, "[B0]", 4), 0);
                assert_int_equal(ml_doc_apply_bytes(doc, base, NULL), ML_ELIMIT);
                assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &before),
                                 ML_ELIMIT);
            }
        }
        ml_writer_release(&before);
        ml_doc_free(doc);
    }
    return refusals;
}

static void a_refusing_heap_ends_the_update_not_the_process(void **state)
{
    static const char *const files[] = {"nested", "text", "xml"};
    struct ml_writer base, bytes, empty;
    size_t refusals = 0;

    (void)state;
    ml_writer_init(&base, MAX_BYTES);
    ml_writer_init(&bytes, MAX_BYTES);
    ml_writer_init(&empty, MAX_BYTES);
    ml_write_varuint(&empty, 0);
    ml_write_varuint(&empty, 0);
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        cJSON *file = ml_vectors_load(files[f]);

        for (int n = 0; n < 25; n++) {
            const cJSON *c = cJSON_GetArrayItem(ml_vectors_get(file, "cases"), n);
            const cJSON *updates = ml_vectors_get(c, "updates_v1_hex");
            const cJSON *last = cJSON_GetArrayItem(updates, cJSON_GetArraySize(updates) - 1);
            struct ml_slice all = ml_vectors_unhex(&base, ml_vectors_text(c, "state_v1_hex"));

            refusals += refuse_each(ml_writer_slice(&empty), all);
            refusals += refuse_each(ml_vectors_unhex(&bytes, last->valuestring), all);
        }
        cJSON_Delete(file);
    }
    assert_true(refusals > 500);
    ml_writer_release(&base);
    ml_writer_release(&bytes);
    ml_writer_release(&empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typing_needs_no_heap),
        cmocka_unit_test(a_document_over_its_ceiling_is_unchanged),
        cmocka_unit_test(clients_have_a_ceiling),
        cmocka_unit_test(clocks_end_at_32_bits),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(types_below_the_ceiling_are_gone_at_once),
        cmocka_unit_test(piling_up_at_one_place_is_done_in_portions),
        cmocka_unit_test(an_own_id_used_by_others_is_reported),
        cmocka_unit_test(a_refusing_heap_ends_the_update_not_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
