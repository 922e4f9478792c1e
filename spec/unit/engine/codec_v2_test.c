/* SPDX-License-Identifier: MIT */
/* The columns of V2 against lib0.json, which only this file can see from inside. */
#include "engine/codec_v2.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/vectors.h"

#define LIMIT (1u << 20)

static uint64_t whole(const cJSON *item)
{
    assert_true(cJSON_IsNumber(item));
    return (uint64_t)item->valuedouble;
}

static void varuints_are_read_and_written(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row;
    struct ml_writer want, got;

    (void)state;
    ml_writer_init(&want, LIMIT);
    ml_writer_init(&got, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "varuint"))
    {
        uint64_t value = strtoull(ml_vectors_text(row, "value"), NULL, 10), read;
        struct ml_reader in = ml_reader_make(ml_vectors_unhex(&want, ml_vectors_text(row, "hex")));

        assert_int_equal(ml_read_varuint(&in, &read), ML_OK);
        assert_true(read == value && ml_reader_left(&in) == 0);
        ml_writer_reset(&got);
        ml_write_varuint(&got, value);
        assert_true(ml_slice_equal(ml_writer_slice(&got), ml_writer_slice(&want)));
    }
    cJSON_ArrayForEach(row, ml_vectors_get(file, "varint"))
    {
        const char *text = ml_vectors_text(row, "value");
        bool minus = text[0] == '-', negative;
        uint64_t value = strtoull(text + minus, NULL, 10), read;
        struct ml_reader in = ml_reader_make(ml_vectors_unhex(&want, ml_vectors_text(row, "hex")));

        assert_int_equal(ml_read_varint(&in, &read, &negative), ML_OK);
        assert_true(read == value && negative == minus && ml_reader_left(&in) == 0);
        ml_writer_reset(&got);
        ml_write_varint(&got, value, minus);
        assert_true(ml_slice_equal(ml_writer_slice(&got), ml_writer_slice(&want)));
    }
    ml_writer_release(&want);
    ml_writer_release(&got);
    cJSON_Delete(file);
}

static void strings_are_read_and_written(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row;
    struct ml_writer want, got;

    (void)state;
    ml_writer_init(&want, LIMIT);
    ml_writer_init(&got, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "varstring"))
    {
        struct ml_reader in = ml_reader_make(ml_vectors_unhex(&want, ml_vectors_text(row, "hex")));
        struct ml_slice text;
        size_t units;

        assert_int_equal(ml_read_varstring(&in, &text, &units), ML_OK);
        assert_int_equal(units, whole(ml_vectors_get(row, "utf16_length")));
        /* cJSON ends a string at U+0000, so what was read is written again instead of `value`. */
        ml_write_varbytes(&got, text);
        assert_true(ml_slice_equal(ml_writer_slice(&got), ml_writer_slice(&want)));
        ml_writer_reset(&got);
    }
    ml_writer_release(&want);
    ml_writer_release(&got);
    cJSON_Delete(file);
}

static void number_columns(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row, *item;
    struct ml_writer want;

    (void)state;
    ml_writer_init(&want, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "uint_opt_rle"))
    {
        struct ml_slice bytes = ml_vectors_unhex(&want, ml_vectors_text(row, "hex"));
        struct numbers_in in = {.in = ml_reader_make(bytes)};
        struct ml_numbers_column out = {.count = 0};
        uint64_t value;

        ml_writer_init(&out.out, LIMIT);
        cJSON_ArrayForEach(item, ml_vectors_get(row, "values"))
        {
            assert_int_equal(read_number(&in, &value), ML_OK);
            assert_true(value == whole(item));
            ml_column_number(&out, whole(item));
        }
        ml_column_flush_numbers(&out);
        assert_true(in.left == 0 && ml_reader_left(&in.in) == 0);
        assert_int_equal(read_number(&in, &value), ML_EFORMAT);
        assert_true(ml_slice_equal(ml_writer_slice(&out.out), bytes));
        ml_writer_release(&out.out);
    }
    ml_writer_release(&want);
    cJSON_Delete(file);
}

static void difference_columns(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row, *item;
    struct ml_writer want;

    (void)state;
    ml_writer_init(&want, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "int_diff_opt_rle"))
    {
        struct ml_slice bytes = ml_vectors_unhex(&want, ml_vectors_text(row, "hex"));
        struct differences_in in = {.in = ml_reader_make(bytes)};
        struct ml_differences_column out = {.count = 0};
        uint64_t value;

        ml_writer_init(&out.out, LIMIT);
        cJSON_ArrayForEach(item, ml_vectors_get(row, "values"))
        {
            assert_int_equal(read_difference(&in, &value), ML_OK);
            assert_true(value == whole(item));
            ml_column_difference(&out, value);
        }
        ml_column_flush_differences(&out);
        assert_true(ml_slice_equal(ml_writer_slice(&out.out), bytes));
        assert_true(in.left == 0 && ml_reader_left(&in.in) == 0);
        ml_writer_release(&out.out);
    }
    ml_writer_release(&want);
    cJSON_Delete(file);
}

static void a_negative_clock_is_refused(void **state)
{
    static const uint8_t column[] = {0x02, 0x46}; /* 1, then three less */
    struct differences_in in = {.in = ml_reader_make(ml_slice_make(column, 2))};
    uint64_t value;

    (void)state;
    assert_int_equal(read_difference(&in, &value), ML_OK);
    assert_int_equal(read_difference(&in, &value), ML_EFORMAT);
}

static void byte_columns(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row, *item;
    struct ml_writer want;

    (void)state;
    ml_writer_init(&want, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "rle_u8"))
    {
        struct ml_slice bytes = ml_vectors_unhex(&want, ml_vectors_text(row, "hex"));
        struct bytes_in in = {.in = ml_reader_make(bytes)};
        struct ml_bytes_column out = {.count = 0};
        uint8_t value;

        ml_writer_init(&out.out, LIMIT);
        cJSON_ArrayForEach(item, ml_vectors_get(row, "values"))
        {
            assert_int_equal(read_byte(&in, &value), ML_OK);
            assert_int_equal(value, whole(item));
            ml_column_byte(&out, value);
        }
        assert_true(ml_slice_equal(ml_writer_slice(&out.out), bytes));
        ml_writer_release(&out.out);
    }
    ml_writer_release(&want);
    cJSON_Delete(file);
}

static void string_columns(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *row, *item;
    struct ml_writer want;
    struct ml_arena arena;

    (void)state;
    ml_writer_init(&want, LIMIT);
    ml_arena_init(&arena, LIMIT);
    cJSON_ArrayForEach(row, ml_vectors_get(file, "string_column"))
    {
        struct ml_slice bytes = ml_vectors_unhex(&want, ml_vectors_text(row, "hex"));
        struct ml_reader all = ml_reader_make(bytes);
        struct strings_in in = {.inside_pair = false};
        struct ml_columns c = {.keep_key_bit = false};
        struct ml_slice text;
        uint64_t units_read;
        size_t units;

        assert_int_equal(ml_read_varstring(&all, &in.text, &units), ML_OK);
        in.units_left = units;
        in.lengths.in = ml_reader_make(ml_slice_make(all.pos, ml_reader_left(&all)));
        ml_writer_init(&c.string.text, LIMIT);
        ml_writer_init(&c.string.lengths.out, LIMIT);
        cJSON_ArrayForEach(item, ml_vectors_get(row, "values"))
        {
            assert_int_equal(read_string(&in, &arena, &text, &units_read), ML_OK);
            if (text.len == strlen(item->valuestring))
                assert_memory_equal(text.ptr, item->valuestring, text.len);
            ml_column_string(&c.string, text);
        }
        assert_int_equal(in.units_left, 0);
        ml_column_flush_numbers(&c.string.lengths);
        {
            struct ml_writer got;

            ml_writer_init(&got, LIMIT);
            ml_write_varbytes(&got, ml_writer_slice(&c.string.text));
            ml_write_bytes(&got, ml_writer_slice(&c.string.lengths.out));
            assert_true(ml_slice_equal(ml_writer_slice(&got), bytes));
            ml_writer_release(&got);
        }
        ml_writer_release(&c.string.text);
        ml_writer_release(&c.string.lengths.out);
    }
    ml_arena_release(&arena);
    ml_writer_release(&want);
    cJSON_Delete(file);
}

/* Lengths 1 1 1 1 over "a", a pair, "b": the halves become U+FFFD, the neighbours stay whole. */
static void a_string_may_end_inside_a_pair(void **state)
{
    static const char *const want[] = {"a", "\xef\xbf\xbd", "\xef\xbf\xbd", "b"};
    static const uint8_t lengths[] = {0x41, 0x02}; /* a run of four ones */
    struct strings_in in = {.text = ML_SLICE("a\xf0\x9f\x98\x80"
                                             "b"),
                            .units_left = 4,
                            .lengths.in = ml_reader_make(ml_slice_make(lengths, 2))};
    struct ml_arena arena;
    struct ml_slice text;
    uint64_t units;

    (void)state;
    ml_arena_init(&arena, LIMIT);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_string(&in, &arena, &text, &units), ML_OK);
        assert_true(ml_slice_equal(text, ml_slice_str(want[i])));
        assert_int_equal(units, 1);
    }
    assert_int_equal(read_string(&in, &arena, &text, &units), ML_EFORMAT);
    ml_arena_release(&arena);
}

/* A few bytes that claim 2^20 structs: the ceiling ends it, with little memory. */
static void structs_of_no_bytes_have_a_ceiling(void **state)
{
    const struct ml_engine_limits limits = {.update_structs = 1000};
    struct ml_writer in, out;
    struct ml_arena arena;
    struct ml_slice bomb;
    struct ml_diag diag;

    (void)state;
    ml_writer_init(&in, LIMIT);
    ml_writer_init(&out, LIMIT);
    ml_arena_init(&arena, LIMIT);
    bomb = ml_vectors_unhex(&in, "0000010100000101050040feff070101000441feff07018080080000");
    assert_int_equal(ml_update_convert(bomb, ML_UPDATE_V2, &limits, &arena, &out, &diag),
                     ML_ELIMIT);
    assert_int_equal(ml_update_convert(bomb, ML_UPDATE_V2, NULL, &arena, &out, &diag), ML_OK);
    ml_writer_release(&in);
    ml_writer_release(&out);
    ml_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varuints_are_read_and_written),
        cmocka_unit_test(strings_are_read_and_written),
        cmocka_unit_test(number_columns),
        cmocka_unit_test(difference_columns),
        cmocka_unit_test(a_negative_clock_is_refused),
        cmocka_unit_test(byte_columns),
        cmocka_unit_test(string_columns),
        cmocka_unit_test(a_string_may_end_inside_a_pair),
        cmocka_unit_test(structs_of_no_bytes_have_a_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
