/* SPDX-License-Identifier: MIT */
/*
 * Chunks, on the strict side like heads: lines end in CRLF, a size is one to eight hex digits,
 * extensions and trailers are read over and bounded.
 *
 *   SIZE --";"--> (extension) --CR--> SIZE_END --LF--> DATA --all of it--> DATA_END --CRLF--> SIZE
 *                                        \-- size 0 --> TRAILER --empty line--> complete
 */
#include "net/body.h"

#define LINE_MAX_BYTES    256  /* a size with its extensions */
#define TRAILER_MAX_BYTES 4096 /* all trailers */
#define SIZE_MAX_BITS     32

void ml_body_init(struct ml_body *body, bool is_chunked, uint64_t length)
{
    *body = (struct ml_body){
        .at = is_chunked ? ML_BODY_SIZE : ML_BODY_DATA,
        .is_chunked = is_chunked,
        .left = is_chunked ? 0 : length,
    };
}

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

static enum ml_body_state take_data(struct ml_body *body, struct ml_slice *in,
                                    struct ml_writer *out)
{
    size_t n = body->left < in->len ? (size_t)body->left : in->len;

    ml_write_bytes(out, ml_slice_make(in->ptr, n));
    if (out->err)
        return ML_BODY_TOO_LARGE;
    in->ptr += n;
    in->len -= n;
    body->left -= n;
    if (body->left)
        return ML_BODY_PARTIAL;
    if (!body->is_chunked)
        return ML_BODY_COMPLETE;
    body->at = ML_BODY_DATA_END;
    body->line_bytes = 0;
    return ML_BODY_PARTIAL;
}

/* One byte of a size line, its CR included. */
static enum ml_body_state take_size(struct ml_body *body, uint8_t c)
{
    int digit = hex_value(c);

    if (++body->line_bytes > LINE_MAX_BYTES)
        return ML_BODY_BROKEN;
    if (c == '\r' && body->has_digit) {
        body->at = ML_BODY_SIZE_END;
    } else if (body->in_extension) {
        return c == '\n' || c == '\r' || c == 0 ? ML_BODY_BROKEN : ML_BODY_PARTIAL;
    } else if ((c == ';' || c == ' ' || c == '\t') && body->has_digit) {
        body->in_extension = true;
    } else if (digit < 0 || body->left >> (SIZE_MAX_BITS - 4)) {
        return ML_BODY_BROKEN;
    } else {
        body->left = body->left << 4 | (unsigned)digit;
        body->has_digit = true;
    }
    return ML_BODY_PARTIAL;
}

/* LF of a size line, or CRLF behind a chunk. */
static enum ml_body_state take_line_end(struct ml_body *body, uint8_t c)
{
    if (body->at == ML_BODY_SIZE_END) {
        if (c != '\n')
            return ML_BODY_BROKEN;
        body->at = body->left ? ML_BODY_DATA : ML_BODY_TRAILER;
        body->line_bytes = 0;
        /* Of a trailer: something stands in this line; its CR was the byte before. */
        body->in_extension = body->has_digit = false;
        return ML_BODY_PARTIAL;
    }
    if (c != (body->line_bytes ? '\n' : '\r'))
        return ML_BODY_BROKEN;
    if (body->line_bytes++) {
        body->at = ML_BODY_SIZE;
        body->line_bytes = 0;
        body->has_digit = body->in_extension = false;
    }
    return ML_BODY_PARTIAL;
}

static enum ml_body_state take_trailer(struct ml_body *body, uint8_t c)
{
    if (++body->line_bytes > TRAILER_MAX_BYTES || c == 0)
        return ML_BODY_BROKEN;
    if (c == '\n') {
        if (!body->has_digit) /* the CR that has to come before it */
            return ML_BODY_BROKEN;
        if (!body->in_extension)
            return ML_BODY_COMPLETE;
        body->in_extension = false;
    } else if (c != '\r') {
        body->in_extension = true;
    }
    body->has_digit = c == '\r';
    return ML_BODY_PARTIAL;
}

enum ml_body_state ml_body_feed(struct ml_body *body, struct ml_slice *in, struct ml_writer *out)
{
    enum ml_body_state state = ML_BODY_PARTIAL;

    if (body->at == ML_BODY_DATA && !body->is_chunked && !body->left)
        return ML_BODY_COMPLETE;
    while (in->len && state == ML_BODY_PARTIAL) {
        uint8_t c = *in->ptr;

        if (body->at == ML_BODY_DATA) {
            state = take_data(body, in, out);
            continue;
        }
        in->ptr++;
        in->len--;
        if (body->at == ML_BODY_SIZE)
            state = take_size(body, c);
        else if (body->at == ML_BODY_TRAILER)
            state = take_trailer(body, c);
        else
            state = take_line_end(body, c);
    }
    return state;
}
