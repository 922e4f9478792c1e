/* SPDX-License-Identifier: MIT */
/*
 * What the text around an edit would say after the update.
 *
 *   list      [ "he" ][ "llo" ]          pieces of the list as it is
 *   update        ^ "XY" behind unit 3       -> [ "he" ][ "l" ][ "XY" ][ "lo" ]
 *   delete set    units 0-1                  -> [ "l" ][ "XY" ][ "lo" ]
 *
 * Each struct goes behind its left origin, as it does where nobody else writes at the same place at
 * the same time; what concurrent structs stand there already come behind it.
 */
#include "engine/effects.h"

#include <stdlib.h>

#include "base/utf8.h"

/* Some units of an item or a part, in the list as it would be. */
struct piece {
    uint32_t next;       /* in the list; NIL: the last */
    uint32_t next_cut;   /* the next one of the same item or part */
    uint32_t item, part; /* one of them is NIL */
    uint32_t from, to;   /* units of it */
};

struct block {
    struct ml_effects *fx;
    const struct ml_effect *effect;
    struct piece *at;
    uint32_t count, cap;
    uint32_t first, last; /* NIL: none */
    struct entry {
        uint32_t item, piece;
    } * items; /* sorted: the first piece of each item */
    uint32_t item_count;
    uint32_t *of_part; /* the first piece of each part; NIL: not here */
    struct ml_writer *out;
    size_t effect_at; /* where it stands in `out` */
    bool met_effect;
};

static uint32_t add_piece(struct block *b, uint32_t item, uint32_t part, uint32_t from, uint32_t to)
{
    void *grown = ml_effects_grow(b->fx->arena, b->at, b->count, &b->cap, sizeof *b->at);

    if (!grown)
        return NIL;
    b->at = grown;
    b->at[b->count] = (struct piece){NIL, NIL, item, part, from, to};
    return b->count++;
}

/* ---- The list as it is -------------------------------------------------------------------------
 */

static int by_item(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;

    return (a->item > b->item) - (a->item < b->item);
}

static bool read_list(struct block *b, uint32_t branch)
{
    struct ml_doc *doc = b->fx->doc;
    uint32_t items = 0;

    for (uint32_t n = ml_branch_at(doc, branch)->start; n != NIL; n = ml_item_at(doc, n)->right)
        items++;
    if (!items)
        return true;
    b->items = ml_arena_array(b->fx->arena, items, sizeof *b->items);
    if (!b->items)
        return false;
    for (uint32_t n = ml_branch_at(doc, branch)->start; n != NIL; n = ml_item_at(doc, n)->right) {
        uint32_t piece = add_piece(b, n, NIL, 0, ml_item_at(doc, n)->len);

        if (piece == NIL)
            return false;
        if (b->last == NIL)
            b->first = piece;
        else
            b->at[b->last].next = piece;
        b->last = piece;
        b->items[b->item_count++] = (struct entry){n, piece};
    }
    qsort(b->items, b->item_count, sizeof *b->items, by_item);
    return true;
}

/* ---- What comes --------------------------------------------------------------------------------
 */

/* The piece that ends with the unit, cut there if need be. NIL: not in this list, or no memory. */
static uint32_t piece_ending_at(struct block *b, const struct ml_id *id)
{
    struct entry key = {.item = ml_effects_item(b->fx, id)}, *found;
    uint32_t n, unit, part;

    if (key.item != NIL) {
        found = b->item_count ? bsearch(&key, b->items, b->item_count, sizeof *b->items, by_item)
                              : NULL;
        n = found ? found->piece : NIL;
        unit = (uint32_t)id->clock - ml_item_at(b->fx->doc, key.item)->clock;
    } else {
        part = ml_effects_part(b->fx, id);
        n = b->of_part[part];
        unit = (uint32_t)(id->clock - b->fx->parts[part].id.clock);
    }
    while (n != NIL && b->at[n].to <= unit)
        n = b->at[n].next_cut;
    if (n != NIL && unit + 1 < b->at[n].to) {
        uint32_t rest = add_piece(b, b->at[n].item, b->at[n].part, unit + 1, b->at[n].to);

        if (rest == NIL)
            return NIL;
        b->at[rest].next = b->at[n].next;
        b->at[rest].next_cut = b->at[n].next_cut;
        b->at[n].to = unit + 1;
        b->at[n].next = b->at[n].next_cut = rest;
    }
    return n;
}

static bool put_parts(struct block *b)
{
    struct ml_effects *fx = b->fx;

    if (!fx->part_count)
        return true;
    b->of_part = ml_arena_array(fx->arena, fx->part_count, sizeof *b->of_part);
    if (!b->of_part)
        return false;
    for (uint32_t n = 0; n < fx->part_count; n++) {
        const struct ml_part *part = &fx->parts[n];
        uint32_t behind, piece;

        b->of_part[n] = NIL;
        if (part->container != b->effect->container || part->key.ptr)
            continue;
        behind = part->has_origin ? piece_ending_at(b, &part->origin) : NIL;
        piece = b->of_part[n] = add_piece(b, NIL, n, 0, part->len);
        if (piece == NIL)
            return false;
        if (behind == NIL) {
            b->at[piece].next = b->first;
            b->first = piece;
        } else {
            b->at[piece].next = b->at[behind].next;
            b->at[behind].next = piece;
        }
    }
    return true;
}

/* ---- What is left ------------------------------------------------------------------------------
 */

/* The first range of the delete set that ends behind the unit. */
static size_t find_range(const struct ml_effects *fx, const struct ml_id *id)
{
    size_t lo = 0, hi = fx->deleted_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ml_wire_range *d = &fx->deleted[mid];

        if (d->client < id->client || (d->client == id->client && d->clock + d->len <= id->clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void write_units(struct block *b, struct ml_slice text, uint64_t from, uint64_t to)
{
    bool inside;
    size_t a = ml_utf8_offset(text, (size_t)from, &inside);
    size_t z = ml_utf8_offset(text, (size_t)to, &inside);

    ml_write_bytes(b->out, ml_slice_make(text.ptr + a, z - a));
}

/* The units of a piece of text that are not deleted by the update. */
static void write_rest(struct block *b, const struct piece *p, struct ml_slice text,
                       struct ml_id id)
{
    const struct ml_effects *fx = b->fx;
    uint64_t base = id.clock - p->from, end = base + p->to;

    for (size_t n = find_range(fx, &id); id.clock < end; n++) {
        const struct ml_wire_range *d = n < fx->deleted_count ? &fx->deleted[n] : NULL;
        bool cuts = d && d->client == id.client && d->clock < end;

        if (!cuts) {
            write_units(b, text, id.clock - base, end - base);
            return;
        }
        if (d->clock > id.clock)
            write_units(b, text, id.clock - base, d->clock - base);
        id.clock = d->clock + d->len;
    }
}

static void write_piece(struct block *b, const struct piece *p)
{
    const struct ml_effects *fx = b->fx;
    const struct ml_effect *e = b->effect;
    bool is_effect = p->part != NIL ? p->part == e->part : p->item == e->item;
    struct ml_slice text;
    struct ml_id id;

    if (is_effect && !b->met_effect) {
        b->met_effect = true;
        b->effect_at = b->out->len;
    }
    if (p->part != NIL) {
        const struct ml_part *part = &fx->parts[p->part];

        if (part->dead || part->kind != ML_WIRE_STRING || part->half)
            return;
        text = part->content;
        id = (struct ml_id){part->id.client, part->id.clock + p->from};
    } else {
        const struct ml_item *i = ml_item_at(fx->doc, p->item);

        if (ml_item_is_deleted(i) || ml_item_kind(i) != ML_WIRE_STRING)
            return;
        text = ml_item_content(fx->doc, i);
        id = (struct ml_id){fx->doc->clients[ml_item_slot(i)].id, (uint64_t)i->clock + p->from};
    }
    write_rest(b, p, text, id);
}

/* Only the line in which the edit stands. */
static void cut_line(struct block *b)
{
    struct ml_writer *out = b->out;
    size_t from = b->effect_at < out->len ? b->effect_at : out->len, to = from;

    while (from > 0 && out->ptr[from - 1] != '\n')
        from--;
    while (to < out->len && out->ptr[to] != '\n')
        to++;
    if (out->len) {
        memmove(out->ptr, out->ptr + from, to - from);
        out->len = to - from;
    }
}

enum ml_err ml_effect_block_text(struct ml_effects *fx, const struct ml_effect *e,
                                 struct ml_writer *out)
{
    const struct ml_container *c = &fx->containers[e->container];
    struct block b = {.fx = fx, .effect = e, .first = NIL, .last = NIL, .out = out};

    if (e->kind > ML_EFFECT_TEXT_FORMAT)
        return ML_ENOTFOUND;
    ml_writer_reset(out);
    if ((c->branch != NIL && !read_list(&b, c->branch)) || !put_parts(&b))
        return ML_ELIMIT;
    for (uint32_t n = b.first; n != NIL; n = b.at[n].next)
        write_piece(&b, &b.at[n]);
    if (c->is_root || c->type_ref == ML_TYPE_TEXT)
        cut_line(&b);
    return out->err;
}
