/* SPDX-License-Identifier: MIT */
/*
 * Each struct goes where integrate.c would put it: between its left and its right origin, and among
 * what others wrote there by the same comparison, here on pieces instead of items. A policy that
 * asks where something will stand must not be told another place than it then gets.
 */
#include "engine/effects_list.h"

#include <stdlib.h>

/* In all, of one list: an honest writer needs none, who was offline a few. */
#define STEPS_MAX (1u << 18)

static uint32_t add_piece(struct ml_pieces *list, uint32_t item, uint32_t part, uint32_t from,
                          uint32_t to)
{
    void *grown =
        ml_effects_grow(list->fx->arena, list->at, list->count, &list->cap, 0, sizeof *list->at);

    if (!grown)
        return NIL;
    list->at = grown;
    list->at[list->count] = (struct ml_piece){NIL, NIL, item, part, from, to, 0};
    return list->count++;
}

struct ml_id ml_piece_id(const struct ml_pieces *list, const struct ml_piece *piece)
{
    const struct ml_effects *fx = list->fx;
    const struct ml_item *i;

    if (piece->part != NIL) {
        const struct ml_part *part = &fx->parts[piece->part];

        return (struct ml_id){part->id.client, part->id.clock + piece->from};
    }
    i = ml_item_at(fx->doc, piece->item);
    return (struct ml_id){fx->doc->clients[ml_item_slot(i)].id, (uint64_t)i->clock + piece->from};
}

/* ---- The list as it is -------------------------------------------------------------------------
 */

static int by_item(const void *pa, const void *pb)
{
    const struct ml_piece_of *a = pa, *b = pb;

    return (a->item > b->item) - (a->item < b->item);
}

static bool read_list(struct ml_pieces *list, uint32_t branch)
{
    struct ml_doc *doc = list->fx->doc;
    uint32_t items = 0, last = NIL;

    for (uint32_t n = ml_branch_at(doc, branch)->start; n != NIL; n = ml_item_at(doc, n)->right)
        items++;
    if (!items)
        return true;
    list->items = ml_arena_array(list->fx->arena, items, sizeof *list->items);
    if (!list->items)
        return false;
    for (uint32_t n = ml_branch_at(doc, branch)->start; n != NIL; n = ml_item_at(doc, n)->right) {
        uint32_t piece = add_piece(list, n, NIL, 0, ml_item_at(doc, n)->len);

        if (piece == NIL)
            return false;
        if (last == NIL)
            list->first = piece;
        else
            list->at[last].next = piece;
        last = piece;
        list->items[list->item_count++] = (struct ml_piece_of){n, piece};
    }
    qsort(list->items, list->item_count, sizeof *list->items, by_item);
    return true;
}

/* ---- Found again -------------------------------------------------------------------------------
 */

/* The piece that holds the unit, and which unit of its item or part that is. NIL: not in this list.
 */
static uint32_t piece_with(const struct ml_pieces *list, const struct ml_id *id, uint32_t *unit_out)
{
    const struct ml_effects *fx = list->fx;
    struct ml_piece_of key = {.item = ml_effects_item(fx, id)}, *found;
    uint32_t n, part;

    if (key.item != NIL) {
        found = list->item_count
                    ? bsearch(&key, list->items, list->item_count, sizeof *list->items, by_item)
                    : NULL;
        n = found ? found->piece : NIL;
        *unit_out = (uint32_t)id->clock - ml_item_at(fx->doc, key.item)->clock;
    } else {
        part = ml_effects_part(fx, id);
        n = part == NIL ? NIL : list->of_part[part];
        *unit_out = part == NIL ? 0 : (uint32_t)(id->clock - fx->parts[part].id.clock);
    }
    while (n != NIL && list->at[n].to <= *unit_out)
        n = list->at[n].next_cut;
    return n;
}

/* Cut a piece in two: `unit` begins the second. False: out of memory. */
static bool cut(struct ml_pieces *list, uint32_t n, uint32_t unit)
{
    struct ml_piece old = list->at[n];
    uint32_t rest = add_piece(list, old.item, old.part, unit, old.to);

    if (rest == NIL)
        return false;
    list->at[rest].next = old.next;
    list->at[rest].next_cut = old.next_cut;
    list->at[n].to = unit;
    list->at[n].next = list->at[n].next_cut = rest;
    return true;
}

/* The piece that ends with the unit. NIL in *out: not in this list. False: out of memory. */
static bool piece_ending_at(struct ml_pieces *list, const struct ml_id *id, uint32_t *out)
{
    uint32_t unit, n = piece_with(list, id, &unit);

    *out = n;
    return n == NIL || unit + 1 == list->at[n].to || cut(list, n, unit + 1);
}

/* The piece that begins with the unit. */
static bool piece_starting_at(struct ml_pieces *list, const struct ml_id *id, uint32_t *out)
{
    uint32_t unit, n = piece_with(list, id, &unit);

    *out = n;
    if (n == NIL || unit == list->at[n].from)
        return true;
    if (!cut(list, n, unit))
        return false;
    *out = list->at[n].next_cut;
    return true;
}

/* ---- What comes --------------------------------------------------------------------------------
 */

/* The unit behind which the piece was written. False: at the start. */
static bool origin_of(const struct ml_pieces *list, const struct ml_piece *piece, struct ml_id *out)
{
    const struct ml_effects *fx = list->fx;
    const struct ml_item *i;

    if (piece->from > 0) {
        *out = ml_piece_id(list, piece);
        out->clock--;
        return true;
    }
    if (piece->part != NIL) {
        *out = fx->parts[piece->part].origin;
        return fx->parts[piece->part].has_origin;
    }
    i = ml_item_at(fx->doc, piece->item);
    if (i->o_cl == NIL)
        return false;
    *out = (struct ml_id){fx->doc->clients[i->o_cl].id, i->o_clock};
    return true;
}

static bool right_of(const struct ml_pieces *list, const struct ml_piece *piece, struct ml_id *out)
{
    const struct ml_effects *fx = list->fx;
    const struct ml_item *i;

    if (piece->part != NIL) {
        *out = fx->parts[piece->part].right;
        return fx->parts[piece->part].has_right;
    }
    i = ml_item_at(fx->doc, piece->item);
    if (i->ro_cl == NIL)
        return false;
    *out = (struct ml_id){fx->doc->clients[i->ro_cl].id, i->ro_clock};
    return true;
}

static bool is_same(bool has_a, const struct ml_id *a, bool has_b, const struct ml_id *b)
{
    return has_a == has_b && (!has_a || (a->client == b->client && a->clock == b->clock));
}

/* The scan of integrate.c: the piece behind which the part goes. NIL: it is the first. */
static uint32_t place(struct ml_pieces *list, const struct ml_part *part, uint32_t left,
                      uint32_t right)
{
    uint32_t o = left == NIL ? list->first : list->at[left].next;
    uint32_t began = list->steps, settled = began;

    for (; o != NIL && o != right; o = list->at[o].next) {
        struct ml_piece *piece = &list->at[o];
        struct ml_id origin, beyond;
        bool has_origin = origin_of(list, piece, &origin), has_right;

        if (list->steps == STEPS_MAX) {
            list->is_exact = false;
            break;
        }
        piece->met = ++list->steps;
        if (is_same(has_origin, &origin, part->has_origin, &part->origin)) {
            has_right = right_of(list, piece, &beyond);
            if (ml_piece_id(list, piece).client < part->id.client) {
                left = o;
                settled = list->steps;
            } else if (is_same(has_right, &beyond, part->has_right, &part->right)) {
                break;
            }
        } else {
            uint32_t unit, at = has_origin ? piece_with(list, &origin, &unit) : NIL;

            if (at == NIL || list->at[at].met <= began)
                break;
            if (list->at[at].met <= settled) {
                left = o;
                settled = list->steps;
            }
        }
    }
    return left;
}

static bool put_part(struct ml_pieces *list, uint32_t number)
{
    const struct ml_part *part = &list->fx->parts[number];
    uint32_t left = NIL, right = NIL, behind, piece;

    if (part->has_origin && !piece_ending_at(list, &part->origin, &left))
        return false;
    if (part->has_right && !piece_starting_at(list, &part->right, &right))
        return false;
    behind = place(list, part, left, right);
    piece = list->of_part[number] = add_piece(list, NIL, number, 0, part->len);
    if (piece == NIL)
        return false;
    if (behind == NIL) {
        list->at[piece].next = list->first;
        list->first = piece;
    } else {
        list->at[piece].next = list->at[behind].next;
        list->at[behind].next = piece;
    }
    return true;
}

enum ml_err ml_pieces_make(struct ml_effects *fx, uint32_t container, struct ml_pieces *out)
{
    uint32_t branch = fx->containers[container].branch;

    *out = (struct ml_pieces){.fx = fx, .first = NIL, .is_exact = true};
    if (branch != NIL && !read_list(out, branch))
        return ML_ELIMIT;
    out->of_part = ml_arena_array(fx->arena, fx->part_count + 1, sizeof *out->of_part);
    if (!out->of_part)
        return ML_ELIMIT;
    for (uint32_t n = 0; n < fx->part_count; n++)
        out->of_part[n] = NIL;
    for (uint32_t n = 0; n < fx->part_count; n++)
        if (fx->parts[n].container == container && !fx->parts[n].key.ptr && !put_part(out, n))
            return ML_ELIMIT;
    return ML_OK;
}
