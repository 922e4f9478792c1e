/* SPDX-License-Identifier: MIT */
/*
 * X-Forwarded-For: client, proxy, proxy. Each proxy appends the address that it was called from, so
 * the list is true from its right end as far as it was written by proxies that are listed:
 *
 *   the peer is listed --> last entry --> listed, too --> the one before --> not listed: that is it
 *                                                                        \-> no address: the proxy
 *
 * What stands further left anybody may have written. Everything else of the kind (Forwarded,
 * X-Real-IP) says nothing here. A connection of a proxy carries requests of many; the client of the
 * last one is counted for it.
 */
#include "net/peer.h"

#include "net/live.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool ml_peer_is_proxy(const struct ml_net *net, const uint8_t ip[16])
{
    bool is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;

    for (size_t i = 0; i < net->env.proxy_count; i++)
        if (ml_ip_range_has(&net->env.proxies[i], is_v4 ? ip + 12 : ip, is_v4 ? 4 : 16))
            return true;
    return false;
}

static bool read_ip(const char *text, uint8_t out[16])
{
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out + 12) == 1 || inet_pton(AF_INET6, text, out) == 1;
}

static void print_ip(const uint8_t ip[16], char out[ML_ADDRESS_TEXT])
{
    bool is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;

    (void)inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? ip + 12 : ip, out, ML_ADDRESS_TEXT);
}

static struct ml_slice trim(struct ml_slice text)
{
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = ml_slice_make(text.ptr + 1, text.len - 1);
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* "192.0.2.1", "2001:db8::1", and with a port "192.0.2.1:8000", "[2001:db8::1]:8000". */
static bool read_entry(struct ml_slice entry, uint8_t out[16])
{
    char text[ML_ADDRESS_TEXT + 8], *colon;
    size_t skip;

    entry = trim(entry);
    skip = entry.len && entry.ptr[0] == '[' ? 1 : 0;
    if (entry.len <= skip || entry.len - skip >= sizeof text ||
        memchr(entry.ptr, 0, entry.len) != NULL)
        return false;
    memcpy(text, entry.ptr + skip, entry.len - skip);
    text[entry.len - skip] = '\0';
    colon = strchr(text, ':');
    if (skip && strchr(text, ']'))
        *strchr(text, ']') = '\0';
    else if (skip)
        return false;
    else if (colon && !strchr(colon + 1, ':'))
        *colon = '\0';
    return read_ip(text, out);
}

/* The entry at the right end of *list, which is shorter then. False: it is empty. */
static bool take_last(struct ml_slice *list, struct ml_slice *entry_out)
{
    const uint8_t *comma = list->len ? memrchr(list->ptr, ',', list->len) : NULL;
    size_t from = comma ? (size_t)(comma - list->ptr) + 1 : 0;

    if (!list->ptr)
        return false;
    *entry_out = ml_slice_make(list->ptr + from, list->len - from);
    *list = comma ? ml_slice_make(list->ptr, from - 1) : ml_slice_make(NULL, 0);
    return true;
}

/* From the right, as long as a listed proxy has written it. */
static void walk(const struct ml_net *net, const struct ml_head *head, uint8_t ip[16])
{
    uint8_t said[16];

    for (size_t i = head->field_count; i > 0; i--) {
        const struct ml_head_field *field = &head->fields[i - 1];
        struct ml_slice list = field->value, entry;

        if (!ml_head_equal(field->name, "x-forwarded-for"))
            continue;
        while (take_last(&list, &entry)) {
            if (!ml_peer_is_proxy(net, ip) || !read_entry(entry, said))
                return;
            memcpy(ip, said, sizeof said);
        }
    }
}

bool ml_peer_take(struct ml_http *http, const struct ml_head *head)
{
    struct ml_net *net = http->net;
    struct ml_address *address;
    char text[ML_ADDRESS_TEXT];
    uint8_t ip[16];

    if (!net->env.proxy_count && strcmp(http->ip, http->peer) == 0)
        return true;
    if (!read_ip(http->peer, ip))
        return true;
    walk(net, head, ip);
    print_ip(ip, text);
    if (strcmp(text, http->ip) == 0)
        return true;
    ml_address_drop(net->shared, http->address, false);
    http->address = NULL;
    (void)snprintf(http->ip, sizeof http->ip, "%s", text);
    if (ml_address_count(net, ip, &address)) {
        http->address = address;
        return true;
    }
    net->stats.refused++;
    http->keeps_alive = false;
    ml_http_answer_error(http, 503, "too_many_connections", "Too many connections from there.");
    return false;
}
