/* SPDX-License-Identifier: MIT */
/* Seats in a room of another loop: the client notices nothing, and little travels. */
#include "support/world.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct world w;

static void open_world(uint64_t seed, unsigned clients)
{
    world_open(&w, seed, clients);
    world_split(&w);
    assert_ptr_not_equal(w.front, w.rooms);
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

/* Letters on the way to the clients' loop. */
static unsigned letters_back(void)
{
    unsigned count = 0;

    (void)ml_rooms_flush(w.rooms);
    ML_LIST_EACH(node, &w.mail[1 - w.env.loop])
    {
        (void)node;
        count++;
    }
    return count;
}

static void what_is_typed_here_is_read_there_once_it_is_committed(void **state)
{
    struct client *anna, *ben;
    struct ml_rooms_stats stats;

    (void)state;
    open_world(1, 2);
    anna = joined(0);
    ben = joined(1);
    ml_rooms_stats(w.front, &stats);
    assert_int_equal(stats.rooms, 0);
    ml_rooms_stats(w.rooms, &stats);
    assert_int_equal(stats.rooms, 1);
    assert_int_equal(stats.members, 2);
    client_type(anna);
    world_deliver_to_server(anna);
    (void)ml_rooms_flush(w.front);
    (void)world_deliver_mail(&w);
    assert_int_equal(anna->acked_no, anna->message_no - 1);
    world_settle(&w);
    assert_int_equal(anna->acked_no, anna->message_no);
    sees(ben, anna, "a");
    client_type(ben);
    world_settle(&w);
    sees(anna, ben, "a");
    world_assert_converged(&w);
    world_close(&w);
}

static void a_commit_for_many_is_one_letter(void **state)
{
    struct client *anna;

    (void)state;
    open_world(2, WORLD_CLIENTS);
    for (unsigned i = 0; i < WORLD_CLIENTS; i++)
        (void)joined(i);
    anna = &w.clients[0];
    client_type(anna);
    world_deliver_to_server(anna);
    (void)ml_rooms_flush(w.front);
    (void)world_deliver_mail(&w);
    assert_int_equal(letters_back(), 1); /* it was looked at */
    (void)world_deliver_mail(&w);
    world_commit(&w);
    assert_int_equal(letters_back(), 2); /* the frame, and an acknowledgement */
    world_settle(&w);
    for (unsigned i = 1; i < WORLD_CLIENTS; i++)
        sees(&w.clients[i], anna, "a");
    world_close(&w);
}

static void a_crowd_shares_one_answer(void **state)
{
    struct ml_rooms_stats stats;
    struct client *anna;

    (void)state;
    open_world(3, WORLD_CLIENTS);
    anna = joined(0);
    client_type(anna);
    world_settle(&w);
    for (unsigned i = 1; i < WORLD_CLIENTS; i++)
        client_connect(&w.clients[i]);
    world_settle(&w);
    ml_rooms_stats(w.rooms, &stats);
    assert_int_equal(stats.answers_shared, WORLD_CLIENTS - 2);
    for (unsigned i = 1; i < WORLD_CLIENTS; i++)
        sees(&w.clients[i], anna, "a");
    world_close(&w);
}

static void who_writes_faster_than_the_room_looks_is_paused(void **state)
{
    struct client *anna;
    unsigned sent = 0;

    (void)state;
    open_world(4, 1);
    anna = joined(0);
    while (!anna->is_paused && sent < 10000) {
        client_type(anna);
        world_deliver_to_server(anna);
        sent++;
    }
    assert_in_range(sent, 200, 300);
    world_settle(&w);
    assert_false(anna->is_paused);
    assert_int_equal(anna->acked_no, anna->message_no);
    world_assert_converged(&w);
    world_close(&w);
}

static void a_room_that_is_full_pauses_the_other_loop_s_session(void **state)
{
    struct ml_rooms_stats stats;
    struct client *anna;

    (void)state;
    world_open(&w, 5, 1);
    w.env.limits.staged_bytes = 2000;
    world_split(&w);
    anna = joined(0);
    for (int i = 0; i < 500; i++) {
        client_type(anna);
        world_deliver_to_server(anna);
        (void)ml_rooms_flush(w.front);
        (void)ml_rooms_flush(w.rooms);
        (void)world_deliver_mail(&w);
        ml_rooms_stats(w.rooms, &stats);
        assert_true(stats.staged_bytes <= 2000 + 64);
    }
    assert_true(anna->is_paused);
    world_settle(&w);
    assert_false(anna->is_paused);
    assert_int_equal(anna->acked_no, anna->message_no);
    world_assert_converged(&w);
    world_close(&w);
}

static void a_reader_is_refused_late_but_refused(void **state)
{
    struct client *rita;

    (void)state;
    open_world(6, 2);
    rita = &w.clients[0];
    rita->reader = true;
    client_connect(rita);
    client_type(rita); /* before the server's Step1: its Step2 brings something new */
    world_settle(&w);
    assert_true(rita->was_closed);
    assert_int_equal(w.truth_head, 0);
    client_disconnect(rita);
    world_close(&w);
}

static void cursors_travel_and_leave_no_ghosts(void **state)
{
    struct client *anna, *ben;

    (void)state;
    open_world(7, 3);
    anna = joined(0);
    ben = joined(1);
    for (uint64_t clock = 1; clock <= 5; clock++) {
        client_presence(anna, clock, "{\"a\":1}");
        world_deliver_to_server(anna);
    }
    world_settle(&w);
    assert_int_equal(ben->presences, 1);
    client_disconnect(anna);
    world_settle(&w);
    assert_int_equal(ben->presences, 2);
    assert_non_null(memmem(ben->last_presence.ptr, ben->last_presence.len, "null", 4));
    assert_int_equal(joined(2)->presences, 0);
    world_close(&w);
}

static void who_leaves_before_the_room_is_loaded_leaves_nothing(void **state)
{
    (void)state;
    for (int when = 0; when < 6; when++) {
        open_world(8, 1);
        client_connect(&w.clients[0]);
        for (int i = 0; i < when; i++) {
            (void)ml_rooms_flush(w.front);
            (void)ml_rooms_flush(w.rooms);
            (void)world_deliver_mail(&w);
            if (i == 2)
                world_commit(&w);
        }
        client_disconnect(&w.clients[0]);
        for (int i = 0; i < 4; i++) {
            world_settle(&w);
            world_advance(&w, 20000);
        }
        assert_true(ml_rooms_is_empty(w.front));
        assert_true(ml_rooms_is_empty(w.rooms));
        world_close(&w);
    }
}

static void a_room_that_takes_nobody_says_so_across(void **state)
{
    (void)state;
    world_open(&w, 9, 3);
    w.env.limits.members = 2;
    world_split(&w);
    (void)joined(0);
    (void)joined(1);
    client_connect(&w.clients[2]);
    world_settle(&w);
    assert_true(w.clients[2].was_closed);
    assert_int_equal(w.clients[2].closed_why, ML_CLOSE_TRY_LATER);
    world_close(&w);
}

static void a_draining_server_commits_and_says_goodbye_across(void **state)
{
    struct client *anna;

    (void)state;
    open_world(10, 2);
    anna = joined(0);
    client_type(anna);
    world_deliver_to_server(anna);
    (void)ml_rooms_flush(w.front);
    (void)world_deliver_mail(&w);
    ml_rooms_drain(w.front, ML_CLOSE_SHUTDOWN);
    ml_rooms_drain(w.rooms, ML_CLOSE_SHUTDOWN);
    world_commit(&w);
    world_advance(&w, 50);
    (void)world_deliver_mail(&w);
    assert_true(anna->was_closed);
    assert_int_equal(anna->acked_no, anna->message_no);
    client_disconnect(anna);
    world_settle(&w);
    assert_true(ml_rooms_is_empty(w.front));
    assert_true(ml_rooms_is_empty(w.rooms));
    world_close(&w);
}

static void a_document_that_changed_behind_the_room_is_dismissed_from_anywhere(void **state)
{
    struct client *anna;

    (void)state;
    open_world(11, 1);
    anna = joined(0);
    assert_true(ml_rooms_dismiss(w.front, ML_SLICE("default"), ML_SLICE("notes"), ML_CLOSE_DELETED,
                                 "gone"));
    world_settle(&w);
    assert_true(anna->was_closed);
    assert_int_equal(anna->closed_why, ML_CLOSE_DELETED);
    client_disconnect(anna);
    world_settle(&w);
    assert_true(ml_rooms_is_empty(w.rooms));
    world_close(&w);
}

static void letters_to_a_loop_that_has_ended_find_nobody(void **state)
{
    (void)state;
    open_world(12, 4);
    for (unsigned i = 0; i < 3; i++) {
        (void)joined(i);
        client_type(&w.clients[i]);
        client_presence(&w.clients[i], 1, "{}");
        world_deliver_to_server(&w.clients[i]);
    }
    client_connect(&w.clients[3]);
    world_crash(&w); /* the sanitizer tells whether all of it was freed */
    for (unsigned i = 0; i < 4; i++)
        (void)joined(i);
    world_assert_converged(&w);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_typed_here_is_read_there_once_it_is_committed),
        cmocka_unit_test(a_commit_for_many_is_one_letter),
        cmocka_unit_test(a_crowd_shares_one_answer),
        cmocka_unit_test(who_writes_faster_than_the_room_looks_is_paused),
        cmocka_unit_test(a_room_that_is_full_pauses_the_other_loop_s_session),
        cmocka_unit_test(a_reader_is_refused_late_but_refused),
        cmocka_unit_test(cursors_travel_and_leave_no_ghosts),
        cmocka_unit_test(who_leaves_before_the_room_is_loaded_leaves_nothing),
        cmocka_unit_test(a_room_that_takes_nobody_says_so_across),
        cmocka_unit_test(a_draining_server_commits_and_says_goodbye_across),
        cmocka_unit_test(a_document_that_changed_behind_the_room_is_dismissed_from_anywhere),
        cmocka_unit_test(letters_to_a_loop_that_has_ended_find_nobody),
    };

    ml_log_set_level(ML_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
