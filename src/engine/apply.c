/* SPDX-License-Identifier: MIT */
/*
 * An update goes into a document: three ways.
 *
 *   typing goes on   one struct of text behind the last unit of its author, nothing in between:
 *                    the run gets longer. No item, no look-up, no heap call.
 *   a delete key     one range inside one live run: cut, mark, join with its neighbours.
 *   anything else    sources (schedule.c), deletes, what was pending, tidying (transact.c), record.
 *
 * On the traces of people typing the first two take 95 of 100 updates. In both the record is the
 * received bytes: the shapes that update.c recognises are what would be written.
 *
 * Every ceiling is looked at before the first link changes: then the answer is ML_ELIMIT and the
 * document is as before. If the heap refuses later, the document is broken (item.h).
 */
#include "engine/effects.h"
#include "engine/keep.h"
#include "engine/position.h"

#include <stdlib.h>

/* A run that gets longer and has no room moves to a place with half as much again, and this. */
#define GROW_BYTES 16

/* The document's own client writes only while it has at least as many clocks left. */
#define OWN_CLOCK_MAX (UINT32_MAX / 2)

/*
 * What searching places may cost in one update from a client: some ten milliseconds. 1,549 authors
 * who type at one place at once (trace b3-text-same-place) need 1.2 million in all. Loading has no
 * bound.
 */
#define SCAN_STEPS_MAX 2000000

/* The writer of records keeps up to this much. */
#define RECORD_KEEP_BYTES 1024

/* ---- Typing goes on
 * --------------------------------------------------------------------------------- */

static bool is_same_right(const struct ml_doc *doc, const struct ml_item *tail,
                          const struct ml_typed *t)
{
    const struct ml_item *right;

    if (!t->has_right)
        return tail->ro_cl == NIL && tail->right == NIL;
    if (tail->ro_cl == NIL || tail->right == NIL || tail->ro_clock != t->right.clock ||
        doc->clients[tail->ro_cl].id != t->right.client)
        return false;
    right = ml_item_at(doc, tail->right);
    return right->clock == tail->ro_clock && ml_item_slot(right) == tail->ro_cl;
}

/* The client whose tail the update goes on with; NULL: it is something else. */
static struct ml_client *find_append(struct ml_doc *doc, const struct ml_typed *t)
{
    struct ml_client *c;
    const struct ml_item *tail;
    uint32_t slot;

    if (doc->pending.count || doc->pending.deletes.count)
        return NULL;
    slot = ml_slot_find(doc, t->client);
    if (slot == NIL)
        return NULL;
    c = &doc->clients[slot];
    doc->last_slot = slot;
    if (c->next != t->clock || t->units > UINT32_MAX - c->next)
        return NULL;
    tail = ml_item_at(doc, c->tail);
    if ((tail->cl & ~ML_ITEM_SLOT) != (uint32_t)ML_WIRE_STRING << ML_ITEM_KIND_SHIFT ||
        !is_same_right(doc, tail, t))
        return NULL;
    return c;
}

static bool make_text_room(struct ml_doc *doc, struct ml_item *i, uint32_t more)
{
    uint32_t held = i->blen + more, off;

    if (ml_content_extend(doc, i->off, i->aux, more)) {
        i->aux += more;
        return true;
    }
    held += held / 2 + GROW_BYTES;
    off = ml_content_put(doc, ml_item_content(doc, i), held);
    if (off == NIL)
        return false;
    ml_content_drop(doc, i->off, i->aux);
    i->off = off;
    i->aux = held;
    return true;
}

/* False: out of memory, nothing changed. */
static bool append_text(struct ml_doc *doc, struct ml_client *c, const struct ml_typed *t)
{
    struct ml_item *tail = ml_item_at(doc, c->tail);
    uint32_t more = (uint32_t)t->text.len;
    uint8_t *to;

    if (tail->aux - tail->blen < more && !make_text_room(doc, tail, more))
        return false;
    to = ml_content_at(doc, tail->off) + tail->blen;
    if (more == 1)
        *to = *t->text.ptr;
    else
        memcpy(to, t->text.ptr, more);
    tail->blen += more;
    tail->len += (uint32_t)t->units;
    c->next += (uint32_t)t->units;
    ml_branch_at(doc, tail->parent)->length += (uint32_t)t->units;
    ml_position_count(doc, c->tail, (int64_t)t->units, 0);
    return true;
}

/* ---- A delete key
 * -------------------------------------------------------------------------------------- */

/* The live run that holds the one range of the update; NIL: it is something else. */
static uint32_t find_delete(struct ml_doc *doc, const struct ml_wire_range *r)
{
    uint32_t slot, index;
    const struct ml_item *i;

    if (doc->keep_deleted)
        return NIL;
    slot = ml_slot_find(doc, r->client);
    if (slot == NIL || r->clock + r->len > doc->clients[slot].next)
        return NIL;
    doc->last_slot = slot;
    index = ml_run_find(doc, slot, (uint32_t)r->clock);
    i = ml_item_at(doc, index);
    if (r->clock + r->len > ml_item_end(i) || ml_item_kind(i) == ML_WIRE_TYPE ||
        ml_item_kind(i) == ML_WIRE_DOC || (i->cl & (ML_ITEM_DELETED | ML_ITEM_KEYED)))
        return NIL;
    return index;
}

static bool delete_in_run(struct ml_doc *doc, uint32_t index, uint32_t clock, uint32_t end)
{
    struct ml_item *i = ml_item_at(doc, index);
    uint32_t slot = ml_item_slot(i), units = 0;

    if (ml_wire_is_countable(ml_item_kind(i)))
        units = end - clock;
    ml_branch_at(doc, i->parent)->length -= units;
    if (ml_run_give(doc, index, clock, end)) {
        ml_position_count(doc, index, -(int64_t)units, 0);
        return true;
    }
    doc->txn.merges.count = 0;
    if (i->clock < clock) {
        index = ml_run_split(doc, index, clock - i->clock);
        if (index == NIL)
            return false;
        i = ml_item_at(doc, index);
    }
    if (ml_item_end(i) > end && ml_run_split(doc, index, end - i->clock) == NIL)
        return false;
    ml_content_drop(doc, i->off, i->aux);
    ml_item_set_kind(i, ML_WIRE_DELETED);
    i->cl |= ML_ITEM_DELETED;
    i->off = i->blen = i->aux = 0;
    ml_position_count(doc, index, -(int64_t)units, units ? 0 : -1);
    doc->deleted_known = false;
    doc->clients[slot].deleted_runs++;
    return ml_runs_join_around(doc, slot, clock, end);
}

/* ---- Anything else
 * --------------------------------------------------------------------------------------- */

struct plan {
    struct ml_source *sources; /* room for all sections of the update, and all of pending */
    uint32_t *stack;
    bool client_taken;                    /* the update has structs under the document's own id */
    const struct ml_judgement *judgement; /* NULL: everything is accepted */
};

/* Look at every ceiling, and get what needs memory of the caller. */
static enum ml_err prepare(struct ml_doc *doc, const struct ml_update *u, struct ml_arena *scratch,
                           struct plan *plan)
{
    const struct ml_update_facts *f = &u->facts;
    size_t sources = (size_t)u->section_count + doc->pending.count, fresh = 0;
    uint64_t more = f->structs * (uint64_t)(sizeof(struct ml_item) + 16) + f->inserted_bytes;

    for (uint32_t i = 0; i < u->section_count; i++) {
        const struct ml_section *s = &u->sections[i];
        uint64_t state = ml_state_of(doc, s->client);

        fresh += state == 0;
        plan->client_taken |=
            doc->own_client && s->client == doc->own_client && s->end_clock > state;
        if (s->first_clock <= state && s->prefix_end > UINT32_MAX)
            return ML_ELIMIT;
    }
    if (plan->judgement) {
        more += plan->judgement->rewrite_bytes +
                plan->judgement->rewrite_count * sizeof(struct ml_item);
        if (!doc->own_client ||
            !ml_own_has_room(doc, OWN_CLOCK_MAX + plan->judgement->rewrite_units))
            return ML_ELIMIT;
    }
    if (f->structs && doc->memory_bytes + more > doc->limits.doc_bytes)
        return ML_ELIMIT;
    if (doc->client_count + fresh > doc->limits.clients)
        return ML_ELIMIT;
    if (f->structs > UINT32_MAX / 8 || !ml_items_reserve(doc, f->structs + 4))
        return ML_ELIMIT;
    plan->sources = ml_arena_array(scratch, sources, sizeof *plan->sources);
    plan->stack = ml_arena_array(scratch, sources, sizeof *plan->stack);
    return plan->sources && plan->stack ? ML_OK : ML_ELIMIT;
}

static int compare_sources(const void *pa, const void *pb)
{
    const struct ml_source *a = pa, *b = pb;

    return (a->client > b->client) - (a->client < b->client);
}

static bool park_rest(struct ml_doc *doc, struct ml_source *s, bool refused)
{
    for (; s->has_next; ml_source_advance(s)) {
        if (refused)
            ml_wire_refuse(&s->next);
        if (!ml_pending_park(doc, &s->next, &s->missing))
            return false;
    }
    return true;
}

static bool integrate_update(struct ml_doc *doc, const struct ml_update *u, const struct plan *plan)
{
    uint32_t n = u->section_count;

    for (uint32_t i = 0; i < n; i++) {
        const struct ml_section *section = &u->sections[u->descending ? n - 1 - i : i];
        struct ml_source *s = &plan->sources[i];

        s->client = section->client;
        s->judgement = plan->judgement;
        ml_update_reread(u, section, &s->reader);
        ml_source_advance(s);
    }
    if (!u->descending)
        qsort(plan->sources, n, sizeof *plan->sources, compare_sources);
    if (!ml_sources_run(doc, plan->sources, n, plan->stack))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!park_rest(doc, &plan->sources[i], plan->judgement && plan->judgement->waiting))
            return false;
    return true;
}

static bool integrate_pending(struct ml_doc *doc, const struct plan *plan)
{
    struct ml_pending *p = &doc->pending;

    if (!doc->txn.scan_left || !ml_pending_can_move(doc))
        return true;
    p->deferred = false;
    for (uint32_t i = 0; i < p->count; i++) {
        struct ml_source *s = &plan->sources[i];

        *s = (struct ml_source){.client = p->clients[i].client, .parked = &p->clients[i]};
        if (plan->judgement && !plan->judgement->all)
            s->judgement = plan->judgement;
        ml_source_advance(s);
    }
    if (!ml_sources_run(doc, plan->sources, p->count, plan->stack))
        return false;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct ml_source *s = &plan->sources[i];

        ml_pending_advance(doc, s->parked, s->parked_at, &s->missing);
    }
    ml_pending_compact(doc);
    return true;
}

static bool delete_ranges(struct ml_doc *doc, const struct ml_update *u, struct ml_idset *unknown)
{
    struct ml_wire_reader r;
    struct ml_wire_range range;
    bool more = true;

    ml_update_reread_ranges(u, &r);
    for (;;) {
        enum ml_err err = ml_wire_next_range(&r, &range, &more);

        ML_ASSERT(!err);
        if (!more)
            return true;
        if (!ml_delete_range(doc, &range, unknown))
            return false;
    }
}

static bool integrate(struct ml_doc *doc, const struct ml_update *u, const struct plan *plan)
{
    struct ml_idset unknown = {0};
    bool ok;

    ok = integrate_update(doc, u, plan) && integrate_pending(doc, plan) &&
         delete_ranges(doc, u, &unknown) && ml_pending_retry_deletes(doc) &&
         ml_pending_add_deletes(doc, &unknown) && ml_txn_tidy(doc);
    ml_idset_release(&unknown);
    return ok;
}

/*
 * What was refused of the update is undone in the same transaction. All of it: before what waited
 * goes in, which others sent and nobody refused.
 */
static bool integrate_judged(struct ml_doc *doc, const struct ml_update *u, const struct plan *plan)
{
    const struct ml_judgement *j = plan->judgement;
    bool forget = j->all || j->waiting, ok;
    struct ml_idset unknown = {0};

    ok = integrate_update(doc, u, plan) && (j->all || integrate_pending(doc, plan)) &&
         delete_ranges(doc, u, &unknown) && (j->all || ml_pending_retry_deletes(doc)) &&
         ml_txn_restore(doc, j) && ml_txn_rewrite(doc, j) &&
         (!j->all || (integrate_pending(doc, plan) && ml_pending_retry_deletes(doc))) &&
         (forget || ml_pending_add_deletes(doc, &unknown)) && ml_txn_tidy(doc);
    doc->txn.dropped |= forget && unknown.count > 0;
    ml_idset_release(&unknown);
    return ok;
}

/* ---- The record
 * ------------------------------------------------------------------------------------------- */

static int compare_touched(const void *pa, const void *pb, void *arg)
{
    const struct ml_client *clients = arg;
    const struct ml_run *a = pa, *b = pb;
    ml_client_id x = clients[a->slot].id, y = clients[b->slot].id;

    if (x != y)
        return x > y ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

static void sort_by_client(const struct ml_doc *doc, struct ml_runs *runs)
{
    if (runs->count > 1)
        qsort_r(runs->at, runs->count, sizeof *runs->at, compare_touched, doc->clients);
}

static void write_txn_deletes(struct ml_writer *w, const struct ml_doc *doc)
{
    const struct ml_runs *d = &doc->txn.deleted;
    uint32_t clients = 0;

    for (uint32_t i = 0; i < d->count; i++)
        clients += i == 0 || d->at[i].slot != d->at[i - 1].slot;
    ml_write_varuint(w, clients);
    for (uint32_t i = 0; i < d->count;) {
        uint32_t end = i;

        while (end < d->count && d->at[end].slot == d->at[i].slot)
            end++;
        ml_write_varuint(w, doc->clients[d->at[i].slot].id);
        ml_write_varuint(w, end - i);
        for (; i < end; i++) {
            ml_write_varuint(w, d->at[i].clock);
            ml_write_varuint(w, d->at[i].end - d->at[i].clock);
        }
    }
}

bool ml_txn_write_record(struct ml_doc *doc, struct ml_slice received, struct ml_arena *scratch,
                         struct ml_change *change)
{
    struct ml_txn *t = &doc->txn;
    struct ml_writer *w = &doc->record;
    bool ok = true;

    if (!t->clients.count && !t->deleted.count)
        return true;
    ml_writer_reset(w);
    sort_by_client(doc, &t->clients);
    sort_by_client(doc, &t->deleted);
    ml_write_varuint(w, t->clients.count);
    for (uint32_t i = 0; i < t->clients.count; i++)
        ml_write_new_runs(w, doc, t->clients.at[i].slot, t->clients.at[i].clock);
    write_txn_deletes(w, doc);
    if (w->err) {
        ok = false;
    } else if (ml_slice_equal(ml_writer_slice(w), received)) {
        change->bytes = received;
        change->is_received = true;
    } else {
        change->bytes = ml_arena_copy(scratch, ml_writer_slice(w));
        ok = change->bytes.ptr != NULL;
    }
    ok = ok && ml_txn_list_subdocs(doc, scratch, change);
    if (w->cap > RECORD_KEEP_BYTES)
        ml_writer_release(w);
    return ok;
}

static uint64_t no_state(const void *sv, ml_client_id client)
{
    (void)sv;
    (void)client;
    return 0;
}

/*
 * The bytes as they came may hold what was refused, so they cannot be the record of what waits:
 * that goes behind the change as it is parked.
 */
static enum ml_err add_waiting(struct ml_doc *doc, struct ml_arena *scratch,
                               struct ml_change *change)
{
    struct ml_writer waiting, both;
    enum ml_err err;

    ml_writer_init(&waiting, SIZE_MAX / 4);
    ml_writer_init(&both, SIZE_MAX / 4);
    ml_pending_write_structs(&waiting, doc, no_state, NULL);
    if (!waiting.err)
        waiting.len--; /* its delete set, which is empty */
    ml_wire_write_ranges(&waiting, doc->pending.deletes.ranges, doc->pending.deletes.count);
    err = waiting.err;
    if (!err) {
        const struct ml_slice updates[] = {ml_writer_slice(&waiting), change->bytes};

        err = ml_updates_merge(updates, change->bytes.len ? 2 : 1, &doc->limits, scratch, &both,
                               NULL);
    }
    if (!err) {
        change->bytes = ml_arena_copy(scratch, ml_writer_slice(&both));
        change->is_received = false;
        change->holds_waiting = true;
        err = change->bytes.ptr ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&waiting);
    ml_writer_release(&both);
    return err;
}

/* ---- All together
 * ----------------------------------------------------------------------------------------- */

/* One call of apply. */
struct call {
    struct ml_doc *doc;
    const struct ml_update *update;
    struct ml_arena *scratch;
    struct ml_change *change;
    const struct ml_judgement *judgement; /* NULL: everything is accepted */
    bool want_record;                     /* somebody wants change->bytes */
};

static enum ml_err apply_general(const struct call *call)
{
    struct ml_doc *doc = call->doc;
    struct ml_change *change = call->change;
    struct plan plan = {.judgement = call->judgement};
    enum ml_err err = prepare(doc, call->update, call->scratch, &plan);
    bool ok;

    if (err)
        return err;
    ml_txn_begin(doc, call->want_record ? SCAN_STEPS_MAX : UINT64_MAX);
    ok = call->judgement ? integrate_judged(doc, call->update, &plan)
                         : integrate(doc, call->update, &plan);
    if (ok && call->want_record)
        ok = ml_txn_write_record(doc, call->update->bytes, call->scratch, change);
    if (ok && call->judgement && doc->txn.parked)
        ok = !add_waiting(doc, call->scratch, change);
    doc->broken = !ok;
    change->client_taken = plan.client_taken;
    change->was_pending = doc->txn.parked;
    change->pending_dropped = doc->txn.dropped;
    change->undone = call->judgement != NULL;
    change->inserted_units = doc->txn.inserted_units;
    change->deleted_units = doc->txn.deleted_units;
    doc->general++;
    doc->version += doc->txn.clients.count || doc->txn.deleted.count || doc->txn.parked;
    ml_txn_end(doc);
    return ok ? ML_OK : ML_ELIMIT;
}

static enum ml_err apply_append(const struct call *call, struct ml_client *c)
{
    struct ml_doc *doc = call->doc;
    const struct ml_typed *t = &call->update->typed;

    if (doc->memory_bytes > doc->limits.doc_bytes || !append_text(doc, c, t))
        return ML_ELIMIT;
    call->change->inserted_units = t->units;
    call->change->client_taken = doc->own_client && t->client == doc->own_client;
    call->change->bytes = call->update->bytes;
    call->change->is_received = true;
    doc->fast_append++;
    doc->version++;
    return ML_OK;
}

static enum ml_err apply_delete(const struct call *call, uint32_t run)
{
    struct ml_doc *doc = call->doc;
    const struct ml_wire_range *r = &call->update->range;

    if (!ml_items_reserve(doc, 2))
        return ML_ELIMIT;
    if (ml_item_is_visible(ml_item_at(doc, run)))
        call->change->deleted_units = r->len;
    doc->broken = !delete_in_run(doc, run, (uint32_t)r->clock, (uint32_t)(r->clock + r->len));
    call->change->bytes = call->update->bytes;
    call->change->is_received = true;
    doc->fast_delete++;
    doc->version++;
    return doc->broken ? ML_ELIMIT : ML_OK;
}

static enum ml_err apply(const struct call *call)
{
    const struct ml_update *u = call->update;

    ML_ASSERT(!call->doc->is_writing);
    if (call->doc->broken)
        return ML_ELIMIT;
    if (call->judgement || call->doc->watches)
        return apply_general(call);
    if (u->shape == ML_SHAPE_TYPED) {
        struct ml_client *c = find_append(call->doc, &u->typed);

        if (c)
            return apply_append(call, c);
    } else if (u->shape == ML_SHAPE_ERASED) {
        uint32_t run = find_delete(call->doc, &u->range);

        if (run != NIL)
            return apply_delete(call, run);
    }
    return apply_general(call);
}

enum ml_err ml_doc_apply(struct ml_doc *doc, const struct ml_update *update,
                         const struct ml_verdict *verdict, struct ml_arena *scratch,
                         const struct ml_change **change_out)
{
    struct ml_change *change = ml_arena_alloc(scratch, sizeof *change);
    struct call call = {doc, update, scratch, change, NULL, true};
    struct ml_judgement judgement;
    enum ml_err err;

    if (!change)
        return ML_ELIMIT;
    *change_out = change;
    if (verdict && (verdict->undo_all || verdict->undo_waiting ||
                    (verdict->effects && ml_effects_are_judged(verdict->effects)))) {
        ML_ASSERT(doc->own_client);
        err = ml_effects_judge(verdict, scratch, &judgement);
        if (err)
            return err;
        call.judgement = &judgement;
    }
    return apply(&call);
}

static enum ml_err apply_bytes(struct ml_doc *doc, struct ml_slice bytes,
                               const struct ml_engine_limits *limits, struct ml_diag *diag)
{
    struct ml_change change = {0};
    const struct ml_update *update;
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, doc->limits.doc_bytes);
    err = ml_update_decode(&scratch, bytes, limits, diag, &update);
    if (!err) {
        struct call call = {doc, update, &scratch, &change, NULL, false};

        err = apply(&call);
        if (err)
            (void)ml_diag_set(diag, err, 0, "over a ceiling of the document");
    }
    ml_arena_release(&scratch);
    return err;
}

enum ml_err ml_doc_apply_bytes(struct ml_doc *doc, struct ml_slice bytes, struct ml_diag *diag)
{
    return apply_bytes(doc, bytes, &doc->limits, diag);
}

enum ml_err ml_doc_load(struct ml_doc *doc, struct ml_slice state)
{
    struct ml_engine_limits own = doc->limits;

    own.update_bytes = SIZE_MAX / 2;
    own.any_depth = own.key_bytes = UINT32_MAX;
    return apply_bytes(doc, state, &own, NULL);
}
