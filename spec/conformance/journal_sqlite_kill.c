/* SPDX-License-Identifier: MIT */
/*
 * F-01 on real files: a child appends without a pause and tells through a pipe what was
 * acknowledged; it is killed with SIGKILL at a random moment (while it opens, recovers, commits,
 * checkpoints or takes a snapshot); then the parent opens the same file and compares.
 *
 *   every acknowledged message is there, once, at the seq that was told, with its bytes
 *   every document is gapless and its chain holds (a load from the first record says ML_OK)
 *   sending again what may have been in flight puts it in once
 *
 * MOONLOOM_LONG: 2 000 kills instead of 200. The seed is printed and may be given as the argument.
 */
#include "support/journal_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

enum { DOCUMENTS = 3, IN_FLIGHT = 8 };

static unsigned seed;

struct ack {
    uint32_t document;
    uint32_t message_no;
    uint64_t seq;
};

/* The bytes of a message: who it is, then a length that only it has. */
static size_t message_text(char text[4096], unsigned round, unsigned document, uint64_t message_no)
{
    size_t n = (size_t)snprintf(text, 4096, "%u/%u/%llu ", round, document,
                                (unsigned long long)message_no);
    size_t pad = (message_no * 7919 + round * 104729 + document) % 40;

    pad = pad == 0 ? 3000 : pad * 5;
    memset(text + n, 'a' + (int)(message_no % 26), pad);
    text[n + pad] = 0;
    return n + pad;
}

/* --- the child --- */

struct child_append {
    struct append_case c;
    char session[24], name[8];
};

static struct journal_client *child;
static int ack_fd;
static unsigned child_round;
static uint64_t next_no[DOCUMENTS];

static void send_next(struct child_append *a, unsigned document);

static void on_child_put(struct ml_snapshot_put *put)
{
    ml_blob_unref(put->state);
    ml_blob_unref(put->state_vector);
    free(put);
}

/* Not a real state: nobody decodes it here. */
static void put_snapshot(const char *name, uint64_t seq)
{
    struct ml_snapshot_put *put = calloc(1, sizeof *put);

    if (!put)
        _exit(3);
    *put = (struct ml_snapshot_put){.org = ML_SLICE("default"),
                                    .name = ml_slice_str(name),
                                    .seq = seq,
                                    .epoch = 1,
                                    .state = ml_blob_new(ML_SLICE("state state state state")),
                                    .state_vector = ml_blob_new(ML_SLICE("sv")),
                                    .keep = 3,
                                    .done = on_child_put};
    ml_journal_put_snapshot(child->journal, put);
}

static void on_child_appended(struct ml_append *append)
{
    struct append_case *c = ML_CONTAINER(append, struct append_case, append);
    struct child_append *a = ML_CONTAINER(c, struct child_append, c);
    struct ack ack = {.document = (uint32_t)(a->name[1] - '0'),
                      .message_no = (uint32_t)c->records[0].message_no,
                      .seq = c->records[0].seq};

    if (append->err || c->records[0].repeated)
        _exit(4);
    if (write(ack_fd, &ack, sizeof ack) != (ssize_t)sizeof ack)
        _exit(5);
    if (ack.seq % 50 == 0)
        put_snapshot(a->name, ack.seq);
    append_release(c);
    send_next(a, ack.document);
}

static void send_next(struct child_append *a, unsigned document)
{
    char text[4096];
    uint64_t message_no = ++next_no[document];

    (void)snprintf(a->name, sizeof a->name, "d%u", document);
    (void)snprintf(a->session, sizeof a->session, "round-%u", child_round);
    (void)message_text(text, child_round, document, message_no);
    append_init(&a->c, a->name);
    append_add(&a->c, text, a->session, message_no);
    a->c.append.done = on_child_appended;
    ml_journal_append(child->journal, &a->c.append);
}

/* Never returns: appends until it is killed. */
static void run_child(struct journal_client *client, unsigned round, int fd)
{
    static struct child_append appends[DOCUMENTS * IN_FLIGHT];
    struct ml_diag diag = {0};

    child = client;
    child_round = round;
    ack_fd = fd;
    if (uv_loop_fork(&client->loop) ||
        ml_journal_open_sqlite(client->path, &client->loop, &diag, &client->journal)) {
        (void)fprintf(stderr, "child: %s\n", diag.text);
        _exit(6);
    }
    for (unsigned i = 0; i < DOCUMENTS * IN_FLIGHT; i++)
        send_next(&appends[i], i % DOCUMENTS);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    _exit(7);
}

/* --- the parent --- */

struct acks {
    struct ack *list;
    size_t count, cap;
};

/* One acknowledgement; false: the child has ended, or `wait_ms` (negative: for ever) is over. */
static bool take_ack(struct acks *acks, int fd, int wait_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct ack ack;
    ssize_t n;

    if (poll(&poll_fd, 1, wait_ms) <= 0)
        return false;
    n = read(fd, &ack, sizeof ack);
    if (n == 0)
        return false;
    assert_int_equal(n, sizeof ack);
    if (acks->count == acks->cap) {
        acks->cap = acks->cap ? acks->cap * 2 : 256;
        acks->list = realloc(acks->list, acks->cap * sizeof ack);
        assert_non_null(acks->list);
    }
    acks->list[acks->count++] = ack;
    return true;
}

static void take_acks_until(struct acks *acks, int fd, uint64_t until_ms)
{
    for (uint64_t now = ml_clock_mono_ms(); now < until_ms; now = ml_clock_mono_ms())
        (void)take_ack(acks, fd, (int)(until_ms - now));
}

/* One round: fork, read acknowledgements, kill, read what is left in the pipe. */
static void kill_one_writer(struct journal_client *client, unsigned round, struct acks *acks)
{
    int fds[2], status;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        run_child(client, round, fds[1]);
    }
    close(fds[1]);
    /* Every fifth dies while it opens, recovers or begins; the others some commits later. */
    if (round % 5 != 0)
        assert_true(take_ack(acks, fds[0], -1));
    take_acks_until(acks, fds[0], ml_clock_mono_ms() + (uint64_t)(rand() % 60));
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (take_ack(acks, fds[0], -1))
        ;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void check_acks(const struct journal_client *client, unsigned round, const struct acks *acks)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_open_v2(client->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT seq, bytes FROM records r JOIN documents d USING (org, document)"
                           " WHERE d.org = 'default' AND d.name = ?1 AND session = ?2"
                           " AND message_no = ?3",
                           -1, &stmt, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < acks->count; i++) {
        const struct ack *ack = &acks->list[i];
        char name[16], session[24], text[4096];
        size_t len = message_text(text, round, ack->document, ack->message_no);

        (void)snprintf(name, sizeof name, "d%u", ack->document);
        (void)snprintf(session, sizeof session, "round-%u", round);
        sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, session, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 3, ack->message_no);
        if (sqlite3_step(stmt) != SQLITE_ROW)
            fail_msg("seed %u round %u: %s message %u was acknowledged and is lost", seed, round,
                     name, ack->message_no);
        assert_int_equal(sqlite3_column_int64(stmt, 0), ack->seq);
        assert_int_equal(sqlite3_column_bytes(stmt, 1), len);
        assert_memory_equal(sqlite3_column_blob(stmt, 1), text, len);
        assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What the child may have had in flight, once more with the same keys, twice. */
static void send_again(struct journal_client *client, unsigned round, const struct acks *acks)
{
    static const char *const names[DOCUMENTS] = {"d0", "d1", "d2"};
    struct append_case cases[2][DOCUMENTS];
    uint32_t acked[DOCUMENTS] = {0};
    char session[24], text[4096];

    (void)snprintf(session, sizeof session, "round-%u", round);
    for (size_t i = 0; i < acks->count; i++)
        if (acks->list[i].message_no > acked[acks->list[i].document])
            acked[acks->list[i].document] = acks->list[i].message_no;
    for (unsigned d = 0; d < 2 * DOCUMENTS; d++) {
        struct append_case *c = &cases[d / DOCUMENTS][d % DOCUMENTS];
        uint32_t from = acked[d % DOCUMENTS];

        append_init(c, names[d % DOCUMENTS]);
        for (uint32_t no = from + 1; no <= from + IN_FLIGHT; no++) {
            (void)message_text(text, round, d % DOCUMENTS, no);
            append_add(c, text, session, no);
        }
        append_send(client, c);
    }
    for (unsigned d = 0; d < 2 * DOCUMENTS; d++) {
        struct append_case *c = &cases[d / DOCUMENTS][d % DOCUMENTS];

        client_wait(client, &c->answered);
        assert_int_equal(c->append.err, ML_OK);
        for (size_t i = 0; i < c->append.count; i++)
            assert_true(d < DOCUMENTS || c->records[i].repeated);
        append_release(c);
    }
}

static void check_documents(struct journal_client *client, uint64_t heads[DOCUMENTS])
{
    for (unsigned d = 0; d < DOCUMENTS; d++) {
        struct ml_load load;
        char name[16];

        (void)snprintf(name, sizeof name, "d%u", d);
        if (client_load(client, name, 0, 0, &load))
            fail_msg("seed %u: %s: %s", seed, name, load.diag.text);
        assert_int_equal(load.count, load.head);
        assert_true(load.head >= heads[d]);
        heads[d] = load.head;
        ml_load_release(&load);
    }
}

static void a_killed_writer_loses_nothing_it_acknowledged(void **state)
{
    unsigned kills = getenv("MOONLOOM_LONG") && *getenv("MOONLOOM_LONG") ? 2000 : 200;
    struct journal_client client;
    uint64_t heads[DOCUMENTS] = {0};
    size_t acknowledged = 0, silent = 0;

    (void)state;
    client_init(&client);
    srand(seed);
    for (unsigned round = 0; round < kills; round++) {
        struct acks acks = {0};

        kill_one_writer(&client, round, &acks);
        acknowledged += acks.count;
        silent += acks.count == 0;
        assert_int_equal(client_open_sqlite(&client), ML_OK);
        check_acks(&client, round, &acks);
        send_again(&client, round, &acks);
        if (round % 10 == 9 || round + 1 == kills)
            check_documents(&client, heads);
        client_close(&client);
        free(acks.list);
    }
    print_message("kills=%u acknowledged=%zu killed_before_any=%zu records=%llu seed=%u\n", kills,
                  acknowledged, silent, (unsigned long long)(heads[0] + heads[1] + heads[2]), seed);
    assert_true(acknowledged > kills * 10); /* otherwise the test has shown nothing */
    client_release(&client);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_writer_loses_nothing_it_acknowledged),
    };

    /* The kernel survives, so a file in memory shows the same, and the disk's speed does not count.
     */
    if (access("/dev/shm", W_OK) == 0)
        client_folder = "/dev/shm";
    seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)ml_clock_wall_ms();
    return cmocka_run_group_tests_name("conformance/journal/sqlite_kill", tests, NULL, NULL);
}
