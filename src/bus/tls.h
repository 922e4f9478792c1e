/* SPDX-License-Identifier: MIT */
/*
 * TLS between bytes and bytes, without a socket: what came from the wire goes in, what has to go
 * onto it comes out. Private to bus/.
 */
#ifndef ML_BUS_TLS_H
#define ML_BUS_TLS_H

#include "base/err.h"
#include "base/slice.h"

struct ml_tls;

/**
 * A client's side; the server has to show a certificate for `host` (a name or an address) that
 * leads to `ca_path`, or to the machine's authorities when that is "". Reads files, so that a new
 * connection sees new certificates. NULL: they cannot be read (it is in the log).
 */
struct ml_tls *ml_tls_new(const char *ca_path, const char *host);
void ml_tls_free(struct ml_tls *tls);

/** Bytes of the wire. False: no memory. */
bool ml_tls_feed(struct ml_tls *tls, struct ml_slice bytes);
/** Go on greeting. False: refused (it is in the log). */
bool ml_tls_greet(struct ml_tls *tls, bool *is_done_out);
/** What the other side said, up to `size` bytes; 0: nothing yet, -1: it is over. */
long ml_tls_read(struct ml_tls *tls, void *to, size_t size);
bool ml_tls_write(struct ml_tls *tls, struct ml_slice bytes);
/** What has to go onto the wire, up to `size` bytes; 0: nothing. */
size_t ml_tls_take(struct ml_tls *tls, void *to, size_t size);
size_t ml_tls_waiting(struct ml_tls *tls);

#endif
