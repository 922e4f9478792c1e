/* SPDX-License-Identifier: MIT */
/*
 * Questions that an update answers without a document: what a holder of a state vector lacks, what
 * a holder of the update would have, and the update in several parts.
 *
 * Source: Yjs 13.6, diffUpdate and encodeStateVectorFromUpdate. Same bytes; copied where they need
 * no change instead of decoded and encoded.
 *
 *  [D1] structs are written in the order in which they came, a section is written if one is left;
 *  [D2] no section begins with a Skip.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/canonical.h"
#include "engine/keep.h"
#include "engine/members.h"

/* ---- Delete ranges --------------------------------------------------------------------------- */

void ml_wire_ranges_release(struct ml_wire_ranges *ranges)
{
    free(ranges->item);
    *ranges = (struct ml_wire_ranges){0};
}

enum ml_err ml_wire_ranges_add(struct ml_wire_ranges *ranges, const struct ml_wire_range *range,
                               bool may_join)
{
    if (ranges->count == ranges->cap) {
        size_t cap = ranges->cap ? ranges->cap + ranges->cap / 2 : 64;
        struct ml_wire_range *item;

        if (may_join && ranges->count)
            ranges->count = ml_wire_normalize_ranges(ranges->item, ranges->count);
        if (ranges->count >= ranges->cap / 2) {
            item = realloc(ranges->item, cap * sizeof *item);
            if (!item)
                return ML_ELIMIT;
            ranges->item = item;
            ranges->cap = cap;
        }
    }
    ranges->item[ranges->count++] = *range;
    return ML_OK;
}

enum ml_err ml_wire_ranges_read(struct ml_wire_ranges *ranges, struct ml_wire_reader *r,
                                bool may_join)
{
    for (;;) {
        struct ml_wire_range range;
        bool more;
        enum ml_err err = ml_wire_next_range(r, &range, &more);

        if (err || !more)
            return err;
        err = ml_wire_ranges_add(ranges, &range, may_join);
        if (err)
            return err;
    }
}

static int by_client(const void *a, const void *b)
{
    const struct ml_wire_range *x = a, *y = b;

    if (x->client != y->client)
        return x->client > y->client ? -1 : 1;
    return 0;
}

void ml_wire_ranges_group(struct ml_wire_ranges *ranges)
{
    size_t i = 1;

    while (i < ranges->count && ranges->item[i - 1].client >= ranges->item[i].client)
        i++;
    /* glibc's qsort is a merge sort, hence stable; where it is not, the ranges of one client only
     * come in another order, which means the same. */
    if (i < ranges->count)
        qsort(ranges->item, ranges->count, sizeof *ranges->item, by_client);
}

/* ---- State vectors --------------------------------------------------------------------------- */

struct state_vector {
    struct ml_id *item; /* sorted by client */
    size_t count;
};

static int by_id(const void *a, const void *b)
{
    const struct ml_id *x = a, *y = b;

    if (x->client != y->client)
        return x->client < y->client ? -1 : 1;
    return (x->clock > y->clock) - (x->clock < y->clock);
}

static enum ml_err read_state_vector(struct state_vector *sv, struct ml_slice bytes,
                                     struct ml_diag *diag)
{
    struct ml_reader in = ml_reader_make(bytes);
    uint64_t left;
    enum ml_err err;

    *sv = (struct state_vector){0};
    if (!bytes.len)
        return ML_OK;
    err = ml_state_vector_open(&in, &left);
    if (err)
        return ml_diag_set(diag, err, ml_reader_offset(&in), "broken state vector");
    sv->item = calloc(left ? (size_t)left : 1, sizeof *sv->item);
    if (!sv->item)
        return ML_ELIMIT;
    for (;;) {
        struct ml_id entry;
        bool more;

        err = ml_state_vector_next(&in, &left, &entry, &more);
        if (err)
            return ml_diag_set(diag, err, ml_reader_offset(&in), "broken state vector entry");
        if (!more)
            break;
        sv->item[sv->count++] = entry;
    }
    qsort(sv->item, sv->count, sizeof *sv->item, by_id);
    return ML_OK;
}

/* The highest clock that is given for a client, 0 if there is none. */
static uint64_t clock_of(const struct state_vector *sv, ml_client_id client)
{
    size_t low = 0, high = sv->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (sv->item[middle].client <= client)
            low = middle + 1;
        else
            high = middle;
    }
    return low && sv->item[low - 1].client == client ? sv->item[low - 1].clock : 0;
}

enum ml_err ml_state_vector_check(struct ml_slice state_vector, struct ml_diag *diag)
{
    struct ml_reader in = ml_reader_make(state_vector);
    struct ml_id entry;
    uint64_t left;
    bool more = true;
    enum ml_err err = ml_state_vector_open(&in, &left);

    while (!err && more)
        err = ml_state_vector_next(&in, &left, &entry, &more);
    if (err)
        return ml_diag_set(diag, err, ml_reader_offset(&in), "broken state vector");
    return ML_OK;
}

enum ml_err ml_update_state_vector(struct ml_slice update, const struct ml_engine_limits *limits,
                                   struct ml_writer *out, struct ml_diag *diag)
{
    size_t at = out->len;
    uint64_t entries = 0;
    struct ml_wire_reader r;
    struct ml_wire_range range;
    struct ml_wire s;
    bool more;
    enum ml_err err;

    err = ml_wire_open(&r, update, limits, diag);
    if (err)
        return err;
    ml_write_u8(out, 0);
    for (;;) {
        uint64_t known = 0;
        bool counting;

        err = ml_wire_next_section(&r, &more);
        if (err)
            return err;
        if (!more)
            break;
        counting = r.clock == 0;
        for (;;) {
            err = ml_wire_next_struct(&r, &s, &more);
            if (err)
                return err;
            if (!more)
                break;
            counting = counting && s.kind != ML_WIRE_SKIP;
            if (counting)
                known = s.clock + s.len;
        }
        if (!known)
            continue;
        ml_write_varuint(out, r.client);
        ml_write_varuint(out, known);
        entries++;
    }
    do {
        err = ml_wire_next_range(&r, &range, &more);
        if (err)
            return err;
    } while (more);
    ml_write_count_at(out, at, entries);
    return out->err;
}

/* ---- Diff ------------------------------------------------------------------------------------ */

/*
 * The section that `r` stands in; *written says whether something of it was left. A document's own
 * state is in normal form, key bits of structs without a key on the wire included: they stay.
 */
static enum ml_err diff_section(struct ml_wire_reader *r, uint64_t known, bool is_state,
                                struct ml_writer *out, bool *written)
{
    size_t at = out->len;
    uint64_t structs = 0, first = 0;

    for (;;) {
        const uint8_t *began = r->in.pos;
        struct ml_wire s;
        size_t len;
        bool more;
        enum ml_err err = ml_wire_next_struct(r, &s, &more);

        if (err)
            return err;
        if (!more)
            break;
        len = (size_t)(r->in.pos - began);
        if (!structs && (s.kind == ML_WIRE_SKIP || s.clock + s.len <= known))
            continue;
        if (!structs && s.clock < known) {
            size_t cut_at = out->len;

            ml_wire_cut(&s, known - s.clock);
            ml_wire_write(out, &s);
            if (is_state && !out->err)
                out->ptr[cut_at] |= s.info & ML_INFO_KEY;
        } else if (is_state || ml_wire_is_canonical(&s, began, len)) {
            ml_write_bytes(out, ml_slice_make(began, len));
        } else {
            ml_wire_write(out, &s);
        }
        if (!structs)
            first = s.clock;
        structs++;
    }
    *written = structs > 0;
    if (structs)
        ml_wire_insert_section(out, at, structs, r->client, first);
    return out->err;
}

static enum ml_err diff(struct ml_wire_reader *r, const struct state_vector *sv, bool is_state,
                        struct ml_writer *out)
{
    struct ml_wire_ranges ranges = {0};
    size_t at = out->len;
    uint64_t sections = 0;
    enum ml_err err;

    ml_write_u8(out, 0);
    for (;;) {
        bool more, written = false;

        err = ml_wire_next_section(r, &more);
        if (err)
            return err;
        if (!more)
            break;
        err = diff_section(r, clock_of(sv, r->client), is_state, out, &written);
        if (err)
            return err;
        sections += written;
    }
    ml_write_count_at(out, at, sections);
    err = ml_wire_ranges_read(&ranges, r, false);
    if (!err) {
        ml_wire_ranges_group(&ranges);
        ml_wire_write_ranges(out, ranges.item, ranges.count);
        err = out->err;
    }
    ml_wire_ranges_release(&ranges);
    return err;
}

enum ml_err ml_update_diff(struct ml_slice update, struct ml_slice state_vector,
                           const struct ml_engine_limits *limits, struct ml_arena *scratch,
                           struct ml_writer *out, struct ml_diag *diag)
{
    struct state_vector sv;
    struct ml_wire_reader r;
    enum ml_err err;

    (void)scratch;
    err = read_state_vector(&sv, state_vector, diag);
    if (!err)
        err = ml_wire_open(&r, update, limits, diag);
    if (!err)
        err = diff(&r, &sv, false, out);
    free(sv.item);
    return err;
}

enum ml_err ml_state_diff(struct ml_slice state, struct ml_slice state_vector,
                          const struct ml_engine_limits *limits, struct ml_writer *out)
{
    struct state_vector sv;
    struct ml_wire_reader r;
    enum ml_err err = read_state_vector(&sv, state_vector, NULL);

    if (!err)
        err = ml_wire_open(&r, state, limits, NULL);
    if (!err)
        err = diff(&r, &sv, true, out);
    free(sv.item);
    return err;
}

/* ---- Split ----------------------------------------------------------------------------------- */

/* The part that is being filled. */
struct part {
    struct ml_writer out; /* sections, without their number */
    size_t part_bytes;
    size_t section_at;
    uint64_t sections, structs; /* structs of the open section */
    ml_client_id client;
    uint64_t first;
    enum ml_err (*emit)(void *to, struct ml_slice part, bool last);
    void *to;
};

static void close_section(struct part *p)
{
    if (!p->structs)
        return;
    ml_wire_insert_section(&p->out, p->section_at, p->structs, p->client, p->first);
    p->sections++;
    p->structs = 0;
}

/* Send what is there with `ranges`; a part that holds nothing is sent only if it is the last. */
static enum ml_err send_part(struct part *p, const struct ml_wire_range *ranges, size_t count,
                             bool last)
{
    enum ml_err err;

    close_section(p);
    if (!p->sections && !count && !last)
        return ML_OK;
    ml_write_count_at(&p->out, 0, p->sections);
    ml_wire_write_ranges(&p->out, ranges, count);
    if (p->out.err)
        return p->out.err;
    err = p->emit(p->to, ml_writer_slice(&p->out), last);
    ml_writer_reset(&p->out);
    ml_write_u8(&p->out, 0);
    p->sections = 0;
    return err;
}

/*
 * A text is one struct however long somebody typed: what does not fit into a part is cut between
 * two characters, and the receiver joins the pieces again. Not for the value of a key, which is its
 * last unit alone. Leaves the last piece in `s`.
 */
static enum ml_err send_pieces(struct part *p, struct ml_wire *s)
{
    enum ml_err err = ML_OK;

    while (!err && s->content.len > p->part_bytes) {
        struct ml_wire piece = *s;
        size_t bytes = p->part_bytes, units = 0;

        while (bytes && (s->content.ptr[bytes] & 0xc0) == 0x80)
            bytes--;
        piece.content.len = bytes;
        if (!bytes || !ml_utf8_check(piece.content, &units))
            return ML_OK;
        piece.len = units;
        p->section_at = p->out.len;
        p->client = s->client;
        p->first = s->clock;
        p->structs = 1;
        ml_wire_write(&p->out, &piece);
        ml_wire_cut(s, units);
        err = send_part(p, NULL, 0, false);
    }
    return err;
}

static enum ml_err split_structs(struct part *p, struct ml_wire_reader *r)
{
    for (;;) {
        const uint8_t *began = r->in.pos;
        struct ml_wire s;
        size_t len;
        bool more;
        enum ml_err err = ml_wire_next_struct(r, &s, &more);

        if (err)
            return err;
        if (!more) {
            close_section(p);
            return p->out.err;
        }
        len = (size_t)(r->in.pos - began);
        if (p->out.len + len > p->part_bytes && (p->sections || p->structs)) {
            err = send_part(p, NULL, 0, false);
            if (err)
                return err;
        }
        if (s.kind == ML_WIRE_STRING && !(s.info & ML_INFO_KEY) && s.content.len > p->part_bytes) {
            err = send_pieces(p, &s);
            if (err)
                return err;
            began = NULL;
        }
        if (!p->structs) {
            if (s.kind == ML_WIRE_SKIP)
                continue;
            p->section_at = p->out.len;
            p->client = s.client;
            p->first = s.clock;
        }
        if (began && ml_wire_is_canonical(&s, began, len))
            ml_write_bytes(&p->out, ml_slice_make(began, len));
        else
            ml_wire_write(&p->out, &s);
        p->structs++;
    }
}

static enum ml_err split(struct part *p, struct ml_wire_reader *r, struct ml_wire_ranges *ranges)
{
    size_t first = 0, bytes;
    bool more;
    enum ml_err err;

    for (;;) {
        err = ml_wire_next_section(r, &more);
        if (err)
            return err;
        if (!more)
            break;
        err = split_structs(p, r);
        if (err)
            return err;
    }
    err = ml_wire_ranges_read(ranges, r, true);
    if (err)
        return err;
    ranges->count = ml_wire_normalize_ranges(ranges->item, ranges->count);
    bytes = p->out.len;
    for (size_t i = 0; i < ranges->count; i++) {
        const struct ml_wire_range *range = &ranges->item[i];

        bytes += ml_varuint_len(range->clock) + ml_varuint_len(range->len);
        if (i == first || range[-1].client != range->client)
            bytes += 1 + ml_varuint_len(range->client);
        if (bytes > p->part_bytes && (i > first || p->sections)) {
            err = send_part(p, ranges->item + first, i - first, false);
            if (err)
                return err;
            first = i;
            bytes = p->out.len;
        }
    }
    return send_part(p, ranges->item ? ranges->item + first : NULL, ranges->count - first, true);
}

enum ml_err ml_update_split(struct ml_slice update, size_t part_bytes,
                            const struct ml_engine_limits *limits, struct ml_arena *scratch,
                            enum ml_err (*emit)(void *to, struct ml_slice part, bool last),
                            void *to, struct ml_diag *diag)
{
    struct part p = {.part_bytes = part_bytes, .emit = emit, .to = to};
    struct ml_wire_ranges ranges = {0};
    struct ml_wire_reader r;
    enum ml_err err;

    (void)scratch;
    err = ml_wire_open(&r, update, limits, diag);
    if (err)
        return err;
    ml_writer_init(&p.out, update.len + 64);
    ml_write_u8(&p.out, 0);
    err = split(&p, &r, &ranges);
    ml_wire_ranges_release(&ranges);
    ml_writer_release(&p.out);
    return err;
}
