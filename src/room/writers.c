/* SPDX-License-Identifier: MIT */
/*
 * Who wrote since the newest snapshot, for those who name and label it: up to 32 people, or 2 KiB
 * of ids, who wrote last at the end. Of more the ones that did not write for the longest time are
 * forgotten.
 *
 *   ana\0ben\0cem\0      ben writes:      ana\0cem\0ben\0
 */
#include "room/live.h"

#define WRITERS_MAX       32
#define WRITERS_MAX_BYTES 2048 /* a room's; one id fits in any case */

/* Where the id stands; the length of all: it does not. Counts them. */
static size_t find(const struct ml_writer *all, struct ml_slice user, size_t *count_out)
{
    size_t at = 0, found = all->len;

    for (*count_out = 0; at < all->len; ++*count_out) {
        size_t len = strlen((const char *)all->ptr + at);

        if (ml_slice_equal(user, ml_slice_make(all->ptr + at, len)))
            found = at;
        at += len + 1;
    }
    return found;
}

static void take_out(struct ml_writer *all, size_t at)
{
    size_t len = strlen((const char *)all->ptr + at) + 1;

    memmove(all->ptr + at, all->ptr + at + len, all->len - at - len);
    all->len -= len;
}

static bool is_last(const struct ml_writer *all, struct ml_slice user)
{
    size_t from = all->len - user.len - 1;

    return all->len > user.len && memcmp(all->ptr + from, user.ptr, user.len) == 0 &&
           (from == 0 || !all->ptr[from - 1]);
}

void ml_room_wrote(struct ml_room *room, struct ml_slice user)
{
    struct ml_writer *all = &room->writers;
    size_t at, count;

    if (!user.len || user.len >= WRITERS_MAX_BYTES || memchr(user.ptr, '\0', user.len) ||
        is_last(all, user))
        return;
    if (!all->max)
        ml_writer_init(all, WRITERS_MAX_BYTES);
    at = find(all, user, &count);
    if (at < all->len)
        take_out(all, at);
    else if (count == WRITERS_MAX)
        take_out(all, 0);
    while (all->len + user.len + 1 > WRITERS_MAX_BYTES)
        take_out(all, 0);
    ml_write_bytes(all, user);
    ml_write_u8(all, '\0');
    if (all->err) /* no memory: nobody is better than half a name */
        ml_writer_reset(all);
}

struct ml_slice ml_room_writers(const struct ml_room *room)
{
    return ml_slice_make(room->writers.ptr, room->writers.len);
}

void ml_room_forget_writers(struct ml_room *room)
{
    ml_writer_release(&room->writers);
    room->writers = (struct ml_writer){0};
}
