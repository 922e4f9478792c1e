/* SPDX-License-Identifier: MIT */
/*
 * Bytes from outside become an update: one walk that checks everything and notes where the sections
 * begin. No struct is kept as an object; integration reads the checked bytes once more, which costs
 * less than memory for objects would.
 */
#include "engine/update.h"

#include <stdlib.h>

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
    enum ml_err err;

    *section = (struct ml_section){
        .client = r->client,
        .first_clock = r->first_clock,
        .end_clock = r->first_clock,
        .prefix_end = r->first_clock,
        .structs = r->structs_left,
        .offset = ml_reader_offset(&r->in),
    };
    for (;;) {
        err = ml_wire_next_struct(r, &u->last, &more);
        if (err || !more)
            break;
        if (u->last.kind == ML_WIRE_SKIP) {
            hole = true;
            continue;
        }
        count_struct(&u->facts, &u->last);
        section->end_clock = u->last.clock + u->last.len;
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
        u->range = range;
        u->range_count++;
        u->facts.deleted_units += range.len;
    }
    u->end_offset = ml_reader_offset(&r->in);
    return ML_OK;
}

enum ml_err ml_update_decode(struct ml_arena *arena, struct ml_slice bytes,
                             const struct ml_engine_limits *limits, struct ml_diag *diag,
                             const struct ml_update **update_out)
{
    struct ml_wire_reader r;
    struct ml_update *u;
    enum ml_err err;

    err = ml_wire_open(&r, bytes, limits, diag);
    if (err)
        return err;
    u = ml_arena_alloc(arena, sizeof *u);
    if (!u)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of scratch memory");
    u->bytes = bytes;
    u->facts.bytes = bytes.len;
    err = read_sections(&r, u, arena);
    if (!err)
        err = read_ranges(&r, u);
    if (err)
        return err;
    *update_out = u;
    return ML_OK;
}

const struct ml_update_facts *ml_update_facts(const struct ml_update *update)
{
    return &update->facts;
}

bool ml_update_is_empty(const struct ml_update *update)
{
    return update->facts.structs == 0 && update->range_count == 0;
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
    ml_wire_know_client(r);
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
