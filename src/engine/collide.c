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
#include "engine/look.h"
#include "engine/past.h"

#include <stdlib.h>

/* A key that the update touches. */
struct touch {
    uint32_t branch, key;
    bool is_written; /* not only deleted */
};

/* ---- Items ----------------------------------------------------------------------------------- */

/* Alive, or only deleted because something around it lost. */
static bool was_there(const void *arg, const struct ml_item *i)
{
    const struct ml_look *l = arg;
    struct ml_id id = ml_look_last_unit(l->doc, i);

    if (!ml_item_is_deleted(i))
        return true;
    return ml_look_is_deleted_now(l, i) &&
           !(ml_look_is_added(l->doc, i) && ml_look_is_erased(l, id.client, id.clock));
}

static enum ml_err tell_value(struct ml_look *l, const struct ml_item *i,
                              struct ml_collision_side *side)
{
    const struct ml_copier copier = {l->doc, l->arena, was_there, l};

    return ml_copy_value(&copier, i, &side->any, &side->shared);
}

/* ---- The past -------------------------------------------------------------------------------- */

static void remember(struct ml_look *l, const struct ml_item *i)
{
    const struct ml_doc *doc = l->doc;
    struct ml_collision_side side = {0};
    struct ml_id id;
    uint32_t holder, right;
    bool was_overwritten = false;

    ml_look_remember_text(l, i);
    if (ml_item_is_gc(i) || !ml_item_is_keyed(i))
        return;
    holder = ml_branch_at(doc, i->parent)->item;
    if (holder != NIL && ml_item_is_deleted(ml_item_at(doc, holder)))
        return; /* it went with what held it */
    for (right = i->right; right != NIL && !was_overwritten; right = ml_item_at(doc, right)->right)
        was_overwritten = ml_look_is_added(doc, ml_item_at(doc, right));
    if (tell_value(l, i, &side))
        side.any = (struct ml_slice){0};
    id = ml_look_last_unit(doc, i);
    ml_past_add(l->ask->past, &id, side.any, l->ask->tag,
                was_overwritten || ml_look_is_added(doc, i));
}

/* ---- Touched keys ---------------------------------------------------------------------------- */

static void touch(struct ml_look *l, const struct ml_item *i)
{
    uint32_t holder;

    if (ml_item_is_gc(i) || !ml_item_is_keyed(i))
        return;
    holder = ml_branch_at(l->doc, i->parent)->item;
    if (holder != NIL && (ml_item_is_deleted(ml_item_at(l->doc, holder)) ||
                          ml_look_is_added(l->doc, ml_item_at(l->doc, holder))))
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
    l->touches[l->touch_count++] = (struct touch){i->parent, i->aux, ml_look_is_added(l->doc, i)};
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

static void find_touched(struct ml_look *l)
{
    size_t n = 0;

    ml_look_each_added(l, touch);
    /* All that a writer knows deleted tells nothing without what the writer has seen [K2]. */
    for (size_t i = 0; i < l->range_count && (!l->ask->has_whole_deletes || ml_look_knows_seen(l));
         i++) {
        const struct ml_wire_range *r = &l->ranges[i];
        uint32_t slot = ml_slot_find(l->doc, r->client);
        uint64_t next = slot == NIL ? 0 : l->doc->clients[slot].next;
        uint64_t end = r->clock + r->len < next ? r->clock + r->len : next;

        if (r->clock < end)
            ml_look_each_item(l, &(struct ml_run){slot, (uint32_t)r->clock, (uint32_t)end}, touch);
    }
    if (l->touch_count)
        qsort(l->touches, l->touch_count, sizeof *l->touches, by_place);
    for (size_t i = 0; i < l->touch_count; i++)
        if (!i || l->touches[i].branch != l->touches[i - 1].branch ||
            l->touches[i].key != l->touches[i - 1].key)
            l->touches[n++] = l->touches[i];
    l->touch_count = n;
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

        c->is_undone |=
            ml_look_is_added(doc, i) && doc->clients[ml_item_slot(i)].id == doc->own_client;
        if (ml_look_is_added(doc, i) && !c->incoming)
            c->incoming = i;
        else if (!ml_look_is_added(doc, i) && !c->current)
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
static bool tell_side(struct ml_look *l, const struct ml_item *i, struct ml_collision_side *side)
{
    enum ml_err err = tell_value(l, i, side);

    if (err != ML_ENOTFOUND)
        l->err = err;
    return !err;
}

/* What both had seen, if it is known what that was. */
static void tell_base(struct ml_look *l, const struct ml_id *id, struct ml_collision *out)
{
    const struct ml_past_value *past = ml_past_find(l->ask->past, id);

    if (past && past->any) {
        out->base = ml_arena_copy(l->arena, ml_slice_make(past->any, past->len));
        out->is_base_known = out->base.ptr != NULL;
    }
}

/* [K1] True: a collision; everything but path and key is told. */
static bool judge_write(struct ml_look *l, const struct chain *c, struct ml_collision *out)
{
    const struct ml_doc *doc = l->doc;
    bool was_deleted = ml_item_is_deleted(c->current) && !ml_look_is_deleted_now(l, c->current);
    struct ml_id current = ml_look_last_unit(doc, c->current),
                 incoming = ml_look_last_unit(doc, c->incoming);
    const struct ml_past_value *past = was_deleted ? ml_past_find(l->ask->past, &current) : NULL;

    out->is_exact = true;
    if (leans_on(c->first, c->current)) {
        if (!was_deleted)
            return false;
        if (l->ask->has_whole_deletes) {
            if (!ml_look_knows_seen(l) || !past || past->was_overwritten)
                return false;
            out->is_exact = false;
        } else if (!ml_look_is_erased(l, current.client, current.clock)) {
            return false;
        }
        tell_base(l, &current, out);
    } else if (ml_item_slot(c->current) == ml_item_slot(c->incoming) ||
               (ml_look_is_erased(l, incoming.client, incoming.clock) &&
                (ml_look_has_seen(l, current.client, current.clock) ||
                 (l->ask->has_whole_deletes &&
                  !ml_look_is_added(doc, ml_item_at(doc, c->entry)))))) {
        return false; /* it has lost on its writer's own replica, too */
    } else if (c->first->o_cl == NIL) {
        out->is_base_known = true;
    } else {
        tell_base(l, &(struct ml_id){doc->clients[c->first->o_cl].id, c->first->o_clock}, out);
    }
    out->current.id = current;
    out->incoming.id = incoming;
    out->incoming_stands = ml_look_is_added(doc, ml_item_at(doc, c->entry));
    if (was_deleted)
        out->current.tag = past ? past->tag : 0;
    else if (!tell_side(l, c->current, &out->current))
        return false;
    if (ml_look_is_erased(l, incoming.client, incoming.clock) &&
        (ml_look_knows_seen(l) || !l->ask->has_whole_deletes))
        out->incoming.tag = l->ask->tag;
    else if (!tell_side(l, c->incoming, &out->incoming))
        return false;
    return out->current.any.ptr || out->incoming.any.ptr;
}

/* [K2] */
static bool judge_delete(struct ml_look *l, const struct chain *c, struct ml_collision *out)
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
        id = ml_look_last_unit(doc, i);
        if (ml_look_is_erased(l, id.client, id.clock))
            break;
        if (ml_look_has_seen(l, id.client, id.clock))
            return false;
    }
    past = ml_past_find(l->ask->past, &id);
    if (i == c->current || (past && !past->was_overwritten) || (!past && l->ask->has_whole_deletes))
        return false;
    out->is_exact = !l->ask->has_whole_deletes;
    out->current.id = ml_look_last_unit(doc, c->current);
    out->incoming = (struct ml_collision_side){.id = id, .tag = l->ask->tag};
    tell_base(l, &id, out);
    if (!tell_side(l, c->current, &out->current))
        return false;
    ml_past_add(l->ask->past, &id, out->base, l->ask->tag, false); /* said again it is old news */
    return true;
}

static void judge(struct ml_look *l, const struct touch *t)
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
    out.key = ml_arena_copy(l->arena, ml_name_text(l->doc, t->key));
    l->err = out.key.ptr ? ml_look_tell_place(l, t->branch, &out.place) : ML_ELIMIT;
    if (!l->err)
        l->err = ml_look_tell_path(l, t->branch, &out.path);
    if (!l->err)
        ml_look_add(l, &out);
}

/* ---- All together ---------------------------------------------------------------------------- */

static bool look(struct ml_watch *watch, struct ml_doc *doc)
{
    struct ml_look *l = (struct ml_look *)(void *)watch;

    l->doc = doc;
    l->err = ml_look_copy_deleted(l) ? ml_look_read_ranges(l) : ML_ELIMIT;
    if (!l->err)
        l->err = ml_look_read_seen(l);
    if (!l->err)
        find_touched(l);
    for (size_t i = 0; i < l->touch_count && !l->err; i++)
        judge(l, &l->touches[i]);
    if (!l->err)
        ml_look_at_blocks(l);
    if (!l->err)
        ml_look_at_deletions(l);
    for (uint32_t i = 0; i < l->deleted.count; i++)
        ml_look_each_item(l, &l->deleted.at[i], remember);
    return true;
}

/* Typing touches no key; but it may be in what is gone, or go where somebody remembers it. */
static bool tells_nothing(const struct ml_collide *ask, const struct ml_update *update)
{
    const unsigned by_place = 1u << ML_COLLISION_MAP | 1u << ML_COLLISION_ATTR;

    return !ask || (update->shape == ML_SHAPE_TYPED && !((ask->kinds | ask->minds) & ~by_place));
}

enum ml_err ml_doc_apply_asking(struct ml_doc *doc, const struct ml_update *update,
                                const struct ml_verdict *verdict, const struct ml_collide *ask,
                                struct ml_arena *scratch, const struct ml_change **change_out,
                                const struct ml_collision **collisions_out, size_t *count_out)
{
    struct ml_look l = {.watch = {.look = look},
                        .ask = ask,
                        .update = update,
                        .arena = scratch,
                        .is_ruled = verdict != NULL};
    enum ml_err err;

    *collisions_out = NULL;
    *count_out = 0;
    if (tells_nothing(ask, update))
        return ml_doc_apply(doc, update, verdict, scratch, change_out);
    ml_doc_watch(doc, &l.watch);
    err = ml_doc_apply(doc, update, verdict, scratch, change_out);
    ml_doc_unwatch(doc, &l.watch);
    ml_doc_set_origin(doc, 0, 0);
    free(l.deleted.at);
    free(l.touches);
    free(l.texts);
    if (!err && !l.err) {
        *collisions_out = l.found;
        *count_out = l.count;
    }
    return err;
}

static bool look_at_text(struct ml_watch *watch, struct ml_doc *doc)
{
    struct ml_look *l = (struct ml_look *)(void *)watch;

    l->doc = doc;
    if (ml_look_copy_deleted(l))
        for (uint32_t i = 0; i < l->deleted.count; i++)
            ml_look_each_item(l, &l->deleted.at[i], ml_look_remember_text);
    return true;
}

enum ml_err ml_doc_commit_noting(struct ml_doc *doc, const struct ml_collide *ask,
                                 struct ml_arena *scratch, const struct ml_change **change_out)
{
    struct ml_look l = {.watch = {.look = look_at_text}, .ask = ask, .arena = scratch};
    enum ml_err err;

    ml_doc_watch(doc, &l.watch);
    err = ml_doc_commit(doc, scratch, change_out);
    ml_doc_unwatch(doc, &l.watch);
    free(l.deleted.at);
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
