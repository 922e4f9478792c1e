/* SPDX-License-Identifier: MIT */
/*
 * Who collides with whom: two or three writers of one map, whose updates reach a document in every
 * order. What is a collision, and what each side wrote, was and knew.
 */
#include "support/test.h"

#include <stdio.h>

#include "base/codec.h"
#include "engine/engine.h"

#define WRITERS   3
#define MAX_BYTES ((size_t)1 << 20)
#define MAP_KINDS (1u << ML_COLLISION_MAP | 1u << ML_COLLISION_ATTR)

struct writer {
    struct ml_doc *doc;
    struct ml_slice update; /* of its last write, in the arena */
};

static struct ml_arena arena;
static struct writer writers[WRITERS];
static struct ml_doc *room;
static struct ml_past *past;
static uint64_t tag;
static const struct ml_collision *found;
static size_t found_count;

static int setup(void **state)
{
    (void)state;
    ml_arena_init(&arena, (size_t)64 << 20);
    for (unsigned i = 0; i < WRITERS; i++)
        writers[i].doc = ml_doc_new(&(struct ml_doc_options){.client = 100 + i});
    room = ml_doc_new(&(struct ml_doc_options){.client = 1});
    past = ml_past_new(MAX_BYTES);
    tag = 0;
    return room && past ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WRITERS; i++)
        ml_doc_free(writers[i].doc);
    ml_doc_free(room);
    ml_past_free(past);
    ml_arena_release(&arena);
    return 0;
}

static struct ml_slice any_of(const char *json)
{
    struct ml_writer w;
    struct ml_slice out;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &w), ML_OK);
    out = ml_arena_copy(&arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out;
}

static struct ml_slice run(struct ml_doc *doc, const char *ops)
{
    const struct ml_change *change;
    struct ml_diag diag = {0};
    enum ml_err err = ml_doc_run_ops(doc, any_of(ops), &arena, &diag, &change);

    if (err)
        print_error("%s\n", diag.text);
    assert_int_equal(err, ML_OK);
    return change->bytes;
}

static void writes(unsigned who, const char *ops)
{
    writers[who].update = run(writers[who].doc, ops);
}

static void hears(struct ml_doc *doc, struct ml_slice update)
{
    assert_int_equal(ml_doc_apply_bytes(doc, update, NULL), ML_OK);
}

static size_t asks(struct ml_slice bytes, const struct ml_collide *with)
{
    struct ml_collide ask = with ? *with : (struct ml_collide){.kinds = MAP_KINDS};
    const struct ml_update *update;
    const struct ml_change *change;

    ask.past = past;
    ask.tag = ++tag;
    assert_int_equal(ml_update_decode(&arena, bytes, NULL, NULL, &update), ML_OK);
    assert_int_equal(
        ml_doc_apply_asking(room, update, NULL, &ask, &arena, &change, &found, &found_count),
        ML_OK);
    assert_int_equal(ml_doc_check(room, NULL), ML_OK);
    return found_count;
}

static size_t room_hears(unsigned who)
{
    return asks(writers[who].update, NULL);
}

/* Everybody has {k: base} in map m, and the room, too. */
static void all_begin_with(const char *ops)
{
    struct ml_slice update = run(writers[2].doc, ops);

    hears(writers[0].doc, update);
    hears(writers[1].doc, update);
    assert_int_equal(asks(update, NULL), 0);
}

static void side_is(const struct ml_collision_side *side, const char *json)
{
    if (!json) {
        assert_null(side->any.ptr);
        return;
    }
    assert_non_null(side->any.ptr);
    assert_true(ml_slice_equal(side->any, any_of(json)));
}

static void base_is(const char *json)
{
    assert_true(found->is_base_known);
    side_is(&(struct ml_collision_side){.any = found->base}, json);
}

#define SET(key, value) "[[\"map.set\",\"m\",\"" key "\"," value "]]"
#define DELETE(key)     "[[\"map.delete\",\"m\",\"" key "\"]]"

/* ---- Writes ---------------------------------------------------------------------------------- */

static void two_writes_of_one_key_collide_in_both_orders(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        unsigned second = 1 - first;

        if (first) {
            teardown(NULL);
            setup(NULL);
        }
        all_begin_with(SET("k", "\"base\""));
        writes(0, SET("k", "\"zero\""));
        writes(1, SET("k", "\"one\""));
        assert_int_equal(room_hears(first), 0);
        assert_int_equal(room_hears(second), 1);
        assert_int_equal(found->kind, ML_COLLISION_MAP);
        assert_true(ml_slice_equal(found->path, ML_SLICE("m")));
        assert_true(ml_slice_equal(found->key, ML_SLICE("k")));
        assert_true(found->is_exact);
        base_is("\"base\"");
        side_is(&found->current, first ? "\"one\"" : "\"zero\"");
        side_is(&found->incoming, first ? "\"zero\"" : "\"one\"");
        assert_int_equal(found->current.id.client, 100 + first);
        assert_int_equal(found->incoming.id.client, 100 + second);
        /* The higher client wins. */
        assert_int_equal(found->incoming_stands, second == 1);
    }
}

static void a_write_that_saw_the_other_is_no_collision(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, SET("k", "2"));
    hears(writers[1].doc, writers[0].update);
    writes(1, SET("k", "3"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
    writes(1, SET("k", "4"));
    assert_int_equal(room_hears(1), 0);
}

static void two_first_writes_of_a_key_collide_over_nothing(void **state)
{
    (void)state;
    writes(0, SET("k", "1"));
    writes(1, SET("k", "2"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    assert_true(found->is_base_known);
    assert_null(found->base.ptr);
}

static void other_keys_do_not_collide(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, SET("k", "2"));
    writes(1, SET("other", "3"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
}

static void several_writes_of_one_update_are_one(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, SET("k", "2"));
    writes(1, "[[\"map.set\",\"m\",\"k\",10],[\"map.set\",\"m\",\"k\",11],"
              "[\"map.set\",\"m\",\"j\",0]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    side_is(&found->incoming, "11");
    side_is(&found->current, "2");
    base_is("1");
}

static void each_key_of_an_update_is_a_collision_of_its_own(void **state)
{
    (void)state;
    writes(0, "[[\"map.set\",\"m\",\"a\",1],[\"map.set\",\"m\",\"b\",2]]");
    writes(1, "[[\"map.set\",\"m\",\"a\",3],[\"map.set\",\"m\",\"b\",4]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 2);
}

static void the_third_writer_meets_what_stands_by_then(void **state)
{
    (void)state;
    all_begin_with(SET("k", "0"));
    for (unsigned i = 0; i < 3; i++) {
        char ops[64];

        (void)snprintf(ops, sizeof ops, SET("k", "%u"), i + 1);
        writes(i, ops);
    }
    assert_int_equal(room_hears(2), 0);
    assert_int_equal(room_hears(0), 1);
    side_is(&found->current, "3");
    assert_false(found->incoming_stands);
    assert_int_equal(room_hears(1), 1);
    side_is(&found->current, "3");
    side_is(&found->incoming, "2");
    base_is("0");
}

static void a_resolution_stands_until_somebody_who_saw_it_writes(void **state)
{
    struct ml_slice resolution;

    (void)state;
    all_begin_with(SET("k", "0"));
    writes(0, SET("k", "1"));
    writes(1, SET("k", "2"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    resolution = run(room, SET("k", "\"both\""));
    writes(2, SET("k", "3")); /* saw neither */
    assert_int_equal(room_hears(2), 1);
    side_is(&found->current, "\"both\"");
    hears(writers[0].doc, writers[1].update);
    hears(writers[0].doc, resolution);
    hears(writers[0].doc, writers[2].update);
    writes(0, SET("k", "4"));
    assert_int_equal(room_hears(0), 0);
}

static void what_is_said_twice_collides_once(void **state)
{
    (void)state;
    writes(0, SET("k", "1"));
    writes(1, SET("k", "2"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    assert_int_equal(room_hears(1), 0);
    assert_int_equal(room_hears(0), 0);
}

/* ---- Deletions ------------------------------------------------------------------------------- */

static void a_deletion_that_missed_a_write_collides(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, SET("k", "2"));
    writes(1, DELETE("k"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    side_is(&found->current, "2");
    side_is(&found->incoming, NULL);
    base_is("1");
    assert_false(found->incoming_stands);
    assert_int_equal(found->incoming.tag, tag);
}

static void a_write_that_missed_a_deletion_collides(void **state)
{
    uint64_t deleted_by;

    (void)state;
    all_begin_with(SET("k", "1"));
    writes(1, DELETE("k"));
    writes(0, SET("k", "2"));
    assert_int_equal(room_hears(1), 0);
    deleted_by = tag;
    assert_int_equal(room_hears(0), 1);
    side_is(&found->current, NULL);
    assert_int_equal(found->current.tag, deleted_by);
    side_is(&found->incoming, "2");
    base_is("1");
    assert_true(found->incoming_stands);
    assert_true(found->is_exact);
}

static void deletions_that_were_seen_do_not_collide(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(1, DELETE("k"));
    assert_int_equal(room_hears(1), 0);
    hears(writers[0].doc, writers[1].update);
    writes(0, SET("k", "2"));
    assert_int_equal(room_hears(0), 0);
    hears(writers[1].doc, writers[0].update);
    writes(1, DELETE("k"));
    assert_int_equal(room_hears(1), 0);
}

static void two_deletions_do_not_collide(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, DELETE("k"));
    writes(1, DELETE("k"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
}

static struct ml_slice state_of(struct ml_doc *doc)
{
    struct ml_writer w;
    struct ml_slice out;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w), ML_OK);
    out = ml_arena_copy(&arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out;
}

static struct ml_slice vector_of(struct ml_doc *doc)
{
    struct ml_writer w;
    struct ml_slice out;

    ml_writer_init(&w, MAX_BYTES);
    ml_doc_state_vector(doc, &w);
    out = ml_arena_copy(&arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out;
}

/* Writer `who` comes back with all that it has. */
static size_t room_syncs(unsigned who)
{
    struct ml_collide ask = {
        .kinds = MAP_KINDS, .has_whole_deletes = true, .seen = vector_of(writers[who].doc)};

    return asks(state_of(writers[who].doc), &ask);
}

static void an_answer_to_a_step1_brings_no_old_deletions(void **state)
{
    (void)state;
    all_begin_with(SET("k", "1"));
    writes(0, SET("k", "2"));
    assert_int_equal(room_hears(0), 0);
    hears(writers[1].doc, writers[0].update); /* it has the deletion of 1 now */
    writes(0, SET("k", "3"));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_syncs(1), 0);
    assert_int_equal(room_syncs(2), 0);
}

static void work_done_offline_collides_when_it_comes(void **state)
{
    (void)state;
    all_begin_with("[[\"map.set\",\"m\",\"k\",1],[\"map.set\",\"m\",\"gone\",1],"
                   "[\"map.set\",\"m\",\"kept\",1]]");
    writes(0, "[[\"map.set\",\"m\",\"k\",2],[\"map.set\",\"m\",\"gone\",2],"
              "[\"map.delete\",\"m\",\"kept\"]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"map.set\",\"m\",\"k\",3],[\"map.delete\",\"m\",\"gone\"],"
              "[\"map.set\",\"m\",\"kept\",3]]");
    assert_int_equal(room_syncs(1), 3);
    for (size_t i = 0; i < 3; i++) {
        bool is_exact = ml_slice_equal(found[i].key, ML_SLICE("k"));

        assert_int_equal(found[i].is_exact, is_exact);
        assert_true(found[i].is_base_known);
    }
    assert_int_equal(room_syncs(1), 0);
}

/* ---- Places and values ----------------------------------------------------------------------- */

static void paths_name_keys_and_indexes(void **state)
{
    (void)state;
    all_begin_with("[[\"array.insert\",\"list\",0,[\"x\",{\"$new\":\"map\"}]]]");
    writes(0, "[[\"map.set\",\"list/1\",\"a/b\",1]]");
    writes(1, "[[\"map.set\",\"list/1\",\"a/b\",2]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    assert_true(ml_slice_equal(found->path, ML_SLICE("list/1")));
    assert_true(ml_slice_equal(found->key, ML_SLICE("a/b")));
}

static void places_can_be_written(void **state)
{
    const struct ml_change *change;
    struct ml_value value = {.kind = ML_VALUE_ANY, .any = any_of("\"decided\"")};
    struct ml_writer out;

    (void)state;
    all_begin_with(SET("k", "0"));
    writes(0, SET("k", "1"));
    writes(1, SET("k", "2"));
    (void)room_hears(1);
    assert_int_equal(room_hears(0), 1);
    assert_int_equal(ml_doc_begin(room, NULL), ML_OK);
    assert_int_equal(ml_place_set(room, &found->place, found->key, &value), ML_OK);
    assert_int_equal(ml_doc_commit(room, &arena, &change), ML_OK);
    /* Every replica agrees, whatever comes first. */
    for (unsigned i = 0; i < 3; i++) {
        struct ml_doc *doc = writers[i].doc;

        if (i & 1)
            hears(doc, change->bytes);
        hears(doc, writers[1].update);
        hears(doc, writers[0].update);
        hears(doc, change->bytes);
        ml_writer_init(&out, MAX_BYTES);
        assert_int_equal(ml_doc_read(doc, ML_SLICE("m"), ML_VIEW_JSON, &out), ML_OK);
        assert_true(ml_slice_equal(ml_writer_slice(&out), ML_SLICE("{\"k\":\"decided\"}")));
        ml_writer_release(&out);
    }
}

static void a_shared_type_comes_with_a_copy(void **state)
{
    (void)state;
    all_begin_with(SET("k", "0"));
    writes(1, SET("k", "5"));
    writes(0, "[[\"map.set\",\"m\",\"k\",{\"$new\":\"map\",\"entries\":{\"x\":1}}]]");
    (void)room_hears(1);
    assert_int_equal(room_hears(0), 1);
    assert_null(found->current.shared);
    assert_non_null(found->incoming.shared); /* it has lost, and is told all the same */
    assert_false(found->incoming_stands);
    side_is(&found->incoming, "{\"x\":1}");
}

static void typing_is_not_looked_at(void **state)
{
    struct ml_doc_stats before, after;

    (void)state;
    writes(0, "[[\"text.insert\",\"t\",0,\"a\"]]");
    (void)room_hears(0);
    writes(0, "[[\"text.insert\",\"t\",1,\"b\"]]");
    ml_doc_stats(room, &before);
    assert_int_equal(room_hears(0), 0);
    ml_doc_stats(room, &after);
    assert_int_equal(after.fast_append, before.fast_append + 1);
}

static void the_past_is_bounded(void **state)
{
    (void)state;
    ml_past_free(past);
    past = ml_past_new(200);
    all_begin_with(SET("k", "\"base\""));
    writes(1, SET("k", "\"one\""));
    for (int i = 0; i < 50; i++) {
        writes(0, SET("j", "\"0123456789\""));
        assert_int_equal(room_hears(0), 0);
    }
    writes(0, SET("k", "\"zero\""));
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    assert_true(found->is_base_known); /* it was the last that went */
    for (int i = 0; i < 50; i++) {
        writes(0, SET("j", "\"0123456789\""));
        assert_int_equal(room_hears(0), 0);
    }
    writes(2, SET("k", "\"two\""));
    assert_int_equal(room_hears(2), 1);
    assert_false(found->is_base_known);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_writes_of_one_key_collide_in_both_orders),
        TEST(a_write_that_saw_the_other_is_no_collision),
        TEST(two_first_writes_of_a_key_collide_over_nothing),
        TEST(other_keys_do_not_collide),
        TEST(several_writes_of_one_update_are_one),
        TEST(each_key_of_an_update_is_a_collision_of_its_own),
        TEST(the_third_writer_meets_what_stands_by_then),
        TEST(a_resolution_stands_until_somebody_who_saw_it_writes),
        TEST(what_is_said_twice_collides_once),
        TEST(a_deletion_that_missed_a_write_collides),
        TEST(a_write_that_missed_a_deletion_collides),
        TEST(deletions_that_were_seen_do_not_collide),
        TEST(two_deletions_do_not_collide),
        TEST(an_answer_to_a_step1_brings_no_old_deletions),
        TEST(work_done_offline_collides_when_it_comes),
        TEST(paths_name_keys_and_indexes),
        TEST(places_can_be_written),
        TEST(a_shared_type_comes_with_a_copy),
        TEST(typing_is_not_looked_at),
        TEST(the_past_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
