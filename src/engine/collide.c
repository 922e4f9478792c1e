/* SPDX-License-Identifier: MIT */
/*
 * Collisions of an update with what stands: keys of maps and attributes.
 *
 * A watch looks when everything is in and nothing is collected yet. For every key that the update
 * touches it walks the key's chain:
 *
 *   ... [ base ] [ incoming: new ] [ current: the last that is not new ]      or the other way
 * round ^ whose first new ancestor leans on base, not on current: a collision
 *
 *  [K1] A write has seen current if its first new ancestor leans on current's last unit. Then only
 *       a deletion of current can have been missed: a live update that deletes current again had
 *       current alive; in an answer to a Step1 it is a deletion that ml_past remembers.
 *  [K2] A deletion without a new value has missed whatever stands right of the deleted unit in the
 *       chain, unless the update brings (repeats) it, or the writer's state vector has it.
 *       An answer to a Step1 also deletes what has lost on the writer's own replica, to something
 *       that it was sent meanwhile: without `seen` its deletions tell nothing.
 *  [K3] An update that touches a key several times is one write: its last new item, or nothing if
 *       the update deletes that.
 */
#include "engine/copy.h"
#include "engine/past.h"
#include "engine/update.h"

#include <stdio.h>
#include <stdlib.h>

/* A key that the update touches. */
struct touch {
    uint32_t branch, key;
    bool is_written; /* not only deleted */
};

struct look {
    struct ml_watch watch; /* first */
    const struct ml_collide *ask;
    const struct ml_update *update;
    struct ml_arena *arena;
    struct ml_doc *doc;
    struct ml_runs deleted;       /* by the transaction, normalized; owned */
    struct ml_wire_range *ranges; /* that the update deletes, sorted */
    size_t range_count;
    struct ml_id *seen; /* state vector, sorted; clock: the next one */
    size_t seen_count;
    struct touch *touches; /* owned */
    size_t touch_count, touch_cap;
    struct ml_collision *found;
    size_t count;
    enum ml_err err;
};

/* ---- Who has seen what ----------------------------------------------------------------------- */

static int by_range(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

static enum ml_err read_ranges(struct look *l)
{
    size_t room = ml_update_facts(l->update)->delete_ranges;
    struct ml_wire_reader r;
    bool more = true;
    enum ml_err err = ML_OK;

    l->ranges = ml_arena_array(l->arena, room + 1, sizeof *l->ranges);
    if (!l->ranges)
        return ML_ELIMIT;
    ml_update_reread_ranges(l->update, &r);
    while (l->range_count < room) {
        err = ml_wire_next_range(&r, &l->ranges[l->range_count], &more);
        if (err || !more)
            break;
        l->range_count++;
    }
    if (l->range_count)
        qsort(l->ranges, l->range_count, sizeof *l->ranges, by_range);
    return err;
}

/* Does the update itself delete this unit? */
static bool is_erased(const struct look *l, ml_client_id client, uint64_t clock)
{
    size_t lo = 0, hi = l->range_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ml_wire_range *r = &l->ranges[mid];

        if (r->client < client || (r->client == client && r->clock + r->len <= clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->range_count && l->ranges[lo].client == client && l->ranges[lo].clock <= clock;
}

static int by_client(const void *pa, const void *pb)
{
    const struct ml_id *a = pa, *b = pb;

    return (a->client > b->client) - (a->client < b->client);
}

static enum ml_err read_seen(struct look *l)
{
    struct ml_reader in = ml_reader_make(l->ask->seen);
    uint64_t left = 0;
    bool more = true;
    enum ml_err err = ML_OK;

    if (!l->ask->seen.ptr)
        return ML_OK;
    err = ml_state_vector_open(&in, &left);
    if (err || left > l->ask->seen.len)
        return err;
    l->seen = ml_arena_array(l->arena, (size_t)left + 1, sizeof *l->seen);
    if (!l->seen)
        return ML_ELIMIT;
    for (;;) {
        err = ml_state_vector_next(&in, &left, &l->seen[l->seen_count], &more);
        if (err || !more)
            break;
        l->seen_count++;
    }
    if (l->seen_count)
        qsort(l->seen, l->seen_count, sizeof *l->seen, by_client);
    return err;
}

/* Is the unit in the writer's state vector, or brought by the update? */
static bool has_seen(const struct look *l, ml_client_id client, uint64_t clock)
{
    const struct ml_id wanted = {client, clock}, *at = NULL;

    for (uint32_t n = 0; n < l->update->section_count; n++) {
        const struct ml_section *s = &l->update->sections[n];

        if (s->client == client && s->first_clock <= clock && clock < s->end_clock)
            return true;
    }
    if (l->seen_count)
        at = bsearch(&wanted, l->seen, l->seen_count, sizeof *l->seen, by_client);
    return at && clock < at->clock;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static struct ml_id last_unit(const struct ml_doc *doc, const struct ml_item *i)
{
    return (struct ml_id){doc->clients[ml_item_slot(i)].id, ml_item_end(i) - 1};
}

static bool is_added(const struct ml_doc *doc, const struct ml_item *i)
{
    const struct ml_client *c = &doc->clients[ml_item_slot(i)];

    return c->txn == doc->txn.number && i->clock >= c->before;
}

static bool is_deleted_now(const struct look *l, const struct ml_item *i)
{
    return ml_item_is_deleted(i) && ml_runs_hold(&l->deleted, ml_item_slot(i), i->clock);
}

/* Alive, or only deleted because something around it lost. */
static bool was_there(const void *arg, const struct ml_item *i)
{
    const struct look *l = arg;
    struct ml_id id = last_unit(l->doc, i);

    if (!ml_item_is_deleted(i))
        return true;
    return is_deleted_now(l, i) && !(is_added(l->doc, i) && is_erased(l, id.client, id.clock));
}

static enum ml_err tell_value(struct look *l, const struct ml_item *i,
                              struct ml_collision_side *side)
{
    const struct ml_copier copier = {l->doc, l->arena, was_there, l};

    return ml_copy_value(&copier, i, &side->any, &side->shared);
}

/* ---- The past -------------------------------------------------------------------------------- */

static void remember(struct look *l, const struct ml_item *i)
{
    const struct ml_doc *doc = l->doc;
    struct ml_collision_side side = {0};
    struct ml_id id;
    uint32_t holder, right;
    bool was_overwritten = false;

    if (ml_item_is_gc(i) || !ml_item_is_keyed(i))
        return;
    holder = ml_branch_at(doc, i->parent)->item;
    if (holder != NIL && ml_item_is_deleted(ml_item_at(doc, holder)))
        return; /* it went with what held it */
    for (right = i->right; right != NIL && !was_overwritten; right = ml_item_at(doc, right)->right)
        was_overwritten = is_added(doc, ml_item_at(doc, right));
    if (tell_value(l, i, &side))
        side.any = (struct ml_slice){0};
    id = last_unit(doc, i);
    ml_past_add(l->ask->past, &id, side.any, l->ask->tag, was_overwritten || is_added(doc, i));
}

static void each_item(struct look *l, const struct ml_run *run,
                      void (*each)(struct look *l, const struct ml_item *i))
{
    struct ml_run_walk walk;

    if (run->clock >= run->end)
        return;
    for (uint32_t n = ml_run_walk_start(&walk, &l->doc->clients[run->slot], run->clock);
         n != NIL && ml_item_at(l->doc, n)->clock < run->end; n = ml_run_walk_next(&walk))
        each(l, ml_item_at(l->doc, n));
}

/* ---- Touched keys ---------------------------------------------------------------------------- */

static void touch(struct look *l, const struct ml_item *i)
{
    uint32_t holder;

    if (ml_item_is_gc(i) || !ml_item_is_keyed(i))
        return;
    holder = ml_branch_at(l->doc, i->parent)->item;
    if (holder != NIL && (ml_item_is_deleted(ml_item_at(l->doc, holder)) ||
                          is_added(l->doc, ml_item_at(l->doc, holder))))
        return;
    if (l->touch_count == l->touch_cap) {
        size_t cap = l->touch_cap ? l->touch_cap * 2 : 16;
        void *grown = realloc(l->touches, cap * sizeof *l->touches);

        if (!grown) {
            l->err = ML_ELIMIT;
            return;
        }
        l->touches = grown;
        l->touch_cap = cap;
    }
    l->touches[l->touch_count++] = (struct touch){i->parent, i->aux, is_added(l->doc, i)};
}

/* What is written counts before what is only deleted. */
static int by_place(const void *pa, const void *pb)
{
    const struct touch *a = pa, *b = pb;

    if (a->branch != b->branch)
        return a->branch < b->branch ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return b->is_written - a->is_written;
}

static void find_touched(struct look *l)
{
    const struct ml_txn *t = &l->doc->txn;
    size_t n = 0;

    for (uint32_t i = 0; i < t->clients.count; i++) {
        uint32_t slot = t->clients.at[i].slot;
        const struct ml_run run = {slot, l->doc->clients[slot].before, l->doc->clients[slot].next};

        each_item(l, &run, touch);
    }
    /* All that a writer knows deleted tells nothing without what the writer has seen [K2]. */
    for (size_t i = 0; i < l->range_count && (!l->ask->has_whole_deletes || l->ask->seen.ptr);
         i++) {
        const struct ml_wire_range *r = &l->ranges[i];
        uint32_t slot = ml_slot_find(l->doc, r->client);
        uint64_t next = slot == NIL ? 0 : l->doc->clients[slot].next;
        uint64_t end = r->clock + r->len < next ? r->clock + r->len : next;

        if (r->clock < end)
            each_item(l, &(struct ml_run){slot, (uint32_t)r->clock, (uint32_t)end}, touch);
    }
    if (l->touch_count)
        qsort(l->touches, l->touch_count, sizeof *l->touches, by_place);
    for (size_t i = 0; i < l->touch_count; i++)
        if (!i || l->touches[i].branch != l->touches[i - 1].branch ||
            l->touches[i].key != l->touches[i - 1].key)
            l->touches[n++] = l->touches[i];
    l->touch_count = n;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static void write_segment(struct ml_writer *w, struct ml_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '/' || name.ptr[i] == '~')
            ml_write_bytes(w, name.ptr[i] == '/' ? ML_SLICE("~1") : ML_SLICE("~0"));
        else
            ml_write_u8(w, name.ptr[i]);
    }
}

static void write_index(struct ml_writer *w, const struct ml_doc *doc, const struct ml_item *i)
{
    uint64_t index = 0;
    char digits[24];

    for (uint32_t n = i->left; n != NIL; n = ml_item_at(doc, n)->left)
        index += ml_item_is_visible(ml_item_at(doc, n)) ? ml_item_at(doc, n)->len : 0;
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)index);
    ml_write_bytes(w, ml_slice_str(digits));
}

static enum ml_err tell_path(struct look *l, uint32_t branch, struct ml_slice *out)
{
    const struct ml_doc *doc = l->doc;
    size_t depth = 1, n;
    uint32_t *branches, at = branch;
    struct ml_writer w;
    enum ml_err err;

    while (!ml_branch_at(doc, at)->is_root) {
        at = ml_item_at(doc, ml_branch_at(doc, at)->item)->parent;
        depth++;
    }
    branches = ml_arena_array(l->arena, depth, sizeof *branches);
    if (!branches)
        return ML_ELIMIT;
    for (n = depth, at = branch; n-- > 0;) {
        branches[n] = at;
        if (n)
            at = ml_item_at(doc, ml_branch_at(doc, at)->item)->parent;
    }
    ml_writer_init(&w, (size_t)16 << 20);
    write_segment(&w, ml_name_text(doc, ml_branch_at(doc, branches[0])->name));
    for (n = 1; n < depth; n++) {
        const struct ml_item *holder = ml_item_at(doc, ml_branch_at(doc, branches[n])->item);

        ml_write_u8(&w, '/');
        if (ml_item_is_keyed(holder))
            write_segment(&w, ml_name_text(doc, holder->aux));
        else
            write_index(&w, doc, holder);
    }
    err = w.err;
    if (!err)
        *out = ml_arena_copy(l->arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return err ? err : out->ptr ? ML_OK : ML_ELIMIT;
}

/* ---- One key --------------------------------------------------------------------------------- */

static bool is_attr(const struct ml_branch *b)
{
    return !b->is_root && b->type_ref != ML_TYPE_MAP && b->type_ref != ML_TYPE_ARRAY;
}

/* The chain of a key, as far as it matters. */
struct chain {
    uint32_t entry;
    const struct ml_item *current;  /* the last that is not new; NULL: none */
    const struct ml_item *incoming; /* the last that is new; NULL: none */
    const struct ml_item *first;    /* its first new ancestor */
    bool is_undone;                 /* the document itself has put something back */
};

static void read_chain(const struct ml_doc *doc, const struct touch *t, struct chain *c)
{
    *c = (struct chain){.entry = ml_branch_entry(ml_branch_at(doc, t->branch), t->key)};
    for (uint32_t n = c->entry; n != NIL && !(c->current && (c->incoming || !t->is_written));
         n = ml_item_at(doc, n)->left) {
        const struct ml_item *i = ml_item_at(doc, n);

        c->is_undone |= is_added(doc, i) && doc->clients[ml_item_slot(i)].id == doc->own_client;
        if (is_added(doc, i) && !c->incoming)
            c->incoming = i;
        else if (!is_added(doc, i) && !c->current)
            c->current = i;
    }
    c->first = c->incoming;
    while (c->first && c->first->o_cl != NIL) {
        const struct ml_client *client = &doc->clients[c->first->o_cl];
        uint32_t slot = c->first->o_cl, clock = c->first->o_clock;
        struct ml_run_walk walk;

        if (client->txn != doc->txn.number || clock < client->before)
            break;
        c->first = ml_item_at(doc, ml_run_walk_start(&walk, &doc->clients[slot], clock));
    }
}

static bool leans_on(const struct ml_item *i, const struct ml_item *on)
{
    return i->o_cl == ml_item_slot(on) && i->o_clock == ml_item_end(on) - 1;
}

/* False: it cannot be told. A writer that collects garbage sends what lost on its own replica
 * without content. */
static bool tell_side(struct look *l, const struct ml_item *i, struct ml_collision_side *side)
{
    enum ml_err err = tell_value(l, i, side);

    if (err != ML_ENOTFOUND)
        l->err = err;
    return !err;
}

/* What both had seen, if it is known what that was. */
static void tell_base(struct look *l, const struct ml_id *id, struct ml_collision *out)
{
    const struct ml_past_value *past = ml_past_find(l->ask->past, id);

    if (past && past->any) {
        out->base = ml_arena_copy(l->arena, ml_slice_make(past->any, past->len));
        out->is_base_known = out->base.ptr != NULL;
    }
}

/* [K1] True: a collision; everything but path and key is told. */
static bool judge_write(struct look *l, const struct chain *c, struct ml_collision *out)
{
    const struct ml_doc *doc = l->doc;
    bool was_deleted = ml_item_is_deleted(c->current) && !is_deleted_now(l, c->current);
    struct ml_id current = last_unit(doc, c->current), incoming = last_unit(doc, c->incoming);
    const struct ml_past_value *past = was_deleted ? ml_past_find(l->ask->past, &current) : NULL;

    out->is_exact = true;
    if (leans_on(c->first, c->current)) {
        if (!was_deleted)
            return false;
        if (l->ask->has_whole_deletes) {
            if (!l->ask->seen.ptr || !past || past->was_overwritten)
                return false;
            out->is_exact = false;
        } else if (!is_erased(l, current.client, current.clock)) {
            return false;
        }
        tell_base(l, &current, out);
    } else if (ml_item_slot(c->current) == ml_item_slot(c->incoming) ||
               (is_erased(l, incoming.client, incoming.clock) &&
                (has_seen(l, current.client, current.clock) ||
                 (l->ask->has_whole_deletes && !is_added(doc, ml_item_at(doc, c->entry)))))) {
        return false; /* it has lost on its writer's own replica, too */
    } else if (c->first->o_cl == NIL) {
        out->is_base_known = true;
    } else {
        tell_base(l, &(struct ml_id){doc->clients[c->first->o_cl].id, c->first->o_clock}, out);
    }
    out->current.id = current;
    out->incoming.id = incoming;
    out->incoming_stands = is_added(doc, ml_item_at(doc, c->entry));
    if (was_deleted)
        out->current.tag = past ? past->tag : 0;
    else if (!tell_side(l, c->current, &out->current))
        return false;
    if (is_erased(l, incoming.client, incoming.clock) &&
        (l->ask->seen.ptr || !l->ask->has_whole_deletes))
        out->incoming.tag = l->ask->tag;
    else if (!tell_side(l, c->incoming, &out->incoming))
        return false;
    return out->current.any.ptr || out->incoming.any.ptr;
}

/* [K2] */
static bool judge_delete(struct look *l, const struct chain *c, struct ml_collision *out)
{
    const struct ml_doc *doc = l->doc;
    const struct ml_item *i = c->current;
    const struct ml_past_value *past;
    struct ml_id id;

    if (ml_item_is_deleted(c->current))
        return false;
    for (uint32_t n = c->entry;; n = i->left) {
        if (n == NIL)
            return false;
        i = ml_item_at(doc, n);
        id = last_unit(doc, i);
        if (is_erased(l, id.client, id.clock))
            break;
        if (has_seen(l, id.client, id.clock))
            return false;
    }
    past = ml_past_find(l->ask->past, &id);
    if (i == c->current || (past && !past->was_overwritten) || (!past && l->ask->has_whole_deletes))
        return false;
    out->is_exact = !l->ask->has_whole_deletes;
    out->current.id = last_unit(doc, c->current);
    out->incoming = (struct ml_collision_side){.id = id, .tag = l->ask->tag};
    tell_base(l, &id, out);
    if (!tell_side(l, c->current, &out->current))
        return false;
    ml_past_add(l->ask->past, &id, out->base, l->ask->tag, false); /* said again it is old news */
    return true;
}

static void judge(struct look *l, const struct touch *t)
{
    struct ml_branch *b = ml_branch_at(l->doc, t->branch);
    struct ml_collision out = {.kind = is_attr(b) ? ML_COLLISION_ATTR : ML_COLLISION_MAP};
    struct chain c;

    if (!(l->ask->kinds & 1u << out.kind))
        return;
    read_chain(l->doc, t, &c);
    if (!c.current || c.is_undone ||
        (t->is_written ? !judge_write(l, &c, &out) : !judge_delete(l, &c, &out)))
        return;
    out.place = ml_branch_place(l->doc, t->branch);
    out.key = ml_arena_copy(l->arena, ml_name_text(l->doc, t->key));
    if (out.place.root.ptr)
        out.place.root = ml_arena_copy(l->arena, out.place.root);
    if (!out.key.ptr || (b->is_root && !out.place.root.ptr))
        l->err = ML_ELIMIT;
    else
        l->err = tell_path(l, t->branch, &out.path);
    if (!l->found && !l->err)
        l->found = ml_arena_array(l->arena, ML_COLLISIONS_MAX, sizeof *l->found);
    if (!l->err && l->found)
        l->found[l->count++] = out;
}

/* ---- All together ---------------------------------------------------------------------------- */

static bool copy_deleted(struct look *l)
{
    const struct ml_runs *from = &l->doc->txn.deleted;

    if (!from->count)
        return true;
    l->deleted.at = malloc(from->count * sizeof *l->deleted.at);
    if (!l->deleted.at)
        return false;
    memcpy(l->deleted.at, from->at, from->count * sizeof *l->deleted.at);
    l->deleted.count = from->count;
    ml_runs_normalize(&l->deleted);
    return true;
}

static bool look(struct ml_watch *watch, struct ml_doc *doc)
{
    struct look *l = (struct look *)(void *)watch;

    l->doc = doc;
    l->err = copy_deleted(l) ? read_ranges(l) : ML_ELIMIT;
    if (!l->err)
        l->err = read_seen(l);
    if (!l->err)
        find_touched(l);
    for (size_t i = 0; i < l->touch_count && l->count < ML_COLLISIONS_MAX && !l->err; i++)
        judge(l, &l->touches[i]);
    for (uint32_t i = 0; i < l->deleted.count; i++)
        each_item(l, &l->deleted.at[i], remember);
    return true;
}

enum ml_err ml_doc_apply_asking(struct ml_doc *doc, const struct ml_update *update,
                                const struct ml_verdict *verdict, const struct ml_collide *ask,
                                struct ml_arena *scratch, const struct ml_change **change_out,
                                const struct ml_collision **collisions_out, size_t *count_out)
{
    struct look l = {.watch = {.look = look}, .ask = ask, .update = update, .arena = scratch};
    enum ml_err err;

    *collisions_out = NULL;
    *count_out = 0;
    if (!ask || update->shape == ML_SHAPE_TYPED) /* typing touches no key */
        return ml_doc_apply(doc, update, verdict, scratch, change_out);
    ml_doc_watch(doc, &l.watch);
    err = ml_doc_apply(doc, update, verdict, scratch, change_out);
    ml_doc_unwatch(doc, &l.watch);
    free(l.deleted.at);
    free(l.touches);
    if (!err && !l.err) {
        *collisions_out = l.found;
        *count_out = l.count;
    }
    return err;
}

enum ml_err ml_place_set(struct ml_doc *doc, const struct ml_place *place, struct ml_slice key,
                         const struct ml_value *value)
{
    struct ml_type type;
    enum ml_err err = place->root.ptr
                          ? ml_type_root(doc, place->root, &type)
                          : ml_type_by_id(doc, place->holder.client, place->holder.clock, &type);

    if (err)
        return err;
    return value ? ml_map_set(doc, type, key, value) : ml_map_delete(doc, type, key);
}
