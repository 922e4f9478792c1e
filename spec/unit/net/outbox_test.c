/* SPDX-License-Identifier: MIT */
/* What waits for a socket: order, ceilings, presence that gives way (SEC-LM-13). */
#include "net/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t buffer[4096];
static struct ml_frame_pool pool = {.max_bytes = 1u << 20};

static struct ml_blob *update(uint8_t tag, size_t len)
{
    uint8_t *bytes = malloc(len);
    struct ml_blob *frame;

    memset(bytes, 0xff, len); /* nothing that could be merged */
    bytes[0] = tag;
    frame = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), ML_FRAME_UPDATE,
                            ml_slice_make(bytes, len));
    assert_non_null(frame);
    free(bytes);
    return frame;
}

static struct ml_blob *presence(uint64_t client, uint64_t clock)
{
    const struct ml_presence_entry entry = {
        .client = client, .clock = clock, .json = ML_SLICE("{}")};
    struct ml_writer out;
    struct ml_blob *frame;

    ml_writer_init(&out, 1000);
    ml_write_varuint(&out, 1);
    ml_presence_write(&out, &entry);
    frame = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), ML_FRAME_AWARENESS,
                            ml_writer_slice(&out));
    ml_writer_release(&out);
    return frame;
}

/* Hands its reference over. */
static enum ml_err push(struct ml_outbox *outbox, struct ml_blob *frame, enum ml_send as)
{
    enum ml_err err = ml_outbox_push(outbox, frame, as);

    ml_blob_unref(frame);
    return err;
}

/* Everything that would be written, in order. */
static size_t drain(struct ml_outbox *outbox, uint8_t *out, size_t cap)
{
    size_t len = 0;

    while (!ml_outbox_is_empty(outbox)) {
        size_t count;
        struct ml_slice bytes = ml_outbox_gather(outbox, buffer, sizeof buffer, &count);

        assert_true(count > 0);
        assert_true(len + bytes.len <= cap);
        if (bytes.len)
            memcpy(out + len, bytes.ptr, bytes.len);
        len += bytes.len;
        ml_outbox_pop(outbox, count);
    }
    assert_int_equal(outbox->bytes, 0);
    assert_int_equal(pool.bytes, 0);
    assert_int_equal(outbox->presence, 0);
    return len;
}

static void one_frame_is_not_copied(void **state)
{
    struct ml_blob *frame = update(1, 10);
    struct ml_outbox outbox;
    struct ml_slice bytes;
    size_t count;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 1000, 4000);
    assert_int_equal(ml_outbox_push(&outbox, frame, ML_SEND_UPDATE), ML_OK);
    bytes = ml_outbox_gather(&outbox, buffer, sizeof buffer, &count);
    assert_ptr_equal(bytes.ptr, frame->bytes);
    assert_int_equal(count, 1);
    ml_outbox_pop(&outbox, 1);
    assert_true(ml_outbox_is_empty(&outbox));
    ml_outbox_release(&outbox);
    ml_blob_unref(frame);
}

static void several_small_frames_leave_in_one_write(void **state)
{
    struct ml_outbox outbox;
    struct ml_slice bytes;
    size_t count;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 100000, 400000);
    for (uint8_t i = 0; i < 20; i++)
        assert_int_equal(push(&outbox, update(i, 10), ML_SEND_UPDATE), ML_OK);
    bytes = ml_outbox_gather(&outbox, buffer, sizeof buffer, &count);
    assert_int_equal(count, 20);
    assert_int_equal(bytes.len, 20 * 15);
    for (uint8_t i = 0; i < 20; i++)
        assert_int_equal(bytes.ptr[i * 15 + 5], i);
    /* No more than fit. */
    bytes = ml_outbox_gather(&outbox, buffer, 40, &count);
    assert_int_equal(count, 2);
    assert_int_equal(bytes.len, 30);
    ml_outbox_release(&outbox);
}

static void a_large_frame_goes_alone_and_in_its_turn(void **state)
{
    uint8_t out[20000];
    struct ml_outbox outbox;
    struct ml_slice bytes;
    size_t count;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 100000, 400000);
    assert_int_equal(push(&outbox, update(1, 10), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&outbox, update(2, 5000), ML_SEND_SYNC), ML_OK);
    assert_int_equal(push(&outbox, update(3, 10), ML_SEND_UPDATE), ML_OK);
    bytes = ml_outbox_gather(&outbox, buffer, sizeof buffer, &count);
    assert_int_equal(count, 1);
    ml_outbox_pop(&outbox, count);
    bytes = ml_outbox_gather(&outbox, buffer, sizeof buffer, &count);
    assert_int_equal(count, 1);
    assert_true(bytes.len > 5000 && bytes.ptr != buffer);
    assert_int_equal(drain(&outbox, out, sizeof out), bytes.len + 15);
    ml_outbox_release(&outbox);
}

static void the_hard_ceiling_says_busy(void **state)
{
    struct ml_outbox outbox;
    size_t taken = 0;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 10000, 40000);
    while (push(&outbox, update(1, 1000), ML_SEND_UPDATE) == ML_OK)
        taken++;
    assert_in_range(taken, 30, 40);
    assert_true(outbox.bytes <= 40000 + 1100);
    /* A first sync is counted elsewhere. */
    assert_int_equal(push(&outbox, update(1, 100000), ML_SEND_SYNC), ML_OK);
    assert_true(pool.bytes > 100000);
    ml_outbox_release(&outbox);
    assert_int_equal(outbox.bytes, 0);
}

static void one_frame_may_be_larger_than_the_ceiling(void **state)
{
    struct ml_outbox outbox;
    size_t taken = 0;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 10000, 40000);
    assert_int_equal(push(&outbox, update(1, 100000), ML_SEND_UPDATE), ML_OK);
    while (push(&outbox, update(1, 1000), ML_SEND_UPDATE) == ML_OK)
        taken++;
    assert_in_range(taken, 30, 40);
    assert_int_equal(push(&outbox, update(1, 100000), ML_SEND_UPDATE), ML_EBUSY);
    ml_outbox_release(&outbox);
}

static void what_stands_before_a_large_frame_does_not_close(void **state)
{
    struct ml_outbox outbox;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 10000, 40000);
    assert_int_equal(push(&outbox, update(1, 1000), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&outbox, update(1, 100000), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&outbox, update(1, 1000), ML_SEND_UPDATE), ML_OK);
    /* A second one is as good as the first when that has left; until then it counts. */
    assert_int_equal(push(&outbox, update(1, 100000), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&outbox, update(1, 1000), ML_SEND_UPDATE), ML_EBUSY);
    ml_outbox_release(&outbox);
}

static void tiny_frames_are_not_free(void **state)
{
    struct ml_blob *frame = update(1, 1);
    struct ml_outbox outbox;
    size_t taken = 0;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 1 << 20, 4 << 20);
    while (ml_outbox_push(&outbox, frame, ML_SEND_UPDATE) == ML_OK)
        taken++;
    assert_true(taken * sizeof(struct ml_outbox_item) < 4 << 20);
    ml_outbox_release(&outbox);
    ml_blob_unref(frame);
}

static void presence_gives_way_first(void **state)
{
    uint8_t out[20000];
    struct ml_outbox outbox;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 4000, 40000);
    for (uint64_t client = 1; client <= 10; client++)
        assert_int_equal(push(&outbox, presence(client, 1), ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(outbox.presence, 10);
    for (uint8_t i = 0; i < 6; i++)
        assert_int_equal(push(&outbox, update(i, 1000), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(outbox.presence, 0);
    assert_int_equal(outbox.dropped, 10);
    /* And none is taken while it is over. */
    assert_int_equal(push(&outbox, presence(1, 2), ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(outbox.dropped, 11);
    assert_int_equal(drain(&outbox, out, sizeof out), 6 * (1000 + 8));
    ml_outbox_release(&outbox);
}

static void the_newest_presence_of_a_client_wins(void **state)
{
    uint8_t out[1000], want[1000];
    struct ml_blob *frames[3] = {presence(7, 3), update(1, 4), presence(8, 1)};
    struct ml_outbox outbox;
    size_t len = 0;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 10000, 40000);
    assert_int_equal(push(&outbox, presence(7, 1), ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(ml_outbox_push(&outbox, frames[1], ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&outbox, presence(7, 2), ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(ml_outbox_push(&outbox, frames[2], ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(ml_outbox_push(&outbox, frames[0], ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(outbox.presence, 2);
    for (int i = 0; i < 3; i++) {
        const struct ml_blob *frame = frames[(i + 1) % 3];

        memcpy(want + len, frame->bytes, frame->len);
        len += frame->len;
    }
    assert_int_equal(drain(&outbox, out, sizeof out), len);
    assert_memory_equal(out, want, len);
    ml_outbox_release(&outbox);
    for (int i = 0; i < 3; i++)
        ml_blob_unref(frames[i]);
}

static void a_client_that_moves_for_ever_takes_no_more_room(void **state)
{
    struct ml_outbox outbox;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 1 << 20, 4 << 20);
    for (uint64_t clock = 1; clock < 10000; clock++)
        assert_int_equal(push(&outbox, presence(7, clock), ML_SEND_PRESENCE), ML_OK);
    assert_int_equal(outbox.presence, 1);
    assert_true(outbox.cap <= 128);
    ml_outbox_release(&outbox);
}

/* A model: what is left of a random sequence, in order. */
static void any_sequence_keeps_its_order(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 50; round++) {
        static uint8_t got[1 << 17];
        static uint32_t sent[2000];
        struct ml_outbox outbox;
        size_t sent_count = 0, read = 0, got_len = 0;
        uint32_t next = 0;

        ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 2000, 1 << 20);
        for (int step = 0; step < 500; step++) {
            seed = seed * 1103515245 + 12345;
            if (seed >> 16 & 3) {
                uint8_t tag[4];
                struct ml_blob *frame;

                next = next << 8 | 0xff; /* no update, so nothing is merged */
                memcpy(tag, &next, 4);
                next >>= 8;
                frame = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0),
                                        ML_FRAME_UPDATE, ml_slice_make(tag, 4));
                assert_int_equal(
                    push(&outbox, frame, seed >> 18 & 7 ? ML_SEND_UPDATE : ML_SEND_SYNC), ML_OK);
                sent[sent_count++] = next++ << 8 | 0xff;
                if (seed >> 21 & 1)
                    assert_int_equal(
                        push(&outbox, presence(seed >> 22 & 7, next), ML_SEND_PRESENCE), ML_OK);
            } else {
                size_t count;
                struct ml_slice bytes =
                    ml_outbox_gather(&outbox, buffer, 16 + (seed >> 20 & 63), &count);

                if (bytes.len)
                    memcpy(got + got_len, bytes.ptr, bytes.len);
                got_len += bytes.len;
                ml_outbox_pop(&outbox, count);
            }
        }
        got_len += drain(&outbox, got + got_len, sizeof got - got_len);
        for (size_t at = 0; at < got_len; at += 2u + got[at + 1]) {
            if (got[at + 2] != 0)
                continue;
            assert_memory_equal(got + at + 5, &sent[read], 4);
            read++;
        }
        assert_int_equal(read, sent_count);
        ml_outbox_release(&outbox);
    }
}

/* One letter at the end of what `client` typed, in the root "t". */
static struct ml_blob *letter(enum ml_dialect dialect, const char *address, uint64_t client,
                              uint64_t clock)
{
    struct ml_writer w;
    struct ml_blob *frame;

    ml_writer_init(&w, 1000);
    ml_write_u8(&w, 1);
    ml_write_u8(&w, 1);
    ml_write_varuint(&w, client);
    ml_write_varuint(&w, clock);
    if (clock) {
        ml_write_u8(&w, 0x84);
        ml_write_varuint(&w, client);
        ml_write_varuint(&w, clock - 1);
    } else {
        ml_write_u8(&w, 0x04);
        ml_write_u8(&w, 1);
        ml_write_varbytes(&w, ML_SLICE("t"));
    }
    ml_write_varbytes(&w, ML_SLICE("x"));
    ml_write_u8(&w, 0);
    frame = ml_frame_encode(dialect, ml_slice_str(address), ML_FRAME_UPDATE, ml_writer_slice(&w));
    ml_writer_release(&w);
    return frame;
}

/* What a receiver of everything has: text of the root "t" by document ("" for y-websocket). */
static size_t received(struct ml_outbox *outbox, const char *address, size_t *frames_out)
{
    struct ml_doc_options options = {0};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_writer text;
    size_t len;

    *frames_out = 0;
    for (size_t i = 0; i < outbox->count; i++) {
        const struct ml_blob *blob = outbox->items[(outbox->first + i) & (outbox->cap - 1)].blob;
        struct ml_frame frame;
        struct ml_reader r;

        if (!blob)
            continue;
        r = ml_reader_make(ml_frame_message(blob));
        assert_int_equal(ml_frame_decode(outbox->dialect, &r, &frame), ML_OK);
        assert_int_equal(ml_reader_left(&r), 0);
        if (frame.kind != ML_FRAME_UPDATE || !ml_slice_equal(frame.address, ml_slice_str(address)))
            continue;
        ++*frames_out;
        assert_int_equal(ml_doc_apply_bytes(doc, frame.payload, NULL), ML_OK);
    }
    ml_writer_init(&text, 1u << 20);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("t"), ML_VIEW_TEXT, &text), ML_OK);
    len = text.len;
    ml_writer_release(&text);
    ml_doc_free(doc);
    return len;
}

static void over_the_soft_ceiling_updates_become_one(void **state)
{
    struct ml_outbox outbox;
    size_t frames;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 64 * 1024, 256 * 1024);
    for (uint64_t clock = 0; clock < 20000; clock++) {
        assert_int_equal(push(&outbox, letter(ML_DIALECT_YWEBSOCKET, "", 7, clock), ML_SEND_UPDATE),
                         ML_OK);
        if (clock % 100 == 0)
            assert_int_equal(push(&outbox, presence(7, clock + 1), ML_SEND_PRESENCE), ML_OK);
        assert_true(outbox.bytes <= 160 * 1024); /* 2 MB of frames */
    }
    assert_int_equal(received(&outbox, "", &frames), 20000);
    assert_true(outbox.merged > 19000 - frames);
    ml_outbox_release(&outbox);
}

static void what_belongs_to_different_documents_stays_apart(void **state)
{
    struct ml_outbox outbox;
    size_t frames;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_HOCUSPOCUS, &pool, 32 * 1024, 256 * 1024);
    for (uint64_t round = 0; round < 60; round++)
        for (uint64_t clock = 0; clock < 100; clock++)
            assert_int_equal(push(&outbox,
                                  letter(ML_DIALECT_HOCUSPOCUS, round % 2 ? "notes" : "letters",
                                         7 + round, clock),
                                  ML_SEND_UPDATE),
                             ML_OK);
    assert_true(outbox.merged > 0);
    assert_int_equal(received(&outbox, "notes", &frames), 3000);
    assert_int_equal(received(&outbox, "letters", &frames), 3000);
    ml_outbox_release(&outbox);
}

static void an_answer_between_updates_keeps_its_place(void **state)
{
    struct ml_outbox outbox;
    struct ml_blob *answer = update(1, 10);
    size_t at = 0, letters = 0;

    (void)state;
    ml_outbox_init(&outbox, ML_DIALECT_YWEBSOCKET, &pool, 8 * 1024, 256 * 1024);
    for (uint64_t clock = 0; clock < 1000; clock++) {
        assert_int_equal(push(&outbox, letter(ML_DIALECT_YWEBSOCKET, "", 7, clock), ML_SEND_UPDATE),
                         ML_OK);
        if (clock == 50)
            assert_int_equal(ml_outbox_push(&outbox, answer, ML_SEND_SYNC), ML_OK);
    }
    for (size_t i = 0; i < outbox.count; i++) {
        const struct ml_blob *blob = outbox.items[(outbox.first + i) & (outbox.cap - 1)].blob;

        if (blob == answer)
            at = i;
        else if (blob && !at)
            letters++;
    }
    assert_true(at > 0 && letters >= 1); /* the first 51, merged or not, stand before it */
    ml_blob_unref(answer);
    ml_outbox_release(&outbox);
}

static void a_frame_that_many_wait_for_counts_once(void **state)
{
    struct ml_blob *large = update(1, 600000), *other = update(2, 600000);
    struct ml_outbox boxes[10];

    (void)state;
    for (int i = 0; i < 10; i++) {
        ml_outbox_init(&boxes[i], ML_DIALECT_YWEBSOCKET, &pool, 1000, 4000);
        assert_int_equal(ml_outbox_push(&boxes[i], large, ML_SEND_SYNC), ML_OK);
    }
    assert_int_equal(pool.bytes, large->len);
    /* Another one is over the pool; a small one is not worth counting. */
    assert_int_equal(ml_outbox_push(&boxes[0], other, ML_SEND_SYNC), ML_ELIMIT);
    assert_int_equal(push(&boxes[0], update(3, 100), ML_SEND_SYNC), ML_OK);
    for (int i = 0; i < 9; i++)
        ml_outbox_release(&boxes[i]);
    assert_int_equal(pool.bytes, large->len);
    ml_outbox_release(&boxes[9]);
    assert_int_equal(pool.bytes, 0);
    ml_blob_unref(large);
    ml_blob_unref(other);
}

static void the_pool_is_full_to_the_byte(void **state)
{
    struct ml_blob *half = update(1, 600000), *rest, *more;
    size_t left = pool.max_bytes - half->len, head = half->len - 600000;
    struct ml_outbox box;

    (void)state;
    rest = update(2, left - head);
    more = update(3, left - head + 1);
    assert_int_equal(rest->len, left);
    ml_outbox_init(&box, ML_DIALECT_YWEBSOCKET, &pool, 1000, 4000);
    assert_int_equal(push(&box, half, ML_SEND_SYNC), ML_OK);
    assert_int_equal(push(&box, more, ML_SEND_SYNC), ML_ELIMIT);
    assert_int_equal(push(&box, rest, ML_SEND_SYNC), ML_OK);
    assert_int_equal(pool.bytes, pool.max_bytes);
    ml_outbox_release(&box);
}

/* [O2]: below the ceiling before the push is taken, at it is not. */
static void the_hard_ceiling_holds_to_the_byte(void **state)
{
    struct ml_blob *frame = update(1, 1000);
    struct ml_outbox box;
    size_t one;

    (void)state;
    ml_outbox_init(&box, ML_DIALECT_YWEBSOCKET, &pool, 1 << 20, 1 << 20);
    assert_int_equal(ml_outbox_push(&box, frame, ML_SEND_UPDATE), ML_OK);
    one = box.bytes;
    ml_outbox_release(&box);
    for (size_t more = 0; more < 2; more++) {
        ml_outbox_init(&box, ML_DIALECT_YWEBSOCKET, &pool, 1 << 20, 2 * one + more);
        assert_int_equal(ml_outbox_push(&box, frame, ML_SEND_UPDATE), ML_OK);
        assert_int_equal(ml_outbox_push(&box, frame, ML_SEND_UPDATE), ML_OK);
        assert_int_equal(ml_outbox_push(&box, frame, ML_SEND_UPDATE), more ? ML_OK : ML_EBUSY);
        ml_outbox_release(&box);
    }
    ml_blob_unref(frame);
}

static void of_large_changes_the_next_one_meets_the_ceiling(void **state)
{
    struct ml_outbox box;

    (void)state;
    ml_outbox_init(&box, ML_DIALECT_YWEBSOCKET, &pool, 1000, 10000);
    assert_int_equal(push(&box, update(1, 6000), ML_SEND_LARGE), ML_OK);
    assert_int_equal(push(&box, update(2, 6000), ML_SEND_MORE), ML_OK);
    assert_int_equal(push(&box, update(3, 6000), ML_SEND_MORE), ML_OK);
    assert_int_equal(push(&box, update(4, 10), ML_SEND_UPDATE), ML_OK);
    assert_int_equal(push(&box, update(5, 6000), ML_SEND_LARGE), ML_EBUSY);
    ml_outbox_pop(&box, 2);
    assert_int_equal(push(&box, update(5, 6000), ML_SEND_LARGE), ML_OK);
    ml_outbox_release(&box);
    assert_int_equal(pool.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_large_changes_the_next_one_meets_the_ceiling),
        cmocka_unit_test(one_frame_is_not_copied),
        cmocka_unit_test(several_small_frames_leave_in_one_write),
        cmocka_unit_test(a_large_frame_goes_alone_and_in_its_turn),
        cmocka_unit_test(the_hard_ceiling_says_busy),
        cmocka_unit_test(the_hard_ceiling_holds_to_the_byte),
        cmocka_unit_test(what_stands_before_a_large_frame_does_not_close),
        cmocka_unit_test(the_pool_is_full_to_the_byte),
        cmocka_unit_test(one_frame_may_be_larger_than_the_ceiling),
        cmocka_unit_test(tiny_frames_are_not_free),
        cmocka_unit_test(presence_gives_way_first),
        cmocka_unit_test(the_newest_presence_of_a_client_wins),
        cmocka_unit_test(a_client_that_moves_for_ever_takes_no_more_room),
        cmocka_unit_test(any_sequence_keeps_its_order),
        cmocka_unit_test(over_the_soft_ceiling_updates_become_one),
        cmocka_unit_test(what_belongs_to_different_documents_stays_apart),
        cmocka_unit_test(an_answer_between_updates_keeps_its_place),
        cmocka_unit_test(a_frame_that_many_wait_for_counts_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
