/* SPDX-License-Identifier: MIT */
/*
 * The memory of a document: slabs of items and branches, pages of content, names, clients. It knows
 * how things lie, not what they mean; item.h has the drawing.
 */
#include "engine/item.h"

#include <stdlib.h>

#include "base/hashmap.h"

/* ---- Counted heap ------------------------------------------------------------------------------
 */

void *ml_doc_alloc(struct ml_doc *doc, size_t bytes)
{
    void *ptr = malloc(bytes);

    if (ptr)
        doc->memory_bytes += bytes;
    return ptr;
}

void *ml_doc_resize(struct ml_doc *doc, void *old, size_t old_bytes, size_t new_bytes)
{
    void *ptr = realloc(old, new_bytes);

    if (ptr)
        doc->memory_bytes += new_bytes - old_bytes;
    return ptr;
}

void ml_doc_drop(struct ml_doc *doc, void *old, size_t bytes)
{
    if (!old)
        return;
    doc->memory_bytes -= bytes;
    free(old);
}

void *ml_doc_grow(struct ml_doc *doc, void *array, uint32_t *cap, size_t each_bytes)
{
    uint32_t new_cap = *cap ? *cap * 2 : 4;
    void *grown;

    if (new_cap < *cap)
        return NULL;
    grown = ml_doc_resize(doc, array, *cap * each_bytes, new_cap * each_bytes);
    if (grown)
        *cap = new_cap;
    return grown;
}

/* ---- Slabs
 * --------------------------------------------------------------------------------------- */

/* Slab 0 begins with this share of a full slab: 1/64. */
#define FIRST_SHARE_SHIFT 6

static void *slab_alloc(struct ml_doc *doc, size_t bytes, bool pooled)
{
    void *slab = pooled ? ml_pool_take(ML_BLOCK_ITEMS) : malloc(bytes);

    if (slab)
        doc->memory_bytes += bytes;
    return slab;
}

static void slab_drop(struct ml_doc *doc, void *slab, size_t bytes, bool pooled)
{
    doc->memory_bytes -= bytes;
    if (pooled)
        ml_pool_give(ML_BLOCK_ITEMS, slab);
    else
        free(slab);
}

/* Make slab 0 four times as large; things in it move. */
static bool grow_first_slab(struct ml_doc *doc, struct ml_slabs *s, size_t each, uint32_t full,
                            bool pooled)
{
    uint32_t room = s->room * 4 > full ? full : s->room * 4;
    void *slab = slab_alloc(doc, room * each, pooled && room == full);

    if (!slab)
        return false;
    memcpy(slab, s->slab[0], s->used * each);
    slab_drop(doc, s->slab[0], s->room * each, false);
    s->slab[0] = slab;
    s->room = room;
    return true;
}

static bool add_slab(struct ml_doc *doc, struct ml_slabs *s, size_t each, uint32_t full,
                     bool pooled)
{
    uint32_t room = s->slab_count ? full : full >> FIRST_SHARE_SHIFT;
    void *slab;

    if (room < 2)
        room = 2;
    if (s->slab_count == s->slab_cap) {
        void *grown = ml_doc_grow(doc, s->slab, &s->slab_cap, sizeof *s->slab);

        if (!grown)
            return false;
        s->slab = grown;
    }
    slab = slab_alloc(doc, room * each, pooled && room == full);
    if (!slab)
        return false;
    s->slab[s->slab_count++] = slab;
    s->room += room;
    return true;
}

static bool slabs_reserve(struct ml_doc *doc, struct ml_slabs *s, size_t each, unsigned shift,
                          bool pooled, uint32_t more)
{
    uint32_t full = 1u << shift;

    while (s->free_count + (s->room - s->used) < more) {
        bool grown = s->slab_count == 1 && s->room < full
                         ? grow_first_slab(doc, s, each, full, pooled)
                         : s->room <= NIL - 2 * full && add_slab(doc, s, each, full, pooled);

        if (!grown)
            return false;
    }
    return true;
}

static void slabs_release(struct ml_doc *doc, struct ml_slabs *s, size_t each, unsigned shift,
                          bool pooled)
{
    uint32_t full = 1u << shift;

    for (uint32_t i = 0; i < s->slab_count; i++) {
        uint32_t room = i == 0 && s->room < full ? s->room : full;

        slab_drop(doc, s->slab[i], room * each, pooled && room == full);
    }
    ml_doc_drop(doc, s->slab, s->slab_cap * sizeof *s->slab);
    *s = (struct ml_slabs){.free_head = NIL};
}

bool ml_items_reserve(struct ml_doc *doc, uint32_t more)
{
    if (doc->items.free_count + (doc->items.room - doc->items.used) >= more)
        return true;
    return slabs_reserve(doc, &doc->items, sizeof(struct ml_item), ML_ITEM_SHIFT, true, more);
}

uint32_t ml_item_new(struct ml_doc *doc)
{
    struct ml_slabs *s = &doc->items;
    uint32_t index;

    if (!s->free_count) {
        ML_ASSERT(s->used < s->room);
        return s->used++;
    }
    index = s->free_head;
    s->free_head = ml_item_at(doc, index)->clock;
    s->free_count--;
    return index;
}

void ml_item_free(struct ml_doc *doc, uint32_t index)
{
    struct ml_item *i = ml_item_at(doc, index);

    *i = (struct ml_item){.clock = doc->items.free_head};
    doc->items.free_head = index;
    doc->items.free_count++;
}

/* ---- Branches
 * --------------------------------------------------------------------------------------- */

static size_t keys_bytes(uint32_t cap)
{
    return sizeof(struct ml_keys) + cap * sizeof(struct ml_key_entry);
}

static uint32_t key_slot(uint32_t key, uint32_t cap)
{
    return key * 2654435769u & (cap - 1);
}

/* The slot of a key in a table, or the free slot where it would go. Linear tables are filled in
 * order. */
static uint32_t find_key(const struct ml_keys *k, uint32_t key)
{
    uint32_t i = k->cap <= ML_KEYS_LINEAR ? 0 : key_slot(key, k->cap);

    while (k->entries[i].key != key && k->entries[i].key != NIL)
        i = (i + 1) & (k->cap - 1);
    return i;
}

/* A table with room for one more key. It keeps a free slot at all times, so that find_key ends. */
static struct ml_keys *grow_keys(struct ml_doc *doc, struct ml_keys *old)
{
    uint32_t cap = old ? old->cap : 0, used = old ? old->count : 0, limit;
    struct ml_keys *k;

    limit = cap <= ML_KEYS_LINEAR ? cap : cap / 4 * 3;
    if (used + 1 < limit)
        return old;
    cap = cap ? cap * 2 : 2;
    k = ml_doc_alloc(doc, keys_bytes(cap));
    if (!k)
        return NULL;
    k->count = used;
    k->cap = cap;
    for (uint32_t i = 0; i < cap; i++)
        k->entries[i] = (struct ml_key_entry){NIL, NIL};
    for (uint32_t i = 0; old && i < old->cap; i++)
        if (old->entries[i].key != NIL)
            k->entries[find_key(k, old->entries[i].key)] = old->entries[i];
    if (old)
        ml_doc_drop(doc, old, keys_bytes(old->cap));
    return k;
}

uint32_t ml_branch_new(struct ml_doc *doc)
{
    struct ml_slabs *s = &doc->branches;
    uint32_t index;

    if (!slabs_reserve(doc, s, sizeof(struct ml_branch), ML_BRANCH_SHIFT, false, 1))
        return NIL;
    if (s->free_count) {
        index = s->free_head;
        s->free_head = ml_branch_at(doc, index)->start;
        s->free_count--;
    } else {
        index = s->used++;
    }
    *ml_branch_at(doc, index) = (struct ml_branch){.item = NIL, .start = NIL, .name = NIL};
    return index;
}

void ml_branch_free(struct ml_doc *doc, uint32_t index)
{
    struct ml_branch *b = ml_branch_at(doc, index);

    if (b->keys)
        ml_doc_drop(doc, b->keys, keys_bytes(b->keys->cap));
    *b = (struct ml_branch){.item = NIL, .start = doc->branches.free_head, .name = NIL};
    doc->branches.free_head = index;
    doc->branches.free_count++;
}

uint32_t ml_branch_entry(const struct ml_branch *b, uint32_t key)
{
    return b->keys ? b->keys->entries[find_key(b->keys, key)].item : NIL;
}

bool ml_branch_set_entry(struct ml_doc *doc, uint32_t branch, uint32_t key, uint32_t item)
{
    struct ml_branch *b = ml_branch_at(doc, branch);
    struct ml_keys *k = grow_keys(doc, b->keys);
    uint32_t i;

    if (!k)
        return false;
    b->keys = k;
    i = find_key(k, key);
    k->count += k->entries[i].key == NIL;
    k->entries[i] = (struct ml_key_entry){key, item};
    return true;
}

/* An entry goes; those that were pushed behind it move up, so that find_key meets no hole. */
static void remove_key(struct ml_keys *k, uint32_t at)
{
    bool linear = k->cap <= ML_KEYS_LINEAR;
    uint32_t next = at;

    k->count--;
    for (;;) {
        uint32_t home;

        next = (next + 1) & (k->cap - 1);
        if (k->entries[next].key == NIL)
            break;
        home = linear ? 0 : key_slot(k->entries[next].key, k->cap);
        if (((next - home) & (k->cap - 1)) < ((next - at) & (k->cap - 1)))
            continue;
        k->entries[at] = k->entries[next];
        at = next;
    }
    k->entries[at] = (struct ml_key_entry){NIL, NIL};
}

void ml_branch_reset_entry(struct ml_doc *doc, uint32_t branch, uint32_t key, uint32_t item)
{
    struct ml_keys *k = ml_branch_at(doc, branch)->keys;
    uint32_t at = find_key(k, key);

    if (item == NIL)
        remove_key(k, at);
    else
        k->entries[at].item = item;
}

bool ml_branch_next_entry(const struct ml_branch *b, uint32_t *cursor, struct ml_key_entry *out)
{
    while (b->keys && *cursor < b->keys->cap) {
        *out = b->keys->entries[(*cursor)++];
        if (out->key != NIL)
            return true;
    }
    return false;
}

/* ---- Content pages
 * ---------------------------------------------------------------------------------- */

#define PAGE_FIRST_BYTES 256u /* then four times as much each, up to a full page */
#define PAGE_OWN_BYTES                                                                             \
    (ML_PAGE_BYTES / 4) /* what does not fit and is larger gets a block of its own */

static bool add_page_numbers(struct ml_doc *doc, uint32_t count)
{
    while (doc->page_cap < doc->page_count + count) {
        void *grown = ml_doc_grow(doc, doc->pages, &doc->page_cap, sizeof *doc->pages);

        if (!grown)
            return false;
        doc->pages = grown;
    }
    doc->page_count += count;
    return true;
}

/* `count` free numbers in a row: at the end of the table, or, once that is full, anywhere. */
static uint32_t find_page_numbers(struct ml_doc *doc, uint32_t count)
{
    uint32_t first = doc->page_count, run = 0;

    if (first + count <= ML_PAGES_MAX)
        return add_page_numbers(doc, count) ? first : NIL;
    for (uint32_t i = 0; i < doc->page_count; i++) {
        run = doc->pages[i].base ? 0 : run + 1;
        if (run == count)
            return i + 1 - count;
    }
    return NIL;
}

static uint32_t add_block(struct ml_doc *doc, uint32_t bytes)
{
    uint32_t count = (bytes + ML_PAGE_BYTES - 1) >> ML_PAGE_SHIFT;
    uint32_t head = find_page_numbers(doc, count);
    uint8_t *base;

    if (head == NIL)
        return NIL;
    base =
        bytes == ML_PAGE_BYTES ? ml_pool_take(ML_BLOCK_PAGE) : malloc((size_t)bytes + ML_PAGE_PAD);
    for (uint32_t i = 0; i < count; i++)
        doc->pages[head + i] = (struct ml_page){
            .base = base ? base + ((size_t)i << ML_PAGE_SHIFT) : NULL, .head = head};
    if (!base)
        return NIL;
    doc->pages[head].bytes = bytes;
    doc->memory_bytes += bytes;
    return head;
}

static void free_block(struct ml_doc *doc, uint32_t head)
{
    struct ml_page *p = &doc->pages[head];
    uint32_t bytes = p->bytes, count = (bytes + ML_PAGE_BYTES - 1) >> ML_PAGE_SHIFT;

    if (bytes == ML_PAGE_BYTES)
        ml_pool_give(ML_BLOCK_PAGE, p->base);
    else
        free(p->base);
    doc->memory_bytes -= bytes;
    for (uint32_t i = 0; i < count; i++)
        doc->pages[head + i] = (struct ml_page){0};
    while (doc->page_count && !doc->pages[doc->page_count - 1].base)
        doc->page_count--;
}

static bool begin_fill_page(struct ml_doc *doc, uint32_t bytes)
{
    uint32_t head = add_block(doc, bytes);

    if (head == NIL)
        return false;
    if (doc->fill_page != NIL && doc->pages[doc->fill_page].live == 0)
        free_block(doc, doc->fill_page);
    doc->fill_page = head;
    doc->fill = head << ML_PAGE_SHIFT;
    doc->fill_end = doc->fill + bytes;
    return true;
}

static bool next_fill_page(struct ml_doc *doc, uint32_t need)
{
    uint32_t bytes =
        doc->fill_page == NIL ? PAGE_FIRST_BYTES : doc->pages[doc->fill_page].bytes * 4;

    while (bytes < need)
        bytes *= 4;
    return begin_fill_page(doc, bytes < ML_PAGE_BYTES ? bytes : ML_PAGE_BYTES);
}

uint32_t ml_content_put(struct ml_doc *doc, struct ml_slice bytes, uint32_t held)
{
    uint32_t address;

    if (!held)
        return 0;
    if (doc->fill_end - doc->fill < held && held > PAGE_OWN_BYTES) {
        uint32_t head = add_block(doc, held);

        if (head == NIL)
            return NIL;
        doc->pages[head].live = held;
        address = head << ML_PAGE_SHIFT;
    } else {
        if (doc->fill_end - doc->fill < held && !next_fill_page(doc, held))
            return NIL;
        address = doc->fill;
        doc->fill += held;
        doc->pages[doc->fill_page].live += held;
    }
    if (bytes.len)
        memcpy(ml_content_at(doc, address), bytes.ptr, bytes.len);
    return address;
}

void ml_content_drop(struct ml_doc *doc, uint32_t address, uint32_t held)
{
    uint32_t head;

    if (!held)
        return;
    head = doc->pages[address >> ML_PAGE_SHIFT].head;
    ML_ASSERT_DEBUG(doc->pages[head].live >= held);
    doc->pages[head].live -= held;
    if (head == doc->fill_page) {
        if (address + held == doc->fill)
            doc->fill = address;
        if (doc->pages[head].live == 0)
            doc->fill = head << ML_PAGE_SHIFT;
    } else if (doc->pages[head].live == 0) {
        free_block(doc, head);
    }
}

bool ml_content_extend(struct ml_doc *doc, uint32_t address, uint32_t held, uint32_t more)
{
    if (!held || address + held != doc->fill || doc->fill_end - doc->fill < more)
        return false;
    doc->fill += more;
    doc->pages[doc->fill_page].live += more;
    return true;
}

/* ---- Contents packed anew
 * ------------------------------------------------------------------------------------------- */

/* Less than this share of the blocks is not worth moving everything. */
#define PACK_SHARE 8

/* The contents of a document at their new addresses, before anything points there. */
struct packing {
    struct ml_page *pages; /* as they were */
    uint32_t page_count, page_cap, fill, fill_end, fill_page;
    uint32_t *items; /* [items.used] new address by item */
    uint32_t *names; /* [name_count] */
};

static uint64_t packed_bytes(const struct ml_doc *doc)
{
    uint64_t bytes = 0;

    for (uint32_t s = 0; s < doc->client_count; s++) {
        struct ml_run_walk walk;

        if (!doc->clients[s].runs)
            continue;
        for (uint32_t i = ml_run_walk_start(&walk, &doc->clients[s], 0); i != NIL;
             i = ml_run_walk_next(&walk))
            if (ml_item_has_bytes(ml_item_at(doc, i)))
                bytes += ml_item_at(doc, i)->blen;
    }
    for (uint32_t n = 0; n < doc->name_count; n++)
        bytes += doc->names[n].len;
    return bytes;
}

static uint64_t block_bytes(const struct ml_doc *doc)
{
    uint64_t bytes = 0;

    for (uint32_t p = 0; p < doc->page_count; p++)
        if (doc->pages[p].base && doc->pages[p].head == p)
            bytes += doc->pages[p].bytes;
    return bytes;
}

static uint32_t put_again(struct ml_doc *doc, const struct ml_page *old, uint32_t off, uint32_t len)
{
    const uint8_t *from = old[off >> ML_PAGE_SHIFT].base + (off & (ML_PAGE_BYTES - 1));

    return ml_content_put(doc, ml_slice_make(from, len), len);
}

static bool put_all_again(struct ml_doc *doc, struct packing *p)
{
    for (uint32_t s = 0; s < doc->client_count; s++) {
        struct ml_run_walk walk;

        if (!doc->clients[s].runs)
            continue;
        for (uint32_t i = ml_run_walk_start(&walk, &doc->clients[s], 0); i != NIL;
             i = ml_run_walk_next(&walk)) {
            const struct ml_item *item = ml_item_at(doc, i);

            if (!ml_item_has_bytes(item) || !item->blen)
                continue;
            p->items[i] = put_again(doc, p->pages, item->off, item->blen);
            if (p->items[i] == NIL)
                return false;
        }
    }
    for (uint32_t n = 0; n < doc->name_count; n++) {
        const struct ml_name *name = &doc->names[n];

        p->names[n] = name->len ? put_again(doc, p->pages, name->off, name->len) : 0;
        if (p->names[n] == NIL)
            return false;
    }
    return true;
}

/* Nothing fails any more: point to the new addresses. */
static void move_all(struct ml_doc *doc, const struct packing *p)
{
    for (uint32_t s = 0; s < doc->client_count; s++) {
        struct ml_run_walk walk;

        if (!doc->clients[s].runs)
            continue;
        for (uint32_t i = ml_run_walk_start(&walk, &doc->clients[s], 0); i != NIL;
             i = ml_run_walk_next(&walk)) {
            struct ml_item *item = ml_item_at(doc, i);

            if (!ml_item_has_bytes(item))
                continue;
            item->off = item->blen ? p->items[i] : 0;
            if (!ml_item_is_keyed(item))
                item->aux = item->blen;
        }
    }
    for (uint32_t n = 0; n < doc->name_count; n++)
        doc->names[n].off = p->names[n];
}

static void free_pages(struct ml_doc *doc)
{
    for (uint32_t p = doc->page_count; p > 0; p--)
        if (p <= doc->page_count && doc->pages[p - 1].base && doc->pages[p - 1].head == p - 1)
            free_block(doc, p - 1);
    ml_doc_drop(doc, doc->pages, doc->page_cap * sizeof *doc->pages);
}

static void take_pages(struct ml_doc *doc, struct packing *p)
{
    *p = (struct packing){.pages = doc->pages,
                          .page_count = doc->page_count,
                          .page_cap = doc->page_cap,
                          .fill = doc->fill,
                          .fill_end = doc->fill_end,
                          .fill_page = doc->fill_page};
    doc->pages = NULL;
    doc->page_count = doc->page_cap = doc->fill = doc->fill_end = 0;
    doc->fill_page = NIL;
}

static void put_pages_back(struct ml_doc *doc, const struct packing *p)
{
    doc->pages = p->pages;
    doc->page_count = p->page_count;
    doc->page_cap = p->page_cap;
    doc->fill = p->fill;
    doc->fill_end = p->fill_end;
    doc->fill_page = p->fill_page;
}

/* The page that is being filled ends where its content ends. */
static void trim_fill_page(struct ml_doc *doc)
{
    struct ml_page *page;
    uint32_t used;
    uint8_t *base;

    if (doc->fill_page == NIL)
        return;
    page = &doc->pages[doc->fill_page];
    used = doc->fill & (ML_PAGE_BYTES - 1);
    if (!used || used >= page->bytes) /* none, or full: `fill` is in the next page then */
        return;
    base = malloc((size_t)used + ML_PAGE_PAD);
    if (!base)
        return;
    memcpy(base, page->base, used);
    if (page->bytes == ML_PAGE_BYTES)
        ml_pool_give(ML_BLOCK_PAGE, page->base);
    else
        free(page->base);
    doc->memory_bytes -= page->bytes - used;
    page->base = base;
    page->bytes = used;
    doc->fill_end = doc->fill;
}

static void pack_contents(struct ml_doc *doc)
{
    uint64_t need = packed_bytes(doc), have = block_bytes(doc);
    struct packing p, packed;

    if (!have || have - need <= have / PACK_SHARE)
        return;
    take_pages(doc, &p);
    p.items = malloc(((size_t)doc->items.used + 1) * sizeof *p.items);
    p.names = malloc(((size_t)doc->name_count + 1) * sizeof *p.names);
    if (p.items && p.names &&
        (!need || begin_fill_page(doc, need < ML_PAGE_BYTES ? (uint32_t)need : ML_PAGE_BYTES)) &&
        put_all_again(doc, &p)) {
        move_all(doc, &p);
        take_pages(doc, &packed);
        put_pages_back(doc, &p);
        free_pages(doc);
        put_pages_back(doc, &packed);
        trim_fill_page(doc);
    } else {
        free_pages(doc);
        put_pages_back(doc, &p);
    }
    free(p.items);
    free(p.names);
}

void ml_store_cool(struct ml_doc *doc)
{
    ml_doc_drop(doc, doc->order, doc->order_cap * sizeof *doc->order);
    doc->order = NULL;
    doc->order_count = doc->order_cap = 0;
    ml_doc_drop(doc, doc->stamps, doc->stamp_cap * sizeof *doc->stamps);
    doc->stamps = NULL;
    doc->stamp_cap = doc->stamp_next = 0;
    ml_pile_drop(doc);
    pack_contents(doc);
}

/* ---- Names
 * -------------------------------------------------------------------------------------------- */

static uint32_t find_name_slot(const struct ml_doc *doc, struct ml_slice text, uint32_t hash)
{
    uint32_t i = hash & (doc->name_table_cap - 1);

    for (;; i = (i + 1) & (doc->name_table_cap - 1)) {
        uint32_t name = doc->name_table[i];

        if (name == NIL ||
            (doc->names[name].hash == hash && ml_slice_equal(ml_name_text(doc, name), text)))
            return i;
    }
}

static bool grow_name_table(struct ml_doc *doc)
{
    uint32_t cap = doc->name_table_cap ? doc->name_table_cap * 2 : 4;
    uint32_t *table = ml_doc_alloc(doc, cap * sizeof *table);

    if (!table)
        return false;
    memset(table, 0xff, cap * sizeof *table);
    for (uint32_t n = 0; n < doc->name_count; n++) {
        uint32_t i = doc->names[n].hash & (cap - 1);

        while (table[i] != NIL)
            i = (i + 1) & (cap - 1);
        table[i] = n;
    }
    ml_doc_drop(doc, doc->name_table, doc->name_table_cap * sizeof *table);
    doc->name_table = table;
    doc->name_table_cap = cap;
    return true;
}

uint32_t ml_name_find(const struct ml_doc *doc, struct ml_slice text)
{
    if (!doc->name_count)
        return NIL;
    return doc->name_table[find_name_slot(doc, text, (uint32_t)ml_hash_bytes(text))];
}

uint32_t ml_name_intern(struct ml_doc *doc, struct ml_slice text)
{
    uint32_t hash = (uint32_t)ml_hash_bytes(text), i, off;

    if (doc->name_count * 4 >= doc->name_table_cap * 3 && !grow_name_table(doc))
        return NIL;
    i = find_name_slot(doc, text, hash);
    if (doc->name_table[i] != NIL)
        return doc->name_table[i];
    if (doc->name_count == doc->name_cap) {
        void *grown = ml_doc_grow(doc, doc->names, &doc->name_cap, sizeof *doc->names);

        if (!grown)
            return NIL;
        doc->names = grown;
    }
    off = ml_content_put(doc, text, (uint32_t)text.len);
    if (off == NIL)
        return NIL;
    doc->names[doc->name_count] = (struct ml_name){off, (uint32_t)text.len, hash, NIL};
    doc->name_table[i] = doc->name_count;
    return doc->name_count++;
}

uint32_t ml_root_get(struct ml_doc *doc, struct ml_slice text)
{
    uint32_t name = ml_name_intern(doc, text), branch;

    if (name == NIL || doc->names[name].root != NIL)
        return name == NIL ? NIL : doc->names[name].root;
    branch = ml_branch_new(doc);
    if (branch == NIL)
        return NIL;
    ml_branch_at(doc, branch)->name = name;
    ml_branch_at(doc, branch)->is_root = true;
    doc->names[name].root = branch;
    return branch;
}

void ml_root_free(struct ml_doc *doc, uint32_t branch)
{
    doc->names[ml_branch_at(doc, branch)->name].root = NIL;
    ml_branch_free(doc, branch);
}

/* The last name in is the last one on its way in the table, so its slot can be emptied. */
void ml_names_truncate(struct ml_doc *doc, uint32_t count)
{
    while (doc->name_count > count) {
        const struct ml_name *name = &doc->names[doc->name_count - 1];

        doc->name_table[find_name_slot(doc, ml_name_text(doc, doc->name_count - 1), name->hash)] =
            NIL;
        ml_content_drop(doc, name->off, name->len);
        doc->name_count--;
    }
}

/* ---- Clients
 * -------------------------------------------------------------------------------------------- */

/* Ids come from outside: a keyed hash. */
static uint32_t hash_id(ml_client_id id)
{
    return (uint32_t)ml_hash_bytes(ml_slice_make(&id, sizeof id));
}

uint32_t ml_slot_search(const struct ml_doc *doc, ml_client_id id)
{
    if (!doc->slot_table) {
        for (uint32_t s = 0; s < doc->client_count; s++)
            if (doc->clients[s].id == id)
                return s;
        return NIL;
    }
    for (uint32_t i = hash_id(id) & (doc->slot_table_cap - 1);;
         i = (i + 1) & (doc->slot_table_cap - 1)) {
        uint32_t s = doc->slot_table[i];

        if (s == NIL || doc->clients[s].id == id)
            return s;
    }
}

static void enter_slot(struct ml_doc *doc, uint32_t slot)
{
    uint32_t i = hash_id(doc->clients[slot].id) & (doc->slot_table_cap - 1);

    while (doc->slot_table[i] != NIL)
        i = (i + 1) & (doc->slot_table_cap - 1);
    doc->slot_table[i] = slot;
}

static bool grow_slot_table(struct ml_doc *doc)
{
    uint32_t cap = doc->slot_table_cap ? doc->slot_table_cap * 2 : ML_CLIENTS_LINEAR * 4;
    uint32_t *table = ml_doc_alloc(doc, cap * sizeof *table);

    if (!table)
        return false;
    memset(table, 0xff, cap * sizeof *table);
    ml_doc_drop(doc, doc->slot_table, doc->slot_table_cap * sizeof *table);
    doc->slot_table = table;
    doc->slot_table_cap = cap;
    for (uint32_t s = 0; s < doc->client_count; s++)
        enter_slot(doc, s);
    return true;
}

uint32_t ml_slot_get(struct ml_doc *doc, ml_client_id id)
{
    uint32_t slot = ml_slot_find(doc, id);
    struct ml_client *c;

    if (slot != NIL)
        return slot;
    if (doc->client_count == doc->client_cap) {
        void *grown = ml_doc_grow(doc, doc->clients, &doc->client_cap, sizeof *doc->clients);

        if (!grown)
            return NIL;
        doc->clients = grown;
    }
    if (doc->client_count >= ML_CLIENTS_LINEAR &&
        (doc->client_count + 1) * 2 > doc->slot_table_cap && !grow_slot_table(doc))
        return NIL;
    slot = doc->client_count++;
    c = &doc->clients[slot];
    *c = (struct ml_client){.id = id, .tail = NIL};
    c->id_len = (uint8_t)(ml_put_varuint(c->id_bytes, id) - c->id_bytes);
    if (doc->slot_table)
        enter_slot(doc, slot);
    return slot;
}

uint64_t ml_state_of(const struct ml_doc *doc, ml_client_id id)
{
    uint32_t slot = ml_slot_find(doc, id);

    return slot == NIL ? 0 : doc->clients[slot].next;
}

/* ---- The end
 * ---------------------------------------------------------------------------------------------- */

static void release_client(struct ml_doc *doc, struct ml_client *c)
{
    for (uint32_t i = 0; i < c->chunk_count; i++)
        ml_doc_drop(doc, c->chunk[i], ml_chunk_bytes(c->chunk[i]->cap));
    ml_doc_drop(doc, c->chunk, c->chunk_cap * sizeof(*c->chunk));
    ml_doc_drop(doc, c->first, c->chunk_cap * sizeof(*c->first));
}

void ml_store_release(struct ml_doc *doc)
{
    for (uint32_t b = 0; b < doc->branches.used; b++) {
        struct ml_keys *k = ml_branch_at(doc, b)->keys;

        if (k)
            ml_doc_drop(doc, k, keys_bytes(k->cap));
    }
    for (uint32_t s = 0; s < doc->client_count; s++)
        release_client(doc, &doc->clients[s]);
    for (uint32_t p = 0; p < doc->page_count; p++)
        if (doc->pages[p].base && doc->pages[p].head == p)
            free_block(doc, p);
    slabs_release(doc, &doc->items, sizeof(struct ml_item), ML_ITEM_SHIFT, true);
    slabs_release(doc, &doc->branches, sizeof(struct ml_branch), ML_BRANCH_SHIFT, false);
    ml_doc_drop(doc, doc->clients, doc->client_cap * sizeof *doc->clients);
    ml_doc_drop(doc, doc->slot_table, doc->slot_table_cap * sizeof *doc->slot_table);
    ml_doc_drop(doc, doc->names, doc->name_cap * sizeof *doc->names);
    ml_doc_drop(doc, doc->name_table, doc->name_table_cap * sizeof *doc->name_table);
    ml_doc_drop(doc, doc->pages, doc->page_cap * sizeof *doc->pages);
    ml_doc_drop(doc, doc->order, doc->order_cap * sizeof *doc->order);
    ml_doc_drop(doc, doc->stamps, doc->stamp_cap * sizeof *doc->stamps);
    ml_pile_drop(doc);
}
