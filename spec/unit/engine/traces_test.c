/* SPDX-License-Identifier: MIT */
/*
 * Recorded typing, update by update: the state in the end has the bytes that Yjs writes.
 *
 * The recorded traces are too big for the repository: the folder is MOONLOOM_TRACES or the default
 * the build knows. Without it those tests say SKIPPED, and the trace that scripts/gen-trace makes
 * during the build is all that is left.
 */
#include "support/test.h"

#include <stdio.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "engine/engine.h"
#include "support/vectors.h"

#define MAX_BYTES ((size_t)64 << 20)

static const char *folder(void)
{
    const char *from_env = getenv("MOONLOOM_TRACES");

    return from_env ? from_env : ML_TRACES_DIR;
}

/* A whole file, unpacked if it is packed; ptr NULL if it is not there. */
static struct ml_slice read_file(const char *path, struct ml_writer *w)
{
    gzFile file = gzopen(path, "rb");
    int n;

    ml_writer_reset(w);
    if (!file)
        return ml_slice_make(NULL, 0);
    for (;;) {
        assert_true(ml_writer_reserve(w, 1 << 16));
        n = gzread(file, w->ptr + w->len, 1 << 16);
        assert_true(n >= 0);
        if (n == 0)
            break;
        w->len += (size_t)n;
    }
    gzclose(file);
    return ml_writer_slice(w);
}

static struct ml_doc *apply_log(struct ml_slice log, uint64_t *records_out)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_arena scratch;
    uint64_t records = 0;

    ml_arena_init(&scratch, MAX_BYTES);
    for (size_t at = 0; at < log.len; records++) {
        const struct ml_update *update;
        const struct ml_change *change;
        uint32_t len;

        memcpy(&len, log.ptr + at, 4);
        assert_true(at + 4 + len <= log.len);
        assert_int_equal(
            ml_update_decode(&scratch, ml_slice_make(log.ptr + at + 4, len), NULL, NULL, &update),
            ML_OK);
        assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
        assert_false(change->was_pending);
        ml_arena_reset(&scratch);
        at += 4 + len;
    }
    ml_arena_release(&scratch);
    *records_out = records;
    return doc;
}

static void assert_sha256(struct ml_slice bytes, const char *hex)
{
    unsigned char digest[32];
    char text[65];

    assert_true(EVP_Digest(bytes.ptr, bytes.len, digest, NULL, EVP_sha256(), NULL));
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

/* The state a holder of `sv` lacks has the size and hash that `expected` names. */
static void check_state(struct ml_doc *doc, struct ml_slice sv, const cJSON *expected)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, sv, &w), ML_OK);
    assert_int_equal(w.len, ml_vectors_get(expected, "bytes")->valueint);
    assert_sha256(ml_writer_slice(&w), ml_vectors_text(expected, "sha256"));
    ml_writer_release(&w);
}

static void check_invariants(const struct ml_doc *doc)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag))
        fail_msg("%s", diag.text);
}

static void run_trace(const cJSON *entry)
{
    const cJSON *reloaded = ml_vectors_get(entry, "v1Reloaded"), *diff;
    struct ml_writer log, sv, state;
    struct ml_doc_stats stats;
    struct ml_doc *doc, *again;
    uint64_t records;
    char path[1024];

    ml_writer_init(&log, MAX_BYTES);
    ml_writer_init(&sv, MAX_BYTES);
    ml_writer_init(&state, MAX_BYTES);
    snprintf(path, sizeof path, "%s/%s.log.gz", folder(), entry->string);
    doc = apply_log(read_file(path, &log), &records);
    ml_doc_stats(doc, &stats);
    print_message("%-24s %8zu updates, %5.1f %% appended, %5.1f %% deleted on the fast path\n",
                  entry->string, (size_t)records,
                  100.0 * (double)stats.fast_append / (double)records,
                  100.0 * (double)stats.fast_delete / (double)records);
    assert_int_equal(records, ml_vectors_get(entry, "updates")->valueint);
    check_invariants(doc);
    check_state(doc, ml_slice_make(NULL, 0), reloaded);
    /* Yjs leaves GC structs apart until the next load in one workload: its diffs do, too. */
    if (strcmp(ml_vectors_text(ml_vectors_get(entry, "v1"), "sha256"),
               ml_vectors_text(reloaded, "sha256")) == 0)
        cJSON_ArrayForEach(diff, ml_vectors_get(entry, "diff"))
            check_state(doc, ml_vectors_unhex(&sv, ml_vectors_text(diff, "sv")), diff);

    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &state), ML_OK);
    again = ml_doc_new(NULL);
    assert_int_equal(ml_doc_apply_bytes(again, ml_writer_slice(&state), NULL), ML_OK);
    check_invariants(again);
    check_state(again, ml_slice_make(NULL, 0), reloaded);
    if (strcmp(entry->string, "automerge-paper") == 0)
        assert_true((stats.fast_append + stats.fast_delete) * 100 >= records * 95);
    ml_doc_free(doc);
    ml_doc_free(again);
    ml_writer_release(&log);
    ml_writer_release(&sv);
    ml_writer_release(&state);
}

static void recorded_traces_end_in_the_bytes_of_yjs(void **state)
{
    struct ml_writer w;
    const cJSON *entry;
    struct ml_slice text;
    cJSON *manifest;
    char path[1024];

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    snprintf(path, sizeof path, "%s/manifest.json", folder());
    text = read_file(path, &w);
    if (!text.ptr) {
        print_message("no recorded traces in %s: only the generated one is tested\n", folder());
        ml_writer_release(&w);
        skip();
    }
    manifest = cJSON_ParseWithLength((const char *)text.ptr, text.len);
    assert_non_null(manifest);
    cJSON_ArrayForEach(entry, ml_vectors_get(manifest, "workloads")) run_trace(entry);
    cJSON_Delete(manifest);
    ml_writer_release(&w);
}

static void generated_trace_ends_in_its_text(void **state)
{
    struct ml_writer log, text, shown;
    struct ml_doc_stats stats;
    struct ml_doc *doc;
    uint64_t records;

    (void)state;
    ml_writer_init(&log, MAX_BYTES);
    ml_writer_init(&text, MAX_BYTES);
    ml_writer_init(&shown, MAX_BYTES);
    assert_non_null(read_file(ML_GENERATED_TRACE ".log", &log).ptr);
    assert_non_null(read_file(ML_GENERATED_TRACE ".txt", &text).ptr);
    assert_true(text.len > 1000);
    doc = apply_log(ml_writer_slice(&log), &records);
    check_invariants(doc);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("text"), ML_VIEW_TEXT, &shown), ML_OK);
    assert_int_equal(shown.len, text.len);
    assert_memory_equal(shown.ptr, text.ptr, text.len);
    ml_doc_stats(doc, &stats);
    assert_true((stats.fast_append + stats.fast_delete) * 10 >= records * 9);
    ml_doc_free(doc);
    ml_writer_release(&log);
    ml_writer_release(&text);
    ml_writer_release(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_trace_ends_in_its_text),
        cmocka_unit_test(recorded_traces_end_in_the_bytes_of_yjs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
