/* SPDX-License-Identifier: MIT */
/*
 * Is a trail whole?  {"n":7, … ,"prev":"<hash of event 6>"}  Each text is hashed as it stands, and
 * has to be what the next one (or, of the newest, the head) says it is. The oldest event that is
 * left cannot be held against the one before it, which has expired.
 */
#include "auth/auth.h"
#include "room/audit.h"
#include "room/auditor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void ml_audit_key(uint64_t number, char out[ML_AUDIT_KEY + 1])
{
    (void)snprintf(out, ML_AUDIT_KEY + 1, ML_AUDIT_PREFIX "%016" PRIx64, number);
}

void ml_audit_hash(struct ml_slice text, char out[ML_AUDIT_HASH + 1])
{
    ml_digest_hex(&text, 1, out, ML_AUDIT_HASH);
}

/* Both begin with {"n":NUMBER, */
static uint64_t number_of(struct ml_slice text)
{
    static const char start[] = "{\"n\":";
    uint64_t number = 0;
    size_t i = sizeof start - 1;

    if (text.len < sizeof start || memcmp(text.ptr, start, sizeof start - 1) != 0)
        return 0;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9' && number < 1ull << 53; i++)
        number = number * 10 + (text.ptr[i] - '0');
    return i < text.len && text.ptr[i] == ',' ? number : 0;
}

/* The text ends in  ,"NAME":"<64 digits>"}  */
static bool take_hash(struct ml_slice text, const char *name, char out[ML_AUDIT_HASH + 1])
{
    char want[16];
    size_t want_len = (size_t)snprintf(want, sizeof want, ",\"%s\":\"", name);
    size_t tail = want_len + ML_AUDIT_HASH + 2;
    const uint8_t *at = text.ptr + text.len - tail;

    if (text.len < tail || memcmp(at, want, want_len) != 0 || text.ptr[text.len - 2] != '"' ||
        text.ptr[text.len - 1] != '}')
        return false;
    memcpy(out, at + want_len, ML_AUDIT_HASH);
    out[ML_AUDIT_HASH] = '\0';
    return true;
}

bool ml_audit_read_head(struct ml_slice head, uint64_t *number_out, char hash[ML_AUDIT_HASH + 1])
{
    *number_out = number_of(head);
    return *number_out && take_hash(head, "hash", hash);
}

static bool fail(struct ml_audit_check *check, const char *what, uint64_t number)
{
    (void)snprintf(check->why, sizeof check->why, "event %" PRIu64 ": %s", number, what);
    return false;
}

bool ml_audit_check_event(struct ml_audit_check *check, struct ml_slice key, struct ml_slice text)
{
    char want_key[ML_AUDIT_KEY + 1], prev[ML_AUDIT_HASH + 1] = "";
    uint64_t number = number_of(text);
    bool has_prev = take_hash(text, "prev", prev);

    ml_audit_key(number, want_key);
    if (!number || !ml_slice_equal(key, ml_slice_str(want_key)))
        return fail(check, "its number is not that of its place", check->last + 1);
    if (check->last && number != check->last + 1)
        return fail(check, "it is missing", check->last + 1);
    if (has_prev != (number > 1))
        return fail(check, "the hash of the one before is not in it", number);
    if (check->last && strcmp(prev, check->hash) != 0)
        return fail(check, "it does not follow the one before as that stands now", number);
    ml_audit_hash(text, check->hash);
    check->last = number;
    if (!check->first)
        check->first = number;
    return true;
}

bool ml_audit_check_head(struct ml_audit_check *check, struct ml_slice head)
{
    char hash[ML_AUDIT_HASH + 1];
    uint64_t number;

    if (!head.len)
        return check->last ? fail(check, "there is no head behind it", check->last) : true;
    if (!ml_audit_read_head(head, &number, hash))
        return fail(check, "the head cannot be read", check->last);
    if (!check->last) /* all have expired */
        return true;
    if (number != check->last)
        return fail(check, "it is missing", check->last + 1);
    return strcmp(hash, check->hash) == 0 ? true : fail(check, "it was changed", number);
}
