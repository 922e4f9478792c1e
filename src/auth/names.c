/* SPDX-License-Identifier: MIT */
/*
 * Which addresses exist: (org, document name). A name is compared byte by byte everywhere, so it
 * has to stand in one form only: NFC.
 */
#include "auth/auth.h"

#include "base/utf8.h"

#include <utf8proc.h>

#define ORG_MAX_BYTES  63
#define NAME_MAX_BYTES 512

/* The longest canonical decomposition of a character has four code points, and each input byte
 * begins at most one character. */
#define DECOMPOSED_MAX (4 * NAME_MAX_BYTES)

static bool is_org_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_ascii(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 0x80)
            return false;
    return true;
}

/* C0, DEL and C1: nothing in a name may move a terminal or end a line of a log. */
static bool has_control(struct ml_slice name)
{
    size_t i = 0;

    while (i < name.len) {
        uint32_t c;

        i += ml_utf8_get(name.ptr + i, &c);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            return true;
    }
    return false;
}

static bool is_nfc(struct ml_slice name)
{
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_int32_t points[DECOMPOSED_MAX];
    utf8proc_ssize_t count;
    size_t i = 0;

    count =
        utf8proc_decompose(name.ptr, (utf8proc_ssize_t)name.len, points, DECOMPOSED_MAX, options);
    if (count < 0 || count > DECOMPOSED_MAX)
        return false;
    count = utf8proc_normalize_utf32(points, count, options);
    if (count < 0)
        return false;
    for (utf8proc_ssize_t n = 0; n < count; n++) {
        uint32_t c;

        if (i == name.len)
            return false;
        i += ml_utf8_get(name.ptr + i, &c);
        if (c != (uint32_t)points[n])
            return false;
    }
    return i == name.len;
}

bool ml_org_is_valid(struct ml_slice org)
{
    if (org.len == 0 || org.len > ORG_MAX_BYTES || !is_org_letter(org.ptr[0]))
        return false;
    for (size_t i = 1; i < org.len; i++)
        if (!is_org_letter(org.ptr[i]) && org.ptr[i] != '-')
            return false;
    return true;
}

bool ml_document_name_is_valid(struct ml_slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return false;
    if (!ml_utf8_check(name, NULL) || has_control(name))
        return false;
    if (ml_slice_equal(name, ML_SLICE(".")) || ml_slice_equal(name, ML_SLICE("..")))
        return false;
    return is_ascii(name) || is_nfc(name);
}
