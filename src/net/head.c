/* SPDX-License-Identifier: MIT */
/*
 * The head of a request, for HTTP/1.0 and 1.1 (RFC 9112), on the strict side: lines end in CRLF and
 * nothing else, no folded fields, no blank before a colon, one Host, one Content-Length, the target
 * begins with a slash and holds printable ASCII. Nothing is copied; a head that is too long is
 * refused before its end has come.
 */
#include "net/head.h"

#include <strings.h>

static bool is_token_char(uint8_t c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr(others, c));
}

static bool is_token(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_token_char(text.ptr[i]))
            return false;
    return text.len > 0;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct ml_slice trim(struct ml_slice text)
{
    while (text.len && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* Up to `stop`, which is skipped; the whole text if there is none. */
static struct ml_slice take(struct ml_slice *text, uint8_t stop)
{
    const uint8_t *at = text->len ? memchr(text->ptr, stop, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->ptr) : text->len;
    struct ml_slice head = ml_slice_make(text->ptr, len);
    size_t skip = at ? len + 1 : len;

    text->ptr += skip;
    text->len -= skip;
    return head;
}

/*
 * Next line, without its CRLF. False: it has not ended yet, or (*broken_out) it is not one.
 * `pos` is moved behind it.
 */
static bool take_line(struct ml_slice bytes, size_t *pos, struct ml_slice *line_out,
                      bool *broken_out)
{
    const uint8_t *start = bytes.ptr + *pos;
    size_t left = bytes.len - *pos;
    const uint8_t *end = left ? memchr(start, '\n', left) : NULL;

    *broken_out = false;
    if (!end)
        return false;
    if (end == start || end[-1] != '\r') {
        *broken_out = true;
        return false;
    }
    *line_out = ml_slice_make(start, (size_t)(end - start) - 1);
    *pos += (size_t)(end - start) + 1;
    return true;
}

static enum ml_method method_of(struct ml_slice text)
{
    static const char *const names[] = {
        [ML_METHOD_GET] = "GET", [ML_METHOD_HEAD] = "HEAD",     [ML_METHOD_POST] = "POST",
        [ML_METHOD_PUT] = "PUT", [ML_METHOD_DELETE] = "DELETE", [ML_METHOD_OPTIONS] = "OPTIONS",
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ml_slice_equal(text, ml_slice_str(names[i])))
            return (enum ml_method)i;
    return ML_METHOD_OTHER;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_version(struct ml_slice text)
{
    return text.len == 8 && memcmp(text.ptr, "HTTP/", 5) == 0 && is_digit(text.ptr[5]) &&
           text.ptr[6] == '.' && is_digit(text.ptr[7]);
}

/* 0: fine */
static unsigned read_request_line(struct ml_slice line, struct ml_head *out)
{
    struct ml_slice target, version = line;

    out->method_text = take(&version, ' ');
    target = take(&version, ' ');
    if (!is_token(out->method_text) || !target.len || target.ptr[0] != '/')
        return 400;
    out->method = method_of(out->method_text);
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return 400;
    out->path = take(&target, '?');
    out->query = target;
    if (ml_slice_equal(version, ML_SLICE("HTTP/1.1")))
        out->keeps_alive = true;
    else if (!ml_slice_equal(version, ML_SLICE("HTTP/1.0")))
        return is_version(version) ? 505 : 400;
    return 0;
}

static unsigned read_content_length(struct ml_slice text, uint64_t *out)
{
    if (!text.len || text.len > 15)
        return 400;
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 400;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return 0;
}

static unsigned read_field(struct ml_slice line, struct ml_head *out)
{
    struct ml_slice value = line;
    struct ml_slice name = take(&value, ':');
    struct ml_head_field *field;

    if (!is_token(name) || name.len == line.len)
        return 400;
    if (out->field_count == ML_HEAD_FIELD_COUNT)
        return 431;
    value = trim(value);
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return 400;
    field = &out->fields[out->field_count++];
    field->name = name;
    field->value = value;
    return 0;
}

static size_t count_fields(const struct ml_head *head, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < head->field_count; i++)
        n += ml_head_equal(head->fields[i].name, name);
    return n;
}

/* What the fields say about the message as a whole. */
static unsigned judge_fields(struct ml_head *out)
{
    struct ml_slice length = ml_head_field(out, "content-length");
    struct ml_slice coding = ml_head_field(out, "transfer-encoding");
    bool is_1_1 = out->keeps_alive;

    if (count_fields(out, "host") > 1 || count_fields(out, "content-length") > 1 ||
        count_fields(out, "origin") > 1)
        return 400;
    out->host = ml_head_field(out, "host");
    if (is_1_1 && !out->host.len)
        return 400;
    if (coding.ptr) {
        if (length.ptr || !is_1_1)
            return 400;
        if (!ml_head_equal(coding, "chunked") || count_fields(out, "transfer-encoding") > 1)
            return 501;
        out->is_chunked = true;
    }
    if (length.ptr) {
        unsigned status = read_content_length(length, &out->content_length);

        if (status)
            return status;
    }
    if (ml_head_has_token(out, "connection", "close"))
        out->keeps_alive = false;
    else if (!is_1_1 && ml_head_has_token(out, "connection", "keep-alive"))
        out->keeps_alive = true;
    return 0;
}

static enum ml_head_state broken(unsigned status, unsigned *status_out)
{
    *status_out = status;
    return ML_HEAD_BROKEN;
}

enum ml_head_state ml_head_parse(struct ml_slice bytes, struct ml_head *out, unsigned *status_out)
{
    struct ml_slice line;
    size_t pos = 0, fields_start;
    bool is_broken;
    unsigned status;

    out->method = ML_METHOD_OTHER;
    out->method_text = out->path = out->query = out->host = ml_slice_make(NULL, 0);
    out->field_count = 0; /* the fields themselves are not worth the clearing */
    out->content_length = 0;
    out->is_chunked = out->keeps_alive = false;
    out->len_bytes = 0;
    *status_out = 0;
    if (bytes.len && !is_token_char(bytes.ptr[0]))
        return broken(400, status_out);
    if (!take_line(bytes, &pos, &line, &is_broken)) {
        if (is_broken)
            return broken(400, status_out);
        return bytes.len > ML_HEAD_LINE_MAX ? broken(414, status_out) : ML_HEAD_PARTIAL;
    }
    if (line.len > ML_HEAD_LINE_MAX)
        return broken(414, status_out);
    status = read_request_line(line, out);
    if (status)
        return broken(status, status_out);
    fields_start = pos;
    for (;;) {
        if (!take_line(bytes, &pos, &line, &is_broken)) {
            if (is_broken)
                return broken(400, status_out);
            return bytes.len - fields_start > ML_HEAD_FIELDS_MAX ? broken(431, status_out)
                                                                 : ML_HEAD_PARTIAL;
        }
        if (pos - fields_start > ML_HEAD_FIELDS_MAX)
            return broken(431, status_out);
        if (!line.len)
            break;
        status = read_field(line, out);
        if (status)
            return broken(status, status_out);
    }
    out->len_bytes = pos;
    status = judge_fields(out);
    return status ? broken(status, status_out) : ML_HEAD_COMPLETE;
}

struct ml_slice ml_head_field(const struct ml_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (ml_head_equal(head->fields[i].name, name))
            return head->fields[i].value;
    return ml_slice_make(NULL, 0);
}

bool ml_head_has_token(const struct ml_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct ml_slice list = head->fields[i].value;

        if (!ml_head_equal(head->fields[i].name, name))
            continue;
        while (list.len)
            if (ml_head_equal(trim(take(&list, ',')), token))
                return true;
    }
    return false;
}

struct ml_slice ml_head_first_token(struct ml_slice list)
{
    while (list.len) {
        struct ml_slice token = trim(take(&list, ','));

        if (token.len)
            return token;
    }
    return ml_slice_make(NULL, 0);
}

bool ml_head_equal(struct ml_slice text, const char *word)
{
    return text.len == strlen(word) &&
           (text.len == 0 || strncasecmp((const char *)text.ptr, word, text.len) == 0);
}
