/* SPDX-License-Identifier: MIT */
/*
 * Well-formed updates that no editor would write: origins of other lists, parents that are no
 * types, keys in lists, GC in the middle, circles, ids that come twice with other content. Nothing
 * is promised about what they show; the document stays a document: all invariants hold, its state
 * can be loaded, and loading gives the same bytes again.
 */
#include "support/test.h"

#include "engine/codec_v1.h"
#include "engine/engine.h"

#define MAX_BYTES ((size_t)8 << 20)
#define CLIENTS   4
#define ROUNDS    500
#define STEPS     60
#define RELOADS   3

static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* Where each client's next struct starts; mostly kept to, so that most of it goes in. */
static uint64_t clocks[CLIENTS];

static ml_client_id random_client(void)
{
    return 1 + random_below(CLIENTS);
}

/* A unit that may be there; an own one is earlier. */
static struct ml_id random_id(const struct ml_wire *s)
{
    ml_client_id client = random_client();
    uint64_t end = client == s->client ? s->clock : clocks[client - 1] + (random_below(20) == 0);

    if (end == 0) {
        client = s->client == 1 ? 2 : 1;
        end = clocks[client - 1] + 1;
    }
    return (struct ml_id){client, random_below(3) ? end - 1 : random_below((uint32_t)end)};
}

static void random_place(struct ml_wire *s)
{
    static const struct ml_slice names[] = {
        {(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}, {(const uint8_t *)"", 0}};
    uint32_t dice = random_below(10);

    if (dice < 6)
        s->info |= ML_INFO_ORIGIN;
    if (dice > 3 && dice < 8)
        s->info |= ML_INFO_RIGHT_ORIGIN;
    s->origin = random_id(s);
    s->right_origin = random_id(s);
    if (s->info)
        return;
    if (random_below(2)) {
        s->parent = ML_PARENT_ROOT;
        s->root = names[random_below(3)];
    } else {
        s->parent = ML_PARENT_ID;
        s->parent_id = random_id(s);
    }
    if (random_below(2))
        s->key = names[random_below(3)];
}

static void random_content(struct ml_wire *s)
{
    static const struct {
        uint8_t kind, len;
        struct ml_slice content;
    } contents[] = {
        {ML_WIRE_STRING,
         5,
         {(const uint8_t *)"ab\xf0\x9f\x98\x80"
                           "c",
          7}},
        {ML_WIRE_STRING, 1, {(const uint8_t *)"x", 1}},
        {ML_WIRE_STRING, 4, {(const uint8_t *)"\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 8}},
        {ML_WIRE_ANY, 3, {(const uint8_t *)"\x7e\x77\x01v\x7d\x05", 6}},
        {ML_WIRE_JSON, 2, {(const uint8_t *)"\x01\x31\x09undefined", 12}},
        {ML_WIRE_DELETED, 3, {NULL, 0}},
        {ML_WIRE_FORMAT, 1, {(const uint8_t *)"\x01k\x04true", 7}},
        {ML_WIRE_EMBED, 1, {(const uint8_t *)"{}", 2}},
        {ML_WIRE_BINARY, 1, {(const uint8_t *)"\0\1", 2}},
        {ML_WIRE_TYPE, 1, {(const uint8_t *)"\x01", 1}},
        {ML_WIRE_TYPE, 1, {(const uint8_t *)"\x03\x01p", 3}},
        {ML_WIRE_DOC, 1, {(const uint8_t *)"\x01g\x76\0", 4}},
        {ML_WIRE_GC, 2, {NULL, 0}},
    };
    size_t n = random_below(sizeof contents / sizeof *contents);

    if (contents[n].kind == ML_WIRE_TYPE || !random_below(3)) /* more types, more nesting */
        n = 9 + random_below(2);
    s->kind = contents[n].kind;
    s->len = contents[n].len;
    s->content = contents[n].content;
}

static void write_struct(struct ml_writer *w, struct ml_wire *s)
{
    random_content(s);
    if (random_below(25) == 0)
        s->kind = ML_WIRE_GC, s->content = (struct ml_slice){0};
    if (s->kind != ML_WIRE_GC)
        random_place(s);
    ml_wire_write(w, s);
}

static void write_update(struct ml_writer *w)
{
    struct ml_wire_range ranges[3];
    uint32_t sections = 1 + random_below(2), structs, range_count = random_below(3);
    ml_client_id client = random_client();

    ml_writer_reset(w);
    ml_write_varuint(w, sections);
    for (uint32_t i = 0; i < sections; i++, client = client % CLIENTS + 1) {
        uint64_t clock = clocks[client - 1];

        if (random_below(8) == 0)
            clock += random_below(4);
        else if (random_below(8) == 0)
            clock -= clock ? random_below((uint32_t)clock) : 0;
        structs = 1 + random_below(4);
        ml_wire_write_section(w, structs, client, clock);
        for (uint32_t k = 0; k < structs; k++) {
            struct ml_wire s = {.client = client, .clock = clock};

            write_struct(w, &s);
            clock += s.len;
        }
        if (clock > clocks[client - 1])
            clocks[client - 1] = clock;
    }
    for (uint32_t i = 0; i < range_count; i++) {
        ranges[i].client = random_client();
        ranges[i].clock = random_below((uint32_t)clocks[ranges[i].client - 1] + 3);
        ranges[i].len = 1 + random_below(5);
    }
    ml_wire_write_ranges(w, ranges, ml_wire_normalize_ranges(ranges, range_count));
    assert_int_equal(w->err, ML_OK);
}

static void check_invariants(const struct ml_doc *doc)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag))
        fail_msg("seed %u: %s", seed, diag.text);
}

static void apply(struct ml_doc *doc, struct ml_slice bytes, bool refuse)
{
    struct ml_verdict verdict = {.undo_all = refuse};
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_arena scratch;

    ml_arena_init(&scratch, MAX_BYTES);
    assert_int_equal(ml_update_decode(&scratch, bytes, NULL, NULL, &update), ML_OK);
    assert_int_equal(ml_doc_apply(doc, update, &verdict, &scratch, &change), ML_OK);
    check_invariants(doc);
    ml_arena_release(&scratch);
}

/* Where nonsense goes may depend on the order in which it comes: other bytes, the same invariants.
 */
static void check_reload(struct ml_doc *doc, const struct ml_doc_options *options)
{
    struct ml_writer bytes;
    struct ml_doc *loaded;

    ml_writer_init(&bytes, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &bytes), ML_OK);
    for (int round = 0; round < RELOADS; round++) {
        loaded = ml_doc_new(options);
        assert_int_equal(ml_doc_apply_bytes(loaded, ml_writer_slice(&bytes), NULL), ML_OK);
        check_invariants(loaded);
        ml_writer_reset(&bytes);
        assert_int_equal(ml_doc_encode_state(loaded, ml_slice_make(NULL, 0), &bytes), ML_OK);
        ml_doc_free(loaded);
    }
    ml_writer_release(&bytes);
}

static void nonsense_leaves_a_document_a_document(void **state)
{
    struct ml_writer w;

    (void)state;
    ml_writer_init(&w, MAX_BYTES);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct ml_engine_limits limits = {.type_depth = 1 + round % 5};
        struct ml_doc_options options = {99, round % 3 == 0, &limits};
        struct ml_doc *doc = ml_doc_new(&options);

        seed = round * 7919;
        memset(clocks, 0, sizeof clocks);
        for (int step = 0; step < STEPS; step++) {
            write_update(&w);
            apply(doc, ml_writer_slice(&w), round % 2 && random_below(4) == 0);
        }
        check_reload(doc, &options);
        ml_doc_free(doc);
    }
    ml_writer_release(&w);
    ml_engine_thread_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nonsense_leaves_a_document_a_document),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
