/* SPDX-License-Identifier: MIT */
/*
 * Many updates into one, without a document.
 *
 * Each update is walked once and noted as runs: stretches of structs without a hole, of one client,
 * as the byte range they are. Then every client, highest first, is put together from its runs:
 * whole runs are copied, a struct is decoded only where runs overlap.
 *
 *   update 1:   client 7 [0..9)            client 3 [4..6)
 *   update 2:   client 7 [5..12) [20..22)
 *   client 7:   copy [0..9)  cut [9..12)  Skip 8  copy [20..22)
 *
 * Source: Yjs 13.6, mergeUpdates; same bytes. Yjs sorts all its readers again for every struct.
 * Here:
 *  - A reader is one update (or, if its sections are not in descending order, a part of it that
 * is). Only the reader in front ever moves, and a stable sort leaves it in front of its equals. So
 * a stamp settles ties: update numbers at first, then a falling counter for readers that moved.
 *  - Readers that stand in a client when it begins are sorted once (they nearly always are in
 * order); those that come back after a hole go to a heap.
 *  - Yjs writes odd things for sections in ascending order; here clients always descend.
 *
 *  [G1] runs of one update lie one after the other in `run`, in wire order;
 *  [G2] a reader is the index of its current run; it ends with a run that has LAST;
 *  [G3] the last struct written is held back while it is a GC, because GCs of two readers join;
 *  [G4] the delete set of the first update that has one is copied as it is if no other has any and
 * it is in normal form; only then no range is held in memory.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hashmap.h"
#include "engine/canonical.h"
#include "engine/update.h"

#define NIL UINT32_MAX

enum run_flags {
    RUN_VERBATIM = 1, /* the bytes are what ml_wire_write would write */
    RUN_LAST = 2,     /* of its reader */
};

struct run {
    const uint8_t *bytes; /* of the first struct that is left */
    uint64_t clock, end;  /* of the structs that are left */
    uint32_t len_bytes, structs;
    uint32_t tail_gc; /* units of the last struct if it is a GC, else 0 */
    uint32_t slot;    /* of its client */
    uint32_t next;    /* reader that waits in the same slot */
    int32_t stamp;    /* smaller goes first among equals */
    uint32_t flags;
};

struct slot {
    ml_client_id client;
    uint32_t first, last; /* readers that wait here, as runs */
};

/* Everything that a merge allocates. */
struct merge {
    const struct ml_engine_limits *limits;
    struct run *run;
    size_t runs, runs_cap;
    struct slot *slot;
    size_t slots, slots_cap;
    uint32_t *table; /* client to slot, open addressing; NIL: free */
    size_t table_cap;
    uint32_t *queue; /* readers of the client in hand, in order */
    size_t queue_cap;
    uint32_t *heap; /* readers that came back */
    size_t heap_count, heap_cap;
    int32_t stamp;
    struct ml_wire_ranges ranges;
    /* [G4]: the only delete set so far, as its bytes and as a reader that stands before it. */
    struct ml_slice only_set;
    struct ml_wire_reader only_reader;
};

/* What is being written for one client. */
struct section {
    struct ml_writer *out;
    size_t at;
    uint64_t structs, first, end;
    uint64_t held_gc; /* units of a GC that ends at `end` and is not written yet */
    bool begun;
};

static void release(struct merge *m)
{
    free(m->run);
    free(m->slot);
    free(m->table);
    free(m->queue);
    free(m->heap);
    ml_wire_ranges_release(&m->ranges);
}

/* Room for one more of `each_bytes` in *array. */
static enum ml_err grow(void *array, size_t *cap, size_t count, size_t each_bytes)
{
    void **pointer = array;
    size_t wanted = *cap ? *cap + *cap / 2 : 32;
    void *bigger;

    if (count < *cap)
        return ML_OK;
    if (wanted >= NIL)
        return ML_ELIMIT;
    bigger = realloc(*pointer, wanted * each_bytes);
    if (!bigger)
        return ML_ELIMIT;
    *pointer = bigger;
    *cap = wanted;
    return ML_OK;
}

/* ---- Walking --------------------------------------------------------------------------------- */

static size_t place_in_table(const struct merge *m, ml_client_id client)
{
    size_t i = (size_t)ml_hash_bytes(ml_slice_make(&client, sizeof client)) & (m->table_cap - 1);

    while (m->table[i] != NIL && m->slot[m->table[i]].client != client)
        i = (i + 1) & (m->table_cap - 1);
    return i;
}

static enum ml_err grow_table(struct merge *m)
{
    size_t cap = m->table_cap ? m->table_cap * 2 : 16;
    uint32_t *table = malloc(cap * sizeof *table);

    if (!table)
        return ML_ELIMIT;
    memset(table, 0xff, cap * sizeof *table);
    free(m->table);
    m->table = table;
    m->table_cap = cap;
    for (size_t i = 0; i < m->slots; i++)
        m->table[place_in_table(m, m->slot[i].client)] = (uint32_t)i;
    return ML_OK;
}

static enum ml_err slot_of(struct merge *m, ml_client_id client, uint32_t *out)
{
    size_t place;
    enum ml_err err;

    if (m->runs && m->slot[m->run[m->runs - 1].slot].client == client) {
        *out = m->run[m->runs - 1].slot;
        return ML_OK;
    }
    if (m->slots * 2 >= m->table_cap) {
        err = grow_table(m);
        if (err)
            return err;
    }
    place = place_in_table(m, client);
    if (m->table[place] == NIL) {
        err = grow(&m->slot, &m->slots_cap, m->slots, sizeof *m->slot);
        if (err)
            return err;
        m->table[place] = (uint32_t)m->slots;
        m->slot[m->slots++] = (struct slot){client, NIL, NIL};
    }
    *out = m->table[place];
    return ML_OK;
}

/* A struct goes to the end of the last run if it continues it. */
static enum ml_err add_struct(struct merge *m, const struct ml_wire *s, const uint8_t *bytes,
                              size_t len, struct run *open)
{
    bool verbatim = ml_wire_is_canonical(s, bytes, len);
    enum ml_err err;

    if (open && open->end == s->clock && open->bytes + open->len_bytes == bytes) {
        open->end += s->len;
        open->len_bytes += (uint32_t)len;
        open->structs++;
        open->tail_gc = s->kind == ML_WIRE_GC ? (uint32_t)s->len : 0;
        if (!verbatim)
            open->flags &= ~(uint32_t)RUN_VERBATIM;
        return ML_OK;
    }
    err = grow(&m->run, &m->runs_cap, m->runs, sizeof *m->run);
    if (err)
        return err;
    m->run[m->runs] = (struct run){
        .bytes = bytes,
        .clock = s->clock,
        .end = s->clock + s->len,
        .len_bytes = (uint32_t)len,
        .structs = 1,
        .tail_gc = s->kind == ML_WIRE_GC ? (uint32_t)s->len : 0,
        .next = NIL,
        .flags = verbatim ? RUN_VERBATIM : 0,
    };
    err = slot_of(m, s->client, &m->run[m->runs].slot);
    m->runs++;
    return err;
}

static void wait_in_slot(struct merge *m, uint32_t reader, int32_t stamp)
{
    struct run *run = &m->run[reader];
    struct slot *slot = &m->slot[run->slot];

    run->stamp = stamp;
    run->next = NIL;
    if (slot->first == NIL)
        slot->first = reader;
    else
        m->run[slot->last].next = reader;
    slot->last = reader;
}

static enum ml_err walk_section(struct merge *m, struct ml_wire_reader *r)
{
    size_t first = m->runs;

    for (;;) {
        const uint8_t *began = r->in.pos;
        struct ml_wire s;
        bool more;
        enum ml_err err = ml_wire_next_struct(r, &s, &more);

        if (err || !more)
            return err;
        if (s.kind == ML_WIRE_SKIP)
            continue;
        err = add_struct(m, &s, began, (size_t)(r->in.pos - began),
                         m->runs > first ? &m->run[m->runs - 1] : NULL);
        if (err)
            return err;
    }
}

/* Over a delete set. *plain: it has ranges, and writing them again would give the same bytes. */
static enum ml_err scan_ranges(struct ml_wire_reader *r, bool *any, bool *plain)
{
    const uint8_t *began = r->in.pos;
    struct ml_wire_range last = {0};
    size_t len = 0, clients = 0, of_client = 0;

    *any = false;
    *plain = true;
    for (;;) {
        struct ml_wire_range range;
        bool more, same;
        enum ml_err err = ml_wire_next_range(r, &range, &more);

        if (err)
            return err;
        if (!more)
            break;
        same = *any && range.client == last.client;
        if (*any && (same ? range.clock <= last.clock + last.len : range.client > last.client))
            *plain = false;
        if (!same) {
            len += ml_varuint_bytes(of_client) * (clients > 0) + ml_varuint_bytes(range.client);
            clients++;
            of_client = 0;
        }
        len += ml_varuint_bytes(range.clock) + ml_varuint_bytes(range.len);
        of_client++;
        *any = true;
        last = range;
    }
    len += ml_varuint_bytes(of_client) + ml_varuint_bytes(clients);
    *plain = *plain && *any && len == (size_t)(r->in.pos - began);
    return ML_OK;
}

/* The first delete set that has ranges: kept as bytes if it is in normal form. */
static enum ml_err walk_first_ranges(struct merge *m, struct ml_wire_reader *r)
{
    struct ml_wire_reader before = *r;
    bool any, plain;
    enum ml_err err = scan_ranges(r, &any, &plain);

    if (err || !any)
        return err;
    before.diag = NULL;
    if (plain) {
        m->only_set = ml_slice_make(before.in.pos, (size_t)(r->in.pos - before.in.pos));
        m->only_reader = before;
        return ML_OK;
    }
    return ml_wire_ranges_read(&m->ranges, &before, true);
}

/* The second: both are held in memory from now on. */
static enum ml_err walk_second_ranges(struct merge *m, struct ml_wire_reader *r)
{
    struct ml_wire_reader before = *r;
    bool any, plain;
    enum ml_err err = scan_ranges(r, &any, &plain);

    if (err || !any)
        return err;
    m->only_set = ml_slice_make(NULL, 0);
    err = ml_wire_ranges_read(&m->ranges, &m->only_reader, true);
    return err ? err : ml_wire_ranges_read(&m->ranges, &before, true);
}

/* Most updates delete nothing: one look, and no copy of the reader. */
static enum ml_err walk_ranges(struct merge *m, struct ml_wire_reader *r)
{
    if (ml_reader_left(&r->in) && *r->in.pos == 0)
        return ML_OK;
    if (m->only_set.ptr)
        return walk_second_ranges(m, r);
    return m->ranges.count ? ml_wire_ranges_read(&m->ranges, r, true) : walk_first_ranges(m, r);
}

static void write_ranges(struct merge *m, struct ml_writer *out)
{
    if (m->only_set.ptr) {
        ml_write_bytes(out, m->only_set);
        return;
    }
    if (m->ranges.count)
        m->ranges.count = ml_wire_normalize_ranges(m->ranges.item, m->ranges.count);
    ml_wire_write_ranges(out, m->ranges.item, m->ranges.count);
}

/* A reader of one run of one struct, and no delete set: two thirds of all updates. */
static enum ml_err walk_typed(struct merge *m, struct ml_slice update, const struct ml_typed *typed,
                              size_t offset)
{
    enum ml_err err = grow(&m->run, &m->runs_cap, m->runs, sizeof *m->run);

    if (err)
        return err;
    m->run[m->runs] = (struct run){
        .bytes = update.ptr + offset,
        .clock = typed->clock,
        .end = typed->clock + typed->units,
        .len_bytes = (uint32_t)(update.len - offset - 1),
        .structs = 1,
        .flags = RUN_VERBATIM | RUN_LAST,
    };
    err = slot_of(m, typed->client, &m->run[m->runs].slot);
    if (!err)
        wait_in_slot(m, (uint32_t)m->runs++, m->stamp++);
    return err;
}

static enum ml_err walk_update(struct merge *m, struct ml_slice update, struct ml_diag *diag)
{
    size_t reader = m->runs, section, offset;
    struct ml_typed typed;
    struct ml_wire_reader r;
    bool more;
    enum ml_err err;

    if (update.len > UINT32_MAX)
        return ml_diag_set(diag, ML_ELIMIT, 0, "update too large");
    if (ml_update_read_typed(update, m->limits, &typed, &offset))
        return walk_typed(m, update, &typed, offset);
    err = ml_wire_open(&r, update, m->limits, diag);
    if (err)
        return err;
    for (;;) {
        err = ml_wire_next_section(&r, &more);
        if (err)
            return err;
        if (!more)
            break;
        section = m->runs;
        err = walk_section(m, &r);
        if (err)
            return err;
        if (m->runs == section)
            continue;
        if (section > reader && m->slot[m->run[section - 1].slot].client <= r.client) {
            /* Sections that do not descend: the rest is a reader of its own. */
            m->run[section - 1].flags |= RUN_LAST;
            wait_in_slot(m, (uint32_t)reader, m->stamp++);
            reader = section;
        }
    }
    if (m->runs > reader) {
        m->run[m->runs - 1].flags |= RUN_LAST;
        wait_in_slot(m, (uint32_t)reader, m->stamp++);
    }
    return walk_ranges(m, &r);
}

/* ---- Readers in order ------------------------------------------------------------------------ */

static bool goes_before(const struct merge *m, uint32_t a, uint32_t b)
{
    const struct run *x = &m->run[a], *y = &m->run[b];

    return x->clock != y->clock ? x->clock < y->clock : x->stamp < y->stamp;
}

static int by_clock(const void *a, const void *b, void *of)
{
    const uint32_t *x = a, *y = b;

    if (*x == *y)
        return 0;
    return goes_before(of, *x, *y) ? -1 : 1;
}

/* The readers that wait in a slot, to `queue`. */
static enum ml_err fill_queue(struct merge *m, const struct slot *slot, size_t *count_out)
{
    bool sorted = true;
    size_t n = 0;

    for (uint32_t reader = slot->first; reader != NIL; reader = m->run[reader].next) {
        enum ml_err err = grow(&m->queue, &m->queue_cap, n, sizeof *m->queue);

        if (err)
            return err;
        sorted = sorted && (n == 0 || goes_before(m, m->queue[n - 1], reader));
        m->queue[n++] = reader;
    }
    if (!sorted)
        qsort_r(m->queue, n, sizeof *m->queue, by_clock, m);
    *count_out = n;
    return ML_OK;
}

static enum ml_err heap_push(struct merge *m, uint32_t reader)
{
    size_t i = m->heap_count;
    enum ml_err err = grow(&m->heap, &m->heap_cap, i, sizeof *m->heap);

    if (err)
        return err;
    m->heap_count++;
    while (i && goes_before(m, reader, m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = reader;
    return ML_OK;
}

static uint32_t heap_pop(struct merge *m)
{
    uint32_t top = m->heap[0], moving = m->heap[--m->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && goes_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!goes_before(m, m->heap[child], moving))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    if (m->heap_count)
        m->heap[i] = moving;
    return top;
}

/* ---- Putting one client together ------------------------------------------------------------- */

static void write_held_gc(struct section *to)
{
    if (!to->held_gc)
        return;
    ml_write_u8(to->out, ML_WIRE_GC);
    ml_write_varuint(to->out, to->held_gc);
    to->structs++;
    to->held_gc = 0;
}

/* The first struct of what is left of a run, stepped over. */
static enum ml_err step(const struct merge *m, struct run *run, ml_client_id client,
                        struct ml_wire *out)
{
    struct ml_wire_reader r = {
        .in = ml_reader_make(ml_slice_make(run->bytes, run->len_bytes)),
        .structs_left = run->len_bytes, /* more than enough: dropped ones are not in `structs` */
        .client = client,
        .clock = run->clock,
        .first_clock = run->clock,
        .any_depth = m->limits->any_depth,
        .key_bytes = m->limits->key_bytes,
    };
    bool more;
    enum ml_err err = ml_wire_next_struct(&r, out, &more);

    ML_ASSERT(!err && more); /* it was walked before */
    run->len_bytes -= (uint32_t)(r.in.pos - run->bytes);
    run->bytes = r.in.pos;
    run->clock += out->len;
    run->structs--;
    return ML_OK;
}

static void put_struct(struct section *to, const struct ml_wire *s)
{
    write_held_gc(to);
    to->end = s->clock + s->len;
    if (s->kind == ML_WIRE_GC) {
        to->held_gc = s->len;
    } else {
        ml_wire_write(to->out, s);
        to->structs++;
    }
}

/* All that is left of a run; it begins where the section ends. */
static enum ml_err take_run(const struct merge *m, struct run *run, struct section *to,
                            ml_client_id client)
{
    while (run->structs && !(run->flags & RUN_VERBATIM)) {
        struct ml_wire s;
        enum ml_err err = step(m, run, client, &s);

        if (err)
            return err;
        put_struct(to, &s);
    }
    if (!run->structs)
        return to->out->err;
    write_held_gc(to);
    if (run->tail_gc) {
        run->structs--;
        run->len_bytes -= 1 + (uint32_t)ml_varuint_len(run->tail_gc);
        to->held_gc = run->tail_gc;
    }
    ml_write_bytes(to->out, ml_slice_make(run->bytes, run->len_bytes));
    to->structs += run->structs;
    to->end = run->end;
    run->structs = 0;
    run->clock = run->end;
    return to->out->err;
}

/* Is the next struct of a run a GC? Structs of length 0 may stand before it. */
static bool begins_with_gc(const struct merge *m, const struct run *run, ml_client_id client)
{
    struct run copy = *run;
    struct ml_wire s;

    if (run->flags & RUN_VERBATIM)
        return *run->bytes == ML_WIRE_GC;
    return step(m, &copy, client, &s) == ML_OK && s.kind == ML_WIRE_GC;
}

/* Over structs that are written already. Answers whether the reader moved. */
static enum ml_err skip_known(struct merge *m, uint32_t *reader, uint32_t slot,
                              const struct section *to, bool *moved, bool *at_end)
{
    *at_end = false;
    for (;;) {
        struct run *run = &m->run[*reader];
        struct ml_wire s;
        enum ml_err err;

        if (run->end <= to->end) {
            run->structs = 0;
            *moved = true;
        } else {
            while (run->clock < to->end) {
                struct run before = *run;

                err = step(m, run, m->slot[slot].client, &s);
                if (err)
                    return err;
                if (run->clock > to->end) {
                    *run = before; /* this one is known only in part */
                    return ML_OK;
                }
                *moved = true;
            }
            return ML_OK;
        }
        if (run->flags & RUN_LAST || run[1].slot != slot) {
            *at_end = true;
            return ML_OK;
        }
        ++*reader;
    }
}

/* The reader in front gives what it has that the section lacks. *again: it waits in this client. */
static enum ml_err advance(struct merge *m, uint32_t *reader, uint32_t slot, struct section *to,
                           bool *again)
{
    ml_client_id client = m->slot[slot].client;
    bool moved = false, at_end;
    struct run *run;
    enum ml_err err;

    for (;;) {
        struct ml_wire s;
        uint64_t known;

        if (to->begun) {
            err = skip_known(m, reader, slot, to, &moved, &at_end);
            if (err)
                return err;
            *again = !at_end;
            if (at_end || (moved && m->run[*reader].clock > to->end))
                return ML_OK;
        }
        run = &m->run[*reader];
        if (!to->begun) {
            to->begun = true;
            to->first = to->end = run->clock;
            break;
        }
        if (run->clock > to->end) {
            write_held_gc(to);
            ml_write_u8(to->out, ML_WIRE_SKIP);
            ml_write_varuint(to->out, run->clock - to->end);
            to->structs++;
            to->end = run->clock;
            break;
        }
        if (to->held_gc && begins_with_gc(m, run, client)) {
            err = step(m, run, client, &s);
            if (err)
                return err;
            to->held_gc += s.clock + s.len - to->end;
            to->end = s.clock + s.len;
            moved = true;
            continue;
        }
        known = to->end - run->clock;
        if (!known)
            break;
        err = step(m, run, client, &s);
        if (err)
            return err;
        ml_wire_cut(&s, known);
        put_struct(to, &s);
        break;
    }
    err = take_run(m, run, to, client);
    *again = !(run->flags & RUN_LAST) && run[1].slot == slot;
    if (*again)
        ++*reader;
    return err;
}

static enum ml_err merge_client(struct merge *m, uint32_t slot, struct ml_writer *out)
{
    struct section to = {.out = out, .at = out->len};
    size_t count, next = 0;
    enum ml_err err;

    err = fill_queue(m, &m->slot[slot], &count);
    if (err)
        return err;
    m->heap_count = 0;
    while (next < count || m->heap_count) {
        uint32_t reader;
        bool again = false;

        if (m->heap_count && (next == count || goes_before(m, m->heap[0], m->queue[next])))
            reader = heap_pop(m);
        else
            reader = m->queue[next++];
        err = advance(m, &reader, slot, &to, &again);
        if (err)
            return err;
        if (again) {
            m->run[reader].stamp = --m->stamp;
            err = heap_push(m, reader);
            if (err)
                return err;
        } else if (!(m->run[reader].flags & RUN_LAST)) {
            wait_in_slot(m, reader + 1, --m->stamp);
        }
    }
    write_held_gc(&to);
    ml_wire_insert_section(out, to.at, to.structs, m->slot[slot].client, to.first);
    return out->err;
}

static int by_client_down(const void *a, const void *b, void *slots)
{
    const struct slot *slot = slots;
    ml_client_id x = slot[*(const uint32_t *)a].client, y = slot[*(const uint32_t *)b].client;

    return (x < y) - (x > y);
}

static enum ml_err merge_clients(struct merge *m, struct ml_writer *out)
{
    uint32_t *order = malloc((m->slots ? m->slots : 1) * sizeof *order);
    enum ml_err err = ML_OK;

    if (!order)
        return ML_ELIMIT;
    for (size_t i = 0; i < m->slots; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, m->slots, sizeof *order, by_client_down, m->slot);
    ml_write_varuint(out, m->slots);
    m->stamp = 0; /* moved readers go before those that have not moved, whose stamps are >= 0 */
    for (size_t i = 0; i < m->slots && !err; i++)
        err = merge_client(m, order[i], out);
    free(order);
    return err;
}

enum ml_err ml_updates_merge(const struct ml_slice *updates, size_t count,
                             const struct ml_engine_limits *limits, struct ml_arena *scratch,
                             struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_engine_limits resolved = ml_limits_resolve(limits);
    struct merge m = {.limits = &resolved};
    enum ml_err err = ML_OK;

    (void)scratch;
    for (size_t i = 0; i < count && !err; i++)
        err = walk_update(&m, updates[i], diag);
    if (!err && count == 1) {
        ml_write_bytes(out, updates[0]);
        err = out->err;
    } else if (!err) {
        err = merge_clients(&m, out);
        write_ranges(&m, out);
        err = err ? err : out->err;
    }
    release(&m);
    return err;
}
