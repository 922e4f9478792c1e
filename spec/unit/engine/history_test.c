/* SPDX-License-Identifier: MIT */
/*
 * The past with a heap that refuses: every call of a life with undo, events, snapshots and going
 * back is refused once. What fails says so, a document that is not marked broken is whole, and
 * nothing is lost track of (the sanitizer counts).
 */
#include "support/test.h"

#include "engine/engine.h"

#define MAX_BYTES ((size_t)16 << 20)

/* ---- The heap under control (linked with --wrap) --------------------------------------------- */

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

/* ---- A life ---------------------------------------------------------------------------------- */

struct life {
    struct ml_doc *doc;
    struct ml_history *history;
    struct ml_arena scratch;
    struct ml_writer old_state, snapshot, out;
    unsigned failed; /* calls that said so */
};

/* The document is whole, or marked. */
static void expect_whole(struct life *life, enum ml_err err)
{
    struct ml_diag diag = {0};
    size_t left = refuse_after;

    refuse_after = 0;
    life->failed += err != ML_OK;
    if (err)
        assert_true(err == ML_ELIMIT || err == ML_ENOTFOUND);
    if (!ml_doc_is_broken(life->doc)) {
        if (ml_doc_check(life->doc, &diag))
            fail_msg("%s", diag.text);
    } else {
        assert_int_equal(err, ML_ELIMIT);
    }
    refuse_after = left;
}

static void write_ops(struct life *life, const char *ops)
{
    const struct ml_change *change;
    struct ml_writer any;
    enum ml_err err;

    if (ml_doc_is_broken(life->doc))
        return;
    ml_writer_init(&any, MAX_BYTES);
    err = ml_any_from_json(ml_slice_str(ops), NULL, &any);
    if (!err)
        err = ml_doc_run_ops(life->doc, ml_writer_slice(&any), &life->scratch, NULL, &change);
    ml_writer_release(&any);
    expect_whole(life, err);
}

static void go(struct life *life,
               enum ml_err (*step)(struct ml_history *history, struct ml_arena *scratch,
                                   const struct ml_change **change_out))
{
    const struct ml_change *change;

    if (!ml_doc_is_broken(life->doc))
        expect_whole(life, step(life->history, &life->scratch, &change));
}

static void look_back(struct life *life)
{
    const struct ml_snapshot *snapshot;
    enum ml_err err;

    if (ml_doc_is_broken(life->doc))
        return;
    err = ml_doc_snapshot(life->doc, ML_UPDATE_V2, &life->snapshot);
    if (!err)
        err = ml_snapshot_decode(&life->scratch, ml_writer_slice(&life->snapshot), ML_UPDATE_V2,
                                 NULL, NULL, &snapshot);
    if (!err)
        err = ml_doc_read_at(life->doc, snapshot, ML_SLICE("m"), ML_VIEW_JSON, &life->out, NULL);
    if (!err)
        err = ml_doc_read_changes(life->doc, snapshot, snapshot, ML_SLICE("t"), &life->out, NULL);
    if (!err)
        err = ml_doc_revert(life->doc, ml_writer_slice(&life->old_state), 99, &life->out, NULL);
    expect_whole(life, err);
}

static void live(struct life *life)
{
    static const uint64_t origin = 1;
    static const char nested[] =
        "[{\"op\":\"map.set\",\"path\":[\"m\"],\"key\":\"k\",\"value\":{\"$new\":\"array\","
        "\"values\":[1,{\"$new\":\"text\",\"text\":\"in\"},{\"$new\":\"map\"}]}}]";
    const struct ml_history_options options = {
        .origins = &origin, .origin_count = 1, .steps_max = 3, .join_ms = 5};
    const struct ml_event *events;
    struct ml_listener *listener;
    enum ml_err err;

    life->history = ml_history_new(life->doc, &options);
    if (!life->history) {
        life->failed++;
        return;
    }
    ml_doc_set_origin(life->doc, origin, 10);
    write_ops(life, "[{\"op\":\"text.insert\",\"path\":[\"t\"],\"index\":0,\"text\":\"hello\"}]");
    err = ml_doc_encode_state(life->doc, ml_slice_make(NULL, 0), &life->old_state);
    expect_whole(life, err);
    if (err)
        return;
    ml_doc_set_origin(life->doc, origin, 20);
    write_ops(life, nested);
    ml_doc_set_origin(life->doc, origin, 30);
    write_ops(life, "[{\"op\":\"text.delete\",\"path\":[\"t\"],\"index\":1,\"length\":2},"
                    "{\"op\":\"map.delete\",\"path\":[\"m\"],\"key\":\"k\"}]");
    go(life, ml_history_undo);
    err = ml_doc_listen(life->doc, &life->scratch, &listener);
    if (!err) {
        go(life, ml_history_undo);
        go(life, ml_history_redo);
        err = ml_doc_unlisten(life->doc, listener, &events);
    }
    expect_whole(life, ml_doc_is_broken(life->doc) ? ML_ELIMIT : err);
    for (int i = 0; i < 6; i++) {
        ml_doc_set_origin(life->doc, origin, 100 + 10 * (uint64_t)i);
        write_ops(life, nested);
    }
    look_back(life);
}

/* One life in which the k-th call is refused (0: none). Answers the failures. */
static unsigned live_with(size_t k, bool *refused)
{
    const struct ml_doc_options options = {.client = 7};
    struct life life = {.doc = ml_doc_new(&options)};
    unsigned failed;

    assert_non_null(life.doc);
    ml_arena_init(&life.scratch, MAX_BYTES);
    ml_writer_init(&life.old_state, MAX_BYTES);
    ml_writer_init(&life.snapshot, MAX_BYTES);
    ml_writer_init(&life.out, MAX_BYTES);
    refuse_after = k;
    live(&life);
    ml_history_free(life.history);
    *refused = k && refuse_after == 0;
    refuse_after = 0;
    failed = life.failed;
    ml_doc_free(life.doc);
    ml_arena_release(&life.scratch);
    ml_writer_release(&life.old_state);
    ml_writer_release(&life.snapshot);
    ml_writer_release(&life.out);
    return failed;
}

static void every_call_may_be_refused(void **state)
{
    unsigned failed = 0;
    bool refused = true;
    size_t k = 1;

    (void)state;
    assert_int_equal(live_with(0, &refused), 0);
    for (refused = true; refused; k++)
        failed += live_with(k, &refused) > 0;
    assert_true(k > 100 && failed > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_may_be_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
