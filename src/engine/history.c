/* SPDX-License-Identifier: MIT */
/*
 * Undo: the steps of some authors, and going back and forth through them.
 *
 *                  a tracked transaction              undo                     redo
 *   undo stack     [ s1 ][ s2 ] + joins s2, or [ s3 ]  pop s2                   push what it did
 *   redo stack     emptied                             push what undo did       pop
 *
 * A step is what was inserted and what was deleted, as ranges of ids. Undoing it deletes what of
 * the inserted is alive, wherever copies have taken it (redone.c), and puts back what was deleted
 * (redo.c). That is a transaction like any other; looked at (ml_watch), it is the opposite step.
 *
 * What a step deleted keeps its content as long as a step needs it:
 *
 *   look      deleted items of the scope, and every type around them, are marked kept
 *   forget    steps go: marks of what they deleted go, marks of the steps that stay are set again,
 *             what is not kept after that is collected
 *
 * Source: Yjs 13.6, UndoManager.js. Same steps, same bytes; where the code differs, and why:
 *  - Yjs lets content of forgotten steps stand until the document is loaded again; here it is
 *    collected, so that a history does not grow a document for ever;
 *  - a deletion follows copies by unit: Yjs deletes the whole run in which a copy begins, with what
 *    was typed behind it;
 *  - stacks are bounded in steps and in ranges.
 */
#include "engine/history.h"

#include <stdlib.h>

#include "engine/update.h"

#define STEPS_MAX  100
#define RANGES_MAX 100000

/* Walking along siblings in one undo: some tenths of a second. */
#define SCAN_STEPS_MAX 20000000

/* The own client writes only while it has at least as many clocks left, as in apply.c. */
#define OWN_CLOCK_MAX (UINT32_MAX / 2)

/* ---- Steps ----------------------------------------------------------------------------------- */

static void drop_runs(struct ml_doc *doc, struct ml_runs *runs)
{
    ml_doc_drop(doc, runs->at, runs->cap * sizeof *runs->at);
    *runs = (struct ml_runs){0};
}

static void release_step(struct ml_doc *doc, struct ml_step *s)
{
    drop_runs(doc, &s->inserted);
    drop_runs(doc, &s->deleted);
    drop_runs(doc, &s->order);
}

static uint64_t ranges_of(const struct ml_step *s)
{
    return (uint64_t)s->inserted.count + s->deleted.count;
}

static bool add_runs(struct ml_doc *doc, struct ml_runs *to, const struct ml_runs *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!ml_runs_add(doc, to, from->at[i].slot, from->at[i].clock, from->at[i].end))
            return false;
    ml_runs_normalize(to);
    return true;
}

/* The authors of `runs`, as they come, behind those that are there. */
static bool add_authors(struct ml_doc *doc, struct ml_runs *order, const struct ml_runs *runs)
{
    bool *seen = calloc((size_t)doc->client_count + 1, sizeof *seen), ok = seen != NULL;

    for (uint32_t i = 0; ok && i < order->count; i++)
        seen[order->at[i].slot] = true;
    for (uint32_t i = 0; ok && i < runs->count; i++) {
        uint32_t slot = runs->at[i].slot;

        if (!seen[slot])
            ok = ml_runs_add(doc, order, slot, 0, 0);
        seen[slot] = true;
    }
    free(seen);
    return ok;
}

/* The first of the normalized runs that is of this author. */
static uint32_t first_of(const struct ml_runs *runs, uint32_t slot)
{
    uint32_t from = 0, to = runs->count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (runs->at[mid].slot < slot)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static struct ml_step *push_step(struct ml_history *h, struct ml_steps *steps)
{
    if (steps->count == steps->cap) {
        void *grown = ml_doc_grow(h->doc, steps->at, &steps->cap, sizeof *steps->at);

        if (!grown)
            return NULL;
        steps->at = grown;
    }
    steps->at[steps->count] = (struct ml_step){0};
    return &steps->at[steps->count++];
}

/* ---- Scope ----------------------------------------------------------------------------------- */

bool ml_history_covers(const struct ml_history *h, const struct ml_item *i)
{
    const struct ml_branch *b;

    if (!h->root_count)
        return true;
    for (b = ml_branch_at(h->doc, i->parent); !b->is_root;
         b = ml_branch_at(h->doc, ml_item_at(h->doc, b->item)->parent))
        ;
    for (uint32_t n = 0; n < h->root_count; n++)
        if (h->roots[n] == b->name)
            return true;
    return false;
}

static bool steps_deleted(const struct ml_steps *steps, uint32_t slot, uint32_t clock)
{
    for (uint32_t n = steps->count; n-- > 0;)
        if (ml_runs_hold(&steps->at[n].deleted, slot, clock))
            return true;
    return false;
}

bool ml_history_deleted(const struct ml_history *h, uint32_t slot, uint32_t clock)
{
    return steps_deleted(&h->undo, slot, clock) || steps_deleted(&h->redo, slot, clock);
}

/* Walks the runs that touch a range; NIL: no more. No run may come or go meanwhile. */
struct touching {
    struct ml_run_walk walk;
    uint32_t end;
};

static uint32_t touching_next(const struct ml_doc *doc, const struct touching *t, uint32_t index)
{
    return index != NIL && ml_item_at(doc, index)->clock < t->end ? index : NIL;
}

#define EACH_TOUCHING(doc, run, t, index)                                                          \
    struct touching t = {.end = (run)->end};                                                       \
    for (uint32_t index = touching_next(                                                           \
             doc, &t, ml_run_walk_start(&t.walk, &(doc)->clients[(run)->slot], (run)->clock));     \
         index != NIL; index = touching_next(doc, &t, ml_run_walk_next(&t.walk)))

static bool covers_any(const struct ml_history *h, const struct ml_runs *runs)
{
    if (!h->root_count)
        return runs->count > 0;
    for (uint32_t n = 0; n < runs->count; n++) {
        EACH_TOUCHING(h->doc, &runs->at[n], t, index)
        {
            const struct ml_item *i = ml_item_at(h->doc, index);

            if (!ml_item_is_gc(i) && ml_history_covers(h, i))
                return true;
        }
    }
    return false;
}

/* ---- Keeping content ------------------------------------------------------------------------- */

/* Mark an item and the types around it. All the way up: when steps go, marks go from the middle. */
static void keep(struct ml_doc *doc, uint32_t index)
{
    for (; index != NIL; index = ml_branch_at(doc, ml_item_at(doc, index)->parent)->item)
        ml_item_at(doc, index)->cl |= ML_ITEM_KEPT;
}

/* Does the step need the content of this item that it has deleted? */
static bool needs(const struct ml_history *h, const struct ml_item *i)
{
    return ml_item_is_deleted(i) && !ml_item_is_gc(i) && ml_item_kind(i) != ML_WIRE_DELETED &&
           !(i->cl & ML_ITEM_REDONE) && ml_history_covers(h, i);
}

static void keep_step(const struct ml_history *h, const struct ml_step *s)
{
    if (h->doc->keep_deleted)
        return; /* nothing is collected */
    for (uint32_t n = 0; n < s->deleted.count; n++) {
        EACH_TOUCHING(h->doc, &s->deleted.at[n], t, index)
        {
            if (needs(h, ml_item_at(h->doc, index)))
                keep(h->doc, index);
        }
    }
}

static bool look(struct ml_watch *watch, struct ml_doc *doc);

static void keep_all_steps(const struct ml_doc *doc)
{
    for (struct ml_watch *w = doc->watches; w; w = w->next) {
        const struct ml_history *h = (const struct ml_history *)w;

        if (w->look != look)
            continue;
        for (uint32_t n = 0; n < h->undo.count; n++)
            keep_step(h, &h->undo.at[n]);
        for (uint32_t n = 0; n < h->redo.count; n++)
            keep_step(h, &h->redo.at[n]);
    }
}

/* Take the marks from an item and the types around it; those that are deleted are noted. */
static bool let_go(struct ml_doc *doc, uint32_t index, struct ml_runs *loose)
{
    while (index != NIL) {
        struct ml_item *i = ml_item_at(doc, index);

        if (!(i->cl & ML_ITEM_KEPT))
            return true;
        i->cl &= ~ML_ITEM_KEPT;
        if (ml_item_is_deleted(i) &&
            !ml_runs_add(doc, loose, ml_item_slot(i), i->clock, ml_item_end(i)))
            return false;
        index = ml_branch_at(doc, i->parent)->item;
    }
    return true;
}

/* What several steps deleted may be one run: cut where this one's part begins or ends. */
static bool cut_kept(struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    uint32_t index;
    const struct ml_item *i;

    if (clock >= doc->clients[slot].next)
        return true;
    if (!ml_items_reserve(doc, 1))
        return false;
    index = ml_run_find(doc, slot, clock);
    i = ml_item_at(doc, index);
    if (i->clock == clock || !(i->cl & ML_ITEM_KEPT))
        return true;
    return ml_run_split(doc, index, clock - i->clock) != NIL;
}

static bool let_step_go(struct ml_doc *doc, const struct ml_step *s, struct ml_runs *loose)
{
    for (uint32_t n = 0; n < s->deleted.count; n++) {
        const struct ml_run *r = &s->deleted.at[n];

        if (!cut_kept(doc, r->slot, r->clock) || !cut_kept(doc, r->slot, r->end))
            return false;
        EACH_TOUCHING(doc, r, t, index)
        {
            if (!ml_item_is_gc(ml_item_at(doc, index)) && !let_go(doc, index, loose))
                return false;
        }
    }
    return true;
}

static bool collect_loose(struct ml_doc *doc, const struct ml_runs *loose)
{
    for (uint32_t n = 0; n < loose->count; n++) {
        const struct ml_run *r = &loose->at[n];

        EACH_TOUCHING(doc, r, t, index)
        {
            if (!ml_item_collect(doc, index))
                return false;
        }
        if (!ml_runs_add(doc, &doc->txn.merges, r->slot, r->clock, r->end))
            return false;
    }
    return true;
}

/*
 * Steps that are on no stack any more: collect what only they needed. A transaction is open. False:
 * out of memory; the steps are gone all the same.
 */
static bool forget(struct ml_history *h, struct ml_step *steps, uint32_t count)
{
    struct ml_doc *doc = h->doc;
    struct ml_runs loose = {0};
    bool ok = !doc->broken;

    for (uint32_t n = 0; n < count; n++) {
        ok = ok && (doc->keep_deleted || let_step_go(doc, &steps[n], &loose));
        h->ranges -= ranges_of(&steps[n]);
        release_step(doc, &steps[n]);
    }
    if (ok && loose.count) {
        keep_all_steps(doc);
        ok = collect_loose(doc, &loose);
    }
    drop_runs(doc, &loose);
    return ok;
}

static bool forget_all(struct ml_history *h, struct ml_steps *steps)
{
    uint32_t count = steps->count;

    steps->count = 0;
    return forget(h, steps->at, count);
}

/* The oldest steps go, some at a time so that marks are not set again at every one. */
static bool trim(struct ml_history *h)
{
    struct ml_steps *u = &h->undo;
    uint32_t drop = 0;
    uint64_t ranges = h->ranges;
    struct ml_step *old;
    bool ok;

    if (u->count > h->steps_max)
        drop = u->count - h->steps_max + h->steps_max / 8;
    for (uint32_t n = 0; n < drop; n++)
        ranges -= ranges_of(&u->at[n]);
    while (drop < u->count && ranges > h->ranges_max)
        ranges -= ranges_of(&u->at[drop++]);
    if (!drop)
        return true;
    old = malloc(drop * sizeof *old);
    if (!old)
        return false;
    memcpy(old, u->at, drop * sizeof *old);
    memmove(u->at, u->at + drop, (u->count - drop) * sizeof *old);
    u->count -= drop;
    ok = forget(h, old, drop);
    free(old);
    return ok;
}

/* ---- Looking at a transaction ---------------------------------------------------------------- */

static bool is_tracked(const struct ml_history *h)
{
    for (uint32_t n = 0; n < h->origin_count; n++)
        if (h->origins[n] == h->doc->origin)
            return h->doc->origin != 0;
    return false;
}

/* The units that the transaction has added. */
static bool read_inserted(struct ml_doc *doc, struct ml_runs *out)
{
    for (uint32_t n = 0; n < doc->txn.clients.count; n++) {
        const struct ml_client *c = &doc->clients[doc->txn.clients.at[n].slot];

        if (c->next > c->before &&
            !ml_runs_add(doc, out, doc->txn.clients.at[n].slot, c->before, c->next))
            return false;
    }
    ml_runs_normalize(out);
    return true;
}

static bool joins_last(const struct ml_history *h)
{
    return h->doing == ML_HISTORY_RECORDING && h->undo.count && h->last_ms &&
           h->doc->now_ms - h->last_ms < h->join_ms;
}

/* Put what the transaction did on the stack. */
static bool record(struct ml_history *h, const struct ml_runs *inserted)
{
    struct ml_doc *doc = h->doc;
    struct ml_steps *stack = h->doing == ML_HISTORY_UNDOING ? &h->redo : &h->undo;
    struct ml_step *s = joins_last(h) ? &stack->at[stack->count - 1] : push_step(h, stack);
    bool ok;

    if (!s)
        return false;
    h->ranges -= ranges_of(s);
    ok = add_runs(doc, &s->inserted, inserted) && add_authors(doc, &s->order, &doc->txn.deleted) &&
         add_runs(doc, &s->deleted, &doc->txn.deleted);
    h->ranges += ranges_of(s);
    if (h->doing == ML_HISTORY_UNDOING)
        h->last_ms = 0;
    else if (h->doing == ML_HISTORY_RECORDING)
        h->last_ms = doc->now_ms;
    if (ok)
        keep_step(h, s);
    return ok && trim(h);
}

static bool look(struct ml_watch *watch, struct ml_doc *doc)
{
    struct ml_history *h = (struct ml_history *)watch;
    struct ml_runs inserted = {0};
    bool ok;

    if (!doc->txn.clients.count && !doc->txn.deleted.count)
        return true;
    if (h->doing == ML_HISTORY_RECORDING && !is_tracked(h))
        return true;
    ok = read_inserted(doc, &inserted);
    if (ok && (covers_any(h, &inserted) || covers_any(h, &doc->txn.deleted))) {
        if (h->doing == ML_HISTORY_RECORDING)
            ok = forget_all(h, &h->redo);
        ok = ok && record(h, &inserted);
    }
    drop_runs(doc, &inserted);
    return ok;
}

/* ---- Undo and redo --------------------------------------------------------------------------- */

/* What undoing one step has to do. */
struct plan {
    struct ml_runs away;   /* one living item each */
    struct ml_runs back;   /* one deleted item each, in the order in which they come back */
    uint64_t units, bytes; /* of `back` */
};

/* One run for each item: those of one author are not joined. */
static bool add_item(struct ml_doc *doc, struct ml_runs *list, const struct ml_run *item)
{
    if (list->count == list->cap) {
        void *grown = ml_doc_grow(doc, list->at, &list->cap, sizeof *list->at);

        if (!grown)
            return false;
        list->at = grown;
    }
    list->at[list->count++] = *item;
    return true;
}

/* The part of a range that lies in the run of its first unit. */
static struct ml_run part_in_run(struct ml_doc *doc, const struct ml_run *r, uint32_t clock,
                                 uint32_t *index_out)
{
    uint32_t index = ml_run_find(doc, r->slot, clock), end = ml_item_end(ml_item_at(doc, index));

    *index_out = index;
    return (struct ml_run){r->slot, clock, end < r->end ? end : r->end};
}

static bool plan_away(struct ml_history *h, const struct ml_run *r, struct plan *plan)
{
    struct ml_doc *doc = h->doc;

    for (uint32_t clock = r->clock; clock < r->end;) {
        uint32_t index;
        struct ml_run part = part_in_run(doc, r, clock, &index);
        struct ml_run to = ml_redone_follow(doc, part);

        clock += to.end - to.clock;
        for (uint32_t at = to.clock; at < to.end;) {
            struct ml_run piece = part_in_run(doc, &to, at, &index);
            const struct ml_item *i = ml_item_at(doc, index);

            at = piece.end;
            if (!ml_item_is_deleted(i) && ml_history_covers(h, i) &&
                !add_item(doc, &plan->away, &piece))
                return false;
        }
    }
    return true;
}

static bool plan_back(struct ml_history *h, const struct ml_step *s, const struct ml_run *r,
                      struct plan *plan)
{
    struct ml_doc *doc = h->doc;

    for (uint32_t clock = r->clock; clock < r->end;) {
        uint32_t index;
        struct ml_run part = part_in_run(doc, r, clock, &index);
        const struct ml_item *i = ml_item_at(doc, index);

        clock = part.end;
        if (ml_item_is_gc(i) || ml_runs_hold(&s->inserted, part.slot, part.clock) ||
            !ml_history_covers(h, i))
            continue;
        plan->units += part.end - part.clock;
        plan->bytes += sizeof *i + i->blen;
        if (!add_item(doc, &plan->back, &part))
            return false;
    }
    return true;
}

static bool plan_step(struct ml_history *h, const struct ml_step *s, struct plan *plan)
{
    for (uint32_t n = 0; n < s->inserted.count; n++)
        if (!plan_away(h, &s->inserted.at[n], plan))
            return false;
    for (uint32_t a = 0; a < s->order.count; a++) {
        uint32_t slot = s->order.at[a].slot, n = first_of(&s->deleted, slot);

        for (; n < s->deleted.count && s->deleted.at[n].slot == slot; n++)
            if (!plan_back(h, s, &s->deleted.at[n], plan))
                return false;
    }
    return true;
}

/* Every ceiling, before anything changes. */
static enum ml_err check_room(const struct ml_doc *doc, const struct plan *plan)
{
    uint64_t more = plan->bytes + (uint64_t)plan->back.count * 2 * sizeof(struct ml_redo_range);

    if (plan->back.count && ml_state_of(doc, doc->own_client) + plan->units > OWN_CLOCK_MAX)
        return ML_ELIMIT;
    return doc->memory_bytes + more > doc->limits.doc_bytes ? ML_ELIMIT : ML_OK;
}

static bool take_away(struct ml_doc *doc, const struct ml_run *r)
{
    const struct ml_wire_range range = {doc->clients[r->slot].id, r->clock, r->end - r->clock};
    struct ml_idset unknown = {0};
    bool ok = ml_delete_range(doc, &range, &unknown);

    ml_idset_release(&unknown);
    return ok;
}

/* The item that is exactly the run; NIL: out of memory. */
static uint32_t cut_out(struct ml_doc *doc, const struct ml_run *r)
{
    uint32_t index;

    if (!ml_items_reserve(doc, 2))
        return NIL;
    index = ml_item_starting_at(doc, r->slot, r->clock);
    if (index != NIL && ml_item_end(ml_item_at(doc, index)) > r->end &&
        ml_run_split(doc, index, r->end - r->clock) == NIL)
        return NIL;
    return index;
}

/* @param done_out  something came back or went away */
static bool run_plan(struct ml_history *h, const struct ml_step *s, const struct plan *plan,
                     bool *done_out)
{
    *done_out = plan->away.count > 0;
    for (uint32_t n = 0; n < plan->back.count; n++) {
        uint32_t index = cut_out(h->doc, &plan->back.at[n]);
        enum ml_redo result = index == NIL ? ML_REDO_FAILED : ml_redo_item(h, s, index);

        if (result == ML_REDO_FAILED)
            return false;
        *done_out |= result == ML_REDO_DONE;
    }
    for (uint32_t n = plan->away.count; n-- > 0;)
        if (!take_away(h->doc, &plan->away.at[n]))
            return false;
    ml_redone_settle(h->doc);
    return true;
}

/* The newest step of a stack: done and forgotten. ML_ELIMIT with *ok_out: nothing has changed. */
static enum ml_err pop_step(struct ml_history *h, struct ml_steps *from, bool *done_out,
                            bool *ok_out)
{
    struct ml_step s = from->at[from->count - 1];
    struct plan plan = {0};
    enum ml_err err;

    *ok_out = plan_step(h, &s, &plan);
    err = *ok_out ? check_room(h->doc, &plan) : ML_ELIMIT;
    if (!err) {
        from->count--;
        *ok_out = run_plan(h, &s, &plan, done_out);
        *ok_out &= forget(h, &s, 1);
    }
    drop_runs(h->doc, &plan.away);
    drop_runs(h->doc, &plan.back);
    return *ok_out ? err : ML_ELIMIT;
}

static enum ml_err pop(struct ml_history *h, enum ml_history_doing doing, struct ml_steps *from,
                       struct ml_arena *scratch, const struct ml_change **change_out)
{
    struct ml_doc *doc = h->doc;
    struct ml_change *change = ml_arena_alloc(scratch, sizeof *change);
    enum ml_err err = change && !doc->broken ? ML_OK : ML_ELIMIT;
    bool done = false, ok = true;

    if (err || !from->count)
        return err ? err : ML_ENOTFOUND;
    ML_ASSERT(doc->own_client && !doc->is_writing);
    ml_txn_begin(doc, SCAN_STEPS_MAX);
    h->doing = doing;
    h->row.last = NIL;
    while (!err && !done && from->count)
        err = pop_step(h, from, &done, &ok);
    ok = ok && ml_txn_tidy(doc) && ml_txn_write_record(doc, (struct ml_slice){0}, scratch, change);
    h->doing = ML_HISTORY_RECORDING;
    doc->broken = !ok;
    change->inserted_units = doc->txn.inserted_units;
    change->deleted_units = doc->txn.deleted_units;
    doc->version++;
    ml_txn_end(doc);
    if (!ok || err)
        return ML_ELIMIT;
    *change_out = change;
    return done ? ML_OK : ML_ENOTFOUND;
}

enum ml_err ml_history_undo(struct ml_history *h, struct ml_arena *scratch,
                            const struct ml_change **change_out)
{
    return pop(h, ML_HISTORY_UNDOING, &h->undo, scratch, change_out);
}

enum ml_err ml_history_redo(struct ml_history *h, struct ml_arena *scratch,
                            const struct ml_change **change_out)
{
    return pop(h, ML_HISTORY_REDOING, &h->redo, scratch, change_out);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool copy_scope(struct ml_history *h, const struct ml_history_options *o)
{
    struct ml_doc *doc = h->doc;

    h->roots = ml_doc_alloc(doc, (o->root_count + 1) * sizeof *h->roots);
    h->origins = ml_doc_alloc(doc, (o->origin_count + 1) * sizeof *h->origins);
    h->root_count = (uint32_t)o->root_count;
    h->origin_count = (uint32_t)o->origin_count;
    if (!h->roots || !h->origins)
        return false;
    for (uint32_t n = 0; n < h->root_count; n++) {
        h->roots[n] = ml_name_intern(doc, o->roots[n]);
        if (h->roots[n] == NIL)
            return false;
    }
    if (h->origin_count)
        memcpy(h->origins, o->origins, o->origin_count * sizeof *h->origins);
    return true;
}

static void release(struct ml_history *h)
{
    struct ml_doc *doc = h->doc;

    if (h->roots)
        ml_doc_drop(doc, h->roots, (h->root_count + (size_t)1) * sizeof *h->roots);
    if (h->origins)
        ml_doc_drop(doc, h->origins, (h->origin_count + (size_t)1) * sizeof *h->origins);
    ml_doc_drop(doc, h->undo.at, h->undo.cap * sizeof *h->undo.at);
    ml_doc_drop(doc, h->redo.at, h->redo.cap * sizeof *h->redo.at);
    ml_doc_drop(doc, h, sizeof *h);
}

struct ml_history *ml_history_new(struct ml_doc *doc, const struct ml_history_options *options)
{
    struct ml_history *h = ml_doc_alloc(doc, sizeof *h);

    ML_ASSERT(doc->own_client);
    if (!h)
        return NULL;
    *h = (struct ml_history){
        .watch.look = look,
        .doc = doc,
        .steps_max = options->steps_max ? options->steps_max : STEPS_MAX,
        .ranges_max = options->ranges_max ? options->ranges_max : RANGES_MAX,
        .join_ms = options->join_ms,
    };
    if (!copy_scope(h, options)) {
        release(h);
        return NULL;
    }
    ml_doc_watch(doc, &h->watch);
    doc->histories++;
    return h;
}

/* Nobody goes back any more: runs that were held apart are joined, copies are forgotten. */
static bool join_redone(struct ml_doc *doc)
{
    const struct ml_redo_table *t = &doc->redone;

    for (uint32_t n = 0; n < t->count; n++) {
        struct ml_run r = {t->at[n].slot, t->at[n].clock, t->at[n].clock + t->at[n].len};

        EACH_TOUCHING(doc, &r, touching, index)
        {
            ml_item_at(doc, index)->cl &= ~ML_ITEM_REDONE;
        }
        if (!ml_runs_add(doc, &doc->txn.merges, r.slot, r.clock, r.end))
            return false;
    }
    return true;
}

/* A transaction without an edit. */
static void clear(struct ml_history *h, bool last)
{
    struct ml_doc *doc = h->doc;
    bool ok;

    ML_ASSERT(!doc->is_writing);
    ml_txn_begin(doc, 0);
    ok = forget_all(h, &h->undo);
    ok &= forget_all(h, &h->redo);
    ok = ok && (!last || join_redone(doc)) && ml_txn_tidy(doc);
    doc->broken |= !ok;
    doc->version++;
    ml_txn_end(doc);
    h->last_ms = 0;
}

void ml_history_clear(struct ml_history *h)
{
    if (h->undo.count || h->redo.count)
        clear(h, false);
}

void ml_history_free(struct ml_history *h)
{
    struct ml_doc *doc;
    bool last;

    if (!h)
        return;
    doc = h->doc;
    last = --doc->histories == 0;
    ml_doc_unwatch(doc, &h->watch);
    clear(h, last);
    if (last)
        ml_redone_release(doc);
    release(h);
}

void ml_history_stop_joining(struct ml_history *h)
{
    h->last_ms = 0;
}

void ml_history_counts(const struct ml_history *h, uint32_t *undo_out, uint32_t *redo_out)
{
    *undo_out = h->undo.count;
    *redo_out = h->redo.count;
}

void ml_doc_set_origin(struct ml_doc *doc, uint64_t origin, uint64_t now_ms)
{
    doc->origin = origin;
    doc->now_ms = now_ms;
}
