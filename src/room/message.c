/* SPDX-License-Identifier: MIT */
/*
 * A text of a client that is none of the protocol's: stateless messages of Hocuspocus, message 103
 * of y-websocket. Nobody hears of it unless a plugin answers what they are to hear; then everybody
 * in the document on this node does, its writer too.
 */
#include "room/live.h"

#include <string.h>

static void refuse(struct ml_member *member, struct ml_slice code, struct ml_slice reason)
{
    const struct ml_denial denial = {.code = code, .reason = reason};
    const struct ml_notice notice = {.denial = &denial, .is_message = true};

    member->room->rooms->stats.refused++;
    if (member->port->refused)
        member->port->refused(member->port, &notice);
}

static void tell(struct ml_room *room, const struct ml_script_message *m)
{
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (member->port->said &&
            (!m->to.ptr || ml_slice_equal(m->to, ml_slice_str(member->identity.user))))
            member->port->said(member->port, m->text);
    }
}

enum ml_err ml_room_message(struct ml_member *from, struct ml_slice text, struct ml_arena *scratch)
{
    struct ml_script_message m = {.text = text};
    struct ml_script *script;
    struct ml_scope scope;
    enum ml_err err;

    if (ml_member_is_remote(from))
        return ml_remote_message(from, text);
    script = ml_room_script(from->room);
    if (!script || !(ml_script_hooks(script) & ML_HOOK_MESSAGE))
        return ML_OK;
    if (!ml_grant_allows(&from->grant, ML_MAY_MESSAGE)) {
        refuse(from, ML_SLICE("grant.not_allowed"), ML_SLICE("You may not send messages here."));
        return ML_OK;
    }
    if (text.len > ML_SCRIPT_MESSAGE_MAX) {
        refuse(from, ML_SLICE("message.too_large"), ML_SLICE("The message is too large."));
        return ML_OK;
    }
    err = ml_room_wake(from->room);
    if (err)
        return err == ML_EFORMAT ? ML_ECLOSED : err;
    scope = ml_member_scope(from, false);
    err = ml_script_message(script, &scope, scratch, &m);
    if (err == ML_EDENIED)
        refuse(from, m.denial.code, m.denial.reason);
    else if (err)
        refuse(from, ML_SLICE("policy_unavailable"), ML_SLICE("A policy cannot answer now."));
    else if (m.is_for_others)
        tell(from->room, &m);
    return ML_OK;
}
