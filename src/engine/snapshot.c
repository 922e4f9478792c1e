/* SPDX-License-Identifier: MIT */
/*
 * Moments of a document: a delete set and a state vector, and nothing else.
 *
 *   snapshot     delete set, state vector; V1 and V2 differ in the delete set, there are no columns
 *   V1 range     varuint clock, varuint length
 *   V2 range     varuint clock - end of the range before, varuint length - 1
 *
 *   author       0 ............ 17 ...... 40         a unit was to be seen if its clock is below
 * the state        |--------------------->| 30         state of its author and in no deleted range
 *   deleted             |####|
 *
 * Reading an old moment takes content that may have been deleted since. Where that was collected
 * the answer is ML_ENOTFOUND, never a text with holes.
 *
 * Source: Yjs 13.6, Snapshot.js, and toDelta of YText.js. Different: everything is checked; clients
 * and ranges may come in any order, a client with two states is refused; reading splits nothing, so
 * a character is never lost by looking at a moment that ends inside it.
 */
#include "engine/snapshot.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/canonical.h"
#include "engine/update.h"
#include "engine/view.h"

/* ---- Delete sets ----------------------------------------------------------------------------- */

/* One range; `*end` is where the one before ended. A length of 0 is dropped. */
static enum ml_err read_range(struct ml_reader *in, enum ml_update_format format,
                              struct ml_wire_range *r, uint64_t *end)
{
    uint64_t from, len;

    if (ml_read_varuint(in, &from) || ml_read_varuint(in, &len))
        return ML_EFORMAT;
    if (format == ML_UPDATE_V2) {
        from += *end;
        len++;
    }
    if (from > ML_VARUINT_MAX || len > ML_VARUINT_MAX - from)
        return ML_EFORMAT;
    r->clock = from;
    r->len = len;
    *end = from + len;
    return ML_OK;
}

static enum ml_err read_ranges(struct ml_reader *in, enum ml_update_format format,
                               struct ml_wire_ranges *ranges)
{
    uint64_t clients, count;

    if (ml_read_varuint(in, &clients) || clients > ml_reader_left(in) / 2)
        return ML_EFORMAT;
    while (clients--) {
        struct ml_wire_range r;
        uint64_t end = 0;

        if (ml_read_varuint(in, &r.client) || ml_read_varuint(in, &count) ||
            count > ml_reader_left(in) / 2)
            return ML_EFORMAT;
        while (count--) {
            enum ml_err err = read_range(in, format, &r, &end);

            if (!err && r.len)
                err = ml_wire_ranges_add(ranges, &r, true);
            if (err)
                return err;
        }
    }
    return ML_OK;
}

enum ml_err ml_delete_set_read(struct ml_arena *arena, struct ml_reader *in,
                               enum ml_update_format format, struct ml_delete_set *out)
{
    struct ml_wire_ranges ranges = {0};
    struct ml_wire_range *copy;
    enum ml_err err = read_ranges(in, format, &ranges);

    *out = (struct ml_delete_set){0};
    if (!err && ranges.count) {
        ranges.count = ml_wire_normalize_ranges(ranges.item, ranges.count);
        copy = ml_arena_array(arena, ranges.count, sizeof *copy);
        if (copy) {
            memcpy(copy, ranges.item, ranges.count * sizeof *copy);
            *out = (struct ml_delete_set){copy, ranges.count};
        } else {
            err = ML_ELIMIT;
        }
    }
    ml_wire_ranges_release(&ranges);
    return err;
}

static void write_v2(const struct ml_delete_set *set, struct ml_writer *out)
{
    size_t clients = 0;

    for (size_t i = 0; i < set->count; i++)
        clients += i == 0 || set->ranges[i].client != set->ranges[i - 1].client;
    ml_write_varuint(out, clients);
    for (size_t i = 0; i < set->count;) {
        size_t next = i;
        uint64_t end = 0;

        while (next < set->count && set->ranges[next].client == set->ranges[i].client)
            next++;
        ml_write_varuint(out, set->ranges[i].client);
        ml_write_varuint(out, next - i);
        for (; i < next; i++) {
            ml_write_varuint(out, set->ranges[i].clock - end);
            ml_write_varuint(out, set->ranges[i].len - 1);
            end = set->ranges[i].clock + set->ranges[i].len;
        }
    }
}

void ml_delete_set_write(const struct ml_delete_set *set, enum ml_update_format format,
                         struct ml_writer *out)
{
    if (format == ML_UPDATE_V2)
        write_v2(set, out);
    else
        ml_wire_write_ranges(out, set->ranges, set->count);
}

/* ---- Snapshots as bytes ---------------------------------------------------------------------- */

static int by_client(const void *pa, const void *pb)
{
    const struct ml_id *a = pa, *b = pb;

    return (a->client < b->client) - (a->client > b->client);
}

static enum ml_err read_states(struct ml_arena *arena, struct ml_reader *in, struct ml_snapshot *s)
{
    struct ml_id entry, *states;
    uint64_t left;
    size_t n = 0;
    bool more = true;
    enum ml_err err = ml_state_vector_open(in, &left);

    if (err)
        return err;
    /* An entry takes two bytes at least: this is bounded by the bytes that are there. */
    states = ml_arena_array(arena, (size_t)left + 1, sizeof *states);
    if (!states)
        return ML_ELIMIT;
    while (!(err = ml_state_vector_next(in, &left, &entry, &more)) && more)
        if (entry.clock)
            states[n++] = entry;
    if (err)
        return err;
    qsort(states, n, sizeof *states, by_client);
    for (size_t i = 1; i < n; i++)
        if (states[i].client == states[i - 1].client)
            return ML_EFORMAT;
    s->states = states;
    s->state_count = n;
    return ML_OK;
}

enum ml_err ml_snapshot_decode(struct ml_arena *arena, struct ml_slice bytes,
                               enum ml_update_format format, const struct ml_engine_limits *limits,
                               struct ml_diag *diag, const struct ml_snapshot **snapshot_out)
{
    struct ml_snapshot *s = ml_arena_alloc(arena, sizeof *s);
    struct ml_reader in = ml_reader_make(bytes);
    struct ml_delete_set deletes;
    enum ml_err err;

    if (!s || bytes.len > ml_limits_resolve(limits).update_bytes)
        return ml_diag_set(diag, ML_ELIMIT, 0, "a snapshot over the ceiling");
    err = ml_delete_set_read(arena, &in, format, &deletes);
    if (err)
        return ml_diag_set(diag, err, ml_reader_offset(&in), "broken delete set of a snapshot");
    s->deletes = deletes.ranges;
    s->delete_count = deletes.count;
    err = read_states(arena, &in, s);
    if (!err && ml_reader_left(&in))
        err = ML_EFORMAT;
    if (err)
        return ml_diag_set(diag, err, ml_reader_offset(&in), "broken state vector of a snapshot");
    *snapshot_out = s;
    return ML_OK;
}

void ml_snapshot_encode(const struct ml_snapshot *snapshot, enum ml_update_format format,
                        struct ml_writer *out)
{
    const struct ml_delete_set deletes = {snapshot->deletes, snapshot->delete_count};

    ml_delete_set_write(&deletes, format, out);
    ml_write_varuint(out, snapshot->state_count);
    for (size_t i = 0; i < snapshot->state_count; i++) {
        ml_write_varuint(out, snapshot->states[i].client);
        ml_write_varuint(out, snapshot->states[i].clock);
    }
}

static enum ml_err take_v1(struct ml_doc *doc, struct ml_writer *out)
{
    if (doc->broken || !ml_doc_know_deleted(doc))
        return ML_ELIMIT;
    ml_write_bytes(out, ml_writer_slice(&doc->deleted));
    ml_doc_state_vector(doc, out);
    return out->err;
}

enum ml_err ml_doc_snapshot(struct ml_doc *doc, enum ml_update_format format, struct ml_writer *out)
{
    const struct ml_snapshot *s;
    struct ml_engine_limits limits = doc->limits;
    struct ml_arena arena;
    struct ml_writer v1;
    enum ml_err err;

    if (format == ML_UPDATE_V1)
        return take_v1(doc, out);
    limits.update_bytes = limits.doc_bytes;
    ml_arena_init(&arena, doc->limits.doc_bytes);
    ml_writer_init(&v1, doc->limits.doc_bytes);
    err = take_v1(doc, &v1);
    if (!err)
        err = ml_snapshot_decode(&arena, ml_writer_slice(&v1), ML_UPDATE_V1, &limits, NULL, &s);
    if (!err)
        ml_snapshot_encode(s, format, out);
    ml_writer_release(&v1);
    ml_arena_release(&arena);
    return err ? err : out->err;
}

/* ---- Looking things up ----------------------------------------------------------------------- */

static uint64_t state_at(const struct ml_snapshot *s, ml_client_id client)
{
    size_t from = 0, to = s->state_count;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (s->states[mid].client == client)
            return s->states[mid].clock;
        if (s->states[mid].client > client)
            from = mid + 1;
        else
            to = mid;
    }
    return 0;
}

/* The first deleted range that ends behind the unit; those of its client end at `*count_out`. */
static const struct ml_wire_range *range_behind(const struct ml_snapshot *s, ml_client_id client,
                                                uint64_t clock)
{
    size_t from = 0, to = s->delete_count;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        const struct ml_wire_range *r = &s->deletes[mid];

        if (r->client > client || (r->client == client && r->clock + r->len <= clock))
            from = mid + 1;
        else
            to = mid;
    }
    return from < s->delete_count && s->deletes[from].client == client ? &s->deletes[from] : NULL;
}

bool ml_snapshot_shows(const struct ml_snapshot *s, ml_client_id client, uint64_t clock,
                       uint64_t *until_out)
{
    uint64_t state = state_at(s, client);
    const struct ml_wire_range *r = range_behind(s, client, clock);

    *until_out = UINT64_MAX;
    if (clock >= state)
        return false;
    *until_out = state;
    if (r && r->clock <= clock) {
        *until_out = r->clock + r->len;
        return false;
    }
    if (r && r->clock < state)
        *until_out = r->clock;
    return true;
}

bool ml_snapshot_contains(const struct ml_snapshot *s, const struct ml_update *update)
{
    struct ml_wire_reader r;

    for (uint32_t i = 0; i < update->section_count; i++) {
        const struct ml_section *section = &update->sections[i];

        if (section->end_clock > section->first_clock &&
            section->end_clock > state_at(s, section->client))
            return false;
    }
    ml_update_reread_ranges(update, &r);
    for (;;) {
        struct ml_wire_range range;
        const struct ml_wire_range *known;
        bool more;
        enum ml_err err = ml_wire_next_range(&r, &range, &more);

        ML_ASSERT(!err);
        if (!more)
            return true;
        known = range_behind(s, range.client, range.clock);
        if (!known || known->clock > range.clock ||
            known->clock + known->len < range.clock + range.len)
            return false;
    }
}

/* ---- Structs --------------------------------------------------------------------------------- */

static struct ml_id id_of(const struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    return (struct ml_id){doc->clients[slot].id, clock};
}

static void name_parent(const struct ml_doc *doc, const struct ml_item *i, struct ml_wire *s)
{
    const struct ml_branch *b = ml_branch_at(doc, i->parent);

    if (b->is_root) {
        s->parent = ML_PARENT_ROOT;
        s->root = ml_name_text(doc, b->name);
    } else {
        const struct ml_item *holder = ml_item_at(doc, b->item);

        s->parent = ML_PARENT_ID;
        s->parent_id = id_of(doc, ml_item_slot(holder), holder->clock);
    }
    if (ml_item_is_keyed(i))
        s->key = ml_name_text(doc, i->aux);
}

/* Content Type as it stands on the wire. */
static struct ml_slice type_body(const struct ml_doc *doc, const struct ml_item *i,
                                 struct ml_writer *scratch)
{
    const struct ml_branch *b = ml_branch_at(doc, i->off);

    ml_writer_reset(scratch);
    ml_write_varuint(scratch, b->type_ref);
    if (b->name != NIL)
        ml_write_varbytes(scratch, ml_name_text(doc, b->name));
    return ml_writer_slice(scratch);
}

/* The first `units` of a text; half of a character that is cut becomes U+FFFD. */
static struct ml_slice first_units(struct ml_slice text, uint32_t units, struct ml_writer *scratch)
{
    bool inside_pair;
    size_t len = ml_utf8_offset(text, units, &inside_pair);

    if (!inside_pair)
        return ml_slice_make(text.ptr, len);
    ml_writer_reset(scratch);
    ml_write_bytes(scratch, ml_slice_make(text.ptr, len));
    ml_write_bytes(scratch, ML_SLICE("\xef\xbf\xbd"));
    return ml_writer_slice(scratch);
}

/* The first `units` elements; they were checked when they came. */
static struct ml_slice first_elements(struct ml_slice content, unsigned kind, uint32_t units)
{
    struct ml_reader in = ml_reader_make(content);
    enum ml_err err = ML_OK;

    for (uint32_t i = 0; i < units && !err; i++) {
        struct ml_slice text;

        err = kind == ML_WIRE_ANY ? ml_any_skip(&in, UINT32_MAX) : ml_read_varbytes(&in, &text);
    }
    ML_ASSERT(!err);
    return ml_slice_make(content.ptr, ml_reader_offset(&in));
}

struct ml_wire ml_item_as_wire(const struct ml_doc *doc, const struct ml_item *i, uint32_t units,
                               struct ml_writer *scratch)
{
    unsigned kind = ml_item_kind(i);
    struct ml_wire s = {.client = doc->clients[ml_item_slot(i)].id,
                        .clock = i->clock,
                        .len = units,
                        .kind = (uint8_t)kind};

    if (kind == ML_WIRE_GC)
        return s;
    if (i->o_cl != NIL) {
        s.info |= ML_INFO_ORIGIN;
        s.origin = id_of(doc, i->o_cl, i->o_clock);
    }
    if (i->ro_cl != NIL) {
        s.info |= ML_INFO_RIGHT_ORIGIN;
        s.right_origin = id_of(doc, i->ro_cl, i->ro_clock);
    }
    if (!s.info)
        name_parent(doc, i, &s);
    if (kind == ML_WIRE_TYPE)
        s.content = type_body(doc, i, scratch);
    else if (ml_item_has_bytes(i))
        s.content = ml_item_content(doc, i);
    if (units < i->len && kind == ML_WIRE_STRING)
        s.content = first_units(s.content, units, scratch);
    else if (units < i->len && (kind == ML_WIRE_ANY || kind == ML_WIRE_JSON))
        s.content = first_elements(s.content, kind, units);
    return s;
}

/* ---- Going back ------------------------------------------------------------------------------ */

static enum ml_err is_gone(struct ml_diag *diag)
{
    return ml_diag_set(diag, ML_ENOTFOUND, 0, "content of that moment has been collected");
}

/* Was any unit of [clock, end) to be seen? */
static bool shows_any(const struct ml_snapshot *s, ml_client_id client, uint64_t clock,
                      uint64_t end)
{
    uint64_t until;

    for (; clock < end; clock = until)
        if (ml_snapshot_shows(s, client, clock, &until))
            return true;
    return false;
}

/* Runs that begin below `state`; ML_ENOTFOUND if one has lost what was to be seen. */
static enum ml_err count_runs(const struct ml_doc *doc, const struct ml_snapshot *s,
                              const struct ml_client *c, uint64_t state, uint64_t *count_out)
{
    struct ml_run_walk walk;

    *count_out = 0;
    for (uint32_t n = ml_run_walk_start(&walk, c, 0); n != NIL; n = ml_run_walk_next(&walk)) {
        const struct ml_item *i = ml_item_at(doc, n);
        uint64_t end = ml_item_end(i) < state ? ml_item_end(i) : state;

        if (i->clock >= state)
            break;
        if ((ml_item_is_gc(i) || ml_item_kind(i) == ML_WIRE_DELETED) &&
            shows_any(s, c->id, i->clock, end))
            return ML_ENOTFOUND;
        ++*count_out;
    }
    return ML_OK;
}

static enum ml_err restore_client(const struct ml_doc *doc, const struct ml_snapshot *s,
                                  const struct ml_id *state, struct ml_writer *scratch,
                                  struct ml_writer *out, struct ml_diag *diag)
{
    uint32_t slot = ml_slot_find(doc, state->client);
    struct ml_run_walk walk;
    uint64_t count;

    if (slot == NIL || doc->clients[slot].next < state->clock)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "the document has not come that far");
    if (count_runs(doc, s, &doc->clients[slot], state->clock, &count))
        return is_gone(diag);
    ml_wire_write_section(out, count, state->client, 0);
    for (uint32_t n = ml_run_walk_start(&walk, &doc->clients[slot], 0); count--;
         n = ml_run_walk_next(&walk)) {
        const struct ml_item *i = ml_item_at(doc, n);
        uint64_t units = state->clock - i->clock;
        struct ml_wire struct_ =
            ml_item_as_wire(doc, i, units < i->len ? (uint32_t)units : i->len, scratch);

        if (scratch->err) /* the next reset forgets it */
            return scratch->err;
        ml_wire_write(out, &struct_);
    }
    return out->err;
}

enum ml_err ml_doc_restore(const struct ml_doc *doc, const struct ml_snapshot *snapshot,
                           struct ml_writer *out, struct ml_diag *diag)
{
    const struct ml_delete_set deletes = {snapshot->deletes, snapshot->delete_count};
    struct ml_writer scratch;
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;

    ml_writer_init(&scratch, doc->limits.doc_bytes);
    ml_write_varuint(out, snapshot->state_count);
    for (size_t n = 0; n < snapshot->state_count && !err; n++)
        err = restore_client(doc, snapshot, &snapshot->states[n], &scratch, out, diag);
    ml_delete_set_write(&deletes, ML_UPDATE_V1, out);
    ml_writer_release(&scratch);
    return err ? err : out->err;
}

enum ml_err ml_doc_read_at(const struct ml_doc *doc, const struct ml_snapshot *snapshot,
                           struct ml_slice root, enum ml_view view, struct ml_writer *out,
                           struct ml_diag *diag)
{
    struct ml_engine_limits limits = doc->limits;
    const struct ml_doc_options options = {.limits = &limits};
    struct ml_doc *then;
    struct ml_writer update;
    enum ml_err err;

    limits.update_bytes = limits.doc_bytes;
    then = ml_doc_new(&options);
    if (!then)
        return ML_ELIMIT;
    ml_writer_init(&update, doc->limits.doc_bytes);
    err = ml_doc_restore(doc, snapshot, &update, diag);
    if (!err)
        err = ml_doc_apply_bytes(then, ml_writer_slice(&update), diag);
    ml_writer_release(&update);
    if (!err)
        err = ml_doc_read(then, root, view, out);
    ml_doc_free(then);
    return err;
}

enum ml_err ml_doc_read_changes(const struct ml_doc *doc, const struct ml_snapshot *from,
                                const struct ml_snapshot *to, struct ml_slice root,
                                struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_viewer v = {.doc = doc, .out = out};
    uint32_t name = ml_name_find(doc, root), branch;
    enum ml_err err;

    branch = name == NIL ? NIL : doc->names[name].root;
    if (branch == NIL) {
        ml_write_bytes(out, ML_SLICE("[]"));
        return out->err;
    }
    err = ml_view_delta_between(&v, branch, from, to);
    return err == ML_ENOTFOUND ? is_gone(diag) : err;
}
