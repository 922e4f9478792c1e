/* SPDX-License-Identifier: MIT */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

unsigned append_turns;
const char *client_folder;

void client_init(struct journal_client *client)
{
    *client = (struct journal_client){0};
    assert_int_equal(uv_loop_init(&client->loop), 0);
    (void)snprintf(client->folder, sizeof client->folder, "%.32s/moonloom-journal-XXXXXX",
                   client_folder ? client_folder : "/tmp");
    assert_non_null(mkdtemp(client->folder));
    (void)snprintf(client->path, sizeof client->path, "%s/data/moonloom.db", client->folder);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

void client_wait(struct journal_client *client, const bool *flag)
{
    while (!*flag)
        (void)uv_run(&client->loop, UV_RUN_ONCE);
}

void client_close(struct journal_client *client)
{
    bool closed = false;

    ml_journal_close(client->journal, set_flag, &closed);
    client_wait(client, &closed);
    client->journal = NULL;
}

void client_release(struct journal_client *client)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    char path[160];

    if (client->journal)
        client_close(client);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&client->loop), 0);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(path, sizeof path, "%s%s", client->path, ends[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/data", client->folder);
    (void)rmdir(path);
    assert_int_equal(rmdir(client->folder), 0);
}

enum ml_err client_open_sqlite(struct journal_client *client)
{
    struct ml_diag diag = {0};
    enum ml_err err = ml_journal_open_sqlite(client->path, &client->loop, &diag, &client->journal);

    if (err)
        assert_true(diag.text[0]); /* an operator must be told why */
    return err;
}

static void make_database(struct journal_client *client)
{
    const char *server = getenv("MOONLOOM_TEST_PG");
    const char *name = strrchr(client->folder, '-') + 1; /* random */
    char url[256], sql[128];
    PGconn *conn;
    PGresult *result;

    assert_non_null(server);
    (void)snprintf(url, sizeof url, "%.160s dbname=postgres", server);
    conn = PQconnectdb(url);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\" TEMPLATE template0", name);
    result = PQexec(conn, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(conn);
    (void)snprintf(client->url, sizeof client->url, "%.160s dbname=%s", server, name);
}

enum ml_err client_open_postgres(struct journal_client *client)
{
    struct ml_diag diag = {0};
    enum ml_err err;

    if (!client->url[0])
        make_database(client);
    err = ml_journal_open_postgres(client->url, &client->loop, &diag, &client->journal);
    if (err)
        assert_true(diag.text[0]); /* an operator must be told why */
    return err;
}

enum ml_err (*client_open)(struct journal_client *client);

bool client_choose(const char *kind)
{
    static const struct {
        const char *kind;
        enum ml_err (*open)(struct journal_client *client);
    } rows[] = {{"memory", client_open_memory},
                {"sqlite", client_open_sqlite},
                {"postgres", client_open_postgres}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].kind, kind) == 0)
            client_open = rows[i].open;
    return client_open != NULL;
}

int client_begin(void **state)
{
    struct journal_client *client = calloc(1, sizeof *client);

    if (!client)
        return -1;
    client_init(client);
    *state = client;
    return client_open(client) ? -1 : 0;
}

int client_end(void **state)
{
    client_release(*state);
    free(*state);
    return 0;
}

enum ml_err client_open_memory(struct journal_client *client)
{
    return ml_journal_open_memory(&client->loop, &client->journal);
}

void append_init(struct append_case *c, const char *name)
{
    *c = (struct append_case){0};
    c->append.org = ML_SLICE("default");
    c->append.name = ml_slice_str(name);
    c->append.records = c->records;
    c->append.expected_head = ML_SEQ_ANY;
}

void append_add(struct append_case *c, const char *text, const char *session, uint64_t message_no)
{
    assert_true(c->append.count < sizeof c->records / sizeof *c->records);
    c->records[c->append.count++] = (struct ml_record){
        .bytes = ml_blob_new(ml_slice_str(text)),
        .author = ML_SLICE("anna"),
        .session = session ? ml_slice_str(session) : (struct ml_slice){0},
        .message_no = message_no,
        .at_ms = 1700000000000 + (int64_t)message_no,
    };
}

void append_release(struct append_case *c)
{
    for (size_t i = 0; i < c->append.count; i++)
        ml_blob_unref(c->records[i].bytes);
    c->append.count = 0;
}

static void on_appended(struct ml_append *append)
{
    struct append_case *c = ML_CONTAINER(append, struct append_case, append);

    assert_false(c->answered);
    c->answered = true;
    c->turn = ++append_turns;
}

void append_send(struct journal_client *client, struct append_case *c)
{
    c->answered = false;
    c->append.done = on_appended;
    ml_journal_append(client->journal, &c->append);
    assert_false(c->answered);
}

enum ml_err append_run(struct journal_client *client, struct append_case *c)
{
    append_send(client, c);
    client_wait(client, &c->answered);
    return c->append.err;
}

uint64_t client_append_some(struct journal_client *client, const char *name, unsigned count)
{
    uint64_t head = 0;

    for (unsigned i = 1; i <= count; i++) {
        struct append_case c;
        char text[64];

        append_init(&c, name);
        (void)snprintf(text, sizeof text, "%.40s %u", name, i);
        append_add(&c, text, NULL, 0);
        assert_int_equal(append_run(client, &c), ML_OK);
        head = c.append.head;
        append_release(&c);
    }
    return head;
}

struct flagged_load {
    struct ml_load load;
    bool answered;
};

static void on_loaded(struct ml_load *load)
{
    ML_CONTAINER(load, struct flagged_load, load)->answered = true;
}

enum ml_err client_load(struct journal_client *client, const char *name, uint64_t max_snapshot_seq,
                        uint64_t after_seq, struct ml_load *load)
{
    struct flagged_load flagged = {.load = {.org = ML_SLICE("default"),
                                            .name = ml_slice_str(name),
                                            .max_snapshot_seq = max_snapshot_seq,
                                            .after_seq = after_seq,
                                            .done = on_loaded}};

    ml_journal_load(client->journal, &flagged.load);
    assert_false(flagged.answered);
    client_wait(client, &flagged.answered);
    *load = flagged.load;
    return load->err;
}

struct flagged_put {
    struct ml_snapshot_put put;
    bool answered;
};

static void on_put(struct ml_snapshot_put *put)
{
    ML_CONTAINER(put, struct flagged_put, put)->answered = true;
}

enum ml_err client_put_snapshot(struct journal_client *client, const char *name, uint64_t seq,
                                uint64_t epoch, struct ml_slice state, uint32_t keep)
{
    struct flagged_put flagged = {.put = {.org = ML_SLICE("default"),
                                          .name = ml_slice_str(name),
                                          .seq = seq,
                                          .epoch = epoch,
                                          .state = ml_blob_new(state),
                                          .state_vector = ml_blob_new(ML_SLICE("\1\2\3")),
                                          .at_ms = 1700000000000,
                                          .keep = keep,
                                          .done = on_put}};

    ml_journal_put_snapshot(client->journal, &flagged.put);
    assert_false(flagged.answered);
    client_wait(client, &flagged.answered);
    ml_blob_unref(flagged.put.state);
    ml_blob_unref(flagged.put.state_vector);
    return flagged.put.err;
}
