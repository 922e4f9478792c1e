/* SPDX-License-Identifier: MIT */
#include "base/codec.h"

#include "support/test.h"

static struct ml_reader reader(const char *bytes, size_t len)
{
    return ml_reader_make(ml_slice_make(bytes, len));
}
#define READER(literal) reader(literal, sizeof(literal) - 1)

static void varuints_have_these_bytes(void **state)
{
    static const struct {
        uint64_t value;
        const char *bytes;
        size_t len;
    } rows[] = {
        {0, "\x00", 1},
        {127, "\x7f", 1},
        {128, "\x80\x01", 2},
        {16384, "\x80\x80\x01", 3},
        {(1ull << 32) - 1, "\xff\xff\xff\xff\x0f", 5},
        {ML_VARUINT_MAX, "\xff\xff\xff\xff\xff\xff\xff\x0f", 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ml_reader r = reader(rows[i].bytes, rows[i].len);
        struct ml_writer w;
        uint64_t value;

        ml_writer_init(&w, 64);
        ml_write_varuint(&w, rows[i].value);
        assert_true(ml_slice_equal(ml_writer_slice(&w), ml_slice_make(rows[i].bytes, rows[i].len)));
        assert_int_equal(ml_varuint_len(rows[i].value), rows[i].len);
        assert_int_equal(ml_read_varuint(&r, &value), ML_OK);
        assert_int_equal(value, rows[i].value);
        assert_int_equal(ml_reader_left(&r), 0);
        ml_writer_release(&w);
    }
}

static void longer_forms_are_read_up_to_ten_bytes(void **state)
{
    struct ml_reader r = READER("\x81\x00"),
                     ten = READER("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00");
    struct ml_reader eleven = READER("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00");
    uint64_t value;

    (void)state;
    assert_int_equal(ml_read_varuint(&r, &value), ML_OK);
    assert_int_equal(value, 1);
    assert_int_equal(ml_read_varuint(&ten, &value), ML_OK);
    assert_int_equal(value, 1);
    assert_int_equal(ml_read_varuint(&eleven, &value), ML_EFORMAT);
}

static void what_is_too_large_or_cut_off_is_refused(void **state)
{
    struct ml_reader bad[] = {
        READER(""),
        READER("\x80"),
        READER("\xff\xff\xff\xff\xff\xff\xff\x10"), /* 2^53 */
        READER("\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        READER("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const uint8_t *pos = bad[i].pos;
        uint64_t value;

        assert_int_equal(ml_read_varuint(&bad[i], &value), ML_EFORMAT);
        assert_ptr_equal(bad[i].pos, pos);
    }
}

static void varints_keep_sign_and_negative_zero(void **state)
{
    static const struct {
        uint64_t magnitude;
        bool negative;
        const char *bytes;
        size_t len;
    } rows[] = {
        {0, false, "\x00", 1},
        {0, true, "\x40", 1},
        {1, false, "\x01", 1},
        {1, true, "\x41", 1},
        {63, false, "\x3f", 1},
        {63, true, "\x7f", 1},
        {64, false, "\x80\x01", 2},
        {64, true, "\xc0\x01", 2},
        {300, false, "\xac\x04", 2},
        {2147483647, false, "\xbf\xff\xff\xff\x0f", 5},
        {ML_VARUINT_MAX, false, "\xbf\xff\xff\xff\xff\xff\xff\x1f", 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ml_reader r = reader(rows[i].bytes, rows[i].len);
        struct ml_writer w;
        uint64_t magnitude;
        bool negative;

        ml_writer_init(&w, 64);
        ml_write_varint(&w, rows[i].magnitude, rows[i].negative);
        assert_true(ml_slice_equal(ml_writer_slice(&w), ml_slice_make(rows[i].bytes, rows[i].len)));
        assert_int_equal(ml_read_varint(&r, &magnitude, &negative), ML_OK);
        assert_int_equal(magnitude, rows[i].magnitude);
        assert_int_equal(negative, rows[i].negative);
        ml_writer_release(&w);
    }
}

static void varints_over_the_limit_are_refused(void **state)
{
    struct ml_reader bad[] = {READER("\xbf\xff\xff\xff\xff\xff\xff\x20"), READER("\x80"),
                              READER("\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t magnitude;
        bool negative;

        assert_int_equal(ml_read_varint(&bad[i], &magnitude, &negative), ML_EFORMAT);
    }
}

static void lengths_are_compared_with_what_is_left(void **state)
{
    struct ml_reader ok = READER("\x03"
                                 "abc"),
                     longer = READER("\x04"
                                     "abc");
    struct ml_reader huge = READER("\xff\xff\xff\xff\xff\xff\xff\x0f"
                                   "abc");
    struct ml_slice s;

    (void)state;
    assert_int_equal(ml_read_varbytes(&ok, &s), ML_OK);
    assert_true(ml_slice_equal(s, ML_SLICE("abc")));
    assert_int_equal(ml_read_varbytes(&longer, &s), ML_EFORMAT);
    assert_int_equal(ml_reader_offset(&longer), 0);
    assert_int_equal(ml_read_varbytes(&huge, &s), ML_EFORMAT);
}

static void strings_are_utf8(void **state)
{
    struct ml_reader ok = READER("\x06"
                                 "a\xf0\x9f\x98\x80z"),
                     bad = READER("\x02"
                                  "\xc3(");
    struct ml_slice s;
    size_t units;

    (void)state;
    assert_int_equal(ml_read_varstring(&ok, &s, &units), ML_OK);
    assert_int_equal(units, 4);
    assert_int_equal(ml_read_varstring(&bad, &s, NULL), ML_EFORMAT);
}

static void a_writer_stops_at_its_ceiling_and_stays_stopped(void **state)
{
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, 12);
    ml_write_bytes(&w, ML_SLICE("123456789012"));
    assert_int_equal(w.err, ML_OK);
    assert_int_equal(w.len, 12);
    ml_write_u8(&w, 'x');
    assert_int_equal(w.err, ML_ELIMIT);
    ml_write_u8(&w, 'x');
    assert_int_equal(w.len, 12);
    ml_writer_reset(&w);
    ml_write_u8(&w, 'y');
    assert_int_equal(w.err, ML_OK);
    ml_writer_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varuints_have_these_bytes),
        cmocka_unit_test(longer_forms_are_read_up_to_ten_bytes),
        cmocka_unit_test(what_is_too_large_or_cut_off_is_refused),
        cmocka_unit_test(varints_keep_sign_and_negative_zero),
        cmocka_unit_test(varints_over_the_limit_are_refused),
        cmocka_unit_test(lengths_are_compared_with_what_is_left),
        cmocka_unit_test(strings_are_utf8),
        cmocka_unit_test(a_writer_stops_at_its_ceiling_and_stays_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
