/* SPDX-License-Identifier: MIT */
/*
 * Updates that come before their writer has answered our Step1.
 *
 *   client   Step1, update, update           Step2            update
 *   room              kept    kept    the answer, then those   as ever
 *
 * A Hocuspocus client sends what was written offline one by one, as soon as it is back, and all of
 * it once more in its answer. Only the answer says what its writer had seen and what it knew
 * deleted, which is what a policy about paragraphs is asked on. So what comes earlier waits for it,
 * a few seconds at most: the answer brings it too, and then there is nothing left to do.
 *
 *  [E1] Kept only where a policy decides about paragraphs, and our Step1 stands unanswered, which
 *       went out before anything of the document did.
 *  [E2] Nothing kept is acknowledged before it is committed: an answer without it goes in behind
 * it. [E3] Who leaves, or never answers, has it taken as any update.
 */
#include "room/conflict.h"
#include "room/live.h"

#include <stdlib.h>

#define EARLY_MAX       256
#define EARLY_MAX_BYTES (1u << 20)
#define EARLY_MS        5000

struct ml_early {
    struct ml_blob *bytes;
    uint64_t message_no;
};

/** Has it to wait for the answer? */
bool ml_early_waits(struct ml_member *member, bool is_reply)
{
    return member->owes_answer && member->is_asked_first && !is_reply && member->seen &&
           ml_room_decides(member->room) & 1u << ML_COLLISION_BLOCK;
}

/** False: no room for it, so that it has to be taken now. */
bool ml_early_keep(struct ml_member *member, struct ml_slice bytes, uint64_t message_no)
{
    struct ml_early *grown;

    if (member->early_count == EARLY_MAX || member->early_bytes + bytes.len > EARLY_MAX_BYTES)
        return false;
    grown = realloc(member->early, (member->early_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    member->early = grown;
    grown[member->early_count] = (struct ml_early){ml_blob_new(bytes), message_no};
    if (!grown[member->early_count].bytes)
        return false;
    if (!member->early_count) {
        member->early_since_ms = ml_room_now(member->room);
        ml_room_hurry(member->room);
    }
    member->early_count++;
    member->early_bytes += bytes.len;
    return true;
}

void ml_early_drop(struct ml_member *member)
{
    for (size_t i = 0; i < member->early_count; i++)
        ml_blob_unref(member->early[i].bytes);
    free(member->early);
    member->early = NULL;
    member->early_count = member->early_bytes = 0;
}

/**
 * What was kept goes in, in its order.
 * @retval ML_EBUSY  not now; the rest is kept. Other errors are the writer's affair: it is told of
 *                   the answer, which brings the same.
 */
enum ml_err ml_early_take(struct ml_member *member, struct ml_arena *scratch)
{
    size_t done = 0;
    enum ml_err err = ML_OK;

    member->owes_answer = false;
    while (done < member->early_count && err != ML_EBUSY) {
        const struct ml_early *early = &member->early[done];
        uint64_t no = early->message_no > member->last_no ? early->message_no : member->last_no;

        err = ml_room_take(member, ml_blob_slice(early->bytes), no, false, scratch);
        done += err != ML_EBUSY;
    }
    if (done == member->early_count) {
        ml_early_drop(member);
        return ML_OK;
    }
    for (size_t i = 0; i < done; i++) {
        member->early_bytes -= member->early[i].bytes->len;
        ml_blob_unref(member->early[i].bytes);
    }
    memmove(member->early, member->early + done,
            (member->early_count - done) * sizeof *member->early);
    member->early_count -= done;
    return ML_EBUSY;
}

/** True: something is kept still. */
bool ml_early_tick(struct ml_member *member, uint64_t now)
{
    if (member->early_count && !member->is_closing && !member->is_paused &&
        now - member->early_since_ms > EARLY_MS) {
        (void)!ml_early_take(member, &member->room->rooms->scratch);
        ml_arena_reset(&member->room->rooms->scratch);
    }
    return member->early_count != 0;
}
