/* SPDX-License-Identifier: MIT */
/*
 * The one door out: HTTP requests of plugins, checked after the name is resolved, at the address
 * that is really connected to. Nothing private is reached unless the operator listed it.
 */
#ifndef ML_SERVER_WEB_H
#define ML_SERVER_WEB_H

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct ml_web;

struct ml_web_field {
    struct ml_slice name, value;
};

struct ml_web_request {
    /* request; borrowed for ml_web_begin, copied as far as needed */
    struct ml_slice org, instance; /* at most 16 at once for each pair */
    struct ml_slice method, url, sends;
    uint64_t timeout_ms; /* 0: 10 s */
    uint64_t max_bytes;  /* of the answer; 0: 1 MiB */
    void (*done)(struct ml_web_request *request);
    /* result: until ml_web_release */
    enum ml_err err; /* ML_ETIMEDOUT, ML_EDENIED: a private address, ML_ELIMIT: too long, ML_EIO */
    char why[160];
    uint32_t status;
    struct ml_web_field *fields; /* names in lower case */
    size_t field_count;
    struct ml_slice body;
    /* private */
    struct ml_list node;
    struct ml_web *web;
    void *easy, *headers; /* of libcurl */
    struct ml_arena arena;
    uint8_t *bytes;
    size_t len, cap;
    struct ml_slice who; /* org, NUL, instance */
    bool is_denied, is_too_long;
};

/**
 * @param allowed  address ranges ("10.0.0.0/8") that may be reached although they are private, and
 *                 over plain HTTP; borrowed
 * @param dev      so may 127.0.0.1
 */
struct ml_web *ml_web_new(uv_loop_t *loop, const char *const *allowed, size_t count, bool dev);
/** Nothing may be under way. Frees when the loop gets there. */
void ml_web_close(struct ml_web *web);

/** Before ml_web_begin. ML_EFORMAT: a line break where none may be. */
enum ml_err ml_web_add_header(struct ml_web_request *request, struct ml_slice name,
                              struct ml_slice value) ML_MUST_CHECK;
/**
 * `done` comes later, never from inside this call. An error (ML_EBUSY: too many at once,
 * ML_EFORMAT: not a URL) is the answer.
 */
enum ml_err ml_web_begin(struct ml_web *web, struct ml_web_request *request) ML_MUST_CHECK;
/** `done` will not come. */
void ml_web_stop(struct ml_web_request *request);
void ml_web_release(struct ml_web_request *request);

/** Is this an address range as ml_web_new takes them? */
bool ml_web_is_range(const char *text);

#endif
