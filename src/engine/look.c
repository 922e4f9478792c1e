/* SPDX-License-Identifier: MIT */
/* One transaction under the eyes of who looks for collisions: what came, what went, who had seen
 * what, and how a place is named. */
#include "engine/look.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Who has seen what ----------------------------------------------------------------------- */

static int by_range(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

enum ml_err ml_look_read_ranges(struct ml_look *l)
{
    size_t room = ml_update_facts(l->update)->delete_ranges;
    struct ml_wire_reader r;
    bool more = true;
    enum ml_err err = ML_OK;

    l->ranges = ml_arena_array(l->arena, room + 1, sizeof *l->ranges);
    if (!l->ranges)
        return ML_ELIMIT;
    ml_update_reread_ranges(l->update, &r);
    while (l->range_count < room) {
        err = ml_wire_next_range(&r, &l->ranges[l->range_count], &more);
        if (err || !more)
            break;
        l->range_count++;
    }
    if (l->range_count)
        qsort(l->ranges, l->range_count, sizeof *l->ranges, by_range);
    return err;
}

/* The first range that ends behind the unit. */
static size_t find_range(const struct ml_look *l, ml_client_id client, uint64_t clock)
{
    size_t lo = 0, hi = l->range_count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ml_wire_range *r = &l->ranges[mid];

        if (r->client < client || (r->client == client && r->clock + r->len <= clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool ml_look_is_erased(const struct ml_look *l, ml_client_id client, uint64_t clock)
{
    size_t n = find_range(l, client, clock);

    return n < l->range_count && l->ranges[n].client == client && l->ranges[n].clock <= clock;
}

bool ml_look_is_erased_to(const struct ml_look *l, ml_client_id client, uint64_t clock,
                          uint64_t end, uint64_t *end_out)
{
    size_t lo = find_range(l, client, clock);
    const struct ml_wire_range *r = lo < l->range_count ? &l->ranges[lo] : NULL;

    *end_out = end;
    if (!r || r->client != client)
        return false;
    if (r->clock > clock) {
        *end_out = r->clock < end ? r->clock : end;
        return false;
    }
    *end_out = r->clock + r->len < end ? r->clock + r->len : end;
    return true;
}

static int by_client(const void *pa, const void *pb)
{
    const struct ml_id *a = pa, *b = pb;

    return (a->client > b->client) - (a->client < b->client);
}

enum ml_err ml_look_read_seen(struct ml_look *l)
{
    struct ml_reader in = ml_reader_make(l->ask->seen);
    uint64_t left = 0;
    bool more = true;
    enum ml_err err = ML_OK;

    if (!l->ask->seen.ptr)
        return ML_OK;
    err = ml_state_vector_open(&in, &left);
    if (err || left > l->ask->seen.len)
        return err;
    l->seen = ml_arena_array(l->arena, (size_t)left + 1, sizeof *l->seen);
    if (!l->seen)
        return ML_ELIMIT;
    for (;;) {
        err = ml_state_vector_next(&in, &left, &l->seen[l->seen_count], &more);
        if (err || !more)
            break;
        l->seen_count++;
    }
    if (l->seen_count)
        qsort(l->seen, l->seen_count, sizeof *l->seen, by_client);
    return err;
}

uint64_t ml_look_seen_to(const struct ml_look *l, ml_client_id client)
{
    const struct ml_id wanted = {client, 0}, *at = NULL;

    if (l->seen_count)
        at = bsearch(&wanted, l->seen, l->seen_count, sizeof *l->seen, by_client);
    return at ? at->clock : 0;
}

bool ml_look_knows_seen(const struct ml_look *l)
{
    return l->ask->seen.ptr && !l->ask->was_told;
}

bool ml_look_has_seen(const struct ml_look *l, ml_client_id client, uint64_t clock)
{
    for (uint32_t n = 0; n < l->update->section_count; n++) {
        const struct ml_section *s = &l->update->sections[n];

        if (s->client == client && s->first_clock <= clock && clock < s->end_clock)
            return true;
    }
    return ml_look_knows_seen(l) && clock < ml_look_seen_to(l, client);
}

/* ---- Items ----------------------------------------------------------------------------------- */

struct ml_id ml_look_last_unit(const struct ml_doc *doc, const struct ml_item *i)
{
    return (struct ml_id){doc->clients[ml_item_slot(i)].id, ml_item_end(i) - 1};
}

bool ml_look_is_added(const struct ml_doc *doc, const struct ml_item *i)
{
    const struct ml_client *c = &doc->clients[ml_item_slot(i)];

    return c->txn == doc->txn.number && i->clock >= c->before;
}

bool ml_look_is_deleted_now(const struct ml_look *l, const struct ml_item *i)
{
    return ml_item_is_deleted(i) && ml_runs_hold(&l->deleted, ml_item_slot(i), i->clock);
}

void ml_look_each_item(struct ml_look *l, const struct ml_run *run,
                       void (*each)(struct ml_look *l, const struct ml_item *i))
{
    struct ml_run_walk walk;

    if (run->clock >= run->end)
        return;
    for (uint32_t n = ml_run_walk_start(&walk, &l->doc->clients[run->slot], run->clock);
         n != NIL && ml_item_at(l->doc, n)->clock < run->end; n = ml_run_walk_next(&walk))
        each(l, ml_item_at(l->doc, n));
}

void ml_look_each_added(struct ml_look *l, void (*each)(struct ml_look *l, const struct ml_item *i))
{
    const struct ml_txn *t = &l->doc->txn;

    for (uint32_t i = 0; i < t->clients.count; i++) {
        uint32_t slot = t->clients.at[i].slot;
        const struct ml_run run = {slot, l->doc->clients[slot].before, l->doc->clients[slot].next};

        ml_look_each_item(l, &run, each);
    }
}

bool ml_look_copy_deleted(struct ml_look *l)
{
    const struct ml_runs *from = &l->doc->txn.deleted;

    if (!from->count)
        return true;
    l->deleted.at = malloc(from->count * sizeof *l->deleted.at);
    if (!l->deleted.at)
        return false;
    memcpy(l->deleted.at, from->at, from->count * sizeof *l->deleted.at);
    l->deleted.count = from->count;
    ml_runs_normalize(&l->deleted);
    return true;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static void write_segment(struct ml_writer *w, struct ml_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '/' || name.ptr[i] == '~')
            ml_write_bytes(w, name.ptr[i] == '/' ? ML_SLICE("~1") : ML_SLICE("~0"));
        else
            ml_write_u8(w, name.ptr[i]);
    }
}

static void write_index(struct ml_writer *w, const struct ml_doc *doc, const struct ml_item *i)
{
    uint64_t index = 0;
    char digits[24];

    for (uint32_t n = i->left; n != NIL; n = ml_item_at(doc, n)->left)
        index += ml_item_is_visible(ml_item_at(doc, n)) ? ml_item_at(doc, n)->len : 0;
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)index);
    ml_write_bytes(w, ml_slice_str(digits));
}

enum ml_err ml_look_tell_path(struct ml_look *l, uint32_t branch, struct ml_slice *out)
{
    const struct ml_doc *doc = l->doc;
    size_t depth = 1, n;
    uint32_t *branches, at = branch;
    struct ml_writer w;
    enum ml_err err;

    while (!ml_branch_at(doc, at)->is_root) {
        at = ml_item_at(doc, ml_branch_at(doc, at)->item)->parent;
        depth++;
    }
    branches = ml_arena_array(l->arena, depth, sizeof *branches);
    if (!branches)
        return ML_ELIMIT;
    for (n = depth, at = branch; n-- > 0;) {
        branches[n] = at;
        if (n)
            at = ml_item_at(doc, ml_branch_at(doc, at)->item)->parent;
    }
    ml_writer_init(&w, (size_t)16 << 20);
    write_segment(&w, ml_name_text(doc, ml_branch_at(doc, branches[0])->name));
    for (n = 1; n < depth; n++) {
        const struct ml_item *holder = ml_item_at(doc, ml_branch_at(doc, branches[n])->item);

        ml_write_u8(&w, '/');
        if (ml_item_is_keyed(holder))
            write_segment(&w, ml_name_text(doc, holder->aux));
        else
            write_index(&w, doc, holder);
    }
    err = w.err;
    if (!err)
        *out = ml_arena_copy(l->arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return err ? err : out->ptr ? ML_OK : ML_ELIMIT;
}

enum ml_err ml_look_tell_place(struct ml_look *l, uint32_t branch, struct ml_place *out)
{
    *out = ml_branch_place(l->doc, branch);
    if (!out->root.ptr)
        return ML_OK;
    out->root = ml_arena_copy(l->arena, out->root);
    return out->root.ptr ? ML_OK : ML_ELIMIT;
}

struct ml_slice ml_look_name_unit(struct ml_look *l, struct ml_id id)
{
    char text[48];

    (void)snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)id.client,
                   (unsigned long long)id.clock);
    return ml_arena_copy(l->arena, ml_slice_str(text));
}

void ml_look_add(struct ml_look *l, const struct ml_collision *collision)
{
    if (!l->found)
        l->found = ml_arena_array(l->arena, ML_COLLISIONS_MAX, sizeof *l->found);
    if (l->found && l->count < ML_COLLISIONS_MAX)
        l->found[l->count++] = *collision;
}
