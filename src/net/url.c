/* SPDX-License-Identifier: MIT */
/*
 * Request targets. Escapes are undone exactly once and before a name is judged, so that every
 * spelling of a name is the same document and a double escape is just a name with a percent sign.
 */
#include "net/url.h"

#include "auth/auth.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum ml_err decode(struct ml_slice text, bool plus_is_space, struct ml_arena *scratch,
                          struct ml_slice *out)
{
    uint8_t *to = ml_arena_alloc(scratch, text.len ? text.len : 1);
    size_t n = 0;

    if (!to)
        return ML_ELIMIT;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '%') {
            bool is_whole = text.len - i > 2;
            int high = is_whole ? hex_value(text.ptr[i + 1]) : -1;
            int low = is_whole ? hex_value(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return ML_EFORMAT;
            c = (uint8_t)(high << 4 | low);
            if (c == 0)
                return ML_EFORMAT;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = ml_slice_make(to, n);
    return ML_OK;
}

/* Up to the first `stop`, which is taken but not answered. */
static struct ml_slice take_until(struct ml_slice *text, uint8_t stop)
{
    const uint8_t *at = text->len ? memchr(text->ptr, stop, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->ptr) : text->len;
    struct ml_slice head = ml_slice_make(text->ptr, len);
    size_t skip = at ? len + 1 : len;

    text->ptr += skip;
    text->len -= skip;
    return head;
}

enum ml_err ml_url_decode(struct ml_slice text, struct ml_arena *scratch, struct ml_slice *out)
{
    return decode(text, false, scratch, out);
}

enum ml_err ml_url_query(struct ml_slice query, struct ml_arena *scratch, struct ml_parameter *out,
                         size_t *count_out)
{
    *count_out = 0;
    while (query.len) {
        struct ml_slice value = take_until(&query, '&');
        struct ml_slice name = take_until(&value, '=');
        enum ml_err err;

        if (!name.len)
            continue;
        if (*count_out == ML_QUERY_MAX)
            return ML_ELIMIT;
        err = decode(name, true, scratch, &out[*count_out].name);
        if (err)
            return err;
        err = decode(value, true, scratch, &out[*count_out].value);
        if (err)
            return err;
        ++*count_out;
    }
    return ML_OK;
}

struct ml_slice ml_url_parameter(const struct ml_parameter *list, size_t count, const char *name)
{
    struct ml_slice wanted = ml_slice_str(name);

    for (size_t i = 0; i < count; i++)
        if (ml_slice_equal(list[i].name, wanted))
            return list[i].value;
    return ml_slice_make(NULL, 0);
}

enum ml_err ml_url_document(struct ml_slice path, struct ml_slice prefix, struct ml_arena *scratch,
                            struct ml_slice *org_out, struct ml_slice *name_out)
{
    struct ml_slice rest;
    enum ml_err err;

    if (!ml_url_has_prefix(path, prefix))
        return ML_ENOTFOUND;
    rest = ml_slice_make(path.ptr + prefix.len, path.len - prefix.len);
    *org_out = take_until(&rest, '/');
    if (!ml_org_is_valid(*org_out))
        return ML_ENOTFOUND;
    err = decode(rest, false, scratch, name_out);
    if (err == ML_ELIMIT)
        return err;
    if (err || !ml_document_name_is_valid(*name_out))
        return ML_ENOTFOUND;
    return ML_OK;
}
