/* SPDX-License-Identifier: MIT */
/* Documents from outside: birth, death, questions. */
#include "engine/keep.h"
#include "engine/update.h"

#include <stdlib.h>

struct ml_doc *ml_doc_new(const struct ml_doc_options *options)
{
    struct ml_doc *doc = calloc(1, sizeof *doc);

    if (!doc)
        return NULL;
    doc->limits = ml_limits_resolve(options ? options->limits : NULL);
    doc->own_client = options ? options->client : 0;
    doc->keep_deleted = options && options->keep_deleted;
    doc->items.free_head = doc->branches.free_head = doc->fill_page = NIL;
    doc->memory_bytes = sizeof *doc;
    ml_writer_init(&doc->record, SIZE_MAX / 2);
    ml_writer_init(&doc->deleted, SIZE_MAX / 2);
    return doc;
}

void ml_doc_free(struct ml_doc *doc)
{
    if (!doc)
        return;
    doc->is_writing = false;
    ml_writing_release(doc);
    ml_pending_release(doc);
    ml_txn_release(doc);
    ml_store_release(doc);
    ml_doc_let_go(doc);
    ML_ASSERT_DEBUG(doc->memory_bytes == sizeof *doc);
    free(doc);
}

ml_client_id ml_doc_client(const struct ml_doc *doc)
{
    return doc->own_client;
}

void ml_doc_set_client(struct ml_doc *doc, ml_client_id client)
{
    doc->own_client = client;
}

/* Are all units of the range deleted? */
static bool is_deleted(const struct ml_doc *doc, const struct ml_wire_range *range)
{
    uint32_t slot = ml_slot_find(doc, range->client);
    struct ml_run_walk walk;
    uint64_t end = range->clock + range->len;

    if (slot == NIL || end > doc->clients[slot].next)
        return false;
    for (uint32_t i = ml_run_walk_start(&walk, &doc->clients[slot], (uint32_t)range->clock);
         i != NIL && ml_item_at(doc, i)->clock < end; i = ml_run_walk_next(&walk))
        if (!ml_item_is_deleted(ml_item_at(doc, i)))
            return false;
    return true;
}

uint64_t ml_doc_units_of(const struct ml_doc *doc, ml_client_id client)
{
    return ml_state_of(doc, client);
}

bool ml_doc_contains(const struct ml_doc *doc, const struct ml_update *update)
{
    struct ml_wire_reader r;

    for (uint32_t i = 0; i < update->section_count; i++)
        if (update->sections[i].end_clock > ml_state_of(doc, update->sections[i].client) &&
            update->sections[i].end_clock > update->sections[i].first_clock)
            return false;
    ml_update_reread_ranges(update, &r);
    for (;;) {
        struct ml_wire_range range;
        bool more;
        enum ml_err err = ml_wire_next_range(&r, &range, &more);

        ML_ASSERT(!err);
        if (!more)
            return true;
        if (!is_deleted(doc, &range))
            return false;
    }
}

void ml_doc_stats(const struct ml_doc *doc, struct ml_doc_stats *out)
{
    *out = (struct ml_doc_stats){
        .clients = doc->client_count,
        .pending_structs = doc->pending.structs,
        .pending_bytes = doc->pending.bytes,
        .pending_deletes = doc->pending.deletes.count,
        .memory_bytes = doc->memory_bytes + ml_doc_kept_bytes(doc) +
                        doc->pending.deletes.cap * sizeof *doc->pending.deletes.ranges,
        .fast_append = doc->fast_append,
        .fast_delete = doc->fast_delete,
        .general = doc->general,
        .steps = doc->steps,
    };
    for (uint32_t s = 0; s < doc->client_count; s++) {
        out->runs += doc->clients[s].runs;
        out->deleted_runs += doc->clients[s].deleted_runs;
    }
}

bool ml_doc_next_root(const struct ml_doc *doc, uint32_t *cursor, struct ml_slice *name_out)
{
    while (*cursor < doc->name_count) {
        uint32_t name = (*cursor)++;

        if (doc->names[name].root != NIL) {
            *name_out = ml_name_text(doc, name);
            return true;
        }
    }
    return false;
}

bool ml_doc_is_broken(const struct ml_doc *doc)
{
    return doc->broken;
}
