/* SPDX-License-Identifier: MIT */
/*
 * Collisions become questions, answers become writes.
 *
 *   collisions -- conflict hook --> answer -- not what stands already --> write of the room's own
 *                                             client, behind both sides, in the same record
 */
#include "room/conflict.h"

#include "room/live.h"

static const struct ml_scope nobody = {.user = {NULL, 0}};

static struct ml_script_side side_of(struct ml_room *room, const struct ml_collision_side *side,
                                     bool is_incoming, uint64_t tag)
{
    struct ml_write *write = side->tag || !side->any.ptr
                                 ? ml_notes_find_tag(room->desk->notes, side->tag)
                                 : ml_notes_find_unit(room->desk->notes, &side->id);
    struct ml_script_side out = {.any = side->any, .is_shared = side->shared, .who = &nobody};

    if (!write && is_incoming)
        write = ml_notes_find_tag(room->desk->notes, tag);
    if (!write)
        return out;
    if (write->who)
        out.who = ml_who_scope(write->who);
    out.at_us = write->at_us;
    out.based_on_us = write->based_on_us;
    out.seq = write->seq;
    out.is_offline = write->is_offline;
    out.origin = write->origin;
    return out;
}

/* The same wherever the question is put: FNV-1a over the document, then its place in history. */
static uint64_t seed_of(const struct ml_room *room, size_t number)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < room->key.len; i++)
        hash = (hash ^ room->key.ptr[i]) * 0x100000001b3u;
    hash = (hash ^ (room->head + 1)) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ number) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 31;
}

/* One transaction of resolutions, begun with the first of them. */
struct resolving {
    struct ml_room *room;
    struct ml_arena *scratch;
    uint64_t tag;
    size_t number; /* of the collision in the update */
    bool is_open;
    enum ml_err err;
};

static void ask(const struct resolving *r, struct ml_script *script, const struct ml_collision *c,
                struct ml_conflict_answer *answer)
{
    struct ml_room *room = r->room;
    const struct ml_script_conflict question = {
        .org = room->org,
        .document = room->name,
        .doc = room->doc,
        .kind = c->kind,
        .path = c->path,
        .key = c->kind == ML_COLLISION_DELETE ? (struct ml_slice){0} : c->key,
        .block = c->block,
        .is_base_known = c->is_base_known,
        .base = c->base,
        .current = side_of(room, &c->current, false, r->tag),
        .incoming = side_of(room, &c->incoming, true, r->tag),
        .incoming_stands = c->incoming_stands,
        .is_exact = c->is_exact,
        .now_us = ml_room_clock(room),
        .seed = seed_of(room, r->number),
    };

    ml_script_conflict(script, &question, r->scratch, answer);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static bool open_transaction(struct resolving *r)
{
    if (!r->is_open && !r->err) {
        r->err = ml_doc_begin(r->room->doc, NULL);
        r->is_open = !r->err;
    }
    return r->is_open;
}

/* The container went in the same update: then there is nothing to decide. */
static void note(struct resolving *r, enum ml_err err)
{
    if (err && err != ML_ENOTFOUND && err != ML_EFORMAT && !r->err)
        r->err = err;
}

static void write_value(struct resolving *r, const struct ml_collision *c,
                        const struct ml_value *value)
{
    if (!open_transaction(r))
        return;
    note(r, ml_place_set(r->room->doc, &c->place, c->key, value));
    ml_past_note(ml_notes_past(r->room->desk->notes),
                 c->incoming_stands ? &c->incoming : &c->current, r->tag, value != NULL);
}

/* The text of a block; what is no text is no answer. */
static void write_block(struct resolving *r, const struct ml_collision *c, struct ml_slice any)
{
    struct ml_reader in = ml_reader_make(any);
    struct ml_slice text = {0};
    uint8_t tag = 0;

    if (ml_read_u8(&in, &tag) || tag != 0x77 || ml_read_varbytes(&in, &text) ||
        ml_slice_equal(text, c->now) || !open_transaction(r))
        return;
    note(r, ml_block_set(r->room->doc, c, text));
}

/* Who had written in it has it back, and whoever else still writes in what is gone has lost. */
static void put_back(struct resolving *r, const struct ml_collision *c,
                     const struct ml_collision_side *side)
{
    if (!side->shared || !open_transaction(r))
        return;
    note(r, ml_place_put_back(r->room->doc, c, side->shared));
    ml_past_unbury(ml_notes_past(r->room->desk->notes), &c->node);
}

/* Put up this side. */
static void let_stand(struct resolving *r, const struct ml_collision *c, bool incoming)
{
    const struct ml_collision_side *side = incoming ? &c->incoming : &c->current;
    struct ml_value plain = {.kind = ML_VALUE_ANY, .any = side->any};

    if (c->kind == ML_COLLISION_BLOCK) {
        write_block(r, c, side->any);
        return;
    }
    if (c->kind == ML_COLLISION_DELETE) {
        put_back(r, c, side);
        return;
    }
    if (incoming == c->incoming_stands)
        return;
    write_value(r, c, side->shared ? side->shared : side->any.ptr ? &plain : NULL);
}

static void merge(struct resolving *r, const struct ml_collision *c, struct ml_slice any)
{
    const struct ml_collision_side *stands = c->incoming_stands ? &c->incoming : &c->current;
    struct ml_value plain = {.kind = ML_VALUE_ANY, .any = any};

    if (c->kind == ML_COLLISION_BLOCK)
        write_block(r, c, any);
    else if (stands->shared || !stands->any.ptr || !ml_slice_equal(stands->any, any))
        write_value(r, c, &plain);
}

static void put_text(struct ml_writer *w, const char *name, struct ml_slice text)
{
    ml_write_varbytes(w, ml_slice_str(name));
    ml_write_u8(w, text.ptr ? 0x77 : 0x7e);
    if (text.ptr)
        ml_write_varbytes(w, text);
}

/* The loser as an entry of the list: {id, path, key, author, against, at, value}. */
static struct ml_slice entry_of(const struct resolving *r, const struct ml_collision *c)
{
    bool is_current = c->incoming_stands && c->kind != ML_COLLISION_BLOCK;
    const struct ml_collision_side *loser = is_current ? &c->current : &c->incoming;
    struct ml_script_side told = side_of(r->room, loser, !is_current, r->tag);
    struct ml_script_side winner =
        side_of(r->room, is_current ? &c->incoming : &c->current, is_current, r->tag);
    double at = (double)told.at_us / 1e6;
    struct ml_slice out = {0};
    struct ml_writer w;
    char id[48];
    uint64_t bits;

    (void)snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)loser->id.client,
                   (unsigned long long)loser->id.clock);
    ml_writer_init(&w, (size_t)64 << 20);
    ml_write_u8(&w, 0x76);
    ml_write_varuint(&w, 7);
    put_text(&w, "id", ml_slice_str(id));
    put_text(&w, "path", c->path);
    put_text(&w, "key", c->key);
    put_text(&w, "author", told.who->user);
    put_text(&w, "against", winner.who->user);
    ml_write_varbytes(&w, ML_SLICE("at"));
    ml_write_u8(&w, 0x7b);
    memcpy(&bits, &at, sizeof bits);
    for (int shift = 56; shift >= 0; shift -= 8)
        ml_write_u8(&w, (uint8_t)(bits >> shift));
    ml_write_varbytes(&w, ML_SLICE("value"));
    if (loser->any.ptr)
        ml_write_bytes(&w, loser->any);
    else
        ml_write_u8(&w, 0x7e);
    if (!w.err)
        out = ml_arena_copy(r->scratch, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out;
}

/* Next to a key of a map: in the map. Otherwise a list of its own, as attributes and paragraphs
 * hold text. */
static void keep_both(struct resolving *r, const struct ml_collision *c, struct ml_slice name)
{
    struct ml_doc *doc = r->room->doc;
    struct ml_value entry = {.kind = ML_VALUE_ANY, .any = entry_of(r, c)};
    struct ml_value list = {.kind = ML_VALUE_ARRAY, .values = &entry, .value_count = 1};
    struct ml_type container, beside;
    enum ml_err err;

    if (!entry.any.ptr || !open_transaction(r))
        return;
    if (c->kind != ML_COLLISION_MAP) {
        err = ml_type_root(doc, name, &beside);
        note(r, err ? err : ml_list_push(doc, beside, &entry, 1));
        return;
    }
    err = c->place.root.ptr
              ? ml_type_root(doc, c->place.root, &container)
              : ml_type_by_id(doc, c->place.holder.client, c->place.holder.clock, &container);
    if (!err && !ml_type_at_key(doc, container, name, &beside))
        note(r, ml_list_push(doc, beside, &entry, 1));
    else if (!err)
        note(r, ml_map_set(doc, container, name, &list));
}

static void resolve(struct resolving *r, struct ml_script *script, const struct ml_collision *c)
{
    struct ml_conflict_answer answer;

    if (!ml_script_wants_conflict(script, c->kind, c->path, c->key))
        return;
    ask(r, script, c, &answer);
    r->room->rooms->stats.conflicts++;
    switch (answer.word) {
    case ML_CONFLICT_NATURAL:
        break;
    case ML_CONFLICT_CURRENT:
        let_stand(r, c, false);
        break;
    case ML_CONFLICT_INCOMING:
        let_stand(r, c, true);
        break;
    case ML_CONFLICT_MERGE:
        merge(r, c, answer.any);
        break;
    case ML_CONFLICT_KEEP_BOTH:
        keep_both(r, c, answer.name);
        break;
    }
}

/* ---- All together ---------------------------------------------------------------------------- */

/* Update and resolutions as one change. */
static enum ml_err join(struct ml_room *room, struct ml_arena *scratch, struct ml_slice update,
                        struct ml_slice resolution, struct ml_slice *out)
{
    const struct ml_slice parts[2] = {update, resolution};
    struct ml_writer merged;
    enum ml_err err;

    ml_writer_init(&merged, SIZE_MAX / 4);
    err = ml_updates_merge(parts, 2, room->rooms->env.limits.engine, scratch, &merged, NULL);
    if (!err)
        err = merged.err;
    if (!err) {
        *out = ml_arena_copy(scratch, ml_writer_slice(&merged));
        err = out->ptr ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&merged);
    return err;
}

enum ml_err ml_room_resolve(struct ml_room *room, uint64_t tag, const struct ml_collision *found,
                            size_t count, struct ml_slice received, struct ml_arena *scratch,
                            struct ml_change *change)
{
    struct ml_script *script = ml_room_script(room);
    struct resolving r = {.room = room, .scratch = scratch, .tag = tag};
    bool waits = change->was_pending || change->pending_dropped;
    const struct ml_change *resolution;
    struct ml_write as = {.origin = "resolution", .at_us = room->clock_us};
    struct ml_collide noting = {0};
    enum ml_err err;

    for (size_t i = 0; i < count && !r.err; i++) {
        r.number = i;
        resolve(&r, script, &found[i]);
    }
    if (!r.is_open)
        return r.err == ML_EDENIED ? ML_OK : r.err;
    noting.tag = ml_notes_begin(room->desk->notes, &as)->tag;
    if (ml_room_decides(room) & 1u << ML_COLLISION_BLOCK)
        noting.texts = ml_notes_texts(room->desk->notes);
    err = ml_doc_commit_noting(room->doc, &noting, scratch, &resolution);
    if (err || !resolution->bytes.len)
        return err;
    ml_desk_note_units(room, noting.tag, resolution->bytes, scratch);
    change->inserted_units += resolution->inserted_units;
    change->deleted_units += resolution->deleted_units;
    change->is_received = false;
    room->rooms->stats.resolutions++;
    return join(room, scratch, waits ? received : change->bytes, resolution->bytes, &change->bytes);
}
