/* SPDX-License-Identifier: MIT */
/*
 * What a document keeps beside itself, so that the next who asks costs nothing; and how it gives
 * all of that back.
 *
 *   version 7:   500 joiners ---> one encode ---> blob (500 references) ---> 500 outboxes
 *   version 8:   the next one who asks lets the blob of version 7 go
 *
 *   hot    typing goes on: runs have room to grow, scratch and answers are kept
 *   cool   nobody there: ml_doc_cool. Nothing beside the document, contents packed without room.
 *          It is a document as before; the next key makes room again
 *   parked ml_doc_park (park.c): bytes only
 */
#include "engine/item.h"
#include "engine/keep.h"

#include "base/blob.h"

/* A state of more than this share of limits.doc_bytes is encoded for each who asks. */
#define KEEP_SHARE 4

uint64_t ml_doc_version(const struct ml_doc *doc)
{
    return doc->version;
}

static enum ml_err encode(struct ml_doc *doc, enum ml_update_format format,
                          struct ml_blob **blob_out, size_t *deleted_bytes_out)
{
    struct ml_writer w;
    enum ml_err err;

    *deleted_bytes_out = 0;
    ml_writer_init(&w, doc->limits.doc_bytes);
    err = format == ML_UPDATE_V2 ? ml_doc_encode_v2(doc, &w, deleted_bytes_out)
                                 : ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &w);
    *blob_out = err ? NULL : ml_blob_new(ml_writer_slice(&w));
    if (!err && !*blob_out)
        err = ML_ELIMIT;
    ml_writer_release(&w);
    return err;
}

static void let_go(struct ml_kept_state *kept)
{
    ml_blob_unref(kept->blob);
    kept->blob = NULL;
}

static enum ml_err state_blob(struct ml_doc *doc, enum ml_update_format format,
                              struct ml_blob **blob_out, size_t *deleted_bytes_out)
{
    struct ml_kept_state *kept = &doc->kept[format == ML_UPDATE_V2];
    enum ml_err err;

    if (doc->broken)
        return ML_ELIMIT;
    if (kept->blob && kept->version == doc->version) {
        *blob_out = ml_blob_ref(kept->blob);
        *deleted_bytes_out = kept->deleted_bytes;
        return ML_OK;
    }
    let_go(kept);
    err = encode(doc, format, blob_out, deleted_bytes_out);
    if (!err && (*blob_out)->len <= doc->limits.doc_bytes / KEEP_SHARE) {
        kept->blob = ml_blob_ref(*blob_out);
        kept->version = doc->version;
        kept->deleted_bytes = *deleted_bytes_out;
    }
    return err;
}

enum ml_err ml_doc_state_blob(struct ml_doc *doc, enum ml_update_format format,
                              struct ml_blob **blob_out)
{
    size_t deleted_bytes;

    ML_ASSERT(format == ML_UPDATE_V1 || format == ML_UPDATE_V2);
    return state_blob(doc, format, blob_out, &deleted_bytes);
}

enum ml_err ml_doc_state_v2(struct ml_doc *doc, struct ml_blob **blob_out,
                            size_t *deleted_bytes_out)
{
    return state_blob(doc, ML_UPDATE_V2, blob_out, deleted_bytes_out);
}

size_t ml_doc_kept_bytes(const struct ml_doc *doc)
{
    size_t bytes = doc->deleted.cap + doc->record.cap;

    for (int i = 0; i < 2; i++)
        bytes += doc->kept[i].blob ? sizeof(struct ml_blob) + doc->kept[i].blob->len : 0;
    return bytes;
}

void ml_doc_let_go(struct ml_doc *doc)
{
    let_go(&doc->kept[0]);
    let_go(&doc->kept[1]);
    ml_writer_release(&doc->deleted);
    doc->deleted_known = false;
    ml_writer_release(&doc->record);
}

void ml_doc_cool(struct ml_doc *doc)
{
    if (doc->is_writing)
        return;
    ml_doc_let_go(doc);
    ml_txn_release(doc);
    ml_writing_release(doc);
    ml_store_cool(doc);
}
