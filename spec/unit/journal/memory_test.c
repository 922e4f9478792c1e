/* SPDX-License-Identifier: MIT */
/* What only the journal of the simulations has: steps by hand and faults on demand. */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct ml_journal *open_stepped(void)
{
    struct ml_journal *journal;

    assert_int_equal(ml_journal_open_memory(NULL, &journal), ML_OK);
    return journal;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_stepped(struct ml_journal *journal)
{
    bool closed = false;

    ml_journal_close(journal, on_closed, &closed);
    assert_false(closed);
    ml_journal_memory_step(journal);
    assert_true(closed);
}

static void ask(struct ml_journal *journal, struct append_case *c)
{
    struct journal_client client = {.journal = journal};

    append_send(&client, c);
}

static struct ml_load loaded;
static bool load_answered;

static void on_loaded(struct ml_load *load)
{
    assert_ptr_equal(load, &loaded);
    load_answered = true;
}

static void load_now(struct ml_journal *journal, const char *name)
{
    loaded = (struct ml_load){.org = ML_SLICE("default"),
                              .name = ml_slice_str(name),
                              .max_snapshot_seq = ML_SEQ_ANY,
                              .done = on_loaded};
    load_answered = false;
    ml_journal_load(journal, &loaded);
    assert_false(load_answered);
    ml_journal_memory_step(journal);
    assert_true(load_answered);
}

static void nothing_happens_between_steps(void **state)
{
    struct ml_journal *journal = open_stepped();
    struct append_case a, b;

    (void)state;
    append_init(&a, "notes");
    append_add(&a, "x", NULL, 0);
    append_init(&b, "notes");
    append_add(&b, "y", NULL, 0);
    ask(journal, &a);
    ask(journal, &b);
    assert_false(a.answered || b.answered);
    assert_int_equal(ml_journal_memory_step(journal), 2);
    assert_true(a.answered && b.answered && a.turn < b.turn);
    assert_int_equal(b.append.head, 2);
    assert_int_equal(ml_journal_memory_step(journal), 0);
    append_release(&a);
    append_release(&b);
    close_stepped(journal);
}

static void a_failed_transaction_leaves_nothing(void **state)
{
    struct ml_journal *journal = open_stepped();
    struct append_case a;
    struct ml_journal_stats stats;

    (void)state;
    ml_journal_memory_fault(journal, ML_FAULT_FAIL, 2);
    append_init(&a, "notes");
    append_add(&a, "x", "s", 1);
    for (int i = 0; i < 2; i++) {
        ask(journal, &a);
        ml_journal_memory_step(journal);
        assert_int_equal(a.append.err, ML_EIO);
        load_now(journal, "notes"); /* loads do not use faults up */
        assert_false(loaded.exists);
        ml_load_release(&loaded);
    }
    ask(journal, &a);
    ml_journal_memory_step(journal);
    assert_int_equal(a.append.err, ML_OK);
    assert_false(a.records[0].repeated);
    assert_int_equal(a.append.head, 1);
    ml_journal_stats(journal, &stats);
    assert_int_equal(stats.errors, 2);
    assert_int_equal(stats.rows, 1);
    assert_int_equal(stats.waiting_bytes, 0);
    append_release(&a);
    close_stepped(journal);
}

static void an_unknown_outcome_is_in_and_the_retry_finds_it(void **state)
{
    struct ml_journal *journal = open_stepped();
    struct append_case a;

    (void)state;
    ml_journal_memory_fault(journal, ML_FAULT_UNKNOWN, 1);
    append_init(&a, "notes");
    append_add(&a, "x", "s", 1);
    a.append.expected_head = 0;
    ask(journal, &a);
    ml_journal_memory_step(journal);
    assert_int_equal(a.append.err, ML_EIO);
    load_now(journal, "notes");
    assert_int_equal(loaded.count, 1);
    ml_load_release(&loaded);
    ask(journal, &a);
    ml_journal_memory_step(journal);
    assert_int_equal(a.append.err, ML_OK);
    assert_true(a.records[0].repeated);
    assert_int_equal(a.records[0].seq, 1);
    assert_int_equal(a.append.head, 1);
    append_release(&a);
    close_stepped(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_between_steps),
        cmocka_unit_test(a_failed_transaction_leaves_nothing),
        cmocka_unit_test(an_unknown_outcome_is_in_and_the_retry_finds_it),
    };

    return cmocka_run_group_tests_name("unit/journal/memory", tests, NULL, NULL);
}
