/* SPDX-License-Identifier: MIT */
/*
 * The hook `admit`: may a message be looked at now? Asked once about each, before the room sees it.
 *
 *   nil        it goes on
 *   ml.slow    it waits, and nothing more is read from its socket until the time is over
 *   ml.deny    it is refused like one that the grant does not allow; a cursor or text is dropped
 */
#include "net/ask.h"
#include "net/seat_check.h"
#include "net/session.h"

#define NAMES_MAX 256

static size_t list_names(const char list[512], struct ml_slice names[NAMES_MAX])
{
    size_t cursor = 0, count = 0;

    while (count < NAMES_MAX && ml_identity_next(list, &cursor, &names[count]))
        count++;
    return count;
}

static void ask(struct ml_seat *seat, struct ml_script *script, const char *kind, size_t bytes,
                struct ml_script_admission *out)
{
    const struct ml_identity *identity = ml_member_identity(seat->member);
    struct ml_slice roles[NAMES_MAX], groups[NAMES_MAX];
    const struct ml_scope who = {
        .org = seat->org,
        .document = seat->name,
        .user = ml_slice_str(identity->user),
        .user_name = ml_slice_str(identity->name),
        .session = ml_slice_str(identity->session),
        .roles = roles,
        .role_count = list_names(identity->roles, roles),
        .groups = groups,
        .group_count = list_names(identity->groups, groups),
    };
    const struct ml_script_frame frame = {.kind = kind, .bytes = bytes, .who = &who};

    ml_script_admit(script, &frame, out);
}

static uint64_t hooks_of(struct ml_seat *seat)
{
    const struct ml_net_env *env = &seat->session->net->env;

    if (env->cells)
        return ml_cells_hooks_at(env->cells, &seat->hooks, seat->org, seat->name);
    return env->script ? ml_script_hooks(env->script) : 0;
}

enum ml_err ml_seat_admit(struct ml_seat *seat, const char *kind, size_t bytes)
{
    struct ml_session *session = seat->session;
    struct ml_script_admission answer;

    if (seat->is_admitted || !(hooks_of(seat) & ML_HOOK_ADMIT))
        return ML_OK;
    ask(seat, ml_net_script(session->net, seat->org, seat->name), kind, bytes, &answer);
    if (answer.is_denied)
        return ML_EDENIED;
    seat->is_admitted = true;
    if (!answer.slow_ms)
        return ML_OK;
    session->slow_until_ms = ml_net_now(session->net) + answer.slow_ms;
    ml_session_mark_timed(session);
    ml_session_mark_dirty(session);
    return ML_EBUSY;
}
