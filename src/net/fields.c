/* SPDX-License-Identifier: MIT */
/*
 * Tags of lib0's Any, as the engine writes JSON: 7d varint, 7c float, 7b double, 79 and 78
 * booleans, 77 string, 76 object, 75 list, 7e null. Stepping over a value counts what is still to
 * come instead of calling itself.
 */
#include "net/fields.h"

#include "base/codec.h"

#define TAG_INTEGER 0x7d
#define TAG_FLOAT   0x7c
#define TAG_DOUBLE  0x7b
#define TAG_BIGINT  0x7a
#define TAG_STRING  0x77
#define TAG_FALSE   0x79
#define TAG_TRUE    0x78
#define TAG_OBJECT  0x76
#define TAG_LIST    0x75
#define TAG_BYTES   0x74

static enum ml_err skip_scalar(struct ml_reader *r, uint8_t tag)
{
    struct ml_slice bytes;
    uint64_t number;
    bool negative;

    switch (tag) {
    case TAG_INTEGER:
        return ml_read_varint(r, &number, &negative);
    case TAG_FLOAT:
        return ml_read_bytes(r, 4, &bytes);
    case TAG_DOUBLE:
    case TAG_BIGINT:
        return ml_read_bytes(r, 8, &bytes);
    case TAG_STRING:
    case TAG_BYTES:
        return ml_read_varbytes(r, &bytes);
    default:
        return ML_OK; /* no more than its tag */
    }
}

/*
 * Keys of objects are in the way, so an object cannot just be counted: `keys` says, for each open
 * container, whether its elements have names.
 */
static enum ml_err skip(struct ml_reader *r)
{
    enum { DEPTH_MAX = 256 };
    uint64_t left[DEPTH_MAX];
    bool has_keys[DEPTH_MAX];
    size_t depth = 0;

    do {
        struct ml_slice key;
        uint8_t tag;
        enum ml_err err = ML_OK;

        if (depth && has_keys[depth - 1])
            err = ml_read_varbytes(r, &key);
        if (!err)
            err = ml_read_u8(r, &tag);
        if (err)
            return err;
        if (depth)
            left[depth - 1]--;
        if (tag == TAG_OBJECT || tag == TAG_LIST) {
            if (depth == DEPTH_MAX)
                return ML_ELIMIT;
            has_keys[depth] = tag == TAG_OBJECT;
            err = ml_read_varuint(r, &left[depth++]);
        } else {
            err = skip_scalar(r, tag);
        }
        if (err)
            return err;
        while (depth && !left[depth - 1])
            depth--;
    } while (depth);
    return ML_OK;
}

static bool has_tag(struct ml_slice any, uint8_t tag)
{
    return any.len && any.ptr[0] == tag;
}

bool ml_fields_is_object(struct ml_slice any)
{
    return has_tag(any, TAG_OBJECT);
}

bool ml_fields_is_list(struct ml_slice any)
{
    return has_tag(any, TAG_LIST);
}

bool ml_fields_text(struct ml_slice any, struct ml_slice *text_out)
{
    struct ml_reader r = ml_reader_make(any);
    uint8_t tag;

    return has_tag(any, TAG_STRING) && !ml_read_u8(&r, &tag) && !ml_read_varbytes(&r, text_out);
}

/* Next member of an object; `r` stands behind the count, or the member before. */
static bool next_member(struct ml_reader *r, struct ml_slice *key, struct ml_slice *value)
{
    const uint8_t *from;

    if (ml_read_varbytes(r, key))
        return false;
    from = r->pos;
    if (skip(r))
        return false;
    *value = ml_slice_make(from, (size_t)(r->pos - from));
    return true;
}

static bool open_object(struct ml_slice any, struct ml_reader *r, uint64_t *count)
{
    uint8_t tag;

    *r = ml_reader_make(any);
    return has_tag(any, TAG_OBJECT) && !ml_read_u8(r, &tag) && !ml_read_varuint(r, count);
}

bool ml_fields_get(struct ml_slice any, const char *key, struct ml_slice *value_out)
{
    struct ml_slice wanted = ml_slice_str(key), name;
    struct ml_reader r;
    uint64_t count;

    if (!open_object(any, &r, &count))
        return false;
    while (count-- && next_member(&r, &name, value_out))
        if (ml_slice_equal(name, wanted))
            return true;
    return false;
}

bool ml_fields_member(struct ml_slice any, uint64_t index, struct ml_slice *name_out,
                      struct ml_slice *value_out)
{
    struct ml_reader r;
    uint64_t count;

    if (!open_object(any, &r, &count) || index >= count)
        return false;
    do
        if (!next_member(&r, name_out, value_out))
            return false;
    while (index--);
    return true;
}

bool ml_fields_item(struct ml_slice any, uint64_t index, struct ml_slice *value_out)
{
    struct ml_reader r = ml_reader_make(any);
    uint64_t count;
    uint8_t tag;

    if (!has_tag(any, TAG_LIST) || ml_read_u8(&r, &tag) || ml_read_varuint(&r, &count) ||
        index >= count)
        return false;
    do {
        const uint8_t *from = r.pos;

        if (skip(&r))
            return false;
        *value_out = ml_slice_make(from, (size_t)(r.pos - from));
    } while (index--);
    return true;
}

/* Big endian. False: not whole, negative, or more than JavaScript can say exactly. */
static bool read_double(struct ml_slice any, uint64_t *out)
{
    uint64_t bits = 0;
    double number;

    if (any.len < 9)
        return false;
    for (size_t i = 1; i <= 8; i++)
        bits = bits << 8 | any.ptr[i];
    memcpy(&number, &bits, sizeof number);
    if (!(number >= 0 && number <= 9007199254740991.0))
        return false;
    *out = (uint64_t)number;
    return (double)*out == number;
}

bool ml_fields_number(struct ml_slice any, uint64_t *out)
{
    struct ml_reader r = ml_reader_make(any);
    bool is_negative;
    uint8_t tag;

    if (has_tag(any, TAG_DOUBLE)) /* over 31 bits */
        return read_double(any, out);
    return has_tag(any, TAG_INTEGER) && !ml_read_u8(&r, &tag) &&
           !ml_read_varint(&r, out, &is_negative) && !is_negative;
}

bool ml_fields_bool(struct ml_slice any, bool *out)
{
    *out = has_tag(any, TAG_TRUE);
    return *out || has_tag(any, TAG_FALSE);
}

struct ml_slice ml_fields_unknown(struct ml_slice any, const char *const *known)
{
    struct ml_slice name, value;
    struct ml_reader r;
    uint64_t count;

    if (!open_object(any, &r, &count))
        return ml_slice_make(NULL, 0);
    while (count-- && next_member(&r, &name, &value)) {
        const char *const *k = known;

        while (*k && !ml_slice_equal(name, ml_slice_str(*k)))
            k++;
        if (!*k)
            return name;
    }
    return ml_slice_make(NULL, 0);
}
