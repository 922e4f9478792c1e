/* SPDX-License-Identifier: MIT */
/*
 * Somebody deleted what another was writing in.
 *
 *   list      [ p1 ][ node ][ p3 ]            the update deletes the node, and of what stands in it
 *                     |- "hello"  deleted      all that its writer knew
 *                     '- " you"   not          so this it had not seen: a collision [D1]
 *
 *   list      [ p1 ][ dead ][ p3 ]            the update brings " you" into a node that is gone:
 *                     |- "hello"               its writer had not seen that: a collision [D2], if
 *                     '- " you"                the content is kept (ml_history) and remembered
 *
 *  [D1] A delete set names every unit in a node that its writer knew alive (Yjs,
 * ContentType.delete). [D2] Nobody writes into what it knows deleted. [D3] A node is the outermost
 * that was deleted: what holds it is alive, and of a map nothing newer stands in its place. One in
 * a text is none, as it has no place to come back to. [D4] Only one transaction's deletions count:
 * what had gone from the node before stays away.
 */
#include "engine/copy.h"
#include "engine/effects.h"
#include "engine/look.h"
#include "engine/past.h"

#include <stdlib.h>

/* How a node read: which of its items count, and whether all of them could be told. */
struct reading {
    struct ml_look *l;
    const struct ml_grave *grave; /* NULL: this transaction's */
    bool only_known;              /* what the deleter knew */
    bool with_incoming;
    bool is_torn; /* an item is only in part of it */
};

static const struct ml_item *holder_of(const struct ml_doc *doc, const struct ml_item *i)
{
    uint32_t holder = ml_branch_at(doc, i->parent)->item;

    return holder == NIL ? NULL : ml_item_at(doc, holder);
}

/* [D3] */
static bool has_place(const struct ml_doc *doc, const struct ml_item *node)
{
    const struct ml_item *holder;
    const struct ml_branch *b;
    uint32_t entry;

    if (ml_item_is_gc(node) || ml_item_kind(node) != ML_WIRE_TYPE)
        return false;
    holder = holder_of(doc, node);
    b = ml_branch_at(doc, node->parent);
    if ((holder && ml_item_is_deleted(holder)) ||
        (!b->is_root && (b->type_ref == ML_TYPE_TEXT || b->type_ref == ML_TYPE_XML_TEXT)))
        return false;
    if (!ml_item_is_keyed(node))
        return true;
    entry = ml_branch_entry(b, node->aux);
    return entry != NIL && ml_item_at(doc, entry) == node;
}

static bool is_in_grave(const struct ml_grave *grave, ml_client_id client, uint64_t clock)
{
    const struct ml_wire_range *r =
        ml_ranges_find(grave->ranges, grave->range_count, client, clock);

    return r && r->clock <= clock;
}

static bool counts(const void *arg, const struct ml_item *i)
{
    struct reading *r = (struct reading *)(uintptr_t)arg;
    const struct ml_doc *doc = r->l->doc;
    struct ml_id last = ml_look_last_unit(doc, i);
    bool first_in, last_in;

    if (ml_look_is_added(doc, i))
        return r->with_incoming && !ml_look_is_erased(r->l, last.client, last.clock);
    if (r->grave) {
        first_in = is_in_grave(r->grave, last.client, i->clock);
        last_in = is_in_grave(r->grave, last.client, last.clock);
    } else if (!ml_look_is_deleted_now(r->l, i)) {
        return false;
    } else if (r->only_known) {
        first_in = ml_look_is_erased(r->l, last.client, i->clock);
        last_in = ml_look_is_erased(r->l, last.client, last.clock);
    } else {
        return true;
    }
    r->is_torn |= first_in != last_in;
    return first_in && last_in;
}

/* False: it cannot be told. */
static bool read_node(struct reading *r, const struct ml_item *node, struct ml_collision_side *side)
{
    const struct ml_copier copier = {r->l->doc, r->l->arena, counts, r};
    enum ml_err err = ml_copy_value(&copier, node, &side->any, &side->shared);

    if (err && err != ML_ENOTFOUND)
        r->l->err = err;
    return !err && !r->is_torn;
}

static void tell_base(struct reading *r, const struct ml_item *node, struct ml_collision *out)
{
    struct ml_collision_side base = {0};

    out->is_base_known = read_node(r, node, &base);
    if (out->is_base_known)
        out->base = base.any;
}

static void add(struct ml_look *l, const struct ml_item *node, struct ml_collision *out)
{
    out->kind = ML_COLLISION_DELETE;
    out->is_exact = !l->ask->was_told;
    out->node = (struct ml_id){l->doc->clients[ml_item_slot(node)].id, node->clock};
    out->block = ml_look_name_unit(l, out->node);
    if (ml_item_is_keyed(node)) {
        out->key = ml_arena_copy(l->arena, ml_name_text(l->doc, node->aux));
        l->err = out->key.ptr ? ML_OK : ML_ELIMIT;
    }
    if (!l->err)
        l->err = ml_look_tell_place(l, node->parent, &out->place);
    if (!l->err)
        l->err = ml_look_tell_path(l, node->off, &out->path);
    if (!l->err && out->block.ptr)
        ml_look_add(l, out);
}

/* ---- [D1] ------------------------------------------------------------------------------------ */

static bool is_unseen(const struct ml_look *l, const struct ml_item *i)
{
    ml_client_id client = l->doc->clients[ml_item_slot(i)].id;
    uint64_t end;

    if (ml_item_is_gc(i) || !ml_look_is_deleted_now(l, i) || ml_look_is_added(l->doc, i))
        return false;
    if (l->ask->has_whole_deletes && l->ask->was_told &&
        ml_look_seen_to(l, client) < ml_item_end(i))
        return true; /* it was told of that after it had deleted what holds it [D1] */
    return !ml_look_is_erased_to(l, client, i->clock, ml_item_end(i), &end) || end < ml_item_end(i);
}

/* The last unit in the node that its deleter did not know. Branches are walked from a stack, as
 * nesting is in the hands of writers. */
static bool find_unseen(struct ml_look *l, const struct ml_item *node, struct ml_id *out)
{
    const struct ml_doc *doc = l->doc;
    uint32_t *stack = NULL, count = 0, cap = 0;
    bool found = false;

    if (!ml_past_push(&stack, &count, &cap, node->off))
        l->err = ML_ELIMIT;
    while (count && !l->err) {
        const struct ml_branch *b = ml_branch_at(doc, stack[--count]);
        struct ml_key_entry e = {0};
        uint32_t cursor = 0, n = b->start;
        bool in_list = true;

        for (;; n = in_list ? ml_item_at(doc, n)->right : NIL) {
            if (n == NIL) {
                in_list = false;
                if (!ml_branch_next_entry(b, &cursor, &e))
                    break;
                n = e.item;
                if (n == NIL)
                    continue;
            }
            if (is_unseen(l, ml_item_at(doc, n))) {
                *out = ml_look_last_unit(doc, ml_item_at(doc, n));
                found = true;
            }
            if (!ml_item_is_gc(ml_item_at(doc, n)) &&
                ml_item_kind(ml_item_at(doc, n)) == ML_WIRE_TYPE &&
                ml_look_is_deleted_now(l, ml_item_at(doc, n)) &&
                !ml_past_push(&stack, &count, &cap, ml_item_at(doc, n)->off))
                l->err = ML_ELIMIT;
        }
    }
    free(stack);
    return found && !l->err;
}

static void judge_deleted(struct ml_look *l, const struct ml_item *node)
{
    struct reading all = {.l = l}, known = {.l = l, .only_known = true};
    struct ml_collision out = {0};

    if (l->err || ml_look_is_added(l->doc, node) || !has_place(l->doc, node))
        return;
    out.node = (struct ml_id){l->doc->clients[ml_item_slot(node)].id, node->clock};
    if (!ml_past_bury_node(l->ask->past, &out.node))
        l->err = ML_ELIMIT;
    if (l->err || !(l->ask->kinds & 1u << ML_COLLISION_DELETE) ||
        !find_unseen(l, node, &out.current.id) || !read_node(&all, node, &out.current))
        return;
    tell_base(&known, node, &out);
    out.incoming = (struct ml_collision_side){.id = out.node, .tag = l->ask->tag};
    out.incoming_stands = true;
    add(l, node, &out);
}

/* ---- [D2] ------------------------------------------------------------------------------------ */

static bool is_found(const struct ml_look *l, const struct ml_id *node)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->found[i].kind == ML_COLLISION_DELETE && l->found[i].node.client == node->client &&
            l->found[i].node.clock == node->clock)
            return true;
    return false;
}

static void judge_written(struct ml_look *l, const struct ml_item *i)
{
    struct reading was = {.l = l}, is = {.l = l, .with_incoming = true};
    struct ml_id last = ml_look_last_unit(l->doc, i);
    const struct ml_item *node = NULL;
    struct ml_collision out = {0};

    if (l->err || ml_item_is_gc(i) || ml_item_kind(i) == ML_WIRE_DELETED ||
        ml_look_is_erased(l, last.client, last.clock))
        return;
    for (const struct ml_item *h = holder_of(l->doc, i); h; h = holder_of(l->doc, h))
        if (ml_item_is_deleted(h))
            node = h;
    if (!node || ml_look_is_deleted_now(l, node) || !has_place(l->doc, node))
        return;
    out.node = (struct ml_id){l->doc->clients[ml_item_slot(node)].id, node->clock};
    was.grave = is.grave = ml_past_grave(l->ask->past, &out.node);
    if (!was.grave || is_found(l, &out.node) || !read_node(&is, node, &out.incoming))
        return;
    tell_base(&was, node, &out);
    out.incoming.id = last;
    out.incoming.tag = l->ask->tag;
    out.current = (struct ml_collision_side){.id = out.node, .tag = was.grave->tag};
    add(l, node, &out);
}

/* ---- All together ---------------------------------------------------------------------------- */

static bool bury(struct ml_look *l)
{
    const struct ml_doc *doc = l->doc;

    for (uint32_t n = 0; n < l->deleted.count; n++) {
        const struct ml_run *r = &l->deleted.at[n];
        const struct ml_wire_range range = {doc->clients[r->slot].id, r->clock, r->end - r->clock};

        if (!ml_past_bury_range(l->ask->past, &range))
            return false;
    }
    return true;
}

void ml_look_at_deletions(struct ml_look *l)
{
    bool is_asked = l->ask->kinds & 1u << ML_COLLISION_DELETE;

    if (l->is_ruled || !((l->ask->kinds | l->ask->minds) & 1u << ML_COLLISION_DELETE))
        return;
    if (is_asked)
        ml_look_each_added(l, judge_written);
    for (uint32_t n = 0; n < l->deleted.count && !l->err; n++)
        ml_look_each_item(l, &l->deleted.at[n], judge_deleted);
    if (!l->err && l->ask->past->open.node_count) {
        if (!bury(l) || !ml_past_close_grave(l->ask->past, l->ask->tag))
            l->err = ML_ELIMIT;
        ml_doc_set_origin(l->doc, l->ask->keep_as, 1);
    }
}

enum ml_err ml_place_put_back(struct ml_doc *doc, const struct ml_collision *c,
                              const struct ml_value *value)
{
    uint32_t slot = ml_slot_find(doc, c->node.client), index = 0;
    const struct ml_item *node;
    struct ml_run_walk walk;
    struct ml_type type;
    enum ml_err err;

    err = c->place.root.ptr
              ? ml_type_root(doc, c->place.root, &type)
              : ml_type_by_id(doc, c->place.holder.client, c->place.holder.clock, &type);
    if (err || c->key.ptr)
        return err ? err : ml_map_set(doc, type, c->key, value);
    if (slot == NIL || c->node.clock >= doc->clients[slot].next)
        return ML_ENOTFOUND;
    node = ml_item_at(doc, ml_run_walk_start(&walk, &doc->clients[slot], (uint32_t)c->node.clock));
    if (ml_item_is_gc(node))
        return ML_ENOTFOUND;
    for (uint32_t n = node->left; n != NIL; n = ml_item_at(doc, n)->left)
        index += ml_item_is_visible(ml_item_at(doc, n)) ? ml_item_at(doc, n)->len : 0;
    return ml_list_insert(doc, type, index, value, 1);
}
