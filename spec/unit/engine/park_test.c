/* SPDX-License-Identifier: MIT */
/*
 * States that are kept and documents at rest say what the document says, byte for byte, and hold
 * little beside their bytes.
 */
#include "support/test.h"

#include <cjson/cJSON.h>

#include "base/blob.h"
#include "engine/item.h"
#include "support/vectors.h"

#define MAX_BYTES ((size_t)64 << 20)

static struct ml_writer encode(struct ml_doc *doc, struct ml_slice sv)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, sv, &w), ML_OK);
    return w;
}

static void assert_bytes(struct ml_writer *got, struct ml_slice expected)
{
    assert_int_equal(got->len, expected.len);
    if (expected.len)
        assert_memory_equal(got->ptr, expected.ptr, expected.len);
    ml_writer_reset(got);
}

/* The kept states are those that an encode makes. */
static void check_blobs(struct ml_doc *doc)
{
    struct ml_writer v1 = encode(doc, ml_slice_make(NULL, 0)), v2;
    struct ml_blob *a, *b, *c;

    ml_writer_init(&v2, MAX_BYTES);
    assert_int_equal(ml_state_to_v2(ml_writer_slice(&v1), NULL, &v2, NULL), ML_OK);
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &a), ML_OK);
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &b), ML_OK);
    assert_ptr_equal(a, b);
    assert_true(ml_slice_equal(ml_blob_slice(a), ml_writer_slice(&v1)));
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V2, &c), ML_OK);
    assert_true(ml_slice_equal(ml_blob_slice(c), ml_writer_slice(&v2)));
    ml_blob_unref(a);
    ml_blob_unref(b);
    ml_blob_unref(c);
    ml_writer_release(&v1);
    ml_writer_release(&v2);
}

/* The document and its parked form answer the same to a holder of half of every client. */
static void check_parked(struct ml_doc *doc, const struct ml_doc_options *options)
{
    struct ml_writer all = encode(doc, ml_slice_make(NULL, 0)), sv, half, got;
    struct ml_parked_doc *parked;
    struct ml_doc *awake;
    struct ml_reader in;
    struct ml_id entry;
    uint64_t left;
    bool more = true;

    ml_writer_init(&sv, MAX_BYTES);
    ml_writer_init(&half, MAX_BYTES);
    ml_writer_init(&got, MAX_BYTES);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    ml_doc_state_vector(doc, &sv);
    assert_int_equal(ml_parked_state_vector(parked, &got), ML_OK);
    assert_bytes(&got, ml_writer_slice(&sv));
    assert_int_equal(ml_parked_encode_state(parked, ml_slice_make(NULL, 0), &got), ML_OK);
    assert_bytes(&got, ml_writer_slice(&all));

    in = ml_reader_make(ml_writer_slice(&sv));
    assert_int_equal(ml_state_vector_open(&in, &left), ML_OK);
    ml_write_varuint(&half, left);
    for (;;) {
        assert_int_equal(ml_state_vector_next(&in, &left, &entry, &more), ML_OK);
        if (!more)
            break;
        ml_write_varuint(&half, entry.client);
        ml_write_varuint(&half, entry.clock / 2);
    }
    ml_writer_release(&all);
    all = encode(doc, ml_writer_slice(&half));
    assert_int_equal(ml_parked_encode_state(parked, ml_writer_slice(&half), &got), ML_OK);
    assert_bytes(&got, ml_writer_slice(&all));

    assert_int_equal(ml_parked_wake(parked, options, &awake), ML_OK);
    assert_int_equal(ml_doc_check(awake, NULL), ML_OK);
    ml_writer_release(&all);
    all = encode(doc, ml_slice_make(NULL, 0));
    ml_writer_release(&half);
    half = encode(awake, ml_slice_make(NULL, 0));
    assert_bytes(&half, ml_writer_slice(&all));
    ml_doc_free(awake);
    ml_parked_free(parked);
    ml_writer_release(&all);
    ml_writer_release(&sv);
    ml_writer_release(&half);
    ml_writer_release(&got);
}

static void check_contains(struct ml_doc *doc)
{
    struct ml_writer all = encode(doc, ml_slice_make(NULL, 0));
    const struct ml_update *u;
    struct ml_parked_doc *parked;
    struct ml_arena scratch;
    bool contains;

    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(&all), NULL, NULL, &u), ML_OK);
    assert_int_equal(ml_parked_contains(parked, u, &contains), ML_OK);
    assert_true(contains);
    ml_parked_free(parked);
    ml_arena_release(&scratch);
    ml_writer_release(&all);
}

/* Cooled, the document is what it was, and can be written again. */
static void check_cool(struct ml_doc *doc)
{
    struct ml_writer before = encode(doc, ml_slice_make(NULL, 0)), after;
    struct ml_doc_stats hot, cool;

    ml_doc_stats(doc, &hot);
    ml_doc_cool(doc);
    ml_doc_stats(doc, &cool);
    assert_true(cool.memory_bytes <= hot.memory_bytes);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    after = encode(doc, ml_slice_make(NULL, 0));
    assert_bytes(&after, ml_writer_slice(&before));
    ml_writer_release(&before);
    ml_writer_release(&after);
    ml_doc_cool(doc);
    ml_doc_cool(doc);
}

static void check_doc(struct ml_doc *doc, const struct ml_doc_options *options)
{
    struct ml_doc_stats stats;

    check_blobs(doc);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_doc_stats(doc, &stats);
    if (!stats.pending_structs && !stats.pending_deletes) {
        check_parked(doc, options);
        check_contains(doc);
    }
    check_cool(doc);
    check_blobs(doc);
}

/* All documents of a vector file, after their last update. */
static void check_vectors(const char *name)
{
    cJSON *file = ml_vectors_load(name);
    struct ml_writer bytes;
    const cJSON *c, *hex;

    ml_writer_init(&bytes, MAX_BYTES);
    cJSON_ArrayForEach(c, ml_vectors_get(file, "cases"))
    {
        struct ml_doc_options options = {.keep_deleted = cJSON_IsFalse(ml_vectors_get(c, "gc"))};
        struct ml_doc *doc = ml_doc_new(&options);

        cJSON_ArrayForEach(hex, ml_vectors_get(c, "updates_v1_hex")) assert_int_equal(
            ml_doc_apply_bytes(doc, ml_vectors_unhex(&bytes, hex->valuestring), NULL), ML_OK);
        check_doc(doc, &options);
        ml_doc_free(doc);
    }
    ml_writer_release(&bytes);
    cJSON_Delete(file);
}

static void documents_at_rest_answer_as_they_did(void **state)
{
    static const char *const files[] = {
        "basic", "text", "text-one-place", "format", "map", "array", "nested", "xml", "surrogate"};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_vectors(files[i]);
}

/* An update with one struct of `client` from `clock` on, a text behind its unit before. */
static struct ml_slice typed(struct ml_writer *w, ml_client_id client, uint64_t clock,
                             const char *text)
{
    ml_writer_reset(w);
    ml_write_u8(w, 1);
    ml_wire_write_section(w, 1, client, clock);
    if (clock) {
        ml_write_u8(w, ML_INFO_ORIGIN | ML_WIRE_STRING);
        ml_write_varuint(w, client);
        ml_write_varuint(w, clock - 1);
    } else {
        ml_write_u8(w, ML_WIRE_STRING);
        ml_write_u8(w, 1);
        ml_write_varbytes(w, ML_SLICE("t"));
    }
    ml_write_varbytes(w, ml_slice_str(text));
    ml_write_u8(w, 0);
    return ml_writer_slice(w);
}

static void an_empty_document_rests(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);

    (void)state;
    check_doc(doc, NULL);
    ml_doc_free(doc);
}

static void rest_holds_little_beside_the_bytes(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    enum ml_update_format format;
    struct ml_parked_doc *parked;
    struct ml_blob *blob;
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    for (ml_client_id client = 1; client <= 1500; client++)
        assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, client << 20, 0, "hello"), NULL), ML_OK);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    blob = ml_parked_blob(parked, &format);
    assert_int_equal(format, ML_UPDATE_V2);
    assert_true(ml_parked_memory_bytes(parked) <= blob->len + 300);
    check_doc(doc, NULL);
    ml_blob_unref(blob);
    ml_parked_free(parked);
    ml_doc_free(doc);
    ml_writer_release(&w);
}

/* Spaces in JSON do not come back from V2: such a document rests as V1. */
static void odd_values_rest_as_they_are(void **state)
{
    static const uint8_t embed[] = {1,   1,   7,   0,   ML_WIRE_EMBED, 1,   1,   't', 9, '{',
                                    ' ', '"', 'a', '"', ':',           ' ', '1', '}', 0};
    struct ml_doc *doc = ml_doc_new(NULL);
    enum ml_update_format format;
    struct ml_parked_doc *parked;

    (void)state;
    assert_int_equal(ml_doc_apply_bytes(doc, ml_slice_make(embed, sizeof embed), NULL), ML_OK);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    ml_blob_unref(ml_parked_blob(parked, &format));
    assert_int_equal(format, ML_UPDATE_V1);
    ml_parked_free(parked);
    check_doc(doc, NULL);
    ml_doc_free(doc);
}

static void what_rests_knows_what_it_lacks(void **state)
{
    static const uint8_t known[] = {0, 1, 7, 1, 1, 2}, more[] = {0, 1, 7, 1, 1, 3},
                         other[] = {0, 1, 8, 1, 1, 1};
    static const struct {
        struct ml_slice bytes;
        bool contained;
    } rows[] = {
        {{known, sizeof known}, true},
        {{more, sizeof more}, false},
        {{other, sizeof other}, false},
    };
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_parked_doc *parked;
    struct ml_arena scratch;
    struct ml_writer w;
    bool contained;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 0, "hello"), NULL), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_slice_make(known, sizeof known), NULL), ML_OK);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct ml_update *u;

        assert_int_equal(ml_update_decode(&scratch, rows[i].bytes, NULL, NULL, &u), ML_OK);
        assert_int_equal(ml_parked_contains(parked, u, &contained), ML_OK);
        assert_int_equal(contained, rows[i].contained);
        assert_int_equal(ml_doc_contains(doc, u), contained);
    }
    for (uint64_t clock = 3; clock < 6; clock++) {
        const struct ml_update *u;

        assert_int_equal(ml_update_decode(&scratch, typed(&w, 7, clock, "xy"), NULL, NULL, &u),
                         ML_OK);
        assert_int_equal(ml_parked_contains(parked, u, &contained), ML_OK);
        assert_int_equal(contained, clock == 3);
    }
    ml_parked_free(parked);
    ml_doc_free(doc);
    ml_arena_release(&scratch);
    ml_writer_release(&w);
}

static void rest_merges_what_came_meanwhile(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL), *other = ml_doc_new(NULL);
    struct ml_writer w, merged, a, b;
    struct ml_parked_doc *parked;
    struct ml_arena scratch;
    struct ml_slice update;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&w, MAX_BYTES);
    ml_writer_init(&merged, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 0, "hello"), NULL), ML_OK);
    assert_int_equal(ml_doc_park(doc, &parked), ML_OK);
    update = typed(&w, 7, 5, " you");
    assert_int_equal(ml_parked_merge(parked, &update, 1, NULL, &scratch, &merged, NULL), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(doc, update, NULL), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(other, ml_writer_slice(&merged), NULL), ML_OK);
    a = encode(doc, ml_slice_make(NULL, 0));
    b = encode(other, ml_slice_make(NULL, 0));
    assert_bytes(&a, ml_writer_slice(&b));
    ml_writer_release(&a);
    ml_writer_release(&b);
    ml_writer_release(&w);
    ml_writer_release(&merged);
    ml_parked_free(parked);
    ml_doc_free(doc);
    ml_doc_free(other);
    ml_arena_release(&scratch);
}

static void what_waits_does_not_rest(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_parked_doc *parked;
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 5, "late"), NULL), ML_OK);
    assert_int_equal(ml_doc_park(doc, &parked), ML_EBUSY);
    ml_doc_free(doc);
    ml_writer_release(&w);
}

/* What is known already keeps the version, and with it the kept answers. */
static void one_encode_for_all_who_ask(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_blob *first, *again, *later;
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 0, "hello"), NULL), ML_OK);
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &first), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_blob_slice(first), NULL), ML_OK);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &again), ML_OK);
        assert_ptr_equal(first, again);
        ml_blob_unref(again);
    }
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 5, "!"), NULL), ML_OK);
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &later), ML_OK);
    assert_ptr_not_equal(first, later);
    ml_blob_unref(first);
    ml_blob_unref(later);
    ml_doc_free(doc);
    ml_writer_release(&w);
}

static void a_large_state_is_not_kept(void **state)
{
    struct ml_engine_limits limits = {.doc_bytes = 1 << 20};
    struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_doc_stats before, after;
    struct ml_writer w;
    struct ml_blob *a;
    char *text = calloc(1, 300001);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', 300000);
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, 7, 0, text), NULL), ML_OK);
    ml_doc_stats(doc, &before);
    assert_int_equal(ml_doc_state_blob(doc, ML_UPDATE_V1, &a), ML_OK);
    ml_doc_stats(doc, &after);
    assert_true(after.memory_bytes < before.memory_bytes + 1000);
    ml_blob_unref(a);
    ml_doc_free(doc);
    ml_writer_release(&w);
    free(text);
}

/* Texts that grew in many places have room; the cool document has none, and grows again. */
static void cooling_gives_room_back(void **state)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_doc_stats hot, cool;
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    for (uint64_t clock = 0; clock < 50; clock++)
        for (ml_client_id client = 1; client <= 40; client++)
            assert_int_equal(
                ml_doc_apply_bytes(doc, typed(&w, client, clock * 11, "hello world"), NULL), ML_OK);
    ml_doc_stats(doc, &hot);
    ml_doc_cool(doc);
    ml_doc_stats(doc, &cool);
    assert_true(cool.memory_bytes + 4000 < hot.memory_bytes);
    for (ml_client_id client = 1; client <= 40; client++)
        assert_int_equal(ml_doc_apply_bytes(doc, typed(&w, client, 550, "again"), NULL), ML_OK);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    check_doc(doc, NULL);
    ml_doc_free(doc);
    ml_writer_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_at_rest_answer_as_they_did),
        cmocka_unit_test(an_empty_document_rests),
        cmocka_unit_test(rest_holds_little_beside_the_bytes),
        cmocka_unit_test(odd_values_rest_as_they_are),
        cmocka_unit_test(what_rests_knows_what_it_lacks),
        cmocka_unit_test(rest_merges_what_came_meanwhile),
        cmocka_unit_test(what_waits_does_not_rest),
        cmocka_unit_test(one_encode_for_all_who_ask),
        cmocka_unit_test(a_large_state_is_not_kept),
        cmocka_unit_test(cooling_gives_room_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
