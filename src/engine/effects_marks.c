/* SPDX-License-Identifier: MIT */
/*
 * Is what an update does to a text only a proposal, in marks that an editor shows and somebody else
 * accepts (SEC-AZ-07)?
 *
 *   before   pay  on Monday
 *   after    pay  on [Monday]  [Tuesday]       removed by ana, added by ana
 *
 * The text is read twice at once, as it is and as it would be, with the formats in force on both
 * sides. So it does not matter how the wire brings a mark about, or what else a format could do to
 * what stands behind it; it matters what each unit is and what it would be:
 *
 *   comes                         has to be marked as added by the author
 *   goes                          has to have been that
 *   stays, added by the author    has to stay that; other formats are free
 *   stays, somebody else's        the same formats as before; only the author's own mark `removed`
 *                                 may come or go
 *
 * Formats are compared as the bytes of their values. Only those that the update writes or takes
 * away can differ, so only those are watched.
 */
#include "engine/any.h"
#include "engine/any_walk.h"
#include "engine/effects_list.h"
#include "engine/formats.h"

#define WATCHED_MAX    16
#define MARK_DEPTH_MAX 16
#define MARK_MAX_BYTES (64u << 10)

/* A format with the value in force, before and after; .ptr NULL: none. */
struct watched {
    struct ml_slice key, before, after;
    bool own_before, own_after; /* of the two marks: it says who proposes */
};

enum { ADDED, REMOVED, MARKS };

struct reading {
    struct ml_effects *fx;
    const struct ml_proposer *who;
    struct watched at[WATCHED_MAX];
    size_t count;
};

/* ---- Formats -----------------------------------------------------------------------------------
 */

static bool is_own(const struct reading *r, struct ml_slice json)
{
    struct ml_slice author;
    struct ml_writer any;
    bool is = false;

    if (!json.ptr)
        return false;
    ml_writer_init(&any, MARK_MAX_BYTES);
    if (!ml_json_to_any(json, MARK_DEPTH_MAX, &any))
        is = ml_any_string(ml_any_member(ml_writer_slice(&any), ML_SLICE("author")), &author) &&
             ml_slice_equal(author, r->who->author);
    ml_writer_release(&any);
    return is;
}

static struct watched *find(struct reading *r, struct ml_slice key)
{
    for (size_t i = 0; i < r->count; i++)
        if (ml_slice_equal(r->at[i].key, key))
            return &r->at[i];
    return NULL;
}

/* False: more of them than an honest update has. */
static bool watch(struct reading *r, struct ml_slice key)
{
    if (find(r, key))
        return true;
    if (r->count == WATCHED_MAX)
        return false;
    r->at[r->count++] = (struct watched){.key = key};
    return true;
}

static struct ml_format format_of_part(const struct ml_part *part)
{
    struct ml_reader in = ml_reader_make(part->content);
    struct ml_format format = {.item = NIL};
    enum ml_err err = ml_read_varbytes(&in, &format.key);

    if (!err)
        err = ml_read_varbytes(&in, &format.json);
    ML_ASSERT(!err); /* checked when the update was decoded */
    return format;
}

/* What of a piece the update deletes: some, all. */
static void look_at_deletes(const struct ml_pieces *list, const struct ml_piece *piece,
                            bool *some_out, bool *all_out)
{
    const struct ml_effects *fx = list->fx;
    struct ml_id id = ml_piece_id(list, piece);
    uint64_t end = id.clock + (piece->to - piece->from);
    size_t n = ml_effects_deleted_at(fx, &id);
    const struct ml_wire_range *d = n < fx->deleted_count ? &fx->deleted[n] : NULL;

    *some_out = d && d->client == id.client && d->clock < end;
    *all_out = *some_out && d->clock <= id.clock && d->clock + d->len >= end;
}

/* A format that is there or comes. False: the update writes too many different ones. */
static bool collect(struct reading *r, const struct ml_pieces *list, const struct ml_piece *piece)
{
    const struct ml_effects *fx = r->fx;
    bool some, all;

    if (piece->part != NIL) {
        const struct ml_part *part = &fx->parts[piece->part];

        return part->dead || part->kind != ML_WIRE_FORMAT || watch(r, format_of_part(part).key);
    }
    if (ml_item_is_deleted(ml_item_at(fx->doc, piece->item)) ||
        ml_item_kind(ml_item_at(fx->doc, piece->item)) != ML_WIRE_FORMAT)
        return true;
    look_at_deletes(list, piece, &some, &all);
    return !some || watch(r, ml_format_of(fx->doc, piece->item).key);
}

static void set_value(struct reading *r, struct ml_format format, bool before, bool after)
{
    struct watched *w = find(r, format.key);
    struct ml_slice json = ml_json_is_null(format.json) ? (struct ml_slice){0} : format.json;
    bool own;

    if (!w)
        return;
    own = w < &r->at[MARKS] && is_own(r, json);
    if (before) {
        w->before = json;
        w->own_before = own;
    }
    if (after) {
        w->after = json;
        w->own_after = own;
    }
}

/* ---- Units -------------------------------------------------------------------------------------
 */

static bool is_unchanged(const struct watched *w)
{
    return (w->before.ptr != NULL) == (w->after.ptr != NULL) &&
           (!w->before.ptr || ml_slice_equal(w->before, w->after));
}

/* Of somebody else's text, that stays. */
static bool may_look_so(const struct reading *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct watched *w = &r->at[i];
        bool is_mine =
            i == REMOVED && (!w->before.ptr || w->own_before) && (!w->after.ptr || w->own_after);

        if (!is_mine && !is_unchanged(w))
            return false;
    }
    return true;
}

static bool may_be_there(const struct reading *r, const struct ml_pieces *list,
                         const struct ml_piece *piece)
{
    const struct ml_item *i = ml_item_at(r->fx->doc, piece->item);
    bool is_text = ml_item_kind(i) == ML_WIRE_STRING || ml_item_kind(i) == ML_WIRE_EMBED;
    bool is_own_text = is_text && r->at[ADDED].own_before, some, all;

    look_at_deletes(list, piece, &some, &all);
    if (some && !is_own_text)
        return false;
    return all || (is_own_text ? r->at[ADDED].own_after : may_look_so(r));
}

static bool may_come(const struct reading *r, const struct ml_part *part)
{
    if (part->waited) /* somebody else's, who was allowed to */
        return true;
    return (part->kind == ML_WIRE_STRING || part->kind == ML_WIRE_EMBED) && r->at[ADDED].own_after;
}

static bool may_stand(struct reading *r, const struct ml_pieces *list, const struct ml_piece *piece)
{
    const struct ml_effects *fx = r->fx;
    bool some, all;

    if (piece->part != NIL) {
        const struct ml_part *part = &fx->parts[piece->part];

        if (part->dead)
            return true;
        if (part->kind == ML_WIRE_FORMAT)
            set_value(r, format_of_part(part), false, true);
        return !ml_wire_is_countable(part->kind) || may_come(r, part);
    }
    if (ml_item_is_deleted(ml_item_at(fx->doc, piece->item)))
        return true;
    if (ml_item_kind(ml_item_at(fx->doc, piece->item)) == ML_WIRE_FORMAT) {
        look_at_deletes(list, piece, &some, &all);
        set_value(r, ml_format_of(fx->doc, piece->item), true, !some);
        return true;
    }
    return !ml_item_is_visible(ml_item_at(fx->doc, piece->item)) || may_be_there(r, list, piece);
}

static bool is_proposal(struct reading *r, const struct ml_pieces *list)
{
    if (!list->is_exact || !watch(r, r->who->added) || !watch(r, r->who->removed))
        return false;
    for (uint32_t n = list->first; n != NIL; n = list->at[n].next)
        if (!collect(r, list, &list->at[n]))
            return false;
    for (uint32_t n = list->first; n != NIL; n = list->at[n].next)
        if (!may_stand(r, list, &list->at[n]))
            return false;
    return true;
}

enum ml_err ml_effect_is_proposal(struct ml_effects *fx, const struct ml_effect *effect,
                                  const struct ml_proposer *who, bool *is_out)
{
    uint32_t container = effect->container;
    struct reading r = {.fx = fx, .who = who};
    struct ml_pieces list;
    enum ml_err err;

    ML_ASSERT(!ml_slice_equal(who->added, who->removed));
    *is_out = false;
    if (effect->kind > ML_EFFECT_TEXT_FORMAT || effect->key.ptr || !who->author.len)
        return ML_OK;
    if (!fx->containers[container].proposed) {
        err = ml_pieces_make(fx, container, &list);
        if (err)
            return err;
        fx->containers[container].proposed = is_proposal(&r, &list) ? 1 : 2;
    }
    *is_out = fx->containers[container].proposed == 1;
    return ML_OK;
}
