/* SPDX-License-Identifier: MIT */
/*
 * Collisions that are no keys: a node that one deletes while another writes in it, a paragraph that
 * two have changed while apart; and the writes that carry out what was decided.
 */
#include "support/test.h"

#include <stdio.h>

#include "base/codec.h"
#include "engine/engine.h"

#define WRITERS   3
#define MAX_BYTES ((size_t)1 << 20)
#define KEPT_AS   1

#define DELETES (1u << ML_COLLISION_DELETE)
#define BLOCKS  (1u << ML_COLLISION_BLOCK)

static struct ml_arena arena;
static struct ml_doc *writers[WRITERS], *room;
static struct ml_slice updates[WRITERS]; /* of their last writes, in the arena */
static struct ml_past *past, *texts;
static struct ml_history *kept;
static uint64_t tag;
static const struct ml_collision *found;
static size_t found_count;

static int setup(void **state)
{
    const uint64_t origin = KEPT_AS;

    (void)state;
    ml_arena_init(&arena, (size_t)64 << 20);
    for (unsigned i = 0; i < WRITERS; i++)
        writers[i] = ml_doc_new(&(struct ml_doc_options){.client = 100 + i});
    room = ml_doc_new(&(struct ml_doc_options){.client = 1});
    past = ml_past_new(MAX_BYTES);
    texts = ml_past_new(MAX_BYTES);
    kept =
        ml_history_new(room, &(struct ml_history_options){.origins = &origin, .origin_count = 1});
    tag = 0;
    return room && past && texts && kept ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ml_history_free(kept);
    for (unsigned i = 0; i < WRITERS; i++)
        ml_doc_free(writers[i]);
    ml_doc_free(room);
    ml_past_free(past);
    ml_past_free(texts);
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
    updates[who] = run(writers[who], ops);
}

static void hears(struct ml_doc *doc, struct ml_slice update)
{
    assert_int_equal(ml_doc_apply_bytes(doc, update, NULL), ML_OK);
}

static void all_begin_with(const char *ops)
{
    struct ml_slice update = run(writers[2], ops);

    hears(writers[0], update);
    hears(writers[1], update);
    hears(room, update);
}

static size_t asks(struct ml_slice bytes, struct ml_collide ask)
{
    const struct ml_update *update;
    const struct ml_change *change;

    ask.past = past;
    ask.texts = texts;
    ask.minds = DELETES | BLOCKS;
    ask.keep_as = KEPT_AS;
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
    return asks(updates[who], (struct ml_collide){.kinds = DELETES | BLOCKS});
}

static struct ml_slice taken(struct ml_writer *w)
{
    struct ml_slice out = ml_arena_copy(&arena, ml_writer_slice(w));

    ml_writer_release(w);
    return out;
}

/* Writer `who` comes back with all that it has. */
static size_t room_syncs(unsigned who)
{
    struct ml_collide ask = {.kinds = DELETES | BLOCKS, .has_whole_deletes = true};
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    ml_doc_state_vector(writers[who], &w);
    ask.seen = taken(&w);
    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(writers[who], ml_slice_make(NULL, 0), &w), ML_OK);
    return asks(taken(&w), ask);
}

static void side_is(struct ml_slice any, const char *json)
{
    if (!json) {
        assert_null(any.ptr);
        return;
    }
    assert_non_null(any.ptr);
    assert_true(ml_slice_equal(any, any_of(json)));
}

static void root_reads(struct ml_doc *doc, const char *name, const char *json)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(
        ml_doc_read(doc, ml_slice_str(name), name[0] == 't' ? ML_VIEW_TEXT : ML_VIEW_JSON, &w),
        ML_OK);
    ml_write_u8(&w, 0);
    assert_string_equal((const char *)w.ptr, json);
    ml_writer_release(&w);
}

/* Carry out an answer, and let everybody have everything. */
static void decide(const struct ml_value *put_back, const char *block_text)
{
    const struct ml_change *change;

    assert_int_equal(ml_doc_begin(room, NULL), ML_OK);
    if (put_back)
        assert_int_equal(ml_place_put_back(room, found, put_back), ML_OK);
    for (size_t i = 0; block_text && i < found_count; i++)
        assert_int_equal(ml_block_set(room, &found[i], ml_slice_str(block_text)), ML_OK);
    assert_int_equal(ml_doc_commit(room, &arena, &change), ML_OK);
    for (unsigned i = 0; i < WRITERS; i++) {
        struct ml_writer w;

        ml_writer_init(&w, MAX_BYTES);
        assert_int_equal(ml_doc_encode_state(room, ml_slice_make(NULL, 0), &w), ML_OK);
        hears(writers[i], taken(&w));
    }
}

#define NODE "{\"$new\":\"map\",\"entries\":{\"title\":{\"$new\":\"text\",\"text\":\"plan\"}}}"
#define LIST "[[\"array.insert\",\"l\",0,[\"a\"," NODE ",\"z\"]]]"

/* ---- Deletions ------------------------------------------------------------------------------- */

static void a_deletion_meets_what_it_had_not_seen(void **state)
{
    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.insert\",\"l/1/title\",4,\" B\"]]");
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 1);
    assert_int_equal(found->kind, ML_COLLISION_DELETE);
    assert_true(ml_slice_equal(found->path, ML_SLICE("l/1")));
    assert_true(found->is_exact && found->incoming_stands);
    side_is(found->current.any, "{\"title\":\"plan B\"}");
    assert_int_equal(found->current.id.client, 100);
    side_is(found->incoming.any, NULL);
    assert_int_equal(found->incoming.tag, tag);
    assert_true(found->is_base_known);
    side_is(found->base, "{\"title\":\"plan\"}");
    decide(found->current.shared, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        root_reads(writers[i], "l", "[\"a\",{\"title\":\"plan B\"},\"z\"]");
}

static void a_write_meets_a_deletion_that_its_author_had_not_seen(void **state)
{
    uint64_t deleted_by;

    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.insert\",\"l/1/title\",4,\" B\"]]");
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    assert_int_equal(room_hears(1), 0);
    deleted_by = tag;
    assert_int_equal(room_hears(0), 1);
    assert_false(found->incoming_stands);
    side_is(found->incoming.any, "{\"title\":\"plan B\"}");
    side_is(found->current.any, NULL);
    assert_int_equal(found->current.tag, deleted_by);
    side_is(found->base, "{\"title\":\"plan\"}");
    decide(found->incoming.shared, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        root_reads(writers[i], "l", "[\"a\",{\"title\":\"plan B\"},\"z\"]");
}

static void who_had_seen_the_write_may_delete(void **state)
{
    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.insert\",\"l/1/title\",4,\" B\"]]");
    hears(writers[1], updates[0]);
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
    writes(2, "[[\"array.delete\",\"l\",0,1]]"); /* beside it */
    assert_int_equal(room_hears(2), 0);
}

static void what_was_put_back_is_put_back_once(void **state)
{
    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.insert\",\"l/1/title\",4,\" B\"]]");
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    writes(2, "[[\"map.set\",\"l/1\",\"done\",true]]");
    assert_int_equal(room_hears(1), 0);
    assert_int_equal(room_hears(0), 1);
    ml_past_unbury(past, &found->node);
    assert_int_equal(room_hears(2), 0);
}

static void what_had_gone_before_stays_away(void **state)
{
    (void)state;
    all_begin_with("[[\"map.set\",\"m\",\"k\",{\"$new\":\"map\",\"entries\":{"
                   "\"old\":{\"$new\":\"map\",\"entries\":{\"x\":1}},\"new\":1}}]]");
    writes(1, "[[\"map.delete\",\"m/k\",\"old\"]]");
    assert_int_equal(room_hears(1), 0);
    writes(1, "[[\"map.delete\",\"m\",\"k\"]]");
    assert_int_equal(room_hears(1), 0);
    writes(0, "[[\"map.set\",\"m/k\",\"more\",2]]");
    assert_int_equal(room_hears(0), 1);
    assert_true(ml_slice_equal(found->path, ML_SLICE("m/k")));
    side_is(found->incoming.any, "{\"new\":1,\"more\":2}");
    decide(found->incoming.shared, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        root_reads(writers[i], "m", "{\"k\":{\"more\":2,\"new\":1}}");
}

static void a_place_that_another_value_has_taken_is_none(void **state)
{
    (void)state;
    all_begin_with("[[\"map.set\",\"m\",\"k\"," NODE "]]");
    writes(1, "[[\"map.set\",\"m\",\"k\",1]]");
    writes(0, "[[\"text.insert\",\"m/k/title\",0,\"x\"]]");
    assert_int_equal(room_hears(1), 0);
    assert_int_equal(room_hears(0), 0);
}

static void what_is_not_kept_any_more_is_left_alone(void **state)
{
    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.insert\",\"l/1/title\",4,\" B\"]]");
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    assert_int_equal(room_hears(1), 0);
    ml_history_clear(kept);
    assert_int_equal(ml_doc_check(room, NULL), ML_OK);
    assert_int_equal(room_hears(0), 0);
}

static void a_deletion_of_what_others_have_cut_short_is_seen(void **state)
{
    (void)state;
    all_begin_with(LIST);
    writes(0, "[[\"text.delete\",\"l/1/title\",0,2]]"); /* no writing */
    writes(1, "[[\"array.delete\",\"l\",1,1]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
}

/* ---- Paragraphs ------------------------------------------------------------------------------ */

static void two_who_changed_a_line_apart_collide(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"first\\nthe sky\\nlast\"]]");
    writes(0, "[[\"text.insert\",\"t\",10,\"blue \"]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"text.replace\",\"t\",10,3,\"sea\"]]");
    assert_int_equal(room_syncs(1), 1);
    assert_int_equal(found->kind, ML_COLLISION_BLOCK);
    assert_true(ml_slice_equal(found->path, ML_SLICE("t")));
    side_is(found->base, "\"the sky\"");
    side_is(found->current.any, "\"the blue sky\"");
    side_is(found->incoming.any, "\"the sea\"");
    assert_int_equal(found->current.id.client, 100);
    assert_int_equal(found->incoming.tag, tag);
    decide(NULL, "the blue sea");
    for (unsigned i = 0; i < WRITERS; i++)
        root_reads(writers[i], "t", "first\nthe blue sea\nlast");
    assert_int_equal(room_syncs(1), 0);
}

static void other_lines_do_not_collide(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"one\\ntwo\\nthree\"]]");
    writes(0, "[[\"text.insert\",\"t\",0,\"A\"]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"text.insert\",\"t\",13,\"B\"]]");
    assert_int_equal(room_syncs(1), 0);
}

static void who_is_connected_types_without_collisions(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"one\"]]");
    writes(0, "[[\"text.insert\",\"t\",0,\"A\"]]");
    writes(1, "[[\"text.insert\",\"t\",3,\"B\"]]");
    assert_int_equal(room_hears(0), 0);
    assert_int_equal(room_hears(1), 0);
}

static void text_that_was_deleted_meanwhile_is_remembered(void **state)
{
    uint64_t deleted_by;

    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"the old sky\"]]");
    writes(0, "[[\"text.delete\",\"t\",4,4]]");
    assert_int_equal(room_hears(0), 0);
    deleted_by = tag;
    writes(1, "[[\"text.insert\",\"t\",11,\" is\"]]");
    assert_int_equal(room_syncs(1), 1);
    side_is(found->base, "\"the old sky\"");
    side_is(found->current.any, "\"the sky\"");
    side_is(found->incoming.any, "\"the old sky is\"");
    assert_int_equal(found->current.tag, deleted_by);
    decide(NULL, "the old sky is");
    root_reads(room, "t", "the old sky is");
}

static void text_that_nobody_remembers_is_left_alone(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"the old sky\"]]");
    writes(0, "[[\"text.delete\",\"t\",4,4]]");
    hears(room, updates[0]); /* nobody took notes */
    writes(1, "[[\"text.insert\",\"t\",11,\" is\"]]");
    assert_int_equal(room_syncs(1), 0);
}

static void the_same_change_twice_is_one(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"the old sky\"]]");
    writes(0, "[[\"text.delete\",\"t\",4,4]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"text.delete\",\"t\",4,4]]");
    assert_int_equal(room_syncs(1), 0);
}

static void several_paragraphs_of_a_text_are_written_from_the_last_on(void **state)
{
    (void)state;
    all_begin_with("[[\"text.insert\",\"t\",0,\"a\\nb\\nc\"]]");
    writes(0, "[[\"text.insert\",\"t\",5,\"C\"],[\"text.insert\",\"t\",0,\"A\"]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"text.insert\",\"t\",4,\"3\"],[\"text.insert\",\"t\",1,\"1\"]]");
    assert_int_equal(room_syncs(1), 2);
    side_is(found[0].base, "\"c\"");
    side_is(found[1].base, "\"a\"");
    assert_false(ml_slice_equal(found[0].block, found[1].block));
    decide(NULL, "\xf0\x9f\x8c\x8a!");
    for (unsigned i = 0; i < WRITERS; i++)
        root_reads(writers[i], "t", "\xf0\x9f\x8c\x8a!\nb\n\xf0\x9f\x8c\x8a!");
}

static void an_xml_text_is_one_paragraph(void **state)
{
    (void)state;
    all_begin_with(
        "[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\",\"children\":["
        "{\"$new\":\"xmltext\",\"text\":\"one\\ntwo\"}]}]]]");
    writes(0, "[[\"text.insert\",\"x/0/0\",0,\"A\"]]");
    assert_int_equal(room_hears(0), 0);
    writes(1, "[[\"text.insert\",\"x/0/0\",7,\"B\"]]");
    assert_int_equal(room_syncs(1), 1);
    assert_true(ml_slice_equal(found->path, ML_SLICE("x/0/0")));
    side_is(found->incoming.any, "\"one\\ntwoB\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_deletion_meets_what_it_had_not_seen),
        TEST(a_write_meets_a_deletion_that_its_author_had_not_seen),
        TEST(who_had_seen_the_write_may_delete),
        TEST(what_was_put_back_is_put_back_once),
        TEST(what_had_gone_before_stays_away),
        TEST(a_place_that_another_value_has_taken_is_none),
        TEST(what_is_not_kept_any_more_is_left_alone),
        TEST(a_deletion_of_what_others_have_cut_short_is_seen),
        TEST(two_who_changed_a_line_apart_collide),
        TEST(other_lines_do_not_collide),
        TEST(who_is_connected_types_without_collisions),
        TEST(text_that_was_deleted_meanwhile_is_remembered),
        TEST(text_that_nobody_remembers_is_left_alone),
        TEST(the_same_change_twice_is_one),
        TEST(several_paragraphs_of_a_text_are_written_from_the_last_on),
        TEST(an_xml_text_is_one_paragraph),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
