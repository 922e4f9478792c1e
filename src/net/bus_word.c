/* SPDX-License-Identifier: MIT */
/*
 * People are told when the bus of their loop is gone, and when it is back: what they write is saved
 * as always and reaches people on other nodes later. Whoever comes meanwhile is told as soon as
 * there is a seat and (y-websocket) the client has said that it hears notices.
 *
 *   { "kind": "bus", "degraded": true }
 */
#include "net/session.h"

#include "net/net.h"

static struct ml_slice word_of(const struct ml_net *net)
{
    return net->is_bus_sick ? ML_SLICE("{\"kind\":\"bus\",\"degraded\":true}")
                            : ML_SLICE("{\"kind\":\"bus\",\"degraded\":false}");
}

/** Of somebody who has just come. */
void ml_seat_hear_of_bus(struct ml_seat *seat)
{
    struct ml_session *session = seat->session;

    if (session->net->is_bus_sick && session->dialect->told)
        (void)session->dialect->told(seat, word_of(session->net));
}

void ml_net_bus_changed(struct ml_net *net, bool is_healthy)
{
    if (net->is_bus_sick == !is_healthy)
        return;
    net->is_bus_sick = !is_healthy;
    ML_LIST_EACH(node, &net->sessions)
    {
        struct ml_session *session = ML_CONTAINER(node, struct ml_session, node);

        ML_LIST_EACH(at, &session->seats)
        {
            struct ml_seat *seat = ML_CONTAINER(at, struct ml_seat, node);

            if (seat->state == ML_SEAT_OPEN && !session->is_closing && session->dialect->told)
                (void)session->dialect->told(seat, word_of(net));
        }
    }
}
