/* SPDX-License-Identifier: MIT */
/*
 * What every journal does, whatever is beneath it. `journal_suite memory|sqlite|postgres` runs all
 * of it against one implementation. The last test compares long random runs with a naive model.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

static void assert_bytes(const struct ml_blob *blob, const char *text)
{
    assert_non_null(blob);
    assert_int_equal(blob->len, strlen(text));
    assert_memory_equal(blob->bytes, text, blob->len);
}

/* --- appending --- */

static void a_document_nobody_wrote_does_not_exist(void **state)
{
    struct ml_load load;

    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_false(load.exists);
    assert_int_equal(load.head, 0);
    assert_int_equal(load.count, 0);
    ml_load_release(&load);
}

static void records_are_numbered_from_one_without_gaps(void **state)
{
    struct append_case c;
    struct ml_load load;

    append_init(&c, "notes");
    append_add(&c, "a", NULL, 0);
    append_add(&c, "", NULL, 0);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_int_equal(c.records[0].seq, 1);
    assert_int_equal(c.records[1].seq, 2);
    assert_int_equal(c.append.head, 2);
    append_release(&c);
    append_init(&c, "notes");
    append_add(&c, "c", NULL, 0);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_int_equal(c.records[0].seq, 3);
    append_release(&c);

    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_true(load.exists);
    assert_int_equal(load.epoch, 1);
    assert_int_equal(load.head, 3);
    assert_null(load.snapshot);
    assert_int_equal(load.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(load.records[i].seq, i + 1);
    assert_bytes(load.records[0].bytes, "a");
    assert_bytes(load.records[1].bytes, "");
    assert_bytes(load.records[2].bytes, "c");
    ml_load_release(&load);
}

static void an_append_without_records_creates_the_document(void **state)
{
    struct append_case c;
    struct ml_load load;

    append_init(&c, "empty");
    c.append.expected_head = 0;
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_int_equal(c.append.head, 0);
    assert_int_equal(client_load(*state, "empty", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_true(load.exists);
    assert_int_equal(load.epoch, 1);
    ml_load_release(&load);
}

static void orgs_and_names_are_apart(void **state)
{
    static const char *const names[] = {"a", "a/b", "A", "ä", "a%", "a'b\"", "日本語/ノート"};
    struct append_case c;
    struct ml_load load;
    char long_name[513];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(client_append_some(*state, names[i], (unsigned)i + 1), i + 1);
    memset(long_name, 'x', 512);
    long_name[512] = 0;
    assert_int_equal(client_append_some(*state, long_name, 2), 2);
    append_init(&c, "a");
    c.append.org = ML_SLICE("acme");
    append_add(&c, "acme's", NULL, 0);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_int_equal(c.append.head, 1);
    append_release(&c);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(client_load(*state, names[i], ML_SEQ_ANY, 0, &load), ML_OK);
        assert_int_equal(load.count, i + 1);
        ml_load_release(&load);
    }
}

static void many_at_once_are_answered_in_order_and_numbered_in_order(void **state)
{
    enum { DOCUMENTS = 5, EACH = 200 };
    static struct append_case cases[DOCUMENTS][EACH];
    static const char *const names[DOCUMENTS] = {"d0", "d1", "d2", "d3", "d4"};
    unsigned turn_before[DOCUMENTS] = {0};

    for (size_t i = 0; i < EACH; i++)
        for (size_t d = 0; d < DOCUMENTS; d++) {
            append_init(&cases[d][i], names[d]);
            append_add(&cases[d][i], "x", "session", i);
            append_add(&cases[d][i], "y", NULL, 0);
            append_send(*state, &cases[d][i]);
        }
    for (size_t d = 0; d < DOCUMENTS; d++)
        for (size_t i = 0; i < EACH; i++) {
            struct append_case *c = &cases[d][i];

            client_wait(*state, &c->answered);
            assert_int_equal(c->append.err, ML_OK);
            assert_int_equal(c->records[0].seq, 2 * i + 1);
            assert_int_equal(c->records[1].seq, 2 * i + 2);
            assert_int_equal(c->append.head, 2 * i + 2);
            assert_true(c->turn > turn_before[d]);
            turn_before[d] = c->turn;
            append_release(c);
        }
}

static void a_large_append_goes_in_whole(void **state)
{
    enum { COUNT = 1000 };
    struct journal_client *client = *state;
    struct ml_record *records = calloc(COUNT, sizeof *records);
    struct ml_blob *blob = ml_blob_alloc(8000); /* 8 MB together */
    struct append_case c;
    struct ml_load load;

    memset(blob->bytes, 7, blob->len);
    append_init(&c, "import");
    for (size_t i = 0; i < COUNT; i++)
        records[i] = (struct ml_record){.bytes = blob, .at_ms = 1};
    c.append.records = records;
    c.append.count = COUNT;
    assert_int_equal(append_run(client, &c), ML_OK);
    assert_int_equal(c.append.head, COUNT);
    assert_int_equal(client_load(client, "import", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, COUNT);
    assert_memory_equal(load.records[COUNT - 1].bytes->bytes, blob->bytes, blob->len);
    ml_load_release(&load);
    ml_blob_unref(blob);
    free(records);
}

/* Whether it does depends on how far the writer is; either way every record is there once. */
static void an_append_grows_as_long_as_it_waits(void **state)
{
    struct journal_client *client = *state;
    struct ml_journal_stats stats;
    uint64_t head = 0;
    unsigned grown = 0;

    for (unsigned round = 0; round < 50; round++) {
        struct append_case c, more;
        bool grows;

        append_init(&c, "grows");
        append_init(&more, "grows");
        append_add(&c, "one", "s", 4 * round);
        append_add(&c, "two", "s", 4 * round + 1);
        append_add(&c, "three", "s", 4 * round + 2);
        append_add(&more, "two", "s", 4 * round + 1);
        append_add(&more, "three", "s", 4 * round + 2);
        c.append.count = 1;
        append_send(client, &c);
        grows = ml_journal_grow(&c.append, c.records, 3);
        client_wait(client, &c.answered);
        assert_int_equal(c.append.err, ML_OK);
        assert_int_equal(c.records[0].seq, head + 1);
        assert_false(ml_journal_grow(&c.append, c.records, 4)); /* it is over */
        if (!grows)
            assert_int_equal(c.append.head, head + 1);
        assert_int_equal(append_run(client, &more), ML_OK);
        assert_int_equal(more.records[0].repeated, grows);
        assert_int_equal(more.records[1].seq, head + 3);
        assert_int_equal(more.append.head, head + 3);
        head += 3;
        grown += grows;
        c.append.count = 3; /* all are its own */
        append_release(&c);
        append_release(&more);
    }
    assert_true(grown > 0);
    ml_journal_stats(client->journal, &stats);
    assert_int_equal(stats.waiting_bytes, 0);
}

/* --- the head it was decided on --- */

static void a_late_append_is_told_the_head_and_disturbs_nobody(void **state)
{
    struct append_case good, late, other, creating;

    client_append_some(*state, "notes", 3);
    append_init(&good, "notes");
    append_add(&good, "four", NULL, 0);
    good.append.expected_head = 3;
    append_init(&late, "notes");
    append_add(&late, "five?", NULL, 0);
    late.append.expected_head = 3;
    append_init(&other, "other");
    append_add(&other, "one", NULL, 0);
    other.append.expected_head = 0;
    append_init(&creating, "nobody");
    append_add(&creating, "one", NULL, 0);
    creating.append.expected_head = 7;
    append_send(*state, &good);
    append_send(*state, &late);
    append_send(*state, &other);
    append_send(*state, &creating);
    client_wait(*state, &creating.answered);
    assert_int_equal(good.append.err, ML_OK);
    assert_int_equal(good.append.head, 4);
    assert_int_equal(late.append.err, ML_EMOVED);
    assert_int_equal(late.append.head, 4);
    assert_int_equal(other.append.err, ML_OK);
    assert_int_equal(creating.append.err, ML_EMOVED);
    assert_int_equal(creating.append.head, 0);
    append_release(&good);
    append_release(&late);
    append_release(&other);
    append_release(&creating);
    {
        struct ml_load load;

        assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
        assert_int_equal(load.count, 4);
        ml_load_release(&load);
        assert_int_equal(client_load(*state, "nobody", ML_SEQ_ANY, 0, &load), ML_OK);
        assert_false(load.exists);
        ml_load_release(&load);
    }
}

/* --- idempotency --- */

static void a_repeat_is_answered_with_its_old_number_and_the_rest_goes_in(void **state)
{
    struct append_case c;
    struct ml_load load;

    append_init(&c, "notes");
    append_add(&c, "a", "s1", 1);
    append_add(&c, "b", "s1", 2);
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);

    append_init(&c, "notes");
    append_add(&c, "b", "s1", 2);
    append_add(&c, "c", "s1", 3);
    append_add(&c, "a", "s1", 1);
    append_add(&c, "other's", "s2", 1);
    append_add(&c, "c", "s1", 3); /* twice in one append */
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_true(c.records[0].repeated);
    assert_int_equal(c.records[0].seq, 2);
    assert_false(c.records[1].repeated);
    assert_int_equal(c.records[1].seq, 3);
    assert_true(c.records[2].repeated);
    assert_int_equal(c.records[2].seq, 1);
    assert_false(c.records[3].repeated);
    assert_int_equal(c.records[3].seq, 4);
    assert_true(c.records[4].repeated);
    assert_int_equal(c.records[4].seq, 3);
    assert_int_equal(c.append.head, 4);
    append_release(&c);

    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, 4);
    assert_bytes(load.records[2].bytes, "c");
    ml_load_release(&load);
}

static void keys_are_per_document_and_none_is_no_key(void **state)
{
    struct append_case c;

    for (uint64_t head = 1; head <= 3; head++) {
        append_init(&c, "plain");
        append_add(&c, "x", NULL, 5);
        assert_int_equal(append_run(*state, &c), ML_OK);
        assert_false(c.records[0].repeated);
        assert_int_equal(c.append.head, head);
        append_release(&c);
    }
    append_init(&c, "d1");
    append_add(&c, "x", "s1", UINT64_MAX);
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    append_init(&c, "d2");
    append_add(&c, "x", "s1", UINT64_MAX);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_false(c.records[0].repeated);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_true(c.records[0].repeated);
    append_release(&c);
}

static void trying_again_is_not_late_because_of_itself(void **state)
{
    struct append_case c, other;

    client_append_some(*state, "notes", 2);
    append_init(&c, "notes");
    append_add(&c, "a", "s1", 1);
    append_add(&c, "b", "s1", 2);
    c.append.expected_head = 2;
    assert_int_equal(append_run(*state, &c), ML_OK);
    /* The answer was lost: once more, now with one more. */
    append_add(&c, "c", "s1", 3);
    assert_int_equal(append_run(*state, &c), ML_OK);
    assert_true(c.records[0].repeated && c.records[1].repeated);
    assert_int_equal(c.records[2].seq, 5);
    /* Somebody else between: late, and nothing goes in. */
    append_init(&other, "notes");
    append_add(&other, "z", "s2", 1);
    assert_int_equal(append_run(*state, &other), ML_OK);
    append_add(&c, "d", "s1", 4);
    assert_int_equal(append_run(*state, &c), ML_EMOVED);
    assert_int_equal(c.append.head, 6);
    append_release(&c);
    append_release(&other);
}

/* --- loading --- */

static void what_was_answered_is_seen_by_the_next_load(void **state)
{
    struct ml_load load;

    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(client_append_some(*state, "notes", 1), i);
        assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, i - 1, &load), ML_OK);
        assert_int_equal(load.head, i);
        assert_int_equal(load.count, i == 1 ? 1 : 1);
        ml_load_release(&load);
    }
}

static void a_load_after_a_number_brings_what_follows_and_no_snapshot(void **state)
{
    struct ml_load load;

    client_append_some(*state, "notes", 5);
    assert_int_equal(client_put_snapshot(*state, "notes", 3, 1, ML_SLICE("state 3"), 3), ML_OK);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 2, &load), ML_OK);
    assert_null(load.snapshot);
    assert_int_equal(load.count, 3);
    assert_int_equal(load.records[0].seq, 3);
    ml_load_release(&load);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 5, &load), ML_OK);
    assert_int_equal(load.count, 0);
    assert_int_equal(load.head, 5);
    ml_load_release(&load);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, UINT64_MAX, &load), ML_OK);
    assert_int_equal(load.count, 0);
    ml_load_release(&load);
}

static void a_load_tells_who_wrote_what_and_when(void **state)
{
    static const char *const authors[] = {"anna", "anna", "", "ben"};
    struct append_case c;
    struct ml_load load;

    append_init(&c, "notes");
    for (size_t i = 0; i < 4; i++) {
        append_add(&c, "x", NULL, 0);
        c.records[i].author = ml_slice_str(authors[i]);
        c.records[i].at_ms = (int64_t)(1700000000000 + i);
    }
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(load.records[i].at_ms, 1700000000000 + i);
        if (authors[i][0])
            assert_bytes(load.records[i].author, authors[i]);
        else
            assert_null(load.records[i].author);
    }
    ml_load_release(&load);
}

static void a_load_takes_the_newest_snapshot_below_the_ceiling(void **state)
{
    static const struct {
        uint64_t ceiling, seq, count;
    } rows[] = {{ML_SEQ_ANY, 6, 2}, {7, 6, 2}, {6, 6, 2}, {5, 3, 5},
                {3, 3, 5},          {2, 0, 8}, {0, 0, 8}};
    struct ml_load load;

    client_append_some(*state, "notes", 6);
    assert_int_equal(client_put_snapshot(*state, "notes", 3, 1, ML_SLICE("state 3"), 3), ML_OK);
    assert_int_equal(client_put_snapshot(*state, "notes", 6, 1, ML_SLICE("state 6"), 3), ML_OK);
    client_append_some(*state, "notes", 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(client_load(*state, "notes", rows[i].ceiling, 0, &load), ML_OK);
        assert_int_equal(load.snapshot_seq, rows[i].seq);
        assert_int_equal(load.count, rows[i].count);
        assert_int_equal(load.head, 8);
        if (load.snapshot)
            assert_bytes(load.snapshot, rows[i].seq == 6 ? "state 6" : "state 3");
        else
            assert_int_equal(rows[i].seq, 0);
        assert_int_equal(load.records[0].seq, rows[i].seq + 1);
        ml_load_release(&load);
    }
}

/* --- snapshots --- */

static void a_snapshot_goes_in_only_ahead_of_the_newest(void **state)
{
    assert_int_equal(client_put_snapshot(*state, "notes", 1, 1, ML_SLICE("x"), 3), ML_ENOTFOUND);
    client_append_some(*state, "notes", 5);
    assert_int_equal(client_put_snapshot(*state, "notes", 6, 1, ML_SLICE("x"), 3), ML_ECONFLICT);
    assert_int_equal(client_put_snapshot(*state, "notes", 4, 2, ML_SLICE("x"), 3), ML_ECONFLICT);
    assert_int_equal(client_put_snapshot(*state, "notes", 4, 1, ML_SLICE("x"), 3), ML_OK);
    assert_int_equal(client_put_snapshot(*state, "notes", 4, 1, ML_SLICE("y"), 3), ML_ECONFLICT);
    assert_int_equal(client_put_snapshot(*state, "notes", 3, 1, ML_SLICE("y"), 3), ML_ECONFLICT);
    assert_int_equal(client_put_snapshot(*state, "notes", 5, 1, ML_SLICE("y"), 3), ML_OK);
    {
        struct ml_load load;

        assert_int_equal(client_load(*state, "notes", 4, 0, &load), ML_OK);
        assert_bytes(load.snapshot, "x");
        ml_load_release(&load);
    }
}

static void three_snapshots_stay_or_as_many_as_asked(void **state)
{
    struct ml_load load;

    client_append_some(*state, "notes", 10);
    for (uint64_t seq = 1; seq <= 6; seq++)
        assert_int_equal(client_put_snapshot(*state, "notes", seq, 1, ML_SLICE("s"), 1), ML_OK);
    assert_int_equal(client_load(*state, "notes", 4, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 4);
    ml_load_release(&load);
    assert_int_equal(client_load(*state, "notes", 3, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 0);
    assert_int_equal(load.count, 10);
    ml_load_release(&load);
    for (uint64_t seq = 7; seq <= 10; seq++)
        assert_int_equal(client_put_snapshot(*state, "notes", seq, 1, ML_SLICE("s"), 5), ML_OK);
    assert_int_equal(client_load(*state, "notes", 6, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 6);
    ml_load_release(&load);
    assert_int_equal(client_load(*state, "notes", 5, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 0);
    ml_load_release(&load);
}

static void a_snapshot_comes_back_byte_for_byte(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 3000000};
    struct ml_load load;

    srand(7);
    client_append_some(*state, "notes", 10);
    for (uint64_t i = 0; i < 10; i++) {
        size_t len = sizes[i / 2];
        struct ml_blob *blob = ml_blob_alloc(len);

        /* Half of them do not compress. */
        for (size_t b = 0; b < len; b++)
            blob->bytes[b] = i % 2 ? (uint8_t)rand() : (uint8_t)(b / 100);
        assert_int_equal(client_put_snapshot(*state, "notes", i + 1, 1, ml_blob_slice(blob), 3),
                         ML_OK);
        assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
        assert_int_equal(load.snapshot_seq, i + 1);
        assert_int_equal(load.snapshot->len, len);
        assert_memory_equal(load.snapshot->bytes, blob->bytes, len);
        ml_load_release(&load);
        ml_blob_unref(blob);
    }
}

/* --- lists --- */

struct flagged_list {
    struct ml_list_documents list;
    bool answered;
};

static void on_listed(struct ml_list_documents *list)
{
    ML_CONTAINER(list, struct flagged_list, list)->answered = true;
}

/* The names joined by commas, with "+" at the end if there are more. */
static const char *list_names(struct journal_client *client, const char *org, const char *prefix,
                              const char *after, size_t limit)
{
    static char text[2000];
    struct flagged_list l = {.list = {.org = ml_slice_str(org),
                                      .prefix = ml_slice_str(prefix),
                                      .after = ml_slice_str(after),
                                      .limit = limit,
                                      .done = on_listed}};
    size_t n = 0;

    text[0] = 0;
    ml_journal_list_documents(client->journal, &l.list);
    assert_false(l.answered);
    client_wait(client, &l.answered);
    assert_int_equal(l.list.err, ML_OK);
    for (size_t i = 0; i < l.list.count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? "," : "",
                              ML_PRINT(l.list.items[i].name));
    if (l.list.more)
        (void)snprintf(text + n, sizeof text - n, "+");
    ml_list_documents_release(&l.list);
    return text;
}

static void a_list_is_in_byte_order_by_prefix_and_page(void **state)
{
    static const char *const names[] = {"b", "a", "a/2", "B", "a/10", "ä", "aa", "a/1"};
    struct append_case c;

    assert_string_equal(list_names(*state, "default", "", "", 10), "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        client_append_some(*state, names[i], 1);
    append_init(&c, "elsewhere");
    c.append.org = ML_SLICE("acme");
    append_add(&c, "x", NULL, 0);
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_string_equal(list_names(*state, "default", "", "", 10), "B,a,a/1,a/10,a/2,aa,b,ä");
    assert_string_equal(list_names(*state, "default", "", "", 8), "B,a,a/1,a/10,a/2,aa,b,ä");
    assert_string_equal(list_names(*state, "default", "", "", 3), "B,a,a/1+");
    assert_string_equal(list_names(*state, "default", "", "a/1", 3), "a/10,a/2,aa+");
    assert_string_equal(list_names(*state, "default", "a/", "", 10), "a/1,a/10,a/2");
    assert_string_equal(list_names(*state, "default", "a/", "a/10", 1), "a/2");
    assert_string_equal(list_names(*state, "default", "a/", "B", 2), "a/1,a/10+");
    assert_string_equal(list_names(*state, "default", "a/", "b", 2), "");
    assert_string_equal(list_names(*state, "acme", "", "", 10), "elsewhere");
    assert_string_equal(list_names(*state, "nobody", "", "", 10), "");
}

static void a_list_tells_head_sizes_and_times(void **state)
{
    struct flagged_list l = {.list = {.org = ML_SLICE("default"), .limit = 10, .done = on_listed}};
    struct append_case c;

    append_init(&c, "notes");
    append_add(&c, "12345", "s", 1);
    append_add(&c, "678", "s", 9);
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_int_equal(client_put_snapshot(*state, "notes", 1, 1, ML_SLICE("s"), 3), ML_OK);
    ml_journal_list_documents(((struct journal_client *)*state)->journal, &l.list);
    client_wait(*state, &l.answered);
    assert_int_equal(l.list.count, 1);
    assert_int_equal(l.list.items[0].head, 2);
    assert_int_equal(l.list.items[0].snapshot_seq, 1);
    assert_int_equal(l.list.items[0].bytes, 5 + 3 + 1 + 3);
    assert_int_equal(l.list.items[0].created_ms, 1700000000001);
    assert_int_equal(l.list.items[0].updated_ms, 1700000000009);
    ml_list_documents_release(&l.list);
}

/* --- limits and the end --- */

static void what_waits_is_bounded_and_the_rest_is_told_so_in_order(void **state)
{
    enum { COUNT = 20 };
    static struct append_case cases[COUNT];
    struct ml_blob *four = ml_blob_alloc(4u << 20), *huge = ml_blob_alloc(65u << 20);
    struct journal_client *client = *state;
    struct ml_journal_stats stats;
    unsigned taken = 0;

    memset(four->bytes, 1, four->len);
    for (size_t i = 0; i < COUNT; i++) {
        append_init(&cases[i], "notes");
        cases[i].records[0] = (struct ml_record){.bytes = four};
        cases[i].append.count = 1;
        append_send(client, &cases[i]);
    }
    ml_journal_stats(client->journal, &stats);
    assert_true(stats.waiting_bytes <= 64u << 20);
    for (size_t i = 0; i < COUNT; i++) {
        client_wait(client, &cases[i].answered);
        assert_true(i == 0 || cases[i].turn > cases[i - 1].turn);
        taken += cases[i].append.err == ML_OK;
        if (cases[i].append.err)
            assert_int_equal(cases[i].append.err, ML_EBUSY);
    }
    assert_int_equal(taken, 15); /* 16 × 4 MiB and their structs are over 64 MiB */
    ml_journal_stats(client->journal, &stats);
    assert_int_equal(stats.waiting_bytes, 0);
    assert_int_equal(stats.rows, taken);
    /* Room again. */
    assert_int_equal(append_run(client, &cases[0]), ML_OK);
    cases[0].records[0].bytes = huge;
    assert_int_equal(append_run(client, &cases[0]), ML_ELIMIT);
    ml_blob_unref(four);
    ml_blob_unref(huge);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static struct append_case after_close;
static struct journal_client *closing_client;

static void on_appended_while_closing(struct ml_append *append)
{
    (void)append;
    append_init(&after_close, "late");
    append_add(&after_close, "x", NULL, 0);
    append_send(closing_client, &after_close);
}

static void closing_finishes_what_was_asked(void **state)
{
    enum { COUNT = 300 };
    static struct append_case cases[COUNT];
    struct journal_client *client = *state;
    struct append_case last;
    bool closed = false;

    closing_client = client;
    for (size_t i = 0; i < COUNT; i++) {
        append_init(&cases[i], i % 2 ? "a" : "b");
        append_add(&cases[i], "x", NULL, 0);
        append_send(client, &cases[i]);
    }
    append_init(&last, "a");
    append_add(&last, "y", NULL, 0);
    last.append.done = on_appended_while_closing;
    ml_journal_append(client->journal, &last.append);
    ml_journal_close(client->journal, set_flag, &closed);
    assert_false(closed);
    client_wait(client, &closed);
    client->journal = NULL;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(cases[i].answered);
        assert_int_equal(cases[i].append.err, ML_OK);
        append_release(&cases[i]);
    }
    assert_int_equal(last.append.err, ML_OK);
    assert_true(after_close.answered);
    assert_int_equal(after_close.append.err, ML_ECLOSED);
    append_release(&last);
    append_release(&after_close);
}

static void stats_add_up(void **state)
{
    struct journal_client *client = *state;
    struct ml_journal_stats stats;

    client_append_some(client, "notes", 5);
    ml_journal_stats(client->journal, &stats);
    assert_int_equal(stats.commits, 5);
    assert_int_equal(stats.rows, 5);
    assert_int_equal(stats.bytes, 5 * strlen("notes 1"));
    assert_int_equal(stats.errors, 0);
    assert_int_equal(stats.waiting_bytes, 0);
}

/* --- the model --- */

enum { MODEL_DOCUMENTS = 4, MODEL_MAX = 4000, MODEL_KEYS = 60 };

struct model_document {
    char name[8];
    uint64_t head, snapshots[MODEL_MAX];
    size_t snapshot_count;
    uint32_t value[MODEL_MAX + 1];      /* by seq */
    uint64_t seq_of_key[3][MODEL_KEYS]; /* by session and message number, 0: none */
};

static void model_append(struct journal_client *client, struct model_document *m, uint32_t *value)
{
    static const char *const sessions[] = {"s0", "s1", "s2"};
    uint64_t head_before = m->head, expected = ML_SEQ_ANY, seq[16];
    bool repeated[16];
    unsigned count = 1 + (unsigned)rand() % 5, which[16];
    uint64_t number[16];
    bool late;
    struct append_case c;

    append_init(&c, m->name);
    if (rand() % 3 == 0)
        expected = m->head - (m->head && rand() % 3 == 0 ? 1 : 0);
    c.append.expected_head = expected;
    for (unsigned i = 0; i < count; i++) {
        char text[24];

        which[i] = (unsigned)rand() % 4; /* 3: no session */
        number[i] = (uint64_t)(rand() % MODEL_KEYS);
        (void)snprintf(text, sizeof text, "%u", *value + i);
        append_add(&c, text, which[i] == 3 ? NULL : sessions[which[i]], number[i]);
    }
    if (expected != ML_SEQ_ANY) {
        uint64_t ours = expected;

        for (unsigned i = 0; i < count; i++)
            if (which[i] < 3 && m->seq_of_key[which[i]][number[i]] == ours + 1)
                ours++;
        late = ours != m->head;
    } else {
        late = false;
    }
    for (unsigned i = 0; !late && i < count; i++) {
        uint64_t *key = which[i] < 3 ? &m->seq_of_key[which[i]][number[i]] : NULL;

        repeated[i] = key && *key;
        seq[i] = repeated[i] ? *key : ++m->head;
        if (repeated[i])
            continue;
        m->value[m->head] = *value + i;
        if (key)
            *key = m->head;
    }
    *value += count;

    assert_int_equal(append_run(client, &c), late ? ML_EMOVED : ML_OK);
    assert_int_equal(c.append.head, late ? head_before : m->head);
    for (unsigned i = 0; !late && i < count; i++) {
        assert_int_equal(c.records[i].seq, seq[i]);
        assert_int_equal(c.records[i].repeated, repeated[i]);
    }
    append_release(&c);
}

static void model_snapshot(struct journal_client *client, struct model_document *m)
{
    uint64_t newest = m->snapshot_count ? m->snapshots[m->snapshot_count - 1] : 0;
    uint64_t seq = 1 + (uint64_t)rand() % (m->head + 2);
    bool good = m->head && seq <= m->head && seq > newest;
    struct ml_load load;
    bool exists;
    char text[24];

    (void)client_load(client, m->name, 0, 0, &load);
    exists = load.exists;
    ml_load_release(&load);
    (void)snprintf(text, sizeof text, "S%llu", (unsigned long long)seq);
    assert_int_equal(client_put_snapshot(client, m->name, seq, 1, ml_slice_str(text), 4),
                     good     ? ML_OK
                     : exists ? ML_ECONFLICT
                              : ML_ENOTFOUND);
    if (good)
        m->snapshots[m->snapshot_count++] = seq;
}

static void model_load(struct journal_client *client, const struct model_document *m)
{
    uint64_t ceiling = rand() % 2 ? ML_SEQ_ANY : (uint64_t)rand() % (m->head + 2), from = 0;
    uint64_t after = rand() % 3 ? 0 : (uint64_t)rand() % (m->head + 2);
    struct ml_load load;

    for (size_t i = 0; !after && i < m->snapshot_count; i++)
        if (m->snapshots[i] <= ceiling && m->snapshot_count - i <= 4)
            from = m->snapshots[i];
    assert_int_equal(client_load(client, m->name, ceiling, after, &load), ML_OK);
    assert_int_equal(load.head, m->head);
    assert_int_equal(load.snapshot_seq, from);
    if (from) {
        char text[24];

        (void)snprintf(text, sizeof text, "S%llu", (unsigned long long)from);
        assert_bytes(load.snapshot, text);
    }
    from = after ? after : from;
    assert_int_equal(load.count, from < m->head ? m->head - from : 0);
    for (size_t i = 0; i < load.count; i++) {
        char text[24];

        assert_int_equal(load.records[i].seq, from + 1 + i);
        (void)snprintf(text, sizeof text, "%u", m->value[from + 1 + i]);
        assert_bytes(load.records[i].bytes, text);
    }
    ml_load_release(&load);
}

static void random_runs_agree_with_a_naive_model(void **state)
{
    struct model_document *models = calloc(MODEL_DOCUMENTS, sizeof *models);
    uint32_t value = 1;

    assert_non_null(models);
    srand(20240611);
    for (unsigned d = 0; d < MODEL_DOCUMENTS; d++)
        (void)snprintf(models[d].name, sizeof models[d].name, "m%u", d);
    for (unsigned step = 0; step < 1500; step++) {
        struct model_document *m = &models[rand() % MODEL_DOCUMENTS];

        switch (rand() % 8) {
        case 0:
            model_snapshot(*state, m);
            break;
        case 1:
        case 2:
            model_load(*state, m);
            break;
        default:
            model_append(*state, m, &value);
        }
    }
    free(models);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)
        TEST(a_document_nobody_wrote_does_not_exist),
        TEST(records_are_numbered_from_one_without_gaps),
        TEST(an_append_without_records_creates_the_document),
        TEST(orgs_and_names_are_apart),
        TEST(many_at_once_are_answered_in_order_and_numbered_in_order),
        TEST(a_large_append_goes_in_whole),
        TEST(an_append_grows_as_long_as_it_waits),
        TEST(a_late_append_is_told_the_head_and_disturbs_nobody),
        TEST(a_repeat_is_answered_with_its_old_number_and_the_rest_goes_in),
        TEST(keys_are_per_document_and_none_is_no_key),
        TEST(trying_again_is_not_late_because_of_itself),
        TEST(what_was_answered_is_seen_by_the_next_load),
        TEST(a_load_after_a_number_brings_what_follows_and_no_snapshot),
        TEST(a_load_tells_who_wrote_what_and_when),
        TEST(a_load_takes_the_newest_snapshot_below_the_ceiling),
        TEST(a_snapshot_goes_in_only_ahead_of_the_newest),
        TEST(three_snapshots_stay_or_as_many_as_asked),
        TEST(a_snapshot_comes_back_byte_for_byte),
        TEST(a_list_is_in_byte_order_by_prefix_and_page),
        TEST(a_list_tells_head_sizes_and_times),
        TEST(what_waits_is_bounded_and_the_rest_is_told_so_in_order),
        TEST(closing_finishes_what_was_asked),
        TEST(stats_add_up),
        TEST(random_runs_agree_with_a_naive_model),
#undef TEST
    };

    if (argc != 2 || !client_choose(argv[1]))
        return 2;
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
