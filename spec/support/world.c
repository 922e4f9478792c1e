/* SPDX-License-Identifier: MIT */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TICK_MS 50

static const struct ml_slice org = {(const uint8_t *)"default", 7};
static const struct ml_slice document = {(const uint8_t *)"notes", 5};

/* Source: splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
uint64_t world_random(struct world *world, uint64_t below)
{
    uint64_t z;

    world->rng += 0x9e3779b97f4a7c15ull;
    z = world->rng;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) % below;
}

static uint64_t env_mono(void *arg)
{
    return ((struct world *)arg)->now_ms;
}

static int64_t env_wall(void *arg)
{
    return (int64_t)((struct world *)arg)->now_ms + 1700000000000;
}

static uint64_t env_random(void *arg)
{
    struct world *world = arg;

    return world_random(world, UINT64_MAX);
}

/* ---- Wires ------------------------------------------------------------------------------------
 */

static void push(struct ml_list *list, struct ml_blob *bytes, uint64_t message_no)
{
    struct wire_item *item = calloc(1, sizeof *item);

    assert_non_null(item);
    item->bytes = bytes;
    item->message_no = message_no;
    ml_list_append(list, &item->node);
}

static void drop(struct wire_item *item)
{
    ml_list_remove(&item->node);
    ml_blob_unref(item->bytes);
    free(item);
}

static void drop_all(struct ml_list *list)
{
    ML_LIST_EACH(node, list)
    drop(ML_CONTAINER(node, struct wire_item, node));
}

static struct client *client_of(struct ml_port *port)
{
    return (struct client *)(void *)port;
}

static const struct ml_update *decode(struct world *world, struct ml_slice bytes)
{
    const struct ml_update *update;

    assert_int_equal(ml_update_decode(&world->scratch, bytes, NULL, NULL, &update), ML_OK);
    return update;
}

static struct ml_frame frame_of(struct ml_slice message)
{
    struct ml_reader reader = ml_reader_make(message);
    struct ml_frame frame;

    assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &reader, &frame), ML_OK);
    return frame;
}

/* A part that waits for others (no client here causes that twice) is in the journal as parked. */
static bool is_in_journal(struct world *world, struct ml_slice update)
{
    struct ml_doc_stats stats;

    ml_doc_stats(world->truth, &stats);
    return stats.pending_structs || stats.pending_deletes ||
           ml_doc_contains(world->truth, decode(world, update));
}

static enum ml_err port_send(struct ml_port *port, struct ml_blob *blob, enum ml_send as)
{
    struct client *client = client_of(port);
    struct ml_frame frame = frame_of(ml_frame_message(blob));

    (void)as;
    if (frame.kind == ML_FRAME_UPDATE || frame.kind == ML_FRAME_STEP2)
        assert_true(is_in_journal(client->world, frame.payload)); /* [W2] */
    push(&client->to_client, ml_blob_ref(blob), 0);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    struct client *client = client_of(port);

    assert_true(message_no >= client->acked_no);
    assert_true(message_no <= client->message_no);
    client->acked_no = message_no;
    ML_LIST_EACH(node, &client->unacked)
    {
        struct wire_item *item = ML_CONTAINER(node, struct wire_item, node);

        if (item->message_no > message_no)
            break;
        assert_true(is_in_journal(client->world, ml_blob_slice(item->bytes))); /* [W3] */
        drop(item);
    }
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct client *client = client_of(port);

    if (!member) {
        client->member = NULL;
        client->is_connected = false;
        client->was_closed = true;
        client->closed_why = why;
        return;
    }
    client->is_joined = true;
    client->member = member;
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    struct client *client = client_of(port);

    (void)reason;
    client->was_closed = true;
    client->closed_why = why;
}

static void port_pause(struct ml_port *port, bool paused)
{
    client_of(port)->is_paused = paused;
}

static void port_failed(struct ml_port *port, uint64_t message_no, enum ml_err err)
{
    struct client *client = client_of(port);

    assert_int_equal(err, ML_EDENIED);
    assert_true(message_no > client->acked_no);
    client->was_closed = true;
}

/* ---- Between two loops ------------------------------------------------------------------------
 */

static void post(void *arg, unsigned loop, struct ml_list *parcels)
{
    struct world *world = arg;

    ml_list_splice(&world->mail[loop], parcels);
}

static struct ml_rooms *rooms_of(struct world *world, unsigned loop)
{
    return loop == world->env.loop ? world->rooms : world->front;
}

bool world_deliver_mail(struct world *world)
{
    bool is_any = false;

    for (unsigned loop = 0; loop < 2; loop++) {
        struct ml_list now, *node;

        ml_list_init(&now);
        ml_list_splice(&now, &world->mail[loop]);
        while ((node = ml_list_take_first(&now)) != NULL) {
            struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

            parcel->open(parcel, rooms_of(world, loop));
            is_any = true;
        }
    }
    return is_any;
}

static void lose_mail(struct world *world)
{
    for (unsigned loop = 0; loop < 2; loop++) {
        struct ml_list *node;

        while ((node = ml_list_take_first(&world->mail[loop])) != NULL) {
            struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

            parcel->open(parcel, NULL);
        }
    }
}

static bool flush(struct world *world)
{
    bool is_any = ml_rooms_flush(world->rooms);

    if (world->front != world->rooms)
        is_any |= ml_rooms_flush(world->front);
    return is_any;
}

/* ---- Truth ------------------------------------------------------------------------------------
 */

/* Called by the journal for every record of a transaction, before anybody is answered. */
static void on_commit(void *arg, struct ml_slice in_org, struct ml_slice name, uint64_t seq,
                      struct ml_slice bytes)
{
    struct world *world = arg;

    assert_true(ml_slice_equal(in_org, org) && ml_slice_equal(name, document));
    assert_int_equal(seq, world->truth_head + 1); /* [W1] */
    world->truth_head = seq;
    assert_int_equal(ml_doc_apply_bytes(world->truth, bytes, NULL), ML_OK);
}

void world_commit(struct world *world)
{
    (void)ml_journal_memory_step(world->journal);
}

static void encode(struct ml_doc *doc, struct ml_writer *out)
{
    ml_writer_init(out, 64u << 20);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), out), ML_OK);
    assert_int_equal(out->err, ML_OK);
}

static void assert_doc_sound(const struct ml_doc *doc)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag)) /* [W4] */
        fail_msg("%s", diag.text);
}

void world_assert_converged(struct world *world)
{
    struct ml_writer truth, state;

    encode(world->truth, &truth);
    assert_doc_sound(world->truth);
    for (unsigned i = 0; i < world->client_count; i++) {
        struct client *client = &world->clients[i];

        if (client->reader && !client->is_connected)
            continue;
        assert_doc_sound(client->replica);
        encode(client->replica, &state);
        if (!ml_slice_equal(ml_writer_slice(&truth), ml_writer_slice(&state)))
            fail_msg("seed %llu: %s differs from the journal (%zu and %zu bytes)",
                     (unsigned long long)world->seed, client->name, state.len, truth.len);
        ml_writer_release(&state);
    }
    ml_writer_release(&truth);
}

/* ---- Clients ----------------------------------------------------------------------------------
 */

/* What y-websocket puts on the wire: one message, no RFC 6455 header (the server reads messages).
 */
static void send_message(struct client *client, uint8_t type, int subtype, struct ml_slice payload,
                         bool counts)
{
    struct ml_writer w;

    ml_writer_init(&w, 64u << 20);
    ml_write_u8(&w, type);
    if (subtype >= 0)
        ml_write_u8(&w, (uint8_t)subtype);
    ml_write_varbytes(&w, payload);
    assert_int_equal(w.err, ML_OK);
    push(&client->to_server, ml_blob_new(ml_writer_slice(&w)), counts ? ++client->message_no : 0);
    ml_writer_release(&w);
    if (counts)
        push(&client->unacked, ml_blob_new(payload), client->message_no);
}

static void send_state(struct client *client, struct ml_slice vector)
{
    struct ml_writer state;

    ml_writer_init(&state, 64u << 20);
    assert_int_equal(ml_doc_encode_state(client->replica, vector, &state), ML_OK);
    send_message(client, 0, 1, ml_writer_slice(&state), true);
    ml_writer_release(&state);
}

static void send_step1(struct client *client)
{
    struct ml_writer vector;

    ml_writer_init(&vector, 64u << 20);
    ml_doc_state_vector(client->replica, &vector);
    send_message(client, 0, 0, ml_writer_slice(&vector), false);
    ml_writer_release(&vector);
}

static void client_forget_connection(struct client *client)
{
    drop_all(&client->to_client);
    drop_all(&client->to_server);
    drop_all(&client->unacked);
    client->is_connected = client->is_joined = client->is_paused = client->was_closed =
        client->is_synced = client->has_answered = false;
    client->member = NULL;
    client->message_no = client->acked_no = 0;
    client->frames = client->updates = client->presences = 0;
}

void client_connect(struct client *client)
{
    struct world *world = client->world;
    struct ml_identity identity = {0};
    struct ml_grant grant = {.may = ML_MAY_READ | ML_MAY_PRESENCE |
                                    (client->reader ? 0 : ML_MAY_WRITE)};
    struct ml_member *member;

    client_forget_connection(client);
    (void)snprintf(identity.user, sizeof identity.user, "u-%s", client->name);
    (void)snprintf(identity.session, sizeof identity.session, "s%llu",
                   (unsigned long long)world->next_id++);
    client->is_connected = true;
    if (ml_rooms_join(world->front, org, document, &identity, &grant, &client->port, &member)) {
        client->is_connected = false;
        return;
    }
    client->member = member;
    send_step1(client);
}

void client_disconnect(struct client *client)
{
    if (client->is_connected && client->member)
        ml_member_leave(client->member);
    client_forget_connection(client);
}

static void apply_local(struct client *client, struct ml_writer *update)
{
    assert_int_equal(update->err, ML_OK);
    assert_int_equal(ml_doc_apply_bytes(client->replica, ml_writer_slice(update), NULL), ML_OK);
    if (client->has_answered)
        send_message(client, 0, 2, ml_writer_slice(update), true);
    ml_writer_release(update);
}

/* Every client types at the end of a root of its own, so that origins are honest by construction.
 */
void client_type(struct client *client)
{
    struct ml_writer w;
    char letter = (char)('a' + client->clock % 26);

    ml_writer_init(&w, 4096);
    ml_write_u8(&w, 1);
    ml_write_u8(&w, 1);
    ml_write_varuint(&w, client->id);
    ml_write_varuint(&w, client->clock);
    if (client->clock == 0) {
        ml_write_u8(&w, 0x04);
        ml_write_u8(&w, 1);
        ml_write_varbytes(&w, ml_slice_str(client->name));
    } else {
        ml_write_u8(&w, 0x84);
        ml_write_varuint(&w, client->id);
        ml_write_varuint(&w, client->clock - 1);
    }
    ml_write_varbytes(&w, ml_slice_make(&letter, 1));
    ml_write_u8(&w, 0);
    client->clock++;
    apply_local(client, &w);
}

void client_delete(struct client *client)
{
    struct ml_writer w;

    if (!client->clock)
        return;
    ml_writer_init(&w, 4096);
    ml_write_u8(&w, 0);
    ml_write_u8(&w, 1);
    ml_write_varuint(&w, client->id);
    ml_write_u8(&w, 1);
    ml_write_varuint(&w, world_random(client->world, client->clock));
    ml_write_u8(&w, 1);
    apply_local(client, &w);
}

void client_presence(struct client *client, uint64_t clock, const char *json)
{
    struct ml_presence_entry entry = {
        .client = client->id,
        .clock = clock,
        .json = ml_slice_str(json),
        .offline = strcmp(json, "null") == 0,
    };
    struct ml_writer w;

    ml_writer_init(&w, 1u << 20);
    ml_write_varuint(&w, 1);
    ml_presence_write(&w, &entry);
    send_message(client, 1, -1, ml_writer_slice(&w), false);
    ml_writer_release(&w);
}

void client_reads(struct client *client, uint64_t id, char *out, size_t size)
{
    struct client *author = NULL;
    struct ml_writer text;

    for (unsigned i = 0; i < client->world->client_count; i++)
        if (client->world->clients[i].id == id)
            author = &client->world->clients[i];
    assert_non_null(author);
    ml_writer_init(&text, 1u << 20);
    assert_int_equal(ml_doc_read(client->replica, ml_slice_str(author->name), ML_VIEW_TEXT, &text),
                     ML_OK);
    (void)snprintf(out, size, "%.*s", ML_PRINT(ml_writer_slice(&text)));
    ml_writer_release(&text);
}

static void client_receives(struct client *client, struct ml_blob *blob)
{
    struct ml_frame frame = frame_of(ml_frame_message(blob));

    client->frames++;
    ml_blob_unref(client->last_frame);
    client->last_frame = ml_blob_ref(blob);
    switch (frame.kind) {
    case ML_FRAME_STEP1:
        client->has_answered = true;
        send_state(client, frame.payload);
        break;
    case ML_FRAME_STEP2:
        client->is_synced = true;
        assert_int_equal(ml_doc_apply_bytes(client->replica, frame.payload, NULL), ML_OK);
        break;
    case ML_FRAME_UPDATE:
        client->updates++;
        assert_int_equal(ml_doc_apply_bytes(client->replica, frame.payload, NULL), ML_OK);
        break;
    case ML_FRAME_AWARENESS:
        client->presences++;
        client->last_presence = frame.payload;
        break;
    default:
        break;
    }
}

void world_lose_to_server(struct client *client)
{
    assert_false(ml_list_is_empty(&client->to_server));
    drop(ML_CONTAINER(client->to_server.next, struct wire_item, node));
}

void world_deliver_to_client(struct client *client)
{
    struct ml_list *node = client->to_client.next;
    struct wire_item *item = ML_CONTAINER(node, struct wire_item, node);

    if (ml_list_is_empty(&client->to_client))
        return;
    client_receives(client, item->bytes);
    drop(item);
}

/* What net does with a frame. */
void world_deliver_to_server(struct client *client)
{
    struct world *world = client->world;
    struct wire_item *item = ML_CONTAINER(client->to_server.next, struct wire_item, node);
    struct ml_frame frame;
    enum ml_err err = ML_OK;

    if (ml_list_is_empty(&client->to_server) || !client->is_joined || client->is_paused ||
        client->was_closed)
        return;
    frame = frame_of(ml_blob_slice(item->bytes));
    switch (frame.kind) {
    case ML_FRAME_STEP1:
        err = ml_room_sync(client->member, frame.payload, &world->scratch);
        break;
    case ML_FRAME_STEP2:
    case ML_FRAME_UPDATE:
        err = ml_room_submit(client->member, frame.payload, item->message_no,
                             frame.kind == ML_FRAME_STEP2, &world->scratch);
        break;
    case ML_FRAME_AWARENESS:
        err = ml_room_presence(client->member, frame.payload, &world->scratch);
        break;
    default:
        break;
    }
    ml_arena_reset(&world->scratch);
    if (err == ML_EBUSY) {
        client->is_paused = true;
        return;
    }
    if (err == ML_EDENIED)
        client->was_closed = true;
    else
        assert_int_equal(err, ML_OK);
    drop(item);
}

/* ---- The world --------------------------------------------------------------------------------
 */

void world_advance(struct world *world, uint64_t ms)
{
    for (uint64_t end = world->now_ms + ms; world->now_ms < end;) {
        world->now_ms += TICK_MS;
        ml_rooms_tick(world->rooms);
        if (world->front != world->rooms)
            ml_rooms_tick(world->front);
    }
}

static void client_step(struct client *client)
{
    struct world *world = client->world;

    if (client->was_closed)
        client_disconnect(client);
    if (!client->is_connected) {
        if (world_random(world, 4) == 0)
            client_connect(client);
        else if (!client->reader)
            client_type(client);
        return;
    }
    switch (world_random(world, 40)) {
    case 0:
        client_disconnect(client);
        break;
    case 1:
    case 2:
        if (!client->reader)
            client_delete(client);
        break;
    case 3:
    case 4:
    case 5:
        if (!client->reader)
            client_type(client);
        break;
    default:
        if (world_random(world, 2))
            world_deliver_to_client(client);
        else
            world_deliver_to_server(client);
    }
}

void world_step(struct world *world)
{
    uint64_t dice = world_random(world, 100);

    if (dice % 4 == 0)
        (void)flush(world);
    if (dice % 3 == 0)
        (void)world_deliver_mail(world);
    if (dice % 5 == 0)
        ml_journal_memory_begin(world->journal);
    if (dice < 12)
        world_commit(world);
    else if (dice < 16)
        world_advance(world, TICK_MS * (1 + world_random(world, 4)));
    else
        client_step(&world->clients[world_random(world, world->client_count)]);
}

void world_settle(struct world *world)
{
    for (bool moved = true; moved;) {
        moved = ml_journal_memory_step(world->journal) > 0;
        moved |= flush(world);
        moved |= world_deliver_mail(world);
        for (unsigned i = 0; i < world->client_count; i++) {
            struct client *client = &world->clients[i];

            moved |= client->is_joined && !client->is_paused && !client->was_closed &&
                     !ml_list_is_empty(&client->to_server);
            moved |= !ml_list_is_empty(&client->to_client);
            world_deliver_to_server(client);
            world_deliver_to_client(client);
        }
    }
}

static void start_server(struct world *world)
{
    struct ml_room_env env = world->env;

    world->rooms = world->front = ml_rooms_new(&env);
    assert_non_null(world->rooms);
    if (env.loops < 2)
        return;
    env.loop = 1 - env.loop;
    world->front = ml_rooms_new(&env);
    assert_non_null(world->front);
}

static void stop_server(struct world *world)
{
    if (world->front != world->rooms)
        ml_rooms_free(world->front);
    ml_rooms_free(world->rooms);
}

void world_restart_rooms(struct world *world)
{
    stop_server(world);
    start_server(world);
}

void world_split(struct world *world)
{
    world->env.loops = 2;
    world->env.loop = ml_document_loop(org, document, 2);
    world->env.post = post;
    world->env.post_arg = world;
    world_restart_rooms(world);
}

void world_crash(struct world *world)
{
    ml_journal_memory_forget(world->journal);
    lose_mail(world);
    if (world->front != world->rooms)
        ml_rooms_crash(world->front);
    ml_rooms_crash(world->rooms);
    for (unsigned i = 0; i < world->client_count; i++)
        client_forget_connection(&world->clients[i]);
    start_server(world);
}

void world_open(struct world *world, uint64_t seed, unsigned clients)
{
    static const struct ml_port port = {.dialect = ML_DIALECT_YWEBSOCKET,
                                        .send = port_send,
                                        .ack = port_ack,
                                        .joined = port_joined,
                                        .close = port_close,
                                        .pause = port_pause,
                                        .failed = port_failed};
    struct ml_doc_options options = {0};

    *world = (struct world){
        .seed = seed, .rng = seed, .now_ms = 1000000, .client_count = clients, .next_id = 1};
    assert_true(clients <= WORLD_CLIENTS);
    ml_arena_init(&world->scratch, 64u << 20);
    ml_list_init(&world->mail[0]);
    ml_list_init(&world->mail[1]);
    world->truth = ml_doc_new(&options);
    assert_int_equal(ml_journal_open_memory(NULL, &world->journal), ML_OK);
    ml_journal_memory_on_commit(world->journal, on_commit, world);
    world->env = (struct ml_room_env){
        .journal = world->journal,
        .mono_ms = env_mono,
        .wall_ms = env_wall,
        .random = env_random,
        .arg = world,
        .snapshot = {.every_ops = 50, .min_gap_ms = 200, .on_unload = true, .on_shutdown = true},
    };
    start_server(world);
    for (unsigned i = 0; i < clients; i++) {
        struct client *client = &world->clients[i];

        client->port = port;
        client->world = world;
        client->id = 100 + i;
        client->replica = ml_doc_new(&options);
        (void)snprintf(client->name, sizeof client->name, "c%u", i);
        ml_list_init(&client->to_client);
        ml_list_init(&client->to_server);
        ml_list_init(&client->unacked);
    }
}

static void on_closed(void *arg)
{
    (void)arg;
}

void world_close(struct world *world)
{
    for (unsigned i = 0; i < world->client_count; i++)
        client_disconnect(&world->clients[i]);
    (void)flush(world);
    (void)world_deliver_mail(world);
    ml_rooms_drain(world->front, ML_CLOSE_SHUTDOWN);
    ml_rooms_drain(world->rooms, ML_CLOSE_SHUTDOWN);
    for (int i = 0; i < 100 && !ml_rooms_is_empty(world->rooms); i++) {
        world_commit(world);
        world_advance(world, 1000);
        (void)world_deliver_mail(world);
    }
    lose_mail(world);
    stop_server(world);
    ml_journal_close(world->journal, on_closed, NULL);
    (void)ml_journal_memory_step(world->journal);
    ml_doc_free(world->truth);
    for (unsigned i = 0; i < world->client_count; i++) {
        ml_blob_unref(world->clients[i].last_frame);
        ml_doc_free(world->clients[i].replica);
    }
    ml_arena_release(&world->scratch);
}
