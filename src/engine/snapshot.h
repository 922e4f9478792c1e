/* SPDX-License-Identifier: MIT */
/* What was to be seen at a moment. Private to engine/. */
#ifndef ML_ENGINE_SNAPSHOT_H
#define ML_ENGINE_SNAPSHOT_H

#include "engine/item.h"

/** Lives in an arena. */
struct ml_snapshot {
    const struct ml_id *states; /* client descending, clock > 0 */
    size_t state_count;
    const struct ml_wire_range *deletes; /* normalized: client descending, clock ascending */
    size_t delete_count;
};

/** Was the unit to be seen? `*until_out` > clock: the same holds for all units before that one. */
bool ml_snapshot_shows(const struct ml_snapshot *snapshot, ml_client_id client, uint64_t clock,
                       uint64_t *until_out);

/** A delete set on its own (V1 or V2), normalized, in an arena. */
struct ml_delete_set {
    const struct ml_wire_range *ranges;
    size_t count;
};
enum ml_err ml_delete_set_read(struct ml_arena *arena, struct ml_reader *in,
                               enum ml_update_format format,
                               struct ml_delete_set *out) ML_MUST_CHECK;
void ml_delete_set_write(const struct ml_delete_set *set, enum ml_update_format format,
                         struct ml_writer *out);

/** The units [from, to) of an item as a struct of the wire; to bytes of `scratch` if it has to. */
struct ml_wire ml_item_as_wire(const struct ml_doc *doc, const struct ml_item *i, uint32_t units,
                               struct ml_writer *scratch);

#endif
