/* SPDX-License-Identifier: MIT */
/* Ranges of addresses, as "10.0.0.0/8" or "fd00::/8". */
#ifndef ML_BASE_IP_RANGE_H
#define ML_BASE_IP_RANGE_H

#include <stdbool.h>
#include <stddef.h>

struct ml_ip_range {
    unsigned char bytes[16]; /* `len` of them */
    size_t len;              /* 4 or 16 */
    unsigned bits;
};

/** False: it is none. */
bool ml_ip_range_parse(const char *text, struct ml_ip_range *out);
/** Does the address of 4 or 16 bytes lie in it? */
bool ml_ip_range_has(const struct ml_ip_range *range, const unsigned char *bytes, size_t len);

#endif
