/* SPDX-License-Identifier: MIT */
#include "journal/claims.h"

void ml_claims_begin(struct ml_claims_writer *w)
{
    *w = (struct ml_claims_writer){0};
    ml_writer_init(&w->out, ML_CLAIMS_MAX_BYTES);
}

void ml_claims_put(struct ml_claims_writer *w, uint64_t client, struct ml_slice user)
{
    bool is_same = w->has_any && !w->out.err &&
                   ml_slice_equal(ml_slice_make(w->out.ptr + w->user_at, w->user_len), user);

    ml_write_varuint(&w->out, client);
    ml_write_u8(&w->out, !is_same);
    if (is_same)
        return;
    ml_write_varbytes(&w->out, user);
    w->user_len = user.len;
    w->user_at = w->out.len - user.len;
    w->has_any = true;
}

enum ml_err ml_claims_end(struct ml_claims_writer *w, struct ml_load *load)
{
    enum ml_err err = w->out.err;

    if (!err && w->out.len) {
        load->claims = ml_blob_new(ml_writer_slice(&w->out));
        err = load->claims ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&w->out);
    return err ? ml_diag_set(&load->diag, err, 0, "the claims of the document are too large")
               : ML_OK;
}

bool ml_claims_next(struct ml_reader *in, struct ml_claim *out)
{
    uint8_t is_other;

    out->only_look = out->is_taken = false;
    if (!ml_reader_left(in) || ml_read_varuint(in, &out->client) || ml_read_u8(in, &is_other))
        return false;
    return !is_other || !ml_read_varbytes(in, &out->user);
}
