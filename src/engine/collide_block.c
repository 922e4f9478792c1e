/* SPDX-License-Identifier: MIT */
/*
 * Two have changed the same paragraph while they were apart.
 *
 *   list      [ "The " ][ old ][ new ][ " sky" ][ \n ][ ... ]
 *   base         x         x             x         x            what both had seen
 *   current      x               x       x         x            without what the update brings
 *   incoming     x                       x         x            without what its writer had not
 * seen
 *
 * A paragraph is the text of an XML text, or a line of another text; lines end where all three have
 * the same line feed. It collides if current and incoming differ from base, and from each other.
 *
 * Only of an answer to a first Step1, which says all that its writer had seen and deleted. Formats
 * do not count; a paragraph with an embed, or with text that nobody remembers, is left alone.
 */
#include "engine/look.h"
#include "engine/past.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/write.h"

#define BLOCK_BYTES_MAX 65536
#define LOOKUPS_MAX     2000

/* A paragraph under way. */
struct block {
    struct ml_look *l;
    uint32_t branch, lookups;
    struct ml_writer base, current, incoming, now;
    struct ml_id begin;        /* the line feed in front; client UINT64_MAX: the beginning */
    struct ml_id changed;      /* by current: that unit */
    uint64_t changed_tag;      /* who deleted it; 0: it was written */
    uint32_t index, now_units; /* units before it, and in it */
    bool has_current, has_incoming, is_unknown;
};

/* Some units of an item that share one fate. */
struct piece {
    struct ml_id id;
    uint32_t units;
    struct ml_slice text;
    bool in_base, in_current, in_incoming, in_now;
};

static void reset(struct block *b, const struct ml_id *begin)
{
    ml_writer_reset(&b->base);
    ml_writer_reset(&b->current);
    ml_writer_reset(&b->incoming);
    ml_writer_reset(&b->now);
    b->index += b->now_units;
    b->now_units = 0;
    b->begin = *begin;
    b->changed_tag = 0;
    b->has_current = b->has_incoming = b->is_unknown = false;
}

static struct ml_slice any_of(struct ml_look *l, const struct ml_writer *text)
{
    struct ml_writer w;
    struct ml_slice out;

    ml_writer_init(&w, 2 * BLOCK_BYTES_MAX);
    ml_write_u8(&w, 0x77);
    ml_write_varbytes(&w, ml_writer_slice(text));
    out = w.err ? (struct ml_slice){0} : ml_arena_copy(l->arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out;
}

static struct ml_slice name_of(struct block *b)
{
    const struct ml_branch *branch = ml_branch_at(b->l->doc, b->branch);
    const struct ml_item *holder;

    if (b->begin.client != UINT64_MAX)
        return ml_look_name_unit(b->l, b->begin);
    if (branch->is_root)
        return ml_arena_copy(b->l->arena, ml_name_text(b->l->doc, branch->name));
    holder = ml_item_at(b->l->doc, branch->item);
    return ml_look_name_unit(b->l, ml_look_last_unit(b->l->doc, holder));
}

/* The paragraph is whole. */
static void judge(struct block *b)
{
    struct ml_look *l = b->l;
    struct ml_collision out = {
        .kind = ML_COLLISION_BLOCK, .is_base_known = true, .is_exact = !l->ask->was_told};

    if (!b->has_current || !b->has_incoming || b->is_unknown || b->base.err || b->current.err ||
        b->incoming.err || b->now.err ||
        ml_slice_equal(ml_writer_slice(&b->current), ml_writer_slice(&b->incoming)))
        return;
    out.base = any_of(l, &b->base);
    out.current = (struct ml_collision_side){
        .any = any_of(l, &b->current), .id = b->changed, .tag = b->changed_tag};
    out.incoming = (struct ml_collision_side){.any = any_of(l, &b->incoming), .tag = l->ask->tag};
    out.now = ml_arena_copy(l->arena,
                            ml_slice_make(b->now.ptr ? b->now.ptr : (const void *)"", b->now.len));
    out.index_utf16 = b->index;
    out.incoming_stands = true;
    out.block = name_of(b);
    if (!out.base.ptr || !out.current.any.ptr || !out.incoming.any.ptr || !out.now.ptr ||
        !out.block.ptr)
        l->err = ML_ELIMIT;
    if (!l->err)
        l->err = ml_look_tell_place(l, b->branch, &out.place);
    if (!l->err)
        l->err = ml_look_tell_path(l, b->branch, &out.path);
    if (!l->err)
        ml_look_add(l, &out);
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

static void put(struct block *b, const struct piece *p, struct ml_slice text, uint32_t units)
{
    if (p->in_base)
        ml_write_bytes(&b->base, text);
    if (p->in_current)
        ml_write_bytes(&b->current, text);
    if (p->in_incoming)
        ml_write_bytes(&b->incoming, text);
    if (!p->in_now)
        return;
    ml_write_bytes(&b->now, text);
    b->now_units += units;
}

static bool has_lines(const struct block *b)
{
    const struct ml_branch *branch = ml_branch_at(b->l->doc, b->branch);

    return branch->is_root || branch->type_ref == ML_TYPE_TEXT;
}

static uint32_t units_of(struct ml_slice text)
{
    size_t units = 0;

    return ml_utf8_check(text, &units) ? (uint32_t)units : 0;
}

/* Cut at the line feeds that everybody has. */
static void put_text(struct block *b, const struct piece *p)
{
    struct ml_slice left = p->text;
    bool is_common = p->in_base && p->in_current && p->in_incoming && has_lines(b);
    uint64_t clock = p->id.clock;

    while (is_common && left.len) {
        const uint8_t *feed = memchr(left.ptr, '\n', left.len);
        size_t bytes = feed ? (size_t)(feed - left.ptr) : left.len;
        uint32_t units = units_of(ml_slice_make(left.ptr, bytes));
        struct ml_id begin;

        put(b, p, ml_slice_make(left.ptr, bytes), units);
        if (!feed)
            return;
        begin = (struct ml_id){p->id.client, clock + units};
        judge(b);
        b->now_units++; /* the line feed */
        reset(b, &begin);
        clock += units + 1;
        left = ml_slice_make(feed + 1, left.len - bytes - 1);
    }
    put(b, p, left, p->units);
}

/* What it says, if it is text. False: nobody knows. */
static bool read_text(struct block *b, const struct ml_item *i, struct piece *p, uint64_t *tag_out)
{
    const struct ml_past_value *value = NULL;
    struct ml_slice whole;
    uint64_t first = i->clock;
    bool inside_a, inside_z;
    size_t a, z;

    *tag_out = 0;
    if (ml_item_kind(i) == ML_WIRE_STRING) {
        whole = ml_item_content(b->l->doc, i);
    } else {
        if (b->l->ask->texts && b->lookups++ < LOOKUPS_MAX)
            value = ml_past_find_text(b->l->ask->texts, &p->id);
        if (!value)
            return false;
        whole = ml_slice_make(value->any, value->len);
        first = value->id.clock;
        *tag_out = value->tag;
        if (p->id.clock + p->units > first + value->units)
            p->units = (uint32_t)(first + value->units - p->id.clock);
    }
    a = ml_utf8_offset(whole, (size_t)(p->id.clock - first), &inside_a);
    z = ml_utf8_offset(whole, (size_t)(p->id.clock - first) + p->units, &inside_z);
    p->text = ml_slice_make(whole.ptr + a, z - a);
    return !inside_a && !inside_z;
}

/* The units from `clock` on that share one fate. */
static struct piece piece_at(const struct ml_look *l, const struct ml_item *i, uint64_t clock)
{
    ml_client_id client = l->doc->clients[ml_item_slot(i)].id;
    uint64_t end = ml_item_end(i), seen_to = ml_look_seen_to(l, client);
    bool is_added = ml_look_is_added(l->doc, i), is_seen, is_erased;
    bool was_dead = ml_item_is_deleted(i) && !ml_look_is_deleted_now(l, i);
    struct piece p = {.id = {client, clock}};

    is_erased = ml_look_is_erased_to(l, client, clock, end, &end);
    is_seen = !is_added && (clock < seen_to || ml_look_has_seen(l, client, clock));
    if (!is_added && clock < seen_to && seen_to < end)
        end = seen_to;
    p.units = (uint32_t)(end - clock);
    p.in_current = !is_added && !was_dead;
    p.in_incoming = (is_added || is_seen) && !is_erased;
    p.in_base = is_seen && (p.in_current || p.in_incoming);
    p.in_now = !ml_item_is_deleted(i);
    return p;
}

static void take_item(struct block *b, const struct ml_item *i)
{
    bool is_added = ml_look_is_added(b->l->doc, i);
    uint64_t tag;

    if (ml_item_kind(i) == ML_WIRE_FORMAT)
        return;
    for (uint64_t clock = i->clock; clock < ml_item_end(i);) {
        struct piece p = piece_at(b->l, i, clock);
        bool by_current = !is_added && p.in_current != p.in_base;
        bool knows = p.in_current || p.in_incoming;

        tag = 0;
        if (!knows) {
            clock += p.units;
            continue;
        }
        if ((ml_item_kind(i) != ML_WIRE_STRING && ml_item_kind(i) != ML_WIRE_DELETED) ||
            !read_text(b, i, &p, &tag)) {
            b->is_unknown = true;
            b->now_units += p.in_now ? p.units : 0;
        } else {
            put_text(b, &p);
        }
        if (by_current) {
            b->has_current = true;
            b->changed = (struct ml_id){p.id.client, clock + p.units - 1};
            b->changed_tag = tag;
        }
        b->has_incoming |= (is_added && p.in_incoming) || (p.in_base && !p.in_incoming);
        clock += p.units;
    }
}

static void walk(struct ml_look *l, uint32_t branch)
{
    const struct ml_id none = {UINT64_MAX, 0};
    struct block b = {.l = l, .branch = branch};
    size_t from = l->count;

    ml_writer_init(&b.base, BLOCK_BYTES_MAX);
    ml_writer_init(&b.current, BLOCK_BYTES_MAX);
    ml_writer_init(&b.incoming, BLOCK_BYTES_MAX);
    ml_writer_init(&b.now, BLOCK_BYTES_MAX);
    reset(&b, &none);
    for (uint32_t n = ml_branch_at(l->doc, branch)->start; n != NIL && !l->err;
         n = ml_item_at(l->doc, n)->right)
        take_item(&b, ml_item_at(l->doc, n));
    if (!l->err)
        judge(&b);
    /* The last one first, so that writing one moves none that is still to be written. */
    for (size_t to = l->count; from + 1 < to; from++, to--) {
        struct ml_collision swapped = l->found[from];

        l->found[from] = l->found[to - 1];
        l->found[to - 1] = swapped;
    }
    ml_writer_release(&b.base);
    ml_writer_release(&b.current);
    ml_writer_release(&b.incoming);
    ml_writer_release(&b.now);
}

/* ---- All together ---------------------------------------------------------------------------- */

static void note_text(struct ml_look *l, const struct ml_item *i)
{
    const struct ml_branch *b;
    uint32_t holder;

    if (ml_item_is_gc(i) || ml_item_is_keyed(i) || ml_item_kind(i) != ML_WIRE_STRING)
        return;
    b = ml_branch_at(l->doc, i->parent);
    holder = b->item;
    if (holder != NIL && (ml_item_is_deleted(ml_item_at(l->doc, holder)) ||
                          ml_look_is_added(l->doc, ml_item_at(l->doc, holder))))
        return;
    if (l->text_count && l->texts[l->text_count - 1] == i->parent)
        return;
    if (!ml_past_push(&l->texts, &l->text_count, &l->text_cap, i->parent))
        l->err = ML_ELIMIT;
}

static int by_number(const void *pa, const void *pb)
{
    const uint32_t *a = pa, *b = pb;

    return (*a > *b) - (*a < *b);
}

void ml_look_at_blocks(struct ml_look *l)
{
    if (!(l->ask->kinds & 1u << ML_COLLISION_BLOCK) || l->is_ruled || !l->ask->has_whole_deletes ||
        !l->ask->seen.ptr)
        return;
    ml_look_each_added(l, note_text);
    for (uint32_t n = 0; n < l->deleted.count; n++)
        ml_look_each_item(l, &l->deleted.at[n], note_text);
    if (l->text_count)
        qsort(l->texts, l->text_count, sizeof *l->texts, by_number);
    for (uint32_t n = 0; n < l->text_count && !l->err; n++)
        if (!n || l->texts[n] != l->texts[n - 1])
            walk(l, l->texts[n]);
}

void ml_look_remember_text(struct ml_look *l, const struct ml_item *i)
{
    struct ml_id id;

    if (!l->ask->texts || ml_item_is_gc(i) || ml_item_kind(i) != ML_WIRE_STRING)
        return;
    id = (struct ml_id){l->doc->clients[ml_item_slot(i)].id, i->clock};
    ml_past_add_text(l->ask->texts, &id, ml_item_content(l->doc, i), i->len, l->ask->tag);
}

enum ml_err ml_block_set(struct ml_doc *doc, const struct ml_collision *c, struct ml_slice wanted)
{
    struct ml_type type;
    enum ml_err err = c->place.root.ptr ? ml_type_root(doc, c->place.root, &type)
                                        : ml_type_by_id(doc, c->place.holder.client,
                                                        c->place.holder.clock, &type);

    return err ? err : ml_text_set_part(doc, type, c->index_utf16, c->now, wanted);
}
