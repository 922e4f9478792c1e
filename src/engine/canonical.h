/* SPDX-License-Identifier: MIT */
/* Which structs may be copied as the bytes they are. Private to engine/. */
#ifndef ML_ENGINE_CANONICAL_H
#define ML_ENGINE_CANONICAL_H

#include "engine/codec_v1.h"

/* ml_varuint_len without its loop: (bits + 6) / 7, which *37 / 256 is up to 64 bits. */
static inline size_t ml_varuint_bytes(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) * 37 >> 8;
}

static inline size_t ml_id_len(const struct ml_id *id)
{
    return ml_varuint_bytes(id->client) + ml_varuint_bytes(id->clock);
}

static inline size_t ml_varbytes_len(struct ml_slice bytes)
{
    return ml_varuint_bytes(bytes.len) + bytes.len;
}

/** Bytes that ml_wire_write writes for a struct as it was read (not cut). */
static inline size_t ml_wire_len(const struct ml_wire *s)
{
    size_t len = 1;

    if (s->info & ML_INFO_ORIGIN)
        len += ml_id_len(&s->origin);
    if (s->info & ML_INFO_RIGHT_ORIGIN)
        len += ml_id_len(&s->right_origin);
    if (s->parent == ML_PARENT_ROOT)
        len += 1 + ml_varbytes_len(s->root);
    else if (s->parent == ML_PARENT_ID)
        len += 1 + ml_id_len(&s->parent_id);
    if (s->key.ptr)
        len += ml_varbytes_len(s->key);
    switch (s->kind) {
    case ML_WIRE_GC:
    case ML_WIRE_DELETED:
    case ML_WIRE_SKIP:
        return len + ml_varuint_bytes(s->len);
    case ML_WIRE_JSON:
    case ML_WIRE_ANY:
        return len + ml_varuint_bytes(s->len) + s->content.len;
    case ML_WIRE_STRING:
    case ML_WIRE_BINARY:
    case ML_WIRE_EMBED:
        return len + ml_varbytes_len(s->content);
    default:
        return len + s->content.len;
    }
}

/**
 * Would ml_wire_write write exactly the `len` bytes at `bytes` again? They are what the reader took
 * for `s`, structs of length 0 that it dropped included.
 */
static inline bool ml_wire_is_canonical(const struct ml_wire *s, const uint8_t *bytes, size_t len)
{
    if ((s->info & ML_INFO_KEY) && !s->key.ptr)
        return false;
    if (s->parent == ML_PARENT_ID && bytes[1] != 0)
        return false;
    return ml_wire_len(s) == len;
}

/** Put the header of a section before its structs, which begin at `at`. */
static inline void ml_wire_insert_section(struct ml_writer *w, size_t at, uint64_t structs,
                                          ml_client_id client, uint64_t clock)
{
    size_t len = ml_varuint_len(structs) + ml_varuint_len(client) + ml_varuint_len(clock);
    uint8_t *p;

    if (!ml_writer_reserve(w, len))
        return;
    p = w->ptr + at;
    memmove(p + len, p, w->len - at);
    p = ml_put_varuint(p, structs);
    p = ml_put_varuint(p, client);
    (void)ml_put_varuint(p, clock);
    w->len += len;
}

/** Delete ranges that grow as they come; normalized when they would have to grow. */
struct ml_wire_ranges {
    struct ml_wire_range *item;
    size_t count, cap;
};

void ml_wire_ranges_release(struct ml_wire_ranges *ranges);
/** @param may_join  they will be normalized anyway: join them when memory would have to grow */
enum ml_err ml_wire_ranges_add(struct ml_wire_ranges *ranges, const struct ml_wire_range *range,
                               bool may_join) ML_MUST_CHECK;
/** All ranges that are left in `r`. */
enum ml_err ml_wire_ranges_read(struct ml_wire_ranges *ranges, struct ml_wire_reader *r,
                                bool may_join) ML_MUST_CHECK;
/** Clients descending, the ranges of each as they came. */
void ml_wire_ranges_group(struct ml_wire_ranges *ranges);

#endif
