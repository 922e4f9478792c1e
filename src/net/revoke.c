/* SPDX-License-Identifier: MIT */
/*
 * One order ("ask again" or "go") for many sessions: a parcel to each loop, which walks its own
 * sessions, and a line in the store for the other nodes.
 *
 *   ml_recheck, ml_kick --> store: space "sessions", key TIME-RANDOM, kept for REVOKE_KEEP_MS
 *          |                        ^
 *          +--> parcel --> loop     | every REVOKE_LOOK_MS, loop 0 of each node, for each org that
 *                 each: seats       | has sessions there: what is newer than the last look
 *                                   +--> parcels to its own loops
 *
 * Orders may be carried out twice; asking again is harmless, and who was sent away once and has
 * come back since is left alone (a seat knows when it was taken).
 */
#include "net/revoke.h"

#include "net/seat_check.h"
#include "net/session.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

struct order {
    struct ml_parcel parcel; /* first */
    struct ml_hub *hub;
    unsigned loop;
    bool is_kick;
    int64_t at_ms; /* wall clock */
    struct ml_who who;
    struct ml_slice why;
    uint8_t bytes[];
};

static bool fits(struct ml_slice wanted, struct ml_slice is)
{
    return !wanted.len || ml_slice_equal(wanted, is);
}

static bool is_meant(const struct ml_seat *seat, const struct ml_who *who)
{
    const struct ml_identity *identity;

    if ((seat->state != ML_SEAT_OPEN && seat->state != ML_SEAT_JOINING) || !seat->member ||
        !fits(who->org, seat->org) || !fits(who->document, seat->name))
        return false;
    identity = ml_member_identity(seat->member);
    return fits(who->user, ml_slice_str(identity->user)) &&
           fits(who->session, ml_slice_str(identity->session));
}

static void carry_out_at(struct ml_seat *seat, const struct order *order)
{
    if (!order->is_kick)
        ml_seat_doubt(seat);
    else if (seat->taken_at_ms <= order->at_ms)
        seat->session->dialect->lost(seat, ML_CLOSE_FORBIDDEN, order->why);
}

static void carry_out(struct ml_net *net, const struct order *order)
{
    ML_LIST_EACH(node, &net->sessions)
    {
        struct ml_session *session = ML_CONTAINER(node, struct ml_session, node);

        ML_LIST_EACH(at, &session->seats)
        {
            struct ml_seat *seat = ML_CONTAINER(at, struct ml_seat, node);

            if (!session->is_closing && is_meant(seat, &order->who))
                carry_out_at(seat, order);
        }
    }
}

static void arrive(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct order *order = (struct order *)(void *)parcel;
    struct ml_net *net = rooms ? ml_hub_net(order->hub, order->loop) : NULL;

    if (net)
        carry_out(net, order);
    free(order);
}

static struct ml_slice keep(uint8_t **to, struct ml_slice text)
{
    struct ml_slice kept = ml_slice_make(*to, text.len);

    if (text.len)
        memcpy(*to, text.ptr, text.len);
    *to += text.len;
    return kept;
}

static struct order *order_new(const struct order *model)
{
    const struct ml_who *who = &model->who;
    struct order *order = calloc(1, sizeof *order + who->org.len + who->user.len +
                                        who->document.len + who->session.len + model->why.len);
    uint8_t *to;

    if (!order)
        return NULL;
    *order = *model;
    to = order->bytes;
    order->who.org = keep(&to, who->org);
    order->who.user = keep(&to, who->user);
    order->who.document = keep(&to, who->document);
    order->who.session = keep(&to, who->session);
    order->why = keep(&to, model->why);
    order->parcel.open = arrive;
    return order;
}

/* To all loops of this node. */
static enum ml_err tell_loops(struct ml_net *net, const struct order *model)
{
    struct ml_hub *hub = net->env.hub;

    carry_out(net, model);
    for (unsigned i = 0; hub && i < ml_hub_loops(hub); i++) {
        struct order *order = i == net->env.loop_number ? NULL : order_new(model);
        struct ml_list one;

        if (i == net->env.loop_number)
            continue;
        if (!order)
            return ML_ELIMIT;
        order->hub = hub;
        order->loop = i;
        ml_list_init(&one);
        ml_list_append(&one, &order->parcel.node);
        ml_hub_post(hub, i, &one);
    }
    return ML_OK;
}

static enum ml_err give(struct ml_net *net, const struct ml_who *who, bool is_kick,
                        struct ml_slice why)
{
    const struct order order = {
        .is_kick = is_kick, .at_ms = ml_clock_wall_ms(), .who = *who, .why = why};

    ml_log(ML_LOG_INFO, is_kick ? "sessions.kicked" : "sessions.doubted",
           "org=%s user=%s doc=%s session=%s", ML_LOG_TEXT(who->org), ML_LOG_TEXT(who->user),
           ML_LOG_TEXT(who->document), ML_LOG_TEXT(who->session));
    return tell_loops(net, &order);
}

enum ml_err ml_recheck(struct ml_net *net, const struct ml_who *who)
{
    return give(net, who, false, ml_slice_make(NULL, 0));
}

enum ml_err ml_kick(struct ml_net *net, const struct ml_who *who, struct ml_slice why)
{
    return give(net, who, true, why.len ? why : ML_SLICE("removed"));
}
