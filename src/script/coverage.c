/* SPDX-License-Identifier: MIT */
/*
 * Counts lines with the debug hook of the interpreter. The compiler is off in every state, so no
 * line is missed. The hook is set with each entry into Lua (budget.c), because the one that stops a
 * call takes its place and is taken away with it.
 */
#include "script/script.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "script/budget.h"

#define FILES_MAX  512
#define LINES_MAX  20000
#define NAME_BYTES 160

struct file {
    char name[NAME_BYTES];
    uint32_t *counts; /* by line */
    unsigned max;
};

static struct file files[FILES_MAX]; /* of this process; one thread */
static unsigned file_count;
static struct file *last;

static struct file *file_named(const char *name)
{
    if (last && strcmp(last->name, name) == 0)
        return last;
    for (unsigned i = 0; i < file_count; i++)
        if (strcmp(files[i].name, name) == 0)
            return last = &files[i];
    if (file_count == FILES_MAX || strlen(name) >= NAME_BYTES)
        return NULL;
    memcpy(files[file_count].name, name, strlen(name) + 1);
    return last = &files[file_count++];
}

static void on_line(lua_State *L, lua_Debug *ar)
{
    struct file *file;
    unsigned line = ar->currentline > 0 ? (unsigned)ar->currentline : 0;

    if (line >= LINES_MAX || !lua_getinfo(L, "S", ar) || ar->source[0] != '@' ||
        strncmp(ar->source, "@moonloom/", 10) == 0)
        return;
    file = file_named(ar->source + 1);
    if (file && line >= file->max) {
        unsigned max = line < 256 ? 256 : line * 2;
        uint32_t *more = realloc(file->counts, max * sizeof *more);

        if (!more)
            return;
        memset(more + file->max, 0, (max - file->max) * sizeof *more);
        file->counts = more;
        file->max = max;
    }
    if (file && file->counts[line] < UINT32_MAX)
        file->counts[line]++;
}

void ml_coverage_start(void)
{
    ml_budget_trace(on_line);
}

void ml_coverage_each(void (*fn)(void *arg, const char *file, unsigned line, uint32_t count),
                      void *arg)
{
    for (unsigned i = 0; i < file_count; i++)
        for (unsigned line = 0; line < files[i].max; line++)
            if (files[i].counts[line])
                fn(arg, files[i].name, line, files[i].counts[line]);
}
