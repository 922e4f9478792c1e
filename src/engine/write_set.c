/* SPDX-License-Identifier: MIT */
/*
 * Edits that are made of others: a text that is to become another one, and counters.
 *
 *   is       Hello  [world]  !       equal start, what differs, equal end: cursors and formats
 *   wanted   Hello  [moon]   !       outside of what differs stay where they are
 *
 *   counter  { "4711": 3, "815": -1 }    each writer adds under its own client id
 */
#include <stdio.h>

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/any_walk.h"
#include "engine/position.h"
#include "engine/view.h"
#include "engine/write.h"

/* Stands for an embed or a type: one unit that no text has. */
#define NO_TEXT 0xff

/* ---- Text -------------------------------------------------------------------------------------
 */

/* Is the place before a unit inside a character of two? */
static bool is_in_character(struct ml_doc *doc, uint32_t branch, uint32_t index)
{
    uint32_t offset, item;

    if (!index || index >= ml_branch_at(doc, branch)->length)
        return false;
    item = ml_position_find(doc, branch, index - 1, &offset);
    return ml_item_is_inside_pair(doc, ml_item_at(doc, item), offset + 1);
}

enum ml_err ml_text_replace(struct ml_doc *doc, struct ml_type text, uint32_t index, uint32_t len,
                            struct ml_slice inserted)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t branch, length;

    if (!err)
        err = ml_type_branch(doc, text, &branch);
    if (err)
        return err;
    length = branch == NIL ? 0 : ml_branch_at(doc, branch)->length;
    if ((uint64_t)index + len > length)
        return ml_write_fail(doc, ML_ENOTFOUND, "index %llu is behind the end, %lu",
                             (unsigned long long)index + len, (unsigned long)length);
    /* Whole characters: what comes stands behind what goes, where the formats of that are in force.
     */
    if (branch != NIL && is_in_character(doc, branch, index)) {
        index--;
        len += len > 0;
    }
    if (branch != NIL && len && is_in_character(doc, branch, index + len))
        len++;
    err = ml_text_insert(doc, text, index + len, inserted, NULL);
    return err || !len ? err : ml_text_delete(doc, text, index, len);
}

/* What is there as UTF-8, with NO_TEXT for every unit that is no text. */
static enum ml_err flatten(const struct ml_doc *doc, uint32_t branch, struct ml_writer *out)
{
    if (branch == NIL)
        return ML_OK;
    ML_VIEW_EACH(doc, branch, index)
    {
        const struct ml_item *i = ml_item_at(doc, index);

        if (!ml_item_is_visible(i))
            continue;
        if (ml_item_kind(i) == ML_WIRE_STRING)
            ml_write_bytes(out, ml_item_content(doc, i));
        else
            for (uint32_t n = 0; n < i->len; n++)
                ml_write_u8(out, NO_TEXT);
    }
    return out->err;
}

static bool is_inside(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

static uint32_t units_of(struct ml_slice bytes)
{
    uint32_t units = 0;

    for (size_t i = 0; i < bytes.len; i++)
        units += !is_inside(bytes.ptr[i]) + (bytes.ptr[i] >= 0xf0 && bytes.ptr[i] != NO_TEXT);
    return units;
}

/* Bytes of whole characters that both begin with. */
static size_t equal_start(struct ml_slice a, struct ml_slice b)
{
    size_t n = 0, most = a.len < b.len ? a.len : b.len;

    while (n < most && a.ptr[n] == b.ptr[n])
        n++;
    while (n && ((n < a.len && is_inside(a.ptr[n])) || (n < b.len && is_inside(b.ptr[n]))))
        n--;
    return n;
}

static size_t equal_end(struct ml_slice a, struct ml_slice b, size_t start)
{
    size_t n = 0, most = (a.len < b.len ? a.len : b.len) - start;

    while (n < most && a.ptr[a.len - n - 1] == b.ptr[b.len - n - 1])
        n++;
    while (n && is_inside(a.ptr[a.len - n]))
        n--;
    return n;
}

enum ml_err ml_text_set_part(struct ml_doc *doc, struct ml_type text, uint32_t index,
                             struct ml_slice is, struct ml_slice wanted)
{
    size_t start = equal_start(is, wanted), end = equal_end(is, wanted, start);
    struct ml_slice gone = ml_slice_make(is.ptr + start, is.len - start - end);
    struct ml_slice comes = ml_slice_make(wanted.ptr + start, wanted.len - start - end);

    if (!gone.len && !comes.len)
        return ML_OK;
    return ml_text_replace(doc, text, index + units_of(ml_slice_make(is.ptr, start)),
                           units_of(gone), comes);
}

enum ml_err ml_text_set(struct ml_doc *doc, struct ml_type text, struct ml_slice wanted)
{
    struct ml_writer is;
    uint32_t branch;
    enum ml_err err = ml_write_open(doc);

    if (!err && !ml_utf8_check(wanted, NULL))
        err = ml_write_fail(doc, ML_EFORMAT, "text is not UTF-8");
    if (!err)
        err = ml_type_branch(doc, text, &branch);
    if (err)
        return err;
    ml_writer_init(&is, INT32_MAX);
    ml_write_u8(&is, ' '); /* so that there is a first byte */
    err = flatten(doc, branch, &is);
    if (err)
        err = ml_write_fail(doc, ML_ELIMIT, "out of memory");
    else
        err = ml_text_set_part(doc, text, 0, ml_slice_make(is.ptr + 1, is.len - 1),
                               wanted.len ? wanted : ml_slice_make("", 0));
    ml_writer_release(&is);
    return err;
}

/* ---- Counters ---------------------------------------------------------------------------------
 */

enum ml_err ml_counter_add(struct ml_doc *doc, struct ml_type counter, double more)
{
    struct ml_shown at = {NIL, NIL, 0}, own;
    struct ml_value value = {.kind = ML_VALUE_ANY};
    struct ml_writer any;
    double sum = 0;
    char key[24];
    enum ml_err err = ml_write_open(doc);

    if (!err && !(more - more == 0))
        err = ml_write_fail(doc, ML_EFORMAT, "no finite number");
    if (!err)
        err = ml_type_branch(doc, counter, &at.branch);
    if (err)
        return err;
    (void)snprintf(key, sizeof key, "%llu", (unsigned long long)doc->own_client);
    ml_writer_init(&any, 4096);
    if (ml_shown_key(doc, &at, ml_slice_str(key), &own) && own.branch == NIL &&
        !ml_shown_any(doc, &own, &any) && !ml_any_number(ml_writer_slice(&any), &sum))
        sum = 0;
    ml_writer_reset(&any);
    sum += more;
    if (sum - sum == 0)
        ml_write_any_number(&any, sum);
    else
        err = ml_write_fail(doc, ML_EFORMAT, "the sum is no finite number");
    value.any = ml_writer_slice(&any);
    if (!err)
        err = ml_map_set(doc, counter, ml_slice_str(key), &value);
    ml_writer_release(&any);
    return err;
}
