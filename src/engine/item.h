/* SPDX-License-Identifier: MIT */
/*
 * How a document lies in memory. Private to engine/.
 *
 *   names      interned root names, map keys, node names: a number each
 *   branches   shared types: a list (start -> right -> right ...) and a map (key -> last of its
 * chain) items      runs of units, 52 bytes, linked by index: left/right inside a list or key chain
 *   clients    per author a clock index: chunks of 64 (first clock, item), sorted, without gaps
 *   content    the bytes of the wire in pages of 64 kB; text is UTF-8, values are not decoded
 *
 *   branch "t"    start
 *                   v
 *        [ ann 0-4 "hello" ] <-> [ ben 0 "!" ] <-> [ ann 5-9 deleted ]      left/right: the
 * document ^                      ^                  ^ ann:  0
 * --------------------------------------- 5                  clock index: the authors ben:   0
 *
 * Indexes instead of pointers: half the size. NIL is none. Nothing here is locked: one thread at a
 * time owns a document.
 *
 * Invariants, all checked by ml_doc_check between calls:
 *  [B1] the runs of a client are sorted by clock and leave no gap from 0 to its `next`;
 *  [B2] no two neighbours in clock order could be one run (ml_runs_match);
 *  [B3] left and right of an item point back at it, and all of a list or chain have one parent, one
 * key; [B4] `start` has no left, the map entry of a key has no right, and every item that is no GC
 * is reachable from one of them; [B5] an item that is not the entry of its key is deleted; [B6] the
 * items of a deleted type are deleted; a collected type has none; [B7] the length of a branch is
 * the number of its live countable units; [B8] origin and right origin name units that are there;
 * an own one lies before the item; [B9] with collection on, no deleted run holds content
 * that is not kept; [B10] the
 * counters (runs, deleted runs, live bytes of pages, pending) are right; [B11] the delete set,
 * while it is known, is that of the runs; [B12] the index of positions, if there is one, says
 * what the lists say; [P1] parked clients and their structs are sorted and do
 * not overlap; [P2] each parked client waits for a unit that is not there; [P3] no pending delete
 * names a unit that is there; [H1] what is kept is held by types that are kept, and is there only
 * as long as there is a history; [H2] a run is marked redone exactly if a copy of its first unit is
 * known; copies of all its units stand in a row, and are there.
 *
 * Failure: every ceiling is checked, and item slabs are reserved, before an update touches the
 * first link. Should the heap refuse a smaller thing in the middle, the document is `broken`: from
 * then on every call that can answers ML_ELIMIT, and the owner throws it away and loads it again.
 */
#ifndef ML_ENGINE_ITEM_H
#define ML_ENGINE_ITEM_H

#include "base/assert.h"
#include "engine/codec_v1.h"

#define NIL UINT32_MAX

/* ---- Items ------------------------------------------------------------------------------------
 */

/** A run of units of one author, or a collected range (kind GC: clock, len and author only). */
struct ml_item {
    uint32_t clock, len;      /* first clock; units, >= 1 */
    uint32_t left, right;     /* neighbours in the list or key chain, deleted ones included */
    uint32_t o_cl, o_clock;   /* origin: client slot (NIL: none) and clock */
    uint32_t ro_cl, ro_clock; /* right origin, likewise */
    uint32_t cl;              /* author's slot in 24 bits, ML_ITEM_* above */
    uint32_t parent;          /* branch */
    uint32_t off, blen;       /* content: address and bytes; Type: `off` is its branch */
    uint32_t aux;             /* keyed: number of the key; else bytes held at `off`, >= blen */
};
_Static_assert(sizeof(struct ml_item) == 52, "a million runs should take 52 MB");

#define ML_ITEM_SLOT       0x00ffffffu
#define ML_ITEM_KIND_SHIFT 24
#define ML_ITEM_KIND       0x0f000000u
#define ML_ITEM_DELETED    0x10000000u
#define ML_ITEM_KEYED      0x20000000u
#define ML_ITEM_KEPT       0x40000000u /* deleted, but undo needs its content: not collected */
#define ML_ITEM_REDONE     0x80000000u /* undo made a copy: it stays a run of its own */

static inline uint32_t ml_item_slot(const struct ml_item *i)
{
    return i->cl & ML_ITEM_SLOT;
}

/** enum ml_wire_kind, never Skip. */
static inline unsigned ml_item_kind(const struct ml_item *i)
{
    return (i->cl & ML_ITEM_KIND) >> ML_ITEM_KIND_SHIFT;
}

static inline void ml_item_set_kind(struct ml_item *i, unsigned kind)
{
    i->cl = (i->cl & ~ML_ITEM_KIND) | kind << ML_ITEM_KIND_SHIFT;
}

static inline bool ml_item_is_gc(const struct ml_item *i)
{
    return (i->cl & ML_ITEM_KIND) == (uint32_t)ML_WIRE_GC << ML_ITEM_KIND_SHIFT;
}

/** True also for GC. */
static inline bool ml_item_is_deleted(const struct ml_item *i)
{
    return i->cl & ML_ITEM_DELETED;
}

static inline bool ml_item_is_keyed(const struct ml_item *i)
{
    return i->cl & ML_ITEM_KEYED;
}

static inline uint32_t ml_item_end(const struct ml_item *i)
{
    return i->clock + i->len;
}

/** Is it seen by readers: alive and countable? */
static inline bool ml_item_is_visible(const struct ml_item *i)
{
    return !ml_item_is_deleted(i) && ml_wire_is_countable(ml_item_kind(i));
}

/** Do bytes at `off` belong to it? */
static inline bool ml_item_has_bytes(const struct ml_item *i)
{
    unsigned kind = ml_item_kind(i);

    return kind != ML_WIRE_GC && kind != ML_WIRE_DELETED && kind != ML_WIRE_TYPE;
}

/** Bytes it holds in the content pages: a text run that is typed on has room to grow. */
static inline uint32_t ml_item_held(const struct ml_item *i)
{
    if (!ml_item_has_bytes(i))
        return 0;
    return ml_item_is_keyed(i) ? i->blen : i->aux;
}

/* ---- Slabs --------------------------------------------------------------------------------------
 */

/**
 * Numbered things of one size, 2^shift in a slab; numbers stay, and so do addresses once slab 0 is
 * full (it starts small and moves while it grows, so that a small document stays small).
 */
struct ml_slabs {
    uint8_t **slab;
    uint32_t slab_count, slab_cap;  /* slabs there; room in `slab` */
    uint32_t used, room;            /* numbers handed out so far; numbers that fit */
    uint32_t free_head, free_count; /* freed numbers, linked through their first word */
};

#define ML_ITEM_SHIFT   10
#define ML_BRANCH_SHIFT 7

/* ---- Branches -----------------------------------------------------------------------------------
 */

/** Key number -> last item of its chain. Up to ML_KEYS_LINEAR a plain array, beyond open
 * addressing. */
struct ml_keys {
    uint32_t count, cap;
    struct ml_key_entry {
        uint32_t key; /* NIL: free slot */
        uint32_t item;
    } entries[];
};

#define ML_KEYS_LINEAR 8

struct ml_branch {
    uint32_t item;    /* the item that holds it; NIL: a root */
    uint32_t start;   /* first of its list */
    uint32_t length;  /* live countable units of the list */
    uint32_t name;    /* root name or node name; NIL: none */
    uint8_t type_ref; /* nested types */
    bool is_root;
    uint16_t depth;       /* roots: 0 */
    struct ml_keys *keys; /* owned, NULL: no key yet */
};

/* ---- Clients
 * ------------------------------------------------------------------------------------- */

#define ML_CHUNK_MAX 64

/** Part of a clock index. `clock` is stored with the top bit flipped: SSE2 compares signed. */
struct ml_chunk {
    uint32_t count, cap; /* cap: 4, 16 or 64 */
    int32_t clock[];     /* [cap], free slots INT32_MAX; the items, [cap], stand behind */
};

static inline uint32_t *ml_chunk_items(struct ml_chunk *c)
{
    return (uint32_t *)(void *)(c->clock + c->cap);
}

static inline size_t ml_chunk_bytes(uint32_t cap)
{
    return sizeof(struct ml_chunk) + cap * (sizeof(int32_t) + sizeof(uint32_t));
}

struct ml_client {
    ml_client_id id;
    uint32_t next; /* the next expected clock */
    uint32_t tail; /* its last run, NIL: none */
    uint32_t runs, deleted_runs;
    uint32_t chunk_count, chunk_cap, hint; /* hint: chunk of the last look-up */
    uint32_t txn, before;        /* number of the last transaction that added; `next` before it */
    int32_t *first;              /* [chunk_cap] first clock of each chunk, flipped */
    struct ml_chunk **chunk;     /* no chunk while there is a single run */
    uint8_t id_bytes[8], id_len; /* varuint of `id` */
};

/* ---- Names and content
 * ---------------------------------------------------------------------------- */

struct ml_name {
    uint32_t off, len; /* in the content pages */
    uint32_t hash;
    uint32_t root; /* the root of this name; NIL: none */
};

#define ML_PAGE_SHIFT 16
#define ML_PAGE_BYTES (1u << ML_PAGE_SHIFT)
#define ML_PAGES_MAX  65535u
/** Every block may be read so far beyond its end: short contents are copied in one piece. */
#define ML_PAGE_PAD 32

/** Address a means page a >> 16, byte a & 0xffff; a large content has several pages in a row. */
struct ml_page {
    uint8_t *base;  /* NULL: this number is free */
    uint32_t head;  /* number of the first page of the block it belongs to */
    uint32_t bytes; /* head only: size of the block */
    uint32_t live;  /* head only: bytes in use */
};

/* ---- Sets of ids
 * ----------------------------------------------------------------------------------- */

/** Ranges of units: as collected in any order, or normalized (client descending, joined). */
struct ml_idset {
    struct ml_wire_range *ranges; /* owned */
    size_t count, cap;
};

/** False: out of memory. Joins with the last range where that is easy. */
bool ml_idset_add(struct ml_idset *set, ml_client_id client, uint64_t clock, uint64_t len);
void ml_idset_normalize(struct ml_idset *set);
/** Both normalized, and so is the result. False: out of memory, nothing changed. */
bool ml_idset_merge(struct ml_idset *to, const struct ml_idset *from);
/** Of a normalized set the first range of the client, or where it would stand. */
size_t ml_idset_find(const struct ml_idset *set, ml_client_id client);
void ml_idset_release(struct ml_idset *set);

/* ---- Transactions
 * ----------------------------------------------------------------------------------- */

/** Units of one client, by slot: deleted ranges and places where a merge may be possible. */
struct ml_run {
    uint32_t slot, clock, end;
};

struct ml_runs {
    struct ml_run *at; /* owned */
    uint32_t count, cap;
};

/**
 * What one apply has touched. Lives in the document, so that an idle document holds no more than
 * the few entries that a small update needs.
 */
struct ml_txn {
    uint32_t number;
    struct ml_runs clients; /* that got structs: (slot, clock before, unused) */
    struct ml_runs deleted; /* newly deleted */
    struct ml_runs merges;  /* run borders to look at in the end: [clock, end] inclusive */
    uint32_t *stack;        /* items: work list of deletes and collection */
    uint32_t stack_count, stack_cap;
    uint64_t inserted_units, deleted_units;
    uint64_t scan_left; /* steps that searching a place may still take; 0: the rest waits */
    /**
     * Where the new units of an author begin in the run that they were joined to: the record is
     * written from there on, and need not walk over what was there before. Of the last such join.
     */
    struct ml_border {
        uint32_t slot; /* NIL: none */
        uint32_t run_clock, clock, bytes;
    } border;
    struct ml_writer subdocs; /* that came and went, see subdoc.c */
    bool parked;              /* something of the update waits */
    bool dropped;             /* something did not fit into pending */
};

/* ---- Watching, undo
 * ---------------------------------------------------------------------------------- */

/**
 * Somebody who looks at every transaction when it is complete but not tidied: what it deleted still
 * has its content, runs are not joined. A document that is watched takes no short cuts.
 */
struct ml_watch {
    struct ml_watch *next;
    /** Nothing may be linked or deleted here. False: out of memory. */
    bool (*look)(struct ml_watch *watch, struct ml_doc *doc);
};

/** Units that undo has copied, and where the copies are. */
struct ml_redo_range {
    uint32_t slot, clock, len;
    uint32_t to_slot, to_clock;
};

/** [0, settled) and [settled, count) are sorted by slot and clock; no unit stands there twice. */
struct ml_redo_table {
    struct ml_redo_range *at; /* owned */
    uint32_t count, cap, settled;
};

/* ---- Pending
 * ------------------------------------------------------------------------------------------ */

/** One struct that waits, as its V1 bytes from the info byte on. */
struct ml_parked {
    uint64_t clock, len;
    uint8_t *bytes; /* owned */
    uint32_t size;
    uint8_t kind;
};

/** All waiting structs of one client, sorted by clock, without overlap; holes are possible. */
struct ml_parked_client {
    ml_client_id client;
    struct ml_id waits_for; /* the first one moves when this unit is there */
    struct ml_parked *at;   /* owned */
    uint32_t count, cap;
};

struct ml_pending {
    struct ml_parked_client *clients; /* owned, sorted by client ascending */
    uint32_t count, cap;
    struct ml_idset deletes; /* normalized */
    uint64_t structs, bytes;
    bool deferred; /* something waits only because a transaction had no steps left */
};

/* ---- The document
 * --------------------------------------------------------------------------------------- */

/** The whole state in one format, as it was at a version. */
struct ml_kept_state {
    struct ml_blob *blob; /* own reference; NULL: none */
    uint64_t version;
    size_t deleted_bytes; /* of the delete set at its end; V2 only */
};

/* Items that were inserted at one place by people who did not know of each other; pile.c. */
struct ml_pile {
    uint32_t parent, key, o_cl, o_clock, ro_cl, ro_clock; /* the place */
    struct ml_pile_member {
        ml_client_id client;
        uint32_t slot, clock;
    } * members; /* owned: by client, ascending; no client twice */
    uint32_t count, cap;
};

struct ml_doc {
    struct ml_engine_limits limits; /* resolved */
    ml_client_id own_client;
    bool keep_deleted;
    bool broken;                 /* the heap refused in the middle of a change */
    bool is_writing;             /* between ml_doc_begin and its end */
    struct ml_watch *watches;    /* borrowed; NULL: nobody looks */
    struct ml_redo_table redone; /* as long as there is a history */
    uint32_t histories;
    uint64_t origin, now_ms; /* whose the transactions are, and when; 0: nobody's */

    struct ml_slabs items, branches;

    struct ml_client *clients; /* by slot; slots stay */
    uint32_t client_count, client_cap;
    uint32_t last_slot;   /* of the last id looked up */
    uint32_t *slot_table; /* open addressing from id, beyond ML_CLIENTS_LINEAR */
    uint32_t slot_table_cap;

    struct ml_name *names;
    uint32_t name_count, name_cap;
    uint32_t *name_table; /* open addressing from text */
    uint32_t name_table_cap;

    struct ml_page *pages;
    uint32_t page_count, page_cap;
    uint32_t fill, fill_end; /* addresses: free part of the page being filled */
    uint32_t fill_page;      /* NIL: none */

    struct ml_client_order {
        ml_client_id id;
        uint32_t slot;
    } * order; /* owned: clients by id, descending; behind when order_count < client_count */
    uint32_t order_count, order_cap;

    uint32_t *stamps; /* [stamp_cap] by item: position in a long conflict scan */
    uint32_t stamp_cap, stamp_next;
    struct ml_pile pile;
    struct ml_chain_head { /* of the key whose writers were many: near the first of them */
        uint32_t parent, key, slot, clock;
        bool is_known;
    } chain_head;

    struct ml_txn txn;
    /**
     * The delete set of the document as V1, if it is known: most keys do not change it, and every
     * answer ends with all of it.
     */
    struct ml_writer deleted;
    bool deleted_known;
    struct ml_kept_state kept[2]; /* V1, V2 */

    struct ml_writer record; /* scratch: the bytes of a change before they go to the arena */
    struct ml_pending pending;
    struct ml_writing *writing;     /* write.h; NULL: nothing was written yet */
    struct ml_positions *positions; /* position.h; NULL: nobody edits by index */
    uint64_t version;               /* counts changes */
    uint64_t memory_bytes;
    uint64_t fast_append, fast_delete, general;
    uint64_t steps; /* of searches, scans, deletes and tidying, as in ml_doc_stats */
};

#define ML_CLIENTS_LINEAR 8

static inline struct ml_item *ml_item_at(const struct ml_doc *doc, uint32_t index)
{
    return (struct ml_item *)(void *)doc->items.slab[index >> ML_ITEM_SHIFT] +
           (index & ((1u << ML_ITEM_SHIFT) - 1));
}

static inline struct ml_branch *ml_branch_at(const struct ml_doc *doc, uint32_t index)
{
    return (struct ml_branch *)(void *)doc->branches.slab[index >> ML_BRANCH_SHIFT] +
           (index & ((1u << ML_BRANCH_SHIFT) - 1));
}

static inline uint8_t *ml_content_at(const struct ml_doc *doc, uint32_t address)
{
    return doc->pages[address >> ML_PAGE_SHIFT].base + (address & (ML_PAGE_BYTES - 1));
}

/** The content bytes of an item that has some. */
static inline struct ml_slice ml_item_content(const struct ml_doc *doc, const struct ml_item *i)
{
    return i->blen ? ml_slice_make(ml_content_at(doc, i->off), i->blen) : ml_slice_make("", 0);
}

static inline struct ml_slice ml_name_text(const struct ml_doc *doc, uint32_t name)
{
    const struct ml_name *n = &doc->names[name];

    return n->len ? ml_slice_make(ml_content_at(doc, n->off), n->len) : ml_slice_make("", 0);
}

/* ---- pool.c: spare blocks of this thread
 * ------------------------------------------------------------------ */

enum ml_block { ML_BLOCK_ITEMS, ML_BLOCK_PAGE, ML_BLOCK_KINDS };

/** A block of the kind's size, not zeroed; NULL: out of memory. */
void *ml_pool_take(enum ml_block kind);
void ml_pool_give(enum ml_block kind, void *block);

/* ---- store.c: the memory of a document
 * ---------------------------------------------------------------------- */

/** malloc, realloc and free that count `doc->memory_bytes`; NULL: out of memory. */
void *ml_doc_alloc(struct ml_doc *doc, size_t bytes);
void *ml_doc_resize(struct ml_doc *doc, void *old, size_t old_bytes, size_t new_bytes);
void ml_doc_drop(struct ml_doc *doc, void *old, size_t bytes);
/** An owned array with room for more elements than `*cap`; NULL: out of memory, the old one stays.
 */
void *ml_doc_grow(struct ml_doc *doc, void *array, uint32_t *cap, size_t each_bytes);

/** Room for `more` items, so that the next `more` calls of ml_item_new cannot fail or move items.
 */
bool ml_items_reserve(struct ml_doc *doc, uint32_t more);
/** A number from the reserve. The struct is not cleared. */
uint32_t ml_item_new(struct ml_doc *doc);
void ml_item_free(struct ml_doc *doc, uint32_t index);

/** NIL: out of memory. */
uint32_t ml_branch_new(struct ml_doc *doc);
/** The keys go with it. */
void ml_branch_free(struct ml_doc *doc, uint32_t index);
/** Last item of the key's chain, NIL: none. */
uint32_t ml_branch_entry(const struct ml_branch *b, uint32_t key);
/** False: out of memory. */
bool ml_branch_set_entry(struct ml_doc *doc, uint32_t branch, uint32_t key, uint32_t item);
/** Walk the entries: `*cursor` starts at 0; false at the end. In no order. */
bool ml_branch_next_entry(const struct ml_branch *b, uint32_t *cursor, struct ml_key_entry *out);

/** Make `item` the last of the key's chain; NIL: the key was never there. Takes no memory. */
void ml_branch_reset_entry(struct ml_doc *doc, uint32_t branch, uint32_t key, uint32_t item);

/** `bytes` copied into the pages with room for `held` >= bytes.len; NIL: out of memory. */
uint32_t ml_content_put(struct ml_doc *doc, struct ml_slice bytes, uint32_t held);
/** These bytes are not used any more; empty pages go back. */
void ml_content_drop(struct ml_doc *doc, uint32_t address, uint32_t held);
/** Make the `held` bytes at `address` `more` longer in place, if they end where the next would
 * begin. */
bool ml_content_extend(struct ml_doc *doc, uint32_t address, uint32_t held, uint32_t more);

/** The number of a name, made if new; NIL: out of memory. */
uint32_t ml_name_intern(struct ml_doc *doc, struct ml_slice text);
/** The number of a name; NIL: never seen. */
uint32_t ml_name_find(const struct ml_doc *doc, struct ml_slice text);
/** The root of that name, made if new; NIL: out of memory. */
uint32_t ml_root_get(struct ml_doc *doc, struct ml_slice name);

/** Forget an empty root. */
void ml_root_free(struct ml_doc *doc, uint32_t branch);
/** Forget the names from `count` on, which nothing uses. */
void ml_names_truncate(struct ml_doc *doc, uint32_t count);

/* The general case of ml_slot_find. */
uint32_t ml_slot_search(const struct ml_doc *doc, ml_client_id id);

/** Slot of a client; NIL: not there. */
static inline uint32_t ml_slot_find(const struct ml_doc *doc, ml_client_id id)
{
    if (doc->last_slot < doc->client_count && doc->clients[doc->last_slot].id == id)
        return doc->last_slot;
    return ml_slot_search(doc, id);
}

/** Slot of a client, made if new; NIL: out of memory. Moves the array of clients. */
uint32_t ml_slot_get(struct ml_doc *doc, ml_client_id id);
/** State of a client: its next clock, 0 if it is not there. */
uint64_t ml_state_of(const struct ml_doc *doc, ml_client_id id);

/** Contents without the room that runs have to grow, tables made anew when they are needed. */
void ml_store_cool(struct ml_doc *doc);
void ml_store_release(struct ml_doc *doc);

/* ---- blocks.c: runs by clock
 * --------------------------------------------------------------------------------- */

/** The run that holds the unit; clock < next of the client. */
uint32_t ml_run_find(struct ml_doc *doc, uint32_t slot, uint32_t clock);
/** Put the item behind the last run of its client (item->clock == next). False: out of memory. */
bool ml_run_append(struct ml_doc *doc, uint32_t item);

/** Take the last run of a client, which is in no list, out of the index and free it. */
void ml_run_drop_tail(struct ml_doc *doc, uint32_t slot);

/** Walks the runs of one client in clock order; no run may come or go meanwhile. */
struct ml_run_walk {
    const struct ml_client *client;
    uint32_t chunk, pos;
};
/** Start at the run that holds `clock` < next; answers it. */
uint32_t ml_run_walk_start(struct ml_run_walk *w, const struct ml_client *client, uint32_t clock);
/** The next run, NIL: that was the last. */
static inline uint32_t ml_run_walk_next(struct ml_run_walk *w)
{
    const struct ml_client *c = w->client;

    if (w->chunk >= c->chunk_count)
        return NIL;
    if (++w->pos < c->chunk[w->chunk]->count)
        return ml_chunk_items(c->chunk[w->chunk])[w->pos];
    w->pos = 0;
    return ++w->chunk < c->chunk_count ? ml_chunk_items(c->chunk[w->chunk])[0] : NIL;
}

/**
 * Make the units from `units` on a run of their own, 0 < units < len; answers its number (from the
 * reserve of items). NIL: out of memory. Not for GC.
 */
uint32_t ml_run_split(struct ml_doc *doc, uint32_t item, uint32_t units);
/** Would a cut behind the first `units` units fall inside a character of two units? */
bool ml_item_is_inside_pair(const struct ml_doc *doc, const struct ml_item *i, uint32_t units);
/** The item whose last unit (first unit) is the given one, split off where needed; GC stays whole.
 */
uint32_t ml_item_ending_at(struct ml_doc *doc, uint32_t slot, uint32_t clock);
uint32_t ml_item_starting_at(struct ml_doc *doc, uint32_t slot, uint32_t clock);

/** Could `b`, the run after `a` in clock order, be part of `a`? `b_index` is its number. */
bool ml_runs_match(const struct ml_item *a, const struct ml_item *b, uint32_t b_index);
/** Make them one; `b` is freed. False: out of memory. */
bool ml_runs_join(struct ml_doc *doc, uint32_t a, uint32_t b);
/** Join everything that can be joined among the runs that touch [clock, end] of a client. */
bool ml_runs_join_around(struct ml_doc *doc, uint32_t slot, uint32_t clock, uint32_t end);

/**
 * Delete the units [clock, end) at one end of a live unkeyed run, if they become part of the
 * deleted run beside them: only the border moves. False: it is not that simple, nothing changed.
 */
bool ml_run_give(struct ml_doc *doc, uint32_t item, uint32_t clock, uint32_t end);

/* ---- transact.c, gc.c
 * ------------------------------------------------------------------------------------------ */

bool ml_runs_add(struct ml_doc *doc, struct ml_runs *runs, uint32_t slot, uint32_t clock,
                 uint32_t end);
/** Sort, and join what overlaps or touches. */
void ml_runs_normalize(struct ml_runs *runs);
/** Is the unit in one of the normalized runs? */
bool ml_runs_hold(const struct ml_runs *runs, uint32_t slot, uint32_t clock);
/** @param scan_steps  what searching places may cost */
void ml_txn_begin(struct ml_doc *doc, uint64_t scan_steps);
/** Note that a client is about to get a struct. */
bool ml_txn_touch(struct ml_doc *doc, uint32_t slot);
/** Put a number on the work list. False: out of memory. */
bool ml_txn_push(struct ml_doc *doc, uint32_t value);
/** Delete one live item and, if it holds a type, everything in it. False: out of memory. */
bool ml_item_delete(struct ml_doc *doc, uint32_t item);
/** Delete the known part of a range; the rest is added to `unknown`. False: out of memory. */
bool ml_delete_range(struct ml_doc *doc, const struct ml_wire_range *range,
                     struct ml_idset *unknown);
/** Collect (unless keep_deleted) and join what the transaction touched. */
bool ml_txn_tidy(struct ml_doc *doc);
/** Collect the deleted items of the transaction: content goes, children of types become GC. */
bool ml_txn_collect(struct ml_doc *doc);
/** Collect one item if it is deleted, is not kept and holds something. False: out of memory. */
bool ml_item_collect(struct ml_doc *doc, uint32_t item);
void ml_doc_watch(struct ml_doc *doc, struct ml_watch *watch);
void ml_doc_unwatch(struct ml_doc *doc, struct ml_watch *watch);
/** Give large scratch back; release: all of it. */
void ml_txn_end(struct ml_doc *doc);
void ml_txn_release(struct ml_doc *doc);

/* ---- integrate.c
 * ------------------------------------------------------------------------------------------------
 */

/** Where an item goes, found step by step. */
struct ml_spot {
    uint32_t left, right; /* NIL: none */
    uint32_t parent;      /* branch; NIL: it becomes GC */
    uint32_t key;         /* NIL: it is in the list */
    uint32_t o_cl, o_clock, ro_cl, ro_clock;
};

/**
 * Move at->left to the item behind which a new one of `client` goes, whatever has come in between
 * the neighbours. False: out of memory.
 */
bool ml_spot_settle(struct ml_doc *doc, ml_client_id client, struct ml_spot *at);

/* pile.c: see there. A pile is remembered to be fast; nothing fails if it is not. */
bool ml_pile_is_at(const struct ml_doc *doc, const struct ml_spot *at);
/** The nearest member with a smaller author than `client`; NIL: none. The pile is at the place. */
uint32_t ml_pile_before(struct ml_doc *doc, ml_client_id client);
void ml_pile_begin(struct ml_doc *doc, const struct ml_spot *at);
/** Remember an item if it is a member. */
void ml_pile_add(struct ml_doc *doc, uint32_t item);
/** A scan for another place passes `i`. */
void ml_pile_passed(struct ml_doc *doc, const struct ml_item *i);
void ml_pile_drop(struct ml_doc *doc);

/** Is everything there that `s` refers to? If not, `*missing_out` is the first id that is not. */
bool ml_struct_is_ready(const struct ml_doc *doc, const struct ml_wire *s,
                        struct ml_id *missing_out);
/**
 * Put one ready struct in its place: s->clock <= state of its client < end of it. False: out of
 * memory.
 */
bool ml_struct_integrate(struct ml_doc *doc, const struct ml_wire *s);
/** Link an item that has its left neighbour (or NIL), parent, key and content, and run its
 * content's effects. */
bool ml_item_link(struct ml_doc *doc, uint32_t item, uint32_t left);

/* ---- insert.c
 * ------------------------------------------------------------------------------------------------
 */

/** What a new item of the own client holds. */
struct ml_payload {
    enum ml_wire_kind kind;
    uint32_t len;          /* units */
    struct ml_slice bytes; /* as ml_item_content has them; Type: empty */
    uint8_t type_ref;      /* Type */
    uint32_t name;         /* Type: number of its node name, NIL: none */
};

/** What a living item holds. Borrows from the document until that item changes. */
struct ml_payload ml_payload_of(const struct ml_doc *doc, const struct ml_item *i);
/** Has the own client that many clocks left? */
bool ml_own_has_room(const struct ml_doc *doc, uint64_t units);
/**
 * A new item of the document's own client between at->left and at->right, in at->parent under
 * at->key or in its list; what else stands in `at` is worked out here. A type begins empty.
 *
 *   left and right touch (writing): right = left's right, or the first of the list; a new value of
 *   a key: left = its entry, right = NIL.
 *   they do not (undo puts back what stood between others): placed as others will place it.
 *
 * The transaction is told that the own client writes. Answers the item; NIL: out of memory.
 */
uint32_t ml_own_insert(struct ml_doc *doc, const struct ml_spot *at, const struct ml_payload *what);

/* ---- subdoc.c
 * ------------------------------------------------------------------------------------------------
 */

/** An item of kind Doc was linked, or is about to be deleted. False: out of memory. */
bool ml_subdoc_note(struct ml_doc *doc, const struct ml_item *i, bool removed);
/** Hand them out with the change. False: out of memory. */
bool ml_txn_list_subdocs(struct ml_doc *doc, struct ml_arena *scratch, struct ml_change *change);

/* ---- types.c
 * ------------------------------------------------------------------------------------------------
 */

/** The branch of a handle; *out NIL: a root that is not there. ML_ENOTFOUND: it is deleted. */
enum ml_err ml_type_branch(struct ml_doc *doc, struct ml_type type, uint32_t *out) ML_MUST_CHECK;
enum ml_err ml_branch_type(const struct ml_doc *doc, uint32_t branch, struct ml_type *out);

/* ---- write_txn.c
 * ------------------------------------------------------------------------------------------------
 */

/** Give back what writing keeps: its scratch memory, the index of positions. */
void ml_writing_release(struct ml_doc *doc);

/* ---- place.c
 * ------------------------------------------------------------------------------------------------
 */

/** The branch of a place; NIL: not there, or collected. Deleted ones are found. */
uint32_t ml_place_branch(const struct ml_doc *doc, const struct ml_place *place);
struct ml_place ml_branch_place(const struct ml_doc *doc, uint32_t branch);
bool ml_branch_is_deleted(const struct ml_doc *doc, uint32_t branch);
/** The run of the newest copy of a unit, and which of its units that is; NIL: not there yet. */
uint32_t ml_unit_find(const struct ml_doc *doc, const struct ml_id *id, uint32_t *unit_out);
/** The item of the visible unit `*index` of a list, which becomes the unit in it. NIL: too short;
 * then `*last_out` is the last item. */
uint32_t ml_list_unit(const struct ml_doc *doc, uint32_t branch, uint32_t *index,
                      uint32_t *last_out);

/* ---- redone.c
 * ------------------------------------------------------------------------------------------------
 */

/** Where the copy of a unit is, and of those after it so far as they stand in a row. */
bool ml_redone_find(const struct ml_doc *doc, uint32_t slot, uint32_t clock, struct ml_run *to_out);
/** The newest copy of `run`, or of its first units so far as they stand in a row; itself if none.
 */
struct ml_run ml_redone_follow(const struct ml_doc *doc, struct ml_run run);
/** Note that the units of run `from` were copied to `to`, as many. False: out of memory. */
bool ml_redone_add(struct ml_doc *doc, uint32_t from, uint32_t to);
/** After a row of adds: look-ups are cheap again. */
void ml_redone_settle(struct ml_doc *doc);
void ml_redone_release(struct ml_doc *doc);

/* ---- state.c
 * ----------------------------------------------------------------------------------------------------
 */

/** A section with the runs of a client from clock `from` < next on. */
void ml_write_runs(struct ml_writer *w, const struct ml_doc *doc, uint32_t slot, uint32_t from);
/** The same for the record of a transaction, which has added the units from `from` on. */
void ml_write_new_runs(struct ml_writer *w, const struct ml_doc *doc, uint32_t slot, uint32_t from);
/** Bring doc->order up to date. False: out of memory. */
bool ml_doc_order_clients(struct ml_doc *doc);
/** Bring doc->deleted up to date. False: out of memory. */
bool ml_doc_know_deleted(struct ml_doc *doc);

/* ---- pending.c
 * ---------------------------------------------------------------------------------------------------
 */

/** Keep a struct for later; what does not fit is dropped and noted in the transaction. */
bool ml_pending_park(struct ml_doc *doc, const struct ml_wire *s, const struct ml_id *waits_for);
/** Keep delete ranges for later; the set is emptied. */
bool ml_pending_add_deletes(struct ml_doc *doc, struct ml_idset *set);
/** Delete what has arrived meanwhile. */
bool ml_pending_retry_deletes(struct ml_doc *doc);
/** Has something come that a parked struct waits for? */
bool ml_pending_can_move(const struct ml_doc *doc);
/** A parked struct as it was on the wire. */
void ml_parked_read(const struct ml_parked *p, ml_client_id client, struct ml_wire *out);
/** Forget the first `count` structs of a client; it waits for `waits_for` now. */
void ml_pending_advance(struct ml_doc *doc, struct ml_parked_client *c, uint32_t count,
                        const struct ml_id *waits_for);
/** Forget clients of which nothing waits any more. */
void ml_pending_compact(struct ml_doc *doc);
/** What a holder of the state vector lacks of the parked structs, as an update; holes as Skips. */
void ml_pending_write_structs(struct ml_writer *w, const struct ml_doc *doc,
                              uint64_t (*state_of)(const void *sv, ml_client_id client),
                              const void *sv);
void ml_pending_release(struct ml_doc *doc);

#endif
