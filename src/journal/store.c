/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include "base/assert.h"
#include "journal/request.h"
#include "journal/store_item.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Jobs and values have ceilings of their own; this one is never met. */
#define RESULT_MAX (ML_STORE_PAGE_MAX * (ML_STORE_VALUE_MAX + 4096ull))

void ml_store_read_release(struct ml_store_read *read)
{
    ml_arena_release(&read->arena);
    read->pairs = NULL;
    read->jobs = NULL;
    read->count = 0;
}

void ml_store_write_release(struct ml_store_write *write)
{
    ml_arena_release(&write->arena);
    write->jobs = NULL;
    write->job_count = 0;
}

void ml_store_look(struct ml_journal *journal, struct ml_store_read *read)
{
    ML_ASSERT(read->done && read->limit >= 1 && read->limit <= ML_STORE_PAGE_MAX);
    read->node = (struct ml_journal_node){.kind = ML_REQUEST_STORE_READ};
    read->err = ML_OK;
    read->diag = (struct ml_diag){0};
    read->pairs = NULL;
    read->jobs = NULL;
    read->count = 0;
    read->more = false;
    ml_arena_init(&read->arena, RESULT_MAX);
    journal->ops->store_look(journal, read);
}

void ml_store_commit(struct ml_journal *journal, struct ml_store_write *write)
{
    ML_ASSERT(write->done && (write->items || !write->count));
    write->node = (struct ml_journal_node){.kind = ML_REQUEST_STORE_WRITE};
    write->err = ML_OK;
    write->diag = (struct ml_diag){0};
    write->rev = 0;
    write->jobs = NULL;
    write->job_count = 0;
    ml_arena_init(&write->arena, RESULT_MAX);
    for (size_t i = 0; i < write->count; i++) {
        struct ml_store_item *item = &write->items[i];

        ML_ASSERT(item->act != ML_STORE_TAKE || write->count == 1);
        item->number_out = 0;
        item->rev_out = 0;
        item->id_out[0] = '\0';
    }
    journal->ops->store_commit(journal, write);
}

/* Sorts by time; the rest is random. */
void ml_job_id(int64_t now_ms, char id_out[ML_JOB_ID_LEN + 1])
{
    static atomic_uint count; /* orders those of one millisecond */
    uint64_t random = 0;

    ML_ASSERT(getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random);
    (void)snprintf(id_out, ML_JOB_ID_LEN + 1, "%012llx%04x%016llx",
                   (unsigned long long)now_ms & 0xffffffffffff,
                   atomic_fetch_add(&count, 1) & 0xffff, (unsigned long long)random);
}

/* The number that JSON text says; false: it is none. */
bool ml_store_number(struct ml_slice value, double *out)
{
    char text[64], *end;

    if (!value.len || value.len >= sizeof text)
        return false;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out - *out == 0;
}

size_t ml_store_number_text(double number, char *out, size_t size)
{
    int len = snprintf(out, size, "%.17g", number);

    ML_ASSERT(len > 0 && (size_t)len < size);
    return (size_t)len;
}

bool ml_store_keep_job(struct ml_arena *arena, struct ml_store_job *job)
{
    struct ml_slice *texts[] = {&job->org, &job->instance, &job->name,
                                &job->key, &job->args,     &job->why};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i] = ml_arena_copy(arena, *texts[i]);
        if (!texts[i]->ptr)
            return false;
    }
    return true;
}
