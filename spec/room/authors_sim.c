/* SPDX-License-Identifier: MIT */
/*
 * Whose edits may come under which client id (SEC-AZ-08): rooms of one node, and of two over one
 * journal with a bus that says nothing until it is told to.
 *
 *   seat --> rooms of node 0 --told--> bus --heard--> rooms of node 1 <-- seat
 *                     \------------- journal -------------/
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
/* A bus of this test's own. */
#include "bus/implementation.h"
#include "room/room.h"

#define NODES   2
#define SEATS   8
#define TICK_MS 50

struct node {
    struct ml_bus bus; /* first */
    struct ml_rooms *rooms;
    struct ml_list heard; /* on the way to it */
    struct ml_bus_stats stats;
};

struct message {
    struct ml_list node;
    struct ml_news news;
    struct ml_blob *bytes;
};

struct seat {
    struct ml_port port; /* first */
    struct ml_member *member;
    struct ml_doc *replica;
    uint64_t sent_no, acked_no;
    struct ml_blob *waits; /* a message that met ML_EBUSY */
    bool is_paused, was_closed, was_fenced;
    enum ml_err err; /* of the newest message */
};

static const struct ml_slice org = {(const uint8_t *)"default", 7};
static const struct ml_slice name = {(const uint8_t *)"notes", 5};
static struct node nodes[NODES];
static struct seat seats[SEATS];
static unsigned seat_count;
static struct ml_journal *journal;
static struct ml_arena scratch;
static uint64_t now_ms, randoms;
static bool has_bus, is_mute; /* what the bus is told stays with it */
static struct ml_authorship authorship;

/* ---- The bus --------------------------------------------------------------------------------- */

static void bus_tell(struct ml_bus *bus, const struct ml_news *news)
{
    struct node *from = (struct node *)(void *)bus, *to = &nodes[from == nodes];
    struct message *message = calloc(1, sizeof *message);

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
    struct ml_list *link = is_mute ? NULL : ml_list_take_first(&node->heard);
    struct message *message = link ? ML_CONTAINER(link, struct message, node) : NULL;

    if (!message)
        return false;
    if (node->rooms)
        ml_rooms_heard(node->rooms, &message->news);
    ml_blob_unref(message->bytes);
    free(message);
    return true;
}

static void turn(void);

/* ---- Seats ----------------------------------------------------------------------------------- */

static struct seat *seat_of(struct ml_port *port)
{
    return (struct seat *)(void *)port;
}

static enum ml_err port_send(struct ml_port *port, struct ml_blob *blob, enum ml_send as)
{
    struct ml_reader in = ml_reader_make(ml_frame_message(blob));
    struct ml_frame frame;

    (void)as;
    assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &in, &frame), ML_OK);
    if (frame.kind == ML_FRAME_UPDATE || frame.kind == ML_FRAME_STEP2)
        assert_int_equal(ml_doc_apply_bytes(seat_of(port)->replica, frame.payload, NULL), ML_OK);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    seat_of(port)->acked_no = message_no;
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    (void)why;
    assert_non_null(member);
    seat_of(port)->member = member;
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)why;
    (void)reason;
    seat_of(port)->was_closed = true;
}

static void port_pause(struct ml_port *port, bool paused)
{
    seat_of(port)->is_paused = paused;
}

static void port_refused(struct ml_port *port, const struct ml_notice *notice)
{
    assert_true(notice->is_fenced);
    assert_true(ml_slice_equal(notice->denial->code, ML_SLICE("author.foreign")));
    seat_of(port)->was_fenced = true;
}

static struct seat *sits(unsigned node, const char *user)
{
    struct seat *seat = &seats[seat_count++];
    const struct ml_grant grant = ml_grant_editor();
    struct ml_identity identity;

    assert_true(seat_count <= SEATS);
    if (strcmp(user, "?") == 0)
        ml_identity_guest(&identity);
    else
        ml_identity_make(&identity, ml_slice_str(user), ml_slice_str(user), 0);
    *seat = (struct seat){.port = {.dialect = ML_DIALECT_YWEBSOCKET,
                                   .send = port_send,
                                   .ack = port_ack,
                                   .joined = port_joined,
                                   .close = port_close,
                                   .pause = port_pause,
                                   .refused = port_refused}};
    seat->replica = ml_doc_new(NULL);
    assert_int_equal(
        ml_rooms_join(nodes[node].rooms, org, name, &identity, &grant, &seat->port, &seat->member),
        ML_OK);
    turn();
    assert_non_null(seat->member);
    return seat;
}

static void leaves(struct seat *seat)
{
    ml_member_leave(seat->member);
    seat->member = NULL;
    ml_blob_unref(seat->waits);
    seat->waits = NULL;
}

static void submit(struct seat *seat)
{
    seat->err =
        ml_room_submit(seat->member, ml_blob_slice(seat->waits), seat->sent_no, false, &scratch);
    ml_arena_reset(&scratch);
    if (seat->err == ML_EBUSY)
        return;
    ml_blob_unref(seat->waits);
    seat->waits = NULL;
}

static bool goes_on(struct seat *seat)
{
    if (!seat->member || !seat->waits || seat->is_paused)
        return false;
    submit(seat);
    return true;
}

static void turn(void)
{
    bool moves = true;

    while (moves) {
        moves = false;
        for (unsigned i = 0; i < NODES; i++)
            moves |= hear(&nodes[i]);
        moves |= ml_journal_memory_step(journal) != 0;
        for (unsigned i = 0; i < seat_count; i++)
            moves |= goes_on(&seats[i]);
    }
}

static void pass(uint64_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until;) {
        now_ms += TICK_MS;
        for (unsigned i = 0; i < NODES; i++)
            if (nodes[i].rooms)
                ml_rooms_tick(nodes[i].rooms);
        turn();
    }
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* One character of a client; the first one stands in root "t", the others behind the one before. */
static void write_unit(struct ml_writer *w, uint64_t client, uint64_t clock)
{
    ml_write_u8(w, 1);
    ml_write_varuint(w, client);
    ml_write_varuint(w, clock);
    if (clock) {
        ml_write_u8(w, 0x84);
        ml_write_varuint(w, client);
        ml_write_varuint(w, clock - 1);
    } else {
        ml_write_bytes(w, ml_slice_make("\x04\1\1t", 4));
    }
    ml_write_bytes(w, ml_slice_make("\1x", 2));
}

/* Sent, and not looked at yet whether it is durable. */
static void says(struct seat *seat, struct ml_slice bytes)
{
    assert_null(seat->waits);
    seat->waits = ml_blob_new(bytes);
    seat->sent_no++;
    submit(seat);
}

static void says_unit(struct seat *seat, uint64_t client, uint64_t clock)
{
    struct ml_writer w;

    ml_writer_init(&w, 256);
    ml_write_u8(&w, 1);
    write_unit(&w, client, clock);
    ml_write_u8(&w, 0);
    says(seat, ml_writer_slice(&w));
    ml_writer_release(&w);
}

/* Two clients in one update. */
static void says_two(struct seat *seat, uint64_t a, uint64_t clock_a, uint64_t b, uint64_t clock_b)
{
    struct ml_writer w;

    ml_writer_init(&w, 256);
    ml_write_u8(&w, 2);
    write_unit(&w, a, clock_a);
    write_unit(&w, b, clock_b);
    ml_write_u8(&w, 0);
    says(seat, ml_writer_slice(&w));
    ml_writer_release(&w);
}

static bool is_taken(const struct seat *seat)
{
    return seat->err == ML_OK && seat->acked_no == seat->sent_no && !seat->was_fenced;
}

static bool is_refused(const struct seat *seat)
{
    return seat->err == ML_EDENIED && seat->was_fenced && seat->acked_no < seat->sent_no;
}

static bool types(struct seat *seat, uint64_t client, uint64_t clock)
{
    says_unit(seat, client, clock);
    turn();
    assert_true(is_taken(seat) != is_refused(seat));
    return is_taken(seat);
}

struct loading {
    struct ml_load load;
    uint64_t units;
};

static void on_loaded(struct ml_load *load)
{
    struct loading *l = ML_CONTAINER(load, struct loading, load);
    struct ml_doc *doc = ml_doc_new(NULL);

    assert_int_equal(load->err, ML_OK);
    if (load->snapshot)
        assert_int_equal(ml_doc_apply_bytes(doc, ml_blob_slice(load->snapshot), NULL), ML_OK);
    for (size_t i = 0; i < load->count; i++)
        assert_int_equal(ml_doc_apply_bytes(doc, ml_blob_slice(load->records[i].bytes), NULL),
                         ML_OK);
    l->units = ml_doc_units_of(doc, l->units);
    ml_doc_free(doc);
    ml_load_release(load);
}

/* Units of a client that are durable. */
static uint64_t stored(uint64_t client)
{
    struct loading l = {
        .load = {.org = org, .name = name, .max_snapshot_seq = ML_SEQ_ANY, .done = on_loaded},
        .units = client};

    ml_journal_load(journal, &l.load);
    turn();
    return l.units;
}

static struct ml_rooms_stats stats_of(unsigned node)
{
    struct ml_rooms_stats stats;

    ml_rooms_stats(nodes[node].rooms, &stats);
    return stats;
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
    return 5000000 + ++randoms;
}

static void open_node(unsigned i)
{
    const struct ml_room_env env = {.bus = has_bus ? &nodes[i].bus : NULL,
                                    .journal = journal,
                                    .mono_ms = env_mono,
                                    .wall_ms = env_wall,
                                    .random = env_random,
                                    .limits = {.authorship = authorship}};

    nodes[i].rooms = ml_rooms_new(&env);
    assert_non_null(nodes[i].rooms);
    if (has_bus)
        ml_rooms_bus_changed(nodes[i].rooms, true);
}

static void begin(unsigned count, bool is_strict)
{
    now_ms = 1000000;
    seat_count = 0;
    has_bus = count > 1;
    is_mute = false;
    authorship = (struct ml_authorship){.is_strict = is_strict};
    memset(nodes, 0, sizeof nodes);
    ml_arena_init(&scratch, 1u << 20);
    assert_int_equal(ml_journal_open_memory(NULL, &journal), ML_OK);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].bus.ops = &bus_ops;
        ml_list_init(&nodes[i].heard);
    }
    for (unsigned i = 0; i < count; i++)
        open_node(i);
}

static void crash(unsigned node)
{
    if (nodes[node].rooms)
        ml_rooms_crash(nodes[node].rooms);
    nodes[node].rooms = NULL;
    ml_journal_memory_forget(journal);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static int end(void **state)
{
    (void)state;
    is_mute = false;
    for (unsigned i = 0; i < NODES; i++)
        crash(i);
    for (unsigned i = 0; i < NODES; i++)
        while (hear(&nodes[i]))
            ;
    for (unsigned i = 0; i < seat_count; i++) {
        ml_doc_free(seats[i].replica);
        ml_blob_unref(seats[i].waits);
    }
    ml_journal_close(journal, on_closed, NULL);
    (void)ml_journal_memory_step(journal);
    ml_arena_release(&scratch);
    return 0;
}

/* The process dies and comes back; everybody has to sit down again. */
static void restart(unsigned node)
{
    for (unsigned i = 0; i < seat_count; i++)
        seats[i].member = NULL;
    crash(node);
    open_node(node);
}

/* ---- One node -------------------------------------------------------------------------------- */

static void an_id_is_the_first_users(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    assert_true(types(ben, 2, 0));
    assert_true(types(ana, 1, 1));
    assert_false(types(ben, 1, 2));
    assert_int_equal(stored(1), 2);
    assert_int_equal(stats_of(0).foreign, 1);
    assert_true(types(ana, 1, 2)); /* the clock is hers still */
    assert_int_equal(stored(1), 3);
    says_unit(ben, 2, 1); /* fenced: he reads */
    turn();
    assert_int_equal(ben->err, ML_EDENIED);
}

static void also_if_the_forger_was_first(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ben, 1, 0));
    assert_false(types(ana, 1, 1));
    assert_true(types(ben, 1, 1));
}

static void a_forgery_is_refused_while_the_first_is_only_staged(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    turn();
    says_unit(ana, 1, 0);
    says_unit(ben, 1, 1);
    assert_int_equal(ben->err, ML_EDENIED);
    turn();
    assert_true(is_taken(ana));
    assert_int_equal(stored(1), 1);
}

static void another_session_of_the_user_goes_on(void **state)
{
    struct seat *ana, *tab;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    assert_true(types(ana, 1, 0));
    leaves(ana);
    tab = sits(0, "ana"); /* was offline, with the same id */
    assert_true(types(tab, 1, 1));
    assert_true(types(tab, 9, 0));
    assert_true(types(sits(0, "ana"), 9, 1));
}

static void what_the_server_has_may_be_repeated_by_anybody(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    assert_true(types(ben, 1, 0));
    says_two(ben, 2, 0, 1, 0);
    turn();
    assert_true(is_taken(ben));
    assert_int_equal(stored(2), 1);
}

static void one_foreign_struct_refuses_the_whole_update(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    says_two(ben, 2, 0, 1, 1);
    turn();
    assert_true(is_refused(ben));
    assert_int_equal(stored(1), 1);
    assert_int_equal(stored(2), 0);
    assert_true(types(sits(0, "cleo"), 2, 0)); /* it was not claimed either */
}

static void also_one_that_would_have_to_wait(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    assert_false(types(ben, 1, 7));
    assert_true(types(ana, 1, 1));
}

static void deleting_is_no_forgery(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    says(ben, ml_slice_make("\0\1\1\1\0\1", 6)); /* no struct; of client 1: unit 0 */
    turn();
    assert_true(is_taken(ben));
    assert_int_equal(ben->err, ML_OK);
}

static void claims_outlive_the_process(void **state)
{
    (void)state;
    begin(1, true);
    assert_true(types(sits(0, "ana"), 1, 0));
    restart(0);
    assert_false(types(sits(0, "ben"), 1, 1));
    assert_true(types(sits(0, "ana"), 1, 1));
}

static void what_was_not_committed_was_not_claimed(void **state)
{
    struct seat *ana;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    turn();
    says_unit(ana, 1, 0);
    restart(0);
    assert_true(types(sits(0, "ben"), 1, 0));
}

static void a_failed_append_claims_when_it_succeeds(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    turn();
    ml_journal_memory_fault(journal, ML_FAULT_UNKNOWN, 1);
    says_unit(ana, 1, 0);
    turn();
    assert_int_equal(ana->acked_no, 0);
    pass(3000);
    assert_true(is_taken(ana));
    restart(0);
    ben = sits(0, "ben");
    assert_false(types(ben, 1, 1));
}

static void claims_outlive_the_room_and_its_snapshots(void **state)
{
    struct seat *ana;

    (void)state;
    begin(1, true);
    ana = sits(0, "ana");
    for (unsigned i = 0; i < 20; i++)
        assert_true(types(ana, 1, i));
    leaves(ana);
    pass(60000);
    assert_int_equal(stats_of(0).rooms, 0);
    assert_false(types(sits(0, "ben"), 1, 20));
    assert_true(types(sits(0, "ana"), 1, 20));
}

static void what_was_there_before_is_the_first_ones_who_comes(void **state)
{
    struct seat *ana;

    (void)state;
    begin(1, true);
    ana = sits(0, "?"); /* nobody claims */
    assert_true(types(ana, 1, 0));
    assert_true(types(sits(0, "ben"), 1, 1));
    assert_false(types(sits(0, "ana"), 1, 2));
}

static void who_passes_by_claims_nothing_and_forges_nothing(void **state)
{
    struct seat *guest;

    (void)state;
    begin(1, true);
    guest = sits(0, "?");
    assert_true(types(guest, 1, 0));
    leaves(guest);
    assert_true(types(sits(0, "?"), 1, 1)); /* comes back, as somebody else */
    assert_true(types(sits(0, "ana"), 2, 0));
    assert_false(types(sits(0, "?"), 2, 1));
    assert_true(types(sits(0, "ana"), 1, 2)); /* first seen */
    assert_false(types(sits(0, "?"), 1, 3));
}

static void the_servers_ids_are_its_own(void **state)
{
    struct seat *bot, *other, *ana;

    (void)state;
    begin(1, true);
    bot = sits(0, "bot");
    bot->port.is_own = true;
    assert_true(types(bot, 1, 0));
    other = sits(0, "other"); /* a turn for somebody else, under the same id */
    other->port.is_own = true;
    assert_true(types(other, 1, 1));
    ana = sits(0, "ana");
    assert_false(types(ana, 1, 2));
    restart(0);
    assert_false(types(sits(0, "bot"), 1, 2));
}

static void a_lax_org_takes_it_and_counts(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(1, false);
    ana = sits(0, "ana");
    ben = sits(0, "ben");
    assert_true(types(ana, 1, 0));
    assert_true(types(ben, 1, 1));
    assert_int_equal(stats_of(0).foreign, 0);
    assert_int_equal(stats_of(0).relayed, 1);
    assert_true(types(ben, 2, 0));
    assert_int_equal(stats_of(0).relayed, 1);
    authorship.is_strict = true; /* from now on; what was claimed counts */
    restart(0);
    assert_false(types(sits(0, "ben"), 1, 2));
    assert_true(types(sits(0, "ana"), 1, 2));
}

static void an_org_may_be_the_exception(void **state)
{
    static const char *const lax[] = {"acme", "default"};

    (void)state;
    begin(1, true);
    authorship.except = lax;
    authorship.except_count = 2;
    restart(0);
    assert_true(types(sits(0, "ana"), 1, 0));
    assert_true(types(sits(0, "ben"), 1, 1));
    authorship.except_count = 1;
    restart(0);
    assert_false(types(sits(0, "ben"), 1, 2));
}

/* ---- Two nodes ------------------------------------------------------------------------------- */

static void an_id_of_the_other_node_is_anothers_too(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    ben = sits(1, "ben");
    turn();
    assert_true(types(ana, 1, 0));
    pass(2000);
    assert_false(types(ben, 1, 1));
    assert_true(types(ana, 1, 1));
    assert_int_equal(stored(1), 2);
}

static void also_before_the_bus_has_said_anything(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    ben = sits(1, "ben");
    turn();
    is_mute = true;
    assert_true(types(ana, 1, 0));
    assert_false(types(ben, 1, 0) && stored(1) != 1);
    is_mute = false;
    pass(2000);
    assert_false(types(sits(1, "cleo"), 1, 1));
}

static void of_two_first_edits_at_one_moment_one_is_taken(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        struct seat *ana, *ben, *first, *second;

        begin(2, true);
        ana = sits(0, "ana");
        ben = sits(1, "ben");
        is_mute = true;
        if (order)
            says_two(ben, 1, 0, 7, 0);
        says_unit(ana, 1, 0);
        if (!order)
            says_two(ben, 1, 0, 7, 0);
        turn();
        is_mute = false;
        pass(2000);
        first = order ? ben : ana;
        second = order ? ana : ben;
        assert_true(is_taken(first));
        assert_true(is_refused(second));
        assert_int_equal(stored(1), 1);
        assert_int_equal(stored(7), order);
        assert_true(types(first, 1, 1));
        assert_false(ana->was_closed || ben->was_closed);
        if (!order)
            (void)end(NULL);
    }
}

static void who_brings_what_only_the_other_node_has_yet_is_no_forger(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    ben = sits(1, "ben");
    turn();
    is_mute = true;
    assert_true(types(ana, 1, 0));
    assert_true(types(ana, 1, 1));
    says_two(ben, 2, 0, 1, 1); /* he was on node 0 a moment ago */
    assert_int_equal(ben->err, ML_EBUSY);
    turn();
    assert_true(is_taken(ben));
    assert_int_equal(stored(1), 2);
    assert_int_equal(stored(2), 1);
    assert_int_equal(ml_doc_units_of(ben->replica, 1), 2);
}

static void a_user_who_moves_to_the_other_node_goes_on(void **state)
{
    struct seat *ana;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    turn();
    (void)sits(1, "ben");
    turn();
    is_mute = true;
    assert_true(types(ana, 1, 0));
    leaves(ana);
    ana = sits(1, "ana");
    assert_true(types(ana, 1, 1));
    assert_true(types(ana, 1, 2));
    assert_int_equal(stored(1), 3);
}

static void a_known_id_asks_nobody(void **state)
{
    struct ml_journal_stats before, after;
    struct seat *ana;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    assert_true(types(ana, 1, 0));
    ml_journal_stats(journal, &before);
    for (unsigned i = 1; i < 50; i++) {
        says_unit(ana, 1, i);
        assert_int_equal(ana->err, ML_OK); /* at once */
        turn();
    }
    ml_journal_stats(journal, &after);
    assert_int_equal(after.commits - before.commits, 49);
}

static void a_journal_that_does_not_answer_is_asked_again(void **state)
{
    struct seat *ana;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    turn();
    ml_journal_memory_fault(journal, ML_FAULT_FAIL, 3);
    says_unit(ana, 1, 0);
    turn();
    assert_int_equal(ana->err, ML_EBUSY);
    pass(3000);
    assert_true(is_taken(ana));
    assert_int_equal(stored(1), 1);
}

static void who_leaves_meanwhile_is_not_told(void **state)
{
    struct seat *ana;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    turn();
    says_unit(ana, 1, 0);
    assert_int_equal(ana->err, ML_EBUSY);
    leaves(ana);
    turn();
    pass(60000);
    assert_int_equal(stats_of(0).rooms, 0);
    assert_false(types(sits(1, "ben"), 1, 0)); /* it was claimed */
    assert_true(types(sits(1, "ana"), 1, 0));
}

static void a_node_that_dies_while_it_asks_leaves_nothing_behind(void **state)
{
    struct seat *ana;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    turn();
    says_unit(ana, 1, 0);
    assert_int_equal(ana->err, ML_EBUSY);
    seats[0].member = NULL;
    crash(0);
    assert_true(types(sits(1, "ben"), 1, 0));
}

static void who_passes_by_forges_nothing_there_either(void **state)
{
    struct seat *ana, *guest;

    (void)state;
    begin(2, true);
    ana = sits(0, "ana");
    guest = sits(1, "?");
    turn();
    assert_true(types(guest, 3, 0));
    assert_true(types(ana, 1, 0));
    says_two(guest, 3, 1, 4, 0);
    turn();
    assert_true(is_taken(guest));
    assert_false(types(guest, 1, 1));
    assert_true(types(ana, 1, 1));
}

static void lax_nodes_ask_nobody(void **state)
{
    struct seat *ana, *ben;

    (void)state;
    begin(2, false);
    ana = sits(0, "ana");
    ben = sits(1, "ben");
    turn();
    is_mute = true;
    says_unit(ana, 1, 0);
    assert_int_equal(ana->err, ML_OK);
    says_unit(ben, 1, 0);
    assert_int_equal(ben->err, ML_OK);
    turn();
    is_mute = false;
    pass(2000);
    assert_true(is_taken(ana) && is_taken(ben));
    authorship.is_strict = true;
    restart(0);
    assert_false(types(sits(0, "ben"), 1, 1) && types(sits(0, "ana"), 1, 1));
}

int main(void)
{
    ml_log_set_level(ML_LOG_ERROR);
#define CASE(f) cmocka_unit_test_teardown(f, end)
    const struct CMUnitTest tests[] = {
        CASE(an_id_is_the_first_users),
        CASE(also_if_the_forger_was_first),
        CASE(a_forgery_is_refused_while_the_first_is_only_staged),
        CASE(another_session_of_the_user_goes_on),
        CASE(what_the_server_has_may_be_repeated_by_anybody),
        CASE(one_foreign_struct_refuses_the_whole_update),
        CASE(also_one_that_would_have_to_wait),
        CASE(deleting_is_no_forgery),
        CASE(claims_outlive_the_process),
        CASE(what_was_not_committed_was_not_claimed),
        CASE(a_failed_append_claims_when_it_succeeds),
        CASE(claims_outlive_the_room_and_its_snapshots),
        CASE(what_was_there_before_is_the_first_ones_who_comes),
        CASE(who_passes_by_claims_nothing_and_forges_nothing),
        CASE(the_servers_ids_are_its_own),
        CASE(a_lax_org_takes_it_and_counts),
        CASE(an_org_may_be_the_exception),
        CASE(an_id_of_the_other_node_is_anothers_too),
        CASE(also_before_the_bus_has_said_anything),
        CASE(of_two_first_edits_at_one_moment_one_is_taken),
        CASE(who_brings_what_only_the_other_node_has_yet_is_no_forger),
        CASE(a_user_who_moves_to_the_other_node_goes_on),
        CASE(a_known_id_asks_nobody),
        CASE(a_journal_that_does_not_answer_is_asked_again),
        CASE(who_leaves_meanwhile_is_not_told),
        CASE(a_node_that_dies_while_it_asks_leaves_nothing_behind),
        CASE(who_passes_by_forges_nothing_there_either),
        CASE(lax_nodes_ask_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
