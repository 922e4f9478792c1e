/* SPDX-License-Identifier: MIT */
/* Versions, as every implementation has them: their names, and how a list of them is handed out. */
#include "journal/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void ml_versions_release(struct ml_versions *request)
{
    free(request->items); /* the texts stand behind them */
    request->items = NULL;
    request->count = 0;
}

void ml_version_default_name(char *out, size_t size, uint64_t number, int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    char when[32];
    struct tm utc;

    if (!gmtime_r(&at, &utc) || !strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc))
        (void)snprintf(when, sizeof when, "%" PRId64, at_ms);
    (void)snprintf(out, size, "%06" PRIu64 "-%s", number, when);
}

/* No more than `max` bytes, and no half character. */
static size_t whole_characters(struct ml_slice text, size_t max)
{
    size_t len = text.len < max ? text.len : max;

    while (len && len < text.len && (text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}

void ml_version_name_attempt(char out[ML_VERSION_NAME_MAX + 1], struct ml_slice wanted,
                             uint64_t number, int64_t at_ms, unsigned attempt)
{
    char by_number[64], suffix[16] = "";
    size_t len;

    ml_version_default_name(by_number, sizeof by_number, number, at_ms);
    if (!wanted.len)
        wanted = ml_slice_str(by_number);
    if (attempt)
        (void)snprintf(suffix, sizeof suffix, "-%u", attempt + 1);
    len = whole_characters(wanted, ML_VERSION_NAME_MAX - strlen(suffix));
    memcpy(out, wanted.ptr, len);
    memcpy(out + len, suffix, strlen(suffix) + 1);
}

uint64_t ml_version_number(struct ml_slice only)
{
    uint64_t number = 0;

    if (!only.len || only.len > 15)
        return 0;
    for (size_t i = 0; i < only.len; i++) {
        if (only.ptr[i] < '0' || only.ptr[i] > '9')
            return 0;
        number = number * 10 + (only.ptr[i] - '0');
    }
    return number;
}

static void place(struct ml_slice *text, uint8_t **at)
{
    if (text->len)
        memcpy(*at, text->ptr, text->len);
    text->ptr = *at;
    *at += text->len;
}

enum ml_err ml_versions_take(struct ml_versions *request, const struct ml_version *items,
                             size_t count)
{
    size_t bytes = 0;
    uint8_t *at;

    for (size_t i = 0; i < count; i++)
        bytes += items[i].name.len + items[i].author.len + items[i].labels.len + items[i].hash.len +
                 items[i].root.len;
    request->items = malloc(count * sizeof *items + bytes + 1);
    if (!request->items)
        return ML_ELIMIT;
    if (count)
        memcpy(request->items, items, count * sizeof *items);
    request->count = count;
    at = (uint8_t *)(request->items + count);
    for (size_t i = 0; i < count; i++) {
        struct ml_version *item = &request->items[i];

        place(&item->name, &at);
        place(&item->author, &at);
        place(&item->labels, &at);
        place(&item->hash, &at);
        place(&item->root, &at);
    }
    return ML_OK;
}
