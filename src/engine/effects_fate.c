/* SPDX-License-Identifier: MIT */
/*
 * What a policy made of the edits, and what that means for units on their way in.
 *
 *   undone     struct   its units go in as deleted content; with a key, the value before comes back
 *              delete   it happens, and a copy of what it took comes back (undo.c)
 *   removed    struct   its units go in as deleted content
 *   replaced   "pay 4111 1111 now"  ->  "pay " [ deleted ][ "**** " by us ] "1111 now"
 *
 * What was refused is never part of the document, not even for a moment: it is cut out of the
 * struct before that is integrated, so no record, no state and no reader can hold it.
 */
#include "engine/effects.h"

#include <stdlib.h>

#include "base/utf8.h"

#define ANY_TEXT 0x77

/* ---- Fates -------------------------------------------------------------------------------------
 */

static void set_fate(struct ml_effects *fx, struct ml_effect *e, enum ml_fate fate)
{
    fx->judged -= e->fate != ML_FATE_ACCEPTED;
    fx->judged += fate != ML_FATE_ACCEPTED;
    e->fate = fate;
}

void ml_effect_undo(struct ml_effects *fx, size_t number)
{
    ML_ASSERT(number < fx->count);
    set_fate(fx, &fx->at[number], ML_FATE_UNDONE);
}

enum ml_err ml_effect_remove(struct ml_effects *fx, size_t number)
{
    ML_ASSERT(number < fx->count);
    if (fx->at[number].removes)
        return ML_EDENIED;
    set_fate(fx, &fx->at[number], ML_FATE_REMOVED);
    return ML_OK;
}

/* Bytes at the start that are the same, up to a whole character. */
static size_t same_prefix(struct ml_slice a, struct ml_slice b)
{
    size_t n = 0, max = a.len < b.len ? a.len : b.len;

    while (n < max && a.ptr[n] == b.ptr[n])
        n++;
    while (n > 0 &&
           ((n < a.len && (a.ptr[n] & 0xc0) == 0x80) || (n < b.len && (b.ptr[n] & 0xc0) == 0x80)))
        n--;
    return n;
}

/* Bytes at the end that are the same, up to a whole character, behind the first `from`. */
static size_t same_suffix(struct ml_slice a, struct ml_slice b, size_t from)
{
    size_t n = 0, max = (a.len < b.len ? a.len : b.len) - from;

    while (n < max && a.ptr[a.len - 1 - n] == b.ptr[b.len - 1 - n])
        n++;
    while (n > 0 && (a.ptr[a.len - n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* The smallest cut that makes the struct's text `text`. */
static void cut_out(struct ml_effect *e, struct ml_slice old, struct ml_slice text)
{
    size_t prefix = same_prefix(old, text), suffix = same_suffix(old, text, prefix), from, len;

    (void)ml_utf8_check(ml_slice_make(old.ptr, prefix), &from);
    (void)ml_utf8_check(ml_slice_make(old.ptr + prefix, old.len - prefix - suffix), &len);
    e->cut_from = (uint32_t)from;
    e->cut_len = (uint32_t)len;
    e->with = ml_slice_make(text.ptr + prefix, text.len - prefix - suffix);
}

enum ml_err ml_effect_replace(struct ml_effects *fx, size_t number, struct ml_slice text)
{
    struct ml_effect *e = &fx->at[number];
    const struct ml_part *part;

    ML_ASSERT(number < fx->count);
    if (e->removes ||
        (!e->text.ptr && e->kind != ML_EFFECT_MAP_SET && e->kind != ML_EFFECT_XML_ATTR))
        return ML_EDENIED;
    if (!ml_utf8_check(text, NULL))
        return ML_EFORMAT;
    text = ml_arena_copy(fx->arena, text);
    if (!text.ptr)
        return ML_ELIMIT;
    part = &fx->parts[e->part];
    e->text = text;
    if (e->key.ptr) {
        e->cut_from = 0;
        e->cut_len = part->len;
        e->with = text;
    } else {
        cut_out(e, part->content, text);
    }
    set_fate(fx, e, e->cut_len || e->with.len ? ML_FATE_REPLACED : ML_FATE_ACCEPTED);
    return ML_OK;
}

bool ml_effects_are_judged(const struct ml_effects *fx)
{
    return fx->judged > 0;
}

/* ---- Judgement ---------------------------------------------------------------------------------
 */

static int by_clock(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

static void sort(struct ml_wire_range *ranges, size_t count)
{
    if (count > 1)
        qsort(ranges, count, sizeof *ranges, by_clock);
}

static struct ml_rewrite rewrite_of(const struct ml_effect *e)
{
    struct ml_rewrite r = {.keyed = e->key.ptr != NULL, .text = e->with};
    size_t units;

    (void)ml_utf8_check(e->with, &units);
    r.units = (uint32_t)units;
    r.before = e->cut_from + e->cut_len == 0;
    r.beside = (struct ml_id){e->id.client, e->id.clock + e->cut_from + e->cut_len - !r.before};
    return r;
}

enum ml_err ml_effects_judge(const struct ml_verdict *verdict, struct ml_arena *arena,
                             struct ml_judgement *out)
{
    const struct ml_effects *fx = verdict->effects;
    struct ml_wire_range *refused, *kept, *restoring;
    struct ml_rewrite *rewrites;
    uint32_t judged = fx && !verdict->undo_all ? fx->judged : 0;

    *out = (struct ml_judgement){.all = verdict->undo_all, .waiting = verdict->undo_waiting};
    if (!judged)
        return ML_OK;
    refused = ml_arena_array(arena, judged, sizeof *refused);
    kept = ml_arena_array(arena, judged, sizeof *kept);
    restoring = ml_arena_array(arena, judged, sizeof *restoring);
    rewrites = ml_arena_array(arena, judged, sizeof *rewrites);
    if (!refused || !kept || !restoring || !rewrites)
        return ML_ELIMIT;
    for (uint32_t n = 0; n < fx->count; n++) {
        const struct ml_effect *e = &fx->at[n];
        struct ml_wire_range range = {e->id.client, e->id.clock, e->len};

        if (e->fate == ML_FATE_ACCEPTED)
            continue;
        if (e->fate == ML_FATE_REPLACED) {
            range.clock += e->cut_from;
            range.len = e->cut_len;
            if (e->with.len || e->key.ptr) {
                rewrites[out->rewrite_count++] = rewrite_of(e);
                out->rewrite_bytes += e->with.len + 16;
                out->rewrite_units += rewrites[out->rewrite_count - 1].units + 1;
            }
        }
        if (e->removes)
            kept[out->kept_count++] = range;
        else if (range.len)
            refused[out->refused_count++] = range;
        if (!e->removes && e->key.ptr && e->fate == ML_FATE_UNDONE)
            restoring[out->restoring_count++] = range;
    }
    sort(refused, out->refused_count);
    sort(kept, out->kept_count);
    sort(restoring, out->restoring_count);
    out->refused = refused;
    out->kept = kept;
    out->restoring = restoring;
    out->rewrites = rewrites;
    return ML_OK;
}

/* The first of sorted, disjoint ranges that ends behind the unit; NULL: none of this client. */
const struct ml_wire_range *ml_ranges_find(const struct ml_wire_range *ranges, size_t count,
                                           ml_client_id client, uint64_t clock)
{
    size_t lo = 0, hi = count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ml_wire_range *r = &ranges[mid];

        if (r->client < client || (r->client == client && r->clock + r->len <= clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < count && ranges[lo].client == client ? &ranges[lo] : NULL;
}

bool ml_wire_judge(const struct ml_judgement *judgement, struct ml_wire *s, struct ml_wire *rest)
{
    const struct ml_wire_range *r;
    uint64_t units = s->len;
    bool refuse;

    if (judgement->all) {
        ml_wire_refuse(s);
        return false;
    }
    r = ml_ranges_find(judgement->refused, judgement->refused_count, s->client, s->clock);
    refuse = r && r->clock <= s->clock;
    if (refuse && r->clock + r->len < s->clock + s->len)
        units = r->clock + r->len - s->clock;
    else if (r && !refuse && r->clock < s->clock + s->len)
        units = r->clock - s->clock;
    if (units < s->len) {
        *rest = *s;
        ml_wire_cut(rest, units);
        ml_wire_keep(s, units);
        if (refuse)
            ml_wire_refuse(s);
        return true;
    }
    if (refuse)
        ml_wire_refuse(s);
    return false;
}

/* ---- Rewriting ---------------------------------------------------------------------------------
 */

/* The value of a key, if the struct that was refused is still what it shows. False: out of memory.
 */
static bool rewrite_key(struct ml_doc *doc, uint32_t item, const struct ml_rewrite *r)
{
    const struct ml_item *i = ml_item_at(doc, item);
    struct ml_spot at = {.left = item, .right = NIL, .parent = i->parent, .key = i->aux};
    struct ml_payload what = {.kind = ML_WIRE_ANY, .len = 1, .name = NIL};
    struct ml_writer any;
    bool ok;

    if (i->right != NIL)
        return true;
    ml_writer_init(&any, r->text.len + 16);
    ml_write_u8(&any, ANY_TEXT);
    ml_write_varbytes(&any, r->text);
    what.bytes = ml_writer_slice(&any);
    ok = !any.err && ml_own_insert(doc, &at, &what) != NIL;
    ml_writer_release(&any);
    return ok;
}

static bool rewrite_text(struct ml_doc *doc, uint32_t item, const struct ml_rewrite *r)
{
    const struct ml_item *i = ml_item_at(doc, item);
    struct ml_spot at = {.left = r->before ? i->left : item,
                         .right = r->before ? item : i->right,
                         .parent = i->parent,
                         .key = NIL};
    struct ml_payload what = {
        .kind = ML_WIRE_STRING, .len = r->units, .bytes = r->text, .name = NIL};

    return ml_own_insert(doc, &at, &what) != NIL;
}

bool ml_txn_rewrite(struct ml_doc *doc, const struct ml_judgement *judgement)
{
    for (size_t n = 0; n < judgement->rewrite_count; n++) {
        const struct ml_rewrite *r = &judgement->rewrites[n];
        uint32_t slot = ml_slot_find(doc, r->beside.client), item;

        if (slot == NIL || r->beside.clock >= doc->clients[slot].next)
            continue; /* it waits after all */
        if (!ml_items_reserve(doc, 4))
            return false;
        item = r->before ? ml_item_starting_at(doc, slot, (uint32_t)r->beside.clock)
                         : ml_item_ending_at(doc, slot, (uint32_t)r->beside.clock);
        if (item == NIL)
            return false;
        if (ml_item_is_gc(ml_item_at(doc, item)) ||
            r->keyed != ml_item_is_keyed(ml_item_at(doc, item)))
            continue; /* its type went with the same update */
        if (!(r->keyed ? rewrite_key : rewrite_text)(doc, item, r))
            return false;
    }
    return true;
}
