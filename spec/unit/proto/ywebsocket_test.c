/* SPDX-License-Identifier: MIT */
/* The byte vectors of y-websocket and y-sweet, both ways, and what breaks them. */
#include "bytes.h"

#include <stdio.h>

static const struct {
    const char *hex;
    enum ml_frame_kind kind;
    const char *payload_hex;
} vectors[] = {
    {"00000100", ML_FRAME_STEP1, "00"},
    {"00000602af02026503", ML_FRAME_STEP1, "02af02026503"},
    {"0001020000", ML_FRAME_STEP2, "0000"},
    {"00020a01016502846501012100", ML_FRAME_UPDATE, "01016502846501012100"},
    {"01060165 00027b7d", ML_FRAME_AWARENESS, "016500027b7d"},
    {"012501ca0102207b2275736572223a7b226e616d65223a2242227d2c22637572736f72223a317d",
     ML_FRAME_AWARENESS,
     "01ca0102207b2275736572223a7b226e616d65223a2242227d2c22637572736f72223a317d"},
    {"0108016500046e756c6c", ML_FRAME_AWARENESS, "016500046e756c6c"},
    {"010100", ML_FRAME_AWARENESS, "00"},
    {"02000664656e696564", ML_FRAME_DENIED, "64656e696564"},
    {"03", ML_FRAME_QUERY_AWARENESS, ""},
    {"660101", ML_FRAME_SYNC_STATUS, "01"},
    {"660100", ML_FRAME_SYNC_STATUS, "00"},
    {"6700", ML_FRAME_STATELESS, ""},
    {"67027b7d", ML_FRAME_STATELESS, "7b7d"},
};

static struct ml_writer bytes, payload;

static struct ml_slice from(struct ml_writer *to, const char *hex)
{
    char compact[256];
    size_t n = 0;

    for (; *hex; hex++)
        if (*hex != ' ')
            compact[n++] = *hex;
    compact[n] = '\0';
    return unhex(to, compact);
}

static void every_vector_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct ml_reader r = ml_reader_make(from(&bytes, vectors[i].hex));
        struct ml_frame frame;

        assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame), ML_OK);
        assert_int_equal(frame.kind, vectors[i].kind);
        assert_true(ml_slice_equal(frame.payload, from(&payload, vectors[i].payload_hex)));
        assert_int_equal(ml_reader_left(&r), 0);
    }
}

static void every_vector_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct ml_blob *frame =
            ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), vectors[i].kind,
                            from(&payload, vectors[i].payload_hex));

        assert_non_null(frame);
        assert_true(ml_slice_equal(ml_frame_message(frame), from(&bytes, vectors[i].hex)));
        ml_blob_unref(frame);
    }
}

/* A byte less, wherever it is cut, is broken and not half of a message. */
static void a_message_that_ends_early_is_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct ml_slice whole = from(&bytes, vectors[i].hex);

        for (size_t len = 0; len < whole.len; len++) {
            uint8_t copy[64];
            struct ml_reader r;
            struct ml_frame frame;

            memcpy(copy, whole.ptr, len);
            r = ml_reader_make(ml_slice_make(copy, len));
            if (ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame) != ML_EFORMAT)
                fail_msg("%s cut to %zu bytes was taken", vectors[i].hex, len);
        }
    }
}

static void broken_messages_are_refused(void **state)
{
    static const char *const broken[] = {
        "0000 02 00",                /* length past the end */
        "0001 ffffffffffffff0f 00",  /* 2^53-1 bytes announced */
        "0002 ffffffffffffffffff7f", /* a number of 70 bits */
        "80",                        /* a type that does not end */
        "00 80",                     /* a subtype that does not end */
        "01 05 01 65",               /* awareness past the end */
        "02 00 06 64 65",            /* reason past the end */
        "02 00 02 c3 28",            /* reason is not UTF-8 */
        "66 7f 00",
        "ffffffffffffffffffffff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct ml_reader r = ml_reader_make(from(&bytes, broken[i]));
        struct ml_frame frame;

        if (ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame) != ML_EFORMAT)
            fail_msg("taken: %s", broken[i]);
    }
}

static void what_nobody_knows_takes_the_rest_with_it(void **state)
{
    static const char *const unknown[] = {
        "04", "2a010203", "00 09 00", "00 03 05 00", "02 01 00", "65 00", "68 01 00 00 01 00",
    };

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct ml_reader r = ml_reader_make(from(&bytes, unknown[i]));
        struct ml_frame frame;

        assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame), ML_OK);
        assert_int_equal(frame.kind, ML_FRAME_UNKNOWN);
        assert_int_equal(ml_reader_left(&r), 0);
    }
}

static void every_first_byte_is_answered_for(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 128; type++) {
        const uint8_t message[] = {(uint8_t)type, 0x00, 0x01, 0x00};
        struct ml_reader r = ml_reader_make(ml_slice_make(message, sizeof message));
        struct ml_frame frame;
        bool is_known = type <= 3 || type == 102 || type == 103;

        assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame), ML_OK);
        assert_int_equal(frame.kind != ML_FRAME_UNKNOWN, is_known);
    }
}

static void joined_messages_are_read_one_by_one(void **state)
{
    static const enum ml_frame_kind kinds[] = {ML_FRAME_STEP1, ML_FRAME_QUERY_AWARENESS,
                                               ML_FRAME_STEP2, ML_FRAME_SYNC_STATUS};
    struct ml_reader r = ml_reader_make(from(&bytes, "00000100 03 0001020000 660105"));
    struct ml_frame frame;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame), ML_OK);
        assert_int_equal(frame.kind, kinds[i]);
    }
    assert_int_equal(ml_reader_left(&r), 0);
}

static void the_oracle_agrees(void **state)
{
    cJSON *file = ml_vectors_load("protocol");
    const cJSON *list = ml_vectors_get(file, "cases"), *row;
    size_t rows = 0;

    (void)state;
    cJSON_ArrayForEach(row, list)
    {
        struct ml_slice whole = unhex(&bytes, ml_vectors_text(row, "frame_hex"));
        struct ml_reader r = ml_reader_make(whole);
        struct ml_frame frame;
        struct ml_blob *blob;

        assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame), ML_OK);
        assert_int_not_equal(frame.kind, ML_FRAME_UNKNOWN);
        assert_int_equal(ml_reader_left(&r), 0);
        blob = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), frame.kind,
                               frame.payload);
        assert_true(ml_slice_equal(ml_frame_message(blob), whole));
        ml_blob_unref(blob);
        rows++;
    }
    assert_true(rows >= 8);
    cJSON_Delete(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_is_read),
        cmocka_unit_test(every_vector_is_written),
        cmocka_unit_test(a_message_that_ends_early_is_broken),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(what_nobody_knows_takes_the_rest_with_it),
        cmocka_unit_test(every_first_byte_is_answered_for),
        cmocka_unit_test(joined_messages_are_read_one_by_one),
        cmocka_unit_test(the_oracle_agrees),
    };
    int failed;

    ml_writer_init(&bytes, LIMIT);
    ml_writer_init(&payload, LIMIT);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ml_writer_release(&bytes);
    ml_writer_release(&payload);
    return failed;
}
