/* SPDX-License-Identifier: MIT */
#include "base/ip_range.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

bool ml_ip_range_parse(const char *text, struct ml_ip_range *out)
{
    char host[64], *end;
    const char *slash = strchr(text, '/');
    unsigned long bits;

    if (!slash || (size_t)(slash - text) >= sizeof host || !slash[1])
        return false;
    memcpy(host, text, (size_t)(slash - text));
    host[slash - text] = '\0';
    bits = strtoul(slash + 1, &end, 10);
    if (*end || end - slash > 4)
        return false;
    out->len = strchr(host, ':') ? 16 : 4;
    if (inet_pton(out->len == 16 ? AF_INET6 : AF_INET, host, out->bytes) != 1 ||
        bits > out->len * 8)
        return false;
    out->bits = (unsigned)bits;
    return true;
}

bool ml_ip_range_has(const struct ml_ip_range *range, const unsigned char *bytes, size_t len)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;

    if (range->len != len || memcmp(range->bytes, bytes, whole) != 0)
        return false;
    return !rest || (range->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}
