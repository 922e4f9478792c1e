/* SPDX-License-Identifier: MIT */
/* How rooms live and die: rest, wake, share their answers, give way when memory is short. */
#include "support/world.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS      200
#define SEEDS_LONG 5000
#define STEPS      1500

static struct world w;

static struct ml_rooms_stats stats_now(void)
{
    struct ml_rooms_stats stats;

    ml_rooms_stats(w.rooms, &stats);
    return stats;
}

static void with_limits(struct ml_room_limits limits)
{
    w.env.limits = limits;
    world_restart_rooms(&w);
}

static struct client *joined(unsigned i)
{
    struct client *client = &w.clients[i];

    client_connect(client);
    world_settle(&w);
    assert_true(client->is_synced);
    return client;
}

static void sees(struct client *client, struct client *author, const char *expected)
{
    char text[4096];

    client_reads(client, author->id, text, sizeof text);
    assert_string_equal(text, expected);
}

static void leaves(struct client *client)
{
    client_disconnect(client);
    world_advance(&w, 40000);
    world_settle(&w);
}

/* ---- Other documents of the same world: seats without a client --------------------------------
 */

struct visitor {
    struct ml_port port; /* first */
    struct ml_member *member;
    bool is_seated;
};

static enum ml_err visitor_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    (void)port;
    (void)frame;
    (void)as;
    return ML_OK;
}

static void visitor_ack(struct ml_port *port, uint64_t message_no)
{
    (void)port;
    (void)message_no;
}

static void visitor_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct visitor *visitor = (struct visitor *)(void *)port;

    (void)why;
    visitor->member = member;
    visitor->is_seated = member != NULL;
}

static void visitor_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)port;
    (void)why;
    (void)reason;
}

static void visitor_pause(struct ml_port *port, bool paused)
{
    (void)port;
    (void)paused;
}

static enum ml_err visit(struct visitor *visitor, unsigned number)
{
    struct ml_identity identity = {.user = "v", .session = "v"};
    struct ml_grant grant = {.may = ML_MAY_READ};
    char name[32];
    enum ml_err err;

    *visitor = (struct visitor){.port = {ML_DIALECT_YWEBSOCKET, visitor_send, visitor_ack,
                                         visitor_joined, visitor_close, visitor_pause}};
    (void)snprintf(name, sizeof name, "other/%u", number);
    err = ml_rooms_join(w.rooms, ML_SLICE("default"), ml_slice_str(name), &identity, &grant,
                        &visitor->port, &visitor->member);
    world_settle(&w);
    return err;
}

/* All columns of the format, one struct. */
#define V2_OF_THREE_LETTERS 40

/* ---- Rest and wake ----------------------------------------------------------------------------
 */

static void a_document_that_is_only_read_is_never_built(void **state)
{
    struct client *anna, *ben;

    (void)state;
    world_open(&w, 1, 2);
    anna = joined(0);
    client_type(anna);
    client_type(anna);
    world_settle(&w);
    leaves(anna);
    assert_int_equal(stats_now().rooms, 0);
    w.clients[1].reader = true;
    ben = joined(1);
    sees(ben, anna, "ab");
    assert_int_equal(stats_now().resting_rooms, 1);
    leaves(ben);
    ben = joined(1); /* now with everything: its Step2 says nothing new, and that is looked at */
    sees(ben, anna, "ab");
    assert_int_equal(stats_now().rooms, 1);
    world_assert_converged(&w);
    world_close(&w);
}

static void a_document_nobody_writes_in_becomes_bytes_and_comes_back(void **state)
{
    struct client *anna, *ben;
    size_t built;

    (void)state;
    world_open(&w, 2, 3);
    anna = joined(0);
    ben = joined(1);
    for (int i = 0; i < 3; i++)
        client_type(anna);
    world_settle(&w);
    built = stats_now().memory_bytes;
    assert_int_equal(stats_now().resting_rooms, 0);
    world_advance(&w, 58000);
    assert_int_equal(stats_now().resting_rooms, 0);
    world_advance(&w, 4000);
    assert_int_equal(stats_now().resting_rooms, 1);
    assert_true(stats_now().memory_bytes < built);
    assert_in_range(stats_now().memory_bytes, 1, V2_OF_THREE_LETTERS + 2800);
    client_presence(ben, 1, "{\"a\":1}"); /* a cursor wakes nobody */
    sees(joined(2), anna, "abc");
    assert_int_equal(stats_now().rests, 1);
    client_type(ben);
    world_settle(&w);
    assert_int_equal(stats_now().resting_rooms, 0);
    assert_true(stats_now().wakes >= 2);
    world_assert_converged(&w);
    world_close(&w);
}

static void staged_work_keeps_a_document_awake(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 3, 1);
    anna = joined(0);
    ml_journal_memory_fault(w.journal, ML_FAULT_FAIL, 1000);
    client_type(anna);
    world_settle(&w);
    for (int i = 0; i < 40; i++) {
        world_advance(&w, 3000);
        world_settle(&w);
        assert_int_equal(stats_now().resting_rooms, 0);
    }
    assert_int_equal(stats_now().held_rooms, 1);
    ml_journal_memory_fault(w.journal, ML_FAULT_NONE, 0);
    world_advance(&w, 3000);
    world_settle(&w);
    assert_int_equal(anna->acked_no, anna->message_no);
    world_close(&w);
}

static void what_waits_for_others_keeps_a_document_awake(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 4, 1);
    anna = joined(0);
    client_type(anna);
    world_lose_to_server(anna);
    client_type(anna);
    world_deliver_to_server(anna);
    world_commit(&w);
    client_disconnect(anna); /* before it could answer what it was asked for */
    client_connect(&w.clients[0]);
    world_commit(&w);
    world_advance(&w, 70000);
    assert_int_equal(stats_now().resting_rooms, 0);
    world_settle(&w);
    world_assert_converged(&w);
    world_close(&w);
}

/* ---- One encode for everybody -----------------------------------------------------------------
 */

static void who_asks_for_the_same_gets_the_same_frame(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 5, WORLD_CLIENTS);
    anna = joined(0);
    client_type(anna);
    world_settle(&w);
    for (unsigned i = 1; i < WORLD_CLIENTS; i++)
        client_connect(&w.clients[i]);
    world_settle(&w);
    assert_int_equal(stats_now().answers_shared, WORLD_CLIENTS - 2);
    for (unsigned i = 1; i < WORLD_CLIENTS; i++)
        sees(&w.clients[i], anna, "a");
    world_close(&w);
}

static void a_change_ends_an_answer(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 6, 4);
    anna = joined(0);
    client_type(anna);
    world_settle(&w);
    sees(joined(1), anna, "a");
    client_type(anna);
    world_settle(&w);
    sees(joined(2), anna, "ab");
    world_advance(&w, 5000); /* nobody asks: it is not kept either */
    sees(joined(3), anna, "ab");
    assert_int_equal(stats_now().answers_shared, 0);
    world_close(&w);
}

static void a_large_answer_is_shared_in_all_its_parts(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 7, 3);
    with_limits((struct ml_room_limits){.frame_bytes = 64});
    anna = &w.clients[0];
    for (int i = 0; i < 500; i++)
        client_type(anna);
    (void)joined(0);
    (void)joined(1);
    assert_true(w.clients[1].updates > 4); /* the last part is a Step2 */
    (void)joined(2);
    assert_int_equal(stats_now().answers_shared, 1);
    assert_int_equal(w.clients[2].updates, w.clients[1].updates);
    world_assert_converged(&w);
    world_close(&w);
}

static void a_large_commit_is_told_in_parts(void **state)
{
    struct client *anna, *ben;
    unsigned before;

    (void)state;
    world_open(&w, 8, 2);
    with_limits((struct ml_room_limits){.frame_bytes = 64});
    ben = joined(1);
    before = ben->updates;
    anna = &w.clients[0];
    for (int i = 0; i < 500; i++)
        client_type(anna);
    (void)joined(0);
    assert_true(ben->updates - before > 4);
    assert_int_equal(w.truth_head, 1);
    world_assert_converged(&w);
    world_close(&w);
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

static void when_memory_is_short_empty_rooms_go_before_their_time(void **state)
{
    struct visitor visitor;
    size_t one;

    (void)state;
    world_open(&w, 9, 1);
    assert_int_equal(visit(&visitor, 0), ML_OK);
    one = stats_now().memory_bytes;
    assert_true(one > 0);
    ml_member_leave(visitor.member);
    world_advance(&w, 40000);
    assert_int_equal(stats_now().memory_bytes, 0);
    with_limits((struct ml_room_limits){.rooms_bytes = 20 * one});
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(visit(&visitor, i), ML_OK);
        assert_true(visitor.is_seated);
        ml_member_leave(visitor.member);
        assert_true(stats_now().memory_bytes <= 22 * one);
    }
    assert_true(stats_now().evicted >= 170);
    world_close(&w);
}

static void when_every_room_has_members_no_other_is_opened(void **state)
{
    struct visitor visitors[40];
    unsigned count = 0;
    size_t one;

    (void)state;
    world_open(&w, 10, 1);
    assert_int_equal(visit(&visitors[0], 0), ML_OK);
    one = stats_now().memory_bytes;
    ml_member_leave(visitors[0].member);
    world_advance(&w, 40000);
    with_limits((struct ml_room_limits){.rooms_bytes = 20 * one});
    while (count < 40 && visit(&visitors[count], count) == ML_OK)
        count++;
    assert_true(count >= 20 && count <= 22);
    assert_int_equal(stats_now().joins_refused, 1);
    /* Who has a room goes on, and a second seat in it costs nothing. */
    assert_int_equal(visit(&visitors[count], 0), ML_OK);
    for (unsigned i = 0; i <= count; i++)
        ml_member_leave(visitors[i].member);
    assert_int_equal(visit(&visitors[0], 100), ML_OK);
    ml_member_leave(visitors[0].member);
    world_close(&w);
}

static void when_memory_is_short_the_oldest_document_becomes_bytes(void **state)
{
    struct client *anna;

    (void)state;
    world_open(&w, 11, 2);
    with_limits((struct ml_room_limits){.rooms_bytes = 1});
    anna = joined(0);
    for (int i = 0; i < 10; i++) {
        client_type(anna);
        world_settle(&w);
        world_advance(&w, 50);
        assert_int_equal(stats_now().resting_rooms, 1);
    }
    assert_int_equal(stats_now().rests, 10);
    sees(joined(1), anna, "abcdefghij");
    world_close(&w);
}

static void limits_hold_to_the_number(void **state)
{
    struct visitor visitors[8];

    (void)state;
    world_open(&w, 12, 1);
    with_limits((struct ml_room_limits){.rooms = 3, .members = 2});
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(visit(&visitors[i], i), ML_OK);
    assert_int_equal(visit(&visitors[3], 3), ML_EBUSY);
    assert_int_equal(visit(&visitors[3], 0), ML_OK);
    assert_int_equal(visit(&visitors[4], 0), ML_EBUSY);
    for (unsigned i = 0; i < 4; i++)
        ml_member_leave(visitors[i].member);
    world_close(&w);
}

static void ten_thousand_documents_leave_nothing_behind(void **state)
{
    struct visitor visitor;

    (void)state;
    world_open(&w, 13, 1);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(visit(&visitor, i), ML_OK);
        ml_member_leave(visitor.member);
        if (i % 10 == 0)
            world_advance(&w, 50);
        /* A room stays for 30 s, here 6 000 of them come in that time. */
        assert_true(stats_now().rooms < 6500);
    }
    world_advance(&w, 40000);
    assert_int_equal(stats_now().rooms, 0);
    assert_int_equal(stats_now().memory_bytes, 0);
    assert_int_equal(stats_now().loads, 10000);
    assert_int_equal(stats_now().closed, 10000);
    world_close(&w);
}

/* ---- Presence, once per turn ------------------------------------------------------------------
 */

static void of_many_moves_in_one_turn_the_last_is_told(void **state)
{
    struct client *anna, *ben;
    char json[32];

    (void)state;
    world_open(&w, 14, 2);
    anna = joined(0);
    ben = joined(1);
    for (unsigned i = 1; i <= 10; i++) {
        (void)snprintf(json, sizeof json, "{\"at\":%u}", i);
        client_presence(anna, i, json);
        world_deliver_to_server(anna);
    }
    assert_true(ml_rooms_flush(w.rooms));
    assert_false(ml_rooms_flush(w.rooms));
    world_settle(&w);
    assert_int_equal(ben->presences, 1);
    assert_non_null(memmem(ben->last_presence.ptr, ben->last_presence.len, "{\"at\":10", 8));
    world_close(&w);
}

static void who_moves_in_the_same_turn_shares_a_frame(void **state)
{
    struct client *ben;
    struct ml_presence_reader reader;

    (void)state;
    world_open(&w, 15, 6);
    for (unsigned i = 0; i < 6; i++)
        (void)joined(i);
    ben = &w.clients[5];
    for (unsigned i = 0; i < 5; i++) {
        client_presence(&w.clients[i], 1, "{}");
        world_deliver_to_server(&w.clients[i]);
    }
    world_settle(&w);
    assert_int_equal(ben->presences, 1);
    assert_int_equal(ml_presence_begin(ben->last_presence, &reader), ML_OK);
    assert_int_equal(reader.left, 5);
    for (unsigned i = 0; i < 5; i++)
        client_disconnect(&w.clients[i]);
    world_settle(&w);
    assert_int_equal(ben->presences, 2);
    assert_int_equal(ml_presence_begin(ben->last_presence, &reader), ML_OK);
    assert_int_equal(reader.left, 5);
    world_close(&w);
}

static void who_comes_and_goes_in_one_turn_is_no_ghost(void **state)
{
    struct client *anna, *ben;

    (void)state;
    world_open(&w, 16, 3);
    anna = joined(0);
    ben = joined(1);
    client_presence(anna, 1, "{}");
    world_deliver_to_server(anna);
    client_disconnect(anna);
    world_settle(&w);
    assert_int_equal(ben->presences, 1);
    assert_non_null(memmem(ben->last_presence.ptr, ben->last_presence.len, "null", 4));
    assert_int_equal(joined(2)->presences, 0);
    world_close(&w);
}

/* ---- Random worlds, in which rooms rest and go all the time -----------------------------------
 */

static void run_world(uint64_t seed)
{
    world_open(&w, seed, 2 + (unsigned)(seed % (WORLD_CLIENTS - 1)));
    w.clients[0].reader = seed % 3 == 0;
    w.env.snapshot.every_ops = seed % 2 ? 2 : 50;
    w.env.snapshot.min_gap_ms = 0;
    with_limits((struct ml_room_limits){
        .rest_ms = 50,
        .grace_ms = 100,
        .rooms_bytes = seed % 4 ? 0 : 1,
        .frame_bytes = seed % 5 ? 0 : 64,
        .presence_ms = 2000,
    });
    if (seed % 3 == 1)
        world_split(&w);
    for (int step = 0; step < STEPS; step++) {
        world_step(&w);
        if (world_random(&w, 400) == 0)
            ml_journal_memory_fault(w.journal,
                                    world_random(&w, 2) ? ML_FAULT_FAIL : ML_FAULT_UNKNOWN, 2);
        if (world_random(&w, 500) == 0)
            world_crash(&w);
    }
    ml_journal_memory_fault(w.journal, ML_FAULT_NONE, 0);
    for (int i = 0; i < 3; i++) {
        world_settle(&w);
        world_advance(&w, 2500);
    }
    for (unsigned i = 0; i < w.client_count; i++)
        if (!w.clients[i].is_connected || w.clients[i].was_closed) {
            client_disconnect(&w.clients[i]);
            client_connect(&w.clients[i]);
            world_settle(&w); /* one after the other: memory may be too short for a new room */
        }
    world_settle(&w);
    world_assert_converged(&w);
    world_close(&w);
}

static void random_worlds_in_which_rooms_rest_keep_every_promise(void **state)
{
    const char *longer = getenv("MOONLOOM_LONG"), *one = getenv("MOONLOOM_SEED");
    uint64_t seeds = longer && *longer ? SEEDS_LONG : SEEDS;

    (void)state;
    if (one) {
        run_world(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (seed % 100 == 0)
            print_message("seed %llu\n", (unsigned long long)seed);
        run_world(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_that_is_only_read_is_never_built),
        cmocka_unit_test(a_document_nobody_writes_in_becomes_bytes_and_comes_back),
        cmocka_unit_test(staged_work_keeps_a_document_awake),
        cmocka_unit_test(what_waits_for_others_keeps_a_document_awake),
        cmocka_unit_test(who_asks_for_the_same_gets_the_same_frame),
        cmocka_unit_test(a_change_ends_an_answer),
        cmocka_unit_test(a_large_answer_is_shared_in_all_its_parts),
        cmocka_unit_test(a_large_commit_is_told_in_parts),
        cmocka_unit_test(when_memory_is_short_empty_rooms_go_before_their_time),
        cmocka_unit_test(when_every_room_has_members_no_other_is_opened),
        cmocka_unit_test(when_memory_is_short_the_oldest_document_becomes_bytes),
        cmocka_unit_test(limits_hold_to_the_number),
        cmocka_unit_test(ten_thousand_documents_leave_nothing_behind),
        cmocka_unit_test(of_many_moves_in_one_turn_the_last_is_told),
        cmocka_unit_test(who_moves_in_the_same_turn_shares_a_frame),
        cmocka_unit_test(who_comes_and_goes_in_one_turn_is_no_ghost),
        cmocka_unit_test(random_worlds_in_which_rooms_rest_keep_every_promise),
    };

    /* Half a million rooms come and go: what each of them says is of no interest here. */
    ml_log_set_level(ML_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
