/* SPDX-License-Identifier: MIT */
#include "journal/request.h"

#include "base/assert.h"

#include <stdlib.h>

const char *const ml_purge_reasons[ML_PURGE_REASONS] = {
    [ML_PURGE_PUBLISHED] = "published",
    [ML_PURGE_DELETED] = "deleted",
    [ML_PURGE_MADE_PRIVATE] = "made_private",
    [ML_PURGE_MANUAL] = "manual",
};

void ml_purges_release(struct ml_purges *request)
{
    free(request->items); /* the texts stand behind them */
    request->items = NULL;
    request->count = 0;
}

static void place(struct ml_slice *text, uint8_t **at)
{
    if (text->len)
        memcpy(*at, text->ptr, text->len);
    text->ptr = *at;
    *at += text->len;
}

enum ml_err ml_purges_take(struct ml_purges *request, const struct ml_purge *items, size_t count)
{
    size_t bytes = 0;
    uint8_t *at;

    for (size_t i = 0; i < count; i++)
        bytes += items[i].org.len + items[i].name.len + items[i].files.len;
    request->items = malloc(count * sizeof *items + bytes + 1);
    if (!request->items)
        return ML_ELIMIT;
    if (count)
        memcpy(request->items, items, count * sizeof *items);
    request->count = count;
    at = (uint8_t *)(request->items + count);
    for (size_t i = 0; i < count; i++) {
        place(&request->items[i].org, &at);
        place(&request->items[i].name, &at);
        place(&request->items[i].files, &at);
    }
    return ML_OK;
}

void ml_journal_purges(struct ml_journal *journal, struct ml_purges *request)
{
    ML_ASSERT(request->done && request->limit >= 1 && request->limit <= 1000);
    request->node = (struct ml_journal_node){.kind = ML_REQUEST_PURGES};
    request->err = ML_OK;
    request->diag = (struct ml_diag){0};
    request->items = NULL;
    request->count = 0;
    journal->ops->purges(journal, request);
}

void ml_journal_note_purge(struct ml_journal *journal, struct ml_purge_note *note)
{
    ML_ASSERT(note->done);
    note->node = (struct ml_journal_node){.kind = ML_REQUEST_NOTE_PURGE};
    note->err = ML_OK;
    note->diag = (struct ml_diag){0};
    journal->ops->note_purge(journal, note);
}
