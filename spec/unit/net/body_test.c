/* SPDX-License-Identifier: MIT */
#include "net/body.h"

#include "support/test.h"

static enum ml_body_state feed(struct ml_body *body, const char *text, struct ml_writer *out,
                               size_t *left_out)
{
    struct ml_slice in = ml_slice_str(text);
    enum ml_body_state state = ml_body_feed(body, &in, out);

    *left_out = in.len;
    return state;
}

/* The same bytes in every cut of two pieces give the same answer and the same content. */
static void check_chunked(const char *text, enum ml_body_state expected, const char *content,
                          size_t behind)
{
    struct ml_slice all = ml_slice_str(text);

    for (size_t cut = 0; cut <= all.len; cut++) {
        struct ml_slice first = ml_slice_make(all.ptr, cut);
        struct ml_slice second = ml_slice_make(all.ptr + cut, all.len - cut);
        struct ml_writer out;
        struct ml_body body;
        enum ml_body_state state;

        ml_writer_init(&out, 64);
        ml_body_init(&body, true, 0);
        state = ml_body_feed(&body, &first, &out);
        if (state == ML_BODY_PARTIAL)
            state = ml_body_feed(&body, &second, &out);
        assert_int_equal(state, expected);
        if (content) {
            assert_int_equal(out.len, strlen(content));
            assert_memory_equal(out.ptr ? out.ptr : (const uint8_t *)"", content, out.len);
            assert_int_equal(first.len + second.len, behind);
        }
        ml_writer_release(&out);
    }
}

static void a_length_is_counted_to_the_byte(void **state)
{
    struct ml_writer out;
    struct ml_body body;
    size_t left;

    (void)state;
    ml_writer_init(&out, 10);
    ml_body_init(&body, false, 5);
    assert_int_equal(feed(&body, "", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "ab", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "cdeGET /", &out, &left), ML_BODY_COMPLETE);
    assert_int_equal(left, 5);
    assert_int_equal(out.len, 5);
    ml_writer_reset(&out);
    ml_body_init(&body, false, 0);
    assert_int_equal(feed(&body, "GET /", &out, &left), ML_BODY_COMPLETE);
    assert_int_equal(left, 5);
    ml_body_init(&body, false, 10);
    assert_int_equal(feed(&body, "0123456789", &out, &left), ML_BODY_COMPLETE);
    ml_writer_reset(&out);
    ml_body_init(&body, false, 11);
    assert_int_equal(feed(&body, "0123456789a", &out, &left), ML_BODY_TOO_LARGE);
    ml_writer_release(&out);
}

static void chunks_are_joined_wherever_they_are_cut(void **state)
{
    (void)state;
    check_chunked("0\r\n\r\n", ML_BODY_COMPLETE, "", 0);
    check_chunked("3\r\nabc\r\n0\r\n\r\nGET", ML_BODY_COMPLETE, "abc", 3);
    check_chunked("3\r\nabc\r\n0a\r\n0123456789\r\n0000\r\n\r\n", ML_BODY_COMPLETE, "abc0123456789",
                  0);
    check_chunked("A;name=value\r\n0123456789\r\n0;x\r\nTrailer: y\r\nB: c\r\n\r\nrest",
                  ML_BODY_COMPLETE, "0123456789", 4);
    check_chunked("2\r\n\r\n\r\n0\r\n\r\n", ML_BODY_COMPLETE, "\r\n", 0);
}

static void what_is_not_a_chunk_is_refused(void **state)
{
    static const char *const broken[] = {
        "\r\n",         "g\r\n",          "-1\r\n",        "3\nabc\r\n", "3\r\nabcd\r\n",
        "3\r\nabc\n0",  "3\rabc",         " 3\r\nabc\r\n", "0x3\r\nabc", "123456789\r\n",
        "3\r\nabc\r\r", "0\r\nTrailer\n", "0\r\n\n",       ";x\r\n",     "3;\n\r\nabc",
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        check_chunked(broken[i], ML_BODY_BROKEN, NULL, 0);
}

static void lines_and_trailers_are_bounded(void **state)
{
    struct ml_writer out;
    struct ml_body body;
    size_t left;

    (void)state;
    ml_writer_init(&out, 10);
    ml_body_init(&body, true, 0);
    assert_int_equal(feed(&body, "1;", &out, &left), ML_BODY_PARTIAL);
    for (int i = 0; i < 254; i++)
        assert_int_equal(feed(&body, "x", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "x", &out, &left), ML_BODY_BROKEN);
    ml_body_init(&body, true, 0);
    assert_int_equal(feed(&body, "0\r\n", &out, &left), ML_BODY_PARTIAL);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(feed(&body, "x", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "x", &out, &left), ML_BODY_BROKEN);
    ml_writer_release(&out);
}

static void a_chunk_beyond_the_ceiling_is_too_large(void **state)
{
    struct ml_writer out;
    struct ml_body body;
    size_t left;

    (void)state;
    ml_writer_init(&out, 4);
    ml_body_init(&body, true, 0);
    assert_int_equal(feed(&body, "ffffffff\r\n", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "abcd", &out, &left), ML_BODY_PARTIAL);
    assert_int_equal(feed(&body, "e", &out, &left), ML_BODY_TOO_LARGE);
    ml_writer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_counted_to_the_byte),
        cmocka_unit_test(chunks_are_joined_wherever_they_are_cut),
        cmocka_unit_test(what_is_not_a_chunk_is_refused),
        cmocka_unit_test(lines_and_trailers_are_bounded),
        cmocka_unit_test(a_chunk_beyond_the_ceiling_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
