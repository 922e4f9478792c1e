/* SPDX-License-Identifier: MIT */
/*
 * Ranges that no request of a plugin may reach (SEC-EG-01). An IPv6 address that carries an IPv4
 * one (mapped, compatible, translated, 6to4, Teredo) is judged by what it carries, or refused.
 */
#include "server/address.h"

#include "base/ip_range.h"

#include <netinet/in.h>

static const char *const special[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4",
    "::/96",         "::ffff:0:0/96",   "64:ff9b::/96",   "64:ff9b:1::/48", "100::/64",
    "2001::/23",     "2001:db8::/32",   "2002::/16",      "3fff::/20",      "5f00::/16",
    "fc00::/7",      "fe80::/10",       "fec0::/10",      "ff00::/8",
};

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
    struct ml_ip_range range;

    for (size_t i = 0; bytes && i < count; i++)
        if (ml_ip_range_parse(ranges[i], &range) && ml_ip_range_has(&range, bytes, len))
            return true;
    return false;
}

bool ml_address_is_public(const struct sockaddr *address)
{
    size_t len;

    return bytes_of(address, &len) &&
           !ml_address_is_in(address, special, sizeof special / sizeof *special);
}
