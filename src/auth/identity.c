/* SPDX-License-Identifier: MIT */
/*
 * Who it is, as a copy of fixed size that a member may keep. Text that is too long is cut between
 * two characters, so that what is left is still UTF-8.
 */
#include "auth/auth.h"

#include "base/assert.h"

#include <stdio.h>
#include <sys/random.h>

#define SESSION_BYTES 16 /* 128 random bits */

static void copy_text(char *out, size_t cap, struct ml_slice text)
{
    size_t len = text.len < cap - 1 ? text.len : cap - 1;

    if (len < text.len)
        while (len && (text.ptr[len] & 0xc0) == 0x80)
            len--;
    if (len)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static void make_session(char *out, size_t cap)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[SESSION_BYTES];

    ML_ASSERT(cap > 2 * SESSION_BYTES);
    ML_ASSERT(getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    *out = '\0';
}

void ml_identity_make(struct ml_identity *out, struct ml_slice user, struct ml_slice name,
                      int64_t expires_at_ms)
{
    memset(out, 0, sizeof *out);
    copy_text(out->user, sizeof out->user, user);
    copy_text(out->name, sizeof out->name, name);
    make_session(out->session, sizeof out->session);
    out->expires_at_ms = expires_at_ms;
}

/* No two guests are the same person: else one could speak for the other's cursor. */
void ml_identity_guest(struct ml_identity *out)
{
    char unlike[sizeof out->session], user[sizeof out->user];

    make_session(unlike, sizeof unlike);
    (void)snprintf(user, sizeof user, "guest-%.8s", unlike);
    ml_identity_make(out, ml_slice_str(user), ML_SLICE("Guest"), 0);
    out->names_itself = out->is_passing = true;
    (void)snprintf(out->kind, sizeof out->kind, "guest");
}

void ml_identity_add(char list[512], struct ml_slice name)
{
    size_t used = strlen(list);

    if (!name.len || memchr(name.ptr, '\n', name.len) || memchr(name.ptr, '\0', name.len) ||
        used + name.len + 2 > 512)
        return;
    memcpy(list + used, name.ptr, name.len);
    list[used + name.len] = '\n';
    list[used + name.len + 1] = '\0';
}

bool ml_identity_next(const char *list, size_t *cursor, struct ml_slice *out)
{
    const char *from = list + *cursor, *end = strchr(from, '\n');

    if (!end)
        return false;
    *out = ml_slice_make(from, (size_t)(end - from));
    *cursor += out->len + 1;
    return true;
}
