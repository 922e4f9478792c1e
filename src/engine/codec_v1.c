/* SPDX-License-Identifier: MIT */
#include "engine/codec_v1.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "engine/any.h"

/* The least a thing takes on the wire, so that no announced number is believed beyond the bytes
 * left. */
#define SECTION_MIN_BYTES    3
#define STRUCT_MIN_BYTES     2
#define RANGE_MIN_BYTES      2
#define SORT_COPY_MAX        65536 /* ranges, 1.5 MB */
#define RANGE_PART_MIN_BYTES 2
#define SV_ENTRY_MIN_BYTES   2

/* GC and Deleted can claim any number of units in a few bytes: what one section may claim. A Skip
 * claims nothing, and the merge of what is pending must be able to write one of any length. */
#define SECTION_MAX_UNITS UINT32_MAX

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

struct ml_engine_limits ml_limits_resolve(const struct ml_engine_limits *limits)
{
    struct ml_engine_limits l = limits ? *limits : (struct ml_engine_limits){0};

#define DEFAULT(field, value)                                                                      \
    if (!l.field)                                                                                  \
    l.field = (value)
    l.update_bytes = ml_limit_update_bytes(&l);
    DEFAULT(doc_bytes, (size_t)256 << 20);
    DEFAULT(pending_bytes, (size_t)1 << 20);
    DEFAULT(pending_structs, 10000);
    DEFAULT(update_structs, 2000000);
    DEFAULT(type_depth, 128);
    DEFAULT(any_depth, 64);
    DEFAULT(key_bytes, 4096);
    DEFAULT(clients, 100000);
#undef DEFAULT
    return l;
}

static enum ml_err fail(const struct ml_wire_reader *r, enum ml_err err, const char *what)
{
    return ml_diag_set(r->diag, err, ml_reader_offset(&r->in), "%s", what);
}

/* Most ids name the author of the section: eight bytes are compared before five are decoded. */
ML_ALWAYS_INLINE bool read_client(const struct ml_wire_reader *r, struct ml_reader *in,
                                  ml_client_id *out)
{
    uint64_t word;

    if (r->own_len && ml_reader_left(in) >= sizeof word) {
        memcpy(&word, in->pos, sizeof word);
        if ((word & r->own_mask) == r->own_bytes) {
            in->pos += r->own_len;
            *out = r->client;
            return true;
        }
    }
    return ml_wire_varuint_word(in, out);
}

/* An own unit can only refer to units before it. */
ML_ALWAYS_INLINE bool read_id(const struct ml_wire_reader *r, struct ml_reader *in,
                              struct ml_id *out)
{
    return read_client(r, in, &out->client) && ml_wire_varuint_word(in, &out->clock) &&
           (out->client != r->client || out->clock < r->clock);
}

static enum ml_err fail_at(struct ml_wire_reader *r, const uint8_t *pos, enum ml_err err,
                           const char *what)
{
    r->in.pos = pos;
    return fail(r, err, what);
}

/* A name that a document keeps: root, map key, format key, node name. */
static enum ml_err read_key(struct ml_wire_reader *r, struct ml_slice *out)
{
    if (ml_read_varstring(&r->in, out, NULL))
        return fail(r, ML_EFORMAT, "broken name");
    if (out->len > r->key_bytes)
        return fail(r, ML_ELIMIT, "name too long");
    return ML_OK;
}

static enum ml_err read_json(struct ml_wire_reader *r, struct ml_slice *out)
{
    enum ml_err err;

    if (ml_read_varbytes(&r->in, out))
        return fail(r, ML_EFORMAT, "broken JSON text");
    if (r->trusted)
        return ML_OK;
    err = ml_json_check(*out, r->any_depth);
    return err ? fail(r, err, "not JSON") : ML_OK;
}

/* ---- Contents, one function per kind --------------------------------------------------------- */

static enum ml_err read_json_elements(struct ml_wire_reader *r, struct ml_wire *s)
{
    const uint8_t *start;

    if (!ml_wire_varuint(&r->in, &s->len) || s->len > ml_reader_left(&r->in))
        return fail(r, ML_EFORMAT, "broken element count");
    start = r->in.pos;
    for (uint64_t i = 0; i < s->len; i++) {
        struct ml_slice text;
        struct ml_reader before = r->in;

        if (ml_read_varbytes(&r->in, &text))
            return fail(r, ML_EFORMAT, "broken JSON text");
        if (!ml_slice_equal(text, ML_SLICE("undefined"))) {
            enum ml_err err;

            r->in = before;
            err = read_json(r, &text);
            if (err)
                return err;
        }
    }
    s->content = ml_slice_make(start, (size_t)(r->in.pos - start));
    return ML_OK;
}

static enum ml_err read_binary(struct ml_wire_reader *r, struct ml_wire *s)
{
    s->len = 1;
    if (ml_read_varbytes(&r->in, &s->content))
        return fail(r, ML_EFORMAT, "broken bytes");
    return ML_OK;
}

/* Short ASCII texts are the rule: two words that overlap. */
static inline bool check_text(struct ml_slice text, size_t *units_out)
{
    uint64_t a, b;

    if (text.len >= 8 && text.len <= 16) {
        memcpy(&a, text.ptr, 8);
        memcpy(&b, text.ptr + text.len - 8, 8);
        *units_out = text.len;
        if (!((a | b) & 0x8080808080808080ull))
            return true;
    } else if (text.len < 4) {
        uint8_t bits = 0;

        for (size_t i = 0; i < text.len; i++)
            bits |= text.ptr[i];
        *units_out = text.len;
        if (bits < 0x80)
            return true;
    }
    return ml_utf8_check(text, units_out);
}

static enum ml_err read_embed(struct ml_wire_reader *r, struct ml_wire *s)
{
    s->len = 1;
    return read_json(r, &s->content);
}

static enum ml_err read_format(struct ml_wire_reader *r, struct ml_wire *s)
{
    const uint8_t *start = r->in.pos;
    struct ml_slice value;
    enum ml_err err;

    s->len = 1;
    err = read_key(r, &s->name);
    if (!err)
        err = read_json(r, &value);
    s->content = ml_slice_make(start, (size_t)(r->in.pos - start));
    return err;
}

static enum ml_err read_type(struct ml_wire_reader *r, struct ml_wire *s)
{
    const uint8_t *start = r->in.pos;
    uint64_t ref;
    enum ml_err err = ML_OK;

    s->len = 1;
    if (!ml_wire_varuint(&r->in, &ref) || ref >= ML_TYPE_REFS)
        return fail(r, ML_EFORMAT, "unknown type");
    s->type_ref = (uint8_t)ref;
    if (ref == ML_TYPE_XML_ELEMENT || ref == ML_TYPE_XML_HOOK)
        err = read_key(r, &s->name);
    s->content = ml_slice_make(start, (size_t)(r->in.pos - start));
    return err;
}

static enum ml_err read_any_elements(struct ml_wire_reader *r, struct ml_wire *s)
{
    const uint8_t *start;

    if (!ml_wire_varuint(&r->in, &s->len) || s->len > ml_reader_left(&r->in))
        return fail(r, ML_EFORMAT, "broken element count");
    start = r->in.pos;
    for (uint64_t i = 0; i < s->len; i++) {
        enum ml_err err = ml_any_skip(&r->in, r->any_depth);

        if (err)
            return fail(r, err, "broken value");
    }
    s->content = ml_slice_make(start, (size_t)(r->in.pos - start));
    return ML_OK;
}

#define ANY_TAG_OBJECT 118

static enum ml_err read_doc(struct ml_wire_reader *r, struct ml_wire *s)
{
    const uint8_t *start = r->in.pos;
    enum ml_err err;

    s->len = 1;
    err = read_key(r, &s->name);
    if (err)
        return err;
    if (ml_reader_left(&r->in) == 0 || *r->in.pos != ANY_TAG_OBJECT)
        return fail(r, ML_EFORMAT, "subdocument options are no object");
    err = ml_any_skip(&r->in, r->any_depth);
    if (err)
        return fail(r, err, "broken subdocument options");
    s->content = ml_slice_make(start, (size_t)(r->in.pos - start));
    return ML_OK;
}

static enum ml_err (*const content_readers[ML_WIRE_KINDS])(struct ml_wire_reader *,
                                                           struct ml_wire *) = {
    [ML_WIRE_JSON] = read_json_elements,
    [ML_WIRE_BINARY] = read_binary,
    [ML_WIRE_EMBED] = read_embed,
    [ML_WIRE_FORMAT] = read_format,
    [ML_WIRE_TYPE] = read_type,
    [ML_WIRE_ANY] = read_any_elements,
    [ML_WIRE_DOC] = read_doc,
};

/* ---- Structs --------------------------------------------------------------------------------- */

/* The parent of an item that names no neighbour, and its key. */
static enum ml_err read_parent(struct ml_wire_reader *r, struct ml_wire *s)
{
    uint64_t parent_info;
    enum ml_err err = ML_OK;

    if (!ml_wire_varuint(&r->in, &parent_info))
        return fail(r, ML_EFORMAT, "broken parent");
    if (parent_info == 1) {
        s->parent = ML_PARENT_ROOT;
        err = read_key(r, &s->root);
    } else {
        s->parent = ML_PARENT_ID;
        if (!read_id(r, &r->in, &s->parent_id))
            return fail(r, ML_EFORMAT, "broken parent, or one in the own future");
    }
    if (!err && (s->info & ML_INFO_KEY))
        err = read_key(r, &s->key);
    return err;
}

/* The two kinds that nearly all structs have, without a call. */
ML_ALWAYS_INLINE enum ml_err read_content(struct ml_wire_reader *r, struct ml_reader *in,
                                          struct ml_wire *s)
{
    uint64_t bytes;
    size_t units;
    enum ml_err err;

    if (s->kind == ML_WIRE_STRING) {
        if (!ml_wire_varuint(in, &bytes) || bytes > ml_reader_left(in))
            return fail_at(r, in->pos, ML_EFORMAT, "broken string");
        s->content = ml_slice_make(in->pos, (size_t)bytes);
        if (!check_text(s->content, &units))
            return fail_at(r, in->pos, ML_EFORMAT, "broken string");
        s->len = units;
        in->pos += bytes;
        return ML_OK;
    }
    if (s->kind == ML_WIRE_DELETED || s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP)
        return ml_wire_varuint(in, &s->len) ? ML_OK
                                            : fail_at(r, in->pos, ML_EFORMAT, "broken length");
    r->in.pos = in->pos;
    err = content_readers[s->kind](r, s);
    in->pos = r->in.pos;
    return err;
}

/* Field by field: an initializer becomes a string instruction, which took a quarter of the time. */
static inline void begin_wire(struct ml_wire *s, const struct ml_wire_reader *r, uint8_t info)
{
    s->client = r->client;
    s->clock = r->clock;
    s->kind = info & 31;
    s->info = info;
    s->parent = ML_PARENT_NONE;
    s->type_ref = 0;
    s->half = false;
    s->origin = (struct ml_id){0, 0};
    s->right_origin = (struct ml_id){0, 0};
    s->parent_id = (struct ml_id){0, 0};
    s->root = (struct ml_slice){NULL, 0};
    s->key = (struct ml_slice){NULL, 0};
    s->content = (struct ml_slice){NULL, 0};
    s->name = (struct ml_slice){NULL, 0};
}

static enum ml_err read_struct(struct ml_wire_reader *r, struct ml_wire *s)
{
    struct ml_reader in;
    const uint8_t *body;
    uint8_t info;
    enum ml_err err;

    in.start = r->in.start; /* as a whole it would be loaded wider than it was stored, and wait */
    in.pos = r->in.pos;
    in.end = r->in.end;
    if (ml_read_u8(&in, &info))
        return fail(r, ML_EFORMAT, "no struct where one was announced");
    begin_wire(s, r, info);
    if (s->kind >= ML_WIRE_KINDS)
        return fail_at(r, in.pos, ML_EFORMAT, "unknown kind of struct");
    if (s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP) {
        if (info & ~31)
            return fail_at(r, in.pos, ML_EFORMAT, "flags on a struct that has no place");
    } else if (info & (ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN)) {
        if ((info & ML_INFO_ORIGIN) && !read_id(r, &in, &s->origin))
            return fail_at(r, in.pos, ML_EFORMAT, "broken origin, or one in the own future");
        if ((info & ML_INFO_RIGHT_ORIGIN) && !read_id(r, &in, &s->right_origin))
            return fail_at(r, in.pos, ML_EFORMAT, "broken right origin, or one in the own future");
    } else {
        r->in.pos = in.pos;
        err = read_parent(r, s);
        if (err)
            return err;
        in.pos = r->in.pos;
    }
    body = in.pos;
    err = read_content(r, &in, s);
    if (err)
        return err;
    r->in.pos = in.pos;
    s->body = ml_slice_make(body, (size_t)(in.pos - body));
    if (s->len > ML_VARUINT_MAX - s->clock)
        return fail(r, ML_EFORMAT, "clock beyond 2^53");
    if (s->kind == ML_WIRE_SKIP)
        r->first_clock += s->len;
    else if (s->len > SECTION_MAX_UNITS || s->clock + s->len - r->first_clock > SECTION_MAX_UNITS)
        return fail(r, ML_ELIMIT, "clock jumps too far");
    return ML_OK;
}

enum ml_err ml_wire_open(struct ml_wire_reader *r, struct ml_slice bytes,
                         const struct ml_engine_limits *limits, struct ml_diag *diag)
{
    *r = (struct ml_wire_reader){
        .in = ml_reader_make(bytes),
        .diag = diag,
        .any_depth = limits && limits->any_depth ? limits->any_depth : 64,
        .key_bytes = limits && limits->key_bytes ? limits->key_bytes : 4096,
    };
    if (bytes.len > ml_limit_update_bytes(limits))
        return fail(r, ML_ELIMIT, "update too large");
    if (!ml_wire_varuint(&r->in, &r->sections_left) ||
        r->sections_left > ml_reader_left(&r->in) / SECTION_MIN_BYTES)
        return fail(r, ML_EFORMAT, "broken section count");
    return ML_OK;
}

/* The client was just read from `began` on: its bytes as they stand there are what others compare
 * with. */
static void know_client(struct ml_wire_reader *r, const uint8_t *began)
{
    size_t len = (size_t)(r->in.pos - began);

    r->own_len = 0;
    if (len <= sizeof r->own_bytes && (size_t)(r->in.end - began) >= sizeof r->own_bytes) {
        r->own_len = (uint8_t)len;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        r->own_mask = UINT64_MAX << (64 - 8 * len);
#else
        r->own_mask = UINT64_MAX >> (64 - 8 * len);
#endif
        memcpy(&r->own_bytes, began, sizeof r->own_bytes);
        r->own_bytes &= r->own_mask;
    }
}

enum ml_err ml_wire_next_section(struct ml_wire_reader *r, bool *more_out)
{
    const uint8_t *began;

    ML_ASSERT(r->structs_left == 0);
    *more_out = r->sections_left > 0;
    if (!*more_out)
        return ML_OK;
    r->sections_left--;
    if (!ml_wire_varuint(&r->in, &r->structs_left))
        return fail(r, ML_EFORMAT, "broken section header");
    began = r->in.pos;
    if (!ml_wire_varuint(&r->in, &r->client))
        return fail(r, ML_EFORMAT, "broken section header");
    know_client(r, began);
    if (!ml_wire_varuint(&r->in, &r->clock) ||
        r->structs_left > ml_reader_left(&r->in) / STRUCT_MIN_BYTES)
        return fail(r, ML_EFORMAT, "broken section header");
    r->first_clock = r->clock;
    return ML_OK;
}

enum ml_err ml_wire_next_struct(struct ml_wire_reader *r, struct ml_wire *out, bool *more_out)
{
    while (r->structs_left) {
        enum ml_err err = read_struct(r, out);

        if (err)
            return err;
        r->structs_left--;
        if (out->len) {
            r->clock += out->len;
            *more_out = true;
            return ML_OK;
        }
    }
    *more_out = false;
    return ML_OK;
}

enum ml_err ml_wire_next(struct ml_wire_reader *r, struct ml_wire *out, bool *more_out)
{
    for (;;) {
        enum ml_err err = ml_wire_next_struct(r, out, more_out);

        if (err || *more_out)
            return err;
        err = ml_wire_next_section(r, more_out);
        if (err || !*more_out)
            return err;
    }
}

/* ---- Delete sets ------------------------------------------------------------------------------
 */

static enum ml_err open_delete_set(struct ml_wire_reader *r)
{
    ML_ASSERT(r->structs_left == 0 && r->sections_left == 0);
    r->in_delete_set = true;
    if (!ml_wire_varuint(&r->in, &r->range_clients_left) ||
        r->range_clients_left > ml_reader_left(&r->in) / RANGE_PART_MIN_BYTES)
        return fail(r, ML_EFORMAT, "broken delete set");
    return ML_OK;
}

enum ml_err ml_wire_next_range(struct ml_wire_reader *r, struct ml_wire_range *out, bool *more_out)
{
    *more_out = false;
    if (!r->in_delete_set) {
        enum ml_err err = open_delete_set(r);

        if (err)
            return err;
    }
    for (;;) {
        if (r->ranges_left) {
            r->ranges_left--;
            out->client = r->client;
            if (!ml_wire_varuint(&r->in, &out->clock) || !ml_wire_varuint(&r->in, &out->len) ||
                out->len > ML_VARUINT_MAX - out->clock)
                return fail(r, ML_EFORMAT, "broken delete range");
            if (!out->len)
                continue;
            *more_out = true;
            return ML_OK;
        }
        if (!r->range_clients_left)
            return ML_OK;
        r->range_clients_left--;
        if (!ml_wire_varuint(&r->in, &r->client) || !ml_wire_varuint(&r->in, &r->ranges_left) ||
            r->ranges_left > ml_reader_left(&r->in) / RANGE_MIN_BYTES)
            return fail(r, ML_EFORMAT, "broken delete set part");
    }
}

static int compare_ranges(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client > b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

/* Let ranges[at] sink in a heap with the last on top. */
static void sink(struct ml_wire_range *ranges, size_t at, size_t count)
{
    struct ml_wire_range r = ranges[at];

    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compare_ranges(&ranges[child], &ranges[child + 1]) < 0)
            child++;
        if (compare_ranges(&r, &ranges[child]) >= 0)
            break;
        ranges[at] = ranges[child];
    }
    ranges[at] = r;
}

/* A C library may sort in a copy, which millions of ranges of an attacker must not get. */
static void sort_ranges(struct ml_wire_range *ranges, size_t count)
{
    if (count <= SORT_COPY_MAX) {
        qsort(ranges, count, sizeof *ranges, compare_ranges);
        return;
    }
    for (size_t i = count / 2; i > 0; i--)
        sink(ranges, i - 1, count);
    for (size_t n = count; n > 1; n--) {
        struct ml_wire_range last = ranges[0];

        ranges[0] = ranges[n - 1];
        ranges[n - 1] = last;
        sink(ranges, 0, n - 1);
    }
}

size_t ml_wire_normalize_ranges(struct ml_wire_range *ranges, size_t count)
{
    size_t n = 0;
    bool sorted = true;

    for (size_t i = 1; i < count && sorted; i++)
        sorted = compare_ranges(&ranges[i - 1], &ranges[i]) <= 0;
    if (!sorted)
        sort_ranges(ranges, count);
    for (size_t i = 0; i < count; i++) {
        struct ml_wire_range *last = n ? &ranges[n - 1] : NULL;
        uint64_t end = ranges[i].clock + ranges[i].len;

        if (last && last->client == ranges[i].client &&
            ranges[i].clock <= last->clock + last->len) {
            if (end > last->clock + last->len)
                last->len = end - last->clock;
        } else {
            ranges[n++] = ranges[i];
        }
    }
    return n;
}

void ml_wire_write_ranges(struct ml_writer *w, const struct ml_wire_range *ranges, size_t count)
{
    size_t clients = 0;

    for (size_t i = 0; i < count; i++)
        clients += i == 0 || ranges[i].client != ranges[i - 1].client;
    ml_write_varuint(w, clients);
    for (size_t i = 0; i < count;) {
        size_t end = i;

        while (end < count && ranges[end].client == ranges[i].client)
            end++;
        ml_write_varuint(w, ranges[i].client);
        ml_write_varuint(w, end - i);
        for (; i < end; i++) {
            ml_write_varuint(w, ranges[i].clock);
            ml_write_varuint(w, ranges[i].len);
        }
    }
}

/* ---- Cutting and writing -----------------------------------------------------------------------
 */

/* Step over `count` elements; they were checked when they were read. */
static struct ml_slice skip_elements(struct ml_slice content, unsigned kind, uint64_t count)
{
    struct ml_reader in = ml_reader_make(content);
    enum ml_err err = ML_OK;

    for (uint64_t i = 0; i < count && !err; i++) {
        struct ml_slice text;

        err = kind == ML_WIRE_ANY ? ml_any_skip(&in, UINT32_MAX) : ml_read_varbytes(&in, &text);
    }
    ML_ASSERT(!err);
    return ml_slice_make(in.pos, ml_reader_left(&in));
}

static void cut_text(struct ml_wire *s, uint64_t units)
{
    bool inside_pair;
    size_t skip;

    if (s->half) {
        s->half = false; /* the U+FFFD in front is one unit */
        units--;
    }
    skip = ml_utf8_offset(s->content, (size_t)units, &inside_pair);
    if (inside_pair)
        skip += 4;
    s->half = inside_pair;
    s->content.ptr += skip;
    s->content.len -= skip;
}

void ml_wire_cut(struct ml_wire *s, uint64_t units)
{
    ML_ASSERT(units > 0 && units < s->len);
    if (s->kind == ML_WIRE_STRING)
        cut_text(s, units);
    else if (s->kind == ML_WIRE_ANY || s->kind == ML_WIRE_JSON)
        s->content = skip_elements(s->content, s->kind, units);
    s->clock += units;
    s->len -= units;
    if (s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP)
        return;
    s->info |= ML_INFO_ORIGIN;
    s->origin = (struct ml_id){s->client, s->clock - 1};
    s->parent = ML_PARENT_NONE;
    s->root = s->key = (struct ml_slice){0};
}

void ml_wire_keep(struct ml_wire *s, uint64_t units)
{
    bool inside_pair;

    ML_ASSERT(units > 0 && units < s->len);
    if (s->kind == ML_WIRE_STRING)
        s->content.len = ml_utf8_offset(s->content, (size_t)units - s->half, &inside_pair);
    else if (s->kind == ML_WIRE_ANY || s->kind == ML_WIRE_JSON)
        s->content.len -= skip_elements(s->content, s->kind, units).len;
    s->len = units;
}

static void write_id(struct ml_writer *w, const struct ml_id *id)
{
    ml_write_varuint(w, id->client);
    ml_write_varuint(w, id->clock);
}

static void write_place(struct ml_writer *w, const struct ml_wire *s)
{
    if (s->info & ML_INFO_ORIGIN)
        write_id(w, &s->origin);
    if (s->info & ML_INFO_RIGHT_ORIGIN)
        write_id(w, &s->right_origin);
    if (s->parent == ML_PARENT_ROOT) {
        ml_write_u8(w, 1);
        ml_write_varbytes(w, s->root);
    } else if (s->parent == ML_PARENT_ID) {
        ml_write_u8(w, 0);
        write_id(w, &s->parent_id);
    }
    if (s->key.ptr)
        ml_write_varbytes(w, s->key);
}

static void write_content(struct ml_writer *w, const struct ml_wire *s)
{
    switch ((enum ml_wire_kind)s->kind) {
    case ML_WIRE_GC:
    case ML_WIRE_DELETED:
    case ML_WIRE_SKIP:
        ml_write_varuint(w, s->len);
        break;
    case ML_WIRE_JSON:
    case ML_WIRE_ANY:
        ml_write_varuint(w, s->len);
        ml_write_bytes(w, s->content);
        break;
    case ML_WIRE_STRING:
        ml_write_varuint(w, s->content.len + (s->half ? sizeof replacement : 0));
        if (s->half)
            ml_write_bytes(w, ml_slice_make(replacement, sizeof replacement));
        ml_write_bytes(w, s->content);
        break;
    case ML_WIRE_BINARY:
    case ML_WIRE_EMBED:
        ml_write_varbytes(w, s->content);
        break;
    case ML_WIRE_FORMAT:
    case ML_WIRE_TYPE:
    case ML_WIRE_DOC:
        ml_write_bytes(w, s->content);
        break;
    case ML_WIRE_KINDS:
        break;
    }
}

void ml_wire_write(struct ml_writer *w, const struct ml_wire *s)
{
    uint8_t info = s->kind;

    if (s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP) {
        ml_write_u8(w, info);
        ml_write_varuint(w, s->len);
        return;
    }
    info |= s->info & (ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN);
    if (s->key.ptr)
        info |= ML_INFO_KEY;
    ml_write_u8(w, info);
    write_place(w, s);
    write_content(w, s);
}

/* ---- State vectors ------------------------------------------------------------------------------
 */

enum ml_err ml_state_vector_open(struct ml_reader *in, uint64_t *left_out)
{
    if (ml_read_varuint(in, left_out) || *left_out > ml_reader_left(in) / SV_ENTRY_MIN_BYTES)
        return ML_EFORMAT;
    return ML_OK;
}

enum ml_err ml_state_vector_next(struct ml_reader *in, uint64_t *left, struct ml_id *out,
                                 bool *more_out)
{
    *more_out = *left > 0;
    if (!*left)
        return ML_OK;
    --*left;
    if (ml_read_varuint(in, &out->client) || ml_read_varuint(in, &out->clock))
        return ML_EFORMAT;
    return ML_OK;
}
