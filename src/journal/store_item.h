/* SPDX-License-Identifier: MIT */
/* What the implementations of the store share. Private to journal/. */
#ifndef ML_JOURNAL_STORE_ITEM_H
#define ML_JOURNAL_STORE_ITEM_H

#include "journal/journal.h"

/** A new id: sorts by time, the rest is random. */
void ml_job_id(int64_t now_ms, char id_out[ML_JOB_ID_LEN + 1]);
/** The number that a value is; false: it is none. */
bool ml_store_number(struct ml_slice value, double *out);
size_t ml_store_number_text(double number, char *out, size_t size);
/** Let the job's texts stand in `arena`. False: no room. */
bool ml_store_keep_job(struct ml_arena *arena, struct ml_store_job *job);

/** Of a SET or INCR: when it is over; 0: never. */
static inline int64_t ml_store_expiry(const struct ml_store_item *item, int64_t now_ms)
{
    return item->ttl_ms ? now_ms + (int64_t)item->ttl_ms : 0;
}

/** Whose job a PUSH queues. */
static inline struct ml_slice ml_store_job_instance(const struct ml_store_write *write,
                                                    const struct ml_store_item *item)
{
    return item->instance.len ? item->instance : write->instance;
}

struct ml_memory_store;

struct ml_memory_store *ml_memory_store_new(void);
void ml_memory_store_free(struct ml_memory_store *store);
enum ml_err ml_memory_store_look(struct ml_memory_store *store, struct ml_store_read *read);
enum ml_err ml_memory_store_commit(struct ml_memory_store *store, struct ml_store_write *write);

#endif
