/* SPDX-License-Identifier: MIT */
/*
 * Versions, publications and compaction in every journal. `journal_version_suite memory|sqlite`.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* --- one call asks, waits and answers --- */

struct putting {
    struct ml_snapshot_put put;
    bool answered;
};

static void on_put(struct ml_snapshot_put *put)
{
    ML_CONTAINER(put, struct putting, put)->answered = true;
}

static enum ml_err put_version(struct journal_client *client, uint64_t seq, const char *name,
                               struct putting *out)
{
    *out = (struct putting){.put = {.org = ML_SLICE("default"),
                                    .name = ML_SLICE("notes"),
                                    .seq = seq,
                                    .epoch = 1,
                                    .state = ml_blob_new(ML_SLICE("a state")),
                                    .state_vector = ml_blob_new(ML_SLICE("\1\2\3")),
                                    .at_ms = 1769854500000, /* 2026-01-31T10:15:00Z */
                                    .keep = 3,
                                    .version_name = ml_slice_str(name ? name : ""),
                                    .author = ML_SLICE("anna"),
                                    .labels = ML_SLICE("{\"reason\":\"x\"}"),
                                    .is_named = name != NULL,
                                    .done = on_put}};
    ml_journal_put_snapshot(client->journal, &out->put);
    client_wait(client, &out->answered);
    ml_blob_unref(out->put.state);
    ml_blob_unref(out->put.state_vector);
    return out->put.err;
}

struct listing {
    struct ml_versions request;
    bool answered;
};

static void on_versions(struct ml_versions *request)
{
    ML_CONTAINER(request, struct listing, request)->answered = true;
}

static enum ml_err versions(struct journal_client *client, const char *only, uint64_t before,
                            size_t limit, struct ml_versions *out)
{
    struct listing l = {.request = {.org = ML_SLICE("default"),
                                    .name = ML_SLICE("notes"),
                                    .only = ml_slice_str(only),
                                    .before_number = before,
                                    .limit = limit,
                                    .done = on_versions}};

    ml_journal_versions(client->journal, &l.request);
    client_wait(client, &l.answered);
    *out = l.request;
    return l.request.err;
}

/* The numbers, newest first, as text. */
static void expect_numbers(struct journal_client *client, const char *expected)
{
    char text[256] = "";
    struct ml_versions list;

    assert_int_equal(versions(client, "", ML_SEQ_ANY, 100, &list), ML_OK);
    for (size_t i = 0; i < list.count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%llu", i ? " " : "",
                       (unsigned long long)list.items[i].number);
    ml_versions_release(&list);
    assert_string_equal(text, expected);
}

struct changing {
    struct ml_version_change change;
    bool answered;
};

static void on_change(struct ml_version_change *change)
{
    ML_CONTAINER(change, struct changing, change)->answered = true;
}

static enum ml_err change(struct journal_client *client, enum ml_version_act act, uint64_t number,
                          bool flag)
{
    struct changing c = {.change = {.org = ML_SLICE("default"),
                                    .name = ML_SLICE("notes"),
                                    .act = act,
                                    .number = number,
                                    .flag = flag,
                                    .hash = ML_SLICE("0123456789abcdef"),
                                    .root = ML_SLICE("content"),
                                    .at_ms = 5,
                                    .done = on_change}};

    ml_journal_change_version(client->journal, &c.change);
    client_wait(client, &c.answered);
    return c.change.err;
}

struct compacting {
    struct ml_compact request;
    bool answered;
};

static void on_compact(struct ml_compact *request)
{
    ML_CONTAINER(request, struct compacting, request)->answered = true;
}

static enum ml_err compact(struct journal_client *client, uint64_t upto, uint64_t epoch,
                           struct ml_compact *out)
{
    struct compacting c = {.request = {.org = ML_SLICE("default"),
                                       .name = ML_SLICE("notes"),
                                       .upto = upto,
                                       .epoch = epoch,
                                       .done = on_compact}};

    ml_journal_compact(client->journal, &c.request);
    client_wait(client, &c.answered);
    *out = c.request;
    return c.request.err;
}

static void assert_slice(struct ml_slice is, const char *wanted)
{
    assert_int_equal(is.len, strlen(wanted));
    assert_memory_equal(is.ptr, wanted, is.len);
}

static const struct ml_version *item(const struct ml_versions *list, size_t i)
{
    assert_true(i < list->count);
    return &list->items[i];
}

/* --- versions --- */

static void a_snapshot_becomes_a_version_with_number_and_name(void **state)
{
    struct ml_versions list;
    struct putting p;

    client_append_some(*state, "notes", 4);
    assert_int_equal(put_version(*state, 2, NULL, &p), ML_OK);
    assert_int_equal(p.put.version, 1);
    assert_string_equal(p.put.name_out, "000001-20260131T101500Z");
    assert_int_equal(put_version(*state, 4, "release ü", &p), ML_OK);
    assert_int_equal(p.put.version, 2);
    assert_string_equal(p.put.name_out, "release ü");
    assert_int_equal(versions(*state, "", ML_SEQ_ANY, 10, &list), ML_OK);
    assert_true(list.exists);
    assert_int_equal(list.head, 4);
    assert_int_equal(list.count, 2);
    assert_slice(item(&list, 0)->name, "release ü");
    assert_slice(item(&list, 0)->author, "anna");
    assert_slice(item(&list, 0)->labels, "{\"reason\":\"x\"}");
    assert_int_equal(item(&list, 0)->seq, 4);
    assert_int_equal(item(&list, 0)->at_ms, 1769854500000);
    assert_true(item(&list, 0)->is_named && !item(&list, 0)->is_pinned);
    assert_true(item(&list, 0)->bytes > 0);
    assert_false(item(&list, 1)->is_named);
    ml_versions_release(&list);
}

static void a_name_is_there_once(void **state)
{
    struct putting p;

    client_append_some(*state, "notes", 3);
    assert_int_equal(put_version(*state, 1, "v", &p), ML_OK);
    assert_int_equal(put_version(*state, 2, "v", &p), ML_OK);
    assert_string_equal(p.put.name_out, "v-2");
    assert_int_equal(put_version(*state, 3, "v", &p), ML_OK);
    assert_string_equal(p.put.name_out, "v-3");
}

static void a_long_name_keeps_whole_characters_in_front_of_its_suffix(void **state)
{
    char name[ML_VERSION_NAME_MAX + 1];
    struct putting p;

    for (size_t i = 0; i + 1 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xbc", 2);
    name[ML_VERSION_NAME_MAX] = '\0';
    client_append_some(*state, "notes", 1);
    assert_int_equal(put_version(*state, 1, name, &p), ML_OK);
    assert_string_equal(p.put.name_out, name);
    assert_int_equal(put_version(*state, 1, name, &p), ML_OK);
    assert_int_equal(strlen(p.put.name_out), ML_VERSION_NAME_MAX);
    assert_string_equal(p.put.name_out + ML_VERSION_NAME_MAX - 4, "\xc3\xbc-2");
}

static void one_is_found_by_number_and_by_name(void **state)
{
    struct ml_versions list;
    struct putting p;

    client_append_some(*state, "notes", 3);
    (void)put_version(*state, 1, "one", &p);
    (void)put_version(*state, 2, "two", &p);
    assert_int_equal(versions(*state, "one", ML_SEQ_ANY, 1, &list), ML_OK);
    assert_int_equal(item(&list, 0)->number, 1);
    assert_false(list.more);
    ml_versions_release(&list);
    assert_int_equal(versions(*state, "2", ML_SEQ_ANY, 1, &list), ML_OK);
    assert_slice(item(&list, 0)->name, "two");
    ml_versions_release(&list);
    assert_int_equal(versions(*state, "three", ML_SEQ_ANY, 1, &list), ML_OK);
    assert_int_equal(list.count, 0);
    ml_versions_release(&list);
}

static void the_list_comes_in_pages(void **state)
{
    struct ml_versions list;
    struct putting p;

    client_append_some(*state, "notes", 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put_version(*state, 1, "v", &p), ML_OK);
    assert_int_equal(versions(*state, "", ML_SEQ_ANY, 2, &list), ML_OK);
    assert_int_equal(item(&list, 1)->number, 4);
    assert_true(list.more);
    ml_versions_release(&list);
    assert_int_equal(versions(*state, "", 4, 3, &list), ML_OK);
    assert_int_equal(item(&list, 0)->number, 3);
    assert_int_equal(list.count, 3);
    assert_false(list.more);
    ml_versions_release(&list);
}

static void nothing_and_the_deleted_have_none(void **state)
{
    struct ml_versions list;

    assert_int_equal(versions(*state, "", ML_SEQ_ANY, 2, &list), ML_OK);
    assert_false(list.exists);
    ml_versions_release(&list);
}

static void a_named_version_may_stand_for_the_past_and_for_what_has_a_snapshot(void **state)
{
    struct putting p;
    struct ml_load load;

    client_append_some(*state, "notes", 6);
    assert_int_equal(put_version(*state, 5, NULL, &p), ML_OK);
    assert_int_equal(put_version(*state, 5, NULL, &p), ML_ECONFLICT);
    assert_int_equal(put_version(*state, 3, NULL, &p), ML_ECONFLICT);
    assert_int_equal(put_version(*state, 5, "again", &p), ML_OK);
    assert_int_equal(put_version(*state, 3, "past", &p), ML_OK);
    assert_int_equal(put_version(*state, 7, "future", &p), ML_ECONFLICT);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 5); /* the newest still, for loading */
    ml_load_release(&load);
    assert_int_equal(client_load(*state, "notes", 4, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 3);
    ml_load_release(&load);
    expect_numbers(*state, "3 2 1");
}

static void automatic_ones_go_and_named_and_pinned_ones_stay(void **state)
{
    struct putting p;

    client_append_some(*state, "notes", 9);
    for (uint64_t seq = 1; seq <= 2; seq++)
        assert_int_equal(put_version(*state, seq, NULL, &p), ML_OK);
    assert_int_equal(put_version(*state, 3, "mine", &p), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_KEEP, 1, true), ML_OK);
    for (uint64_t seq = 4; seq <= 9; seq++)
        assert_int_equal(put_version(*state, seq, NULL, &p), ML_OK);
    expect_numbers(*state, "9 8 7 3 1");
    assert_int_equal(change(*state, ML_VERSION_KEEP, 1, false), ML_OK);
    client_append_some(*state, "notes", 1);
    assert_int_equal(put_version(*state, 10, NULL, &p), ML_OK);
    expect_numbers(*state, "10 9 8 3");
}

static void numbers_are_never_given_twice(void **state)
{
    struct putting p;

    client_append_some(*state, "notes", 2);
    (void)put_version(*state, 1, "a", &p);
    (void)put_version(*state, 2, "b", &p);
    assert_int_equal(change(*state, ML_VERSION_DELETE, 2, false), ML_OK);
    expect_numbers(*state, "1");
    assert_int_equal(put_version(*state, 2, "b", &p), ML_OK);
    assert_int_equal(p.put.version, 3);
}

static void a_pinned_or_published_version_cannot_be_deleted(void **state)
{
    struct putting p;

    client_append_some(*state, "notes", 2);
    (void)put_version(*state, 1, "a", &p);
    (void)put_version(*state, 2, "b", &p);
    assert_int_equal(change(*state, ML_VERSION_KEEP, 1, true), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_DELETE, 1, false), ML_ECONFLICT);
    assert_int_equal(change(*state, ML_VERSION_PUBLISH, 2, false), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_DELETE, 2, false), ML_ECONFLICT);
    assert_int_equal(change(*state, ML_VERSION_HIDE, 0, false), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_DELETE, 2, false), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_DELETE, 7, false), ML_ENOTFOUND);
    assert_int_equal(change(*state, ML_VERSION_KEEP, 7, true), ML_ENOTFOUND);
    assert_int_equal(change(*state, ML_VERSION_PUBLISH, 7, true), ML_ENOTFOUND);
}

static void what_is_published_is_told_until_it_is_hidden(void **state)
{
    struct ml_versions list;
    struct putting p;

    client_append_some(*state, "notes", 2);
    (void)put_version(*state, 1, "a", &p);
    (void)put_version(*state, 2, "b", &p);
    assert_int_equal(change(*state, ML_VERSION_PUBLISH, 1, false), ML_OK);
    assert_int_equal(change(*state, ML_VERSION_PUBLISH, 2, false), ML_OK);
    assert_int_equal(versions(*state, "", ML_SEQ_ANY, 9, &list), ML_OK);
    assert_int_equal(list.published, 2);
    assert_slice(item(&list, 0)->hash, "0123456789abcdef");
    assert_slice(item(&list, 1)->root, "content");
    ml_versions_release(&list);
    assert_int_equal(change(*state, ML_VERSION_HIDE, 0, false), ML_OK);
    assert_int_equal(versions(*state, "", ML_SEQ_ANY, 9, &list), ML_OK);
    assert_int_equal(list.published, 0);
    assert_int_equal(item(&list, 0)->hash.len + item(&list, 1)->hash.len, 0);
    ml_versions_release(&list);
}

/* --- compaction --- */

static void without_three_snapshots_nothing_is_compacted(void **state)
{
    struct ml_compact c;
    struct putting p;

    client_append_some(*state, "notes", 9);
    (void)put_version(*state, 3, NULL, &p);
    (void)put_version(*state, 6, NULL, &p);
    assert_int_equal(compact(*state, 9, 1, &c), ML_OK);
    assert_int_equal(c.rows + c.compacted_seq, 0);
    assert_int_equal(compact(*state, 9, 2, &c), ML_ECONFLICT);
}

static void compaction_stops_at_the_third_newest_snapshot(void **state)
{
    struct ml_compact c;
    struct putting p;
    struct ml_load load;

    client_append_some(*state, "notes", 12);
    for (uint64_t seq = 3; seq <= 9; seq += 3)
        assert_int_equal(put_version(*state, seq, NULL, &p), ML_OK);
    assert_int_equal(compact(*state, 2, 1, &c), ML_OK);
    assert_int_equal(c.rows, 2);
    assert_int_equal(c.compacted_seq, 2);
    assert_int_equal(compact(*state, 99, 1, &c), ML_OK);
    assert_int_equal(c.rows, 1);
    assert_int_equal(c.compacted_seq, 3);
    assert_int_equal(compact(*state, 99, 1, &c), ML_OK);
    assert_int_equal(c.rows, 0);
    /* The document, and both fallbacks, are whole. */
    for (uint64_t ceiling = 3; ceiling <= 9; ceiling += 3) {
        assert_int_equal(client_load(*state, "notes", ceiling, 0, &load), ML_OK);
        assert_int_equal(load.snapshot_seq, ceiling);
        assert_int_equal(load.count, 12 - ceiling);
        ml_load_release(&load);
    }
    /* Writing goes on, and what was written before is not taken for missing. */
    client_append_some(*state, "notes", 1);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.head, 13);
    ml_load_release(&load);
}

struct loading {
    struct ml_load load;
    bool answered;
};

static void on_load(struct ml_load *load)
{
    ML_CONTAINER(load, struct loading, load)->answered = true;
}

static void the_compacted_past_is_known_to_be_gone_but_for_its_versions(void **state)
{
    struct journal_client *client = *state;
    struct ml_compact c;
    struct putting p;

    client_append_some(client, "notes", 12);
    assert_int_equal(put_version(client, 2, "early", &p), ML_OK);
    for (uint64_t seq = 6; seq <= 8; seq++)
        assert_int_equal(put_version(client, seq, NULL, &p), ML_OK);
    assert_int_equal(compact(client, 99, 1, &c), ML_OK);
    assert_int_equal(c.compacted_seq, 6);
    for (uint64_t seq = 1; seq <= 12; seq++) {
        struct loading l = {.load = {.org = ML_SLICE("default"),
                                     .name = ML_SLICE("notes"),
                                     .max_snapshot_seq = ML_SEQ_ANY,
                                     .until_seq = seq,
                                     .done = on_load}};
        bool is_gone = seq == 1 || (seq > 2 && seq < 6);

        ml_journal_load(client->journal, &l.load);
        client_wait(client, &l.answered);
        assert_int_equal(l.load.err, is_gone ? ML_ENOTFOUND : ML_OK);
        assert_int_equal(l.load.is_compacted, is_gone);
        ml_load_release(&l.load);
    }
}

static void what_only_a_snapshot_holds_cannot_be_deleted(void **state)
{
    struct ml_compact c;
    struct putting p;

    client_append_some(*state, "notes", 12);
    for (uint64_t seq = 3; seq <= 9; seq += 3)
        assert_int_equal(put_version(*state, seq, NULL, &p), ML_OK);
    assert_int_equal(compact(*state, 99, 1, &c), ML_OK);
    for (uint64_t number = 1; number <= 3; number++)
        assert_int_equal(change(*state, ML_VERSION_DELETE, number, false), ML_ECONFLICT);
    assert_int_equal(put_version(*state, 12, NULL, &p), ML_OK); /* number 1 has gone by itself */
    expect_numbers(*state, "4 3 2");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)
        TEST(a_snapshot_becomes_a_version_with_number_and_name),
        TEST(a_name_is_there_once),
        TEST(a_long_name_keeps_whole_characters_in_front_of_its_suffix),
        TEST(one_is_found_by_number_and_by_name),
        TEST(the_list_comes_in_pages),
        TEST(nothing_and_the_deleted_have_none),
        TEST(a_named_version_may_stand_for_the_past_and_for_what_has_a_snapshot),
        TEST(automatic_ones_go_and_named_and_pinned_ones_stay),
        TEST(numbers_are_never_given_twice),
        TEST(a_pinned_or_published_version_cannot_be_deleted),
        TEST(what_is_published_is_told_until_it_is_hidden),
        TEST(without_three_snapshots_nothing_is_compacted),
        TEST(compaction_stops_at_the_third_newest_snapshot),
        TEST(the_compacted_past_is_known_to_be_gone_but_for_its_versions),
        TEST(what_only_a_snapshot_holds_cannot_be_deleted),
#undef TEST
    };

    if (argc != 2 || !client_choose(argv[1]))
        return 2;
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
