/* SPDX-License-Identifier: MIT */
/*
 * One transaction of the document's own client.
 *
 *   begin -> call, call ... -> commit    tidy (transact.c), record: one change
 *                           \> rollback  what was deleted lives again, what was inserted goes,
 *                                        runs that were cut are joined: same bytes as before
 *
 * A rollback is possible because nothing is collected or joined before the end, and because only
 * the own client has inserted: its runs behind `before` go in reverse order, so each one finds its
 * neighbours as it found them when it came.
 */
#include "engine/write.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/position.h"
#include "engine/update.h"

#define CALL_MAX_BYTES ((size_t)1 << 30)

/* ---- Calls -----------------------------------------------------------------------------------
 */

enum ml_err ml_write_open(struct ml_doc *doc)
{
    ML_ASSERT(doc->is_writing);
    if (doc->broken)
        return ML_ELIMIT;
    ml_arena_reset(&doc->writing->call);
    return ML_OK;
}

enum ml_err ml_write_fail(struct ml_doc *doc, enum ml_err err, const char *format, ...)
{
    struct ml_diag *diag = doc->writing ? doc->writing->diag : NULL;
    va_list args;

    if (!diag)
        return err;
    diag->offset = 0;
    va_start(args, format);
    (void)vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    return err;
}

enum ml_err ml_write_close(struct ml_doc *doc, bool ok)
{
    if (ok)
        return ML_OK;
    doc->broken = true;
    return ml_write_fail(doc, ML_ELIMIT, "out of memory in the middle of a change");
}

enum ml_err ml_write_room(struct ml_doc *doc, uint32_t branch, const struct ml_need *need)
{
    uint64_t more = need->items * (sizeof(struct ml_item) + 16) + need->bytes;
    uint64_t live = branch == NIL ? 0 : ml_branch_at(doc, branch)->length;

    if (doc->memory_bytes + more > doc->limits.doc_bytes || need->bytes > INT32_MAX)
        return ml_write_fail(doc, ML_ELIMIT, "the document would be too large");
    if (!ml_own_has_room(doc, need->units) || live + need->units > UINT32_MAX)
        return ml_write_fail(doc, ML_ELIMIT, "no clocks left");
    if (need->items > UINT32_MAX / 8 || !ml_items_reserve(doc, (uint32_t)need->items + 4))
        return ml_write_fail(doc, ML_ELIMIT, "out of memory");
    return ML_OK;
}

enum ml_err ml_check_key(struct ml_doc *doc, struct ml_slice key)
{
    if (key.len > doc->limits.key_bytes)
        return ml_write_fail(doc, ML_ELIMIT, "a key or name of %zu bytes", key.len);
    if (!ml_utf8_check(key, NULL))
        return ml_write_fail(doc, ML_EFORMAT, "a key or name is not UTF-8");
    return ML_OK;
}

/* ---- Types -----------------------------------------------------------------------------------
 */

enum ml_err ml_type_for_writing(struct ml_doc *doc, struct ml_type type, uint32_t *out)
{
    struct ml_writing *w = doc->writing;
    enum ml_err err = ml_type_branch(doc, type, out);

    if (err || *out != NIL)
        return err;
    if (w->root_count == w->root_cap) {
        void *grown = ml_doc_grow(doc, w->roots, &w->root_cap, sizeof *w->roots);

        if (!grown)
            return ml_write_fail(doc, ML_ELIMIT, "out of memory");
        w->roots = grown;
    }
    *out = ml_root_get(doc, ml_name_text(doc, type.root));
    if (*out == NIL)
        return ml_write_fail(doc, ML_ELIMIT, "out of memory");
    w->roots[w->root_count++] = *out;
    return ML_OK;
}

/* ---- Begin and commit ------------------------------------------------------------------------
 */

enum ml_err ml_doc_begin(struct ml_doc *doc, struct ml_diag *diag)
{
    struct ml_writing *w = doc->writing;

    ML_ASSERT(!doc->is_writing);
    if (!doc->own_client)
        return ml_diag_set(diag, ML_EDENIED, 0, "the document has no client id of its own");
    if (!w) {
        w = ml_doc_alloc(doc, sizeof *w);
        if (!w)
            return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
        *w = (struct ml_writing){0};
        ml_arena_init(&w->call, CALL_MAX_BYTES);
        ml_arena_init(&w->compare, CALL_MAX_BYTES);
        doc->writing = w;
    }
    if (doc->broken)
        return ml_diag_set(diag, ML_ELIMIT, 0, "the document is broken");
    w->diag = diag;
    w->names_before = doc->name_count;
    w->root_count = 0;
    ml_txn_begin(doc, UINT64_MAX);
    doc->is_writing = true;
    return ML_OK;
}

/* Roots that nothing was written into after all. */
static void forget_empty_roots(struct ml_doc *doc)
{
    struct ml_writing *w = doc->writing;

    for (uint32_t n = w->root_count; n-- > 0;) {
        const struct ml_branch *b = ml_branch_at(doc, w->roots[n]);

        if (b->start == NIL && !b->keys)
            ml_root_free(doc, w->roots[n]);
    }
    w->root_count = 0;
}

static void end(struct ml_doc *doc)
{
    ml_arena_reset(&doc->writing->call);
    doc->writing->diag = NULL;
    doc->is_writing = false;
    ml_txn_end(doc);
}

enum ml_err ml_doc_commit(struct ml_doc *doc, struct ml_arena *scratch,
                          const struct ml_change **change_out)
{
    struct ml_txn *t = &doc->txn;
    struct ml_change *change;
    bool ok;

    ML_ASSERT(doc->is_writing);
    change = ml_arena_alloc(scratch, sizeof *change);
    if (!change) {
        ml_doc_rollback(doc);
        return ML_ELIMIT;
    }
    ok = !doc->broken && ml_txn_tidy(doc) &&
         ml_txn_write_record(doc, ml_slice_make(NULL, 0), scratch, change);
    if (ok) {
        forget_empty_roots(doc);
        change->inserted_units = t->inserted_units;
        change->deleted_units = t->deleted_units;
        doc->version += t->clients.count || t->deleted.count;
        *change_out = change;
    } else {
        (void)ml_write_fail(doc, ML_ELIMIT, "out of memory");
        doc->broken = true;
    }
    end(doc);
    return ok ? ML_OK : ML_ELIMIT;
}

void ml_writing_release(struct ml_doc *doc)
{
    struct ml_writing *w = doc->writing;

    ml_positions_release(doc);
    if (!w || doc->is_writing)
        return;
    ml_arena_release(&w->call);
    ml_arena_release(&w->compare);
    ml_doc_drop(doc, w->roots, w->root_cap * sizeof *w->roots);
    ml_doc_drop(doc, w, sizeof *w);
    doc->writing = NULL;
}

/* ---- Rollback --------------------------------------------------------------------------------
 */

static void revive_item(struct ml_doc *doc, struct ml_item *i)
{
    i->cl &= ~ML_ITEM_DELETED;
    doc->deleted_known = false;
    doc->clients[ml_item_slot(i)].deleted_runs--;
    if (ml_item_is_visible(i) && !ml_item_is_keyed(i))
        ml_branch_at(doc, i->parent)->length += i->len;
}

/* What the transaction deleted; its own items too, which go next. */
static void revive(struct ml_doc *doc)
{
    ml_runs_normalize(&doc->txn.deleted);
    for (uint32_t n = 0; n < doc->txn.deleted.count; n++) {
        const struct ml_run *r = &doc->txn.deleted.at[n];
        struct ml_run_walk walk;
        uint32_t index = ml_run_walk_start(&walk, &doc->clients[r->slot], r->clock);

        for (; index != NIL && ml_item_at(doc, index)->clock < r->end;
             index = ml_run_walk_next(&walk))
            revive_item(doc, ml_item_at(doc, index));
    }
}

static void unlink_item(struct ml_doc *doc, uint32_t index)
{
    struct ml_item *i = ml_item_at(doc, index);
    struct ml_branch *b = ml_branch_at(doc, i->parent);

    if (i->left != NIL)
        ml_item_at(doc, i->left)->right = i->right;
    else if (!ml_item_is_keyed(i))
        b->start = i->right;
    if (i->right != NIL)
        ml_item_at(doc, i->right)->left = i->left;
    else if (ml_item_is_keyed(i))
        ml_branch_reset_entry(doc, i->parent, i->aux, i->left);
    if (ml_item_is_visible(i) && !ml_item_is_keyed(i))
        b->length -= i->len;
    if (ml_item_kind(i) == ML_WIRE_TYPE)
        ml_branch_free(doc, i->off);
    else
        ml_content_drop(doc, i->off, ml_item_held(i));
}

static void remove_inserted(struct ml_doc *doc)
{
    for (uint32_t n = 0; n < doc->txn.clients.count; n++) {
        uint32_t slot = doc->txn.clients.at[n].slot;

        while (doc->clients[slot].next > doc->clients[slot].before) {
            unlink_item(doc, doc->clients[slot].tail);
            ml_run_drop_tail(doc, slot);
        }
    }
}

static bool join_again(struct ml_doc *doc)
{
    struct ml_runs *merges = &doc->txn.merges;

    ml_runs_normalize(merges);
    for (uint32_t n = 0; n < merges->count; n++) {
        const struct ml_run *r = &merges->at[n];

        if (doc->clients[r->slot].runs && !ml_runs_join_around(doc, r->slot, r->clock, r->end))
            return false;
    }
    return true;
}

void ml_doc_rollback(struct ml_doc *doc)
{
    ML_ASSERT(doc->is_writing);
    if (!doc->broken) {
        ml_positions_release(doc);
        revive(doc);
        remove_inserted(doc);
        doc->broken = !join_again(doc);
        for (uint32_t n = doc->writing->root_count; n-- > 0;)
            ml_root_free(doc, doc->writing->roots[n]);
        ml_names_truncate(doc, doc->writing->names_before);
    }
    end(doc);
}
