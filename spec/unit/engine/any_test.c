/* SPDX-License-Identifier: MIT */
/* Any: lib0.json, order of keys, bounds and depth. */
#include "engine/any.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/vectors.h"

#define LIMIT (1u << 20)

struct fixture {
    struct ml_writer in, out;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    ml_writer_init(&f->in, LIMIT);
    ml_writer_init(&f->out, LIMIT);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ml_writer_release(&f->in);
    ml_writer_release(&f->out);
    free(f);
    return 0;
}

static struct ml_slice json_of(struct fixture *f, const char *hex, enum ml_any_json how)
{
    struct ml_reader r = ml_reader_make(ml_vectors_unhex(&f->in, hex));

    ml_writer_reset(&f->out);
    assert_int_equal(ml_any_to_json(&r, how, &f->out), ML_OK);
    assert_int_equal(ml_reader_left(&r), 0);
    return ml_writer_slice(&f->out);
}

static struct ml_slice normal_of(struct fixture *f, const char *hex)
{
    struct ml_reader r = ml_reader_make(ml_vectors_unhex(&f->in, hex));

    ml_writer_reset(&f->out);
    assert_int_equal(ml_any_normalise(&r, 64, &f->out), ML_OK);
    assert_int_equal(ml_reader_left(&r), 0);
    return ml_writer_slice(&f->out);
}

static enum ml_err walk(struct fixture *f, const char *hex, uint32_t depth, size_t *offset_out)
{
    struct ml_reader r = ml_reader_make(ml_vectors_unhex(&f->in, hex));
    enum ml_err err = ml_any_skip(&r, depth);

    *offset_out = ml_reader_offset(&r);
    return err;
}

static void lib0_values_are_their_own_normal_form(void **state)
{
    struct fixture *f = *state;
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *list = ml_vectors_get(file, "any"), *row;
    size_t offset;
    int checked = 0;

    cJSON_ArrayForEach(row, list)
    {
        const char *hex = ml_vectors_text(row, "hex");

        assert_int_equal(walk(f, hex, 64, &offset), ML_OK);
        assert_int_equal(offset, f->in.len);
        assert_true(ml_slice_equal(normal_of(f, hex), ml_writer_slice(&f->in)));
        checked++;
    }
    assert_true(checked > 100);
    cJSON_Delete(file);
}

static void every_prefix_of_a_value_is_refused(void **state)
{
    struct fixture *f = *state;
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *list = ml_vectors_get(file, "any"), *row;

    cJSON_ArrayForEach(row, list)
    {
        struct ml_slice all = ml_vectors_unhex(&f->in, ml_vectors_text(row, "hex"));

        for (size_t len = 0; len < all.len; len++) {
            struct ml_reader r = ml_reader_make(ml_slice_make(all.ptr, len));

            assert_int_equal(ml_any_skip(&r, 64), ML_EFORMAT);
            r = ml_reader_make(ml_slice_make(all.ptr, len));
            ml_writer_reset(&f->out);
            assert_int_equal(ml_any_normalise(&r, 64, &f->out), ML_EFORMAT);
            r = ml_reader_make(ml_slice_make(all.ptr, len));
            ml_writer_reset(&f->out);
            assert_int_equal(ml_any_to_json(&r, ML_ANY_JSON_READABLE, &f->out), ML_EFORMAT);
        }
    }
    cJSON_Delete(file);
}

static void values_become_the_json_of_stringify(void **state)
{
    struct fixture *f = *state;
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *list = ml_vectors_get(file, "any_to_json"), *row;
    char any_hex[2 + 16 + 1];
    int checked = 0;

    cJSON_ArrayForEach(row, list)
    {
        struct ml_slice want = ml_slice_str(ml_vectors_text(row, "json"));

        assert_true(ml_slice_equal(
            json_of(f, ml_vectors_text(row, "any_hex"), ML_ANY_JSON_STRINGIFY), want));
        checked++;
    }
    list = ml_vectors_get(file, "number_to_json");
    cJSON_ArrayForEach(row, list)
    {
        struct ml_slice want = ml_slice_str(ml_vectors_text(row, "json"));

        (void)snprintf(any_hex, sizeof any_hex, "7b%s", ml_vectors_text(row, "f64be"));
        assert_true(ml_slice_equal(json_of(f, any_hex, ML_ANY_JSON_STRINGIFY), want));
        checked++;
    }
    assert_true(checked > 300);
    cJSON_Delete(file);
}

static void readable_json_shows_what_json_lacks(void **state)
{
    struct fixture *f = *state;

    assert_true(ml_slice_equal(json_of(f, "74020708", ML_ANY_JSON_READABLE),
                               ML_SLICE("{\"$bytes\":\"0708\"}")));
    assert_true(
        ml_slice_equal(json_of(f, "7afffffffffffffffb", ML_ANY_JSON_READABLE), ML_SLICE("\"-5\"")));
    assert_true(ml_slice_equal(json_of(f, "7a8000000000000000", ML_ANY_JSON_READABLE),
                               ML_SLICE("\"-9223372036854775808\"")));
    assert_true(ml_slice_equal(json_of(f, "7f", ML_ANY_JSON_READABLE), ML_SLICE("null")));
    /* {a: undefined, b: [undefined]} */
    assert_true(ml_slice_equal(json_of(f, "760201617f016275017f", ML_ANY_JSON_READABLE),
                               ML_SLICE("{\"b\":[null]}")));
}

static void a_bigint_has_no_stringify(void **state)
{
    struct fixture *f = *state;
    struct ml_reader r = ml_reader_make(ml_vectors_unhex(&f->in, "7a0000000000000001"));

    assert_int_equal(ml_any_to_json(&r, ML_ANY_JSON_STRINGIFY, &f->out), ML_EFORMAT);
    r = ml_reader_make(ml_vectors_unhex(&f->in, "7f"));
    assert_int_equal(ml_any_to_json(&r, ML_ANY_JSON_STRINGIFY, &f->out), ML_EFORMAT);
}

static void keys_take_the_order_of_javascript(void **state)
{
    struct fixture *f = *state;

    /* {b:1, 10:2, a:3, 9:4, 010:5, b:6}: indexes first, then as they came; b has its last value */
    assert_true(
        ml_slice_equal(json_of(f, "760601627d010231307d0201617d0301397d04033031307d0501627d06",
                               ML_ANY_JSON_STRINGIFY),
                       ML_SLICE("{\"9\":4,\"10\":2,\"b\":6,\"a\":3,\"010\":5}")));
    ml_vectors_unhex(&f->out, "760501397d040231307d0201627d0601617d03033031307d05");
    {
        struct ml_writer want = f->out;

        f->out = (struct ml_writer){.max = LIMIT};
        assert_true(ml_slice_equal(
            normal_of(f, "760601627d010231307d0201617d0301397d04033031307d0501627d06"),
            ml_writer_slice(&want)));
        ml_writer_release(&want);
    }
    /* 4294967294 is an index, 4294967295 is not. */
    assert_true(ml_slice_equal(json_of(f,
                                       "76030a343239343936373239357d010161"
                                       "7d020a343239343936373239347d03",
                                       ML_ANY_JSON_STRINGIFY),
                               ML_SLICE("{\"4294967294\":3,\"4294967295\":1,\"a\":2}")));
    /* The last value of a repeated key is undefined: it is left out. */
    assert_true(ml_slice_equal(json_of(f, "760301617d0101627d0201617f", ML_ANY_JSON_STRINGIFY),
                               ML_SLICE("{\"b\":2}")));
}

/* An object of 300 members whose keys come three times, in falling order. */
static void many_keys_are_sorted_and_joined(void **state)
{
    struct fixture *f = *state;
    struct ml_writer want;
    struct ml_reader r;

    ml_writer_reset(&f->in);
    ml_write_u8(&f->in, 0x76);
    ml_write_varuint(&f->in, 300);
    for (int round = 0; round < 3; round++) {
        for (int i = 99; i >= 0; i--) {
            char key[16];

            (void)snprintf(key, sizeof key, "%d", i + 100);
            ml_write_varbytes(&f->in, ml_slice_str(key));
            ml_write_any_number(&f->in, round * 1000 + i);
        }
    }
    ml_writer_init(&want, LIMIT);
    ml_write_u8(&want, 0x76);
    ml_write_varuint(&want, 100);
    for (int i = 0; i < 100; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%d", i + 100);
        ml_write_varbytes(&want, ml_slice_str(key));
        ml_write_any_number(&want, 2000 + i);
    }
    r = ml_reader_make(ml_writer_slice(&f->in));
    assert_int_equal(ml_any_normalise(&r, 64, &f->out), ML_OK);
    assert_true(ml_slice_equal(ml_writer_slice(&f->out), ml_writer_slice(&want)));
    ml_writer_release(&want);
}

static void numbers_are_written_by_lib0s_rule(void **state)
{
    struct fixture *f = *state;
    struct ml_writer want;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"7bbff0000000000000", "7d41"},               /* -1 as float64 */
        {"7c3f800000", "7d01"},                       /* 1 as float32 */
        {"7b8000000000000000", "7d40"},               /* -0 */
        {"7dbfffffffffffff1f", "7b433fffffffffffff"}, /* 2^53-1 in an integer tag */
        {"7d8080808010", "7c4f000000"},               /* 2^31 in an integer tag */
        {"7bfff8000000000001", "7b7ff8000000000000"}, /* some NaN */
        {"7c7fc00000", "7b7ff8000000000000"},         /* NaN as float32 */
        {"7d8100", "7d01"},                           /* a long varint */
    };

    ml_writer_init(&want, LIMIT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(
            ml_slice_equal(normal_of(f, rows[i].from), ml_vectors_unhex(&want, rows[i].to)));
    ml_writer_release(&want);
}

static void broken_values_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const broken[] = {
        "00", "73", "80", "ff", "7702c328", "75808080808080808008", "7603", "7504787878", "7d",
    };
    size_t offset;

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(walk(f, broken[i], 64, &offset), ML_EFORMAT);
    assert_int_equal(walk(f, "75027d0100", 64, &offset), ML_EFORMAT);
    assert_int_equal(offset, 4);
}

static void depth_of_values_is_counted(void **state)
{
    struct fixture *f = *state;
    struct ml_reader r;

    ml_writer_reset(&f->in);
    for (int i = 0; i < 5000; i++)
        ml_write_bytes(&f->in, ML_SLICE("\x75\x01"));
    ml_write_u8(&f->in, 0x78);
    for (uint32_t depth = 0; depth < 3; depth++) {
        r = ml_reader_make(ml_writer_slice(&f->in));
        assert_int_equal(ml_any_skip(&r, depth ? 64 * depth * depth * depth : 0), ML_ELIMIT);
    }
    r = ml_reader_make(ml_writer_slice(&f->in));
    assert_int_equal(ml_any_normalise(&r, UINT32_MAX, &f->out), ML_ELIMIT);
    r = ml_reader_make(ml_writer_slice(&f->in));
    ml_writer_reset(&f->out);
    assert_int_equal(ml_any_to_json(&r, ML_ANY_JSON_READABLE, &f->out), ML_ELIMIT);
    r = ml_reader_make(ml_slice_make(f->in.ptr + f->in.len - 129, 129));
    assert_int_equal(ml_any_skip(&r, 64), ML_OK);
    r = ml_reader_make(ml_slice_make(f->in.ptr + f->in.len - 129, 129));
    assert_int_equal(ml_any_skip(&r, 63), ML_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(lib0_values_are_their_own_normal_form),
        TEST(every_prefix_of_a_value_is_refused),
        TEST(values_become_the_json_of_stringify),
        TEST(readable_json_shows_what_json_lacks),
        TEST(a_bigint_has_no_stringify),
        TEST(keys_take_the_order_of_javascript),
        TEST(many_keys_are_sorted_and_joined),
        TEST(numbers_are_written_by_lib0s_rule),
        TEST(broken_values_are_refused),
        TEST(depth_of_values_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
