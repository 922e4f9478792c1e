/* SPDX-License-Identifier: MIT */
/*
 * Members of one object in the order that JavaScript gives them: keys that are array indexes first,
 * ascending; then the others as they came; a repeated key keeps its first place and its last value.
 * Private to engine/: Any and JSON writers use it while they write an object.
 *
 *   out:   … | key value | key value | key value      written as they come, one segment each
 *              ^start      ^start      ^start         settle() moves segments only if it must
 */
#ifndef ML_ENGINE_MEMBERS_H
#define ML_ENGINE_MEMBERS_H

#include "base/codec.h"

struct ml_member {
    uint32_t key;   /* offset of the key (a varstring) in the bytes given to settle */
    uint32_t start; /* offset of the segment in the writer */
    uint32_t len;   /* of the segment; set by settle */
};

/** Members of all objects that are open at the moment: a stack of runs. */
struct ml_members {
    struct ml_member *item;
    size_t count, cap;
};

/** A canonical array index (0 … 2^32-2) as itself, every other key as 2^32. */
uint64_t ml_js_key_rank(struct ml_slice key);

void ml_members_release(struct ml_members *members);

/** The next member of the innermost object: its segment begins at `start`. ML_ELIMIT */
enum ml_err ml_members_add(struct ml_members *members, size_t key, size_t start) ML_MUST_CHECK;

/**
 * The innermost object, whose members are those from `first` on, is complete: put its segments in
 * order, drop those whose key came again, forget its members.
 *
 * @param keys       what `key` offsets refer to; NULL: the bytes of `out`
 * @param count_out  members left
 */
enum ml_err ml_members_settle(struct ml_members *members, size_t first, const uint8_t *keys,
                              struct ml_writer *out, size_t *count_out) ML_MUST_CHECK;

/** Write `count` as a varuint over the one byte that was kept free at `at`. */
void ml_write_count_at(struct ml_writer *out, size_t at, uint64_t count);

#endif
