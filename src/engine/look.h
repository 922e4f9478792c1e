/* SPDX-License-Identifier: MIT */
/*
 * Looking for collisions, from inside. Private to engine/.
 *
 *   look.c            what the transaction brought and took, who had seen what, names of places
 *   collide.c         keys of maps and attributes
 *   collide_delete.c  somebody deleted what another was writing in
 *   collide_block.c   two have changed the same paragraph
 *
 * A look happens when all of a transaction is in and nothing is collected; it changes nothing.
 */
#ifndef ML_ENGINE_LOOK_H
#define ML_ENGINE_LOOK_H

#include "engine/update.h"

struct ml_look {
    struct ml_watch watch; /* first */
    const struct ml_collide *ask;
    const struct ml_update *update;
    struct ml_arena *arena;
    struct ml_doc *doc;
    struct ml_runs deleted;       /* by the transaction, normalized; owned */
    struct ml_wire_range *ranges; /* that the update deletes, sorted */
    size_t range_count;
    struct ml_id *seen; /* state vector, sorted; clock: the next one */
    size_t seen_count;
    bool is_ruled;         /* single edits of it were refused: what is deleted may be put back */
    struct touch *touches; /* collide.c; owned */
    size_t touch_count, touch_cap;
    uint32_t *texts; /* branches, collide_block.c; owned */
    uint32_t text_count, text_cap;
    struct ml_collision *found;
    size_t count;
    enum ml_err err;
};

/* look.c */

enum ml_err ml_look_read_ranges(struct ml_look *l) ML_MUST_CHECK;
enum ml_err ml_look_read_seen(struct ml_look *l) ML_MUST_CHECK;
/** False: out of memory. */
bool ml_look_copy_deleted(struct ml_look *l);

/** Does the update itself delete this unit? */
bool ml_look_is_erased(const struct ml_look *l, ml_client_id client, uint64_t clock);
/** And all of [clock, end)? @param end_out  as far as the answer for the first unit holds */
bool ml_look_is_erased_to(const struct ml_look *l, ml_client_id client, uint64_t clock,
                          uint64_t end, uint64_t *end_out);
/** Is it known, all of what the writer had seen? */
bool ml_look_knows_seen(const struct ml_look *l);
/** Is the unit in what the writer is known to have seen, or brought by the update? */
bool ml_look_has_seen(const struct ml_look *l, ml_client_id client, uint64_t clock);
/** The first unit of this client that is not in the writer's state vector, told since or not. */
uint64_t ml_look_seen_to(const struct ml_look *l, ml_client_id client);
struct ml_id ml_look_last_unit(const struct ml_doc *doc, const struct ml_item *i);
bool ml_look_is_added(const struct ml_doc *doc, const struct ml_item *i);
bool ml_look_is_deleted_now(const struct ml_look *l, const struct ml_item *i);
void ml_look_each_item(struct ml_look *l, const struct ml_run *run,
                       void (*each)(struct ml_look *l, const struct ml_item *i));
/** Everything that the transaction has added. */
void ml_look_each_added(struct ml_look *l,
                        void (*each)(struct ml_look *l, const struct ml_item *i));
enum ml_err ml_look_tell_path(struct ml_look *l, uint32_t branch,
                              struct ml_slice *out) ML_MUST_CHECK;
/** Where the container of a collision is; it borrows from the arena. */
enum ml_err ml_look_tell_place(struct ml_look *l, uint32_t branch,
                               struct ml_place *out) ML_MUST_CHECK;
/** "client:clock" in the arena; .ptr NULL: it is full. */
struct ml_slice ml_look_name_unit(struct ml_look *l, struct ml_id id);
/** One collision more; beyond ML_COLLISIONS_MAX it is left out. */
void ml_look_add(struct ml_look *l, const struct ml_collision *collision);

/* collide_delete.c */

/** Deletions that meet what their writer had not seen, and writes that meet a deletion. */
void ml_look_at_deletions(struct ml_look *l);

/* collide_block.c */

/** Paragraphs that both have changed: of work done while apart (`has_whole_deletes`, `seen`). */
void ml_look_at_blocks(struct ml_look *l);
/** Note the text that goes. */
void ml_look_remember_text(struct ml_look *l, const struct ml_item *i);

#endif
