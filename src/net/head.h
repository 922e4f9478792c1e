/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1 request, read strictly: what two programs could understand differently is
 * refused. Pure; everything borrows from the received bytes.
 */
#ifndef ML_NET_HEAD_H
#define ML_NET_HEAD_H

#include "base/slice.h"

/* SEC-LM-01 */
#define ML_HEAD_LINE_MAX    (8 * 1024)
#define ML_HEAD_FIELDS_MAX  (16 * 1024)
#define ML_HEAD_FIELD_COUNT 100
#define ML_HEAD_MAX_BYTES   (ML_HEAD_LINE_MAX + ML_HEAD_FIELDS_MAX)

enum ml_method {
    ML_METHOD_GET,
    ML_METHOD_HEAD,
    ML_METHOD_POST,
    ML_METHOD_PUT,
    ML_METHOD_DELETE,
    ML_METHOD_OPTIONS,
    ML_METHOD_OTHER
};

struct ml_head_field {
    struct ml_slice name, value; /* value without blanks around it */
};

struct ml_head {
    enum ml_method method;
    struct ml_slice method_text;
    struct ml_slice path, query; /* of the target; not decoded; query without `?` */
    struct ml_slice host;        /* empty: none (HTTP/1.0) */
    struct ml_head_field fields[ML_HEAD_FIELD_COUNT];
    size_t field_count;
    uint64_t content_length; /* 0: none */
    bool is_chunked;
    bool keeps_alive; /* the connection may take another request */
    size_t len_bytes; /* of the head, blank line included */
};

enum ml_head_state {
    ML_HEAD_PARTIAL, /* more bytes are needed */
    ML_HEAD_COMPLETE,
    ML_HEAD_BROKEN, /* *status_out says how to refuse it */
};

/** @param status_out  400, 414, 431, 501 or 505 */
enum ml_head_state ml_head_parse(struct ml_slice bytes, struct ml_head *out, unsigned *status_out);

/** The value of the first field of that name (any case), or an empty slice with .ptr NULL. */
struct ml_slice ml_head_field(const struct ml_head *head, const char *name);
/** Does a comma-separated field contain this token (any case)? All fields of that name count. */
bool ml_head_has_token(const struct ml_head *head, const char *name, const char *token);

/** First token of a comma-separated list, blanks removed; empty: none. */
struct ml_slice ml_head_first_token(struct ml_slice list);
/** ASCII, any case. */
bool ml_head_equal(struct ml_slice text, const char *word);

#endif
