/* SPDX-License-Identifier: MIT */
/* Merge on bytes: holes, overlaps, collected ranges, foreign forms, and that it is linear. */
#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "support/vectors.h"

#define LIMIT (256u << 20)

struct fixture {
    struct ml_writer bytes[6], out;
    struct ml_arena scratch;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    for (size_t i = 0; i < 6; i++)
        ml_writer_init(&f->bytes[i], LIMIT);
    ml_writer_init(&f->out, LIMIT);
    ml_arena_init(&f->scratch, LIMIT);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 6; i++)
        ml_writer_release(&f->bytes[i]);
    ml_writer_release(&f->out);
    ml_arena_release(&f->scratch);
    free(f);
    return 0;
}

/* Up to five inputs as hex, ended by NULL; the last argument is what they merge to. */
static void expect(struct fixture *f, const char *want, const char *const *inputs)
{
    struct ml_slice list[5];
    size_t count = 0;
    enum ml_err err;

    for (; inputs[count]; count++)
        list[count] = ml_vectors_unhex(&f->bytes[count], inputs[count]);
    ml_writer_reset(&f->out);
    err = ml_updates_merge(list, count, NULL, &f->scratch, &f->out, NULL);
    assert_int_equal(err, ML_OK);
    assert_true(ml_slice_equal(ml_writer_slice(&f->out), ml_vectors_unhex(&f->bytes[5], want)));
}

#define EXPECT(want, ...) expect(f, want, (const char *const[]){__VA_ARGS__, NULL})

static void nothing_is_the_empty_update(void **state)
{
    struct fixture *f = *state;
    static const char *const none[] = {NULL};

    expect(f, "0000", none);
    EXPECT("0000", "0000", "0000");
}

static void one_update_is_copied_as_it_is(void **state)
{
    struct fixture *f = *state;

    /* Even with a long varint and something behind the delete set. */
    EXPECT("8100010100040101740161000fff", "8100010100040101740161000fff");
}

static void broken_updates_are_refused(void **state)
{
    struct fixture *f = *state;
    struct ml_slice one = ml_vectors_unhex(&f->bytes[0], "0101010004010174056162");
    struct ml_diag diag = {0};

    assert_int_equal(ml_updates_merge(&one, 1, NULL, &f->scratch, &f->out, &diag), ML_EFORMAT);
    assert_true(diag.offset > 0 && diag.text[0]);
}

static void a_hole_becomes_a_skip(void **state)
{
    struct fixture *f = *state;

    /* yjs.md 10 O: unit 0, then 3 and 4. */
    EXPECT("010301002801016d016b017d010a028401020263640"
           "0",
           "010101002801016d016b017d0100", "0101010384010202636400");
    /* And the hole is filled again by what was missing. */
    EXPECT("010301002801016d016b017d018401000262638401020263640"
           "0",
           "010301002801016d016b017d010a0284010202636400", "0101010184010002626300");
}

static void what_is_known_already_is_cut_off(void **state)
{
    struct fixture *f = *state;

    EXPECT("010201000401017403616263840102026465"
           "00",
           "01010100040101740361626300",
           "0101010004010174056162636465"
           "00");
    /* A cut inside a pair: U+FFFD in its place. */
    EXPECT("01020100040101740161"
           "84010004efbfbd62"
           "00",
           "0101010004010174016100",
           "01010100"
           "0401017405f09f988062"
           "00");
    /* Shorter and known as a whole: nothing. */
    EXPECT("01010100040101740361626300", "01010100040101740361626300",
           "0101010004010174026162"
           "00");
}

static void collected_ranges_of_two_updates_join(void **state)
{
    struct fixture *f = *state;

    EXPECT("010101000005"
           "00",
           "0101010000"
           "0300",
           "01010103"
           "000200");
    EXPECT("010101000005"
           "00",
           "0101010000"
           "0300",
           "01010101"
           "000400");
    /* Inside one update they stay apart, as Yjs leaves them. */
    EXPECT("0102010000010001"
           "00",
           "0102010000010001"
           "00",
           "0102010000010001"
           "00",
           "0000");
}

static void a_key_bit_without_a_key_is_cleared(void **state)
{
    struct fixture *f = *state;

    /* yjs.md 10 F: a8 becomes 88. */
    EXPECT("010201002101016d016b0188010"
           "0017d0201"
           "01010001",
           "010201002101016d016b01a80100017d020101010001", "0000");
}

static void long_varints_and_empty_structs_go(void **state)
{
    struct fixture *f = *state;

    /* 81 00 is 1, twice; a string of no length between two others. */
    EXPECT("010201000401017401618401"
           "000162"
           "00",
           "8100"
           "03"
           "01"
           "00"
           "0401017401618401008000"
           "84810000"
           "0162"
           "00",
           "0000");
}

static void clients_descend_whatever_their_order(void **state)
{
    struct fixture *f = *state;

    EXPECT("02010200040101740162"
           "010100040101740161"
           "00",
           "0201010004010174016101020004010174016200", "0000");
    EXPECT("02010200040101740162"
           "010100040101740161"
           "00",
           "0101010004010174016100", "0101020004010174016200");
}

static void delete_sets_are_joined(void **state)
{
    struct fixture *f = *state;

    EXPECT("00"
           "02"
           "020100"
           "02"
           "0102"
           "0004"
           "0601",
           "00"
           "01"
           "0102"
           "0003"
           "0601",
           "00"
           "02"
           "0101"
           "0103"
           "0201"
           "0002");
}

/* Every key as an update of its own, as a log holds them. */
static uint64_t merge_time(struct fixture *f, size_t count)
{
    struct ml_slice *list = calloc(count, sizeof *list);
    struct ml_writer *w = &f->bytes[0];
    struct timespec start, end;
    size_t at = 0;
    enum ml_err err;

    ml_writer_reset(w);
    for (size_t i = 0; i < count; i++) {
        ml_write_bytes(w, ML_SLICE("\x01\x01\x07"));
        ml_write_varuint(w, i);
        if (i) {
            ml_write_bytes(w, ML_SLICE("\x84\x07"));
            ml_write_varuint(w, i - 1);
        } else {
            ml_write_bytes(w, ML_SLICE("\x04\x01\x01t"));
        }
        ml_write_bytes(w, ML_SLICE("\x01x"));
        ml_write_u8(w, 0);
        list[i].len = w->len;
    }
    for (size_t i = 0; i < count; i++) {
        size_t stop = list[i].len;

        list[i] = ml_slice_make(w->ptr + at, stop - at);
        at = stop;
    }
    ml_writer_reset(&f->out);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    err = ml_updates_merge(list, count, NULL, &f->scratch, &f->out, NULL);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    assert_int_equal(err, ML_OK);
    free(list);
    return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000u + (uint64_t)end.tv_nsec -
           (uint64_t)start.tv_nsec;
}

static void sixteen_times_the_updates_take_about_sixteen_times_as_long(void **state)
{
    struct fixture *f = *state;
    uint64_t small = UINT64_MAX, large = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        uint64_t ns = merge_time(f, 4000);

        small = ns < small ? ns : small;
    }
    for (int i = 0; i < 3; i++) {
        uint64_t ns = merge_time(f, 64000);

        large = ns < large ? ns : large;
    }
    print_message("4000: %llu us, 64000: %llu us\n", (unsigned long long)small / 1000,
                  (unsigned long long)large / 1000);
    /* Quadratic would be 256 times. */
    assert_true(large < small * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(nothing_is_the_empty_update),
        TEST(one_update_is_copied_as_it_is),
        TEST(broken_updates_are_refused),
        TEST(a_hole_becomes_a_skip),
        TEST(what_is_known_already_is_cut_off),
        TEST(collected_ranges_of_two_updates_join),
        TEST(a_key_bit_without_a_key_is_cleared),
        TEST(long_varints_and_empty_structs_go),
        TEST(clients_descend_whatever_their_order),
        TEST(delete_sets_are_joined),
        TEST(sixteen_times_the_updates_take_about_sixteen_times_as_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
