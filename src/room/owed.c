/* SPDX-License-Identifier: MIT */
/*
 * Which orgs have durable observers, in the store, for whoever looks for what they are owed
 * (server/sweep.c): one key for each org, written when a document of it is opened. A small cache
 * keeps that from being written each time; a lost entry is written again.
 */
#include "room/live.h"

#include <stdlib.h>
#include <string.h>

struct org_note {
    struct ml_rooms *rooms; /* which are not empty until this is over */
    struct ml_store_write write;
    struct ml_store_item item;
    uint64_t hash;
    uint8_t org[];
};

static uint64_t *place_of(struct ml_rooms *rooms, uint64_t hash)
{
    return &rooms->orgs_noted[hash % (sizeof rooms->orgs_noted / sizeof rooms->orgs_noted[0])];
}

static void on_written(struct ml_store_write *write)
{
    struct org_note *note = ML_CONTAINER(write, struct org_note, write);

    if (write->err)
        *place_of(note->rooms, note->hash) = 0; /* with the next document */
    note->rooms->keeping_count--;
    ml_store_write_release(write);
    free(note);
}

void ml_rooms_note_org(struct ml_rooms *rooms, struct ml_slice org)
{
    uint64_t hash = ml_hash_bytes(org) | 1;
    struct org_note *note;

    if (ml_slice_equal(org, ML_SLICE("default")) || *place_of(rooms, hash) == hash)
        return;
    note = calloc(1, sizeof *note + org.len);
    if (!note)
        return;
    memcpy(note->org, org.ptr, org.len);
    note->rooms = rooms;
    note->hash = hash;
    note->item = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_make(note->org, org.len), .value = ML_SLICE("1")};
    note->write = (struct ml_store_write){
        .org = ML_SLICE("default"),
        .instance = ML_SLICE(ML_OBSERVER_ORGS),
        .space = ML_SLICE(ML_OBSERVER_SPACE),
        .items = &note->item,
        .count = 1,
        .now_ms = rooms->env.wall_ms(rooms->env.arg),
        .done = on_written,
    };
    *place_of(rooms, hash) = hash;
    rooms->keeping_count++;
    ml_store_commit(rooms->env.journal, &note->write);
}
