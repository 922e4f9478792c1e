/* SPDX-License-Identifier: MIT */
#include "auth/account.h"

#include "auth/auth.h"

static bool is_hex(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.ptr[i] >= '0' && text.ptr[i] <= '9') &&
            !(text.ptr[i] >= 'a' && text.ptr[i] <= 'f'))
            return false;
    return true;
}

bool ml_user_id_is_valid(struct ml_slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.ptr[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!is_word && (i == 0 || !memchr("._@+-", c, 5)))
            return false;
    }
    return id.len >= 1 && id.len <= ML_USER_ID_MAX;
}

bool ml_refresh_read(struct ml_slice text, struct ml_slice *handle_out, struct ml_slice *secret_out)
{
    if (text.len != ML_REFRESH_LEN || text.ptr[ML_FAMILY_LEN] != '.')
        return false;
    *handle_out = ml_slice_make(text.ptr, ML_FAMILY_LEN);
    *secret_out = ml_slice_make(text.ptr + ML_FAMILY_LEN + 1, 64);
    return is_hex(*handle_out) && is_hex(*secret_out);
}

enum ml_refresh ml_family_judge(const struct ml_family *family, struct ml_slice hash,
                                int64_t now_ms)
{
    if (ml_same_secret(hash, family->head))
        return now_ms - family->started_ms > ML_REFRESH_LIFE_MS ||
                       now_ms - family->rotated_ms > ML_REFRESH_IDLE_MS
                   ? ML_REFRESH_OVER
                   : ML_REFRESH_NEXT;
    /* A clock that went back must not make the moment long. */
    if (family->before.len && ml_same_secret(hash, family->before) &&
        now_ms - family->rotated_ms <= ML_REFRESH_GRACE_MS &&
        family->rotated_ms - now_ms <= ML_REFRESH_GRACE_MS)
        return ML_REFRESH_AGAIN;
    return ML_REFRESH_REUSED;
}
