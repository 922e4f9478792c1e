/* SPDX-License-Identifier: MIT */
/*
 * What an update would do to a document, edit by edit, before it does anything.
 *
 * On the wire most structs name neither their type nor their key: those follow from the unit beside
 * them, which is in the document or comes with the same update. So structs are looked at in the
 * order in which they would go in, and each takes its container from its neighbour, by the rules of
 * integrate.c (left before right, the neighbour before what the wire says). Cost: O(log n) each.
 *
 *  - What nobody would see is no edit: structs that are known, that are deleted by the same update,
 *    that stand in a deleted type.
 *  - Deleting a type is one edit; what stands in it goes with it. Overwriting a key is one edit:
 * the old value goes with it.
 *  - A run of the document that loses units is one edit for each range of units.
 *  - What has to wait for something that is not there is no edit yet: it is one of the update that
 *    brings what it waits for (`waited`). Deletes of units that are not there are none at all: they
 *    only ever meet units that come and go at once.
 */
#include "engine/effects.h"

#include <stdlib.h>

#include "base/hashmap.h"
#include "engine/position.h"

#define FIRST_CAP_MAX 32

/* ---- Tables ------------------------------------------------------------------------------------
 */

static uint64_t hash_of(uint32_t a, uint32_t b, struct ml_slice key)
{
    uint64_t h = ((uint64_t)a << 32 | b) ^ (key.len ? ml_hash_bytes(key) : 0);

    h ^= h >> 31;
    h *= 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
    return h ? h : 1;
}

static bool is_slot(const struct ml_effect_slot *s, uint64_t hash, uint32_t a, uint32_t b,
                    struct ml_slice key)
{
    return s->hash == hash && s->a == a && s->b == b && ml_slice_equal(s->key, key);
}

/* The slot of what is asked for, or the free one where it belongs. */
static struct ml_effect_slot *find_slot(const struct ml_effect_table *t, uint64_t hash, uint32_t a,
                                        uint32_t b, struct ml_slice key)
{
    uint32_t at = (uint32_t)hash & (t->cap - 1);

    while (t->slots[at].hash && !is_slot(&t->slots[at], hash, a, b, key))
        at = (at + 1) & (t->cap - 1);
    return &t->slots[at];
}

static uint32_t table_get(const struct ml_effect_table *t, uint32_t a, uint32_t b,
                          struct ml_slice key)
{
    const struct ml_effect_slot *slot;

    if (!t->count)
        return NIL;
    slot = find_slot(t, hash_of(a, b, key), a, b, key);
    return slot->hash ? slot->value : NIL;
}

static bool table_put(struct ml_arena *arena, struct ml_effect_table *t, uint32_t a, uint32_t b,
                      struct ml_slice key, uint32_t value)
{
    struct ml_effect_slot *slot;
    uint64_t hash = hash_of(a, b, key);

    if (t->count * 2 >= t->cap) {
        struct ml_effect_table grown = {.cap = t->cap ? t->cap * 2 : 16, .count = t->count};

        grown.slots = ml_arena_array(arena, grown.cap, sizeof *grown.slots);
        if (!grown.slots)
            return false;
        for (uint32_t i = 0; i < t->cap; i++) {
            const struct ml_effect_slot *s = &t->slots[i];

            if (s->hash)
                *find_slot(&grown, s->hash, s->a, s->b, s->key) = *s;
        }
        *t = grown;
    }
    slot = find_slot(t, hash, a, b, key);
    t->count += !slot->hash;
    *slot = (struct ml_effect_slot){hash, a, b, key, value};
    return true;
}

/* ---- The delete set ----------------------------------------------------------------------------
 */

static int by_clock(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

static enum ml_err read_deletes(struct ml_effects *fx)
{
    const struct ml_update *u = fx->update;
    struct ml_wire_reader r;
    size_t n = 0, kept = 0;
    bool more = true;

    if (!u->facts.delete_ranges)
        return ML_OK;
    fx->deleted = ml_arena_array(fx->arena, u->facts.delete_ranges, sizeof *fx->deleted);
    if (!fx->deleted)
        return ML_ELIMIT;
    for (ml_update_reread_ranges(u, &r); n < u->facts.delete_ranges; n++) {
        enum ml_err err = ml_wire_next_range(&r, &fx->deleted[n], &more);

        ML_ASSERT(!err && more);
    }
    qsort(fx->deleted, n, sizeof *fx->deleted, by_clock);
    for (size_t i = 0; i < n; i++) {
        struct ml_wire_range *last = kept ? &fx->deleted[kept - 1] : NULL, *d = &fx->deleted[i];

        if (last && last->client == d->client && d->clock <= last->clock + last->len) {
            if (d->clock + d->len > last->clock + last->len)
                last->len = d->clock + d->len - last->clock;
        } else {
            fx->deleted[kept++] = *d;
        }
    }
    fx->deleted_count = kept;
    return ML_OK;
}

size_t ml_effects_deleted_at(const struct ml_effects *fx, const struct ml_id *id)
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

/* The units of [clock, end) are deleted by this update, all of them. */
static bool is_deleted(const struct ml_effects *fx, ml_client_id client, uint64_t clock,
                       uint64_t end)
{
    const struct ml_id first = {client, clock};
    size_t lo = ml_effects_deleted_at(fx, &first);

    return lo < fx->deleted_count && fx->deleted[lo].client == client &&
           fx->deleted[lo].clock <= clock && fx->deleted[lo].clock + fx->deleted[lo].len >= end;
}

/* ---- Containers --------------------------------------------------------------------------------
 */

static uint32_t new_container(struct ml_effects *fx, const struct ml_container *c)
{
    void *grown = ml_effects_grow(fx->arena, fx->containers, fx->container_count,
                                  &fx->container_cap, 2, sizeof *fx->containers);

    if (!grown)
        return NIL;
    fx->containers = grown;
    fx->containers[fx->container_count] = *c;
    return fx->container_count++;
}

/* Is the branch deleted, or would it be by this update, by itself or with what holds it? */
static bool is_branch_gone(const struct ml_effects *fx, uint32_t branch)
{
    const struct ml_doc *doc = fx->doc;

    for (;;) {
        uint32_t holder = ml_branch_at(doc, branch)->item;
        const struct ml_item *i;

        if (holder == NIL)
            return false;
        i = ml_item_at(doc, holder);
        if (ml_item_is_deleted(i) ||
            is_deleted(fx, doc->clients[ml_item_slot(i)].id, i->clock, (uint64_t)i->clock + 1))
            return true;
        branch = i->parent;
    }
}

uint32_t ml_effects_branch(struct ml_effects *fx, uint32_t branch)
{
    static const struct ml_slice none = {0};
    const struct ml_branch *b = ml_branch_at(fx->doc, branch);
    uint32_t found = table_get(&fx->branches, branch, 0, none);
    struct ml_container c = {
        .branch = branch, .part = NIL, .parent = NIL, .depth = b->depth, .type_ref = b->type_ref};

    if (found != NIL)
        return found;
    c.is_root = b->is_root;
    if (b->is_root)
        c.root = ml_name_text(fx->doc, b->name);
    else if (b->name != NIL)
        c.tag = ml_name_text(fx->doc, b->name);
    c.is_gone = is_branch_gone(fx, branch);
    found = new_container(fx, &c);
    if (found != NIL && !table_put(fx->arena, &fx->branches, branch, 0, none, found))
        return NIL;
    return found;
}

/* The container of a root that the document may not know yet. */
static bool enter_root(struct ml_effects *fx, struct ml_part *part)
{
    uint32_t name, branch;

    if (fx->last_root.ptr && ml_slice_equal(fx->last_root, part->root)) {
        part->container = fx->last_root_container;
        return true;
    }
    name = ml_name_find(fx->doc, part->root);
    branch = name == NIL ? NIL : fx->doc->names[name].root;
    if (branch != NIL) {
        part->container = ml_effects_branch(fx, branch);
    } else {
        struct ml_container c = {
            .branch = NIL, .part = NIL, .parent = NIL, .is_root = true, .root = part->root};

        part->container = table_get(&fx->branches, NIL, 1, part->root);
        if (part->container == NIL) {
            part->container = new_container(fx, &c);
            if (part->container != NIL &&
                !table_put(fx->arena, &fx->branches, NIL, 1, part->root, part->container))
                return false;
        }
    }
    if (part->container == NIL)
        return false;
    fx->last_root = part->root;
    fx->last_root_container = part->container;
    return true;
}

/* What the part holds, if it holds a type. */
static bool enter_part(struct ml_effects *fx, struct ml_part *part, uint32_t holder)
{
    struct ml_part *h = &fx->parts[holder];
    struct ml_container c = {.branch = NIL, .part = holder, .parent = h->container};

    if (h->kind != ML_WIRE_TYPE || h->container == NIL)
        return true;
    if (h->holds == NIL) {
        const struct ml_container *around = &fx->containers[h->container];

        c.depth = around->depth < UINT16_MAX ? around->depth + 1 : UINT16_MAX;
        c.type_ref = h->type_ref;
        c.tag = h->name;
        c.is_gone = h->dead || around->is_gone || c.depth >= fx->doc->limits.type_depth;
        h->holds = new_container(fx, &c);
        if (h->holds == NIL)
            return false;
    }
    part->container = h->holds;
    return true;
}

/* Where the neighbour stands, there stands the part. NIL: it has no place any more. */
static bool enter_beside(struct ml_effects *fx, struct ml_part *part, const struct ml_id *beside,
                         bool takes)
{
    uint32_t item = ml_effects_item(fx, beside), other;

    if (item != NIL) {
        const struct ml_item *i = ml_item_at(fx->doc, item);

        if (ml_item_is_gc(i))
            part->container = NIL;
        else if (takes) {
            part->container = ml_effects_branch(fx, i->parent);
            if (ml_item_is_keyed(i))
                part->key = ml_name_text(fx->doc, i->aux);
            else
                part->key = (struct ml_slice){0};
            return part->container != NIL;
        }
        return true;
    }
    other = ml_effects_part(fx, beside);
    ML_ASSERT(other != NIL); /* what is not there makes a struct wait */
    if (takes || fx->parts[other].container == NIL) {
        part->container = fx->parts[other].container;
        part->key = fx->parts[other].key;
    }
    return true;
}

static bool enter_parent(struct ml_effects *fx, struct ml_part *part)
{
    uint32_t holder;
    const struct ml_item *h;

    if (part->parent == ML_PARENT_ROOT)
        return enter_root(fx, part);
    holder = ml_effects_item(fx, &part->origin);
    if (holder == NIL) {
        holder = ml_effects_part(fx, &part->origin);
        ML_ASSERT(holder != NIL);
        return enter_part(fx, part, holder);
    }
    h = ml_item_at(fx->doc, holder);
    if (ml_item_kind(h) != ML_WIRE_TYPE)
        return true;
    part->container = ml_effects_branch(fx, h->off);
    return part->container != NIL;
}

/* Container and key of a part; those before it are known. False: out of memory. */
static bool enter(struct ml_effects *fx, struct ml_part *part)
{
    bool ok = true;

    if (part->kind == ML_WIRE_GC)
        return true;
    if (part->has_origin)
        ok = enter_beside(fx, part, &part->origin, true);
    else if (part->has_right)
        ok = enter_beside(fx, part, &part->right, true);
    else
        ok = enter_parent(fx, part);
    if (ok && part->has_origin && part->has_right && part->container != NIL)
        ok = enter_beside(fx, part, &part->right, false);
    return ok;
}

/* ---- Kinds -------------------------------------------------------------------------------------
 */

static bool is_xml_ref(uint8_t type_ref)
{
    return type_ref == ML_TYPE_XML_ELEMENT || type_ref == ML_TYPE_XML_FRAGMENT ||
           type_ref == ML_TYPE_XML_HOOK || type_ref == ML_TYPE_XML_TEXT;
}

enum family { FAMILY_TEXT, FAMILY_ARRAY, FAMILY_XML };

/* What a list holds: as its type says; a root, which has none, as its content looks. */
static enum family family_of(const struct ml_container *c, unsigned kind, uint8_t type_ref)
{
    if (!c->is_root) {
        if (c->type_ref == ML_TYPE_TEXT || c->type_ref == ML_TYPE_XML_TEXT)
            return FAMILY_TEXT;
        if (c->type_ref == ML_TYPE_ARRAY || c->type_ref == ML_TYPE_MAP)
            return FAMILY_ARRAY;
    }
    if (kind == ML_WIRE_STRING || kind == ML_WIRE_EMBED)
        return FAMILY_TEXT;
    if (kind == ML_WIRE_TYPE && is_xml_ref(type_ref))
        return FAMILY_XML;
    return !c->is_root && is_xml_ref(c->type_ref) && kind == ML_WIRE_TYPE ? FAMILY_XML
                                                                          : FAMILY_ARRAY;
}

static enum ml_effect_kind kind_of(const struct ml_container *c, bool keyed, unsigned kind,
                                   uint8_t type_ref, bool removes)
{
    static const enum ml_effect_kind kinds[][2] = {
        [FAMILY_TEXT] = {ML_EFFECT_TEXT_INSERT, ML_EFFECT_TEXT_DELETE},
        [FAMILY_ARRAY] = {ML_EFFECT_ARRAY_INSERT, ML_EFFECT_ARRAY_DELETE},
        [FAMILY_XML] = {ML_EFFECT_XML_INSERT, ML_EFFECT_XML_DELETE},
    };

    if (kind == ML_WIRE_FORMAT)
        return ML_EFFECT_TEXT_FORMAT;
    if (kind == ML_WIRE_DOC && !removes)
        return ML_EFFECT_SUBDOC;
    if (keyed) {
        /* COMPAT(yjs 14): nested maps are written as fragments, which have no attributes. */
        if (!c->is_root && is_xml_ref(c->type_ref) && c->type_ref != ML_TYPE_XML_FRAGMENT)
            return ML_EFFECT_XML_ATTR;
        return removes ? ML_EFFECT_MAP_DELETE : ML_EFFECT_MAP_SET;
    }
    return kinds[family_of(c, kind, type_ref)][removes];
}

/* A zeroed one. */
static struct ml_effect *new_effect(struct ml_effects *fx)
{
    void *grown =
        ml_effects_grow(fx->arena, fx->at, fx->count, &fx->cap, fx->first_cap, sizeof *fx->at);

    if (!grown)
        return NULL;
    fx->at = grown;
    return &fx->at[fx->count++];
}

/* ---- What comes --------------------------------------------------------------------------------
 */

/* An element's id attribute goes into the paths of what is in it. */
static bool note_id(struct ml_effects *fx, const struct ml_part *part)
{
    struct ml_container *c = &fx->containers[part->container];
    struct ml_reader in = ml_reader_make(part->content);
    uint8_t tag;

    if (c->is_root || c->branch != NIL || !ml_slice_equal(part->key, ML_SLICE("id")))
        return true;
    if (part->kind == ML_WIRE_STRING)
        c->id = part->content;
    else if (part->kind == ML_WIRE_ANY && !ml_read_u8(&in, &tag) && tag == 0x77)
        return ml_read_varbytes(&in, &c->id) == ML_OK;
    return true;
}

/*
 * A value that comes and goes at once still takes the place of the one before it, whether or not
 * the delete set says that.
 */
static bool note_erased(struct ml_effects *fx, const struct ml_part *part)
{
    if (!part->key.ptr || part->container == NIL || fx->containers[part->container].is_gone ||
        fx->containers[part->container].branch == NIL)
        return true;
    return table_put(fx->arena, &fx->erased, part->container, 0, part->key, 0);
}

static enum ml_err add_part(struct ml_effects *fx, uint32_t number)
{
    struct ml_part *part = &fx->parts[number];
    struct ml_effect *e;

    if (!enter(fx, part))
        return ML_ELIMIT;
    part->dead = part->container == NIL || fx->containers[part->container].is_gone ||
                 part->kind == ML_WIRE_DELETED ||
                 is_deleted(fx, part->id.client, part->id.clock, part->id.clock + part->len);
    if (part->dead)
        return note_erased(fx, part) ? ML_OK : ML_ELIMIT;
    if (part->key.ptr) {
        if (!note_id(fx, part) ||
            !table_put(fx->arena, &fx->entries, part->container, 0, part->key, number))
            return ML_ELIMIT;
    }
    e = new_effect(fx);
    if (!e)
        return ML_ELIMIT;
    e->kind = kind_of(&fx->containers[part->container], part->key.ptr != NULL, part->kind,
                      part->type_ref, false);
    e->waited = part->waited;
    e->id = part->id;
    e->len = part->len;
    e->key = part->key;
    e->part = number;
    e->item = NIL;
    e->container = part->container;
    if (part->kind == ML_WIRE_STRING && !part->key.ptr && !part->half)
        e->text = part->content;
    if (part->kind == ML_WIRE_TYPE)
        e->tag = part->name;
    return ML_OK;
}

/* ---- What goes ---------------------------------------------------------------------------------
 */

static enum ml_err add_delete(struct ml_effects *fx, uint32_t item, uint32_t clock, uint32_t end)
{
    const struct ml_item *i = ml_item_at(fx->doc, item);
    uint32_t container = ml_effects_branch(fx, i->parent);
    struct ml_slice key = {0};
    struct ml_effect *e;
    uint8_t type_ref = 0;

    if (container == NIL)
        return ML_ELIMIT;
    if (fx->containers[container].is_gone)
        return ML_OK;
    if (ml_item_is_keyed(i)) {
        key = ml_name_text(fx->doc, i->aux);
        if (table_get(&fx->entries, container, 0, key) != NIL)
            return ML_OK; /* overwritten */
    }
    e = new_effect(fx);
    if (!e)
        return ML_ELIMIT;
    if (ml_item_kind(i) == ML_WIRE_TYPE)
        type_ref = ml_branch_at(fx->doc, i->off)->type_ref;
    *e = (struct ml_effect){
        .kind =
            kind_of(&fx->containers[container], key.ptr != NULL, ml_item_kind(i), type_ref, true),
        .removes = true,
        .id = {fx->doc->clients[ml_item_slot(i)].id, clock},
        .len = end - clock,
        .key = key,
        .part = NIL,
        .item = item,
        .container = container,
    };
    if (ml_item_kind(i) == ML_WIRE_TYPE && ml_branch_at(fx->doc, i->off)->name != NIL)
        e->tag = ml_name_text(fx->doc, ml_branch_at(fx->doc, i->off)->name);
    return ML_OK;
}

static enum ml_err add_deletes(struct ml_effects *fx, const struct ml_wire_range *range)
{
    struct ml_doc *doc = fx->doc;
    uint32_t slot = ml_slot_find(doc, range->client), index;
    uint64_t end = range->clock + range->len;
    uint64_t next = slot == NIL ? 0 : doc->clients[slot].next;
    struct ml_run_walk walk;

    if (end > next) {
        const struct ml_id last = {range->client, end - 1};

        fx->waits |= ml_effects_part(fx, &last) == NIL;
        end = next;
    }
    if (range->clock >= end)
        return ML_OK;
    for (index = ml_run_walk_start(&walk, &doc->clients[slot], (uint32_t)range->clock);
         index != NIL && ml_item_at(doc, index)->clock < end; index = ml_run_walk_next(&walk)) {
        const struct ml_item *i = ml_item_at(doc, index);
        uint32_t from = i->clock > range->clock ? i->clock : (uint32_t)range->clock;
        uint32_t to = ml_item_end(i) < end ? ml_item_end(i) : (uint32_t)end;
        enum ml_err err = ml_item_is_deleted(i) ? ML_OK : add_delete(fx, index, from, to);

        if (err)
            return err;
    }
    return ML_OK;
}

/* Values of keys that are overwritten by something that is deleted itself. */
static enum ml_err add_erased(struct ml_effects *fx)
{
    for (uint32_t n = 0; n < fx->erased.cap; n++) {
        const struct ml_effect_slot *s = &fx->erased.slots[n];
        const struct ml_item *i;
        uint32_t name, entry;
        ml_client_id client;

        if (!s->hash)
            continue;
        name = ml_name_find(fx->doc, s->key);
        entry = name == NIL
                    ? NIL
                    : ml_branch_entry(ml_branch_at(fx->doc, fx->containers[s->a].branch), name);
        if (entry == NIL)
            continue;
        i = ml_item_at(fx->doc, entry);
        client = fx->doc->clients[ml_item_slot(i)].id;
        if (!ml_item_is_deleted(i) && !is_deleted(fx, client, i->clock, ml_item_end(i))) {
            enum ml_err err = add_delete(fx, entry, i->clock, ml_item_end(i));

            if (err)
                return err;
        }
    }
    return ML_OK;
}

/* ---- Paths -------------------------------------------------------------------------------------
 */

/* The text of an id attribute of an element in the document; .ptr NULL: it has none. */
static struct ml_slice id_of_branch(const struct ml_doc *doc, uint32_t branch)
{
    uint32_t name = ml_name_find(doc, ML_SLICE("id"));
    uint32_t entry = name == NIL ? NIL : ml_branch_entry(ml_branch_at(doc, branch), name);
    const struct ml_item *i = entry == NIL ? NULL : ml_item_at(doc, entry);
    struct ml_slice id = {0};
    struct ml_reader in;
    uint8_t tag;

    if (!i || ml_item_is_deleted(i) || i->len != 1)
        return id;
    if (ml_item_kind(i) == ML_WIRE_STRING)
        return ml_item_content(doc, i);
    in = ml_reader_make(ml_item_content(doc, i));
    if (ml_item_kind(i) != ML_WIRE_ANY || ml_read_u8(&in, &tag) || tag != 0x77 ||
        ml_read_varbytes(&in, &id))
        return (struct ml_slice){0};
    return id;
}

static void write_escaped(struct ml_writer *w, struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '~' || text.ptr[i] == '/')
            ml_write_bytes(w, text.ptr[i] == '~' ? ML_SLICE("~0") : ML_SLICE("~1"));
        else
            ml_write_u8(w, text.ptr[i]);
    }
}

/* Does it stand in a path as it is? */
static bool is_plain(struct ml_slice text)
{
    return !text.len || (!memchr(text.ptr, '~', text.len) && !memchr(text.ptr, '/', text.len));
}

static void write_number(struct ml_writer *w, uint32_t number)
{
    char digits[10];
    int n = 0;

    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n > 0)
        ml_write_u8(w, (uint8_t)digits[--n]);
}

/* The last segment of a nested container's path: twice, where it has an id. */
static bool write_segment(struct ml_effects *fx, const struct ml_container *c, struct ml_writer *w,
                          struct ml_writer *by_id)
{
    struct ml_slice key = {0}, id = c->id;
    uint32_t index = 0;

    if (c->branch != NIL) {
        uint32_t holder = ml_branch_at(fx->doc, c->branch)->item;
        const struct ml_item *i = ml_item_at(fx->doc, holder);

        if (ml_item_is_keyed(i))
            key = ml_name_text(fx->doc, i->aux);
        else
            index = ml_position_of(fx->doc, holder);
        id = id_of_branch(fx->doc, c->branch);
    } else {
        key = fx->parts[c->part].key;
        if (!key.ptr && ml_effects_indexes(fx))
            return false;
        index = fx->parts[c->part].index;
    }
    ml_write_u8(w, '/');
    ml_write_u8(by_id, '/');
    if (key.ptr) {
        write_escaped(w, key);
        write_escaped(by_id, key);
        return false;
    }
    write_number(w, index);
    if (!id.ptr) {
        write_number(by_id, index);
        return false;
    }
    ml_write_u8(by_id, '#');
    write_escaped(by_id, id);
    return true;
}

/* The container around, which has its path before this one. NIL: out of memory. */
static uint32_t around(struct ml_effects *fx, uint32_t container)
{
    struct ml_container *c = &fx->containers[container];
    uint32_t found;

    if (c->parent != NIL)
        return c->parent;
    found =
        ml_effects_branch(fx, ml_item_at(fx->doc, ml_branch_at(fx->doc, c->branch)->item)->parent);
    if (found != NIL)
        fx->containers[container].parent = found;
    return found;
}

static bool write_path(struct ml_effects *fx, uint32_t container)
{
    struct ml_container *c = &fx->containers[container];
    struct ml_writer path, by_id;
    bool has_id = false, ok;

    if (c->is_root && is_plain(c->root)) {
        c->path = ml_arena_copy(fx->arena, c->root);
        return c->path.ptr != NULL;
    }
    ml_writer_init(&path, SIZE_MAX / 4);
    ml_writer_init(&by_id, SIZE_MAX / 4);
    if (c->is_root) {
        write_escaped(&path, c->root);
    } else {
        const struct ml_container *outer = &fx->containers[c->parent];

        ml_write_bytes(&path, outer->path);
        ml_write_bytes(&by_id, outer->path_by_id.ptr ? outer->path_by_id : outer->path);
        has_id = outer->path_by_id.ptr != NULL;
        has_id |= write_segment(fx, c, &path, &by_id);
    }
    c = &fx->containers[container];
    c->path = ml_arena_copy(fx->arena, ml_writer_slice(&path));
    if (has_id)
        c->path_by_id = ml_arena_copy(fx->arena, ml_writer_slice(&by_id));
    ok = !path.err && !by_id.err && c->path.ptr && (!has_id || c->path_by_id.ptr);
    ml_writer_release(&path);
    ml_writer_release(&by_id);
    return ok;
}

bool ml_effects_path(struct ml_effects *fx, uint32_t container)
{
    /* Outwards until one has its path, then inwards; deeper than this nothing lives. */
    while (!fx->containers[container].path.ptr) {
        uint32_t at = container;

        while (!fx->containers[at].is_root) {
            uint32_t outer = around(fx, at);

            if (outer == NIL)
                return false;
            if (fx->containers[outer].path.ptr)
                break;
            at = outer;
        }
        if (!write_path(fx, at))
            return false;
    }
    return true;
}

/* ---- All together ------------------------------------------------------------------------------
 */

static enum ml_err write_paths(struct ml_effects *fx)
{
    for (uint32_t n = 0; n < fx->count; n++) {
        struct ml_effect *e = &fx->at[n];

        if (!ml_effects_path(fx, e->container))
            return ML_ELIMIT;
        e->path = fx->containers[e->container].path;
        e->path_by_id = fx->containers[e->container].path_by_id;
    }
    return ML_OK;
}

/* A key needs room for one; more than a few grow as they come. */
static uint32_t first_cap(const struct ml_update *update)
{
    size_t most = (size_t)update->facts.structs + update->facts.delete_ranges;

    return most < FIRST_CAP_MAX ? (uint32_t)most : FIRST_CAP_MAX;
}

enum ml_err ml_update_effects(struct ml_doc *doc, const struct ml_update *update,
                              struct ml_arena *arena, struct ml_effects **out)
{
    struct ml_effects *fx = ml_arena_alloc(arena, sizeof *fx);
    enum ml_err err;

    ML_ASSERT(!doc->is_writing);
    if (!fx || doc->broken)
        return ML_ELIMIT;
    *out = fx;
    fx->doc = doc;
    fx->update = update;
    fx->arena = arena;
    fx->first_cap = first_cap(update);
    err = read_deletes(fx);
    if (!err)
        err = ml_effects_read(fx);
    for (uint32_t n = 0; n < fx->part_count && !err; n++)
        err = add_part(fx, n);
    for (size_t n = 0; n < fx->deleted_count && !err; n++)
        err = add_deletes(fx, &fx->deleted[n]);
    if (!err)
        err = add_erased(fx);
    return err ? err : write_paths(fx);
}

size_t ml_effects_count(const struct ml_effects *effects)
{
    return effects->count;
}

const struct ml_effect *ml_effects_at(const struct ml_effects *effects, size_t number)
{
    ML_ASSERT(number < effects->count);
    return &effects->at[number];
}

void ml_effect_write_path(const struct ml_effect *effect, bool by_id, struct ml_writer *out)
{
    ml_write_bytes(out, by_id && effect->path_by_id.ptr ? effect->path_by_id : effect->path);
    if (!effect->key.ptr)
        return;
    ml_write_u8(out, '/');
    write_escaped(out, effect->key);
}

bool ml_doc_is_waiting(const struct ml_doc *doc)
{
    return doc->pending.count > 0;
}

bool ml_effects_wait(const struct ml_effects *effects)
{
    return effects->waits;
}
