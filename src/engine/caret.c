/* SPDX-License-Identifier: MIT */
/*
 * Moving through a text. See caret.h.
 *
 * Source: Yjs 13.6, YText.js: findPosition, minimizeAttributeChanges, insertAttributes,
 * insertNegatedAttributes.
 */
#include "engine/caret.h"

#include "engine/position.h"

int ml_caret_equal(const struct ml_caret *p, struct ml_slice a, struct ml_slice b)
{
    struct ml_arena *scratch = &p->doc->writing->compare;
    int equal = ml_json_is_equal(scratch, a, b);

    ml_arena_reset(scratch);
    return equal;
}

static struct ml_slice value_in(const struct ml_formats *f, struct ml_slice key)
{
    const struct ml_format *found = ml_formats_get(f, key);

    return found ? found->json : ML_SLICE("null");
}

/* ---- Moving ----------------------------------------------------------------------------------
 */

bool ml_caret_step(struct ml_caret *p)
{
    const struct ml_item *i = ml_caret_right(p);

    if (ml_item_is_live_format(i) && !ml_formats_apply(&p->attrs, ml_format_of(p->doc, p->right)))
        return false;
    p->left = p->right;
    p->right = ml_caret_right(p)->right;
    return true;
}

bool ml_caret_cut(struct ml_caret *p, uint32_t units)
{
    return units >= ml_caret_right(p)->len ||
           (ml_items_reserve(p->doc, 1) && ml_run_split(p->doc, p->right, units) != NIL);
}

static bool gather(void *arg, uint32_t item)
{
    struct ml_caret *p = arg;

    return ml_formats_apply(&p->attrs, ml_format_of(p->doc, item));
}

bool ml_caret_find(struct ml_doc *doc, uint32_t branch, uint32_t index, struct ml_caret *p)
{
    uint32_t offset;

    *p = (struct ml_caret){.doc = doc,
                           .branch = branch,
                           .left = NIL,
                           .right = ml_branch_at(doc, branch)->start,
                           .attrs = ml_formats_make(&doc->writing->call)};
    if (!index)
        return true;
    p->right = ml_position_find(doc, branch, index - 1, &offset);
    if (ml_item_is_inside_pair(doc, ml_caret_right(p), offset + 1)) {
        if (!ml_caret_find(doc, branch, index - 1, p))
            return false;
        p->debt = 1;
        return true;
    }
    if (!ml_caret_cut(p, offset + 1))
        return false;
    p->left = p->right;
    p->right = ml_caret_right(p)->right;
    return ml_position_formats(doc, branch, p->left, gather, p);
}

/* ---- Formats around an insert ----------------------------------------------------------------
 */

bool ml_caret_skip(struct ml_caret *p, const struct ml_formats *wanted)
{
    while (p->right != NIL) {
        if (!ml_item_is_deleted(ml_caret_right(p))) {
            struct ml_format f;
            int equal;

            if (!ml_item_is_live_format(ml_caret_right(p)))
                return true;
            f = ml_format_of(p->doc, p->right);
            equal = ml_caret_equal(p, value_in(wanted, f.key), f.json);
            if (equal < 0)
                return false;
            if (!equal)
                return true;
        }
        if (!ml_caret_step(p))
            return false;
    }
    return true;
}

bool ml_caret_insert(struct ml_caret *p, const struct ml_payload *what)
{
    struct ml_spot at = {.left = p->left, .right = p->right, .parent = p->branch, .key = NIL};

    p->right = ml_own_insert(p->doc, &at, what);
    return p->right != NIL && ml_caret_step(p);
}

static bool insert_format(struct ml_caret *p, struct ml_slice key, struct ml_slice json)
{
    struct ml_payload what = {.kind = ML_WIRE_FORMAT, .len = 1, .name = NIL};
    struct ml_writer body;
    bool ok;

    ml_writer_init(&body, INT32_MAX);
    ml_write_varbytes(&body, key);
    ml_write_varbytes(&body, json);
    what.bytes = ml_writer_slice(&body);
    ok = !body.err && ml_caret_insert(p, &what);
    ml_writer_release(&body);
    return ok;
}

bool ml_caret_open(struct ml_caret *p, const struct ml_formats *wanted, struct ml_formats *closing)
{
    *closing = ml_formats_make(&p->doc->writing->call);
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct ml_format want = wanted->at[i], before;
        const struct ml_format *current;
        int equal;

        if (!want.json.ptr)
            continue;
        current = ml_formats_get(&p->attrs, want.key);
        before = current ? *current : (struct ml_format){want.key, ML_SLICE("null"), NIL};
        /* What is inherited is what is in force, also where equal values would not count as such.
         */
        equal = want.item != NIL && want.item == before.item
                    ? 1
                    : ml_caret_equal(p, before.json, want.json);
        if (equal < 0 || (!equal && (!ml_formats_set(closing, before) ||
                                     !insert_format(p, want.key, want.json))))
            return false;
    }
    return true;
}

bool ml_caret_close(struct ml_caret *p, struct ml_formats *closing)
{
    while (p->right != NIL) {
        if (!ml_item_is_deleted(ml_caret_right(p))) {
            struct ml_format f;
            const struct ml_format *close;
            int equal;

            if (!ml_item_is_live_format(ml_caret_right(p)))
                break;
            f = ml_format_of(p->doc, p->right);
            close = ml_formats_get(closing, f.key);
            equal = close ? ml_caret_equal(p, close->json, f.json) : 0;
            if (equal < 0)
                return false;
            if (!equal)
                break;
            ml_formats_remove(closing, f.key);
        }
        if (!ml_caret_step(p))
            return false;
    }
    for (uint32_t i = 0; i < closing->count; i++)
        if (closing->at[i].json.ptr && !insert_format(p, closing->at[i].key, closing->at[i].json))
            return false;
    return true;
}
