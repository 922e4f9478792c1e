/* SPDX-License-Identifier: MIT */
/*
 * What the worst writers cost, in steps (ml_doc_stats), which no machine makes faster: twice the
 * work takes twice the steps, and an edit takes the same in a small and in a large document.
 */
#include "support/test.h"

#include "engine/item.h"

#define MAX_BYTES ((size_t)64 << 20)

static void put_id(struct ml_writer *w, ml_client_id client, uint64_t clock)
{
    ml_write_varuint(w, client);
    ml_write_varuint(w, clock);
}

static void begin(struct ml_writer *w, uint64_t structs, ml_client_id client, uint64_t clock)
{
    ml_writer_reset(w);
    ml_write_u8(w, 1);
    ml_wire_write_section(w, structs, client, clock);
}

static void put_root(struct ml_writer *w, const char *key)
{
    ml_write_u8(w, 1);
    ml_write_varbytes(w, ML_SLICE("t"));
    if (key)
        ml_write_varbytes(w, ml_slice_str(key));
}

/* Steps that it took. */
static uint64_t apply(struct ml_doc *doc, struct ml_writer *w)
{
    struct ml_doc_stats before, after;
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    ml_doc_stats(doc, &before);
    assert_int_equal(ml_update_decode(&scratch, ml_writer_slice(w), NULL, NULL, &update), ML_OK);
    assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
    assert_false(change->was_pending);
    ml_doc_stats(doc, &after);
    ml_arena_release(&scratch);
    return after.steps - before.steps;
}

enum order { ASCENDING, DESCENDING, SHUFFLED };

/* `count` people who each type one text at the very start, not knowing of each other. */
static uint64_t same_place(unsigned count, bool keyed, enum order order)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_writer w;
    uint64_t steps = 0;

    ml_writer_init(&w, MAX_BYTES);
    for (unsigned i = 1; i <= count; i++) {
        unsigned author = order == ASCENDING    ? i
                          : order == DESCENDING ? count - i
                                                : i * 7919 % 65521;

        begin(&w, 1, 1000 + author, 0);
        ml_write_u8(&w, ML_WIRE_STRING | (keyed ? ML_INFO_KEY : 0));
        put_root(&w, keyed ? "key" : NULL);
        ml_write_varbytes(&w, ML_SLICE("abc"));
        ml_write_u8(&w, 0);
        steps += apply(doc, &w);
    }
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_doc_free(doc);
    ml_writer_release(&w);
    return steps;
}

/* Nobody passes all those who were there before. */
static void many_at_one_place_cost_the_same_each(void **state)
{
    (void)state;
    for (unsigned n = 200; n <= 6400; n *= 2)
        for (int keyed = 0; keyed < 2; keyed++)
            for (enum order order = ASCENDING; order <= SHUFFLED; order++) {
                uint64_t steps = same_place(n, keyed, order);

                if (steps > (uint64_t)n * 10 + 2 * 32 * 32)
                    fail_msg("%u authors, keyed %d, order %d: %.1f steps each", n, keyed,
                             (int)order, (double)steps / n);
            }
}

/* One value after the other under a key, each knowing the one before. */
static uint64_t overwrite(unsigned count)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_writer w;
    uint64_t steps = 0;

    ml_writer_init(&w, MAX_BYTES);
    for (unsigned i = 0; i < count; i++) {
        begin(&w, 1, 7, 2 * (uint64_t)i);
        if (i) {
            ml_write_u8(&w, ML_WIRE_ANY | ML_INFO_KEY | ML_INFO_ORIGIN);
            put_id(&w, 7, 2 * (uint64_t)i - 1);
        } else {
            ml_write_u8(&w, ML_WIRE_ANY | ML_INFO_KEY);
            put_root(&w, "key");
        }
        ml_write_u8(&w, 2);
        ml_write_u8(&w, 120); /* true, false */
        ml_write_u8(&w, 121);
        ml_write_u8(&w, 0);
        steps += apply(doc, &w);
    }
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_doc_free(doc);
    ml_writer_release(&w);
    return steps;
}

static void overwritten_values_cost_the_same_each(void **state)
{
    uint64_t half = overwrite(32500), all = overwrite(65000);

    (void)state;
    print_message("65,000 overwritten values: %.1f steps each\n", (double)all / 65000);
    assert_true(all <= 2 * half + half / 50);
    assert_true(all <= (uint64_t)65000 * 16);
}

/* One text, and one update that deletes every second unit of it. */
static uint64_t cut_up(unsigned cuts)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    uint8_t *text = malloc(2 * (size_t)cuts);
    struct ml_writer w;
    uint64_t steps;

    assert_non_null(text);
    memset(text, 'x', 2 * (size_t)cuts);
    ml_writer_init(&w, MAX_BYTES);
    begin(&w, 1, 7, 0);
    ml_write_u8(&w, ML_WIRE_STRING);
    put_root(&w, NULL);
    ml_write_varbytes(&w, ml_slice_make(text, 2 * (size_t)cuts));
    ml_write_u8(&w, 0);
    (void)apply(doc, &w);
    ml_writer_reset(&w);
    ml_write_u8(&w, 0);
    ml_write_u8(&w, 1);
    put_id(&w, 7, cuts);
    for (unsigned i = 0; i < cuts; i++)
        put_id(&w, 2 * i, 1); /* clock, len */
    steps = apply(doc, &w);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    ml_doc_free(doc);
    ml_writer_release(&w);
    free(text);
    return steps;
}

static void cuts_in_one_update_cost_the_same_each(void **state)
{
    uint64_t half = cut_up(5500), all = cut_up(11000);

    (void)state;
    print_message("11,000 cuts in one update: %.1f steps each\n", (double)all / 11000);
    assert_true(all <= 2 * half + half / 50);
    assert_true(all <= (uint64_t)11000 * 16);
}

/* `runs` texts that cannot be joined: each is typed before the one before. */
static struct ml_doc *large(unsigned runs)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    begin(&w, runs, 7, 0);
    ml_write_u8(&w, ML_WIRE_STRING);
    put_root(&w, NULL);
    ml_write_varbytes(&w, ML_SLICE("abcd"));
    for (unsigned i = 1; i < runs; i++) {
        ml_write_u8(&w, ML_WIRE_STRING | ML_INFO_RIGHT_ORIGIN);
        put_id(&w, 7, 4 * ((uint64_t)i - 1));
        ml_write_varbytes(&w, ML_SLICE("abcd"));
    }
    ml_write_u8(&w, 0);
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&w), NULL), ML_OK);
    ml_writer_release(&w);
    return doc;
}

/* Steps of a text inside a run in the middle, of a key behind it, and of a delete of it. */
static void edit(unsigned runs, uint64_t steps[3])
{
    uint64_t middle = 4 * (uint64_t)(runs / 2) + 1;
    struct ml_doc *doc = large(runs);
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    begin(&w, 1, 8, 0);
    ml_write_u8(&w, ML_WIRE_STRING | ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN);
    put_id(&w, 7, middle);
    put_id(&w, 7, middle + 1);
    ml_write_varbytes(&w, ML_SLICE("new"));
    ml_write_u8(&w, 0);
    steps[0] = apply(doc, &w);
    begin(&w, 1, 8, 3);
    ml_write_u8(&w, ML_WIRE_STRING | ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN);
    put_id(&w, 8, 2);
    put_id(&w, 7, middle + 1);
    ml_write_varbytes(&w, ML_SLICE("!"));
    ml_write_u8(&w, 0);
    steps[1] = apply(doc, &w);
    ml_writer_reset(&w);
    ml_write_u8(&w, 0);
    ml_write_u8(&w, 1);
    put_id(&w, 8, 1);
    put_id(&w, 0, 4);
    steps[2] = apply(doc, &w);
    ml_doc_free(doc);
    ml_writer_release(&w);
}

static void an_edit_does_not_know_how_large_the_document_is(void **state)
{
    uint64_t small[3], big[3];

    (void)state;
    edit(1000, small);
    for (unsigned runs = 10000; runs <= 100000; runs *= 10) {
        edit(runs, big);
        for (int i = 0; i < 3; i++)
            assert_int_equal(big[i], small[i]);
    }
    assert_true(small[0] <= 16 && small[1] <= 4 && small[2] <= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_one_place_cost_the_same_each),
        cmocka_unit_test(overwritten_values_cost_the_same_each),
        cmocka_unit_test(cuts_in_one_update_cost_the_same_each),
        cmocka_unit_test(an_edit_does_not_know_how_large_the_document_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
