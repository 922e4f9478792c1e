/* SPDX-License-Identifier: MIT */
/* The WebSocket header before a message, at each of its three sizes, and close frames. */
#include "bytes.h"

#include <stdlib.h>

static void check_header(size_t payload_len, const uint8_t *header, size_t header_len)
{
    uint8_t *zeros = calloc(1, payload_len + 1);
    struct ml_blob *frame = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0),
                                            ML_FRAME_UPDATE, ml_slice_make(zeros, payload_len));

    assert_non_null(frame);
    assert_memory_equal(frame->bytes, header, header_len);
    assert_int_equal(ml_frame_message(frame).ptr - frame->bytes, header_len);
    assert_int_equal(ml_frame_message(frame).len, frame->len - header_len);
    ml_blob_unref(frame);
    free(zeros);
}

static void the_length_has_three_forms(void **state)
{
    /* The message is the payload and its own head: 00 02 and the length, one to three bytes. */
    static const uint8_t small[] = {0x82, 125}, first_16[] = {0x82, 126, 0, 126},
                         last_16[] = {0x82, 126, 0xff, 0xff},
                         first_64[] = {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0};

    (void)state;
    check_header(122, small, sizeof small);
    check_header(123, first_16, sizeof first_16);
    check_header(65535 - 5, last_16, sizeof last_16);
    check_header(65536 - 5, first_64, sizeof first_64);
}

static void a_message_without_payload_has_none(void **state)
{
    struct ml_blob *frame = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0),
                                            ML_FRAME_QUERY_AWARENESS, ml_slice_make(NULL, 0));

    (void)state;
    assert_int_equal(frame->len, 3);
    assert_memory_equal(frame->bytes, "\x82\x01\x03", 3);
    ml_blob_unref(frame);
}

static void a_close_frame_carries_code_and_reason(void **state)
{
    struct ml_blob *frame = ml_frame_close(1012, ML_SLICE("restart"));

    (void)state;
    assert_int_equal(frame->len, 11);
    assert_memory_equal(frame->bytes, "\x88\x09\x03\xf4restart", 11);
    ml_blob_unref(frame);
    frame = ml_frame_close(4400, ml_slice_make(NULL, 0));
    assert_memory_equal(frame->bytes, "\x88\x02\x11\x30", 4);
    ml_blob_unref(frame);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    char text[200];
    struct ml_blob *frame;

    (void)state;
    memset(text, 'a', sizeof text);
    frame = ml_frame_close(1013, ml_slice_make(text, sizeof text));
    assert_int_equal(frame->bytes[1], 125);
    ml_blob_unref(frame);
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    frame = ml_frame_close(1013, ml_slice_make(text, sizeof text));
    assert_int_equal(frame->bytes[1], 124);
    ml_blob_unref(frame);
    /* Not UTF-8: a peer would answer 1007 to it. */
    frame = ml_frame_close(1013, ml_slice_make("\xff\xfe", 2));
    assert_int_equal(frame->bytes[1], 2);
    ml_blob_unref(frame);
}

static void codes_stay_in_their_bands(void **state)
{
    static const enum ml_close final[] = {ML_CLOSE_MALFORMED,    ML_CLOSE_UNAUTHENTICATED,
                                          ML_CLOSE_FORBIDDEN,    ML_CLOSE_DELETED,
                                          ML_CLOSE_AUTH_TIMEOUT, ML_CLOSE_DOCUMENT_TOO_LARGE};
    static const enum ml_close retry[] = {ML_CLOSE_SHUTDOWN, ML_CLOSE_INTERNAL, ML_CLOSE_TRY_LATER,
                                          ML_CLOSE_RATE, ML_CLOSE_TOO_SLOW};

    (void)state;
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        assert_in_range(ml_close_code(final[i]), 4400, 4499);
    for (size_t i = 0; i < sizeof retry / sizeof *retry; i++) {
        unsigned code = ml_close_code(retry[i]);

        assert_true(code == 1001 || code == 1011 || code == 1013 || (code >= 4500 && code < 4600));
    }
    assert_int_equal(ml_close_code(ML_CLOSE_TOO_BIG), 1009);
    assert_int_equal(ml_close_code(ML_CLOSE_DELETED), 4404);
    for (int why = ML_CLOSE_SHUTDOWN; why <= ML_CLOSE_CONTROL_FRAMES; why++)
        assert_in_range(strlen(ml_close_text((enum ml_close)why)), 1, 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_length_has_three_forms),
        cmocka_unit_test(a_message_without_payload_has_none),
        cmocka_unit_test(a_close_frame_carries_code_and_reason),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(codes_stay_in_their_bands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
