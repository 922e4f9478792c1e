/* SPDX-License-Identifier: MIT */
/* The address of several primaries, and the hash that spreads orgs over them. */
#include "journal/shards.h"

#include <stdlib.h>

static bool is_name(const char *text, size_t len)
{
    if (!len || len > ML_SHARD_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
            text[i] != '-' && text[i] != '_')
            return false;
    return true;
}

void ml_shard_list_release(struct ml_shard_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].url);
        for (size_t r = 0; r < list->items[i].replica_count; r++)
            free(list->items[i].replicas[r]);
    }
    list->count = 0;
}

size_t ml_shard_index(const struct ml_shard_list *list, struct ml_slice name)
{
    for (size_t i = 0; i < list->count; i++)
        if (ml_slice_equal(ml_slice_str(list->items[i].name), name))
            return i;
    return SIZE_MAX;
}

/* In its place by name. */
static enum ml_err add_primary(struct ml_shard_list *list, struct ml_slice name, char *url,
                               struct ml_diag *diag)
{
    size_t at = 0;

    if (list->count == ML_SHARDS_MAX)
        return ml_diag_set(diag, ML_EFORMAT, 0, "store: more than %u primaries", ML_SHARDS_MAX);
    if (ml_shard_index(list, name) != SIZE_MAX)
        return ml_diag_set(diag, ML_EFORMAT, 0, "store: two primaries have the name %.*s",
                           ML_PRINT(name));
    while (at < list->count && ml_slice_compare(ml_slice_str(list->items[at].name), name) < 0)
        at++;
    memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof *list->items);
    list->items[at] = (struct ml_shard_address){.url = url};
    memcpy(list->items[at].name, name.ptr, name.len);
    list->count++;
    return ML_OK;
}

static enum ml_err add_replica(struct ml_shard_list *list, struct ml_slice name, char *url,
                               struct ml_diag *diag)
{
    size_t at = ml_shard_index(list, name);

    if (at == SIZE_MAX)
        return ml_diag_set(diag, ML_EFORMAT, 0, "store: a replica of %.*s, which is no primary",
                           ML_PRINT(name));
    if (list->items[at].replica_count == ML_REPLICAS_MAX)
        return ml_diag_set(diag, ML_EFORMAT, 0, "store: more than %u replicas of %.*s",
                           ML_REPLICAS_MAX, ML_PRINT(name));
    list->items[at].replicas[list->items[at].replica_count++] = url;
    return ML_OK;
}

static enum ml_err add(struct ml_shard_list *list, const char *word, size_t len,
                       struct ml_diag *diag)
{
    size_t name = strcspn(word, "=<");
    char *url;
    enum ml_err err;

    if (name >= len || !is_name(word, name))
        return ml_diag_set(diag, ML_EFORMAT, 0,
                           "store: a primary is called with letters a-z, digits, - and _, at most "
                           "%u of them",
                           ML_SHARD_NAME_MAX);
    url = strndup(word + name + 1, len - name - 1);
    if (!url)
        return ML_ELIMIT;
    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0)
        err = ml_diag_set(diag, ML_EFORMAT, 0,
                          "store: the address of %.*s does not begin with postgres://", (int)name,
                          word);
    else if (word[name] == '=')
        err = add_primary(list, ml_slice_make(word, name), url, diag);
    else
        err = add_replica(list, ml_slice_make(word, name), url, diag);
    if (err)
        free(url);
    return err;
}

enum ml_err ml_shard_list_parse(const char *address, struct ml_shard_list *out,
                                struct ml_diag *diag)
{
    const char *at = address + strlen("shards:");
    enum ml_err err = ML_OK;

    *out = (struct ml_shard_list){0};
    while (*at && !err) {
        size_t len = strcspn(at, " ");

        if (len)
            err = add(out, at, len, diag);
        at += len + (at[len] == ' ');
    }
    if (!err && !out->count)
        err = ml_diag_set(diag, ML_EFORMAT, 0, "store: no primary");
    if (err)
        ml_shard_list_release(out);
    return err;
}

/* FNV-1a, and then stirred: the same in every process and build. */
static uint64_t mix(struct ml_slice org, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < org.len; i++)
        hash = (hash ^ org.ptr[i]) * 0x100000001b3u;
    hash = (hash ^ 0xff) * 0x100000001b3u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 33;
}

unsigned ml_shard_guess(const struct ml_shard_list *list, struct ml_slice org)
{
    uint64_t most = 0;
    unsigned best = 0;

    for (unsigned i = 0; i < list->count; i++) {
        uint64_t hash = mix(org, list->items[i].name);

        if (i == 0 || hash > most) {
            most = hash;
            best = i;
        }
    }
    return best;
}
