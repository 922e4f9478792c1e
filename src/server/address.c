/* SPDX-License-Identifier: MIT */
/*
 * Ranges that no request of a plugin may reach (SEC-EG-01). An IPv6 address that carries an IPv4
 * one (mapped, compatible, translated, 6to4, Teredo) is judged by what it carries, or refused.
 */
#include "server/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    unsigned char bytes[16];
    size_t len; /* 4 or 16 */
    unsigned bits;
};

static const char *const special[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4",
    "::/96",         "::ffff:0:0/96",   "64:ff9b::/96",   "64:ff9b:1::/48", "100::/64",
    "2001::/23",     "2001:db8::/32",   "2002::/16",      "3fff::/20",      "5f00::/16",
    "fc00::/7",      "fe80::/10",       "fec0::/10",      "ff00::/8",
};

static bool parse(const char *text, struct range *out)
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

bool ml_address_range_is_valid(const char *text)
{
    struct range range;

    return parse(text, &range);
}

static bool contains(const struct range *range, const unsigned char *bytes, size_t len)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;

    if (range->len != len || memcmp(range->bytes, bytes, whole) != 0)
        return false;
    return !rest || (range->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static const unsigned char *bytes_of(const struct sockaddr *address, size_t *len_out)
{
    const void *at = address;

    if (address->sa_family == AF_INET) {
        *len_out = 4;
        return (const unsigned char *)&((const struct sockaddr_in *)at)->sin_addr;
    }
    if (address->sa_family == AF_INET6) {
        *len_out = 16;
        return (const unsigned char *)&((const struct sockaddr_in6 *)at)->sin6_addr;
    }
    return NULL;
}

bool ml_address_is_in(const struct sockaddr *address, const char *const *ranges, size_t count)
{
    size_t len = 0;
    const unsigned char *bytes = bytes_of(address, &len);
    struct range range;

    for (size_t i = 0; bytes && i < count; i++)
        if (parse(ranges[i], &range) && contains(&range, bytes, len))
            return true;
    return false;
}

bool ml_address_is_public(const struct sockaddr *address)
{
    size_t len;

    return bytes_of(address, &len) &&
           !ml_address_is_in(address, special, sizeof special / sizeof *special);
}
