/* SPDX-License-Identifier: MIT */
/*
 * The records of a load, checked one after the other as they come from a database.
 *
 *     seq   s        s+1      s+2            head
 *         [snapshot][rec 1]--[rec 2]-- … --[rec n]
 *                    previous = checksum of the one before        documents.head_checksum = its
 *
 * Private to journal/.
 */
#ifndef ML_JOURNAL_CHAIN_H
#define ML_JOURNAL_CHAIN_H

#include "journal/checksum.h"
#include "journal/journal.h"

/* Where the chain stands before the next record. */
struct ml_chain {
    uint64_t seq;
    bool known; /* the record `seq` is there; `checksum` is its */
    uint32_t checksum;
    size_t cap, bytes; /* of load->records; of what they hold */
};

/** Seq of the last record that the load is about. */
uint64_t ml_chain_last(const struct ml_load *load);
/** Make room for what is to come, as far as it may be believed. */
enum ml_err ml_chain_reserve(struct ml_chain *chain, struct ml_load *load) ML_MUST_CHECK;
/**
 * Take one record into the load.
 * @retval ML_EFORMAT  it is missing, damaged or does not follow; load->diag and the log say so
 * @retval ML_ELIMIT   too much for one load
 */
enum ml_err ml_chain_take(struct ml_chain *chain, struct ml_load *load,
                          const struct ml_record_sum *record, int64_t format,
                          uint32_t checksum) ML_MUST_CHECK;
/** All records have come: is it all, and the one that the head names? */
enum ml_err ml_chain_end(const struct ml_chain *chain, struct ml_load *load,
                         uint32_t head_checksum) ML_MUST_CHECK;
/** A snapshot that was skipped. */
void ml_chain_log_snapshot(const struct ml_load *load, uint64_t seq);

#endif
