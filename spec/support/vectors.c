/* SPDX-License-Identifier: MIT */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

_Noreturn static void give_up(const char *what, const char *name)
{
    (void)fprintf(stderr, "vectors: %s: %s\n", what, name);
    exit(99);
}

cJSON *ml_vectors_load(const char *name)
{
    char path[512];
    struct ml_writer text;
    cJSON *tree;
    gzFile file;
    int n;

    (void)snprintf(path, sizeof path, "%s/%s.json.gz", ML_VECTORS_DIR, name);
    file = gzopen(path, "rb");
    if (!file)
        give_up("cannot open", path);
    ml_writer_init(&text, 64u << 20);
    do {
        if (!ml_writer_reserve(&text, 1 << 16))
            give_up("too large", path);
        n = gzread(file, text.ptr + text.len, 1 << 16);
        if (n < 0)
            give_up("cannot read", path);
        text.len += (size_t)n;
    } while (n > 0);
    (void)gzclose(file);
    tree = cJSON_ParseWithLength((const char *)text.ptr, text.len);
    ml_writer_release(&text);
    if (!tree)
        give_up("no JSON", path);
    return tree;
}

const cJSON *ml_vectors_get(const cJSON *object, const char *member)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, member);

    if (!found)
        give_up("no such member", member);
    return found;
}

const char *ml_vectors_text(const cJSON *object, const char *member)
{
    const cJSON *found = ml_vectors_get(object, member);

    if (!cJSON_IsString(found))
        give_up("not a string", member);
    return found->valuestring;
}

struct ml_slice ml_vectors_unhex(struct ml_writer *out, const char *hex)
{
    unsigned byte;

    ml_writer_reset(out);
    for (; *hex; hex += 2) {
        if (sscanf(hex, "%2x", &byte) != 1)
            give_up("not hex", hex);
        ml_write_u8(out, (uint8_t)byte);
    }
    if (out->err)
        give_up("too large", "hex");
    return ml_writer_slice(out);
}
