/* SPDX-License-Identifier: MIT */
/*
 * The documents of the vectors: whatever the order of arrival, twice, merged, reloaded, or learnt
 * from the records of another document, the state has the same bytes. And what waits: pending.json.
 */
#include "support/test.h"

#include <stdio.h>

#include "engine/engine.h"
#include "support/vectors.h"

#define MAX_BYTES   ((size_t)16 << 20)
#define MAX_UPDATES 4096

static const char *const document_files[] = {
    "basic", "text", "text-one-place", "format", "map", "array", "nested", "xml", "surrogate"};

struct bytes_list {
    struct ml_slice at[MAX_UPDATES];
    size_t count;
    struct ml_arena memory;
};

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void read_list(const cJSON *array, struct bytes_list *list)
{
    struct ml_writer w;
    const cJSON *hex;

    ml_writer_init(&w, MAX_BYTES);
    ml_arena_init(&list->memory, MAX_BYTES);
    list->count = 0;
    cJSON_ArrayForEach(hex, array)
    {
        assert_true(list->count < MAX_UPDATES);
        list->at[list->count++] =
            ml_arena_copy(&list->memory, ml_vectors_unhex(&w, hex->valuestring));
    }
    ml_writer_release(&w);
}

static void shuffle(struct bytes_list *list)
{
    for (size_t i = list->count; i > 1; i--) {
        size_t k = random_below((uint32_t)i);
        struct ml_slice other = list->at[k];

        list->at[k] = list->at[i - 1];
        list->at[i - 1] = other;
    }
}

static void check_invariants(const struct ml_doc *doc, const char *name)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag))
        fail_msg("%s: %s", name, diag.text);
}

static struct ml_doc *new_doc(const cJSON *c)
{
    struct ml_doc_options options = {.keep_deleted = cJSON_IsFalse(ml_vectors_get(c, "gc"))};

    return ml_doc_new(&options);
}

/* Apply one update; its record goes to `records`, if that is not NULL. */
static void apply(struct ml_doc *doc, struct ml_slice bytes, struct bytes_list *records,
                  const char *name)
{
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_update_decode(&scratch, bytes, NULL, NULL, &update), ML_OK);
    assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
    assert_true(change->was_pending || ml_doc_contains(doc, update));
    if (change->is_received)
        assert_ptr_equal(change->bytes.ptr, bytes.ptr);
    if (records && change->bytes.len)
        records->at[records->count++] = ml_arena_copy(&records->memory, change->bytes);
    ml_arena_release(&scratch);
    check_invariants(doc, name);
}

static void apply_all(struct ml_doc *doc, const struct bytes_list *list, struct bytes_list *records,
                      const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        apply(doc, list->at[i], records, name);
}

static void assert_hex(const struct ml_writer *got, const char *hex, const char *what,
                       const char *name)
{
    struct ml_writer want;

    ml_writer_init(&want, MAX_BYTES);
    ml_vectors_unhex(&want, hex);
    if (!ml_slice_equal(ml_writer_slice(&want), ml_writer_slice(got)))
        fail_msg("%s: other %s", name, what);
    ml_writer_release(&want);
}

static void check_end(struct ml_doc *doc, const cJSON *c)
{
    const char *name = ml_vectors_text(c, "name");
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(c, "state_v1_hex");
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    ml_doc_state_vector(doc, &w);
    assert_hex(&w, ml_vectors_text(c, "state_vector_hex"), "state vector", name);
    ml_writer_reset(&w);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w), ML_OK);
    if (state)
        assert_hex(&w, state->valuestring, "state", name);
    ml_writer_release(&w);
}

static void in_order_and_by_records(const cJSON *c, const struct bytes_list *updates)
{
    static struct bytes_list records;
    const char *name = ml_vectors_text(c, "name");
    struct ml_doc *doc = new_doc(c), *reader = new_doc(c);
    struct ml_doc_stats stats;

    ml_arena_init(&records.memory, MAX_BYTES);
    records.count = 0;
    apply_all(doc, updates, &records, name);
    check_end(doc, c);
    apply_all(doc, updates, &records, name); /* once more: nothing new */
    check_end(doc, c);
    apply_all(reader, &records, NULL, name);
    ml_doc_stats(doc, &stats);
    if (!stats.pending_structs && !stats.pending_deletes)
        check_end(reader, c);
    ml_doc_free(doc);
    ml_doc_free(reader);
    ml_arena_release(&records.memory);
}

static void in_any_order(const cJSON *c, struct bytes_list *updates)
{
    const char *name = ml_vectors_text(c, "name");

    for (int round = 0; round < 3; round++) {
        struct ml_doc *doc = new_doc(c);
        size_t count = updates->count;

        shuffle(updates);
        apply_all(doc, updates, NULL, name);
        for (size_t i = 0; i < count / 3; i++)
            apply(doc, updates->at[random_below((uint32_t)count)], NULL, name);
        check_end(doc, c);
        ml_doc_free(doc);
    }
}

static void merged_and_reloaded(const cJSON *c, const struct bytes_list *updates)
{
    const char *name = ml_vectors_text(c, "name");
    struct ml_doc *doc = new_doc(c), *again = new_doc(c);
    struct ml_arena scratch;
    struct ml_writer w;

    ml_arena_init(&scratch, MAX_BYTES);
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_updates_merge(updates->at, updates->count, NULL, &scratch, &w, NULL),
                     ML_OK);
    apply(doc, ml_writer_slice(&w), NULL, name);
    check_end(doc, c);
    ml_writer_reset(&w);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w), ML_OK);
    apply(again, ml_writer_slice(&w), NULL, name);
    check_end(again, c);
    ml_doc_free(doc);
    ml_doc_free(again);
    ml_writer_release(&w);
    ml_arena_release(&scratch);
}

static void documents_end_in_the_same_bytes(void **state)
{
    static struct bytes_list updates;
    size_t cases = 0;

    (void)state;
    for (size_t f = 0; f < sizeof document_files / sizeof *document_files; f++) {
        cJSON *file = ml_vectors_load(document_files[f]);
        const cJSON *c;

        cJSON_ArrayForEach(c, ml_vectors_get(file, "cases"))
        {
            if (!cJSON_GetObjectItemCaseSensitive(c, "state_v1_hex"))
                continue; /* V2 only: spec/engine has it */
            read_list(ml_vectors_get(c, "updates_v1_hex"), &updates);
            in_order_and_by_records(c, &updates);
            in_any_order(c, &updates);
            merged_and_reloaded(c, &updates);
            ml_arena_release(&updates.memory);
            cases++;
        }
        cJSON_Delete(file);
    }
    assert_true(cases >= 490);
}

static void run_step(struct ml_doc *doc, const cJSON *step, const char *name)
{
    const cJSON *emitted = cJSON_GetObjectItemCaseSensitive(step, "emitted_v1_hex");
    static struct bytes_list records;
    struct ml_doc_stats stats;
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    ml_arena_init(&records.memory, MAX_BYTES);
    records.count = 0;
    apply(doc, ml_vectors_unhex(&w, ml_vectors_text(step, "apply_v1_hex")), &records, name);
    check_end(doc, step);
    ml_doc_stats(doc, &stats);
    assert_int_equal(stats.pending_structs > 0, cJSON_IsTrue(ml_vectors_get(step, "has_pending")));
    assert_int_equal(stats.pending_deletes > 0,
                     cJSON_IsTrue(ml_vectors_get(step, "has_pending_deletes")));
    if (emitted) {
        assert_int_equal(records.count, cJSON_GetArraySize(emitted));
        ml_writer_reset(&w);
        if (records.count) {
            ml_write_bytes(&w, records.at[0]);
            assert_hex(&w, cJSON_GetArrayItem(emitted, 0)->valuestring, "record", name);
        }
    }
    ml_arena_release(&records.memory);
    ml_writer_release(&w);
}

static void pending_steps_show_the_same_state_and_records(void **state)
{
    cJSON *file = ml_vectors_load("pending");
    cJSON *c;
    size_t steps = 0;

    (void)state;
    cJSON_ArrayForEach(c, ml_vectors_get(file, "cases"))
    {
        struct ml_doc *doc = new_doc(c);
        cJSON *step;

        cJSON_ArrayForEach(step, ml_vectors_get(c, "steps"))
        {
            if (!cJSON_GetObjectItemCaseSensitive(step, "name"))
                cJSON_AddStringToObject(step, "name", ml_vectors_text(c, "name"));
            run_step(doc, step, ml_vectors_text(c, "name"));
            steps++;
        }
        ml_doc_free(doc);
    }
    assert_true(steps >= 190);
    cJSON_Delete(file);
}

/* What apply makes of bytes from outside: "reject", "pend" or "accept". */
static const char *verdict_on(struct ml_slice bytes)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    const struct ml_update *update;
    const struct ml_change *change;
    const char *verdict = "reject";
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    if (!ml_update_decode(&scratch, bytes, NULL, NULL, &update) &&
        !ml_doc_apply(doc, update, NULL, &scratch, &change)) {
        struct ml_writer w;

        verdict = change->was_pending ? "pend" : "accept";
        ml_writer_init(&w, MAX_BYTES);
        assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w), ML_OK);
        ml_writer_release(&w);
    }
    check_invariants(doc, "hostile");
    ml_doc_free(doc);
    ml_arena_release(&scratch);
    return verdict;
}

static void hostile_bytes_get_the_verdict_of_the_rule(void **state)
{
    cJSON *file = ml_vectors_load("hostile");
    struct ml_writer w;
    const cJSON *c;
    size_t cases = 0;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    cJSON_ArrayForEach(c, ml_vectors_get(file, "cases"))
    {
        const char *rule = ml_vectors_text(c, "rule"), *verdict;

        if (ml_vectors_get(c, "v")->valueint != 1)
            continue;
        cases++;
        verdict = verdict_on(ml_vectors_unhex(&w, ml_vectors_text(c, "hex")));
        if (strcmp(rule, "limit") == 0)
            continue;
        if (strcmp(rule, "drop") == 0)
            rule = "accept";
        if (strcmp(rule, verdict) != 0)
            fail_msg("%s: %s instead of %s", ml_vectors_text(c, "name"), verdict, rule);
    }
    assert_true(cases >= 49);
    ml_writer_release(&w);
    cJSON_Delete(file);
}

static void damaged_bytes_do_no_harm(void **state)
{
    cJSON *file = ml_vectors_load("mutated");
    struct ml_writer w;
    const cJSON *c;
    size_t cases = 0;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    cJSON_ArrayForEach(c, ml_vectors_get(file, "cases"))
    {
        const char *verdict;

        if (ml_vectors_get(c, "v")->valueint != 1)
            continue;
        cases++;
        verdict = verdict_on(ml_vectors_unhex(&w, ml_vectors_text(c, "hex")));
        if (strcmp(ml_vectors_text(c, "yjs_decode"), "throws") == 0 &&
            strcmp(verdict, "reject") != 0)
            fail_msg("%s: %s", ml_vectors_text(c, "name"), verdict);
    }
    assert_true(cases >= 80);
    ml_writer_release(&w);
    cJSON_Delete(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_end_in_the_same_bytes),
        cmocka_unit_test(pending_steps_show_the_same_state_and_records),
        cmocka_unit_test(hostile_bytes_get_the_verdict_of_the_rule),
        cmocka_unit_test(damaged_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
