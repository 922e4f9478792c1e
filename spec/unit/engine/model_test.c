/* SPDX-License-Identifier: MIT */
/*
 * The engine against a stupid model: several replicas, random edits, random delivery with repeats.
 *
 * The model keeps a text, and every key of a map, as a flat array of single units with ids,
 * tombstones included, and places one unit at a time by the YATA rules written down as they stand
 * in the paper's words: no runs, no splits, no index, nothing shared with the engine. Of a key only
 * the last unit counts. Each replica has a model that makes the edits (as updates) and an engine
 * document; both get every update in the same random order. After each delivery the texts are equal
 * and the invariants hold; in the end all documents have the same bytes.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "engine/codec_v1.h"
#include "engine/engine.h"

#define REPLICAS    4
#define UNITS_MAX   4000
#define UPDATES_MAX 600
#define ROUNDS      120
#define MAX_BYTES   ((size_t)8 << 20)
#define NOBODY      UINT64_MAX
#define KEYS        3
#define LISTS       (1 + KEYS) /* the text, then the keys "k0" … */

struct unit {
    struct ml_id id, origin, right_origin; /* client NOBODY: none */
    char text;
    bool dead;
    unsigned list;
};

/* One edit: a run of inserted units, or one deleted range. */
struct edit {
    struct unit run[8];
    size_t count; /* 0: it deletes */
    struct ml_wire_range deleted;
    uint8_t bytes[256];
    size_t len;
};

struct list {
    struct unit units[UNITS_MAX];
    size_t count;
};

struct model {
    struct list lists[LISTS];
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

static size_t position_of(const struct list *m, const struct ml_id *id)
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
static size_t behind(const struct list *m, const struct ml_id *id)
{
    return id->client == NOBODY ? 0 : position_of(m, id) + 1;
}

static void place(struct model *model, const struct unit *u)
{
    struct list *m = &model->lists[u->list];
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
    *clock_of(model, u->id.client) = u->id.clock + 1;
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

        if (!is_there(m, &id)) {
            all = false;
            continue;
        }
        for (size_t l = 0; l < LISTS; l++) {
            size_t at = position_of(&m->lists[l], &id);

            if (at != SIZE_MAX)
                m->lists[l].units[at].dead = true;
        }
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
    const struct list *text = &m->lists[0];
    size_t n = 0;

    for (size_t i = 0; i < text->count; i++)
        if (!text->units[i].dead)
            out[n++] = text->units[i].text;
    return n;
}

/* The value of a key, 0: none. */
static char model_value(const struct model *m, unsigned key)
{
    const struct list *list = &m->lists[1 + key];
    const struct unit *last = list->count ? &list->units[list->count - 1] : NULL;

    return last && !last->dead ? last->text : '\0';
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
    char text[sizeof e->run / sizeof *e->run], value[3] = {119, 1, first->text}, key[16];
    struct ml_wire s = {.client = first->id.client, .clock = first->id.clock, .len = e->count};
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    for (size_t i = 0; i < e->count; i++)
        text[i] = e->run[i].text;
    s.kind = first->list ? ML_WIRE_ANY : ML_WIRE_STRING;
    s.content = first->list ? ml_slice_make(value, sizeof value) : ml_slice_make(text, e->count);
    s.origin = first->origin;
    s.right_origin = first->right_origin;
    s.info = (uint8_t)((s.origin.client != NOBODY ? ML_INFO_ORIGIN : 0) |
                       (s.right_origin.client != NOBODY ? ML_INFO_RIGHT_ORIGIN : 0));
    if (!s.info) {
        s.parent = ML_PARENT_ROOT;
        s.root = first->list ? ML_SLICE("m") : ML_SLICE("t");
        if (first->list) {
            (void)snprintf(key, sizeof key, "k%u", first->list - 1);
            s.key = ml_slice_str(key);
            s.info |= ML_INFO_KEY;
        }
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
    struct list *m = &r->model.lists[0];
    size_t at = random_below((uint32_t)m->count + 1);
    struct ml_id left = at ? m->units[at - 1].id : none;
    struct ml_id right = at < m->count ? m->units[at].id : none;
    uint64_t clock = *clock_of(&r->model, r->client);

    e->count = 1 + random_below(sizeof e->run / sizeof *e->run);
    for (size_t i = 0; i < e->count; i++) {
        e->run[i] = (struct unit){{r->client, clock + i},         left,  right,
                                  (char)('a' + random_below(26)), false, 0};
        left = e->run[i].id;
    }
    write_insert(e);
}

/* A value behind all that the key has had. */
static void make_set(struct replica *r, struct edit *e)
{
    unsigned list = 1 + random_below(KEYS);
    const struct list *m = &r->model.lists[list];

    e->count = 1;
    e->run[0] = (struct unit){{r->client, *clock_of(&r->model, r->client)},
                              m->count ? m->units[m->count - 1].id : none,
                              none,
                              (char)('A' + random_below(26)),
                              false,
                              list};
    write_insert(e);
}

static void make_delete(struct replica *r, struct edit *e)
{
    const struct list *m = &r->model.lists[random_below(LISTS)];
    const struct unit *u;
    uint64_t state, len = 1 + random_below(6);

    if (!m->count)
        m = &r->model.lists[0];
    u = &m->units[random_below((uint32_t)m->count)];
    state = *clock_of(&r->model, u->id.client);
    e->count = 0;
    e->deleted = (struct ml_wire_range){u->id.client, u->id.clock, len};
    if (u->id.clock + len > state)
        e->deleted.len = state - u->id.clock;
    write_delete(e);
}

/* ---- Both
 * ---------------------------------------------------------------------------------------------- */

static void check_keys(const struct replica *r)
{
    size_t len = 2, values = 0;
    struct ml_writer w;

    ml_writer_init(&w, MAX_BYTES);
    assert_int_equal(ml_doc_read(r->doc, ML_SLICE("m"), ML_VIEW_JSON, &w), ML_OK);
    ml_write_u8(&w, 0);
    for (unsigned key = 0; key < KEYS; key++) {
        char value = model_value(&r->model, key), field[16];

        if (!value)
            continue;
        (void)snprintf(field, sizeof field, "\"k%u\":\"%c\"", key, value);
        if (!strstr((const char *)w.ptr, field))
            fail_msg("%s is not in %s", field, (const char *)w.ptr);
        len += strlen(field) + (values++ > 0);
    }
    /* A map that nobody has written to shows as what it is: nothing. */
    if (values && strlen((const char *)w.ptr) != len)
        fail_msg("more than the values in %s", (const char *)w.ptr);
    ml_writer_release(&w);
}

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
    check_keys(r);
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
    uint32_t what = random_below(6);

    if (r->model.lists[0].count == 0 || what < 3)
        make_insert(r, e);
    else if (what < 4)
        make_set(r, e);
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
