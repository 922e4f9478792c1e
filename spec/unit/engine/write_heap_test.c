/* SPDX-License-Identifier: MIT */
/*
 * Writing while the heap refuses: each call of malloc in a transaction fails once. Afterwards the
 * document is as before, or it says that it is broken; it is never something in between.
 */
#include "support/test.h"

#include "engine/engine.h"
#include "support/vectors.h"

#define MAX_BYTES ((size_t)16 << 20)

static size_t refuse_after; /* 0: never; 1: the next call */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static bool refuses(void)
{
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

static struct ml_writer state_of(struct ml_doc *doc)
{
    struct ml_writer out;

    ml_writer_init(&out, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &out), ML_OK);
    return out;
}

static struct ml_doc *make_doc(struct ml_slice state)
{
    struct ml_doc_options options = {.client = 77};
    struct ml_doc *doc = ml_doc_new(&options);

    if (state.len)
        assert_int_equal(ml_doc_apply_bytes(doc, state, NULL), ML_OK);
    return doc;
}

static struct ml_writer ops_of(const cJSON *step)
{
    struct ml_writer out;
    char *text = cJSON_PrintUnformatted(ml_vectors_get(step, "tx"));

    ml_writer_init(&out, MAX_BYTES);
    assert_int_equal(ml_any_from_json(ml_slice_str(text), NULL, &out), ML_OK);
    cJSON_free(text);
    return out;
}

/* What a failed transaction may leave behind. */
static void check_failed(struct ml_doc *doc, const struct ml_writer *before, struct ml_slice ops)
{
    const struct ml_change *change;
    struct ml_arena scratch;
    struct ml_writer after;

    ml_arena_init(&scratch, MAX_BYTES);
    if (ml_doc_is_broken(doc)) {
        assert_int_equal(ml_doc_run_ops(doc, ops, &scratch, NULL, &change), ML_ELIMIT);
        assert_int_equal(ml_doc_apply_bytes(doc, ml_slice_make("\0\0", 2), NULL), ML_ELIMIT);
    } else {
        assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
        after = state_of(doc);
        assert_true(ml_slice_equal(ml_writer_slice(before), ml_writer_slice(&after)));
        ml_writer_release(&after);
    }
    ml_arena_release(&scratch);
}

/* Refuse the first call, the second ... until the transaction needs no more. Answers how many. */
static size_t refuse_each(struct ml_slice state, struct ml_slice ops)
{
    for (size_t k = 1;; k++) {
        struct ml_doc *doc = make_doc(state);
        struct ml_writer before = state_of(doc);
        const struct ml_change *change;
        struct ml_arena scratch;
        enum ml_err err;
        bool refused;

        ml_arena_init(&scratch, MAX_BYTES);
        refuse_after = k;
        err = ml_doc_run_ops(doc, ops, &scratch, NULL, &change);
        refused = refuse_after == 0;
        refuse_after = 0;
        if (err) {
            assert_int_equal(err, ML_ELIMIT);
            check_failed(doc, &before, ops);
        } else { /* a cache may do without */
            assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
        }
        ml_writer_release(&before);
        ml_arena_release(&scratch);
        ml_doc_free(doc);
        if (!refused)
            return k - 1;
    }
}

static size_t run_case(const cJSON *c)
{
    const cJSON *base = ml_vectors_get(c, "base_v1_hex"), *step;
    struct ml_writer state;
    size_t refused = 0;
    struct ml_doc *doc;

    ml_writer_init(&state, MAX_BYTES);
    if (cJSON_IsString(base))
        (void)ml_vectors_unhex(&state, base->valuestring);
    cJSON_ArrayForEach(step, ml_vectors_get(c, "steps"))
    {
        struct ml_writer ops = ops_of(step);
        const struct ml_change *change;
        struct ml_arena scratch;

        refused += refuse_each(ml_writer_slice(&state), ml_writer_slice(&ops));
        ml_arena_init(&scratch, MAX_BYTES);
        doc = make_doc(ml_writer_slice(&state));
        assert_int_equal(ml_doc_run_ops(doc, ml_writer_slice(&ops), &scratch, NULL, &change),
                         ML_OK);
        ml_writer_release(&state);
        state = state_of(doc);
        ml_doc_free(doc);
        ml_arena_release(&scratch);
        ml_writer_release(&ops);
    }
    ml_writer_release(&state);
    return refused;
}

static void a_refusing_heap_leaves_all_or_nothing(void **test)
{
    cJSON *file = ml_vectors_load("ops");
    const cJSON *c;
    size_t refused = 0;

    (void)test;
    cJSON_ArrayForEach(c, ml_vectors_get(file, "cases")) refused += run_case(c);
    assert_true(refused > 500);
    cJSON_Delete(file);
    ml_engine_thread_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusing_heap_leaves_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
