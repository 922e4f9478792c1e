/* SPDX-License-Identifier: MIT */
/*
 * Who is answered with Access-Control fields: a page whose Origin stands in `origins` as it is.
 * Patterns count for sockets only, and nothing is reflected that is not listed.
 *
 * The head is gone when most answers are written, so the origin is kept with the connection.
 */
#include "net/cors.h"

#include "net/url.h"
#include "net/visitor.h"

#include <stdio.h>

#define HEADERS "Authorization, Content-Type, If-Match, If-None-Match, X-ML-CSRF"
#define EXPOSED "ETag, Location, Retry-After"
#define AGE_S   600 /* for which a browser remembers a preflight */

void ml_cors_look(struct ml_http *http, const struct ml_head *head)
{
    struct ml_slice origin = ml_head_field(head, "origin");

    http->is_cors =
        http->net->env.origin_count > 0 && ml_url_has_prefix(head->path, ML_SLICE("/api/v1/"));
    http->origin[0] = '\0';
    if (http->is_cors && origin.len && origin.len < sizeof http->origin &&
        ml_visitor_is_listed_exactly(http->net, head))
        (void)snprintf(http->origin, sizeof http->origin, "%.*s", ML_PRINT(origin));
}

void ml_cors_write(const struct ml_http *http, struct ml_writer *out)
{
    if (!http->is_cors)
        return;
    ml_write_bytes(out, ML_SLICE("Vary: Origin\r\n"));
    if (http->origin[0])
        ml_http_print(out,
                      "Access-Control-Allow-Origin: %s\r\n"
                      "Access-Control-Allow-Credentials: true\r\n"
                      "Access-Control-Expose-Headers: " EXPOSED "\r\n",
                      http->origin);
}

void ml_cors_preflight(const struct ml_http *http, const struct ml_head *head, const char *allow,
                       char *out, size_t size)
{
    out[0] = '\0';
    if (http->origin[0] && ml_head_field(head, "access-control-request-method").ptr)
        (void)snprintf(out, size,
                       "Access-Control-Allow-Methods: %s"
                       "Access-Control-Allow-Headers: " HEADERS "\r\n"
                       "Access-Control-Max-Age: %d\r\n",
                       allow + strlen("Allow: "), AGE_S);
}
