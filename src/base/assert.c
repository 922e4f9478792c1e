/* SPDX-License-Identifier: MIT */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*panic_handler)(const char *message);

void ml_panic_set_handler(void (*handler)(const char *message))
{
    panic_handler = handler;
}

_Noreturn void ml_panic(const char *file, int line, const char *what)
{
    char message[256];

    (void)snprintf(message, sizeof message, "%s:%d: %s", file, line, what);
    if (panic_handler)
        panic_handler(message);
    (void)fprintf(stderr, "moonloom: internal error: %s\n", message);
    abort();
}
