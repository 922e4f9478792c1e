/* SPDX-License-Identifier: MIT */
/* The records of a load, one after the other. */
#include "journal/chain.h"

#include "base/log.h"
#include "journal/pack.h"

#include <stdlib.h>

/* Records that a head may make us reserve before they are seen. */
#define RESERVE_MAX 65536

uint64_t ml_chain_last(const struct ml_load *load)
{
    return load->until_seq && load->until_seq < load->head ? load->until_seq : load->head;
}

enum ml_err ml_chain_reserve(struct ml_chain *chain, struct ml_load *load)
{
    uint64_t last = ml_chain_last(load), count = last > chain->seq ? last - chain->seq : 0;

    if (!count)
        return ML_OK;
    chain->cap = count < RESERVE_MAX ? (size_t)count : RESERVE_MAX;
    load->records = malloc(chain->cap * sizeof *load->records);
    return load->records ? ML_OK : ML_ELIMIT;
}

static enum ml_err damaged(struct ml_load *load, uint64_t seq, const char *what)
{
    ml_log(ML_LOG_ERROR, "journal.record_damaged", "org=%s doc=%s seq=%llu what=\"%s\"",
           ML_LOG_TEXT(load->org), ML_LOG_TEXT(load->name), (unsigned long long)seq, what);
    return ml_diag_set(&load->diag, ML_EFORMAT, 0, "record %llu is %s", (unsigned long long)seq,
                       what);
}

/* NULL: the record follows the one before; otherwise what is wrong with it. */
static const char *check(const struct ml_chain *chain, const struct ml_record_sum *record,
                         int64_t format, uint32_t checksum)
{
    if (record->seq != chain->seq + 1)
        return "missing";
    if (format != ML_RECORD_FORMAT)
        return "of an unknown format";
    if (ml_record_checksum(record) != checksum)
        return "damaged (checksum)";
    if (chain->known && record->previous != chain->checksum)
        return "not the one that followed (chain)";
    return NULL;
}

static bool grow(struct ml_chain *chain, struct ml_load *load)
{
    struct ml_stored *bigger;

    if (load->count < chain->cap)
        return true;
    chain->cap = chain->cap ? chain->cap * 2 : 16;
    bigger = realloc(load->records, chain->cap * sizeof *bigger);
    if (!bigger)
        return false;
    load->records = bigger;
    return true;
}

/* The author as the load keeps it: runs of records by the same one share the text. */
static bool keep_author(const struct ml_load *load, struct ml_slice author, struct ml_blob **out)
{
    struct ml_blob *last = load->count ? load->records[load->count - 1].author : NULL;

    *out = NULL;
    if (!author.len)
        return true;
    *out = last && ml_slice_equal(ml_blob_slice(last), author) ? ml_blob_ref(last)
                                                               : ml_blob_new(author);
    return *out != NULL;
}

enum ml_err ml_chain_take(struct ml_chain *chain, struct ml_load *load,
                          const struct ml_record_sum *record, int64_t format, uint32_t checksum)
{
    const char *wrong = check(chain, record, format, checksum);
    struct ml_blob *blob, *author = NULL;

    if (wrong)
        return damaged(load, chain->seq + 1, wrong);
    chain->bytes += record->bytes.len;
    if (chain->bytes > ML_LOAD_MAX_BYTES)
        return ml_diag_set(&load->diag, ML_ELIMIT, 0, "more than %u bytes of records",
                           ML_LOAD_MAX_BYTES);
    blob = ml_blob_new(record->bytes);
    if (!blob || !grow(chain, load) || !keep_author(load, record->author, &author)) {
        ml_blob_unref(blob);
        return ML_ELIMIT;
    }
    load->records[load->count++] = (struct ml_stored){record->seq, blob, author, record->at_ms};
    chain->seq = record->seq;
    chain->known = true;
    chain->checksum = checksum;
    return ML_OK;
}

enum ml_err ml_chain_end(const struct ml_chain *chain, struct ml_load *load, uint32_t head_checksum)
{
    uint64_t last = ml_chain_last(load);

    if (chain->seq != last)
        return damaged(load, chain->seq + 1, chain->seq < last ? "missing" : "beyond the head");
    if (last == load->head && chain->known && chain->checksum != head_checksum)
        return damaged(load, chain->seq, "not the one that the head names (chain)");
    return ML_OK;
}

void ml_chain_log_snapshot(const struct ml_load *load, uint64_t seq)
{
    ml_log(ML_LOG_ERROR, "journal.snapshot_damaged", "org=%s doc=%s seq=%llu",
           ML_LOG_TEXT(load->org), ML_LOG_TEXT(load->name), (unsigned long long)seq);
}
