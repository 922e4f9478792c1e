/* SPDX-License-Identifier: MIT */
#include "net/shares.h"

#include <stdio.h>
#include <sys/random.h>

#define WORD "link."

static const char kinds[] = {[ML_SHARE_USER] = 'u', [ML_SHARE_LINK] = 'l'};

void ml_share_prefix(struct ml_slice document, char out[ML_SHARE_PREFIX + 2])
{
    ml_digest_hex(&document, 1, out, ML_SHARE_PREFIX);
    out[ML_SHARE_PREFIX] = '-';
    out[ML_SHARE_PREFIX + 1] = '\0';
}

bool ml_share_key(struct ml_slice document, enum ml_share_kind kind, struct ml_slice id,
                  char out[ML_SHARE_KEY_MAX + 1])
{
    if (!id.len || id.len > ML_TOKEN_SUBJECT_MAX || memchr(id.ptr, 0, id.len))
        return false;
    ml_share_prefix(document, out);
    (void)snprintf(out + ML_SHARE_PREFIX + 1, ML_SHARE_KEY_MAX - ML_SHARE_PREFIX, "%c-%.*s",
                   kinds[kind], ML_PRINT(id));
    return true;
}

bool ml_share_read_key(struct ml_slice key, enum ml_share_kind *kind_out, struct ml_slice *id_out)
{
    const size_t before = ML_SHARE_PREFIX + 3;

    if (key.len <= before || key.ptr[ML_SHARE_PREFIX] != '-' || key.ptr[before - 1] != '-')
        return false;
    *kind_out = key.ptr[before - 2] == kinds[ML_SHARE_LINK] ? ML_SHARE_LINK : ML_SHARE_USER;
    *id_out = ml_slice_make(key.ptr + before, key.len - before);
    return true;
}

bool ml_share_draw_nonce(char out[ML_SHARE_NONCE + 1])
{
    uint8_t bytes[ML_SHARE_NONCE / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

void ml_share_session(struct ml_slice nonce, const char *random, struct ml_slice id,
                      char out[ML_SHARE_SESSION + 1])
{
    (void)snprintf(out, ML_SHARE_SESSION + 1, WORD "%.*s.%s.%.*s", ML_PRINT(nonce), random,
                   ML_PRINT(id));
}

struct ml_slice ml_share_link_of(struct ml_slice session, struct ml_slice *nonce_out)
{
    const size_t word = sizeof WORD - 1, before = word + 2 * (ML_SHARE_NONCE + 1);

    *nonce_out = ml_slice_make(NULL, 0);
    if (session.len <= before || memcmp(session.ptr, WORD, word) != 0)
        return ml_slice_make(NULL, 0);
    *nonce_out = ml_slice_make(session.ptr + word, ML_SHARE_NONCE);
    return ml_slice_make(session.ptr + before, session.len - before);
}

bool ml_link_id_is_valid(struct ml_slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.ptr[i], low = c | 0x20;

        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return id.len >= 1 && id.len <= ML_LINK_ID_MAX;
}
