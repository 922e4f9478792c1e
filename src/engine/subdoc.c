/* SPDX-License-Identifier: MIT */
/*
 * Subdocuments: items that name another document. Its content is not in the parent's updates; here
 * they are only listed, and reported when they come and go.
 *
 * What a transaction adds and deletes is noted as it happens, with the content, since deleted
 * content is collected before anybody can be told:
 *
 *   note    slot, clock, whether removed, bytes of content | content       one behind the other
 *
 * Added and removed in one transaction: nobody hears of it.
 */
#include "engine/item.h"

#include <stdlib.h>

struct note {
    uint32_t slot, clock, len;
    bool removed;
};

bool ml_subdoc_note(struct ml_doc *doc, const struct ml_item *i, bool removed)
{
    struct ml_writer *w = &doc->txn.subdocs;
    struct ml_slice content = ml_item_content(doc, i);
    struct note note = {ml_item_slot(i), i->clock, (uint32_t)content.len, removed};

    ml_write_bytes(w, ml_slice_make(&note, sizeof note));
    ml_write_bytes(w, content);
    return !w->err;
}

static struct ml_subdoc read_subdoc(struct ml_slice content)
{
    struct ml_reader in = ml_reader_make(content);
    struct ml_subdoc subdoc = {0};
    enum ml_err err = ml_read_varbytes(&in, &subdoc.guid);

    ML_ASSERT(!err); /* checked on its way in */
    subdoc.options = ml_slice_make(in.pos, ml_reader_left(&in));
    return subdoc;
}

static int by_id(const void *pa, const void *pb)
{
    const struct ml_subdoc *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    if (a->clock != b->clock)
        return a->clock < b->clock ? -1 : 1;
    return a->removed - b->removed;
}

/* Sorted by id: an item that was added and removed stands there twice in a row. */
static size_t drop_pairs(struct ml_subdoc *list, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && list[i].client == list[i + 1].client &&
            list[i].clock == list[i + 1].clock)
            i++;
        else
            list[kept++] = list[i];
    }
    return kept;
}

bool ml_txn_list_subdocs(struct ml_doc *doc, struct ml_arena *scratch, struct ml_change *change)
{
    struct ml_slice notes = ml_writer_slice(&doc->txn.subdocs);
    struct ml_subdoc *list;
    size_t count = 0;

    if (!notes.len)
        return true;
    notes = ml_arena_copy(scratch, notes);
    list = ml_arena_array(scratch, notes.len / sizeof(struct note), sizeof *list);
    if (!notes.ptr || !list)
        return false;
    for (size_t at = 0; at < notes.len;) {
        struct note note;

        memcpy(&note, notes.ptr + at, sizeof note);
        at += sizeof note;
        list[count] = read_subdoc(ml_slice_make(notes.ptr + at, note.len));
        list[count].client = doc->clients[note.slot].id;
        list[count].clock = note.clock;
        list[count++].removed = note.removed;
        at += note.len;
    }
    qsort(list, count, sizeof *list, by_id);
    change->subdocs = list;
    change->subdoc_count = drop_pairs(list, count);
    return true;
}

bool ml_doc_next_subdoc(const struct ml_doc *doc, struct ml_subdoc_cursor *cursor,
                        struct ml_subdoc *out)
{
    for (; cursor->slot < doc->client_count; cursor->slot++, cursor->clock = 0) {
        const struct ml_client *c = &doc->clients[cursor->slot];
        struct ml_run_walk walk;

        if (cursor->clock >= c->next)
            continue;
        for (uint32_t index = ml_run_walk_start(&walk, c, cursor->clock); index != NIL;
             index = ml_run_walk_next(&walk)) {
            const struct ml_item *i = ml_item_at(doc, index);

            if (ml_item_kind(i) != ML_WIRE_DOC || ml_item_is_deleted(i))
                continue;
            *out = read_subdoc(ml_item_content(doc, i));
            out->client = c->id;
            out->clock = i->clock;
            cursor->clock = ml_item_end(i);
            return true;
        }
    }
    return false;
}
