/* SPDX-License-Identifier: MIT */
/*
 * One struct at a time between V1 bytes and meaning, without a document. Private to engine/.
 *
 *   update     varuint sections, section*, delete set; what follows is ignored
 *   section    varuint structs, varuint client, varuint first clock, struct*
 *   struct     info [origin] [right origin] [parent [key]] body
 *   info       bits 0-4 kind, 0x20 has key, 0x40 has right origin, 0x80 has origin
 *   parent     only if there is neither origin nor right origin:
 *              01 varstring root name | 00 varuint client, varuint clock
 *   key        varstring, only if a parent stands there and 0x20 is set
 *   delete set varuint clients, (varuint client, varuint n, n x (varuint clock, varuint len))*
 *
 * Source: Yjs 13.6, UpdateDecoder.js and Item.js. Different from it on purpose: everything is
 * checked (bounds, UTF-8, JSON, Any, kinds, 2^53, references into the own future), flags on GC and
 * Skip are refused, structs and ranges of length 0 are dropped.
 */
#ifndef ML_ENGINE_CODEC_V1_H
#define ML_ENGINE_CODEC_V1_H

#include "engine/engine.h"

/* `info` of a struct: the low five bits. */
enum ml_wire_kind {
    ML_WIRE_GC,
    ML_WIRE_DELETED,
    ML_WIRE_JSON,
    ML_WIRE_BINARY,
    ML_WIRE_STRING,
    ML_WIRE_EMBED,
    ML_WIRE_FORMAT,
    ML_WIRE_TYPE,
    ML_WIRE_ANY,
    ML_WIRE_DOC,
    ML_WIRE_SKIP,
    ML_WIRE_KINDS
};

#define ML_INFO_KEY          0x20
#define ML_INFO_RIGHT_ORIGIN 0x40
#define ML_INFO_ORIGIN       0x80

/* The type refs of content Type. */
enum ml_type_ref {
    ML_TYPE_ARRAY,
    ML_TYPE_MAP,
    ML_TYPE_TEXT,
    ML_TYPE_XML_ELEMENT, /* has a node name */
    ML_TYPE_XML_FRAGMENT,
    ML_TYPE_XML_HOOK, /* has a hook name */
    ML_TYPE_XML_TEXT,
    ML_TYPE_REFS
};

/* Where a reader must stay in registers: with its address given away it lives in memory. */
#define ML_ALWAYS_INLINE static inline __attribute__((always_inline))

ML_ALWAYS_INLINE bool ml_wire_varuint_slow(struct ml_reader *r, uint64_t *out)
{
    struct ml_reader copy = *r;
    enum ml_err err = ml_read_varuint_long(&copy, out);

    r->pos = copy.pos;
    return !err;
}

/*
 * A varuint with eight bytes to look at, without a branch on its length: find the last byte, then
 * push the groups of seven together, 8 x 7 -> 4 x 14 -> 2 x 28 -> 56 bits. For clients and clocks,
 * whose lengths no predictor learns.
 */
ML_ALWAYS_INLINE bool ml_wire_varuint_word(struct ml_reader *r, uint64_t *out)
{
    uint64_t word, ends;
    unsigned bits;

    if (ml_reader_left(r) < sizeof word)
        return ml_wire_varuint_slow(r, out);
    memcpy(&word, r->pos, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    ends = ~word & 0x8080808080808080ull;
    if (!ends)
        return ml_wire_varuint_slow(r, out);
    bits = (unsigned)__builtin_ctzll(ends) + 1; /* 8 .. 64 */
    word &= UINT64_MAX >> (64 - bits);
    word = (word & 0x007f007f007f007full) | (word & 0x7f007f007f007f00ull) >> 1;
    word = (word & 0x00003fff00003fffull) | (word & 0x3fff00003fff0000ull) >> 2;
    word = (word & 0x000000000fffffffull) | (word & 0x0fffffff00000000ull) >> 4;
    if (word > ML_VARUINT_MAX)
        return false;
    r->pos += bits / 8;
    *out = word;
    return true;
}

/** Any varuint; one byte is the rule for lengths and counts. */
ML_ALWAYS_INLINE bool ml_wire_varuint(struct ml_reader *r, uint64_t *out)
{
    if (r->pos < r->end && *r->pos < 0x80) {
        *out = *r->pos++;
        return true;
    }
    return ml_wire_varuint_word(r, out);
}

enum ml_wire_parent { ML_PARENT_NONE, ML_PARENT_ROOT, ML_PARENT_ID };

/** One struct. All slices borrow from the bytes that were read. */
struct ml_wire {
    ml_client_id client;
    uint64_t clock, len; /* len >= 1 */
    uint8_t kind;        /* enum ml_wire_kind */
    uint8_t info;        /* as on the wire; what counts are origin, right origin and `parent` */
    uint8_t parent;   /* enum ml_wire_parent: NONE exactly if there is an origin of either side */
    uint8_t type_ref; /* content Type */
    bool half; /* String, after a cut inside a surrogate pair: U+FFFD stands before `content` */
    struct ml_id origin, right_origin, parent_id;
    struct ml_slice root; /* .ptr NULL if the parent is not a root */
    struct ml_slice key;  /* .ptr NULL if there is none on the wire */
    /**
     * String: the text. Any, JSON: the elements without their count. Binary, Embed: what stands
     * behind the length. Format, Type, Doc: the body. GC, Deleted, Skip: empty.
     */
    struct ml_slice content;
    struct ml_slice body; /* the encoded content as it stands on the wire; stale after a cut */
    struct ml_slice name; /* Format: its key; Type: node name; Doc: guid */
};

static inline bool ml_wire_has_origin(const struct ml_wire *s)
{
    return s->info & ML_INFO_ORIGIN;
}

static inline bool ml_wire_has_right_origin(const struct ml_wire *s)
{
    return s->info & ML_INFO_RIGHT_ORIGIN;
}

/** Does a unit of this kind count in the length of its type? (Items only.) */
static inline bool ml_wire_is_countable(unsigned kind)
{
    return kind != ML_WIRE_DELETED && kind != ML_WIRE_FORMAT && kind != ML_WIRE_GC &&
           kind != ML_WIRE_SKIP;
}

struct ml_wire_range {
    ml_client_id client;
    uint64_t clock, len; /* len >= 1 */
};

/** limits->update_bytes or its default; `limits` may be NULL. */
static inline size_t ml_limit_update_bytes(const struct ml_engine_limits *limits)
{
    return limits && limits->update_bytes ? limits->update_bytes : (size_t)64 << 20;
}

/** `limits` (or NULL) with every zero field replaced by its default. */
struct ml_engine_limits ml_limits_resolve(const struct ml_engine_limits *limits);

/*
 *   open -> next_section -> next_struct ... (no more) -> next_section ... (no more) -> next_range
 * ...
 */
struct ml_wire_reader {
    struct ml_reader in;
    struct ml_diag *diag;         /* borrowed, may be NULL */
    uint64_t sections_left;       /* not begun yet */
    uint64_t structs_left;        /* of this section, dropped ones included */
    ml_client_id client;          /* of this section, or of this part of the delete set */
    uint64_t own_bytes, own_mask; /* the section's client as its bytes on the wire, own_len > 0 */
    uint64_t clock;               /* where the next struct of this section starts */
    uint64_t first_clock;         /* of this section, later moved on by its Skips */
    uint64_t range_clients_left, ranges_left;
    uint32_t any_depth, key_bytes;
    uint8_t own_len;
    bool in_delete_set;
    bool trusted; /* these bytes were read before without an error: values are stepped over */
};

/** Begin. @param limits may be NULL */
enum ml_err ml_wire_open(struct ml_wire_reader *r, struct ml_slice bytes,
                         const struct ml_engine_limits *limits, struct ml_diag *diag) ML_MUST_CHECK;
/** The header of the next section; *more_out false after the last one. */
enum ml_err ml_wire_next_section(struct ml_wire_reader *r, bool *more_out) ML_MUST_CHECK;
/** The next struct of this section; *more_out false at its end. Skips are structs, too. */
enum ml_err ml_wire_next_struct(struct ml_wire_reader *r, struct ml_wire *out,
                                bool *more_out) ML_MUST_CHECK;
/** The next struct of the update, over the borders of sections. */
enum ml_err ml_wire_next(struct ml_wire_reader *r, struct ml_wire *out,
                         bool *more_out) ML_MUST_CHECK;
/** The next delete range, after the last section. In wire order: perhaps unsorted, overlapping. */
enum ml_err ml_wire_next_range(struct ml_wire_reader *r, struct ml_wire_range *out,
                               bool *more_out) ML_MUST_CHECK;

/**
 * Make `s` its own tail from unit `units` on, 0 < units < s->len: it then has the unit before as
 * origin (items) and no parent. A cut inside a surrogate pair sets `half`. Not for kinds of one
 * unit.
 */
void ml_wire_cut(struct ml_wire *s, uint64_t units);

/** Leave the first `units` units of `s`, 0 < units < s->len, between two characters of a text. */
void ml_wire_keep(struct ml_wire *s, uint64_t units);

/** Write `s` from its info byte on. 0x20 is written only where a key stands, as Yjs' merge does. */
void ml_wire_write(struct ml_writer *w, const struct ml_wire *s);

static inline void ml_wire_write_section(struct ml_writer *w, uint64_t structs, ml_client_id client,
                                         uint64_t clock)
{
    ml_write_varuint(w, structs);
    ml_write_varuint(w, client);
    ml_write_varuint(w, clock);
}

/** Sort by client descending, then clock; join touching and overlapping ranges; answers the new
 * count. */
size_t ml_wire_normalize_ranges(struct ml_wire_range *ranges, size_t count);
/** A whole delete set from normalized ranges. */
void ml_wire_write_ranges(struct ml_writer *w, const struct ml_wire_range *ranges, size_t count);

/** A state vector entry at a time: `*left` from ml_state_vector_open. */
enum ml_err ml_state_vector_open(struct ml_reader *in, uint64_t *left_out) ML_MUST_CHECK;
enum ml_err ml_state_vector_next(struct ml_reader *in, uint64_t *left, struct ml_id *out,
                                 bool *more_out) ML_MUST_CHECK;

#endif
