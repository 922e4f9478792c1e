/* SPDX-License-Identifier: MIT */
/*
 * Update format V2 against V1: the same structs in columns. The engine works on V1; V2 is read and
 * written here and nowhere else.
 *
 *   00                    feature flag
 *   varbytes key clock    differences   one number a key: which of the keys so far
 *   varbytes client       numbers       of sections, origins, right origins, parents
 *   varbytes left clock   differences   of origins and parents
 *   varbytes right clock  differences   of right origins
 *   varbytes info         bytes
 *   varbytes string       strings       root names, map keys, text, JSON, guids, keys
 *   varbytes parent info  bytes         1: the parent is a root, 0: an id
 *   varbytes type ref     numbers
 *   varbytes len          numbers       of GC, Deleted, JSON, Any
 *   rest                  sections, structs, first clocks, Skip lengths, Any, bytes; delete set
 *
 *   bytes        value, varuint count-1, …; the last run has no count and never ends
 *   numbers      varint: a run of one; with a minus (also -0): then varuint count-2
 *   differences  varint 2*d (a run of one) or 2*d+1, then varuint count-2; d is added each time
 *   strings      varstring of all texts, then their UTF-16 lengths as numbers
 *
 * Source: Yjs 13.6, UpdateEncoder.js, UpdateDecoder.js; lib0 0.2.120. Different on purpose: an
 * empty column is an error when it is read; a negative clock or key number is refused; the number
 * of structs has a ceiling, since runs cost no bytes.
 *
 *  [V1] keys are read by the true rule of the cache; columns.h says how they are written;
 *  [V2] a string that ends inside a surrogate pair yields U+FFFD, and so does the next one;
 *  [V3] a struct's content is written to V1 before the next struct is read.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "engine/any.h"
#include "engine/canonical.h"
#include "engine/columns.h"
#include "engine/keep.h"
#include "engine/members.h"

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

/* ---- Columns, reading ------------------------------------------------------------------------ */

struct bytes_in {
    struct ml_reader in;
    uint64_t left; /* of the run */
    uint8_t value;
};

struct numbers_in {
    struct ml_reader in;
    uint64_t left, value;
};

struct differences_in {
    struct ml_reader in;
    uint64_t left;
    int64_t value, difference;
};

struct strings_in {
    struct ml_slice text;
    uint64_t units_left;
    struct numbers_in lengths;
    bool inside_pair; /* the text begins with a pair of which the first half is used up */
};

static enum ml_err read_byte(struct bytes_in *c, uint8_t *out)
{
    if (!c->left) {
        if (ml_read_u8(&c->in, &c->value))
            return ML_EFORMAT;
        c->left = UINT64_MAX;
        if (ml_reader_left(&c->in)) {
            if (ml_read_varuint(&c->in, &c->left))
                return ML_EFORMAT;
            c->left++;
        }
    }
    c->left--;
    *out = c->value;
    return ML_OK;
}

static enum ml_err read_number(struct numbers_in *c, uint64_t *out)
{
    if (!c->left) {
        bool run;

        if (ml_read_varint(&c->in, &c->value, &run))
            return ML_EFORMAT;
        c->left = 1;
        if (run) {
            if (ml_read_varuint(&c->in, &c->left))
                return ML_EFORMAT;
            c->left += 2;
        }
    }
    c->left--;
    *out = c->value;
    return ML_OK;
}

static enum ml_err read_difference(struct differences_in *c, uint64_t *out)
{
    if (!c->left) {
        uint64_t magnitude;
        bool negative;

        if (ml_read_varint(&c->in, &magnitude, &negative))
            return ML_EFORMAT;
        /* floor(e / 2) */
        c->difference = (int64_t)(magnitude / 2);
        if (negative)
            c->difference = -c->difference - (int64_t)(magnitude % 2);
        c->left = 1;
        if (magnitude % 2) {
            if (ml_read_varuint(&c->in, &c->left))
                return ML_EFORMAT;
            c->left += 2;
        }
    }
    c->left--;
    c->value += c->difference;
    if (c->value < 0 || c->value > (int64_t)ML_VARUINT_MAX)
        return ML_EFORMAT;
    *out = (uint64_t)c->value;
    return ML_OK;
}

/* The next string; in `arena` if a half of a pair makes it differ from the text as it stands. */
static enum ml_err read_string(struct strings_in *c, struct ml_arena *arena, struct ml_slice *out,
                               uint64_t *units_out)
{
    bool half_before = false, half_behind = false;
    struct ml_slice whole;
    uint8_t *copy, *p;
    uint64_t units;
    size_t len;

    if (read_number(&c->lengths, &units) || units > c->units_left)
        return ML_EFORMAT;
    *units_out = units;
    c->units_left -= units;
    if (units && c->inside_pair) {
        half_before = true;
        c->inside_pair = false;
        c->text.ptr += 4;
        c->text.len -= 4;
        units--;
    }
    len = ml_utf8_offset(c->text, (size_t)units, &half_behind);
    whole = ml_slice_make(c->text.ptr, len);
    c->text.ptr += len;
    c->text.len -= len;
    if (half_behind)
        c->inside_pair = true;
    if (!half_before && !half_behind) {
        *out = whole;
        return ML_OK;
    }
    p = copy = ml_arena_alloc(arena, len + 2 * sizeof replacement);
    if (!copy)
        return ML_ELIMIT;
    if (half_before)
        p = (uint8_t *)memcpy(p, replacement, sizeof replacement) + sizeof replacement;
    if (len)
        p = (uint8_t *)memcpy(p, whole.ptr, len) + len;
    if (half_behind)
        p = (uint8_t *)memcpy(p, replacement, sizeof replacement) + sizeof replacement;
    *out = ml_slice_make(copy, (size_t)(p - copy));
    return ML_OK;
}

/* ---- V2 to V1 -------------------------------------------------------------------------------- */

struct reader {
    struct differences_in key_clock, left_clock, right_clock;
    struct numbers_in client, type_ref, len;
    struct bytes_in info, parent_info;
    struct strings_in string;
    struct ml_reader rest;
    const struct ml_engine_limits *limits;
    struct ml_diag *diag;
    struct ml_arena *scratch; /* strings with halves of pairs */
    struct ml_slice *key;     /* known so far */
    size_t keys, keys_cap;
    uint64_t structs;      /* so far, those of length 0 included */
    struct ml_writer body; /* content of the struct in hand, as in V1 */
    bool keep_key_bit;     /* of structs whose key is not on the wire */
};

static enum ml_err fail(const struct reader *r, enum ml_err err, const char *what)
{
    return ml_diag_set(r->diag, err, ml_reader_offset(&r->rest), "%s", what);
}

static enum ml_err open_columns(struct reader *r, struct ml_slice bytes)
{
    struct ml_slice strings = {0};
    struct ml_reader in;
    size_t units;
    uint64_t flag;

    struct ml_reader *const columns[] = {
        &r->key_clock.in,   &r->client.in,   &r->left_clock.in,
        &r->right_clock.in, &r->info.in,     NULL,
        &r->parent_info.in, &r->type_ref.in, &r->len.in,
    };

    r->rest = ml_reader_make(bytes);
    if (ml_read_varuint(&r->rest, &flag))
        return fail(r, ML_EFORMAT, "no feature flag");
    if (flag)
        return fail(r, ML_EVERSION, "unknown feature flag");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        struct ml_slice column;

        if (ml_read_varbytes(&r->rest, &column))
            return fail(r, ML_EFORMAT, "broken column");
        if (columns[i])
            *columns[i] = ml_reader_make(column);
        else
            strings = column;
    }
    in = ml_reader_make(strings);
    if (ml_read_varstring(&in, &r->string.text, &units))
        return fail(r, ML_EFORMAT, "broken string column");
    r->string.units_left = units;
    r->string.lengths.in = ml_reader_make(ml_slice_make(in.pos, ml_reader_left(&in)));
    return ML_OK;
}

static enum ml_err read_id(struct reader *r, struct differences_in *clock, const struct ml_wire *s,
                           struct ml_id *out)
{
    if (read_number(&r->client, &out->client) || read_difference(clock, &out->clock))
        return fail(r, ML_EFORMAT, "broken id");
    if (out->client == s->client && out->clock >= s->clock)
        return fail(r, ML_EFORMAT, "reference into the own future");
    return ML_OK;
}

static enum ml_err read_name(struct reader *r, struct ml_slice *out)
{
    uint64_t units;
    enum ml_err err = read_string(&r->string, r->scratch, out, &units);

    if (err)
        return fail(r, err, "broken name");
    if (out->len > r->limits->key_bytes)
        return fail(r, ML_ELIMIT, "name too long");
    return ML_OK;
}

static enum ml_err read_key(struct reader *r, struct ml_slice *out)
{
    uint64_t number;
    enum ml_err err;

    if (read_difference(&r->key_clock, &number))
        return fail(r, ML_EFORMAT, "broken key number");
    if (number < r->keys) {
        *out = r->key[number];
        return ML_OK;
    }
    err = read_name(r, out);
    if (err)
        return err;
    if (r->keys == r->keys_cap) {
        size_t cap = r->keys_cap ? r->keys_cap + r->keys_cap / 2 : 16;
        struct ml_slice *key = realloc(r->key, cap * sizeof *key);

        if (!key)
            return ML_ELIMIT;
        r->key = key;
        r->keys_cap = cap;
    }
    r->key[r->keys++] = *out;
    return ML_OK;
}

static enum ml_err read_len(struct reader *r, struct ml_wire *s)
{
    if (read_number(&r->len, &s->len))
        return fail(r, ML_EFORMAT, "broken length");
    return ML_OK;
}

/* An Any of `rest` as JSON text with its length, to `body`. */
static enum ml_err read_json(struct reader *r)
{
    size_t at = r->body.len;
    enum ml_err err;
    struct ml_reader before = r->rest;

    err = ml_any_skip(&r->rest, r->limits->any_depth);
    if (err)
        return fail(r, err, "broken value");
    ml_write_u8(&r->body, 0);
    err = ml_any_to_json(&before, ML_ANY_JSON_STRINGIFY, &r->body);
    if (err)
        return fail(r, err, "a value that JSON cannot hold");
    ml_write_count_at(&r->body, at, r->body.len - at - 1);
    return r->body.err;
}

static enum ml_err read_json_elements(struct reader *r, struct ml_wire *s)
{
    enum ml_err err = read_len(r, s);

    for (uint64_t i = 0; i < s->len && !err; i++) {
        struct ml_slice text;
        uint64_t units;

        err = read_string(&r->string, r->scratch, &text, &units);
        if (err)
            return fail(r, err, "broken JSON text");
        if (!ml_slice_equal(text, ML_SLICE("undefined"))) {
            err = ml_json_check(text, r->limits->any_depth);
            if (err)
                return fail(r, err, "not JSON");
        }
        ml_write_varbytes(&r->body, text);
        err = r->body.err;
    }
    s->content = ml_writer_slice(&r->body);
    return err;
}

static enum ml_err read_any_elements(struct reader *r, struct ml_wire *s)
{
    enum ml_err err = read_len(r, s);

    if (!err && s->len > ml_reader_left(&r->rest))
        return fail(r, ML_EFORMAT, "broken element count");
    for (uint64_t i = 0; i < s->len && !err; i++) {
        err = ml_any_normalise(&r->rest, r->limits->any_depth, &r->body);
        if (err)
            return fail(r, err, "broken value");
    }
    s->content = ml_writer_slice(&r->body);
    return err;
}

static enum ml_err read_text(struct reader *r, struct ml_wire *s)
{
    enum ml_err err = read_string(&r->string, r->scratch, &s->content, &s->len);

    return err ? fail(r, err, "broken string") : ML_OK;
}

static enum ml_err read_format(struct reader *r, struct ml_wire *s)
{
    enum ml_err err = read_key(r, &s->name);

    if (err)
        return err;
    ml_write_varbytes(&r->body, s->name);
    err = read_json(r);
    s->content = ml_writer_slice(&r->body);
    return err;
}

static enum ml_err read_embed(struct reader *r, struct ml_wire *s)
{
    struct ml_reader in;
    enum ml_err err = read_json(r);

    if (err)
        return err;
    in = ml_reader_make(ml_writer_slice(&r->body));
    return ml_read_varbytes(&in, &s->content);
}

static enum ml_err read_type(struct reader *r, struct ml_wire *s)
{
    uint64_t ref;
    enum ml_err err = ML_OK;

    if (read_number(&r->type_ref, &ref) || ref >= ML_TYPE_REFS)
        return fail(r, ML_EFORMAT, "unknown type");
    ml_write_varuint(&r->body, ref);
    if (ref == ML_TYPE_XML_ELEMENT || ref == ML_TYPE_XML_HOOK) {
        err = read_key(r, &s->name);
        if (err)
            return err;
        ml_write_varbytes(&r->body, s->name);
    }
    s->content = ml_writer_slice(&r->body);
    return r->body.err;
}

static enum ml_err read_doc(struct reader *r, struct ml_wire *s)
{
    enum ml_err err = read_name(r, &s->name);

    if (err)
        return err;
    ml_write_varbytes(&r->body, s->name);
    if (!ml_reader_left(&r->rest) || *r->rest.pos != 0x76)
        return fail(r, ML_EFORMAT, "subdocument options are no object");
    err = ml_any_normalise(&r->rest, r->limits->any_depth, &r->body);
    if (err)
        return fail(r, err, "broken subdocument options");
    s->content = ml_writer_slice(&r->body);
    return ML_OK;
}

static enum ml_err read_content(struct reader *r, struct ml_wire *s)
{
    ml_writer_reset(&r->body);
    s->len = 1;
    switch ((enum ml_wire_kind)s->kind) {
    case ML_WIRE_GC:
    case ML_WIRE_DELETED:
        return read_len(r, s);
    case ML_WIRE_SKIP:
        return ml_read_varuint(&r->rest, &s->len) ? fail(r, ML_EFORMAT, "broken length") : ML_OK;
    case ML_WIRE_JSON:
        return read_json_elements(r, s);
    case ML_WIRE_BINARY:
        return ml_read_varbytes(&r->rest, &s->content) ? fail(r, ML_EFORMAT, "broken bytes")
                                                       : ML_OK;
    case ML_WIRE_STRING:
        return read_text(r, s);
    case ML_WIRE_EMBED:
        return read_embed(r, s);
    case ML_WIRE_FORMAT:
        return read_format(r, s);
    case ML_WIRE_TYPE:
        return read_type(r, s);
    case ML_WIRE_ANY:
        return read_any_elements(r, s);
    case ML_WIRE_DOC:
        return read_doc(r, s);
    case ML_WIRE_KINDS:
        break;
    }
    return fail(r, ML_EFORMAT, "unknown kind of struct");
}

static enum ml_err read_place(struct reader *r, struct ml_wire *s)
{
    uint8_t is_root;
    enum ml_err err;

    if (s->info & ML_INFO_ORIGIN) {
        err = read_id(r, &r->left_clock, s, &s->origin);
        if (err)
            return err;
    }
    if (s->info & ML_INFO_RIGHT_ORIGIN) {
        err = read_id(r, &r->right_clock, s, &s->right_origin);
        if (err)
            return err;
    }
    if (s->info & (ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN))
        return ML_OK;
    if (read_byte(&r->parent_info, &is_root))
        return fail(r, ML_EFORMAT, "broken parent");
    if (is_root == 1) {
        s->parent = ML_PARENT_ROOT;
        err = read_name(r, &s->root);
    } else {
        s->parent = ML_PARENT_ID;
        err = read_id(r, &r->left_clock, s, &s->parent_id);
    }
    if (!err && (s->info & ML_INFO_KEY))
        err = read_name(r, &s->key);
    return err;
}

/* *kept: it is not one of length 0. */
static enum ml_err read_struct(struct reader *r, struct ml_wire *s, ml_client_id client,
                               uint64_t clock, bool *kept)
{
    uint8_t info;
    enum ml_err err;

    if (++r->structs > r->limits->update_structs)
        return fail(r, ML_ELIMIT, "too many structs");
    if (read_byte(&r->info, &info))
        return fail(r, ML_EFORMAT, "no struct where one was announced");
    *s = (struct ml_wire){.client = client, .clock = clock, .info = info, .kind = info & 31};
    if (s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP) {
        if (info & ~31)
            return fail(r, ML_EFORMAT, "flags on a struct that has no place");
    } else if (s->kind < ML_WIRE_KINDS) {
        err = read_place(r, s);
        if (err)
            return err;
    }
    err = read_content(r, s);
    if (err)
        return err;
    if (s->len > ML_VARUINT_MAX - clock)
        return fail(r, ML_EFORMAT, "clock beyond 2^53");
    *kept = s->len > 0;
    return ML_OK;
}

static enum ml_err section_to_v1(struct reader *r, struct ml_writer *out, bool *written)
{
    size_t at = out->len;
    uint64_t announced, client, clock, first, structs = 0, claimed = 0;
    size_t began;

    if (ml_read_varuint(&r->rest, &announced) || read_number(&r->client, &client) ||
        ml_read_varuint(&r->rest, &clock))
        return fail(r, ML_EFORMAT, "broken section header");
    if (announced > r->limits->update_structs)
        return fail(r, ML_ELIMIT, "too many structs");
    first = clock;
    for (uint64_t i = 0; i < announced; i++) {
        struct ml_wire s;
        bool kept = false;
        enum ml_err err = read_struct(r, &s, client, clock, &kept);

        if (err)
            return err;
        if (!kept)
            continue;
        /* GC and Deleted claim any number of units in a few bytes. A Skip claims nothing. */
        claimed += s.kind == ML_WIRE_SKIP ? 0 : s.len;
        if (claimed > UINT32_MAX)
            return fail(r, ML_ELIMIT, "clock jumps too far");
        began = out->len;
        ml_wire_write(out, &s);
        if (out->err)
            return fail(r, out->err, "too large when unfolded");
        if (r->keep_key_bit)
            out->ptr[began] |= s.info & ML_INFO_KEY;
        clock += s.len;
        structs++;
    }
    *written = structs > 0;
    if (structs)
        ml_wire_insert_section(out, at, structs, client, first);
    return out->err;
}

static enum ml_err read_delete_set(struct reader *r, struct ml_wire_ranges *ranges)
{
    uint64_t clients;

    if (ml_read_varuint(&r->rest, &clients))
        return fail(r, ML_EFORMAT, "broken delete set");
    for (uint64_t i = 0; i < clients; i++) {
        uint64_t client, count, current = 0;

        if (ml_read_varuint(&r->rest, &client) || ml_read_varuint(&r->rest, &count))
            return fail(r, ML_EFORMAT, "broken delete set part");
        for (uint64_t j = 0; j < count; j++) {
            struct ml_wire_range range = {.client = client};
            uint64_t skip, len;
            enum ml_err err;

            if (ml_read_varuint(&r->rest, &skip) || ml_read_varuint(&r->rest, &len) ||
                skip > ML_VARUINT_MAX - current || len >= ML_VARUINT_MAX - current - skip)
                return fail(r, ML_EFORMAT, "broken delete range");
            range.clock = current + skip;
            range.len = len + 1;
            current = range.clock + range.len;
            err = ml_wire_ranges_add(ranges, &range, false);
            if (err)
                return err;
        }
    }
    return ML_OK;
}

static enum ml_err v2_to_v1(struct reader *r, struct ml_wire_ranges *ranges, struct ml_writer *out)
{
    size_t at = out->len;
    uint64_t announced, sections = 0;
    enum ml_err err;

    if (ml_read_varuint(&r->rest, &announced))
        return fail(r, ML_EFORMAT, "broken section count");
    ml_write_u8(out, 0);
    for (uint64_t i = 0; i < announced; i++) {
        bool written = false;

        err = section_to_v1(r, out, &written);
        if (err)
            return err;
        sections += written;
    }
    ml_write_count_at(out, at, sections);
    err = read_delete_set(r, ranges);
    if (err)
        return err;
    ml_wire_ranges_group(ranges);
    ml_wire_write_ranges(out, ranges->item, ranges->count);
    return out->err;
}

static enum ml_err convert_to_v1(struct ml_slice update, bool keep_key_bit,
                                 const struct ml_engine_limits *limits, struct ml_arena *scratch,
                                 struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_wire_ranges ranges = {0};
    struct reader r = {
        .limits = limits, .diag = diag, .scratch = scratch, .keep_key_bit = keep_key_bit};
    enum ml_err err;

    ml_writer_init(&r.body, out->max);
    err = open_columns(&r, update);
    if (!err)
        err = v2_to_v1(&r, &ranges, out);
    ml_writer_release(&r.body);
    free(r.key);
    ml_wire_ranges_release(&ranges);
    return err;
}

/* ---- V1 to V2 -------------------------------------------------------------------------------- */

/* The header goes before what the structs put into `rest`; its client goes to the column first. */
static enum ml_err section_to_v2(struct ml_columns *c, struct ml_wire_reader *r, bool *written)
{
    size_t at = c->rest.len;
    uint64_t structs = 0, first = 0;
    uint8_t header[20], *end;

    for (;;) {
        struct ml_wire s;
        bool more;
        enum ml_err err = ml_wire_next_struct(r, &s, &more);

        if (err)
            return err;
        if (!more)
            break;
        if (!structs) {
            first = s.clock;
            ml_column_number(&c->client, s.client);
        }
        structs++;
        err = ml_columns_struct(c, &s);
        if (err)
            return err;
        if (c->rest.err)
            return c->rest.err;
    }
    *written = structs > 0;
    if (!structs)
        return ML_OK;
    end = ml_put_varuint(ml_put_varuint(header, structs), first);
    if (ml_writer_reserve(&c->rest, sizeof header)) {
        size_t len = (size_t)(end - header);

        memmove(c->rest.ptr + at + len, c->rest.ptr + at, c->rest.len - at);
        memcpy(c->rest.ptr + at, header, len);
        c->rest.len += len;
    }
    return c->rest.err;
}

static enum ml_err v1_to_v2(struct ml_columns *c, struct ml_wire_reader *r,
                            struct ml_wire_ranges *ranges)
{
    uint64_t sections = 0;
    enum ml_err err;

    ml_write_u8(&c->rest, 0);
    for (;;) {
        bool more, written = false;

        err = ml_wire_next_section(r, &more);
        if (err)
            return err;
        if (!more)
            break;
        err = section_to_v2(c, r, &written);
        if (err)
            return err;
        sections += written;
    }
    ml_write_count_at(&c->rest, 0, sections);
    err = ml_wire_ranges_read(ranges, r, true);
    if (err)
        return err;
    ranges->count = ranges->count ? ml_wire_normalize_ranges(ranges->item, ranges->count) : 0;
    ml_columns_delete_set(&c->rest, ranges->item, ranges->count);
    return c->rest.err;
}

static enum ml_err convert_to_v2(struct ml_slice update, bool keep_key_bit,
                                 const struct ml_engine_limits *limits, struct ml_writer *out,
                                 struct ml_diag *diag)
{
    struct ml_wire_ranges ranges = {0};
    struct ml_columns c = {.limits = limits, .keep_key_bit = keep_key_bit};
    struct ml_wire_reader r;
    enum ml_err err;

    ml_columns_init(&c, out->max);
    err = ml_wire_open(&r, update, limits, diag);
    if (!err)
        err = v1_to_v2(&c, &r, &ranges);
    if (!err) {
        ml_columns_close(&c, out);
        err = out->err;
    }
    ml_columns_release(&c);
    ml_wire_ranges_release(&ranges);
    return err;
}

enum ml_err ml_update_convert(struct ml_slice update, enum ml_update_format from,
                              const struct ml_engine_limits *limits, struct ml_arena *scratch,
                              struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_engine_limits resolved = ml_limits_resolve(limits);

    ML_ASSERT(from == ML_UPDATE_V1 || from == ML_UPDATE_V2);
    if (update.len > resolved.update_bytes)
        return ml_diag_set(diag, ML_ELIMIT, 0, "update too large");
    return from == ML_UPDATE_V2 ? convert_to_v1(update, false, &resolved, scratch, out, diag)
                                : convert_to_v2(update, false, &resolved, out, diag);
}

enum ml_err ml_state_to_v2(struct ml_slice state, const struct ml_engine_limits *limits,
                           struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_engine_limits resolved = ml_limits_resolve(limits);

    return convert_to_v2(state, true, &resolved, out, diag);
}

enum ml_err ml_state_to_v1(struct ml_slice state, const struct ml_engine_limits *limits,
                           struct ml_writer *out)
{
    struct ml_engine_limits resolved = ml_limits_resolve(limits);
    struct ml_arena scratch;
    enum ml_err err;

    resolved.update_structs = UINT32_MAX; /* what a document was, it may be again */
    ml_arena_init(&scratch, resolved.doc_bytes);
    err = convert_to_v1(state, true, &resolved, &scratch, out, NULL);
    ml_arena_release(&scratch);
    return err;
}
