/* SPDX-License-Identifier: MIT */
/*
 * Piles (src/engine/pile.c) change what a scan costs, not where it ends: random crowds at one
 * place, applied to a document that remembers its piles and to one whose piles are dropped after
 * each update.
 */
#include "support/test.h"

#include <stdio.h>

#include "engine/item.h"

#define MAX_BYTES ((size_t)64 << 20)
#define AUTHORS   160
#define ITEMS     4 /* at most, of one author */
#define ROUNDS    60
#define BASE      2 /* author of "AB" */

struct written {
    uint8_t bytes[96];
    size_t len;
    struct ml_id origin, right_origin; /* client 0: none */
    struct ml_id id;
};

static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void put_id(struct ml_writer *w, struct ml_id id)
{
    ml_write_varuint(w, id.client);
    ml_write_varuint(w, id.clock);
}

static void write_item(struct ml_writer *w, struct written *item, const char *text)
{
    ml_writer_reset(w);
    ml_write_u8(w, 1);
    ml_wire_write_section(w, 1, item->id.client, item->id.clock);
    ml_write_u8(w, (uint8_t)(ML_WIRE_STRING | (item->origin.client ? ML_INFO_ORIGIN : 0) |
                             (item->right_origin.client ? ML_INFO_RIGHT_ORIGIN : 0)));
    if (item->origin.client)
        put_id(w, item->origin);
    if (item->right_origin.client)
        put_id(w, item->right_origin);
    if (!item->origin.client && !item->right_origin.client) {
        ml_write_u8(w, 1);
        ml_write_varbytes(w, ML_SLICE("t"));
    }
    ml_write_varbytes(w, ml_slice_str(text));
    ml_write_u8(w, 0);
    assert_true(w->len <= sizeof(item->bytes));
    memcpy(item->bytes, w->ptr, w->len);
    item->len = w->len;
}

static void apply(struct ml_doc *doc, const struct written *item)
{
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(
        ml_update_decode(&scratch, ml_slice_make(item->bytes, item->len), NULL, NULL, &update),
        ML_OK);
    assert_int_equal(ml_doc_apply(doc, update, NULL, &scratch, &change), ML_OK);
    ml_arena_release(&scratch);
}

static void assert_same_text(struct ml_doc *a, struct ml_doc *b, unsigned round)
{
    struct ml_writer x, y;

    ml_writer_init(&x, MAX_BYTES);
    ml_writer_init(&y, MAX_BYTES);
    assert_int_equal(ml_doc_read(a, ML_SLICE("t"), ML_VIEW_TEXT, &x), ML_OK);
    assert_int_equal(ml_doc_read(b, ML_SLICE("t"), ML_VIEW_TEXT, &y), ML_OK);
    if (!ml_slice_equal(ml_writer_slice(&x), ml_writer_slice(&y)))
        fail_msg("round %u:\n%.*s\n%.*s", round, ML_PRINT(ml_writer_slice(&x)),
                 ML_PRINT(ml_writer_slice(&y)));
    ml_writer_release(&x);
    ml_writer_release(&y);
}

/* What an author may have seen: mostly "AB" alone, sometimes what others wrote. */
static struct ml_id somewhere(const struct written *items, size_t count, bool right)
{
    uint32_t dice = random_below(20);

    if (dice < 15)
        return (struct ml_id){BASE, right ? 1 : 0};
    if (dice == 15)
        return (struct ml_id){0, 0};
    if (dice == 16)
        return (struct ml_id){BASE, right ? 0 : 1};
    return count ? items[random_below((uint32_t)count)].id : (struct ml_id){BASE, 0};
}

static size_t write_crowd(struct written *items)
{
    struct ml_writer w;
    size_t count = 0;

    ml_writer_init(&w, MAX_BYTES);
    for (unsigned n = 0; n < AUTHORS; n++) {
        ml_client_id client = 10 + 7919 * (uint64_t)(n * 37 % AUTHORS);
        unsigned own = 1 + random_below(ITEMS);
        char text[8];

        for (unsigned i = 0; i < own; i++, count++) {
            struct written *item = &items[count];

            *item = (struct written){.id = {client, i}};
            item->origin = i && random_below(4) ? (struct ml_id){client, i - 1}
                                                : somewhere(items, count, false);
            item->right_origin = somewhere(items, count, true);
            if (item->origin.client == item->right_origin.client &&
                item->right_origin.clock <= item->origin.clock)
                item->right_origin = (struct ml_id){BASE, 1};
            snprintf(text, sizeof(text), "%c", 'a' + (int)(n % 26));
            write_item(&w, item, text);
        }
    }
    ml_writer_release(&w);
    return count;
}

static struct ml_doc *begin(void)
{
    struct ml_doc *doc = ml_doc_new(NULL);
    struct written base = {.id = {BASE, 0}};
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    write_item(&w, &base, "AB");
    apply(doc, &base);
    ml_writer_release(&w);
    return doc;
}

static void a_pile_ends_every_scan_where_it_would_have_ended(void **state)
{
    static struct written items[AUTHORS * ITEMS];
    uint64_t with = 0, without = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct ml_doc *fast, *slow;
        struct ml_doc_stats stats;
        size_t count;

        seed = round + 1;
        count = write_crowd(items);
        fast = begin();
        slow = begin();
        /* Any order: what comes too early waits in both. */
        for (size_t left = count; left; left--) {
            size_t n = random_below((uint32_t)left);
            struct written item = items[n];

            items[n] = items[left - 1];
            items[left - 1] = item;
            apply(fast, &item);
            ml_pile_drop(slow);
            apply(slow, &item);
            if (left % 16 == 1)
                assert_same_text(fast, slow, round);
        }
        assert_int_equal(ml_doc_check(fast, NULL), ML_OK);
        ml_doc_stats(fast, &stats);
        with += stats.steps;
        ml_doc_stats(slow, &stats);
        without += stats.steps;
        ml_doc_free(fast);
        ml_doc_free(slow);
    }
    print_message("steps: %.0f with piles, %.0f without\n", (double)with, (double)without);
    assert_true(with < without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pile_ends_every_scan_where_it_would_have_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
