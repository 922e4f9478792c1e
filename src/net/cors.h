/* SPDX-License-Identifier: MIT */
/* What pages of other origins may read (SEC-CS-02): answers of /api/v1, for exactly those listed.
 */
#ifndef ML_NET_CORS_H
#define ML_NET_CORS_H

#include "net/http.h"

/** Before a request is answered: is it for the API, and from a page that is listed? */
void ml_cors_look(struct ml_http *http, const struct ml_head *head);
/** The fields of an answer to what was looked at; nothing for other pages but that it depends. */
void ml_cors_write(const struct ml_http *http, struct ml_writer *out);
/** The fields of an answer to OPTIONS beside those; "" if it is no preflight, or of another page.
 * @param allow  the line of the field Allow */
void ml_cors_preflight(const struct ml_http *http, const struct ml_head *head, const char *allow,
                       char *out, size_t size);

#endif
