/* SPDX-License-Identifier: MIT */
/*
 * Collisions become decisions, decisions become operations (docs/plugins/conflicts.md).
 *
 *   update -- ml_doc_apply_asking --> collisions -- conflict hook --> answer
 *                                                                       |  not what stands already
 *   one record  <-- merged with the update -- write of the room's own client
 *
 * A resolution is an ordinary write, placed after both sides, so every replica agrees on it in
 * every order of delivery. It stands in the record of the update that caused it.
 *
 * The desk remembers who wrote lately: ranges of units, and for each its author and time, by a tag
 * that counts transactions. What is older than that has no author any more.
 *
 * Time is a hybrid clock (ml_room_clock): the server's, but never back and never the same twice.
 */
#include "room/conflict.h"

#include "room/live.h"

#include <stdlib.h>

#define WRITES     512
#define RANGES     1024
#define PAST_BYTES (256u << 10)
#define ROLES_MAX  32

struct ml_who {
    unsigned refs;
    struct ml_identity identity;
    struct ml_slice roles[ROLES_MAX], groups[ROLES_MAX];
    struct ml_scope scope; /* borrows from the above */
};

/* One transaction. */
struct write {
    uint64_t tag, at_us, based_on_us, seq;
    struct ml_who *who; /* NULL: the server */
    bool is_offline;
    const char *origin;
};

struct range {
    ml_client_id client;
    uint64_t from, to, tag;
};

struct ml_notes {
    struct ml_past *past;
    struct write writes[WRITES]; /* by tag % WRITES */
    struct range ranges[RANGES]; /* a ring */
    size_t first, count;
    uint64_t last_tag;
};

/* ---- Authors --------------------------------------------------------------------------------- */

static size_t take_names(const char *list, struct ml_slice *out)
{
    size_t cursor = 0, count = 0;

    while (count < ROLES_MAX && ml_identity_next(list, &cursor, &out[count]))
        count++;
    return count;
}

/* NULL: out of memory; then it is nobody. */
static struct ml_who *who_new(const struct ml_identity *identity)
{
    struct ml_who *who = calloc(1, sizeof *who);

    if (!who)
        return NULL;
    who->refs = 1;
    who->identity = *identity;
    who->scope = (struct ml_scope){
        .user = ml_slice_str(who->identity.user),
        .user_name = ml_slice_str(who->identity.name),
        .session = ml_slice_str(who->identity.session),
        .roles = who->roles,
        .role_count = take_names(who->identity.roles, who->roles),
        .groups = who->groups,
        .group_count = take_names(who->identity.groups, who->groups),
    };
    if (who->identity.kind[0])
        who->scope.kind = ml_slice_str(who->identity.kind);
    return who;
}

/** Who a member is, as hooks are told. NULL: out of memory. */
const struct ml_scope *ml_member_author(struct ml_member *member)
{
    if (!member->who)
        member->who = who_new(&member->identity);
    return member->who ? &member->who->scope : NULL;
}

static struct ml_who *who_ref(struct ml_who *who)
{
    if (who)
        who->refs++;
    return who;
}

void ml_who_unref(struct ml_who *who)
{
    if (who && !--who->refs)
        free(who);
}

void ml_decided_release(struct ml_decided *decided)
{
    ml_blob_unref(decided->original);
    ml_blob_unref(decided->seen);
    ml_who_unref(decided->who);
    *decided = (struct ml_decided){0};
}

/* ---- The desk -------------------------------------------------------------------------------- */

static void notes_free(struct ml_notes *notes)
{
    if (!notes)
        return;
    for (size_t i = 0; i < WRITES; i++)
        ml_who_unref(notes->writes[i].who);
    ml_past_free(notes->past);
    free(notes);
}

/* NULL: out of memory. */
static struct ml_desk *desk_of(struct ml_room *room)
{
    struct ml_desk *desk;

    if (room->desk)
        return room->desk;
    desk = calloc(1, sizeof *desk);
    if (!desk)
        return NULL;
    desk->room = room;
    desk->notes = calloc(1, sizeof *desk->notes);
    if (desk->notes)
        desk->notes->past = ml_past_new(PAST_BYTES);
    if (!desk->notes || !desk->notes->past) {
        ml_desk_free(desk);
        return NULL;
    }
    room->desk = desk;
    return desk;
}

void ml_desk_free(struct ml_desk *desk)
{
    if (!desk)
        return;
    ml_decided_release(&desk->deciding);
    notes_free(desk->notes);
    free(desk);
}

static struct write *find_tag(struct ml_notes *notes, uint64_t tag)
{
    struct write *write = &notes->writes[tag % WRITES];

    return tag && write->tag == tag ? write : NULL;
}

static struct write *find_unit(struct ml_notes *notes, const struct ml_id *id)
{
    for (size_t n = notes->count; n-- > 0;) {
        const struct range *r = &notes->ranges[(notes->first + n) % RANGES];

        if (r->client == id->client && r->from <= id->clock && id->clock < r->to)
            return find_tag(notes, r->tag);
    }
    return NULL;
}

static struct write *begin_write(struct ml_notes *notes, const struct write *as)
{
    struct write *write = &notes->writes[++notes->last_tag % WRITES];

    ml_who_unref(write->who);
    *write = *as;
    write->tag = notes->last_tag;
    who_ref(write->who);
    return write;
}

/* The units that a record has brought are this write's. */
static void note_units(struct ml_room *room, uint64_t tag, struct ml_slice record,
                       struct ml_arena *scratch)
{
    struct ml_notes *notes = room->desk->notes;
    const struct ml_update *update;
    struct ml_author author;
    uint32_t cursor = 0;

    if (!record.len ||
        ml_update_decode(scratch, record, room->rooms->env.limits.engine, NULL, &update))
        return;
    while (ml_update_next_author(update, &cursor, &author)) {
        if (notes->count == RANGES) {
            notes->first = (notes->first + 1) % RANGES;
            notes->count--;
        }
        notes->ranges[(notes->first + notes->count++) % RANGES] =
            (struct range){author.client, author.from, author.to, tag};
    }
}

/** Somebody's record was committed: from now on it has a seq. */
void ml_room_note_seq(struct ml_room *room, uint64_t tag, uint64_t seq)
{
    struct write *write = room->desk ? find_tag(room->desk->notes, tag) : NULL;

    if (write)
        write->seq = seq;
}

/** A moment that is later than all before, and not earlier than the server's clock. */
uint64_t ml_room_clock(struct ml_room *room)
{
    int64_t wall_ms = room->rooms->env.wall_ms(room->rooms->env.arg);
    uint64_t wall_us = wall_ms > 0 ? (uint64_t)wall_ms * 1000 : 0;

    room->clock_us = wall_us > room->clock_us ? wall_us : room->clock_us + 1;
    return room->clock_us;
}

/** What others wrote has a time, too. */
void ml_room_clock_saw(struct ml_room *room, int64_t at_ms)
{
    if (at_ms > 0 && (uint64_t)at_ms * 1000 > room->clock_us)
        room->clock_us = (uint64_t)at_ms * 1000;
}

/** Kinds of collisions that a policy of this document decides; 0: the CRDT decides alone. */
unsigned ml_room_decides(struct ml_room *room)
{
    const struct ml_script *script = ml_room_script(room);

    return script && ml_script_hooks(script) & ML_HOOK_CONFLICT ? ml_script_conflict_kinds(script)
                                                                : 0;
}

/* ---- The question ---------------------------------------------------------------------------- */

static const struct ml_scope nobody = {.user = {NULL, 0}};

static struct ml_script_side side_of(struct ml_room *room, const struct ml_collision_side *side,
                                     bool is_incoming, uint64_t tag)
{
    struct write *write = side->any.ptr ? find_unit(room->desk->notes, &side->id)
                                        : find_tag(room->desk->notes, side->tag);
    struct ml_script_side out = {.any = side->any, .is_shared = side->shared, .who = &nobody};

    if (!write && is_incoming)
        write = find_tag(room->desk->notes, tag);
    if (!write)
        return out;
    if (write->who)
        out.who = &write->who->scope;
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
        .key = c->key,
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
    ml_past_note(r->room->desk->notes->past, c->incoming_stands ? &c->incoming : &c->current,
                 r->tag, value != NULL);
}

/* Put up this side. */
static void let_stand(struct resolving *r, const struct ml_collision *c, bool incoming)
{
    const struct ml_collision_side *side = incoming ? &c->incoming : &c->current;
    struct ml_value plain = {.kind = ML_VALUE_ANY, .any = side->any};

    if (incoming == c->incoming_stands)
        return;
    write_value(r, c, side->shared ? side->shared : side->any.ptr ? &plain : NULL);
}

static void merge(struct resolving *r, const struct ml_collision *c, struct ml_slice any)
{
    const struct ml_collision_side *stands = c->incoming_stands ? &c->incoming : &c->current;
    struct ml_value plain = {.kind = ML_VALUE_ANY, .any = any};

    if (stands->shared || !stands->any.ptr || !ml_slice_equal(stands->any, any))
        write_value(r, c, &plain);
}

static void put_text(struct ml_writer *w, const char *name, struct ml_slice text)
{
    ml_write_varbytes(w, ml_slice_str(name));
    ml_write_u8(w, text.ptr ? 0x77 : 0x7e);
    if (text.ptr)
        ml_write_varbytes(w, text);
}

/* The loser as an entry of the list: {id, key, value, author, at}. */
static struct ml_slice entry_of(const struct resolving *r, const struct ml_collision *c)
{
    const struct ml_collision_side *loser = c->incoming_stands ? &c->current : &c->incoming;
    struct ml_script_side told = side_of(r->room, loser, !c->incoming_stands, r->tag);
    double at = (double)told.at_us / 1e6;
    struct ml_slice out = {0};
    struct ml_writer w;
    char id[48];
    uint64_t bits;

    (void)snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)loser->id.client,
                   (unsigned long long)loser->id.clock);
    ml_writer_init(&w, (size_t)64 << 20);
    ml_write_u8(&w, 0x76);
    ml_write_varuint(&w, 6);
    put_text(&w, "id", ml_slice_str(id));
    put_text(&w, "path", c->path);
    put_text(&w, "key", c->key);
    put_text(&w, "author", told.who->user);
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

/* Next to a key of a map: in the map. Next to an attribute: a list of its own, as attributes hold
 * text. */
static void keep_both(struct resolving *r, const struct ml_collision *c, struct ml_slice name)
{
    struct ml_doc *doc = r->room->doc;
    struct ml_value entry = {.kind = ML_VALUE_ANY, .any = entry_of(r, c)};
    struct ml_value list = {.kind = ML_VALUE_ARRAY, .values = &entry, .value_count = 1};
    struct ml_type container, beside;
    enum ml_err err;

    if (!entry.any.ptr || !open_transaction(r))
        return;
    if (c->kind == ML_COLLISION_ATTR) {
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

/*
 * Ask about every collision and write what was decided; the change then holds it, too.
 * @param received  the update as it came: the record of what has to wait for others
 */
static enum ml_err decide(struct ml_room *room, uint64_t tag, const struct ml_collision *found,
                          size_t count, struct ml_slice received, struct ml_arena *scratch,
                          struct ml_change *change)
{
    struct ml_script *script = ml_room_script(room);
    struct resolving r = {.room = room, .scratch = scratch, .tag = tag};
    bool waits = change->was_pending || change->pending_dropped;
    const struct ml_change *resolution;
    struct write as = {.origin = "resolution", .at_us = room->clock_us};
    enum ml_err err;

    for (size_t i = 0; i < count && !r.err; i++) {
        r.number = i;
        resolve(&r, script, &found[i]);
    }
    if (!r.is_open)
        return r.err == ML_EDENIED ? ML_OK : r.err;
    err = ml_doc_commit(room->doc, scratch, &resolution);
    if (err || !resolution->bytes.len)
        return err;
    note_units(room, begin_write(room->desk->notes, &as)->tag, resolution->bytes, scratch);
    change->inserted_units += resolution->inserted_units;
    change->deleted_units += resolution->deleted_units;
    change->is_received = false;
    room->rooms->stats.resolutions++;
    return join(room, scratch, waits ? received : change->bytes, resolution->bytes, &change->bytes);
}

/* What an update is to this document, apart from its bytes. */
static void begin_decided(struct ml_room *room, struct ml_member *from, bool is_reply)
{
    struct ml_decided *d = &room->desk->deciding;

    ml_decided_release(d);
    (void)ml_member_author(from);
    d->who = who_ref(from->who);
    if (from->seen && (!is_reply || from->is_asked_first))
        d->seen = ml_blob_ref(from->seen);
    d->is_reply = is_reply;
    from->is_asked_first &= !is_reply;
    d->at_us = ml_room_clock(room);
    d->based_on_us = is_reply || from->seen_us > from->synced_us ? from->seen_us : from->synced_us;
}

static enum ml_err apply_decided(struct ml_room *room, const struct ml_update *update,
                                 const struct ml_verdict *verdict, struct ml_slice received,
                                 unsigned kinds, struct ml_arena *scratch,
                                 struct ml_change **change_out, bool *resolved_out)
{
    struct ml_decided *d = &room->desk->deciding;
    const struct write as = {
        .at_us = d->at_us,
        .based_on_us = d->based_on_us,
        .who = d->who,
        .is_offline = d->is_reply,
        .origin = d->is_reply ? "sync" : "client",
    };
    struct ml_collide question = {
        .kinds = kinds,
        .past = room->desk->notes->past,
        .tag = begin_write(room->desk->notes, &as)->tag,
        .seen = d->seen ? ml_blob_slice(d->seen) : ml_slice_make(NULL, 0),
        .has_whole_deletes = d->is_reply,
    };
    const struct ml_collision *found;
    const struct ml_change *applied;
    struct ml_slice natural;
    size_t count;
    enum ml_err err = ml_doc_apply_asking(room->doc, update, verdict, &question, scratch, &applied,
                                          &found, &count);

    if (err)
        return err;
    d->tag = question.tag;
    d->is_ruled |= applied->client_taken; /* written here, on top of this document */
    *change_out = ml_arena_alloc(scratch, sizeof **change_out);
    if (!*change_out)
        return ML_ELIMIT;
    **change_out = *applied;
    note_units(room, question.tag, applied->bytes, scratch);
    natural = applied->bytes;
    if (count && applied->client_taken)
        ml_doc_set_client(room->doc,
                          room->rooms->env.random(room->rooms->env.arg) & ML_VARUINT_MAX);
    if (count)
        err = decide(room, question.tag, found, count, received, scratch, *change_out);
    *resolved_out = (*change_out)->bytes.ptr != natural.ptr;
    /* Not the change: that may name what is forgotten with this document, should it come to that.
     */
    if (!err && (*resolved_out || !applied->is_received)) {
        d->original = ml_blob_new(received);
        err = d->original ? ML_OK : ML_ELIMIT;
    }
    return err;
}

/**
 * Steps 8 and 8b: integrate an update, and add what the policy decides about its collisions.
 *
 * @param received      the update's bytes as they came
 * @param resolved_out  the change holds resolutions: the author has to be told like everybody, and
 *                      change->bytes are the record also of what waits
 * @retval as ml_doc_apply; after an error in the middle the document is broken
 */
enum ml_err ml_room_integrate(struct ml_room *room, struct ml_member *from, bool is_reply,
                              const struct ml_update *update, const struct ml_verdict *verdict,
                              struct ml_slice received, struct ml_arena *scratch,
                              const struct ml_change **change_out, bool *resolved_out)
{
    unsigned kinds = ml_room_decides(room);
    struct ml_change *change;
    enum ml_err err;

    *resolved_out = false;
    if (!kinds || !desk_of(room)) {
        if (room->desk)
            ml_decided_release(&room->desk->deciding);
        return ml_doc_apply(room->doc, update, verdict, scratch, change_out);
    }
    begin_decided(room, from, is_reply);
    room->desk->deciding.undo_all = verdict && verdict->undo_all;
    room->desk->deciding.is_ruled = verdict && !verdict->undo_all;
    err = apply_decided(room, update, verdict, received, kinds, scratch, &change, resolved_out);
    if (err)
        ml_decided_release(&room->desk->deciding);
    else
        *change_out = change;
    return err;
}

/**
 * The document is another one now (moved.c): the entry's update goes in again, and what was decided
 * about it is forgotten and asked anew. The entry becomes a mark if there is nothing new in it.
 *
 * @retval ML_EMOVED  it stands on the other document: single edits of it were refused there, or a
 *                    plugin wrote it; who wrote it has to bring it again
 */
enum ml_err ml_room_integrate_again(struct ml_room *room, struct ml_staged *entry,
                                    struct ml_arena *scratch)
{
    struct ml_blob *original = entry->decided.original ? entry->decided.original : entry->bytes;
    struct ml_slice bytes = ml_blob_slice(original);
    const struct ml_update *update;
    struct ml_change *change;
    struct ml_blob *record = NULL;
    struct ml_verdict verdict = {0};
    bool waits, resolved = false;
    enum ml_err err;

    if (!desk_of(room))
        return ML_ELIMIT;
    if (entry->decided.is_ruled || !entry->decided.at_us)
        return ML_EMOVED;
    err = ml_update_decode(scratch, bytes, room->rooms->env.limits.engine, NULL, &update);
    if (err)
        return err;
    ml_decided_release(&room->desk->deciding);
    room->desk->deciding = entry->decided;
    room->desk->deciding.original = NULL;
    entry->decided = (struct ml_decided){0};
    verdict.undo_all = room->desk->deciding.undo_all;
    err = apply_decided(room, update, verdict.undo_all ? &verdict : NULL, bytes,
                        ml_room_decides(room), scratch, &change, &resolved);
    entry->decided = room->desk->deciding;
    room->desk->deciding = (struct ml_decided){0};
    if (!err) {
        waits = change->was_pending || change->pending_dropped;
        if (waits || change->bytes.len)
            record = ml_blob_new(waits && !resolved ? bytes : change->bytes);
        if ((waits || change->bytes.len) && !record)
            err = ML_ELIMIT;
        room->state_bytes += change->bytes.len;
    }
    if (original != entry->bytes)
        ml_blob_unref(original);
    if (err)
        return err;
    entry->is_changed |= resolved;
    room->staged_bytes += record ? record->len : 0;
    room->staged_bytes -= entry->bytes ? entry->bytes->len : 0;
    ml_blob_unref(entry->bytes);
    entry->bytes = record;
    return ML_OK;
}

/* ---- What members have seen ------------------------------------------------------------------ */

#define VECTOR_BYTES_MAX 65536

static bool vector_has(struct ml_slice vector, ml_client_id client, uint64_t clock)
{
    struct ml_reader in = ml_reader_make(vector);
    uint64_t left = 0, id, next;

    if (ml_read_varuint(&in, &left))
        return false;
    while (left-- && !ml_read_varuint(&in, &id) && !ml_read_varuint(&in, &next))
        if (id == client)
            return clock < next;
    return false;
}

/** A Step1 came: what is in it the member has seen; the answer will show it the rest. */
void ml_room_note_sync(struct ml_member *member)
{
    struct ml_room *room = member->room;
    struct ml_slice vector = ml_blob_slice(member->sync_vector);

    if (!ml_room_decides(room))
        return;
    ml_blob_unref(member->seen);
    member->seen = ml_blob_ref(member->sync_vector);
    member->seen_us = 0;
    member->synced_us = ml_room_clock(room);
    if (!room->desk || vector.len > VECTOR_BYTES_MAX)
        return;
    for (size_t n = room->desk->notes->count; n-- > 0 && !member->seen_us;) {
        const struct range *r = &room->desk->notes->ranges[(room->desk->notes->first + n) % RANGES];
        const struct write *write = find_tag(room->desk->notes, r->tag);

        if (write && vector_has(vector, r->client, r->to - 1))
            member->seen_us = write->at_us;
    }
}

/** Another node committed this record: it goes into `doc`, and the desk hears of it. */
enum ml_err ml_room_take_record(struct ml_room *room, struct ml_doc *doc,
                                const struct ml_stored *record, struct ml_arena *scratch)
{
    struct ml_slice bytes = ml_blob_slice(record->bytes);
    struct ml_identity identity = {0};
    struct write as = {.seq = record->seq, .origin = "client"};
    struct ml_collide question = {0};
    const struct ml_update *update;
    const struct ml_change *change;
    const struct ml_collision *found;
    size_t count;
    enum ml_err err;

    err = ml_update_decode(scratch, bytes, room->rooms->env.limits.engine, NULL, &update);
    if (err)
        return err;
    if (!desk_of(room))
        return ML_ELIMIT;
    ml_room_clock_saw(room, record->at_ms);
    as.at_us = record->at_ms > 0 ? (uint64_t)record->at_ms * 1000 : 0;
    if (record->author && record->author->len < sizeof identity.user) {
        memcpy(identity.user, record->author->bytes, record->author->len);
        as.who = who_new(&identity);
    }
    question.past = room->desk->notes->past;
    question.tag = begin_write(room->desk->notes, &as)->tag;
    ml_who_unref(as.who);
    err = ml_doc_apply_asking(doc, update, NULL, &question, scratch, &change, &found, &count);
    if (!err)
        note_units(room, question.tag, change->bytes, scratch);
    return err;
}

/** The entry is the update that was integrated last. */
void ml_room_take_decided(struct ml_room *room, struct ml_staged *entry)
{
    if (!room->desk)
        return;
    entry->decided = room->desk->deciding;
    room->desk->deciding = (struct ml_decided){0};
    if (entry->decided.at_us)
        entry->at_ms = (int64_t)(entry->decided.at_us / 1000);
}
