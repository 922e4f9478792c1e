/* SPDX-License-Identifier: MIT */
/*
 * Which structs of an update would go in now, and in which order: the schedule of schedule.c, acted
 * out. Each author is a lane with two rows of structs, those of the update and those that wait in
 * the document; what would be the author's next clock is counted along.
 *
 * Where both rows have the same unit, the struct that begins earlier counts and the other one is
 * cut, as pending.c does. First the update alone, then with what waits: as in apply.c.
 */
#include "engine/effects.h"

#include <stdlib.h>

/* A row of structs of one author. */
struct row {
    bool has_next;
    struct ml_wire next;
    struct ml_wire_reader reader;          /* of the update, or */
    const struct ml_parked_client *parked; /* of what waits: not NULL */
    uint32_t parked_at;
};

enum lane_state { LANE_FRESH, LANE_STACKED, LANE_BLOCKED, LANE_DONE };

struct lane {
    ml_client_id client;
    uint64_t next; /* what would be the next clock */
    enum lane_state state;
    struct ml_id missing;
    struct row rows[2]; /* of the update, of what waits */
};

struct play {
    struct ml_effects *fx;
    struct lane *lanes; /* by client, ascending */
    uint32_t count;
    uint32_t *stack;
    bool with_parked; /* the second act */
};

void *ml_effects_grow(struct ml_arena *arena, void *at, uint32_t count, uint32_t *cap,
                      uint32_t first, size_t each_bytes)
{
    uint32_t more = *cap ? *cap * 2 : first ? first : 8;
    void *grown;

    if (count < *cap)
        return at;
    grown = more > *cap ? ml_arena_array(arena, more, each_bytes) : NULL;
    if (!grown)
        return NULL;
    if (count)
        memcpy(grown, at, count * each_bytes);
    *cap = more;
    return grown;
}

/* ---- Rows --------------------------------------------------------------------------------------
 */

static void advance(struct row *r, ml_client_id client)
{
    if (r->parked) {
        r->has_next = r->parked_at < r->parked->count;
        if (r->has_next)
            ml_parked_read(&r->parked->at[r->parked_at++], client, &r->next);
        return;
    }
    do {
        enum ml_err err = ml_wire_next_struct(&r->reader, &r->next, &r->has_next);

        ML_ASSERT(!err); /* the bytes were checked when they were decoded */
    } while (r->has_next && r->next.kind == ML_WIRE_SKIP);
}

/* Pass over what is there already. */
static void skip_known(struct row *r, const struct lane *lane)
{
    while (r->has_next && r->next.clock + r->next.len <= lane->next)
        advance(r, lane->client);
}

static int by_client(const void *pa, const void *pb)
{
    const struct lane *a = pa, *b = pb;

    return (a->client > b->client) - (a->client < b->client);
}

static struct lane *find_lane(const struct play *p, ml_client_id client)
{
    uint32_t lo = 0, hi = p->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (p->lanes[mid].client < client)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->count && p->lanes[lo].client == client ? &p->lanes[lo] : NULL;
}

static bool set_up(struct play *p)
{
    const struct ml_update *u = p->fx->update;
    const struct ml_pending *pending = &p->fx->doc->pending;
    uint32_t max = u->section_count + pending->count;

    p->lanes = ml_arena_array(p->fx->arena, max, sizeof *p->lanes);
    p->stack = ml_arena_array(p->fx->arena, max, sizeof *p->stack);
    if (max && (!p->lanes || !p->stack))
        return false;
    for (uint32_t i = 0; i < u->section_count; i++) {
        struct lane *lane = &p->lanes[p->count++];

        lane->client = u->sections[i].client;
        ml_update_reread(u, &u->sections[i], &lane->rows[0].reader);
        advance(&lane->rows[0], lane->client);
    }
    if (p->count > 1)
        qsort(p->lanes, p->count, sizeof *p->lanes, by_client);
    for (uint32_t i = 0, of_update = p->count; i < pending->count; i++) {
        struct play known = {.lanes = p->lanes, .count = of_update};
        struct lane *lane = find_lane(&known, pending->clients[i].client);

        if (!lane)
            lane = &p->lanes[p->count++];
        lane->client = pending->clients[i].client;
        lane->rows[1].parked = &pending->clients[i];
        advance(&lane->rows[1], lane->client);
    }
    if (pending->count && p->count > 1)
        qsort(p->lanes, p->count, sizeof *p->lanes, by_client);
    for (uint32_t i = 0; i < p->count; i++)
        p->lanes[i].next = ml_state_of(p->fx->doc, p->lanes[i].client);
    return true;
}

/* ---- The play ----------------------------------------------------------------------------------
 */

static uint64_t state_of(const struct play *p, ml_client_id client)
{
    const struct lane *lane = find_lane(p, client);

    return lane ? lane->next : ml_state_of(p->fx->doc, client);
}

static bool has_come(const struct play *p, const struct ml_id *id)
{
    return state_of(p, id->client) > id->clock;
}

static bool has_all(const struct play *p, const struct ml_wire *s, struct ml_id *missing)
{
    const struct ml_id *needs[3];
    int n = 0;

    if (s->info & ML_INFO_ORIGIN)
        needs[n++] = &s->origin;
    if (s->info & ML_INFO_RIGHT_ORIGIN)
        needs[n++] = &s->right_origin;
    if (s->parent == ML_PARENT_ID)
        needs[n++] = &s->parent_id;
    for (int i = 0; i < n; i++) {
        if (!has_come(p, needs[i])) {
            *missing = *needs[i];
            return false;
        }
    }
    return true;
}

/* The row whose next struct holds the unit that comes next; NULL: none does. */
static struct row *choose(const struct play *p, struct lane *lane)
{
    struct row *best = NULL;

    skip_known(&lane->rows[0], lane);
    if (p->with_parked)
        skip_known(&lane->rows[1], lane);
    for (int i = p->with_parked ? 1 : 0; i >= 0; i--) {
        struct row *r = &lane->rows[i];

        if (!r->has_next)
            continue;
        if (r->next.clock > lane->next || r->next.clock + r->next.len > UINT32_MAX)
            lane->missing = (struct ml_id){lane->client, lane->next};
        else if (!best || r->next.clock < best->next.clock)
            best = r;
    }
    return best;
}

static bool has_more(const struct play *p, const struct lane *lane)
{
    return lane->rows[0].has_next || (p->with_parked && lane->rows[1].has_next);
}

/* The struct goes in, so far as it is news. False: out of memory. */
static bool take(struct play *p, struct lane *lane, struct row *r)
{
    struct ml_effects *fx = p->fx;
    const struct ml_wire *s = &r->next;
    struct ml_wire cut;
    struct ml_part *part;
    void *grown = ml_effects_grow(fx->arena, fx->parts, fx->part_count, &fx->part_cap,
                                  fx->first_cap, sizeof *fx->parts);

    if (!grown)
        return false;
    fx->parts = grown;
    if (lane->next > s->clock) {
        cut = *s;
        ml_wire_cut(&cut, lane->next - s->clock);
        s = &cut;
    }
    part = &fx->parts[fx->part_count++]; /* zeroed */
    part->id = (struct ml_id){s->client, s->clock};
    part->len = (uint32_t)s->len;
    part->kind = s->kind;
    part->type_ref = s->type_ref;
    part->parent = s->parent;
    part->has_origin = s->info & ML_INFO_ORIGIN;
    part->has_right = s->info & ML_INFO_RIGHT_ORIGIN;
    part->half = s->half;
    part->waited = r->parked != NULL;
    part->origin = s->parent == ML_PARENT_ID ? s->parent_id : s->origin;
    part->right = s->right_origin;
    part->root = s->root;
    part->key = s->key;
    part->content = s->content;
    part->name = s->name;
    part->container = part->holds = NIL;
    lane->next = s->clock + s->len;
    return true;
}

/* Everything that `first`, and then what it waits for, allows. */
static bool run_from(struct play *p, uint32_t first)
{
    uint32_t depth = 1;

    p->stack[0] = first;
    p->lanes[first].state = LANE_STACKED;
    while (depth) {
        struct lane *lane = &p->lanes[p->stack[depth - 1]], *other;
        struct row *r = choose(p, lane);

        if (r && has_all(p, &r->next, &lane->missing)) {
            if (!take(p, lane, r))
                return false;
            if (depth > 1 && has_come(p, &p->lanes[p->stack[depth - 2]].missing)) {
                lane->state = LANE_FRESH;
                depth--;
            }
            continue;
        }
        if (!has_more(p, lane)) {
            lane->state = LANE_DONE;
            depth--;
            continue;
        }
        other = find_lane(p, lane->missing.client);
        if (other && other->state == LANE_FRESH) {
            other->state = LANE_STACKED;
            p->stack[depth++] = (uint32_t)(other - p->lanes);
            continue;
        }
        while (depth)
            p->lanes[p->stack[--depth]].state = LANE_BLOCKED;
    }
    return true;
}

static bool run(struct play *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        p->lanes[i].state = LANE_FRESH;
    for (uint32_t i = p->count; i > 0; i--)
        if (p->lanes[i - 1].state == LANE_FRESH && !run_from(p, i - 1))
            return false;
    return true;
}

/* ---- Found again -------------------------------------------------------------------------------
 */

static int by_id(const void *pa, const void *pb, void *arg)
{
    const struct ml_part *parts = arg, *a = &parts[*(const uint32_t *)pa],
                         *b = &parts[*(const uint32_t *)pb];

    if (a->id.client != b->id.client)
        return a->id.client < b->id.client ? -1 : 1;
    return (a->id.clock > b->id.clock) - (a->id.clock < b->id.clock);
}

enum ml_err ml_effects_read(struct ml_effects *fx)
{
    struct play p = {.fx = fx};
    bool sorted = true;

    if (!set_up(&p) || !run(&p))
        return ML_ELIMIT;
    for (uint32_t i = 0; i < p.count; i++)
        fx->waits |= p.lanes[i].rows[0].has_next;
    if (fx->doc->pending.count) {
        p.with_parked = true;
        if (!run(&p))
            return ML_ELIMIT;
    }
    if (!fx->part_count)
        return ML_OK;
    fx->by_id = ml_arena_array(fx->arena, fx->part_count, sizeof *fx->by_id);
    if (!fx->by_id)
        return ML_ELIMIT;
    for (uint32_t i = 0; i < fx->part_count; i++) {
        fx->by_id[i] = i;
        sorted = sorted && (!i || by_id(&fx->by_id[i - 1], &fx->by_id[i], fx->parts) < 0);
    }
    if (!sorted) /* one author's come in order */
        qsort_r(fx->by_id, fx->part_count, sizeof *fx->by_id, by_id, fx->parts);
    return ML_OK;
}

uint32_t ml_effects_part(const struct ml_effects *fx, const struct ml_id *id)
{
    uint32_t lo = 0, hi = fx->part_count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct ml_part *part = &fx->parts[fx->by_id[mid]];

        if (part->id.client < id->client ||
            (part->id.client == id->client && part->id.clock + part->len <= id->clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < fx->part_count) {
        const struct ml_part *part = &fx->parts[fx->by_id[lo]];

        if (part->id.client == id->client && part->id.clock <= id->clock)
            return fx->by_id[lo];
    }
    return NIL;
}

uint32_t ml_effects_item(const struct ml_effects *fx, const struct ml_id *id)
{
    uint32_t slot = ml_slot_find(fx->doc, id->client);

    if (slot == NIL || id->clock >= fx->doc->clients[slot].next)
        return NIL;
    return ml_run_find(fx->doc, slot, (uint32_t)id->clock);
}
