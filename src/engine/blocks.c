/* SPDX-License-Identifier: MIT */
/*
 * Runs by clock: find, append, split, join.
 *
 * The index of a client is a list of chunks, each two parallel arrays of up to 64 (first clock,
 * item):
 *
 *   first   [    0    |   97    |  511  ]         one word per chunk: a binary search without
 * branches chunk   [    .    |    .    |   .   ]
 *                |
 *                v
 *   clock   [ 0 3 4 17 ... 90 | INT32_MAX ... ]   then count the entries <= key of a quarter: no
 * branches item    [ 7 8 2 31 ... 12 |               ]
 *
 * A split moves at most 64 entries. 64 was the best of 16 to 512 for loading and typing. A client
 * with one run has no chunk at all: each visit of a page is a new client, most write a run or two.
 *
 * Source of split and join: Yjs 13.6, Item.splitItem and Item.mergeWith.
 */
#include "engine/item.h"

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/position.h"

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

/* ---- The index
 * ----------------------------------------------------------------------------------- */

struct place {
    uint32_t chunk, at;
};

static int32_t flip(uint32_t clock)
{
    return (int32_t)(clock ^ 0x80000000u);
}

static bool chunk_covers(const struct ml_client *c, uint32_t chunk, int32_t key)
{
    return chunk < c->chunk_count && c->first[chunk] <= key &&
           (chunk + 1 == c->chunk_count || key < c->first[chunk + 1]);
}

static uint32_t find_chunk(const struct ml_client *c, int32_t key)
{
    uint32_t lo = 0, n = c->chunk_count;

    if (chunk_covers(c, c->hint, key))
        return c->hint;
    while (n > 1) {
        uint32_t half = n / 2;

        lo = c->first[lo + half] <= key ? lo + half : lo;
        n -= half;
    }
    return lo;
}

/* Of four entries from `clock` on, as a vector of 0 and -1. */
typedef int32_t v4 __attribute__((vector_size(16)));

static inline v4 four_up_to(const int32_t *clock, v4 keys)
{
    v4 c;

    memcpy(&c, clock, sizeof c);
    return c <= keys;
}

/* The quarter of the chunk first, by three entries, then all of it: no branch, few lines touched.
 */
static uint32_t count_up_to(const struct ml_chunk *k, int32_t key)
{
    const int32_t *clock = k->clock;
    const v4 keys = {key, key, key, key};
    uint32_t from = 0;
    v4 n;

    if (k->cap == 4) {
        n = four_up_to(clock, keys);
    } else {
        if (k->cap == ML_CHUNK_MAX)
            from = 16 * (uint32_t)((clock[16] <= key) + (clock[32] <= key) + (clock[48] <= key));
        clock += from;
        n = four_up_to(clock, keys) + four_up_to(clock + 4, keys) +
            (four_up_to(clock + 8, keys) + four_up_to(clock + 12, keys));
    }
    return from - (uint32_t)(n[0] + n[1] + n[2] + n[3]);
}

static struct place find_place(const struct ml_client *c, uint32_t clock)
{
    uint32_t chunk = find_chunk(c, flip(clock));

    return (struct place){chunk, count_up_to(c->chunk[chunk], flip(clock)) - 1};
}

uint32_t ml_run_find(struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    struct ml_client *c = &doc->clients[slot];
    struct place p;

    ML_ASSERT(clock < c->next);
    doc->steps++;
    if (clock >= ml_item_at(doc, c->tail)->clock)
        return c->tail;
    p = find_place(c, clock);
    c->hint = p.chunk;
    return ml_chunk_items(c->chunk[p.chunk])[p.at];
}

uint32_t ml_run_walk_start(struct ml_run_walk *w, const struct ml_client *client, uint32_t clock)
{
    struct place p;

    *w = (struct ml_run_walk){.client = client};
    if (!client->chunk_count)
        return client->tail;
    p = find_place(client, clock);
    w->chunk = p.chunk;
    w->pos = p.at;
    return ml_chunk_items(client->chunk[p.chunk])[p.at];
}

static struct ml_chunk *make_chunk(struct ml_doc *doc, uint32_t cap)
{
    struct ml_chunk *k = ml_doc_alloc(doc, ml_chunk_bytes(cap));

    if (!k)
        return NULL;
    k->count = 0;
    k->cap = cap;
    for (uint32_t i = 0; i < cap; i++)
        k->clock[i] = INT32_MAX;
    return k;
}

static void copy_entries(struct ml_chunk *to, uint32_t at, struct ml_chunk *from, uint32_t first,
                         uint32_t count)
{
    memcpy(to->clock + at, from->clock + first, count * sizeof *to->clock);
    memcpy(ml_chunk_items(to) + at, ml_chunk_items(from) + first, count * sizeof(uint32_t));
    to->count += count;
}

/* Forget the entries from `count` on. */
static void truncate_chunk(struct ml_chunk *k, uint32_t count)
{
    for (uint32_t i = count; i < k->count; i++)
        k->clock[i] = INT32_MAX;
    k->count = count;
}

static bool grow_chunk_list(struct ml_doc *doc, struct ml_client *c)
{
    uint32_t cap = c->chunk_cap ? c->chunk_cap * 2 : 1;
    void *first, *chunk;

    first = ml_doc_resize(doc, c->first, c->chunk_cap * sizeof *c->first, cap * sizeof *c->first);
    if (!first)
        return false;
    c->first = first;
    chunk = ml_doc_resize(doc, c->chunk, c->chunk_cap * sizeof *c->chunk, cap * sizeof *c->chunk);
    if (!chunk) { /* shrinking back cannot fail in a way that matters */
        doc->memory_bytes -= (cap - c->chunk_cap) * sizeof *c->first;
        return false;
    }
    c->chunk = chunk;
    c->chunk_cap = cap;
    return true;
}

static bool insert_chunk(struct ml_doc *doc, struct ml_client *c, uint32_t at, struct ml_chunk *k)
{
    if (c->chunk_count == c->chunk_cap && !grow_chunk_list(doc, c))
        return false;
    memmove(c->first + at + 1, c->first + at, (c->chunk_count - at) * sizeof *c->first);
    memmove(c->chunk + at + 1, c->chunk + at, (c->chunk_count - at) * sizeof(*c->chunk));
    c->first[at] = k->count ? k->clock[0] : INT32_MAX;
    c->chunk[at] = k;
    c->chunk_count++;
    return true;
}

static void remove_chunk(struct ml_doc *doc, struct ml_client *c, uint32_t at)
{
    ml_doc_drop(doc, c->chunk[at], ml_chunk_bytes(c->chunk[at]->cap));
    c->chunk_count--;
    memmove(c->first + at, c->first + at + 1, (c->chunk_count - at) * sizeof *c->first);
    memmove(c->chunk + at, c->chunk + at + 1, (c->chunk_count - at) * sizeof(*c->chunk));
    c->hint = 0;
}

/* Make room in the full chunk at `p`; answers where the entry goes then. chunk NIL: out of memory.
 */
static struct place make_room(struct ml_doc *doc, struct ml_client *c, struct place p)
{
    struct ml_chunk *k = c->chunk[p.chunk];
    bool append = p.chunk + 1 == c->chunk_count && p.at == k->count;
    struct ml_chunk *more = make_chunk(doc, k->cap < ML_CHUNK_MAX ? k->cap * 4 : ML_CHUNK_MAX);
    uint32_t half = append ? k->count : k->count / 2;

    if (!more)
        return (struct place){NIL, 0};
    if (k->cap < ML_CHUNK_MAX) {
        copy_entries(more, 0, k, 0, k->count);
        c->chunk[p.chunk] = more;
        ml_doc_drop(doc, k, ml_chunk_bytes(k->cap));
        return p;
    }
    copy_entries(more, 0, k, half, k->count - half);
    if (!insert_chunk(doc, c, p.chunk + 1, more)) {
        ml_doc_drop(doc, more, ml_chunk_bytes(more->cap));
        return (struct place){NIL, 0};
    }
    truncate_chunk(k, half);
    return p.at <= half && !append ? p : (struct place){p.chunk + 1, p.at - half};
}

static bool insert_entry(struct ml_doc *doc, struct ml_client *c, struct place p, uint32_t clock,
                         uint32_t item)
{
    struct ml_chunk *k = c->chunk[p.chunk];

    if (k->count == k->cap) {
        p = make_room(doc, c, p);
        if (p.chunk == NIL)
            return false;
        k = c->chunk[p.chunk];
    }
    memmove(k->clock + p.at + 1, k->clock + p.at, (k->count - p.at) * sizeof *k->clock);
    memmove(ml_chunk_items(k) + p.at + 1, ml_chunk_items(k) + p.at,
            (k->count - p.at) * sizeof(uint32_t));
    k->clock[p.at] = flip(clock);
    ml_chunk_items(k)[p.at] = item;
    k->count++;
    if (p.at == 0)
        c->first[p.chunk] = flip(clock);
    return true;
}

/* Two sparse neighbours become one, so that an index that shrinks gives memory back. */
static void join_chunks(struct ml_doc *doc, struct ml_client *c, uint32_t at)
{
    if (at + 1 >= c->chunk_count || c->chunk[at]->cap != ML_CHUNK_MAX ||
        c->chunk[at]->count + c->chunk[at + 1]->count > ML_CHUNK_MAX / 2)
        return;
    copy_entries(c->chunk[at], c->chunk[at]->count, c->chunk[at + 1], 0, c->chunk[at + 1]->count);
    remove_chunk(doc, c, at + 1);
}

static void remove_entry(struct ml_doc *doc, struct ml_client *c, struct place p)
{
    struct ml_chunk *k = c->chunk[p.chunk];

    memmove(k->clock + p.at, k->clock + p.at + 1, (k->count - p.at - 1) * sizeof *k->clock);
    memmove(ml_chunk_items(k) + p.at, ml_chunk_items(k) + p.at + 1,
            (k->count - p.at - 1) * sizeof(uint32_t));
    truncate_chunk(k, k->count - 1);
    if (k->count == 0) {
        remove_chunk(doc, c, p.chunk);
        return;
    }
    c->first[p.chunk] = k->clock[0];
    join_chunks(doc, c, p.chunk);
}

/* The first chunk, made when a client gets its second run. */
static bool begin_chunks(struct ml_doc *doc, struct ml_client *c)
{
    struct ml_chunk *k = make_chunk(doc, 4);

    if (!k || !insert_chunk(doc, c, 0, k)) {
        ml_doc_drop(doc, k, ml_chunk_bytes(4));
        return false;
    }
    return insert_entry(doc, c, (struct place){0, 0}, ml_item_at(doc, c->tail)->clock, c->tail);
}

bool ml_run_append(struct ml_doc *doc, uint32_t item)
{
    struct ml_item *i = ml_item_at(doc, item);
    struct ml_client *c = &doc->clients[ml_item_slot(i)];

    ML_ASSERT(i->clock == c->next);
    if (c->runs) {
        uint32_t last;

        if (!c->chunk_count && !begin_chunks(doc, c))
            return false;
        last = c->chunk_count - 1;
        if (!insert_entry(doc, c, (struct place){last, c->chunk[last]->count}, i->clock, item))
            return false;
    }
    c->runs++;
    if (ml_item_is_deleted(i)) {
        c->deleted_runs++;
        doc->deleted_known = false;
    }
    c->tail = item;
    c->next = ml_item_end(i);
    return true;
}

void ml_run_drop_tail(struct ml_doc *doc, uint32_t slot)
{
    struct ml_client *c = &doc->clients[slot];
    struct ml_item *i = ml_item_at(doc, c->tail);
    uint32_t tail = c->tail, last;

    c->runs--;
    if (ml_item_is_deleted(i)) {
        c->deleted_runs--;
        doc->deleted_known = false;
    }
    c->next = i->clock;
    c->tail = NIL;
    if (c->chunk_count)
        remove_entry(doc, c, find_place(c, i->clock));
    if (c->chunk_count) {
        last = c->chunk_count - 1;
        c->tail = ml_chunk_items(c->chunk[last])[c->chunk[last]->count - 1];
    }
    ml_item_free(doc, tail);
}

/* ---- Split
 * ------------------------------------------------------------------------------------------ */

/* Byte offset of element `units` of an Any or JSON list. */
static uint32_t element_offset(struct ml_slice content, unsigned kind, uint32_t units)
{
    struct ml_reader in = ml_reader_make(content);
    enum ml_err err = ML_OK;

    for (uint32_t i = 0; i < units && !err; i++) {
        struct ml_slice text;

        err = kind == ML_WIRE_ANY ? ml_any_skip(&in, UINT32_MAX) : ml_read_varbytes(&in, &text);
    }
    ML_ASSERT(!err);
    return (uint32_t)ml_reader_offset(&in);
}

/* Cut the bytes: left keeps [0, cut), right gets the rest and the slack. */
static void share_content(struct ml_item *left, struct ml_item *right, uint32_t cut)
{
    right->off = left->off + cut;
    right->blen = left->blen - cut;
    left->blen = cut;
    if (!ml_item_is_keyed(left)) {
        right->aux = left->aux - cut;
        left->aux = cut;
    }
}

/*
 * A cut inside the surrogate pair at byte `cut`: both halves become U+FFFD, six bytes where four
 * were. The shorter side moves out, so that many cuts in one text cost n log n and not n^2.
 */
static bool share_pair(struct ml_doc *doc, struct ml_item *left, struct ml_item *right,
                       uint32_t cut)
{
    struct ml_slice bytes = ml_item_content(doc, left);
    uint32_t held = ml_item_held(left), off = left->off, rest = left->blen - cut - 4;
    bool move_right = rest <= cut;
    uint32_t moved_bytes = move_right ? rest + 3 : cut + 3;
    uint32_t moved = ml_content_put(doc, (struct ml_slice){0}, moved_bytes);
    uint8_t *to, *in_place;

    if (moved == NIL)
        return false;
    to = ml_content_at(doc, moved);
    in_place = ml_content_at(doc, off);
    right->blen = rest + 3;
    left->blen = cut + 3;
    if (move_right) {
        memcpy(to, replacement, 3);
        memcpy(to + 3, bytes.ptr + cut + 4, rest);
        right->off = moved;
        memcpy(in_place + cut, replacement, 3);
        ml_content_drop(doc, off + cut + 3, held - cut - 3);
    } else {
        memcpy(to, bytes.ptr, cut);
        memcpy(to + cut, replacement, 3);
        left->off = moved;
        right->off = off + cut + 1;
        memcpy(in_place + cut + 1, replacement, 3);
        ml_content_drop(doc, off, cut + 1);
    }
    if (!ml_item_is_keyed(left)) {
        left->aux = left->blen;
        right->aux = move_right ? right->blen : held - cut - 1;
    } else if (!move_right) {
        ML_ASSERT_DEBUG(held - cut - 1 == right->blen);
    }
    return true;
}

/* Byte offset of unit `units` of the content. */
static uint32_t content_offset(const struct ml_doc *doc, const struct ml_item *i, uint32_t units,
                               bool *inside_pair)
{
    *inside_pair = false;
    if (!ml_item_has_bytes(i))
        return 0;
    if (ml_item_kind(i) != ML_WIRE_STRING)
        return element_offset(ml_item_content(doc, i), ml_item_kind(i), units);
    if (i->blen == i->len) /* ASCII */
        return units;
    return (uint32_t)ml_utf8_offset(ml_item_content(doc, i), units, inside_pair);
}

bool ml_item_is_inside_pair(const struct ml_doc *doc, const struct ml_item *i, uint32_t units)
{
    bool inside_pair = false;

    if (units && units < i->len && ml_item_kind(i) == ML_WIRE_STRING)
        (void)content_offset(doc, i, units, &inside_pair);
    return inside_pair;
}

static bool split_content(struct ml_doc *doc, struct ml_item *left, struct ml_item *right,
                          uint32_t units)
{
    bool inside_pair;
    uint32_t cut = content_offset(doc, left, units, &inside_pair);

    if (inside_pair)
        return share_pair(doc, left, right, cut);
    if (ml_item_has_bytes(left))
        share_content(left, right, cut);
    return true;
}

uint32_t ml_run_split(struct ml_doc *doc, uint32_t item, uint32_t units)
{
    uint32_t index = ml_item_new(doc);
    struct ml_item *i = ml_item_at(doc, item), *r = ml_item_at(doc, index);
    struct ml_client *c = &doc->clients[ml_item_slot(i)];

    ML_ASSERT(units > 0 && units < i->len && !ml_item_is_gc(i));
    if (!c->chunk_count && !begin_chunks(doc, c))
        return NIL;
    *r = *i;
    r->clock = i->clock + units;
    r->len = i->len - units;
    r->o_cl = ml_item_slot(i);
    r->o_clock = r->clock - 1;
    r->left = item;
    if (!split_content(doc, i, r, units))
        return NIL;
    i->len = units;
    i->right = index;
    if (r->right != NIL)
        ml_item_at(doc, r->right)->left = index;
    else if (ml_item_is_keyed(r) && !ml_branch_set_entry(doc, r->parent, r->aux, index))
        return NIL;
    if (c->tail == item)
        c->tail = index;
    c->runs++;
    c->deleted_runs += ml_item_is_deleted(i);
    if (!ml_runs_add(doc, &doc->txn.merges, ml_item_slot(r), r->clock, r->clock))
        return NIL;
    ml_position_cut(doc, item, index);
    struct place p = find_place(c, i->clock);
    c->hint = p.chunk;
    p.at++;
    return insert_entry(doc, c, p, r->clock, index) ? index : NIL;
}

uint32_t ml_item_ending_at(struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    uint32_t index = ml_run_find(doc, slot, clock);
    const struct ml_item *i = ml_item_at(doc, index);

    if (clock + 1 == ml_item_end(i) || ml_item_is_gc(i))
        return index;
    return ml_run_split(doc, index, clock + 1 - i->clock) == NIL ? NIL : index;
}

uint32_t ml_item_starting_at(struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    uint32_t index = ml_run_find(doc, slot, clock);
    const struct ml_item *i = ml_item_at(doc, index);

    if (clock == i->clock || ml_item_is_gc(i))
        return index;
    return ml_run_split(doc, index, clock - i->clock);
}

/* ---- Join
 * ------------------------------------------------------------------------------------------- */

bool ml_runs_match(const struct ml_item *a, const struct ml_item *b, uint32_t b_index)
{
    unsigned kind = ml_item_kind(a);

    if (a->cl != b->cl || (a->cl & ML_ITEM_REDONE)) /* same author, kind, deleted, keyed, kept */
        return false;
    if (kind == ML_WIRE_GC)
        return true;
    return a->right == b_index && b->o_cl == ml_item_slot(a) && b->o_clock == ml_item_end(a) - 1 &&
           a->ro_cl == b->ro_cl && a->ro_clock == b->ro_clock &&
           (kind == ML_WIRE_STRING || kind == ML_WIRE_DELETED || kind == ML_WIRE_ANY ||
            kind == ML_WIRE_JSON);
}

/* Both in one place, with half as much again to spare: many joins in a row stay linear. */
static bool move_together(struct ml_doc *doc, struct ml_item *a, const struct ml_item *b)
{
    uint32_t bytes = a->blen + b->blen;
    uint32_t held = ml_item_is_keyed(a) ? bytes : bytes + bytes / 2 + 16;
    uint32_t off = ml_content_put(doc, ml_item_content(doc, a), held);

    if (off == NIL)
        return false;
    memcpy(ml_content_at(doc, off) + a->blen, ml_content_at(doc, b->off), b->blen);
    ml_content_drop(doc, a->off, ml_item_held(a));
    ml_content_drop(doc, b->off, ml_item_held(b));
    a->off = off;
    a->blen = bytes;
    if (!ml_item_is_keyed(a))
        a->aux = held;
    return true;
}

static bool join_content(struct ml_doc *doc, struct ml_item *a, const struct ml_item *b)
{
    uint32_t held_a = ml_item_held(a), held_b = ml_item_held(b);
    bool keyed = ml_item_is_keyed(a);

    if (!ml_item_has_bytes(a) || !b->blen) {
        ml_content_drop(doc, b->off, held_b);
        return true;
    }
    if (a->blen == held_a && a->off + held_a == b->off &&
        doc->pages[a->off >> ML_PAGE_SHIFT].head == doc->pages[b->off >> ML_PAGE_SHIFT].head) {
        a->blen += b->blen;
        if (!keyed)
            a->aux += held_b;
        return true;
    }
    if (keyed || held_a - a->blen < b->blen)
        return move_together(doc, a, b);
    memcpy(ml_content_at(doc, a->off) + a->blen, ml_content_at(doc, b->off), b->blen);
    a->blen += b->blen;
    ml_content_drop(doc, b->off, held_b);
    return true;
}

bool ml_runs_join(struct ml_doc *doc, uint32_t a_index, uint32_t b_index)
{
    struct ml_item *a = ml_item_at(doc, a_index), *b = ml_item_at(doc, b_index);
    struct ml_client *c = &doc->clients[ml_item_slot(a)];

    if (c->txn == doc->txn.number && c->before == b->clock)
        doc->txn.border = (struct ml_border){ml_item_slot(a), a->clock, b->clock,
                                             ml_item_has_bytes(a) ? a->blen : 0};
    if (!join_content(doc, a, b))
        return false;
    ml_position_gone(doc, b_index, a_index);
    if (!ml_item_is_gc(a)) {
        a->right = b->right;
        if (a->right != NIL)
            ml_item_at(doc, a->right)->left = a_index;
        else if (ml_item_is_keyed(a) && !ml_branch_set_entry(doc, a->parent, a->aux, a_index))
            return false;
    }
    a->len += b->len;
    if (c->tail == b_index)
        c->tail = a_index;
    c->runs--;
    c->deleted_runs -= ml_item_is_deleted(a);
    remove_entry(doc, c, find_place(c, b->clock));
    ml_item_free(doc, b_index);
    return true;
}

bool ml_runs_join_around(struct ml_doc *doc, uint32_t slot, uint32_t clock, uint32_t end)
{
    struct ml_client *c = &doc->clients[slot];
    uint32_t a;
    struct place p;

    if (c->runs < 2)
        return true;
    p = find_place(c, clock < c->next ? clock : c->next - 1);
    if (p.at)
        p.at--;
    else if (p.chunk) {
        p.chunk--;
        p.at = c->chunk[p.chunk]->count - 1;
    }
    a = ml_chunk_items(c->chunk[p.chunk])[p.at];
    for (;;) {
        uint32_t b;

        doc->steps++;
        if (++p.at == c->chunk[p.chunk]->count) {
            p.at = 0;
            if (++p.chunk == c->chunk_count)
                return true;
        }
        b = ml_chunk_items(c->chunk[p.chunk])[p.at];
        if (ml_item_at(doc, b)->clock > end)
            return true;
        if (!ml_runs_match(ml_item_at(doc, a), ml_item_at(doc, b), b)) {
            a = b;
            continue;
        }
        if (!ml_runs_join(doc, a, b))
            return false;
        if (!c->chunk_count)
            return true;
        p = find_place(c, ml_item_at(doc, a)->clock);
    }
}

/* ---- Delete keys in a row
 * -------------------------------------------------------------------------- */

static struct place place_after(const struct ml_client *c, struct place p)
{
    if (p.at + 1 < c->chunk[p.chunk]->count)
        return (struct place){p.chunk, p.at + 1};
    return (struct place){p.chunk + 1 < c->chunk_count ? p.chunk + 1 : NIL, 0};
}

static struct place place_before(const struct ml_client *c, struct place p)
{
    if (p.at)
        return (struct place){p.chunk, p.at - 1};
    if (!p.chunk)
        return (struct place){NIL, 0};
    return (struct place){p.chunk - 1, c->chunk[p.chunk - 1]->count - 1};
}

static void set_clock(struct ml_client *c, struct place p, struct ml_item *i, uint32_t clock)
{
    i->clock = clock;
    c->chunk[p.chunk]->clock[p.at] = flip(clock);
    if (p.at == 0)
        c->first[p.chunk] = flip(clock);
}

/* Would a deleted `b` right after `a` in clock order be part of a deleted `a`? */
static bool would_match(const struct ml_item *a, const struct ml_item *b, uint32_t b_index)
{
    return a->right == b_index && b->o_cl == ml_item_slot(a) && b->o_clock == ml_item_end(a) - 1 &&
           a->ro_cl == b->ro_cl && a->ro_clock == b->ro_clock;
}

static bool is_plain_deleted(const struct ml_item *i)
{
    return (i->cl & ~ML_ITEM_SLOT) ==
           (ML_ITEM_DELETED | (uint32_t)ML_WIRE_DELETED << ML_ITEM_KIND_SHIFT);
}

/* Backspace: the last units of `i` go to the deleted run behind. */
static bool give_back(struct ml_doc *doc, struct ml_client *c, struct place at, struct ml_item *i,
                      uint32_t units)
{
    struct place p = place_after(c, at);
    uint32_t next, cut;
    struct ml_item *d;
    bool inside_pair;

    if (p.chunk == NIL)
        return false;
    next = ml_chunk_items(c->chunk[p.chunk])[p.at];
    d = ml_item_at(doc, next);
    if (!is_plain_deleted(d) || !would_match(i, d, next))
        return false;
    cut = content_offset(doc, i, i->len - units, &inside_pair);
    if (inside_pair)
        return false;
    doc->deleted_known = false;
    ml_content_drop(doc, i->off + cut, i->aux - cut);
    i->blen = i->aux = cut;
    i->len -= units;
    set_clock(c, p, d, ml_item_end(i));
    d->len += units;
    d->o_clock = ml_item_end(i) - 1;
    return true;
}

/* Delete forward: the first units of `i` go to the deleted run before. */
static bool give_front(struct ml_doc *doc, struct ml_client *c, struct place at, struct ml_item *i,
                       uint32_t index, uint32_t units)
{
    struct place p = place_before(c, at);
    uint32_t cut;
    struct ml_item *d;
    bool inside_pair;

    if (p.chunk == NIL)
        return false;
    d = ml_item_at(doc, ml_chunk_items(c->chunk[p.chunk])[p.at]);
    if (!is_plain_deleted(d) || !would_match(d, i, index))
        return false;
    cut = content_offset(doc, i, units, &inside_pair);
    if (inside_pair)
        return false;
    doc->deleted_known = false;
    ml_content_drop(doc, i->off, cut);
    i->off += cut;
    i->blen -= cut;
    i->aux -= cut;
    i->len -= units;
    d->len += units;
    set_clock(c, at, i, ml_item_end(d));
    i->o_clock = ml_item_end(d) - 1;
    return true;
}

bool ml_run_give(struct ml_doc *doc, uint32_t index, uint32_t clock, uint32_t end)
{
    struct ml_item *i = ml_item_at(doc, index);
    struct ml_client *c = &doc->clients[ml_item_slot(i)];
    struct place at;

    if (!c->chunk_count || ((clock == i->clock) == (end == ml_item_end(i))))
        return false;
    at = find_place(c, i->clock);
    return clock == i->clock ? give_front(doc, c, at, i, index, end - clock)
                             : give_back(doc, c, at, i, end - clock);
}
