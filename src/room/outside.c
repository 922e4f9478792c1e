/* SPDX-License-Identifier: MIT */
/*
 * A room seen by somebody who has no seat in it: the API asks who is here, sends one away, or all,
 * because the journal changed behind the room's back (the document was deleted, or made).
 */
#include "room/live.h"

/* NULL: the document is not live here. */
static struct ml_room *find(const struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name)
{
    uint8_t bytes[64 + 1 + 512];

    if (org.len > 64 || name.len > 512)
        return NULL;
    memcpy(bytes, org.ptr, org.len);
    bytes[org.len] = 0;
    memcpy(bytes + org.len + 1, name.ptr, name.len);
    return ml_hashmap_get(&rooms->by_key, ml_slice_make(bytes, org.len + 1 + name.len));
}

bool ml_rooms_dismiss(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                      enum ml_close why, const char *reason)
{
    unsigned home = ml_document_loop(org, name, rooms->env.loops);
    struct ml_room *room;

    if (home != rooms->env.loop) {
        ml_remote_dismiss(rooms, home, org, name, why, reason);
        return true;
    }
    ml_rooms_tell_deleted(rooms, org, name);
    room = find(rooms, org, name);
    if (!room)
        return false;
    room->is_abandoned = true;
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (member->is_seated)
            ml_member_close(member, why, reason);
    }
    ml_room_close_if_idle(room);
    return true;
}

void ml_rooms_each_session(const struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                           void (*each)(void *arg, const struct ml_room_session *session),
                           void *arg)
{
    const struct ml_room *room = find(rooms, org, name);

    if (!room)
        return;
    ML_LIST_EACH(node, &room->members)
    {
        const struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);
        const struct ml_room_session session = {
            .identity = &member->identity,
            .grant = &member->grant,
            .dialect = member->port->dialect,
        };

        if (member->is_seated && !member->is_closing && !member->port->is_hidden)
            each(arg, &session);
    }
}

bool ml_rooms_remove_session(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                             struct ml_slice session)
{
    struct ml_room *room = find(rooms, org, name);
    bool any = false;

    if (!room)
        return false;
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (!member->is_seated || member->is_closing || member->port->is_hidden ||
            !ml_slice_equal(ml_slice_str(member->identity.session), session))
            continue;
        ml_member_close(member, ML_CLOSE_FORBIDDEN, "removed");
        any = true;
    }
    return any;
}

bool ml_member_is_at(const struct ml_member *member, uint64_t seq)
{
    const struct ml_room *room = member->room;

    /* From another loop nobody can say that at once. */
    if (!room)
        return seq == UINT64_MAX;
    return !ml_room_is_staging(room) && (seq == UINT64_MAX || room->head == seq);
}

uint64_t ml_member_seq(const struct ml_member *member)
{
    return member->room ? member->room->head : 0;
}
