/* SPDX-License-Identifier: MIT */
/*
 * The life of a document in every journal: made once, deleted, brought back, looked at from outside
 * and as it was. `journal_life_suite memory|sqlite|postgres`.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* --- one call asks, waits and answers --- */

struct deleting {
    struct ml_set_deleted request;
    bool answered;
};

static void on_set(struct ml_set_deleted *request)
{
    ML_CONTAINER(request, struct deleting, request)->answered = true;
}

static enum ml_err set_deleted(struct journal_client *client, const char *name, bool deleted,
                               bool *changed_out)
{
    struct deleting d = {.request = {.org = ML_SLICE("default"),
                                     .name = ml_slice_str(name),
                                     .deleted = deleted,
                                     .at_ms = 5000,
                                     .done = on_set}};

    ml_journal_set_deleted(client->journal, &d.request);
    client_wait(client, &d.answered);
    *changed_out = d.request.changed;
    return d.request.err;
}

struct describing {
    struct ml_describe request;
    bool answered;
};

static void on_described(struct ml_describe *request)
{
    ML_CONTAINER(request, struct describing, request)->answered = true;
}

static enum ml_err describe(struct journal_client *client, const char *name,
                            struct ml_describe *out)
{
    struct describing d = {
        .request = {.org = ML_SLICE("default"), .name = ml_slice_str(name), .done = on_described}};

    ml_journal_describe(client->journal, &d.request);
    client_wait(client, &d.answered);
    *out = d.request;
    return d.request.err;
}

struct reading {
    struct ml_history request;
    bool answered;
};

static void on_history(struct ml_history *request)
{
    ML_CONTAINER(request, struct reading, request)->answered = true;
}

static enum ml_err read_history(struct journal_client *client, const char *name, uint64_t before,
                                size_t limit, struct ml_history *out)
{
    struct reading r = {.request = {.org = ML_SLICE("default"),
                                    .name = ml_slice_str(name),
                                    .before_seq = before,
                                    .limit = limit,
                                    .done = on_history}};

    ml_journal_history(client->journal, &r.request);
    client_wait(client, &r.answered);
    *out = r.request;
    return r.request.err;
}

struct list_case {
    struct ml_list_documents list;
    bool answered;
};

static void on_listed(struct ml_list_documents *list)
{
    ML_CONTAINER(list, struct list_case, list)->answered = true;
}

static size_t listed(struct journal_client *client)
{
    struct list_case c = {.list = {.org = ML_SLICE("default"), .limit = 100, .done = on_listed}};
    size_t count;

    ml_journal_list_documents(client->journal, &c.list);
    client_wait(client, &c.answered);
    assert_int_equal(c.list.err, ML_OK);
    count = c.list.count;
    ml_list_documents_release(&c.list);
    return count;
}

/* One record of `author` at a time, without a key. */
static uint64_t write_as(struct journal_client *client, const char *name, const char *author,
                         int64_t at_ms)
{
    struct append_case c;
    uint64_t seq;

    append_init(&c, name);
    append_add(&c, "some bytes", NULL, 0);
    c.records[0].author = ml_slice_str(author);
    c.records[0].at_ms = at_ms;
    assert_int_equal(append_run(client, &c), ML_OK);
    seq = c.records[0].seq;
    append_release(&c);
    return seq;
}

static void what_plugins_wrote_on_a_record_is_in_the_history(void **state)
{
    const struct ml_slice labels = ML_SLICE("{\"reviewed\":true,\"by\":\"\u00e4\"}");
    struct ml_history h;
    struct append_case c;

    append_init(&c, "notes");
    append_add(&c, "some bytes", NULL, 0);
    append_add(&c, "more bytes", "s", 7);
    append_add(&c, "last bytes", NULL, 0);
    c.records[1].labels = labels;
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_int_equal(read_history(*state, "notes", ML_SEQ_ANY, 10, &h), ML_OK);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.items[0].labels.len, 0);
    assert_true(ml_slice_equal(h.items[1].labels, labels));
    assert_true(ml_slice_equal(h.items[1].session, ML_SLICE("s")));
    assert_int_equal(h.items[2].labels.len, 0);
    ml_history_release(&h);
}

static enum ml_err create(struct journal_client *client, const char *name, const char *text,
                          const char *session)
{
    struct append_case c;
    enum ml_err err;

    append_init(&c, name);
    c.append.creates = true;
    if (text)
        append_add(&c, text, session, 1);
    err = append_run(client, &c);
    append_release(&c);
    return err;
}

/* --- once --- */

static void of_many_who_create_one_succeeds(void **state)
{
    static struct append_case cases[20];
    static char sessions[20][16];
    unsigned made = 0;
    struct ml_load load;

    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(sessions[i], sizeof sessions[i], "s%u", i);
        append_init(&cases[i], "new");
        cases[i].append.creates = true;
        append_add(&cases[i], "first words", sessions[i], 1);
        append_send(*state, &cases[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        client_wait(*state, &cases[i].answered);
        made += cases[i].append.err == ML_OK;
        assert_true(cases[i].append.err == ML_OK || cases[i].append.err == ML_ECONFLICT);
        append_release(&cases[i]);
    }
    assert_int_equal(made, 1);
    assert_int_equal(client_load(*state, "new", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, 1);
    ml_load_release(&load);
}

static void an_empty_document_is_made_once_too(void **state)
{
    assert_int_equal(create(*state, "empty", NULL, NULL), ML_OK);
    assert_int_equal(create(*state, "empty", NULL, NULL), ML_ECONFLICT);
    assert_int_equal(listed(*state), 1);
}

static void creating_again_with_the_same_key_is_the_same_creation(void **state)
{
    struct ml_load load;

    assert_int_equal(create(*state, "again", "words", "one"), ML_OK);
    assert_int_equal(create(*state, "again", "words", "one"), ML_OK);
    assert_int_equal(create(*state, "again", "words", "two"), ML_ECONFLICT);
    assert_int_equal(client_load(*state, "again", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.head, 1);
    ml_load_release(&load);
}

static void what_was_written_to_cannot_be_created(void **state)
{
    assert_int_equal(client_append_some(*state, "notes", 1), 1);
    assert_int_equal(create(*state, "notes", "words", "one"), ML_ECONFLICT);
}

/* --- tombstones --- */

static void the_deleted_cannot_be_written_read_or_created(void **state)
{
    struct append_case c;
    struct ml_load load;
    bool changed;

    (void)client_append_some(*state, "notes", 3);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_true(changed);
    append_init(&c, "notes");
    append_add(&c, "stale", "session", 9);
    assert_int_equal(append_run(*state, &c), ML_ENOTFOUND);
    assert_int_equal(c.append.head, 3);
    append_release(&c);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_ENOTFOUND);
    ml_load_release(&load);
    assert_int_equal(client_put_snapshot(*state, "notes", 3, 1, ML_SLICE("state"), 3),
                     ML_ENOTFOUND);
    assert_int_equal(create(*state, "notes", "words", "one"), ML_ECONFLICT);
    assert_int_equal(listed(*state), 0);
}

static void what_comes_back_is_what_went(void **state)
{
    struct ml_load load;
    bool changed;

    (void)client_append_some(*state, "notes", 3);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_int_equal(set_deleted(*state, "notes", false, &changed), ML_OK);
    assert_true(changed);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, 3);
    assert_int_equal(load.epoch, 1);
    ml_load_release(&load);
    assert_int_equal(client_append_some(*state, "notes", 1), 4);
    assert_int_equal(listed(*state), 1);
}

static void deleting_twice_or_nothing_changes_nothing(void **state)
{
    bool changed = true;

    assert_int_equal(set_deleted(*state, "never", true, &changed), ML_ENOTFOUND);
    assert_false(changed);
    assert_int_equal(set_deleted(*state, "never", false, &changed), ML_ENOTFOUND);
    (void)client_append_some(*state, "notes", 1);
    assert_int_equal(set_deleted(*state, "notes", false, &changed), ML_OK);
    assert_false(changed);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_false(changed);
}

static void deleting_stands_in_line_with_the_appends_around_it(void **state)
{
    struct append_case before, after;
    struct deleting d = {.request = {.org = ML_SLICE("default"),
                                     .name = ML_SLICE("notes"),
                                     .deleted = true,
                                     .at_ms = 1,
                                     .done = on_set}};
    struct journal_client *client = *state;

    append_init(&before, "notes");
    append_add(&before, "a", NULL, 0);
    append_init(&after, "notes");
    append_add(&after, "b", NULL, 0);
    append_send(client, &before);
    ml_journal_set_deleted(client->journal, &d.request);
    append_send(client, &after);
    client_wait(client, &after.answered);
    client_wait(client, &d.answered);
    assert_int_equal(before.append.err, ML_OK);
    assert_int_equal(d.request.err, ML_OK);
    assert_int_equal(after.append.err, ML_ENOTFOUND);
    append_release(&before);
    append_release(&after);
}

/* --- from outside --- */

static void a_description_tells_sizes_times_and_authors(void **state)
{
    struct ml_describe d;
    bool changed;

    assert_int_equal(describe(*state, "notes", &d), ML_OK);
    assert_false(d.exists);
    ml_describe_release(&d);
    (void)write_as(*state, "notes", "ben", 1000);
    (void)write_as(*state, "notes", "anna", 2000);
    (void)write_as(*state, "notes", "", 2500);
    (void)write_as(*state, "notes", "ben", 3000);
    assert_int_equal(describe(*state, "notes", &d), ML_OK);
    assert_true(d.exists);
    assert_int_equal(d.deleted_ms, 0);
    assert_int_equal(d.epoch, 1);
    assert_int_equal(d.head, 4);
    assert_int_equal(d.record_bytes, 40);
    assert_int_equal(d.created_ms, 1000);
    assert_int_equal(d.updated_ms, 3000);
    assert_int_equal(d.author_count, 3);
    assert_int_equal(d.authors[0].author.len, 0);
    assert_true(ml_slice_equal(d.authors[1].author, ML_SLICE("anna")));
    assert_true(ml_slice_equal(d.authors[2].author, ML_SLICE("ben")));
    assert_int_equal(d.authors[2].records, 2);
    assert_int_equal(d.authors[2].last_ms, 3000);
    ml_describe_release(&d);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_int_equal(describe(*state, "notes", &d), ML_OK);
    assert_true(d.exists);
    assert_int_equal(d.deleted_ms, 5000);
    ml_describe_release(&d);
}

static void an_empty_document_has_no_authors(void **state)
{
    struct ml_describe d;

    assert_int_equal(create(*state, "empty", NULL, NULL), ML_OK);
    assert_int_equal(describe(*state, "empty", &d), ML_OK);
    assert_true(d.exists);
    assert_int_equal(d.head, 0);
    assert_int_equal(d.author_count, 0);
    ml_describe_release(&d);
}

static void the_history_comes_in_pages_the_newest_first(void **state)
{
    static const char *const authors[] = {"anna", "ben", ""};
    struct ml_history h;
    uint64_t before = ML_SEQ_ANY, expected = 25;
    unsigned pages = 0;

    for (int64_t i = 1; i <= 25; i++)
        (void)write_as(*state, "notes", authors[i % 3], 1000 * i);
    do {
        assert_int_equal(read_history(*state, "notes", before, 10, &h), ML_OK);
        assert_true(h.exists);
        for (size_t i = 0; i < h.count; i++, expected--) {
            assert_int_equal(h.items[i].seq, expected);
            assert_int_equal(h.items[i].at_ms, 1000 * expected);
            assert_int_equal(h.items[i].bytes, 10);
            assert_true(ml_slice_equal(h.items[i].author, ml_slice_str(authors[expected % 3])));
        }
        before = h.count ? h.items[h.count - 1].seq : 0;
        pages++;
        ml_history_release(&h);
    } while (h.more);
    assert_int_equal(expected, 0);
    assert_int_equal(pages, 3);
    assert_int_equal(read_history(*state, "notes", 1, 10, &h), ML_OK);
    assert_int_equal(h.count, 0);
    ml_history_release(&h);
    assert_int_equal(read_history(*state, "notes", 0, 10, &h), ML_OK);
    assert_int_equal(h.count, 0);
    ml_history_release(&h);
}

static void the_history_of_nothing_and_of_the_deleted(void **state)
{
    struct append_case c;
    struct ml_history h;
    bool changed;

    assert_int_equal(read_history(*state, "never", ML_SEQ_ANY, 10, &h), ML_OK);
    assert_false(h.exists);
    ml_history_release(&h);
    append_init(&c, "notes");
    append_add(&c, "x", "session-1", 7);
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_int_equal(read_history(*state, "notes", ML_SEQ_ANY, 10, &h), ML_OK);
    assert_true(ml_slice_equal(h.items[0].session, ML_SLICE("session-1")));
    ml_history_release(&h);
    assert_int_equal(set_deleted(*state, "notes", true, &changed), ML_OK);
    assert_int_equal(read_history(*state, "notes", ML_SEQ_ANY, 10, &h), ML_ENOTFOUND);
    ml_history_release(&h);
}

/* --- as it was --- */

struct past {
    struct ml_load load;
    bool answered;
};

static void on_past(struct ml_load *load)
{
    ML_CONTAINER(load, struct past, load)->answered = true;
}

static void load_past(struct journal_client *client, uint64_t seq, int64_t at_ms,
                      struct ml_load *out)
{
    struct past p = {.load = {.org = ML_SLICE("default"),
                              .name = ML_SLICE("notes"),
                              .max_snapshot_seq = ML_SEQ_ANY,
                              .until_seq = seq,
                              .until_ms = at_ms,
                              .done = on_past}};

    ml_journal_load(client->journal, &p.load);
    client_wait(client, &p.answered);
    assert_int_equal(p.load.err, ML_OK);
    *out = p.load;
}

static void a_load_of_the_past_has_nothing_newer(void **state)
{
    static const struct {
        uint64_t seq, snapshot, count;
    } cases[] = {{1, 0, 1}, {4, 0, 4}, {5, 5, 0}, {6, 5, 1}, {10, 5, 5}, {99, 5, 5}};
    struct ml_load load;

    for (int64_t i = 1; i <= 10; i++) {
        (void)write_as(*state, "notes", "anna", 1000 * i);
        if (i == 5)
            assert_int_equal(client_put_snapshot(*state, "notes", 5, 1, ML_SLICE("five"), 3),
                             ML_OK);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        load_past(*state, cases[i].seq, 0, &load);
        assert_int_equal(load.head, 10);
        assert_int_equal(load.snapshot_seq, cases[i].snapshot);
        assert_int_equal(load.count, cases[i].count);
        ml_load_release(&load);
    }
    load_past(*state, 0, 3999, &load);
    assert_int_equal(load.until_seq, 3);
    assert_int_equal(load.count, 3);
    ml_load_release(&load);
    load_past(*state, 0, 999, &load);
    assert_int_equal(load.count, 0);
    assert_null(load.snapshot);
    ml_load_release(&load);
    load_past(*state, 0, INT64_MAX, &load);
    assert_int_equal(load.until_seq, 10);
    ml_load_release(&load);
}

static bool heads_answered;

static void on_heads(struct ml_heads *request)
{
    (void)request;
    heads_answered = true;
}

static void heads_of_many_are_told_at_once(void **state)
{
    struct journal_client *client = *state;
    struct ml_doc_head items[] = {
        {.org = ML_SLICE("default"), .name = ML_SLICE("a")},
        {.org = ML_SLICE("default"), .name = ML_SLICE("nobody")},
        {.org = ML_SLICE("acme"), .name = ML_SLICE("a")},
        {.org = ML_SLICE("default"), .name = ML_SLICE("b")},
        {.org = ML_SLICE("default"), .name = ML_SLICE("a")},
    };
    struct ml_heads request = {.items = items, .count = 5, .done = on_heads};

    client_append_some(client, "a", 3);
    client_append_some(client, "b", 7);
    heads_answered = false;
    ml_journal_heads(client->journal, &request);
    client_wait(client, &heads_answered);
    assert_int_equal(request.err, ML_OK);
    assert_true(items[0].exists && items[3].exists && items[4].exists);
    assert_false(items[1].exists || items[2].exists);
    assert_int_equal(items[0].head, 3);
    assert_int_equal(items[0].epoch, 1);
    assert_int_equal(items[3].head, 7);
    assert_int_equal(items[4].head, 3);
    assert_false(items[0].is_deleted);
    {
        bool changed;

        assert_int_equal(set_deleted(client, "b", true, &changed), ML_OK);
    }
    heads_answered = false;
    ml_journal_heads(client->journal, &request);
    client_wait(client, &heads_answered);
    assert_true(items[3].exists && items[3].is_deleted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)
        TEST(of_many_who_create_one_succeeds),
        TEST(an_empty_document_is_made_once_too),
        TEST(creating_again_with_the_same_key_is_the_same_creation),
        TEST(what_was_written_to_cannot_be_created),
        TEST(the_deleted_cannot_be_written_read_or_created),
        TEST(what_comes_back_is_what_went),
        TEST(deleting_twice_or_nothing_changes_nothing),
        TEST(deleting_stands_in_line_with_the_appends_around_it),
        TEST(a_description_tells_sizes_times_and_authors),
        TEST(an_empty_document_has_no_authors),
        TEST(the_history_comes_in_pages_the_newest_first),
        TEST(what_plugins_wrote_on_a_record_is_in_the_history),
        TEST(the_history_of_nothing_and_of_the_deleted),
        TEST(a_load_of_the_past_has_nothing_newer),
        TEST(heads_of_many_are_told_at_once),
#undef TEST
    };

    if (argc != 2 || !client_choose(argv[1]))
        return 2;
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
