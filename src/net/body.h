/* SPDX-License-Identifier: MIT */
/*
 * The body of an HTTP/1.1 request: so many bytes, or chunks (RFC 9112, 7.1). Pure: bytes in, bytes
 * out, as they come; nothing is kept but a few numbers.
 */
#ifndef ML_NET_BODY_H
#define ML_NET_BODY_H

#include "base/codec.h"

enum ml_body_state {
    ML_BODY_PARTIAL, /* all that was given is taken; more has to come */
    ML_BODY_COMPLETE,
    ML_BODY_BROKEN,
    ML_BODY_TOO_LARGE, /* for the ceiling of the writer */
};

struct ml_body {
    /* private */
    enum { ML_BODY_DATA, ML_BODY_SIZE, ML_BODY_SIZE_END, ML_BODY_DATA_END, ML_BODY_TRAILER } at;
    bool is_chunked;
    uint64_t left;       /* of the body, or of this chunk */
    uint32_t line_bytes; /* of the size line or of all trailers so far */
    bool has_digit, in_extension;
};

/** @param length  ignored if chunked */
void ml_body_init(struct ml_body *body, bool is_chunked, uint64_t length);
/**
 * Take what there is of `*in` (it is moved on) and put content into `out`.
 * After COMPLETE `*in` stands at what follows the body.
 */
enum ml_body_state ml_body_feed(struct ml_body *body, struct ml_slice *in, struct ml_writer *out);

#endif
