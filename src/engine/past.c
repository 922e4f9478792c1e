/* SPDX-License-Identifier: MIT */
/*
 * What keys held before: a ring of values by the unit that held them. Collection throws content
 * away as soon as it is deleted; who decides between two writers wants to know what both had seen.
 *
 * It is asked only about collisions, which are rare, so it is searched from the newest on.
 */
#include "engine/past.h"

#include <stdlib.h>

#define VALUES_MAX      4096
#define VALUE_BYTES_MAX 65536

struct ml_past *ml_past_new(size_t bytes_max)
{
    struct ml_past *past = calloc(1, sizeof *past);

    if (past)
        past->bytes_max = bytes_max;
    return past;
}

static void drop_oldest(struct ml_past *past)
{
    struct ml_past_value *oldest = &past->at[past->first];

    past->bytes -= oldest->len;
    free(oldest->any);
    past->first = (past->first + 1) % VALUES_MAX;
    past->count--;
}

void ml_past_free(struct ml_past *past)
{
    if (!past)
        return;
    while (past->count)
        drop_oldest(past);
    ml_past_release_graves(past);
    free(past->at);
    free(past);
}

static void add(struct ml_past *past, const struct ml_past_value *as, struct ml_slice bytes)
{
    struct ml_past_value value = *as;

    if (!past->at)
        past->at = malloc(VALUES_MAX * sizeof *past->at);
    if (!past->at)
        return;
    if (bytes.ptr && bytes.len <= VALUE_BYTES_MAX && bytes.len <= past->bytes_max) {
        value.any = malloc(bytes.len ? bytes.len : 1);
        if (!value.any)
            return;
        memcpy(value.any, bytes.ptr, bytes.len);
        value.len = bytes.len;
    }
    while (past->count && (past->count == VALUES_MAX || past->bytes + value.len > past->bytes_max))
        drop_oldest(past);
    past->at[(past->first + past->count++) % VALUES_MAX] = value;
    past->bytes += value.len;
}

void ml_past_add(struct ml_past *past, const struct ml_id *id, struct ml_slice any, uint64_t tag,
                 bool was_overwritten)
{
    const struct ml_past_value value = {.id = *id, .tag = tag, .was_overwritten = was_overwritten};

    add(past, &value, any);
}

void ml_past_add_text(struct ml_past *past, const struct ml_id *id, struct ml_slice text,
                      uint32_t units, uint64_t tag)
{
    const struct ml_past_value value = {.id = *id, .tag = tag, .units = units};

    add(past, &value, text);
}

const struct ml_past_value *ml_past_find_text(const struct ml_past *past, const struct ml_id *id)
{
    for (size_t n = past->count; n-- > 0;) {
        const struct ml_past_value *value = &past->at[(past->first + n) % VALUES_MAX];

        if (value->id.client == id->client && value->id.clock <= id->clock &&
            id->clock - value->id.clock < value->units)
            return value->any ? value : NULL;
    }
    return NULL;
}

const struct ml_past_value *ml_past_find(const struct ml_past *past, const struct ml_id *id)
{
    for (size_t n = past->count; n-- > 0;) {
        const struct ml_past_value *value = &past->at[(past->first + n) % VALUES_MAX];

        if (value->id.client == id->client && value->id.clock == id->clock)
            return value;
    }
    return NULL;
}

void ml_past_note(struct ml_past *past, const struct ml_collision_side *side, uint64_t tag,
                  bool was_overwritten)
{
    ml_past_add(past, &side->id, side->any, tag, was_overwritten);
}
