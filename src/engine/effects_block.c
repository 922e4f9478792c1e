/* SPDX-License-Identifier: MIT */
/*
 * What the text around an edit would say after the update: the list as it would be
 * (effects_list.c), without what is deleted.
 */
#include "engine/effects_list.h"

#include "base/utf8.h"

struct block {
    struct ml_pieces list;
    const struct ml_effect *effect;
    struct ml_writer *out;
    size_t effect_at; /* where it stands in `out` */
    bool met_effect;
};

/* ---- What is left ------------------------------------------------------------------------------
 */

static void write_units(struct block *b, struct ml_slice text, uint64_t from, uint64_t to)
{
    bool inside;
    size_t a = ml_utf8_offset(text, (size_t)from, &inside);
    size_t z = ml_utf8_offset(text, (size_t)to, &inside);

    ml_write_bytes(b->out, ml_slice_make(text.ptr + a, z - a));
}

/* The units of a piece of text that are not deleted by the update. */
static void write_rest(struct block *b, const struct ml_piece *p, struct ml_slice text,
                       struct ml_id id)
{
    const struct ml_effects *fx = b->list.fx;
    uint64_t base = id.clock - p->from, end = base + p->to;

    for (size_t n = ml_effects_deleted_at(fx, &id); id.clock < end; n++) {
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

static void write_piece(struct block *b, const struct ml_piece *p)
{
    const struct ml_effects *fx = b->list.fx;
    const struct ml_effect *e = b->effect;
    bool is_effect = p->part != NIL ? p->part == e->part : p->item == e->item;
    struct ml_slice text;
    struct ml_id id = ml_piece_id(&b->list, p);

    if (is_effect && !b->met_effect) {
        b->met_effect = true;
        b->effect_at = b->out->len;
    }
    if (p->part != NIL) {
        const struct ml_part *part = &fx->parts[p->part];

        if (part->dead || part->kind != ML_WIRE_STRING || part->half)
            return;
        text = part->content;
    } else {
        const struct ml_item *i = ml_item_at(fx->doc, p->item);

        if (ml_item_is_deleted(i) || ml_item_kind(i) != ML_WIRE_STRING)
            return;
        text = ml_item_content(fx->doc, i);
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
    struct block b = {.effect = e, .out = out};

    if (e->kind > ML_EFFECT_TEXT_FORMAT)
        return ML_ENOTFOUND;
    ml_writer_reset(out);
    if (ml_pieces_make(fx, e->container, &b.list))
        return ML_ELIMIT;
    c = &fx->containers[e->container];
    for (uint32_t n = b.list.first; n != NIL; n = b.list.at[n].next)
        write_piece(&b, &b.list.at[n]);
    if (c->is_root || c->type_ref == ML_TYPE_TEXT)
        cut_line(&b);
    return out->err;
}
