/* SPDX-License-Identifier: MIT */
/*
 * The engine against a stupid model: several replicas, random edits, random delivery with repeats.
 *
 * The model keeps a text as a flat array of single units with ids, tombstones included, and places
 * one unit at a time by the YATA rules written down as they stand in the paper's words: no runs, no
 * splits, no index, nothing shared with the engine. Each replica has a model that makes the edits
 * (as updates) and an engine document; both get every update in the same random order. After each
 * delivery the texts are equal and the invariants hold; in the end all documents have the same
 * bytes.
 */
#include "support/test.h"

#include <stdio.h>

#include "engine/codec_v1.h"
#include "engine/engine.h"

#define REPLICAS    4
#define UNITS_MAX   4000
#define UPDATES_MAX 600
#define ROUNDS      60
#define MAX_BYTES   ((size_t)8 << 20)
#define NOBODY      UINT64_MAX

struct unit {
    struct ml_id id, origin, right_origin; /* client NOBODY: none */
    char text;
    bool dead;
};

/* One edit: a run of inserted units, or one deleted range. */
struct edit {
    struct unit run[8];
    size_t count; /* 0: it deletes */
    struct ml_wire_range deleted;
    uint8_t bytes[256];
    size_t len;
};

struct model {
    struct unit units[UNITS_MAX];
    size_t count;
    uint64_t clocks[REPLICAS];
    bool waiting[UPDATES_MAX]; /* delivered, not yet possible */
    bool done[UPDATES_MAX];
};

struct replica {
    struct model model;
    struct ml_doc *doc;
    ml_client_id client;
};

static struct edit edits[UPDATES_MAX];
static size_t edit_count;
static struct replica replicas[REPLICAS];
static const ml_client_id clients[REPLICAS] = {7, 300, 4000000000u, (1ull << 53) - 2};
static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static bool same_id(const struct ml_id *a, const struct ml_id *b)
{
    return a->client == b->client && (a->client == NOBODY || a->clock == b->clock);
}

/* ---- The model
 * ------------------------------------------------------------------------------------- */

static size_t position_of(const struct model *m, const struct ml_id *id)
{
    for (size_t i = 0; i < m->count; i++)
        if (same_id(&m->units[i].id, id))
            return i;
    return SIZE_MAX;
}

static uint64_t *clock_of(struct model *m, ml_client_id client)
{
    for (size_t i = 0; i < REPLICAS; i++)
        if (clients[i] == client)
            return &m->clocks[i];
    fail_msg("no such client");
    return NULL;
}

static bool is_there(struct model *m, const struct ml_id *id)
{
    return id->client == NOBODY || *clock_of(m, id->client) > id->clock;
}

/* Position + 1 of a unit, 0 for none: a left border. */
static size_t behind(const struct model *m, const struct ml_id *id)
{
    return id->client == NOBODY ? 0 : position_of(m, id) + 1;
}

static void place(struct model *m, const struct unit *u)
{
    size_t left = behind(m, &u->origin);
    size_t end = u->right_origin.client == NOBODY ? m->count : position_of(m, &u->right_origin);
    size_t at = left, first_conflict = left;

    for (size_t i = left; i < end; i++) {
        const struct unit *o = &m->units[i];
        size_t o_left = behind(m, &o->origin);

        if (same_id(&o->origin, &u->origin)) {
            if (o->id.client < u->id.client) {
                at = first_conflict = i + 1;
            } else if (same_id(&o->right_origin, &u->right_origin)) {
                break;
            }
        } else if (o_left > left && o_left <= i) { /* its origin was met in this scan */
            if (o_left <= first_conflict)
                at = first_conflict = i + 1;
        } else {
            break;
        }
    }
    assert_true(m->count < UNITS_MAX);
    memmove(&m->units[at + 1], &m->units[at], (m->count - at) * sizeof *m->units);
    m->units[at] = *u;
    m->count++;
    *clock_of(m, u->id.client) = u->id.clock + 1;
}

/* What of an edit is possible now; true if nothing is left of it. */
static bool try_edit(struct model *m, const struct edit *e)
{
    bool all = true;

    if (e->count) {
        const struct unit *first = &e->run[0];

        if (*clock_of(m, first->id.client) < first->id.clock || !is_there(m, &first->origin) ||
            !is_there(m, &first->right_origin))
            return false;
        for (size_t i = 0; i < e->count; i++)
            if (*clock_of(m, e->run[i].id.client) == e->run[i].id.clock)
                place(m, &e->run[i]);
        return true;
    }
    for (uint64_t k = 0; k < e->deleted.len; k++) {
        struct ml_id id = {e->deleted.client, e->deleted.clock + k};

        if (is_there(m, &id))
            m->units[position_of(m, &id)].dead = true;
        else
            all = false;
    }
    return all;
}

static void model_deliver(struct model *m, size_t number)
{
    bool moved = true;

    m->waiting[number] = !m->done[number];
    while (moved) {
        moved = false;
        for (size_t i = 0; i < edit_count; i++) {
            if (!m->waiting[i] || !try_edit(m, &edits[i]))
                continue;
            m->waiting[i] = false;
            m->done[i] = true;
            moved = true;
        }
    }
}

static size_t model_text(const struct model *m, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < m->count; i++)
        if (!m->units[i].dead)
            out[n++] = m->units[i].text;
    return n;
}

/* ---- Edits
 * ------------------------------------------------------------------------------------------- */

static void finish_edit(struct edit *e, struct ml_writer *w)
{
    assert_int_equal(w->err, ML_OK);
    assert_true(w->len <= sizeof e->bytes);
    memcpy(e->bytes, w->ptr, w->len);
    e->len = w->len;
    ml_writer_release(w);
}

static void write_insert(struct edit *e)
{
    const struct unit *first = &e->run[0];
    char text[sizeof e->run / sizeof *e->run];
    struct ml_wire s = {.client = first->id.client, .clock = first->id.clock, .len = e->count};
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    for (size_t i = 0; i < e->count; i++)
        text[i] = e->run[i].text;
    s.kind = ML_WIRE_STRING;
    s.content = ml_slice_make(text, e->count);
    s.origin = first->origin;
    s.right_origin = first->right_origin;
    s.info = (uint8_t)((s.origin.client != NOBODY ? ML_INFO_ORIGIN : 0) |
                       (s.right_origin.client != NOBODY ? ML_INFO_RIGHT_ORIGIN : 0));
    if (!s.info) {
        s.parent = ML_PARENT_ROOT;
        s.root = ML_SLICE("t");
    }
    ml_write_varuint(&w, 1);
    ml_wire_write_section(&w, 1, s.client, s.clock);
    ml_wire_write(&w, &s);
    ml_write_varuint(&w, 0);
    finish_edit(e, &w);
}

static void write_delete(struct edit *e)
{
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    ml_write_varuint(&w, 0);
    ml_wire_write_ranges(&w, &e->deleted, 1);
    finish_edit(e, &w);
}

static const struct ml_id none = {NOBODY, 0};

static void make_insert(struct replica *r, struct edit *e)
{
    struct model *m = &r->model;
    size_t at = random_below((uint32_t)m->count + 1);
    struct ml_id left = at ? m->units[at - 1].id : none;
    struct ml_id right = at < m->count ? m->units[at].id : none;
    uint64_t clock = *clock_of(m, r->client);

    e->count = 1 + random_below(sizeof e->run / sizeof *e->run);
    for (size_t i = 0; i < e->count; i++) {
        e->run[i] = (struct unit){
            {r->client, clock + i}, left, right, (char)('a' + random_below(26)), false};
        left = e->run[i].id;
    }
    write_insert(e);
}

static void make_delete(struct replica *r, struct edit *e)
{
    const struct unit *u = &r->model.units[random_below((uint32_t)r->model.count)];
    uint64_t state = *clock_of(&r->model, u->id.client);
    uint64_t len = 1 + random_below(6);

    e->count = 0;
    e->deleted = (struct ml_wire_range){u->id.client, u->id.clock, len};
    if (u->id.clock + len > state)
        e->deleted.len = state - u->id.clock;
    write_delete(e);
}

/* ---- Both
 * ---------------------------------------------------------------------------------------------- */

static void check_replica(const struct replica *r)
{
    static char text[UNITS_MAX];
    size_t len = model_text(&r->model, text);
    struct ml_diag diag = {0};
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_read(r->doc, ML_SLICE("t"), ML_VIEW_TEXT, &w), ML_OK);
    if (w.len != len || (len && memcmp(w.ptr, text, len) != 0))
        fail_msg("texts differ (seed round)");
    ml_writer_release(&w);
    if (ml_doc_check(r->doc, &diag))
        fail_msg("%s", diag.text);
}

static void deliver(struct replica *r, size_t number)
{
    struct edit *e = &edits[number];

    model_deliver(&r->model, number);
    assert_int_equal(ml_doc_apply_bytes(r->doc, ml_slice_make(e->bytes, e->len), NULL), ML_OK);
    check_replica(r);
}

static void make_edit(struct replica *r)
{
    struct edit *e = &edits[edit_count];

    if (r->model.count == 0 || random_below(3))
        make_insert(r, e);
    else
        make_delete(r, e);
    deliver(r, edit_count++);
}

static void start(void)
{
    memset(replicas, 0, sizeof replicas);
    edit_count = 0;
    for (size_t i = 0; i < REPLICAS; i++) {
        replicas[i].client = clients[i];
        replicas[i].doc = ml_doc_new(NULL);
    }
}

static void deliver_the_rest(void)
{
    for (size_t i = 0; i < REPLICAS; i++)
        for (size_t n = 0; n < edit_count; n++)
            deliver(&replicas[i], (n * 7 + i) % edit_count);
    for (size_t i = 0; i < REPLICAS; i++)
        for (size_t n = 0; n < edit_count; n++)
            if (!replicas[i].model.done[n])
                deliver(&replicas[i], n);
}

static void assert_same_bytes(void)
{
    struct ml_writer first, other;

    ml_writer_init(&first, MAX_BYTES);
    ml_writer_init(&other, MAX_BYTES);
    assert_int_equal(ml_doc_encode_state(replicas[0].doc, ml_slice_make(NULL, 0), &first), ML_OK);
    for (size_t i = 1; i < REPLICAS; i++) {
        struct ml_doc_stats stats;

        ml_writer_reset(&other);
        assert_int_equal(ml_doc_encode_state(replicas[i].doc, ml_slice_make(NULL, 0), &other),
                         ML_OK);
        assert_true(ml_slice_equal(ml_writer_slice(&first), ml_writer_slice(&other)));
        ml_doc_stats(replicas[i].doc, &stats);
        assert_int_equal(stats.pending_structs + stats.pending_deletes, 0);
    }
    ml_writer_release(&first);
    ml_writer_release(&other);
}

static void replicas_show_what_the_model_shows_and_end_alike(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        size_t steps = 40 + round * 2;

        seed = round;
        start();
        for (size_t i = 0; i < steps; i++) {
            struct replica *r = &replicas[random_below(REPLICAS)];

            if (edit_count == 0 || (random_below(3) == 0 && edit_count < UPDATES_MAX))
                make_edit(r);
            else /* anything made so far: early, late, or once more */
                deliver(r, random_below((uint32_t)edit_count));
        }
        deliver_the_rest();
        assert_same_bytes();
        for (size_t i = 0; i < REPLICAS; i++)
            ml_doc_free(replicas[i].doc);
    }
    ml_engine_thread_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_show_what_the_model_shows_and_end_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
