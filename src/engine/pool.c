/* SPDX-License-Identifier: MIT */
/*
 * Spare blocks of this thread, shared by its documents. Blocks of one size come and go with every
 * load and every burst of typing; given to the kernel they come back as page faults, which cost
 * more than all the work done in them. Under ASan nothing is kept, so that it sees every use after
 * free.
 */
#include "engine/item.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define SPARE_MAX 0
#else
#define SPARE_MAX 256 /* of each kind: 16 MB */
#endif

static const size_t block_bytes[ML_BLOCK_KINDS] = {
    [ML_BLOCK_ITEMS] = sizeof(struct ml_item) << ML_ITEM_SHIFT,
    [ML_BLOCK_PAGE] = ML_PAGE_BYTES + ML_PAGE_PAD,
};

struct spare {
    struct spare *next;
};

static _Thread_local struct {
    struct spare *first;
    unsigned count;
} spares[ML_BLOCK_KINDS];

void *ml_pool_take(enum ml_block kind)
{
    struct spare *block = spares[kind].first;

    if (!block)
        return malloc(block_bytes[kind]);
    spares[kind].first = block->next;
    spares[kind].count--;
    return block;
}

void ml_pool_give(enum ml_block kind, void *block)
{
    struct spare *s = block;

    if (!block)
        return;
    if (spares[kind].count + 1 > SPARE_MAX) {
        free(block);
        return;
    }
    s->next = spares[kind].first;
    spares[kind].first = s;
    spares[kind].count++;
}

void ml_engine_thread_end(void)
{
    for (int kind = 0; kind < ML_BLOCK_KINDS; kind++) {
        while (spares[kind].first) {
            struct spare *block = spares[kind].first;

            spares[kind].first = block->next;
            free(block);
        }
        spares[kind].count = 0;
    }
}
