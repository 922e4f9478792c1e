/* SPDX-License-Identifier: MIT */
#include "journal/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* RFC 3720, appendix B.4. */
static void gives_the_numbers_of_the_rfc(void **state)
{
    static const uint8_t read_command[48] = {
        [0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
        [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    struct {
        struct ml_slice bytes;
        uint32_t crc;
    } rows[] = {
        {{zeros, 32}, 0x8a9136aa},
        {{ones, 32}, 0x62a8ab43},
        {{up, 32}, 0x46dd794e},
        {{down, 32}, 0x113fdb5c},
        {{read_command, 48}, 0xd9963a56},
        {{NULL, 0}, 0},
        {ML_SLICE("123456789"), 0xe3069283},
    };

    (void)state;
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ml_crc32c(0, rows[i].bytes), rows[i].crc);
        assert_int_equal(ml_crc32c_portable(0, rows[i].bytes), rows[i].crc);
    }
}

static void both_ways_agree_and_pieces_make_the_whole(void **state)
{
    uint8_t bytes[300];

    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    for (int run = 0; run < 2000; run++) {
        size_t from = (size_t)rand() % 20, len = (size_t)rand() % (sizeof bytes - 20);
        size_t cut = len ? (size_t)rand() % len : 0;
        struct ml_slice all = {bytes + from, len};
        uint32_t whole = ml_crc32c_portable(0, all);
        uint32_t first = ml_crc32c(0, ml_slice_make(all.ptr, cut));

        assert_int_equal(ml_crc32c(0, all), whole);
        assert_int_equal(ml_crc32c(first, ml_slice_make(all.ptr + cut, len - cut)), whole);
    }
}

static void every_field_of_a_record_counts(void **state)
{
    uint8_t id[ML_DOCUMENT_ID_BYTES] = {1}, other[ML_DOCUMENT_ID_BYTES] = {2};
    const struct ml_record_sum base = {.document = id,
                                       .seq = 5,
                                       .epoch = 1,
                                       .at_ms = 7,
                                       .message_no = 9,
                                       .previous = 3,
                                       .author = ML_SLICE("anna"),
                                       .session = ML_SLICE("s1"),
                                       .bytes = ML_SLICE("xyz")};
    uint32_t crc = ml_record_checksum(&base);
    struct ml_record_sum changed[9];

    (void)state;
    for (size_t i = 0; i < 9; i++)
        changed[i] = base;
    changed[0].document = other;
    changed[1].seq = 6;
    changed[2].epoch = 2;
    changed[3].at_ms = 8;
    changed[4].message_no = 10;
    changed[5].previous = 4;
    changed[6].author = ML_SLICE("annas"); /* bytes moved over a border */
    changed[6].session = ML_SLICE("1");
    changed[7].session = ML_SLICE("s");
    changed[7].bytes = ML_SLICE("1xyz");
    changed[8].bytes = ML_SLICE("xyy");
    for (size_t i = 0; i < 9; i++)
        assert_int_not_equal(ml_record_checksum(&changed[i]), crc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_numbers_of_the_rfc),
        cmocka_unit_test(both_ways_agree_and_pieces_make_the_whole),
        cmocka_unit_test(every_field_of_a_record_counts),
    };

    return cmocka_run_group_tests_name("unit/journal/checksum", tests, NULL, NULL);
}
