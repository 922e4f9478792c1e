/* SPDX-License-Identifier: MIT */
/*
 * What a bus does, over real servers (spec/support/with-bus): three nodes on one loop tell and
 * hear; the servers are stopped, woken, killed and started again; what others say under another
 * secret is nothing.
 */
#include "bus/bus.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"

#define NODES 3

struct node {
    struct ml_bus *bus;
    unsigned heard, pulses, changes;
    bool is_healthy, is_closed;
    struct ml_news last;
    char bytes[256], name[64];
    uint64_t last_seq;
};

static uv_loop_t loop;
static struct node nodes[NODES];
static uint8_t secret[ML_BUS_SECRET_BYTES] = "one secret for all of the nodes";
static char url[256];

static void on_heard(void *arg, const struct ml_news *news)
{
    struct node *node = arg;

    if (news->kind == ML_NEWS_PULSE) {
        node->pulses++;
        return;
    }
    node->heard++;
    node->last = *news;
    node->last_seq = news->last;
    snprintf(node->bytes, sizeof node->bytes, "%.*s", ML_PRINT(news->bytes));
    snprintf(node->name, sizeof node->name, "%.*s", ML_PRINT(news->name));
}

static void on_changed(void *arg, bool is_healthy)
{
    struct node *node = arg;

    node->is_healthy = is_healthy;
    node->changes++;
}

static void open_node(struct node *node, const uint8_t *key)
{
    const struct ml_bus_options options = {
        .url = url,
        .loop = &loop,
        .node = (uint64_t)(node - nodes) + 1,
        .secret = key,
        .heard = on_heard,
        .changed = on_changed,
        .arg = node,
    };
    struct ml_diag diag = {0};

    assert_int_equal(ml_bus_open(&options, &diag, &node->bus), ML_OK);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Turn until it is so, for at most so long. */
#define UNTIL(condition, ms)                                                                       \
    do {                                                                                           \
        uint64_t until = uv_hrtime() + (uint64_t)(ms)*1000000;                                     \
        while (!(condition) && uv_hrtime() < until)                                                \
            (void)uv_run(&loop, UV_RUN_ONCE);                                                      \
        assert_true(condition);                                                                    \
    } while (0)

static uv_timer_t tick;

static int begin(void **state)
{
    const char *address = getenv("MOONLOOM_TEST_BUS");

    (void)state;
    if (!address)
        return -1;
    memset(nodes, 0, sizeof nodes);
    snprintf(url, sizeof url, "%s", address);
    if (uv_loop_init(&loop) || uv_timer_init(&loop, &tick) ||
        uv_timer_start(&tick, on_tick, 10, 10))
        return -1;
    for (unsigned i = 0; i < NODES; i++)
        open_node(&nodes[i], secret);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        ml_bus_close(nodes[i].bus, set_flag, &nodes[i].is_closed);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < NODES; i++)
        if (!nodes[i].is_closed)
            return -1;
    return uv_loop_close(&loop);
}

/* stop, start, freeze or thaw the servers. */
static void servers(const char *what)
{
    char command[512];

    snprintf(command, sizeof command, "%s %s", getenv("MOONLOOM_TEST_BUS_SERVER"), what);
    assert_int_equal(system(command), 0);
}

static bool all_healthy(void)
{
    return nodes[0].is_healthy && nodes[1].is_healthy && nodes[2].is_healthy;
}

static struct ml_news news_of(const char *name, uint64_t seq, const char *bytes)
{
    return (struct ml_news){
        .kind = ML_NEWS_RECORDS,
        .org = ML_SLICE("default"),
        .name = ml_slice_str(name),
        .epoch = 1,
        .first = seq,
        .last = seq,
        .bytes = ml_slice_str(bytes),
    };
}

static void tell(struct node *node, const char *name, uint64_t seq, const char *bytes)
{
    struct ml_news news = news_of(name, seq, bytes);

    ml_bus_tell(node->bus, &news);
}

static void those_who_follow_hear_it_and_the_one_who_says_it_does_not(void **state)
{
    (void)state;
    UNTIL(all_healthy(), 5000);
    ml_bus_follow(nodes[0].bus, ML_SLICE("default"), ML_SLICE("notes"));
    ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("notes"));
    ml_bus_follow(nodes[2].bus, ML_SLICE("default"), ML_SLICE("other"));
    /* Subscribing and publishing are two lines: say it until it is heard. */
    for (uint64_t seq = 1, until = uv_hrtime() + 5000000000u;
         !nodes[1].heard && uv_hrtime() < until; seq++) {
        tell(&nodes[0], "notes", seq, "hello");
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_string_equal(nodes[1].bytes, "hello");
    assert_string_equal(nodes[1].name, "notes");
    assert_int_equal(nodes[1].last.node, 1);
    assert_int_equal(nodes[1].last.epoch, 1);
    assert_int_equal(nodes[0].heard, 0);
    assert_int_equal(nodes[2].heard, 0);
    ml_bus_unfollow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("notes"));
    ml_bus_unfollow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("never followed"));
    UNTIL(nodes[0].pulses > 4, 8000);
}

static void what_is_large_is_told_without_its_bytes(void **state)
{
    char *large = malloc(ML_BUS_BYTES_MAX + 2);

    (void)state;
    memset(large, 'x', ML_BUS_BYTES_MAX + 1);
    large[ML_BUS_BYTES_MAX + 1] = '\0';
    UNTIL(all_healthy(), 5000);
    ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("notes"));
    for (uint64_t seq = 1, until = uv_hrtime() + 5000000000u;
         !nodes[1].heard && uv_hrtime() < until; seq++) {
        tell(&nodes[0], "notes", seq, large);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_true(nodes[1].heard > 0);
    assert_int_equal(nodes[1].last.bytes.len, 0);
    assert_true(nodes[1].last_seq > 0);
    free(large);
}

/* What plugins tell themselves is of no use without its bytes. */
static void a_message_is_heard_whole_or_not_at_all(void **state)
{
    static char large[ML_BUS_BYTES_MAX + 1];
    struct ml_news news = news_of("", 0, large);
    size_t most = ml_bus_bytes_max(nodes[0].bus);

    (void)state;
    news.kind = ML_NEWS_MESSAGE;
    news.name = ml_slice_make("\0plugin", 7);
    memset(large, 'x', sizeof large);
    UNTIL(all_healthy(), 5000);
    ml_bus_follow(nodes[1].bus, news.org, news.name);
    ml_bus_follow(nodes[2].bus, news.org, ML_SLICE("plugin"));
    for (uint64_t until = uv_hrtime() + 5000000000u; !nodes[1].heard && uv_hrtime() < until;) {
        news.bytes = ml_slice_make(large, most + 1);
        ml_bus_tell(nodes[0].bus, &news);
        news.bytes = ml_slice_make(large, most);
        ml_bus_tell(nodes[0].bus, &news);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(nodes[1].last.kind, ML_NEWS_MESSAGE);
    assert_int_equal(nodes[1].last.bytes.len, most);
    assert_int_equal(nodes[2].heard, 0);
}

static void what_others_say_under_another_secret_is_nothing(void **state)
{
    static const uint8_t theirs[ML_BUS_SECRET_BYTES] = "a guess";
    struct node *stranger = &nodes[2];
    struct ml_bus_stats stats;
    bool closed = false;

    (void)state;
    ml_bus_close(stranger->bus, set_flag, &closed);
    UNTIL(closed, 5000);
    open_node(stranger, theirs);
    UNTIL(all_healthy(), 5000);
    ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("notes"));
    for (unsigned i = 0; i < 50; i++) {
        tell(stranger, "notes", 1, "forged");
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(nodes[1].heard, 0);
    ml_bus_stats(nodes[1].bus, &stats);
    assert_int_equal(stats.forged, 0); /* under another secret even the topic is another */
}

static void a_server_that_dies_and_comes_back_is_found_again(void **state)
{
    struct ml_bus_stats stats;

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        ml_bus_close(nodes[i].bus, set_flag, &nodes[i].is_closed);
        UNTIL(nodes[i].is_closed, 5000);
    }
    servers("stop");
    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < NODES; i++)
        open_node(&nodes[i], secret); /* nobody is there */
    ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ML_SLICE("notes"));
    for (unsigned i = 0; i < 30; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_false(nodes[0].is_healthy);
    servers("start");
    UNTIL(all_healthy(), 30000);
    servers("stop");
    UNTIL(!nodes[0].is_healthy && !nodes[1].is_healthy, 5000);
    tell(&nodes[0], "notes", 1, "lost");
    servers("start");
    UNTIL(all_healthy(), 30000);
    for (uint64_t seq = 2, until = uv_hrtime() + 5000000000u;
         !nodes[1].heard && uv_hrtime() < until; seq++) {
        tell(&nodes[0], "notes", seq, "back");
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_string_equal(nodes[1].bytes, "back");
    ml_bus_stats(nodes[0].bus, &stats);
    assert_true(stats.reconnects >= 1 && stats.dropped >= 1);
}

static void a_server_that_stands_still_is_noticed_within_seconds(void **state)
{
    uint64_t began;

    (void)state;
    UNTIL(all_healthy(), 5000);
    servers("freeze");
    began = uv_hrtime();
    UNTIL(!nodes[0].is_healthy, 10000);
    assert_true(uv_hrtime() - began < 8000000000u);
    servers("thaw");
    UNTIL(all_healthy(), 15000);
}

/* Documents are spread over the servers of a bus: each is heard. */
static void every_one_of_many_documents_is_heard(void **state)
{
    char name[16];

    (void)state;
    UNTIL(all_healthy(), 5000);
    for (unsigned i = 0; i < 40; i++) {
        unsigned heard = nodes[1].heard;

        snprintf(name, sizeof name, "doc-%u", i);
        ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ml_slice_str(name));
        for (uint64_t seq = 1, until = uv_hrtime() + 5000000000u;
             strcmp(nodes[1].name, name) != 0 && uv_hrtime() < until; seq++) {
            tell(&nodes[0], name, seq, "hello");
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_true(nodes[1].heard > heard);
        assert_string_equal(nodes[1].name, name);
        ml_bus_unfollow(nodes[1].bus, ML_SLICE("default"), ml_slice_str(name));
    }
}

static void addresses_are_understood_or_refused(void **state)
{
    static const char *const wrong[] = {"redis://",        "redis://:6379", "redis://h:0",
                                        "redis://h:99999", "redis://h:12a", "redis://h/x",
                                        "redis://user@h"};
    static const char *const right[] = {"redis://h", "redis://h:1", "redis://u:p@h:6379/3",
                                        "redis://:p@h", "redis://127.0.0.1/"};
    struct ml_diag diag;
    struct ml_bus *bus;
    bool closed;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct ml_bus_options options = {.url = wrong[i], .loop = &loop, .secret = secret};

        diag = (struct ml_diag){0};
        assert_int_equal(ml_bus_open(&options, &diag, &bus), ML_EFORMAT);
        assert_true(diag.text[0]);
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        const struct ml_bus_options options = {.url = right[i],
                                               .loop = &loop,
                                               .secret = secret,
                                               .heard = on_heard,
                                               .changed = on_changed,
                                               .arg = &nodes[0]};

        assert_int_equal(ml_bus_open(&options, NULL, &bus), ML_OK);
        closed = false;
        ml_bus_close(bus, set_flag, &closed);
        UNTIL(closed, 20000);
    }
}

/* A server that another authority vouches for, or that has another name: nothing is told to it. */
static void a_server_without_the_right_certificate_is_not_spoken_to(void **state)
{
    const char *folder = getenv("MOONLOOM_TEST_BUS_FOLDER");
    const char *address = getenv("MOONLOOM_TEST_BUS"), *at = strstr(address, "localhost:");
    struct ml_bus_stats stats;

    (void)state;
    if (strncmp(address, "rediss://", 9) != 0)
        return;
    assert_non_null(at);
    UNTIL(all_healthy(), 5000);
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].is_closed = false;
        ml_bus_close(nodes[i].bus, set_flag, &nodes[i].is_closed);
        UNTIL(nodes[i].is_closed, 5000);
        nodes[i].is_healthy = false;
    }
    snprintf(url, sizeof url, "%.*s?ca=%s/wrong-ca.pem", (int)strcspn(address, "?"), address,
             folder);
    open_node(&nodes[0], secret);
    snprintf(url, sizeof url, "%.*s127.0.0.1%s", (int)(at - address), address,
             at + strlen("localhost"));
    open_node(&nodes[1], secret);
    for (unsigned before = nodes[2].changes, i = 0; i < 200 && nodes[2].changes == before; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_false(nodes[0].is_healthy);
    assert_false(nodes[1].is_healthy);
    ml_bus_stats(nodes[0].bus, &stats);
    assert_int_equal(stats.told, 0);
}

/* Slots go from one server to another; the first has none in the end. */
static void a_cluster_that_changes_is_followed(void **state)
{
    char name[16];

    (void)state;
    if (strcmp(getenv("MOONLOOM_TEST_BUS_KIND"), "cluster") != 0)
        return;
    UNTIL(all_healthy(), 5000);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "doc-%u", i);
        ml_bus_follow(nodes[1].bus, ML_SLICE("default"), ml_slice_str(name));
    }
    servers("move");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "doc-%u", i);
        for (uint64_t seq = 1, until = uv_hrtime() + 15000000000u;
             strcmp(nodes[1].name, name) != 0 && uv_hrtime() < until; seq++) {
            tell(&nodes[0], name, seq, "hello");
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_string_equal(nodes[1].name, name);
    }
    UNTIL(all_healthy(), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(those_who_follow_hear_it_and_the_one_who_says_it_does_not),
        TEST(what_is_large_is_told_without_its_bytes),
        TEST(a_message_is_heard_whole_or_not_at_all),
        TEST(what_others_say_under_another_secret_is_nothing),
        TEST(every_one_of_many_documents_is_heard),
        TEST(a_server_that_dies_and_comes_back_is_found_again),
        TEST(a_server_that_stands_still_is_noticed_within_seconds),
        TEST(a_server_without_the_right_certificate_is_not_spoken_to),
        TEST(a_cluster_that_changes_is_followed),
        TEST(addresses_are_understood_or_refused),
#undef TEST
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the server does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
