/* SPDX-License-Identifier: MIT */
/*
 * Bytes from outside become an update: one walk that checks everything and notes where the sections
 * begin. No struct is kept as an object; integration reads the checked bytes once more, which costs
 * less than memory for objects would. The two updates that typing makes are read straight through.
 */
#include "engine/update.h"

#include <stdlib.h>

#include "base/utf8.h"

/* Sections so far; the array grows in the arena as they come, never by an announced number. */
struct sections {
    struct ml_arena *arena;
    struct ml_section *at;
    uint32_t count, cap;
};

static struct ml_section *add_section(struct sections *s)
{
    if (s->count == s->cap) {
        struct ml_section *grown =
            s->cap < UINT32_MAX / 2 ? ml_arena_array(s->arena, s->cap * 2, sizeof *grown) : NULL;

        if (!grown)
            return NULL;
        memcpy(grown, s->at, s->count * sizeof *grown);
        s->at = grown;
        s->cap *= 2;
    }
    return &s->at[s->count++];
}

static void count_struct(struct ml_update_facts *facts, const struct ml_wire *s)
{
    facts->structs++;
    if (ml_wire_is_countable(s->kind))
        facts->inserted_units += s->len;
    facts->inserted_bytes += s->body.len;
    facts->keys += s->key.ptr != NULL;
}

static enum ml_err read_section(struct ml_wire_reader *r, struct ml_update *u,
                                struct ml_section *section)
{
    bool more, any = false, hole = false;
    struct ml_wire last;
    enum ml_err err;

    *section = (struct ml_section){
        .client = r->client,
        .first_clock = r->first_clock,
        .end_clock = r->first_clock,
        .prefix_end = r->first_clock,
        .structs = r->structs_left,
        .offset = ml_reader_offset(&r->in),
        .own_bytes = r->own_bytes,
        .own_mask = r->own_mask,
        .own_len = r->own_len,
    };
    for (;;) {
        err = ml_wire_next_struct(r, &last, &more);
        if (err || !more)
            break;
        if (last.kind == ML_WIRE_SKIP) {
            hole = true;
            continue;
        }
        count_struct(&u->facts, &last);
        section->end_clock = last.clock + last.len;
        if (!hole)
            section->prefix_end = section->end_clock;
        any = true;
    }
    u->facts.clients += any;
    return err;
}

static int compare_clients(const void *pa, const void *pb)
{
    const ml_client_id *a = pa, *b = pb;

    return (*a > *b) - (*a < *b);
}

/* Yjs never writes a client twice, and of two sections it would read the last only. */
static enum ml_err check_clients(struct ml_update *u, struct ml_arena *arena, struct ml_diag *diag)
{
    ml_client_id *ids;

    u->descending = true;
    for (uint32_t i = 1; i < u->section_count && u->descending; i++)
        u->descending = u->sections[i].client < u->sections[i - 1].client;
    if (u->descending)
        return ML_OK;
    ids = ml_arena_array(arena, u->section_count, sizeof *ids);
    if (!ids)
        return ML_ELIMIT;
    for (uint32_t i = 0; i < u->section_count; i++)
        ids[i] = u->sections[i].client;
    qsort(ids, u->section_count, sizeof *ids, compare_clients);
    for (uint32_t i = 1; i < u->section_count; i++)
        if (ids[i] == ids[i - 1])
            return ml_diag_set(diag, ML_EFORMAT, 0, "a client has two sections");
    return ML_OK;
}

static enum ml_err read_sections(struct ml_wire_reader *r, struct ml_update *u,
                                 struct ml_arena *arena)
{
    struct sections s = {.arena = arena, .at = &u->one, .cap = 1};

    for (;;) {
        struct ml_section *section;
        bool more;
        enum ml_err err = ml_wire_next_section(r, &more);

        if (err)
            return err;
        if (!more)
            break;
        section = add_section(&s);
        if (!section)
            return ML_ELIMIT;
        err = read_section(r, u, section);
        if (err)
            return err;
    }
    u->sections = s.at;
    u->section_count = s.count;
    return check_clients(u, arena, r->diag);
}

static enum ml_err read_ranges(struct ml_wire_reader *r, struct ml_update *u)
{
    struct ml_wire_range range;
    bool more;

    u->delete_set_offset = ml_reader_offset(&r->in);
    for (;;) {
        enum ml_err err = ml_wire_next_range(r, &range, &more);

        if (err)
            return err;
        if (!more)
            break;
        u->facts.delete_ranges++;
        u->facts.deleted_units += range.len;
    }
    u->end_offset = ml_reader_offset(&r->in);
    return ML_OK;
}

/* ---- What typing sends --------------------------------------------------------------------------
 */

/* Two thirds of all updates look like this: 01 01 client clock 84|c4 client clock-1 [right] text 00
 */
#define TYPED_INFO (ML_INFO_ORIGIN | ML_WIRE_STRING)
#define CLOCK_NEAR (1ull << 52) /* far enough from 2^53 that nothing overflows */

/* A number in its shortest form. */
ML_ALWAYS_INLINE bool take_number(struct ml_reader *in, uint64_t *out)
{
    return ml_wire_varuint(in, out) && (in->pos[-1] != 0 || *out == 0);
}

/* The same bytes as those at `first`: the client once more. */
ML_ALWAYS_INLINE bool take_same(struct ml_reader *in, const uint8_t *first, size_t len)
{
    if (ml_reader_left(in) < len || memcmp(in->pos, first, len) != 0)
        return false;
    in->pos += len;
    return true;
}

ML_ALWAYS_INLINE bool read_typed(struct ml_reader in, struct ml_typed *t, size_t *struct_offset_out)
{
    const uint8_t *client = in.pos + 2;
    uint64_t origin, bytes;
    size_t units, id_len;
    uint8_t info;

    in.pos += 2;
    if (!take_number(&in, &t->client))
        return false;
    id_len = (size_t)(in.pos - client);
    if (!take_number(&in, &t->clock) || t->clock >= CLOCK_NEAR)
        return false;
    *struct_offset_out = ml_reader_offset(&in);
    if (ml_read_u8(&in, &info) || (info & ~ML_INFO_RIGHT_ORIGIN) != TYPED_INFO ||
        !take_same(&in, client, id_len) || !take_number(&in, &origin) || origin + 1 != t->clock)
        return false;
    t->has_right = info & ML_INFO_RIGHT_ORIGIN;
    t->right = (struct ml_id){0, 0};
    if (t->has_right) {
        if (take_same(&in, client, id_len))
            t->right.client = t->client;
        else if (!take_number(&in, &t->right.client))
            return false;
        if (!take_number(&in, &t->right.clock) ||
            (t->right.client == t->client && t->right.clock >= t->clock))
            return false;
    }
    if (!take_number(&in, &bytes) || bytes == 0 || bytes + 1 != ml_reader_left(&in) ||
        in.end[-1] != 0)
        return false;
    t->text = ml_slice_make(in.pos, (size_t)bytes);
    t->units = 1;
    if (bytes == 1)
        return *in.pos < 0x80;
    if (!ml_utf8_check(t->text, &units))
        return false;
    t->units = units;
    return true;
}

/* Could it be one of the two, as far as its first bytes say? */
ML_ALWAYS_INLINE bool may_be_typing(struct ml_slice bytes, const struct ml_engine_limits *limits)
{
    return bytes.len >= 6 && bytes.len <= UINT32_MAX && bytes.ptr[1] == 1 &&
           bytes.len <= ml_limit_update_bytes(limits);
}

bool ml_update_read_typed(struct ml_slice bytes, const struct ml_engine_limits *limits,
                          struct ml_typed *typed_out, size_t *struct_offset_out)
{
    return may_be_typing(bytes, limits) && bytes.ptr[0] == 1 &&
           read_typed(ml_reader_make(bytes), typed_out, struct_offset_out);
}

/* 00 01 client 01 clock len: a delete key. */
static bool read_erased(struct ml_reader in, struct ml_wire_range *range)
{
    uint8_t ranges;

    in.pos += 2;
    return take_number(&in, &range->client) && !ml_read_u8(&in, &ranges) && ranges == 1 &&
           take_number(&in, &range->clock) && take_number(&in, &range->len) && range->len > 0 &&
           range->clock < CLOCK_NEAR && range->len < CLOCK_NEAR && in.pos == in.end;
}

/* Everything of `u` but what the shape brings: an update with at most one section. */
static void fill(struct ml_update *u, struct ml_slice bytes, enum ml_update_shape shape)
{
    u->bytes = bytes;
    u->shape = shape;
    u->sections = &u->one;
    u->section_count = shape == ML_SHAPE_TYPED;
    u->descending = true;
    u->delete_set_offset = shape == ML_SHAPE_TYPED ? bytes.len - 1 : 1;
    u->end_offset = bytes.len;
}

/* What typing sends, in a third of the time of the general walk. False: it is something else. */
static bool read_shape(struct ml_update *u, struct ml_slice bytes)
{
    struct ml_reader in = ml_reader_make(bytes);
    size_t offset;

    if (bytes.ptr[0] == 0 && read_erased(in, &u->range)) {
        fill(u, bytes, ML_SHAPE_ERASED);
        u->facts = (struct ml_update_facts){
            .bytes = bytes.len, .deleted_units = u->range.len, .delete_ranges = 1};
        return true;
    }
    if (bytes.ptr[0] != 1 || !read_typed(in, &u->typed, &offset))
        return false;
    fill(u, bytes, ML_SHAPE_TYPED);
    u->facts = (struct ml_update_facts){
        .bytes = bytes.len,
        .structs = 1,
        .inserted_units = u->typed.units,
        .inserted_bytes = ml_varuint_len(u->typed.text.len) + u->typed.text.len,
        .clients = 1,
    };
    u->one = (struct ml_section){
        .client = u->typed.client,
        .first_clock = u->typed.clock,
        .end_clock = u->typed.clock + u->typed.units,
        .prefix_end = u->typed.clock + u->typed.units,
        .structs = 1,
        .offset = offset,
    };
    return true;
}

enum ml_err ml_update_decode(struct ml_arena *arena, struct ml_slice bytes,
                             const struct ml_engine_limits *limits, struct ml_diag *diag,
                             const struct ml_update **update_out)
{
    struct ml_wire_reader r;
    struct ml_update *u;
    enum ml_err err;

    u = ml_arena_take(arena, sizeof *u);
    if (!u)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of scratch memory");
    *update_out = u;
    if (may_be_typing(bytes, limits) && read_shape(u, bytes))
        return ML_OK;
    err = ml_wire_open(&r, bytes, limits, diag);
    if (err)
        return err;
    memset(u, 0, sizeof *u);
    u->bytes = bytes;
    u->facts.bytes = bytes.len;
    err = read_sections(&r, u, arena);
    if (!err)
        err = read_ranges(&r, u);
    return err;
}

const struct ml_update_facts *ml_update_facts(const struct ml_update *update)
{
    return &update->facts;
}

bool ml_update_is_empty(const struct ml_update *update)
{
    return update->facts.structs == 0 && update->facts.delete_ranges == 0;
}

void ml_update_reread(const struct ml_update *u, const struct ml_section *s,
                      struct ml_wire_reader *r)
{
    *r = (struct ml_wire_reader){
        .in = ml_reader_make(u->bytes),
        .structs_left = s->structs,
        .client = s->client,
        .clock = s->first_clock,
        .first_clock = s->first_clock,
        .any_depth = UINT32_MAX,
        .key_bytes = UINT32_MAX,
        .trusted = true,
    };
    r->in.pos += s->offset;
    r->own_bytes = s->own_bytes;
    r->own_mask = s->own_mask;
    r->own_len = s->own_len;
}

void ml_update_reread_ranges(const struct ml_update *u, struct ml_wire_reader *r)
{
    *r = (struct ml_wire_reader){.in = ml_reader_make(u->bytes), .trusted = true};
    r->in.pos += u->delete_set_offset;
}

bool ml_update_next_edit(const struct ml_update *update, struct ml_edit_cursor *cursor,
                         struct ml_edit *out)
{
    while (cursor->section < update->section_count) {
        const struct ml_section *section = &update->sections[cursor->section];
        struct ml_wire_reader r;
        struct ml_wire s;
        bool more;
        enum ml_err err;

        ml_update_reread(update, section, &r);
        if (cursor->index) {
            r.in.pos = r.in.start + cursor->offset;
            r.structs_left = section->structs - cursor->index;
            r.clock = cursor->clock;
        }
        err = ml_wire_next_struct(&r, &s, &more);
        ML_ASSERT(!err);
        if (!more) {
            *cursor = (struct ml_edit_cursor){.section = cursor->section + 1};
            continue;
        }
        cursor->index = section->structs - r.structs_left;
        cursor->offset = ml_reader_offset(&r.in);
        cursor->clock = r.clock;
        if (s.kind == ML_WIRE_SKIP)
            continue;
        *out = (struct ml_edit){
            .client = s.client,
            .clock = s.clock,
            .len = s.len,
            .kind = (enum ml_edit_kind)s.kind,
            .root = s.root,
            .key = s.key,
            .content = s.kind == ML_WIRE_STRING ? s.content : s.body,
        };
        return true;
    }
    return false;
}

bool ml_update_next_author(const struct ml_update *u, uint32_t *cursor, struct ml_author *out)
{
    const struct ml_section *s;

    if (*cursor >= u->section_count)
        return false;
    s = &u->sections[(*cursor)++];
    *out = (struct ml_author){s->client, s->first_clock, s->end_clock};
    return true;
}
