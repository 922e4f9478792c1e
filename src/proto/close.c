/* SPDX-License-Identifier: MIT */
/*
 * Why a connection ends, as its client hears it. The bands are a promise to clients:
 *
 *   1001, 1011, 1013, 45xx   try again later
 *   44xx                     final: the application has to act first (Hocuspocus providers 3 and
 *                            later take every code for a reason to come back)
 *   1002, 1008, 1009         the client broke the protocol or a limit
 */
#include "proto/proto.h"

#include "base/assert.h"

static const struct row {
    uint16_t code;
    const char *text;
} rows[] = {
    [ML_CLOSE_SHUTDOWN] = {1001, "going away"},
    [ML_CLOSE_TOO_BIG] = {1009, "message too big"},
    [ML_CLOSE_INTERNAL] = {1011, "internal error"},
    [ML_CLOSE_TRY_LATER] = {1013, "try again later"},
    [ML_CLOSE_MALFORMED] = {4400, "malformed message"},
    [ML_CLOSE_UNAUTHENTICATED] = {4401, "not authenticated"},
    [ML_CLOSE_FORBIDDEN] = {4403, "permission denied"},
    [ML_CLOSE_DELETED] = {4404, "document deleted"},
    [ML_CLOSE_AUTH_TIMEOUT] = {4408, "authentication took too long"},
    [ML_CLOSE_DOCUMENT_TOO_LARGE] = {4413, "document too large"},
    [ML_CLOSE_RATE] = {4529, "too many updates"},
    [ML_CLOSE_TOO_SLOW] = {1013, "connection too slow"},
    [ML_CLOSE_FRAGMENTS] = {1002, "too many fragments"},
    [ML_CLOSE_CONTROL_FRAMES] = {1008, "too many control frames"},
    /* In Hocuspocus's own words: its providers show them. */
    [ML_CLOSE_RESET] = {4205, "Reset Connection"},
    [ML_CLOSE_UNREADABLE] = {4401, "Unauthorized"},
    [ML_CLOSE_NO_TOKEN] = {4408, "Connection Timeout"},
};

uint16_t ml_close_code(enum ml_close why)
{
    ML_ASSERT((size_t)why < sizeof rows / sizeof *rows);
    return rows[why].code;
}

const char *ml_close_text(enum ml_close why)
{
    ML_ASSERT((size_t)why < sizeof rows / sizeof *rows);
    return rows[why].text;
}
