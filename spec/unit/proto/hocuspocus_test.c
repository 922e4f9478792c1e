/* SPDX-License-Identifier: MIT */
/* The byte vectors of Hocuspocus, both ways, and what breaks them. */
#include "bytes.h"

#include <stdlib.h>

static const struct {
    const char *hex, *address_hex;
    enum ml_frame_kind kind;
    const char *payload_hex, *version_hex;
    bool is_ours; /* we would write the same bytes */
} vectors[] = {
    {"01640200 0178", "64", ML_FRAME_TOKEN, "78", "", true},
    {"027433020003746f6b05392e392e39056578747261", "7433", ML_FRAME_TOKEN, "746f6b", "392e392e39",
     false},
    {"016402020a726561642d7772697465", "64", ML_FRAME_AUTHENTICATED, "726561642d7772697465", "",
     true},
    {"056e6f7465730201117065726d697373696f6e2d64656e696564", "6e6f746573", ML_FRAME_DENIED,
     "7065726d697373696f6e2d64656e696564", "", true},
    {"056e6f746573050570696e6731", "6e6f746573", ML_FRAME_STATELESS, "70696e6731", "", true},
    {"056e6f74657307066b69636b6564", "6e6f746573", ML_FRAME_CLOSE, "6b69636b6564", "", true},
    {"01640800", "64", ML_FRAME_SYNC_STATUS, "00", "", true},
    {"01640801", "64", ML_FRAME_SYNC_STATUS, "01", "", true},
    {"0471007331 00000100", "71007331", ML_FRAME_STEP1, "00", "", true},
    {"0164000900", "64", ML_FRAME_UNKNOWN_SYNC, "", "", false},
    {"01642a010203", "64", ML_FRAME_UNKNOWN, "", "", false},
    {"0a", "", ML_FRAME_PONG, "", "", true},
    {"09", "", ML_FRAME_PING, "", "", true},
    {"016406046576696c", "64", ML_FRAME_BROADCAST, "6576696c", "", true},
    {"0002000178", "", ML_FRAME_TOKEN, "78", "", true},
    /* From the captures. */
    {"056e6f74657302000274 4105342e382e30", "6e6f746573", ML_FRAME_TOKEN, "7441", "342e382e30",
     false},
    {"056e6f746573020000", "6e6f746573", ML_FRAME_TOKEN, "", "", true},
    {"056e6f7465730200", "6e6f746573", ML_FRAME_TOKEN_REQUEST, "", "", true},
    {"056e6f7465730000 03016502", "6e6f746573", ML_FRAME_STEP1, "016502", "", true},
    {"056e6f7465730001 020000", "6e6f746573", ML_FRAME_STEP2, "0000", "", true},
    {"056e6f7465730002 020000", "6e6f746573", ML_FRAME_UPDATE, "0000", "", true},
    {"056e6f7465730401 020000", "6e6f746573", ML_FRAME_STEP2, "0000", "", false},
    {"056e6f7465730106016500027b7d", "6e6f746573", ML_FRAME_AWARENESS, "016500027b7d", "", true},
    {"056e6f746573010100", "6e6f746573", ML_FRAME_AWARENESS, "00", "", true},
    {"056e6f74657303", "6e6f746573", ML_FRAME_QUERY_AWARENESS, "", "", true},
    {"0374776f07", "74776f", ML_FRAME_CLOSE, "", "", false},
    {"056e6f7465730202 08726561646f6e6c79", "6e6f746573", ML_FRAME_AUTHENTICATED,
     "726561646f6e6c79", "", true},
};
#define VECTORS (sizeof vectors / sizeof *vectors)

static struct ml_writer bytes, address, payload;

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

static enum ml_err decode(struct ml_slice message, struct ml_frame *frame)
{
    struct ml_reader r = ml_reader_make(message);
    enum ml_err err = ml_frame_decode(ML_DIALECT_HOCUSPOCUS, &r, frame);

    if (!err)
        assert_int_equal(ml_reader_left(&r), 0);
    return err;
}

static void every_vector_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        struct ml_frame frame;

        assert_int_equal(decode(from(&bytes, vectors[i].hex), &frame), ML_OK);
        if (frame.kind != vectors[i].kind)
            fail_msg("%s is kind %d", vectors[i].hex, (int)frame.kind);
        assert_true(ml_slice_equal(frame.address, from(&address, vectors[i].address_hex)));
        assert_true(ml_slice_equal(frame.payload, from(&payload, vectors[i].payload_hex)));
        assert_true(ml_slice_equal(frame.version, from(&payload, vectors[i].version_hex)));
    }
}

static void every_vector_of_ours_is_written(void **state)
{
    size_t written = 0;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        struct ml_blob *frame;

        if (!vectors[i].is_ours)
            continue;
        frame = ml_frame_encode(ML_DIALECT_HOCUSPOCUS, from(&address, vectors[i].address_hex),
                                vectors[i].kind, from(&payload, vectors[i].payload_hex));
        assert_non_null(frame);
        if (!ml_slice_equal(ml_frame_message(frame), from(&bytes, vectors[i].hex)))
            fail_msg("%s is written otherwise", vectors[i].hex);
        ml_blob_unref(frame);
        written++;
    }
    assert_int_equal(written, 21);
}

/* Cut anywhere, a message is broken or another whole one, and never reaches past its end. */
static void a_message_that_ends_early_gives_nothing_away(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        struct ml_slice whole = from(&bytes, vectors[i].hex);

        for (size_t len = 0; len < whole.len; len++) {
            uint8_t *copy = malloc(len ? len : 1);
            struct ml_frame frame;
            enum ml_err err;

            assert_non_null(copy);
            memcpy(copy, whole.ptr, len);
            err = decode(ml_slice_make(copy, len), &frame);
            if (!err && frame.kind != ML_FRAME_UNKNOWN && frame.kind != ML_FRAME_UNKNOWN_SYNC &&
                frame.kind != ML_FRAME_TOKEN && frame.kind != ML_FRAME_TOKEN_REQUEST &&
                frame.kind != ML_FRAME_CLOSE && frame.kind != ML_FRAME_QUERY_AWARENESS)
                fail_msg("%s cut to %zu bytes is kind %d", vectors[i].hex, len, (int)frame.kind);
            if (err)
                assert_int_equal(err, ML_EFORMAT);
            free(copy);
        }
    }
}

static void broken_messages_are_refused(void **state)
{
    static const char *const broken[] = {
        "",
        "c80102",              /* name past the end */
        "ffffffffffffff0f 00", /* a name of 2^53-1 bytes */
        "ffffffffffffffffff7f",
        "02 c328 00 00 01 00", /* a name that is not UTF-8 */
        "0164",                /* no type */
        "016480",              /* a type that does not end */
        "016400",              /* no subtype */
        "01640080",            /* a subtype that does not end */
        "0164000002 00",       /* state vector past the end */
        "01640001 7f00",       /* update past the end */
        "01640105 0165",       /* awareness past the end */
        "0164020005 746f6b",   /* token past the end */
        "0164020001 78 05 39", /* version past the end */
        "0164020002 c328",     /* token that is not UTF-8 */
        "016405 05 70",        /* text past the end */
        "016408",              /* status without a value */
        "7b22",                /* JSON text: a name of 123 bytes past the end */
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct ml_frame frame;

        if (decode(from(&bytes, broken[i]), &frame) != ML_EFORMAT)
            fail_msg("taken: %s", broken[i]);
    }
}

/* Whatever stands behind a message of a frame is nobody's. */
static void trailing_bytes_belong_to_no_one(void **state)
{
    struct ml_frame frame;

    (void)state;
    assert_int_equal(decode(from(&bytes, "01640001020000 ff80ff"), &frame), ML_OK);
    assert_int_equal(frame.kind, ML_FRAME_STEP2);
    assert_int_equal(frame.payload.len, 2);
    /* Two bytes are no ping. */
    assert_int_equal(decode(from(&bytes, "0a0a"), &frame), ML_EFORMAT);
}

static void every_type_is_answered_for(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 128; type++) {
        const uint8_t message[] = {0x01, 'd', (uint8_t)type, 0x00, 0x01, 0x00};
        struct ml_frame frame;

        assert_int_equal(decode(ml_slice_make(message, sizeof message), &frame), ML_OK);
        assert_int_equal(frame.kind != ML_FRAME_UNKNOWN, type <= 8);
        assert_true(ml_slice_equal(frame.address, ML_SLICE("d")));
    }
}

static void an_address_names_a_document_and_perhaps_a_session(void **state)
{
    (void)state;
    assert_true(ml_slice_equal(ml_address_document(from(&address, "64")), ML_SLICE("d")));
    assert_true(ml_slice_equal(ml_address_document(from(&address, "64007331")), ML_SLICE("d")));
    assert_true(ml_slice_equal(ml_address_document(from(&address, "640000")), ML_SLICE("d")));
    assert_int_equal(ml_address_document(from(&address, "0064")).len, 0);
    assert_int_equal(ml_address_document(ml_slice_make(NULL, 0)).len, 0);
}

static void an_answer_to_a_step1_is_recognised_by_its_beginning(void **state)
{
    (void)state;
    assert_true(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "01640001")));
    assert_true(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "01640401ffff")));
    assert_false(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "01640002")));
    assert_false(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "016400")));
    assert_false(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "0001")));
    assert_false(ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, from(&bytes, "7f640001")));
    assert_true(ml_frame_is_reply(ML_DIALECT_YWEBSOCKET, from(&bytes, "0001ff")));
    assert_false(ml_frame_is_reply(ML_DIALECT_YWEBSOCKET, from(&bytes, "0002ff")));
    assert_false(ml_frame_is_reply(ML_DIALECT_YWEBSOCKET, from(&bytes, "00")));
}

static void the_longest_address_is_written(void **state)
{
    uint8_t name[ML_ADDRESS_MAX];
    struct ml_blob *blob;
    struct ml_frame frame;

    (void)state;
    memset(name, 'n', sizeof name);
    blob = ml_frame_encode(ML_DIALECT_HOCUSPOCUS, ml_slice_make(name, sizeof name), ML_FRAME_UPDATE,
                           ML_SLICE("xx"));
    assert_non_null(blob);
    assert_int_equal(decode(ml_frame_message(blob), &frame), ML_OK);
    assert_int_equal(frame.address.len, sizeof name);
    assert_int_equal(frame.payload.len, 2);
    ml_blob_unref(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_is_read),
        cmocka_unit_test(every_vector_of_ours_is_written),
        cmocka_unit_test(a_message_that_ends_early_gives_nothing_away),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(trailing_bytes_belong_to_no_one),
        cmocka_unit_test(every_type_is_answered_for),
        cmocka_unit_test(an_address_names_a_document_and_perhaps_a_session),
        cmocka_unit_test(an_answer_to_a_step1_is_recognised_by_its_beginning),
        cmocka_unit_test(the_longest_address_is_written),
    };
    int failed;

    ml_writer_init(&bytes, LIMIT);
    ml_writer_init(&address, LIMIT);
    ml_writer_init(&payload, LIMIT);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ml_writer_release(&bytes);
    ml_writer_release(&address);
    ml_writer_release(&payload);
    return failed;
}
