/* SPDX-License-Identifier: MIT */
/*
 * Two nodes on one journal with a bus between them that loses what the test says. A writer sits on
 * node 0, a reader on node 1; time moves when told. What matters is how soon the reader has it.
 *
 *   writer --> rooms of node 0 --told--> bus (may lose) --heard--> rooms of node 1 --> reader
 *                     \---------------- journal ----------------------/
 */
#include "support/test.h"

#include <string.h>

#include "base/list.h"
#include "base/log.h"
/* A bus of this test's own. */
#include "bus/implementation.h"
#include "room/room.h"

#define NODES    2
#define TICK_MS  50
#define PULSE_MS 500
#define IN_TIME  1500 /* "on another node within 1.5 s, whatever the bus does" */

struct node {
    struct ml_bus bus; /* first */
    struct ml_rooms *rooms;
    struct ml_list heard; /* on the way to it */
    struct ml_bus_stats stats;
    bool is_leaving, is_cut; /* cut: what it says is lost, and what it is told */
};

struct message {
    struct ml_list node;
    struct ml_news news; /* .bytes: `bytes` */
    struct ml_blob *bytes;
};

struct seat {
    struct ml_port port; /* first */
    struct ml_member *member;
    struct ml_doc *replica;
    uint64_t acked_no;
};

static const struct ml_slice org = {(const uint8_t *)"default", 7};
static const struct ml_slice name = {(const uint8_t *)"notes", 5};
static struct node nodes[NODES];
static struct seat writer, reader;
static struct ml_journal *journal;
static struct ml_arena scratch;
static uint64_t now_ms, letters;
static unsigned told;
static unsigned losing; /* so many of the next news of records get lost */

/* ---- The bus --------------------------------------------------------------------------------- */

static void bus_tell(struct ml_bus *bus, const struct ml_news *news)
{
    struct node *from = (struct node *)(void *)bus, *to = &nodes[from == nodes];
    struct message *message;

    if (news->kind == ML_NEWS_PULSE)
        from->is_leaving |= news->last != 0;
    if (news->kind == ML_NEWS_RECORDS) {
        told++;
        if (losing) {
            losing--;
            return;
        }
    }
    if (from->is_cut || to->is_cut)
        return;
    message = calloc(1, sizeof *message);
    assert_non_null(message);
    message->news = *news;
    message->news.node = (uint64_t)(from - nodes) + 1;
    message->bytes = ml_blob_new(news->bytes);
    message->news.bytes = ml_blob_slice(message->bytes);
    if (news->kind != ML_NEWS_PULSE) {
        message->news.org = org;
        message->news.name = name;
    }
    ml_list_append(&to->heard, &message->node);
}

static void bus_follow(struct ml_bus *bus, struct ml_slice of, struct ml_slice document,
                       bool follow)
{
    (void)bus;
    (void)of;
    (void)document;
    (void)follow;
}

static void bus_stats(const struct ml_bus *bus, struct ml_bus_stats *out)
{
    *out = ((const struct node *)(const void *)bus)->stats;
}

static const struct ml_bus_ops bus_ops = {
    .follow = bus_follow, .tell = bus_tell, .stats = bus_stats};

static bool hear(struct node *node)
{
    struct ml_list *link = ml_list_take_first(&node->heard);
    struct message *message = link ? ML_CONTAINER(link, struct message, node) : NULL;

    if (!message)
        return false;
    if (node->rooms)
        ml_rooms_heard(node->rooms, &message->news);
    ml_blob_unref(message->bytes);
    free(message);
    return true;
}

/* ---- Seats ----------------------------------------------------------------------------------- */

static enum ml_err port_send(struct ml_port *port, struct ml_blob *blob, enum ml_send as)
{
    struct ml_reader in = ml_reader_make(ml_frame_message(blob));
    struct seat *seat = (struct seat *)(void *)port;
    struct ml_frame frame;

    (void)as;
    assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &in, &frame), ML_OK);
    if (frame.kind == ML_FRAME_UPDATE || frame.kind == ML_FRAME_STEP2)
        assert_int_equal(ml_doc_apply_bytes(seat->replica, frame.payload, NULL), ML_OK);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    ((struct seat *)(void *)port)->acked_no = message_no;
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    (void)why;
    assert_non_null(member);
    ((struct seat *)(void *)port)->member = member;
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)port;
    (void)why;
    (void)reason;
}

static void port_pause(struct ml_port *port, bool paused)
{
    (void)port;
    (void)paused;
}

static void turn(void)
{
    bool moves = true;

    while (moves) {
        moves = false;
        for (unsigned i = 0; i < NODES; i++)
            moves |= hear(&nodes[i]);
        moves |= ml_journal_memory_step(journal) != 0;
    }
}

static void pass(uint64_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until;) {
        now_ms += TICK_MS;
        for (unsigned i = 0; i < NODES; i++) {
            struct node *node = &nodes[i];
            const struct ml_news pulse = {.kind = ML_NEWS_PULSE, .last = node->is_leaving};

            if (!node->rooms)
                continue;
            if (now_ms % PULSE_MS == 0)
                bus_tell(&node->bus, &pulse);
            node->stats.silent_ms = node->is_cut ? node->stats.silent_ms + TICK_MS : 0;
            ml_rooms_tick(node->rooms);
        }
        turn();
    }
}

static void sit_down(struct seat *seat, struct node *node, const char *user)
{
    struct ml_identity identity = {0};
    const struct ml_grant grant = ml_grant_editor();

    (void)snprintf(identity.user, sizeof identity.user, "%s", user);
    (void)snprintf(identity.session, sizeof identity.session, "s-%s", user);
    *seat = (struct seat){.port = {.dialect = ML_DIALECT_YWEBSOCKET,
                                   .send = port_send,
                                   .ack = port_ack,
                                   .joined = port_joined,
                                   .close = port_close,
                                   .pause = port_pause}};
    seat->replica = ml_doc_new(NULL);
    assert_int_equal(
        ml_rooms_join(node->rooms, org, name, &identity, &grant, &seat->port, &seat->member),
        ML_OK);
    turn();
}

/* One letter after the others, each a record. */
static void type(unsigned count)
{
    while (count--) {
        struct ml_writer w;

        ml_writer_init(&w, 1024);
        ml_write_bytes(&w, ml_slice_make("\1\1\x4d", 3)); /* one struct of client 77 */
        ml_write_varuint(&w, letters);
        if (letters) {
            ml_write_bytes(&w, ml_slice_make("\x84\x4d", 2));
            ml_write_varuint(&w, letters - 1);
        } else {
            ml_write_bytes(&w, ml_slice_make("\x04\1\1t", 4));
        }
        ml_write_bytes(&w, ml_slice_make("\1x\0", 3));
        letters++;
        assert_int_equal(
            ml_room_submit(writer.member, ml_writer_slice(&w), letters, false, &scratch), ML_OK);
        ml_writer_release(&w);
        ml_arena_reset(&scratch);
        turn();
    }
    assert_int_equal(writer.acked_no, letters);
}

static bool reader_has_all(void)
{
    struct ml_writer has, all;
    bool is_equal;

    ml_writer_init(&has, 1024);
    ml_writer_init(&all, 1024);
    ml_doc_state_vector(reader.replica, &has);
    ml_write_bytes(&all, ml_slice_make("\1\x4d", 2));
    ml_write_varuint(&all, letters);
    is_equal = ml_slice_equal(ml_writer_slice(&has), ml_writer_slice(&all));
    ml_writer_release(&has);
    ml_writer_release(&all);
    return is_equal;
}

static uint64_t looks_of(const struct node *node)
{
    struct ml_rooms_stats stats;

    ml_rooms_stats(node->rooms, &stats);
    return stats.looks;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static uint64_t env_mono(void *arg)
{
    (void)arg;
    return now_ms;
}

static int64_t env_wall(void *arg)
{
    (void)arg;
    return (int64_t)now_ms + 1700000000000;
}

static uint64_t env_random(void *arg)
{
    (void)arg;
    return 1 + now_ms;
}

static int begin(void **state)
{
    (void)state;
    now_ms = 1000000;
    letters = told = losing = 0;
    memset(nodes, 0, sizeof nodes);
    ml_arena_init(&scratch, 1u << 20);
    assert_int_equal(ml_journal_open_memory(NULL, &journal), ML_OK);
    for (unsigned i = 0; i < NODES; i++) {
        const struct ml_room_env env = {.bus = &nodes[i].bus,
                                        .journal = journal,
                                        .mono_ms = env_mono,
                                        .wall_ms = env_wall,
                                        .random = env_random};

        nodes[i].bus.ops = &bus_ops;
        ml_list_init(&nodes[i].heard);
        nodes[i].rooms = ml_rooms_new(&env);
        assert_non_null(nodes[i].rooms);
        ml_rooms_bus_changed(nodes[i].rooms, true);
    }
    sit_down(&writer, &nodes[0], "ana");
    sit_down(&reader, &nodes[1], "ben");
    type(3);
    pass(20000);
    assert_true(reader_has_all());
    return 0;
}

static void crash(struct node *node)
{
    if (node->rooms)
        ml_rooms_crash(node->rooms);
    node->rooms = NULL;
    turn();
}

static void on_closed(void *arg)
{
    (void)arg;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        crash(&nodes[i]);
    ml_doc_free(writer.replica);
    ml_doc_free(reader.replica);
    ml_journal_close(journal, on_closed, NULL);
    (void)ml_journal_memory_step(journal);
    ml_arena_release(&scratch);
    return 0;
}

/* ---- What is expected ------------------------------------------------------------------------ */

static void what_is_told_is_there_at_once(void **state)
{
    (void)state;
    type(5);
    assert_true(reader_has_all());
}

static void the_last_news_of_a_burst_that_are_lost_are_made_up_for(void **state)
{
    (void)state;
    type(5);
    losing = 1;
    type(1);
    assert_false(reader_has_all());
    pass(IN_TIME);
    assert_true(reader_has_all());
}

static void so_are_two_in_a_row(void **state)
{
    (void)state;
    losing = 2;
    type(1);
    pass(IN_TIME);
    assert_true(reader_has_all());
}

static void the_end_of_a_burst_is_said_three_times_and_then_no_more(void **state)
{
    unsigned before = told;

    (void)state;
    type(5);
    pass(60000);
    assert_int_equal(told - before, 5 + 3);
}

static void a_bus_that_went_silent_is_not_waited_for(void **state)
{
    (void)state;
    nodes[0].is_cut = nodes[1].is_cut = true;
    for (unsigned i = 0; i < 10; i++) {
        type(1);
        pass(IN_TIME);
        assert_true(reader_has_all());
    }
}

static void nor_is_a_node_that_the_bus_has_lost(void **state)
{
    (void)state;
    nodes[0].is_cut = true;
    for (unsigned i = 0; i < 10; i++) {
        type(1);
        pass(IN_TIME);
        assert_true(reader_has_all());
    }
}

static void what_a_node_wrote_before_it_died_is_found(void **state)
{
    (void)state;
    losing = 1;
    type(1);
    crash(&nodes[0]);
    pass(IN_TIME);
    assert_true(reader_has_all());
}

static void heads_are_looked_at_rarely_while_all_is_well(void **state)
{
    uint64_t before = looks_of(&nodes[1]);

    (void)state;
    pass(60000);
    assert_in_range(looks_of(&nodes[1]) - before, 5, 7);
}

static void and_when_a_node_has_said_that_it_leaves(void **state)
{
    uint64_t before = looks_of(&nodes[1]);

    (void)state;
    ml_rooms_drain(nodes[0].rooms, ML_CLOSE_SHUTDOWN);
    turn();
    crash(&nodes[0]);
    pass(60000);
    assert_in_range(looks_of(&nodes[1]) - before, 5, 7);
}

static void but_often_when_it_just_fell_silent_and_not_for_ever(void **state)
{
    uint64_t before = looks_of(&nodes[1]);

    (void)state;
    crash(&nodes[0]);
    pass(60000);
    assert_in_range(looks_of(&nodes[1]) - before, 100, 125);
    pass(600000);
    before = looks_of(&nodes[1]);
    pass(60000);
    assert_in_range(looks_of(&nodes[1]) - before, 5, 7);
}

/* A third node is heard on; the place in front of its own becomes free. */
static void a_node_keeps_its_place_when_another_one_leaves(void **state)
{
    const struct ml_news third = {.kind = ML_NEWS_PULSE, .node = 99};
    uint64_t before = looks_of(&nodes[1]);

    (void)state;
    for (unsigned i = 0; i < 60000 / PULSE_MS; i++) {
        ml_rooms_heard(nodes[1].rooms, &third);
        pass(PULSE_MS);
        if (i == 1) {
            ml_rooms_drain(nodes[0].rooms, ML_CLOSE_SHUTDOWN);
            turn();
            crash(&nodes[0]);
        }
    }
    assert_in_range(looks_of(&nodes[1]) - before, 5, 7);
}

int main(void)
{
    ml_log_set_level(ML_LOG_ERROR);
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(what_is_told_is_there_at_once),
        CASE(the_last_news_of_a_burst_that_are_lost_are_made_up_for),
        CASE(so_are_two_in_a_row),
        CASE(the_end_of_a_burst_is_said_three_times_and_then_no_more),
        CASE(a_bus_that_went_silent_is_not_waited_for),
        CASE(nor_is_a_node_that_the_bus_has_lost),
        CASE(what_a_node_wrote_before_it_died_is_found),
        CASE(heads_are_looked_at_rarely_while_all_is_well),
        CASE(and_when_a_node_has_said_that_it_leaves),
        CASE(a_node_keeps_its_place_when_another_one_leaves),
        CASE(but_often_when_it_just_fell_silent_and_not_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
