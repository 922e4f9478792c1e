/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
} table[] = {[ML_OK] = {"OK", "fine"},
#define X(name, text) [ML_##name] = {#name, text},
             ML_ERR_MAP(X)
#undef X
};

const char *ml_err_name(enum ml_err err)
{
    return (size_t)err < sizeof table / sizeof *table ? table[err].name : "EUNKNOWN";
}

const char *ml_err_text(enum ml_err err)
{
    return (size_t)err < sizeof table / sizeof *table ? table[err].text : "unknown error";
}

enum ml_err ml_diag_set(struct ml_diag *diag, enum ml_err err, size_t offset, const char *format,
                        ...)
{
    va_list args;

    if (!diag)
        return err;
    diag->offset = offset;
    va_start(args, format);
    (void)vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    return err;
}
