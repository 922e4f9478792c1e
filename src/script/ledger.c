/* SPDX-License-Identifier: MIT */
/* Rows that stay where they are, found by name once per handler. */
#include "script/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/state.h"

_Static_assert(ML_LEDGER_NAME_MAX >= ML_INSTANCE_NAME_MAX, "every instance has its name");

struct ml_ledger {
    struct ml_hook_row *rows[ML_LEDGER_ROWS_MAX + HOOK_COUNT];
    size_t count;
};

struct ml_ledger *ml_ledger_new(void)
{
    return calloc(1, sizeof(struct ml_ledger));
}

void ml_ledger_free(struct ml_ledger *ledger)
{
    for (size_t i = 0; ledger && i < ledger->count; i++)
        free(ledger->rows[i]);
    free(ledger);
}

static struct ml_hook_row *find(const struct ml_ledger *ledger, const char *plugin,
                                const char *hook)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (strcmp(ledger->rows[i]->hook, hook) == 0 &&
            strcmp(ledger->rows[i]->plugin, plugin) == 0)
            return ledger->rows[i];
    return NULL;
}

struct ml_hook_row *ml_ledger_row(struct ml_ledger *ledger, const char *plugin, const char *hook)
{
    struct ml_hook_row *row = find(ledger, plugin, hook);

    if (!row && ledger->count >= ML_LEDGER_ROWS_MAX) {
        plugin = "other";
        row = find(ledger, plugin, hook);
    }
    if (row || ledger->count == sizeof(ledger->rows) / sizeof(*ledger->rows))
        return row;
    row = calloc(1, sizeof(*row));
    if (!row)
        return NULL;
    snprintf(row->plugin, sizeof(row->plugin), "%s", plugin);
    row->hook = hook;
    return ledger->rows[ledger->count++] = row;
}

size_t ml_ledger_count(const struct ml_ledger *ledger)
{
    return ledger->count;
}

struct ml_hook_row *ml_ledger_at(const struct ml_ledger *ledger, size_t i)
{
    return ledger->rows[i];
}
