/* SPDX-License-Identifier: MIT */
/*
 * In which order structs go in: each needs its author's earlier units and the units it refers to.
 *
 *   FRESH  --push-->  STACKED  --all went in-->              DONE
 *     ^                  |  |
 *     +--it went far-----+  +--what is missing is nowhere--> BLOCKED, with all below it on the
 * stack enough for the one below
 *
 * A source whose next struct lacks a unit of client m puts m's source on top and goes on when m
 * went far enough. The stack is an array, no recursion. A source that is on the stack already is
 * not pushed twice: circles between clients, which no honest writer makes, end up blocked.
 *
 * A transaction that has used up its steps (integrate.c) blocks everything that is left: it is
 * parked and tried again by the next one, so that no single update holds up the thread.
 *
 * What else is blocked in the end lacks something that no source has. Yjs 13 notes only the clock
 * that stopped the last of several waiting clients and may wait for ever; here each waits for its
 * own.
 */
#include "engine/update.h"

static void read_next(struct ml_source *s)
{
    if (s->parked) {
        s->has_next = s->parked_at < s->parked->count;
        if (s->has_next)
            ml_parked_read(&s->parked->at[s->parked_at], s->client, &s->next);
        return;
    }
    do {
        enum ml_err err = ml_wire_next_struct(&s->reader, &s->next, &s->has_next);

        ML_ASSERT(!err); /* the bytes were checked when they were decoded */
    } while (s->has_next && s->next.kind == ML_WIRE_SKIP);
}

void ml_source_advance(struct ml_source *s)
{
    if (s->has_rest)
        s->next = s->rest;
    else
        read_next(s);
    s->has_rest = s->has_next && s->judgement && ml_wire_judge(s->judgement, &s->next, &s->rest);
}

static void step(struct ml_source *s)
{
    if (s->parked && !s->has_rest)
        s->parked_at++;
    ml_source_advance(s);
}

/* A source that could bring what is missing. */
static struct ml_source *find_source(struct ml_source *sources, uint32_t count, ml_client_id client)
{
    uint32_t lo = 0, hi = count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (sources[mid].client < client)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < count && sources[lo].client == client ? &sources[lo] : NULL;
}

/* Step over what is known; then: can the next struct go in? */
static bool is_ready(struct ml_doc *doc, struct ml_source *s)
{
    uint64_t state = ml_state_of(doc, s->client);

    while (s->has_next && s->next.clock + s->next.len <= state)
        step(s);
    if (!s->has_next)
        return false;
    if (!doc->txn.scan_left) {
        doc->pending.deferred = true;
        s->missing = (struct ml_id){s->client, s->next.clock};
        return false;
    }
    if (s->next.clock > state || s->next.clock + s->next.len > UINT32_MAX) {
        s->missing =
            (struct ml_id){s->client, s->next.clock > state ? s->next.clock - 1 : UINT32_MAX};
        return false;
    }
    return ml_struct_is_ready(doc, &s->next, &s->missing);
}

static bool has_come(const struct ml_doc *doc, const struct ml_id *id)
{
    return ml_state_of(doc, id->client) > id->clock;
}

/* Everything that `first`, and then what is pushed on it, allows. */
static bool run_from(struct ml_doc *doc, struct ml_source *sources, uint32_t count, uint32_t first,
                     uint32_t *stack)
{
    uint32_t depth = 1;

    stack[0] = first;
    sources[first].state = ML_SOURCE_STACKED;
    while (depth) {
        struct ml_source *s = &sources[stack[depth - 1]], *other;

        if (is_ready(doc, s)) {
            if (!ml_struct_integrate(doc, &s->next))
                return false;
            step(s);
            if (depth > 1 && has_come(doc, &sources[stack[depth - 2]].missing)) {
                s->state = ML_SOURCE_FRESH;
                depth--;
            }
            continue;
        }
        if (!s->has_next) {
            s->state = ML_SOURCE_DONE;
            depth--;
            continue;
        }
        other = find_source(sources, count, s->missing.client);
        if (other && other->state == ML_SOURCE_FRESH) {
            other->state = ML_SOURCE_STACKED;
            stack[depth++] = (uint32_t)(other - sources);
            continue;
        }
        while (depth)
            sources[stack[--depth]].state = ML_SOURCE_BLOCKED;
    }
    return true;
}

bool ml_sources_run(struct ml_doc *doc, struct ml_source *sources, uint32_t count, uint32_t *stack)
{
    for (uint32_t i = count; i > 0; i--) /* higher clients first meet fewer conflicts */
        if (sources[i - 1].state == ML_SOURCE_FRESH && !run_from(doc, sources, count, i - 1, stack))
            return false;
    return true;
}
