/* SPDX-License-Identifier: MIT */
/*
 * What every store does, whatever is beneath it. `store_suite memory|sqlite|postgres`. The last
 * test compares long random runs of checks, writes and scans with a naive model.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static enum ml_err (*open_journal)(struct journal_client *client);
static int64_t now_ms;

static int begin(void **state)
{
    struct journal_client *client = calloc(1, sizeof *client);

    if (!client)
        return -1;
    client_init(client);
    now_ms = 1700000000000;
    *state = client;
    return open_journal(client) ? -1 : 0;
}

static int end(void **state)
{
    client_release(*state);
    free(*state);
    return 0;
}

/* ---- One call asks, waits and answers ----------------------------------------------------------
 */

static bool answered;

static void on_read(struct ml_store_read *read)
{
    (void)read;
    answered = true;
}

static void on_write(struct ml_store_write *write)
{
    (void)write;
    answered = true;
}

static struct ml_store_write write_to(const char *org, const char *instance)
{
    return (struct ml_store_write){.org = ml_slice_str(org),
                                   .instance = ml_slice_str(instance),
                                   .space = ML_SLICE("kv"),
                                   .now_ms = now_ms,
                                   .done = on_write};
}

static enum ml_err commit(struct journal_client *client, struct ml_store_write *write,
                          struct ml_store_item *items, size_t count)
{
    write->items = items;
    write->count = count;
    write->now_ms = now_ms;
    answered = false;
    ml_store_commit(client->journal, write);
    client_wait(client, &answered);
    return write->err;
}

/* To org "acme", instance "p". */
static enum ml_err commit_one(struct journal_client *client, struct ml_store_item *item)
{
    struct ml_store_write write = write_to("acme", "p");
    enum ml_err err = commit(client, &write, item, 1);

    ml_store_write_release(&write);
    return err;
}

static enum ml_err set(struct journal_client *client, const char *key, const char *value)
{
    struct ml_store_item item = {
        .act = ML_STORE_SET, .key = ml_slice_str(key), .value = ml_slice_str(value)};

    return commit_one(client, &item);
}

static void look(struct journal_client *client, struct ml_store_read *read)
{
    read->now_ms = now_ms;
    read->done = on_read;
    if (!read->org.len)
        read->org = ML_SLICE("acme");
    if (!read->instance.len)
        read->instance = ML_SLICE("p");
    if (!read->space.len)
        read->space = ML_SLICE("kv");
    if (!read->limit)
        read->limit = 100;
    answered = false;
    ml_store_look(client->journal, read);
    client_wait(client, &answered);
    assert_int_equal(read->err, ML_OK);
}

/* The value, "" if the key is absent; its rev. */
static const char *get(struct journal_client *client, const char *key, uint64_t *rev_out)
{
    static char text[4096];
    struct ml_store_read read = {.look = ML_STORE_GET, .key = ml_slice_str(key)};

    look(client, &read);
    assert_true(read.count <= 1);
    text[0] = '\0';
    if (rev_out)
        *rev_out = read.count ? read.pairs[0].rev : 0;
    if (read.count) {
        assert_true(ml_slice_equal(read.pairs[0].key, ml_slice_str(key)));
        snprintf(text, sizeof text, "%.*s", ML_PRINT(read.pairs[0].value));
    }
    ml_store_read_release(&read);
    return text;
}

/* "a=1 b=2 " of what a scan finds. */
static const char *scan(struct journal_client *client, const char *prefix, const char *after,
                        size_t limit)
{
    static char text[8192];
    struct ml_store_read read = {.look = ML_STORE_SCAN,
                                 .key = ml_slice_str(prefix),
                                 .after = ml_slice_str(after),
                                 .limit = limit};
    size_t used = 0;

    look(client, &read);
    text[0] = '\0';
    for (size_t i = 0; i < read.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s ",
                                 ML_PRINT(read.pairs[i].key), ML_PRINT(read.pairs[i].value));
    if (read.more)
        snprintf(text + used, sizeof text - used, "…");
    ml_store_read_release(&read);
    return text;
}

/* ---- Keys and values ----------------------------------------------------------------------------
 */

static void what_was_set_is_read(void **state)
{
    uint64_t first, second;

    assert_string_equal(get(*state, "a", &first), "");
    assert_int_equal(first, 0);
    assert_int_equal(set(*state, "a", "1"), ML_OK);
    assert_string_equal(get(*state, "a", &first), "1");
    assert_int_equal(set(*state, "a", "2"), ML_OK);
    assert_string_equal(get(*state, "a", &second), "2");
    assert_true(first > 0 && second > first);
}

static void orgs_instances_and_spaces_see_only_their_own(void **state)
{
    struct ml_store_item item = {.act = ML_STORE_SET, .key = ML_SLICE("k"), .value = ML_SLICE("1")};
    struct ml_store_write other = write_to("acme", "q"), third = write_to("b", "p"),
                          fourth = write_to("acme", "p");

    assert_int_equal(commit(*state, &other, &item, 1), ML_OK);
    assert_int_equal(commit(*state, &third, &item, 1), ML_OK);
    fourth.space = ML_SLICE("once");
    assert_int_equal(commit(*state, &fourth, &item, 1), ML_OK);
    assert_string_equal(get(*state, "k", NULL), "");
    assert_string_equal(scan(*state, "", "", 100), "");
    ml_store_write_release(&other);
    ml_store_write_release(&third);
    ml_store_write_release(&fourth);
}

static void a_condition_that_does_not_hold_writes_nothing(void **state)
{
    struct ml_store_item items[3] = {
        {.act = ML_STORE_SET, .key = ML_SLICE("b"), .value = ML_SLICE("9")},
        {.act = ML_STORE_CHECK, .key = ML_SLICE("a")},
        {.act = ML_STORE_PUSH, .key = ML_SLICE("job"), .value = ML_SLICE("null")},
    };
    struct ml_store_read jobs = {.look = ML_STORE_JOBS};
    struct ml_store_write write = write_to("acme", "p");
    uint64_t rev;

    assert_int_equal(set(*state, "a", "1"), ML_OK);
    (void)get(*state, "a", &rev);
    assert_int_equal(commit(*state, &write, items, 3), ML_ECONFLICT);
    items[1].rev = rev + 1;
    assert_int_equal(commit(*state, &write, items, 3), ML_ECONFLICT);
    assert_string_equal(get(*state, "b", NULL), "");
    look(*state, &jobs);
    assert_int_equal(jobs.count, 0);
    ml_store_read_release(&jobs);
    items[1].rev = rev;
    assert_int_equal(commit(*state, &write, items, 3), ML_OK);
    assert_string_equal(get(*state, "b", NULL), "9");
    look(*state, &jobs);
    assert_int_equal(jobs.count, 1);
    ml_store_read_release(&jobs);
    ml_store_write_release(&write);
}

static void a_key_that_was_deleted_and_set_again_is_another(void **state)
{
    struct ml_store_item delete = {.act = ML_STORE_DELETE, .key = ML_SLICE("a")};
    uint64_t first, second;

    assert_int_equal(set(*state, "a", "1"), ML_OK);
    (void)get(*state, "a", &first);
    assert_int_equal(commit_one(*state, &delete), ML_OK);
    assert_int_equal(delete.rev_out, 1);
    assert_int_equal(commit_one(*state, &delete), ML_OK);
    assert_int_equal(delete.rev_out, 0);
    assert_int_equal(set(*state, "a", "1"), ML_OK);
    (void)get(*state, "a", &second);
    assert_true(second > first);
}

static void sums_are_atomic_and_only_of_numbers(void **state)
{
    struct ml_store_item item = {.act = ML_STORE_INCR, .key = ML_SLICE("n"), .number = 2.5};

    assert_int_equal(commit_one(*state, &item), ML_OK);
    assert_true(item.number_out == 2.5);
    item.number = -3;
    assert_int_equal(commit_one(*state, &item), ML_OK);
    assert_true(item.number_out == -0.5);
    assert_string_equal(get(*state, "n", NULL), "-0.5");
    assert_int_equal(set(*state, "n", "\"x\""), ML_OK);
    assert_int_equal(commit_one(*state, &item), ML_EFORMAT);
    assert_string_equal(get(*state, "n", NULL), "\"x\"");
}

static void what_has_expired_is_absent(void **state)
{
    struct ml_store_item item = {
        .act = ML_STORE_SET, .key = ML_SLICE("a"), .value = ML_SLICE("1"), .ttl_ms = 1000};
    struct ml_store_item absent = {.act = ML_STORE_CHECK, .key = ML_SLICE("a"), .rev = 0};
    struct ml_store_item sum = {.act = ML_STORE_INCR, .key = ML_SLICE("n"), .number = 1};

    assert_int_equal(commit_one(*state, &item), ML_OK);
    sum.ttl_ms = 1000;
    assert_int_equal(commit_one(*state, &sum), ML_OK);
    now_ms += 999;
    sum.ttl_ms = 0; /* keeps the time it has */
    assert_int_equal(commit_one(*state, &sum), ML_OK);
    assert_string_equal(get(*state, "a", NULL), "1");
    assert_int_equal(commit_one(*state, &absent), ML_ECONFLICT);
    now_ms += 1;
    assert_string_equal(get(*state, "a", NULL), "");
    assert_string_equal(scan(*state, "", "", 100), "");
    assert_int_equal(commit_one(*state, &absent), ML_OK);
    assert_int_equal(commit_one(*state, &sum), ML_OK);
    assert_true(sum.number_out == 1);
    now_ms += 1000000; /* without ttl: it stays */
    assert_string_equal(get(*state, "n", NULL), "1");
}

static void a_scan_goes_in_order_of_bytes_page_by_page(void **state)
{
    assert_int_equal(set(*state, "b/2", "3"), ML_OK);
    assert_int_equal(set(*state, "b/\xff", "5"), ML_OK);
    assert_int_equal(set(*state, "a", "1"), ML_OK);
    assert_int_equal(set(*state, "b/10", "2"), ML_OK);
    assert_int_equal(set(*state, "b/\xc3\xa4", "4"), ML_OK);
    assert_int_equal(set(*state, "b0", "6"), ML_OK);
    assert_string_equal(scan(*state, "b/", "", 100), "b/10=2 b/2=3 b/\xc3\xa4=4 b/\xff=5 ");
    assert_string_equal(scan(*state, "b/", "", 2), "b/10=2 b/2=3 …");
    assert_string_equal(scan(*state, "b/", "b/2", 2), "b/\xc3\xa4=4 b/\xff=5 ");
    assert_string_equal(scan(*state, "", "b", 1), "b/10=2 …");
    assert_string_equal(scan(*state, "b/\xff", "", 9), "b/\xff=5 ");
    assert_string_equal(scan(*state, "c", "", 9), "");
}

static void a_stretch_that_changed_is_a_clash(void **state)
{
    struct ml_store_item range = {.act = ML_STORE_RANGE, .key = ML_SLICE("b/"), .count = 2};
    struct ml_store_item delete = {.act = ML_STORE_DELETE, .key = ML_SLICE("b/1")};

    assert_int_equal(set(*state, "b/1", "1"), ML_OK);
    assert_int_equal(set(*state, "b/2", "1"), ML_OK);
    (void)get(*state, "b/2", &range.rev);
    assert_int_equal(commit_one(*state, &range), ML_OK);
    assert_int_equal(set(*state, "c", "elsewhere"), ML_OK);
    assert_int_equal(commit_one(*state, &range), ML_OK);
    assert_int_equal(set(*state, "b/3", "new"), ML_OK);
    assert_int_equal(commit_one(*state, &range), ML_ECONFLICT);
    range.upto = ML_SLICE("b/2"); /* what was seen ends there */
    assert_int_equal(commit_one(*state, &range), ML_OK);
    assert_int_equal(commit_one(*state, &delete), ML_OK);
    assert_int_equal(commit_one(*state, &range), ML_ECONFLICT);
    range.count = 1;
    assert_int_equal(commit_one(*state, &range), ML_OK);
    range.value = ML_SLICE("b/1"); /* behind it */
    assert_int_equal(commit_one(*state, &range), ML_OK);
}

/* ---- Jobs ---------------------------------------------------------------------------------------
 */

static void push(struct journal_client *client, const char *args, const char *key, int64_t due_ms,
                 char *id_out)
{
    struct ml_store_item item = {.act = ML_STORE_PUSH,
                                 .key = ML_SLICE("deliver"),
                                 .value = ml_slice_str(args),
                                 .upto = ml_slice_str(key),
                                 .due_ms = due_ms};

    assert_int_equal(commit_one(client, &item), ML_OK);
    assert_int_equal(strlen(item.id_out), ML_JOB_ID_LEN);
    if (id_out)
        memcpy(id_out, item.id_out, sizeof item.id_out);
}

static void take(struct journal_client *client, size_t count, struct ml_store_write *write)
{
    struct ml_store_item item = {.act = ML_STORE_TAKE, .count = count, .ttl_ms = 10000};

    *write = write_to("", "");
    assert_int_equal(commit(client, write, &item, 1), ML_OK);
}

static enum ml_err finish(struct journal_client *client, enum ml_store_act act, const char *id,
                          uint32_t try, const char *why, int64_t due_ms)
{
    struct ml_store_item item = {.act = act,
                                 .key = ml_slice_str(id),
                                 .rev = try,
                                 .value = ml_slice_str(why),
                                 .due_ms = due_ms};

    return commit_one(client, &item);
}

static void a_job_is_taken_once_and_gone_when_done(void **state)
{
    struct ml_store_write taken, none;
    char id[ML_JOB_ID_LEN + 1];

    push(*state, "{\"a\":1}", "", 0, id);
    take(*state, 5, &taken);
    assert_int_equal(taken.job_count, 1);
    assert_string_equal(taken.jobs[0].id, id);
    assert_true(ml_slice_equal(taken.jobs[0].org, ML_SLICE("acme")));
    assert_true(ml_slice_equal(taken.jobs[0].instance, ML_SLICE("p")));
    assert_true(ml_slice_equal(taken.jobs[0].name, ML_SLICE("deliver")));
    assert_true(ml_slice_equal(taken.jobs[0].args, ML_SLICE("{\"a\":1}")));
    assert_int_equal(taken.jobs[0].try, 1);
    assert_int_equal(taken.jobs[0].queued_ms, now_ms);
    take(*state, 5, &none);
    assert_int_equal(none.job_count, 0);
    assert_int_equal(finish(*state, ML_STORE_DONE, id, 1, "", 0), ML_OK);
    assert_int_equal(finish(*state, ML_STORE_DONE, id, 1, "", 0), ML_ECONFLICT);
    now_ms += 100000;
    ml_store_write_release(&none);
    take(*state, 5, &none);
    assert_int_equal(none.job_count, 0);
    ml_store_write_release(&none);
    ml_store_write_release(&taken);
}

static void who_is_not_heard_of_again_loses_the_job(void **state)
{
    struct ml_store_write taken;
    char id[ML_JOB_ID_LEN + 1];

    push(*state, "1", "", 0, id);
    take(*state, 1, &taken);
    ml_store_write_release(&taken);
    now_ms += 9999;
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, 0);
    ml_store_write_release(&taken);
    now_ms += 1;
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, 1);
    assert_int_equal(taken.jobs[0].try, 2);
    ml_store_write_release(&taken);
    /* The first taker comes back: what it says counts no more. */
    assert_int_equal(finish(*state, ML_STORE_DONE, id, 1, "", 0), ML_ECONFLICT);
    assert_int_equal(finish(*state, ML_STORE_RETRY, id, 1, "x", 0), ML_ECONFLICT);
    assert_int_equal(finish(*state, ML_STORE_DONE, id, 2, "", 0), ML_OK);
}

/* In a store of one process. Where others may hold some, theirs end by their time alone. */
static void leases_can_be_ended_all_at_once(void **state)
{
    bool is_shared = open_journal == client_open_postgres;
    struct ml_store_item free_all = {.act = ML_STORE_FREE};
    struct ml_store_write taken;

    push(*state, "1", "", 0, NULL);
    take(*state, 1, &taken);
    ml_store_write_release(&taken);
    assert_int_equal(commit_one(*state, &free_all), ML_OK);
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, is_shared ? 0 : 1);
    if (!is_shared)
        assert_int_equal(taken.jobs[0].try, 2);
    ml_store_write_release(&taken);
}

static void jobs_wait_for_their_time_and_go_in_its_order(void **state)
{
    struct ml_store_write taken;

    push(*state, "3", "", now_ms + 300, NULL);
    push(*state, "1", "", now_ms + 100, NULL);
    push(*state, "2", "", now_ms + 200, NULL);
    take(*state, 9, &taken);
    assert_int_equal(taken.job_count, 0);
    ml_store_write_release(&taken);
    now_ms += 250;
    take(*state, 9, &taken);
    assert_int_equal(taken.job_count, 2);
    assert_true(ml_slice_equal(taken.jobs[0].args, ML_SLICE("1")));
    assert_true(ml_slice_equal(taken.jobs[1].args, ML_SLICE("2")));
    ml_store_write_release(&taken);
}

static void one_queued_and_one_running_job_per_key(void **state)
{
    struct ml_store_write taken, none;
    char first[ML_JOB_ID_LEN + 1], second[ML_JOB_ID_LEN + 1];

    push(*state, "1", "k", 0, first);
    push(*state, "2", "k", 0, second);
    assert_string_equal(first, second);
    take(*state, 9, &taken);
    assert_int_equal(taken.job_count, 1);
    assert_true(ml_slice_equal(taken.jobs[0].args, ML_SLICE("1")));
    push(*state, "3", "k", 0, second); /* while the first runs: a new one, but not yet */
    assert_string_not_equal(first, second);
    take(*state, 9, &none);
    assert_int_equal(none.job_count, 0);
    ml_store_write_release(&none);
    assert_int_equal(finish(*state, ML_STORE_DONE, first, 1, "", 0), ML_OK);
    take(*state, 9, &none);
    assert_int_equal(none.job_count, 1);
    assert_string_equal(none.jobs[0].id, second);
    ml_store_write_release(&none);
    ml_store_write_release(&taken);
}

static void a_failed_try_comes_again_and_in_the_end_stays_dead(void **state)
{
    struct ml_store_read jobs = {.look = ML_STORE_JOBS, .only_dead = true};
    struct ml_store_write taken;
    char id[ML_JOB_ID_LEN + 1];

    push(*state, "1", "", 0, id);
    take(*state, 1, &taken);
    ml_store_write_release(&taken);
    assert_int_equal(finish(*state, ML_STORE_RETRY, id, 1, "busy", now_ms + 500), ML_OK);
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, 0);
    ml_store_write_release(&taken);
    now_ms += 500;
    take(*state, 1, &taken);
    assert_int_equal(taken.jobs[0].try, 2);
    assert_true(ml_slice_equal(taken.jobs[0].why, ML_SLICE("busy")));
    ml_store_write_release(&taken);
    look(*state, &jobs);
    assert_int_equal(jobs.count, 0);
    ml_store_read_release(&jobs);
    assert_int_equal(finish(*state, ML_STORE_DEAD, id, 2, "gone", 0), ML_OK);
    look(*state, &jobs);
    assert_int_equal(jobs.count, 1);
    assert_true(ml_slice_equal(jobs.jobs[0].why, ML_SLICE("gone")));
    assert_int_equal(jobs.jobs[0].dead_ms, now_ms);
    ml_store_read_release(&jobs);
    now_ms += 1000000;
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, 0);
    ml_store_write_release(&taken);
    assert_int_equal(finish(*state, ML_STORE_REVIVE, id, 0, "", 0), ML_OK);
    assert_int_equal(finish(*state, ML_STORE_REVIVE, id, 0, "", 0), ML_ENOTFOUND);
    take(*state, 1, &taken);
    assert_int_equal(taken.job_count, 1);
    assert_int_equal(taken.jobs[0].try, 1);
    ml_store_write_release(&taken);
}

static void jobs_are_listed_by_their_org_page_by_page(void **state)
{
    struct ml_store_read read = {.look = ML_STORE_JOBS, .limit = 2};
    struct ml_store_read other = {.look = ML_STORE_JOBS, .org = ML_SLICE("else")};
    char ids[3][ML_JOB_ID_LEN + 1];

    for (int i = 0; i < 3; i++)
        push(*state, "1", "", 0, ids[i]);
    look(*state, &read);
    assert_int_equal(read.count, 2);
    assert_true(read.more);
    assert_string_equal(read.jobs[0].id, ids[0]);
    assert_string_equal(read.jobs[1].id, ids[1]);
    ml_store_read_release(&read);
    read.after = ml_slice_str(ids[1]);
    look(*state, &read);
    assert_int_equal(read.count, 1);
    assert_false(read.more);
    assert_string_equal(read.jobs[0].id, ids[2]);
    ml_store_read_release(&read);
    look(*state, &other);
    assert_int_equal(other.count, 0);
    ml_store_read_release(&other);
}

/* ---- Against a model
 * ------------------------------------------------------------------------------ */

#define MODEL_KEYS 12

struct model {
    struct {
        int value; /* -1: absent */
        uint64_t rev;
    } keys[MODEL_KEYS];
};

static void random_transactions_agree_with_a_naive_model(void **state)
{
    struct model model;
    unsigned seed =
        getenv("MOONLOOM_SEED") ? (unsigned)strtoul(getenv("MOONLOOM_SEED"), NULL, 10) : 7;

    print_message("seed %u\n", seed);
    for (int i = 0; i < MODEL_KEYS; i++)
        model.keys[i].value = -1, model.keys[i].rev = 0;
    for (int round = 0; round < 400; round++) {
        struct ml_store_item items[6];
        char names[6][8], values[6][8], expected[512] = "";
        int at[6];
        size_t count = 1 + (size_t)rand_r(&seed) % 6, used = 0;
        bool holds = true;
        struct ml_store_write write = write_to("acme", "p");

        for (size_t i = 0; i < count; i++) {
            at[i] = rand_r(&seed) % MODEL_KEYS;
            snprintf(names[i], sizeof names[i], "k%02d", at[i]);
            snprintf(values[i], sizeof values[i], "%d", rand_r(&seed) % 1000);
            items[i] = (struct ml_store_item){.key = ml_slice_str(names[i])};
            switch (rand_r(&seed) % 3) {
            case 0:
                items[i].act = ML_STORE_CHECK;
                items[i].rev = model.keys[at[i]].rev;
                if (rand_r(&seed) % 8 == 0)
                    items[i].rev++, holds = false;
                break;
            case 1:
                items[i].act = ML_STORE_SET;
                items[i].value = ml_slice_str(values[i]);
                break;
            default:
                items[i].act = ML_STORE_DELETE;
            }
        }
        assert_int_equal(commit(*state, &write, items, count), holds ? ML_OK : ML_ECONFLICT);
        for (size_t i = 0; holds && i < count; i++) {
            if (items[i].act == ML_STORE_SET) {
                model.keys[at[i]].value = atoi(values[i]);
                model.keys[at[i]].rev = write.rev;
            } else if (items[i].act == ML_STORE_DELETE) {
                model.keys[at[i]].value = -1;
                model.keys[at[i]].rev = 0;
            }
        }
        ml_store_write_release(&write);
        for (int i = 0; i < MODEL_KEYS; i++)
            if (model.keys[i].value >= 0)
                used += (size_t)snprintf(expected + used, sizeof expected - used, "k%02d=%d ", i,
                                         model.keys[i].value);
        assert_string_equal(scan(*state, "k", "", 100), expected);
    }
}

static void what_was_answered_is_there_after_opening_again(void **state)
{
    struct journal_client *client = *state;

    if (open_journal == client_open_memory)
        skip();
    assert_int_equal(set(client, "a", "1"), ML_OK);
    push(client, "2", "", 0, NULL);
    client_close(client);
    assert_int_equal(open_journal(client), ML_OK);
    assert_string_equal(get(client, "a", NULL), "1");
    {
        struct ml_store_write taken;

        take(client, 1, &taken);
        assert_int_equal(taken.job_count, 1);
        ml_store_write_release(&taken);
    }
}

static uint64_t digits(struct ml_slice text)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.len; i++)
        number = number * 10 + (text.ptr[i] - '0');
    return number;
}

static void what_an_org_has_is_counted(void **state)
{
    struct journal_client *client = *state;
    struct ml_store_read read = {.look = ML_STORE_USAGE, .org = ML_SLICE("default"), .limit = 1};
    uint64_t bytes;

    look(client, &read);
    assert_int_equal(read.count, 1);
    assert_int_equal(digits(read.pairs[0].key), 0);
    assert_int_equal(digits(read.pairs[0].value), 0);
    ml_store_read_release(&read);
    client_append_some(client, "a", 3);
    client_append_some(client, "b", 1);
    read = (struct ml_store_read){.look = ML_STORE_USAGE, .org = ML_SLICE("default"), .limit = 1};
    look(client, &read);
    assert_int_equal(digits(read.pairs[0].key), 2);
    bytes = digits(read.pairs[0].value);
    assert_true(bytes > 0);
    ml_store_read_release(&read);
    client_append_some(client, "b", 4);
    read = (struct ml_store_read){.look = ML_STORE_USAGE, .org = ML_SLICE("default"), .limit = 1};
    look(client, &read);
    assert_int_equal(digits(read.pairs[0].key), 2);
    assert_true(digits(read.pairs[0].value) > bytes);
    ml_store_read_release(&read);
    /* Another org has its own. */
    read = (struct ml_store_read){.look = ML_STORE_USAGE, .org = ML_SLICE("other"), .limit = 1};
    look(client, &read);
    assert_int_equal(digits(read.pairs[0].key), 0);
    ml_store_read_release(&read);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_was_set_is_read),
        TEST(orgs_instances_and_spaces_see_only_their_own),
        TEST(a_condition_that_does_not_hold_writes_nothing),
        TEST(a_key_that_was_deleted_and_set_again_is_another),
        TEST(sums_are_atomic_and_only_of_numbers),
        TEST(what_has_expired_is_absent),
        TEST(a_scan_goes_in_order_of_bytes_page_by_page),
        TEST(a_stretch_that_changed_is_a_clash),
        TEST(a_job_is_taken_once_and_gone_when_done),
        TEST(who_is_not_heard_of_again_loses_the_job),
        TEST(leases_can_be_ended_all_at_once),
        TEST(jobs_wait_for_their_time_and_go_in_its_order),
        TEST(one_queued_and_one_running_job_per_key),
        TEST(a_failed_try_comes_again_and_in_the_end_stays_dead),
        TEST(jobs_are_listed_by_their_org_page_by_page),
        TEST(random_transactions_agree_with_a_naive_model),
        TEST(what_an_org_has_is_counted),
        TEST(what_was_answered_is_there_after_opening_again),
    };

    if (argc == 2 && strcmp(argv[1], "memory") == 0) {
        open_journal = client_open_memory;
    } else if (argc == 2 && strcmp(argv[1], "sqlite") == 0) {
        open_journal = client_open_sqlite;
    } else if (argc == 2 && strcmp(argv[1], "postgres") == 0) {
        open_journal = client_open_postgres;
    } else {
        fprintf(stderr, "usage: %s memory|sqlite|postgres\n", argv[0]);
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
