/* SPDX-License-Identifier: MIT */
/*
 * Two and three nodes on one journal, without a bus: rooms of one document decide about collisions,
 * and whoever is late decides again. A node asks the journal, the journal carries it out, the node
 * hears of it: three steps, and a node may die between any two of them.
 *
 *   clients --wires--> rooms of node 0, 1, 2 --asked--> one journal --answers--> rooms
 *
 * The journal is the one in memory, or (`postgres`) a database, to which each node has connections
 * of its own: there what the nodes ask is often carried out at once, and which append comes first
 * is the database's choice. What is in it is read by somebody who does nothing else.
 *
 * Odd seeds write keys of a map, even ones attributes of an XML element that everybody begins with.
 * The policy is Lua: of `max` the larger number stands, of `all` everything that anybody put in; so
 * in the end they tell whether a write was lost, or a decision was made twice. Checked always: what
 * a client is sent, and what is acknowledged, was in the journal before. One seed decides all, but
 * for who of two is first at the database.
 *
 * A write that was on its way when the wire broke may be lost, and only that: if it had lost
 * against another on its writer's own screen meanwhile, Yjs has thrown its content away there.
 */
#include "support/journal_client.h"
#include "support/test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "room/room.h"

#define NODES         3
#define CLIENTS       4
#define STEPS         150
#define SEEDS         300
#define SEEDS_LONG    10000
#define SEEDS_PG      200 /* in PostgreSQL */
#define SEEDS_PG_LONG 2000
#define OFFLINE       UINT64_MAX
#define BYTES_MAX     ((size_t)8 << 20)

static const struct ml_slice org = {(const uint8_t *)"default", 7};

/* ---- The world ------------------------------------------------------------------------------- */

enum request_kind { APPEND, LOAD };

/* What a node has asked: waits to be carried out, then for its answer to be heard. */
struct request {
    struct ml_list node;
    enum request_kind kind;
    struct ml_append *append;
    struct ml_load *load;
    void (*append_done)(struct ml_append *append);
    void (*load_done)(struct ml_load *load);
    enum ml_journal_fault fault; /* that it meets */
    bool is_carried_out;
};

struct node {
    struct ml_journal journal; /* first: what its rooms see of the journal */
    struct ml_rooms *rooms;
    struct ml_list asked, answers;
    struct request *under_way; /* the journal has it; NULL: nothing */
};

struct item {
    struct ml_list node;
    struct ml_blob *bytes;
    uint64_t message_no; /* to the server: 0: a Step1 */
    bool is_reply;
};

struct client {
    struct ml_port port; /* first */
    struct ml_doc *replica;
    struct node *at; /* NULL: offline */
    struct ml_member *member;
    bool is_joined, is_paused, was_closed, has_answered;
    uint64_t message_no, acked_no;
    uint64_t wrote_no[STEPS + 8]; /* by number: the message that brings it, 0: none */
    struct ml_list to_server, to_client, unacked;
};

static struct node nodes[NODES];
static struct client clients[CLIENTS];
static unsigned node_count;
static struct ml_journal *journal;                    /* in memory; NULL: PostgreSQL */
static struct journal_client stores[NODES], onlooker; /* PostgreSQL: the nodes', and who looks on */
static bool is_postgres;
static enum ml_journal_fault fault; /* of the next append */
static char name[32];               /* of the document: a new one in each run */
static struct ml_script *script;
static struct ml_doc *truth;
static struct ml_arena scratch;
static bool may_be_lost[STEPS + 8];
static uint64_t seed, rng, now_ms, next_number, next_session, moved, resolutions, races;
static uint64_t truth_head;
static char dir[] = "/tmp/moonloom-conflict-sim-XXXXXX";

static uint64_t below(uint64_t n)
{
    uint64_t z;

    rng += 0x9e3779b97f4a7c15u;
    z = rng;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

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
    return below(UINT64_MAX) | 1;
}

/* ---- The journal as a node sees it ----------------------------------------------------------- */

static struct request *request_of(struct ml_list *link)
{
    return ML_CONTAINER(link, struct request, node);
}

static struct request *ask(struct ml_journal *of, enum request_kind kind)
{
    struct node *node = (struct node *)(void *)of;
    struct request *request = calloc(1, sizeof *request);

    assert_non_null(request);
    request->kind = kind;
    ml_list_append(&node->asked, &request->node);
    return request;
}

static void node_append(struct ml_journal *of, struct ml_append *append)
{
    ask(of, APPEND)->append = append;
}

static void node_load(struct ml_journal *of, struct ml_load *load)
{
    ask(of, LOAD)->load = load;
}

static const struct ml_journal_ops node_ops = {.append = node_append, .load = node_load};

static void append_carried_out(struct ml_append *append)
{
    for (unsigned i = 0; i < node_count; i++)
        if (nodes[i].under_way && nodes[i].under_way->append == append)
            nodes[i].under_way->is_carried_out = true;
}

static void load_carried_out(struct ml_load *load)
{
    for (unsigned i = 0; i < node_count; i++)
        if (nodes[i].under_way && nodes[i].under_way->load == load)
            nodes[i].under_way->is_carried_out = true;
}

/* The journal is handed what the node asked first. */
static bool hand_over(struct node *node)
{
    struct ml_journal *to = is_postgres ? stores[node - nodes].journal : journal;
    struct ml_list *link = ml_list_take_first(&node->asked);
    struct request *request;

    if (!link)
        return false;
    node->under_way = request = request_of(link);
    if (request->kind == APPEND) {
        request->append_done = request->append->done;
        request->append->done = append_carried_out;
        request->fault = fault;
        fault = ML_FAULT_NONE;
        if (request->fault == ML_FAULT_FAIL)
            request->is_carried_out = true; /* it never got there */
        else
            ml_journal_append(to, request->append);
    } else {
        request->load_done = request->load->done;
        request->load->done = load_carried_out;
        ml_journal_load(to, request->load);
    }
    return true;
}

/* Wait until the journal has done it. */
static void take_back(struct node *node)
{
    struct request *request = node->under_way;

    if (!request)
        return;
    if (is_postgres)
        client_wait(&stores[node - nodes], &request->is_carried_out);
    else
        (void)ml_journal_memory_step(journal);
    assert_true(request->is_carried_out);
    node->under_way = NULL;
    if (request->fault != ML_FAULT_NONE)
        request->append->err = ML_EIO;
    ml_list_append(&node->answers, &request->node);
}

static void note_record(uint64_t seq, struct ml_slice bytes)
{
    assert_int_equal(seq, truth_head + 1);
    truth_head = seq;
    assert_int_equal(ml_doc_apply_bytes(truth, bytes, NULL), ML_OK);
}

static void on_commit(void *arg, struct ml_slice in_org, struct ml_slice document, uint64_t seq,
                      struct ml_slice bytes)
{
    (void)arg;
    (void)in_org;
    (void)document;
    note_record(seq, bytes);
}

/* What has come into the database since it was looked into last. */
static void look(void)
{
    struct ml_load load;

    assert_int_equal(client_load(&onlooker, name, 0, truth_head, &load), ML_OK);
    for (size_t i = 0; i < load.count; i++)
        note_record(load.records[i].seq, ml_blob_slice(load.records[i].bytes));
    assert_int_equal(load.head, truth_head);
    ml_load_release(&load);
}

/* The journal does what `count` nodes asked first; a database does it at once. */
static bool carry_out(struct node *first, unsigned count)
{
    unsigned handed = 0, appends = 0;

    for (unsigned i = 0; i < count; i++) {
        handed += hand_over(&first[i]);
        appends += first[i].under_way && !first[i].under_way->is_carried_out &&
                   first[i].under_way->kind == APPEND;
        if (!is_postgres)
            take_back(&first[i]);
    }
    races += is_postgres && appends > 1;
    for (unsigned i = 0; i < count; i++)
        take_back(&first[i]);
    if (is_postgres && handed)
        look();
    return handed;
}

static bool answer(struct node *node)
{
    struct ml_list *link = ml_list_take_first(&node->answers);
    struct request request;

    if (!link)
        return false;
    request = *request_of(link);
    free(request_of(link));
    if (request.kind == APPEND)
        request.append_done(request.append);
    else
        request.load_done(request.load);
    return true;
}

static bool is_in_journal(struct ml_slice bytes)
{
    const struct ml_update *update;
    struct ml_doc_stats stats;

    ml_doc_stats(truth, &stats);
    assert_int_equal(ml_update_decode(&scratch, bytes, NULL, NULL, &update), ML_OK);
    return stats.pending_structs || stats.pending_deletes || ml_doc_contains(truth, update);
}

/* ---- Wires ----------------------------------------------------------------------------------- */

static void push(struct ml_list *list, struct ml_slice bytes, uint64_t message_no, bool is_reply)
{
    struct item *item = calloc(1, sizeof *item);

    assert_non_null(item);
    item->bytes = ml_blob_new(bytes);
    assert_non_null(item->bytes);
    item->message_no = message_no;
    item->is_reply = is_reply;
    ml_list_append(list, &item->node);
}

static void drop(struct item *item)
{
    ml_list_remove(&item->node);
    ml_blob_unref(item->bytes);
    free(item);
}

static void drop_all(struct ml_list *list)
{
    ML_LIST_EACH(node, list)
    drop(ML_CONTAINER(node, struct item, node));
}

static struct client *client_of(struct ml_port *port)
{
    return (struct client *)(void *)port;
}

static struct ml_frame frame_of(struct ml_slice message)
{
    struct ml_reader reader = ml_reader_make(message);
    struct ml_frame frame;

    assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &reader, &frame), ML_OK);
    return frame;
}

static enum ml_err port_send(struct ml_port *port, struct ml_blob *blob, enum ml_send as)
{
    struct ml_frame frame = frame_of(ml_frame_message(blob));

    (void)as;
    if (frame.kind == ML_FRAME_UPDATE || frame.kind == ML_FRAME_STEP2)
        assert_true(is_in_journal(frame.payload));
    push(&client_of(port)->to_client, ml_frame_message(blob), 0, false);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    struct client *client = client_of(port);

    client->acked_no = message_no;
    ML_LIST_EACH(node, &client->unacked)
    {
        struct item *item = ML_CONTAINER(node, struct item, node);

        if (item->message_no > message_no)
            break;
        assert_true(is_in_journal(ml_blob_slice(item->bytes)));
        drop(item);
    }
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct client *client = client_of(port);

    (void)why;
    client->member = member;
    client->is_joined = member != NULL;
    client->was_closed |= !member;
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)why;
    (void)reason;
    client_of(port)->was_closed = true;
}

static void port_pause(struct ml_port *port, bool paused)
{
    client_of(port)->is_paused = paused;
}

/* ---- Clients --------------------------------------------------------------------------------- */

static void forget_connection(struct client *client)
{
    for (unsigned i = 0; i < STEPS + 8; i++) {
        bool was_sent = client->wrote_no[i] && client->wrote_no[i] != OFFLINE;

        may_be_lost[i] |= was_sent && client->wrote_no[i] > client->acked_no;
        if (was_sent)
            client->wrote_no[i] = 0;
    }
    drop_all(&client->to_server);
    drop_all(&client->to_client);
    drop_all(&client->unacked);
    client->at = NULL;
    client->member = NULL;
    client->is_joined = client->is_paused = client->was_closed = client->has_answered = false;
    client->message_no = client->acked_no = 0;
}

static void disconnect(struct client *client)
{
    if (client->at && client->member)
        ml_member_leave(client->member);
    forget_connection(client);
}

static void send_update(struct client *client, struct ml_slice bytes, bool is_reply)
{
    push(&client->to_server, bytes, ++client->message_no, is_reply);
    push(&client->unacked, bytes, client->message_no, is_reply);
}

static void send_step1(struct client *client)
{
    struct ml_writer w;

    ml_writer_init(&w, BYTES_MAX);
    ml_doc_state_vector(client->replica, &w);
    push(&client->to_server, ml_writer_slice(&w), 0, false);
    ml_writer_release(&w);
}

static void send_state(struct client *client, struct ml_slice vector)
{
    struct ml_writer w;

    ml_writer_init(&w, BYTES_MAX);
    assert_int_equal(ml_doc_encode_state(client->replica, vector, &w), ML_OK);
    send_update(client, ml_writer_slice(&w), true);
    for (unsigned i = 0; i < STEPS + 8; i++)
        if (client->wrote_no[i] == OFFLINE)
            client->wrote_no[i] = client->message_no;
    ml_writer_release(&w);
}

static void join(struct client *client, struct node *node)
{
    struct ml_identity identity = {0};
    const struct ml_grant grant = ml_grant_editor();
    struct ml_member *member;

    forget_connection(client);
    (void)snprintf(identity.user, sizeof identity.user, "u%d", (int)(client - clients));
    (void)snprintf(identity.session, sizeof identity.session, "s%llu",
                   (unsigned long long)next_session++);
    client->at = node;
    if (ml_rooms_join(node->rooms, org, ml_slice_str(name), &identity, &grant, &client->port,
                      &member)) {
        forget_connection(client);
        return;
    }
    client->member = member;
    send_step1(client);
}

static void write_ops(struct client *client, const char *json)
{
    const struct ml_change *change;
    struct ml_writer ops;

    ml_writer_init(&ops, BYTES_MAX);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &ops), ML_OK);
    assert_int_equal(
        ml_doc_run_ops(client->replica, ml_writer_slice(&ops), &scratch, NULL, &change), ML_OK);
    ml_writer_release(&ops);
    if (change->bytes.len && client->has_answered) {
        send_update(client, change->bytes, false);
        client->wrote_no[next_number] = client->message_no;
    } else {
        client->wrote_no[next_number] = OFFLINE;
    }
}

static bool writes_attributes(void)
{
    return seed % 2 == 0;
}

/* The value of an attribute of the element, as JSON; "" if there is none. */
static void read_attribute(struct ml_doc *doc, const char *key, char *out, size_t size)
{
    bool is_list = strcmp(key, "all") == 0; /* printed as 1,2,3 */
    struct ml_writer xml;
    char pattern[32];
    const char *at;

    ml_writer_init(&xml, BYTES_MAX);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("x"), ML_VIEW_XML, &xml), ML_OK);
    ml_write_u8(&xml, 0);
    (void)snprintf(pattern, sizeof pattern, " %s=\"", key);
    at = strstr((const char *)xml.ptr, pattern);
    out[0] = '\0';
    if (at) {
        at += strlen(pattern);
        (void)snprintf(out, size, is_list ? "[%.*s]" : "%.*s", (int)strcspn(at, "\""), at);
    }
    ml_writer_release(&xml);
}

/* The value of a key of `m`, or of an attribute, as JSON; "" if there is none. */
static void read_key(struct ml_doc *doc, const char *key, char *out, size_t size)
{
    struct ml_writer w;
    char pattern[32];
    const char *at, *end;

    if (writes_attributes()) {
        read_attribute(doc, key, out, size);
        return;
    }
    ml_writer_init(&w, BYTES_MAX);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("m"), ML_VIEW_JSON, &w), ML_OK);
    ml_write_u8(&w, 0);
    (void)snprintf(pattern, sizeof pattern, "\"%s\":", key);
    at = strstr((const char *)w.ptr, pattern);
    out[0] = '\0';
    if (at) {
        at += strlen(pattern);
        end = *at == '[' ? strchr(at, ']') + 1 : at + strcspn(at, ",}");
        assert_true((size_t)(end - at) < size);
        memcpy(out, at, (size_t)(end - at));
        out[end - at] = '\0';
    }
    ml_writer_release(&w);
}

static void client_writes(struct client *client)
{
    char ops[8192], list[6000];
    unsigned long long number = ++next_number;
    const char *set = writes_attributes() ? "attr.set\",\"x/0" : "map.set\",\"m";
    const char *delete = writes_attributes() ? "attr.remove\",\"x/0" : "map.delete\",\"m";

    switch (below(4)) {
    case 0:
        (void)snprintf(ops, sizeof ops, "[[\"%s\",\"max\",%llu]]", set, number);
        break;
    case 1:
        (void)snprintf(ops, sizeof ops, "[[\"%s\",\"gone\",%llu]]", set, number);
        break;
    case 2:
        (void)snprintf(ops, sizeof ops, "[[\"%s\",\"gone\"]]", delete);
        break;
    default:
        read_key(client->replica, "all", list, sizeof list);
        if (list[0])
            list[strlen(list) - 1] = ',';
        (void)snprintf(ops, sizeof ops, "[[\"%s\",\"all\",%s%llu]]]", set, list[0] ? list : "[",
                       number);
        break;
    }
    write_ops(client, ops);
}

static bool deliver_to_server(struct client *client)
{
    struct item *item;
    enum ml_err err;

    if (!client->is_joined || client->is_paused || client->was_closed ||
        ml_list_is_empty(&client->to_server))
        return false;
    item = ML_CONTAINER(client->to_server.next, struct item, node);
    if (item->message_no)
        err = ml_room_submit(client->member, ml_blob_slice(item->bytes), item->message_no,
                             item->is_reply, &scratch);
    else
        err = ml_room_sync(client->member, ml_blob_slice(item->bytes), &scratch);
    if (err == ML_EBUSY)
        return false;
    assert_int_equal(err, ML_OK);
    drop(item);
    return true;
}

static bool deliver_to_client(struct client *client)
{
    struct item *item;
    struct ml_frame frame;

    if (ml_list_is_empty(&client->to_client))
        return false;
    item = ML_CONTAINER(client->to_client.next, struct item, node);
    frame = frame_of(ml_blob_slice(item->bytes));
    if (frame.kind == ML_FRAME_STEP1) {
        client->has_answered = true;
        send_state(client, frame.payload);
    } else if (frame.kind == ML_FRAME_STEP2 || frame.kind == ML_FRAME_UPDATE) {
        assert_int_equal(ml_doc_apply_bytes(client->replica, frame.payload, NULL), ML_OK);
    }
    drop(item);
    return true;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void start(struct node *node)
{
    const struct ml_room_env env = {
        .journal = &node->journal,
        .script = script,
        .mono_ms = env_mono,
        .wall_ms = env_wall,
        .random = env_random,
        .limits = {.grace_ms = 1000},
    };

    node->journal.ops = &node_ops;
    ml_list_init(&node->asked);
    ml_list_init(&node->answers);
    node->rooms = ml_rooms_new(&env);
    assert_non_null(node->rooms);
}

static void forget_requests(struct ml_list *list)
{
    struct ml_list *link;

    while ((link = ml_list_take_first(list)) != NULL) {
        struct request *request = request_of(link);

        if (request->kind == LOAD)
            ml_load_release(request->load);
        free(request);
    }
}

static void crash(struct node *node)
{
    struct ml_rooms_stats stats;

    ml_rooms_stats(node->rooms, &stats);
    moved += stats.moved;
    resolutions += stats.resolutions;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (clients[i].at == node)
            forget_connection(&clients[i]);
    forget_requests(&node->answers);
    forget_requests(&node->asked);
    ml_rooms_crash(node->rooms);
    start(node);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void step(void)
{
    struct node *node = &nodes[below(node_count)];
    struct client *client = &clients[below(CLIENTS)];
    uint64_t what = below(32);

    if (what < 6) {
        /* Who writes between hearing of others and sending what it has decides for itself: it has
         * seen both. */
        if (!client->at || client->has_answered)
            client_writes(client);
    } else if (what < 13) {
        (void)deliver_to_server(client);
    } else if (what < 19) {
        (void)deliver_to_client(client);
    } else if (what < 23) {
        if (is_postgres && below(4))
            (void)carry_out(nodes, node_count);
        else
            (void)carry_out(node, 1);
    } else if (what < 27) {
        (void)answer(node);
    } else if (what < 28) {
        now_ms += 10 + below(60);
        for (unsigned i = 0; i < node_count; i++)
            ml_rooms_tick(nodes[i].rooms);
    } else if (what < 29) {
        if (client->at && below(2))
            disconnect(client);
    } else if (what < 31) {
        if (!client->at)
            join(client, node);
    } else if (below(12) == 0) {
        crash(node);
    } else if (below(8) == 0) {
        fault = below(2) ? ML_FAULT_FAIL : ML_FAULT_UNKNOWN;
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (clients[i].was_closed)
            disconnect(&clients[i]);
    ml_arena_reset(&scratch);
}

static void settle(void)
{
    unsigned quiet = 0;

    for (unsigned rounds = 0; quiet < 40; rounds++) {
        bool moves = false;

        if (rounds == 20000)
            fail_msg("seed %llu: never quiet", (unsigned long long)seed);
        for (unsigned i = 0; i < CLIENTS; i++) {
            moves |= deliver_to_server(&clients[i]);
            moves |= deliver_to_client(&clients[i]);
            if (clients[i].was_closed)
                disconnect(&clients[i]);
            if (!clients[i].at) {
                join(&clients[i], &nodes[0]);
                moves = true;
            }
        }
        moves |= carry_out(nodes, node_count);
        for (unsigned i = 0; i < node_count; i++)
            moves |= answer(&nodes[i]);
        now_ms += 50;
        for (unsigned i = 0; i < node_count; i++)
            ml_rooms_tick(nodes[i].rooms);
        ml_arena_reset(&scratch);
        quiet = moves ? 0 : quiet + 1;
    }
}

/* ---- One run --------------------------------------------------------------------------------- */

/* The same unit for everybody: who comes first brings it. */
static void begin_with_element(struct ml_doc *replica)
{
    struct ml_doc *first = ml_doc_new(&(struct ml_doc_options){.client = 1});
    struct ml_diag diag = {0};
    const struct ml_change *change;
    struct ml_writer any;

    assert_non_null(first);
    ml_writer_init(&any, BYTES_MAX);
    assert_int_equal(
        ml_any_from_json(
            ML_SLICE("[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\"}]]]"), NULL,
            &any),
        ML_OK);
    assert_int_equal(ml_doc_run_ops(first, ml_writer_slice(&any), &scratch, &diag, &change), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(replica, change->bytes, NULL), ML_OK);
    ml_writer_release(&any);
    ml_doc_free(first);
}

static void open_world(void)
{
    rng = seed;
    memset(may_be_lost, 0, sizeof may_be_lost);
    now_ms = 1000;
    next_number = truth_head = 0;
    fault = ML_FAULT_NONE;
    (void)snprintf(name, sizeof name, "board-%llu", (unsigned long long)seed);
    node_count = 2 + (unsigned)below(2);
    if (!is_postgres) {
        assert_int_equal(ml_journal_open_memory(NULL, &journal), ML_OK);
        ml_journal_memory_on_commit(journal, on_commit, NULL);
    }
    truth = ml_doc_new(&(struct ml_doc_options){0});
    for (unsigned i = 0; i < node_count; i++)
        start(&nodes[i]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];

        *client = (struct client){0};
        client->port = (struct ml_port){.dialect = ML_DIALECT_YWEBSOCKET,
                                        .send = port_send,
                                        .ack = port_ack,
                                        .joined = port_joined,
                                        .close = port_close,
                                        .pause = port_pause};
        ml_list_init(&client->to_server);
        ml_list_init(&client->to_client);
        ml_list_init(&client->unacked);
        client->replica =
            ml_doc_new(&(struct ml_doc_options){.client = 1 + below((uint64_t)1 << 50)});
        assert_non_null(client->replica);
        begin_with_element(client->replica);
    }
}

static void ignore(void *arg)
{
    (void)arg;
}

static void close_world(void)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        disconnect(&clients[i]);
        ml_doc_free(clients[i].replica);
    }
    for (unsigned i = 0; i < node_count; i++) {
        crash(&nodes[i]);
        ml_rooms_crash(nodes[i].rooms);
    }
    if (!is_postgres) {
        ml_journal_close(journal, ignore, NULL);
        (void)ml_journal_memory_step(journal);
    }
    ml_doc_free(truth);
}

static void encode(struct ml_doc *doc, struct ml_writer *out)
{
    ml_writer_init(out, BYTES_MAX);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), out), ML_OK);
}

/* Every replica is what the journal says. */
static void assert_converged(void)
{
    struct ml_writer wanted, state;

    encode(truth, &wanted);
    for (unsigned i = 0; i < CLIENTS; i++) {
        encode(clients[i].replica, &state);
        if (!ml_slice_equal(ml_writer_slice(&wanted), ml_writer_slice(&state)))
            fail_msg("seed %llu: client %u differs from the journal", (unsigned long long)seed, i);
        ml_writer_release(&state);
    }
    ml_writer_release(&wanted);
}

/* What the policy makes of all that was written, however it came in. */
struct wanted {
    unsigned long long max;
    bool all[STEPS + 8];
};

static void note_written(struct wanted *wanted, struct ml_doc *doc)
{
    char text[6000];
    unsigned long long number;

    read_key(doc, "max", text, sizeof text);
    number = text[0] ? strtoull(text, NULL, 10) : 0;
    wanted->max = number > wanted->max ? number : wanted->max;
    read_key(doc, "all", text, sizeof text);
    for (char *at = text; *at;) {
        at += strcspn(at, "0123456789");
        number = *at ? strtoull(at, &at, 10) : 0;
        wanted->all[number] = true;
    }
}

static void run(uint64_t with_seed)
{
    struct wanted written = {0}, stands = {0};

    seed = with_seed;
    open_world();
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        for (unsigned c = 0; c < CLIENTS; c++)
            note_written(&written, clients[c].replica);
    }
    fault = ML_FAULT_NONE;
    settle();
    for (unsigned i = 0; i < node_count; i++)
        crash(&nodes[i]);
    settle(); /* everybody at one node */
    assert_converged();
    note_written(&stands, truth);
    if (stands.max != written.max && !may_be_lost[written.max])
        fail_msg("seed %llu: max is %llu, not %llu", (unsigned long long)seed, stands.max,
                 written.max);
    for (unsigned i = 1; i < STEPS + 8; i++)
        if (stands.all[i] != written.all[i] && !may_be_lost[i])
            fail_msg("seed %llu: %u is %s", (unsigned long long)seed, i,
                     stands.all[i] ? "there, and nobody wrote it" : "lost");
    close_world();
}

static uint64_t run_count(void)
{
    if (is_postgres)
        return getenv("MOONLOOM_LONG") ? SEEDS_PG_LONG : SEEDS_PG;
    return getenv("MOONLOOM_LONG") ? SEEDS_LONG : SEEDS;
}

static void rooms_of_several_nodes_decide_once(void **state)
{
    const char *one = getenv("MOONLOOM_SEED");
    uint64_t count = run_count();

    (void)state;
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    moved = resolutions = races = 0;
    for (uint64_t s = 1; s <= count; s++)
        run(s);
    print_message("%llu runs: %llu appends came too late, %llu records hold a resolution",
                  (unsigned long long)count, (unsigned long long)moved,
                  (unsigned long long)resolutions);
    print_message(is_postgres ? "; %llu times two or more nodes appended at once\n" : "\n",
                  (unsigned long long)races);
    assert_true(moved > count / 10 && resolutions > count / 10);
    assert_true(!is_postgres || races > count / 2);
}

/* ---- The policy ------------------------------------------------------------------------------ */

static void write_file(const char *path, const char *text)
{
    char full[256];
    FILE *f;

    (void)snprintf(full, sizeof full, "%s/%s", dir, path);
    f = fopen(full, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static void open_database(struct journal_client *store)
{
    client_init(store);
    memcpy(store->url, onlooker.url, sizeof store->url);
    assert_int_equal(client_open_postgres(store), ML_OK);
}

static int setup(void **state)
{
    const struct ml_script_plugin plugin = {.name = ML_SLICE("policy")};
    struct ml_script_options options = {.plugins = &plugin, .plugin_count = 1};
    struct ml_diag diag = {0};
    char folder[256];

    (void)state;
    ml_arena_init(&scratch, (size_t)256 << 20);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(folder, sizeof folder, "%s/policy", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file("policy/plugin.lua", "return { name = 'policy', version = '1.0.0', api = 1,\n"
                                    "  hooks = { conflict = { kinds = { 'map', 'attr' } } } }\n");
    write_file(
        "policy/init.lua",
        "local ml = require 'moonloom'\n"
        "local P = {}\n"
        "function P:conflict(c)\n"
        "  local a, b = c.current.value, c.incoming.value\n"
        "  if c.key == 'max' then return (a or 0) > (b or 0) and 'current' or 'incoming' end\n"
        "  if c.key == 'all' then return ml.merge((ml.set(a) + ml.set(b)):sorted()) end\n"
        "  if c.key == 'gone' then return a == nil and 'incoming' or 'current' end\n"
        "end\n"
        "return P\n");
    options.plugins_dir = ml_slice_str(dir);
    if (ml_script_new(&options, &diag, &script))
        fail_msg("%s", diag.text);
    if (is_postgres) {
        open_database(&onlooker);
        for (unsigned i = 0; i < NODES; i++)
            open_database(&stores[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    static const char *const paths[] = {"policy/plugin.lua", "policy/init.lua", "policy", ""};
    char full[256];

    (void)state;
    if (is_postgres) {
        for (unsigned i = 0; i < NODES; i++)
            client_release(&stores[i]);
        client_release(&onlooker);
    }
    ml_script_free(script);
    ml_arena_release(&scratch);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        (void)snprintf(full, sizeof full, "%s/%s", dir, paths[i]);
        (void)remove(full);
    }
    return 0;
}

/* conflict_sim [postgres] */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rooms_of_several_nodes_decide_once)};

    is_postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
    ml_log_set_level(getenv("MOONLOOM_SEED") ? ML_LOG_INFO : ML_LOG_ERROR);
    return cmocka_run_group_tests(tests, setup, teardown);
}
