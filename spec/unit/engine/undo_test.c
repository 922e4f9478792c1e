/* SPDX-License-Identifier: MIT */
/*
 * A refused update leaves no trace that a reader could see: not in the document, not on a replica
 * that follows its records, not on the author's own replica.
 */
#include "support/test.h"

#include "engine/engine.h"
#include "support/vectors.h"
#include "unit/engine/visible.h"

#define MAX_BYTES ((size_t)16 << 20)

static const char *const document_files[] = {"basic", "text",   "format", "map",
                                             "array", "nested", "xml"};

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* The document that decides, a reader of its records, and somebody who has made all the edits. */
struct world {
    struct ml_doc *server, *reader, *author;
    struct ml_arena scratch;
    size_t refused;
    bool parted; /* something was dropped: the author's replica may differ for good */
};

static struct ml_doc *new_doc(const cJSON *c, ml_client_id client)
{
    struct ml_doc_options options = {
        .client = client,
        .keep_deleted = cJSON_IsFalse(ml_vectors_get(c, "gc")),
    };

    return ml_doc_new(&options);
}

static bool is_settled(const struct ml_doc *doc)
{
    struct ml_doc_stats stats;

    ml_doc_stats(doc, &stats);
    return !stats.pending_structs && !stats.pending_deletes;
}

static void check_invariants(const struct ml_doc *doc)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag))
        fail_msg("%s", diag.text);
}

static struct ml_writer shown(const struct ml_doc *doc)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    visible_dump(doc, &w);
    assert_int_equal(w.err, ML_OK);
    return w;
}

static void assert_shows(const struct ml_doc *doc, const struct ml_writer *expected,
                         const char *name)
{
    struct ml_writer now = shown(doc);

    if (!ml_slice_equal(ml_writer_slice(&now), ml_writer_slice(expected)))
        fail_msg("%s: shows something else", name);
    ml_writer_release(&now);
}

static void step(struct world *w, struct ml_slice bytes, bool refuse, const char *name)
{
    struct ml_verdict verdict = {.undo_all = refuse};
    struct ml_writer before = shown(w->server), after;
    const struct ml_update *update;
    const struct ml_change *change;
    bool settled = is_settled(w->server);

    assert_int_equal(ml_update_decode(&w->scratch, bytes, NULL, NULL, &update), ML_OK);
    assert_int_equal(ml_doc_apply(w->server, update, &verdict, &w->scratch, &change), ML_OK);
    assert_int_equal(change->undone, refuse);
    check_invariants(w->server);
    w->parted |= change->pending_dropped;
    w->refused += refuse;
    if (refuse && settled && !change->was_pending)
        assert_shows(w->server, &before, name);

    assert_int_equal(ml_doc_apply_bytes(w->author, bytes, NULL), ML_OK);
    if (change->bytes.len) {
        assert_int_equal(ml_doc_apply_bytes(w->reader, change->bytes, NULL), ML_OK);
        assert_int_equal(ml_doc_apply_bytes(w->author, change->bytes, NULL), ML_OK);
    }
    check_invariants(w->author);
    after = shown(w->server);
    if (is_settled(w->server)) {
        assert_shows(w->reader, &after, name);
        if (!w->parted && is_settled(w->author))
            assert_shows(w->author, &after, name);
    }
    ml_writer_release(&before);
    ml_writer_release(&after);
    ml_arena_reset(&w->scratch);
}

static size_t run_case(const cJSON *c)
{
    struct world w = {
        .server = new_doc(c, 1 + random_below(1000000)),
        .reader = new_doc(c, 0),
        .author = new_doc(c, 0),
    };
    struct ml_writer bytes;
    const cJSON *hex;

    ml_writer_init(&bytes, MAX_BYTES);
    ml_arena_init(&w.scratch, MAX_BYTES);
    cJSON_ArrayForEach(hex, ml_vectors_get(c, "updates_v1_hex"))
        step(&w, ml_vectors_unhex(&bytes, hex->valuestring), random_below(3) == 0,
             ml_vectors_text(c, "name"));
    ml_doc_free(w.server);
    ml_doc_free(w.reader);
    ml_doc_free(w.author);
    ml_arena_release(&w.scratch);
    ml_writer_release(&bytes);
    return w.refused;
}

static void refused_updates_are_not_seen_anywhere(void **state)
{
    size_t refused = 0;

    (void)state;
    for (size_t f = 0; f < sizeof document_files / sizeof *document_files; f++) {
        cJSON *file = ml_vectors_load(document_files[f]);
        const cJSON *c;

        cJSON_ArrayForEach(c, ml_vectors_get(file, "cases")) for (int round = 0; round < 2; round++)
            refused += run_case(c);
        cJSON_Delete(file);
    }
    assert_true(refused > 1000);
}

static void a_refused_overwrite_of_a_tree_brings_the_tree_back(void **state)
{
    static const uint8_t tree[] = {
        1,    4, 1, 0,                 /* four structs of client 1 */
        0x27, 1, 1, 'm', 1, 'a',  0,   /* m.a = Array */
        0x08, 0, 1, 0,   1, 0x7d, 1,   /* [1] */
        0x87, 1, 1, 2,                 /* , Text */
        0x04, 0, 1, 2,   2, 'h',  'i', /* "hi" in it */
        0,
    };
    static const uint8_t overwrite[] = {
        1, 1, 2, 0, 0xa8, 1, 0, 1, 0x7d, 2, /* client 2: m.a = 2 */
        1, 1, 1, 0, 1,                      /* and the old value deleted */
    };
    struct ml_doc_options options = {.client = 9};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_verdict verdict = {.undo_all = true};
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_writer before, json;
    struct ml_arena scratch;

    (void)state;
    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&json, MAX_BYTES);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_slice_make(tree, sizeof tree), NULL), ML_OK);
    before = shown(doc);
    assert_int_equal(
        ml_update_decode(&scratch, ml_slice_make(overwrite, sizeof overwrite), NULL, NULL, &update),
        ML_OK);
    assert_int_equal(ml_doc_apply(doc, update, &verdict, &scratch, &change), ML_OK);
    check_invariants(doc);
    assert_shows(doc, &before, "tree");
    assert_int_equal(ml_doc_read(doc, ML_SLICE("m"), ML_VIEW_JSON, &json), ML_OK);
    assert_string_equal((ml_write_u8(&json, 0), (const char *)json.ptr), "{\"a\":[1,\"hi\"]}");
    ml_writer_release(&before);
    ml_writer_release(&json);
    ml_arena_release(&scratch);
    ml_doc_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_overwrite_of_a_tree_brings_the_tree_back),
        cmocka_unit_test(refused_updates_are_not_seen_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
