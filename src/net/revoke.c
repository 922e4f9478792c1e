/* SPDX-License-Identifier: MIT */
/*
 * One order (list, ask again, go, be told) for many sessions: a parcel to each loop, which walks
 * its own sessions. If somebody wants to know what came of it, the parcels come back.
 *
 *   ml_recheck, ml_kick, ml_sessions_order --> parcels --> each loop: seats --> parcels back
 *          |
 *          +--> revoked.c: the store, for the other nodes
 *
 * Orders may be carried out twice; asking again is harmless, and who was sent away once and has
 * come back since is left alone (a seat knows when it was taken).
 */
#include "net/revoked.h"
#include "net/seat_check.h"
#include "net/session.h"
#include "net/standing.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/http.h"

#include <stdlib.h>

#define LINES_MAX (4u << 20)

/* Somebody waits for what the loops have to say. On its loop, but for `pending`. */
struct round {
    struct ml_hub *hub;
    unsigned loop;
    _Atomic unsigned pending;
    uint64_t count;
    struct ml_writer lines;
    void (*done)(void *arg, uint64_t count, struct ml_slice lines);
    void *arg;
};

struct parcel {
    struct ml_parcel parcel; /* first */
    struct ml_hub *hub;
    unsigned loop;
    struct ml_order order;
    struct round *round; /* NULL: nobody waits */
    uint64_t count;
    struct ml_writer lines;
    uint8_t bytes[];
};

/* ---- One loop ---------------------------------------------------------------------------------
 */

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

static void write_line(struct ml_writer *out, const struct ml_seat *seat)
{
    const struct ml_identity *identity = ml_member_identity(seat->member);

    ml_write_bytes(out, ML_SLICE("{\"session\":"));
    ml_json_write_text(out, ml_slice_str(identity->session));
    ml_write_bytes(out, ML_SLICE(",\"user\":"));
    ml_json_write_text(out, ml_slice_str(identity->user));
    ml_write_bytes(out, ML_SLICE(",\"name\":"));
    ml_json_write_text(out, ml_slice_str(identity->name));
    ml_write_bytes(out, ML_SLICE(",\"doc\":"));
    ml_json_write_text(out, seat->name);
    ml_write_bytes(out, seat->may_write ? ML_SLICE(",\"write\":true}\n")
                                        : ML_SLICE(",\"write\":false}\n"));
}

/* Did it do something? */
static bool carry_out_at(struct ml_seat *seat, const struct ml_order *order,
                         struct ml_writer *lines)
{
    const struct ml_session_dialect *dialect = seat->session->dialect;

    switch (order->kind) {
    case ML_ORDER_LIST:
        write_line(lines, seat);
        return true;
    case ML_ORDER_RECHECK:
        ml_seat_doubt(seat);
        return true;
    case ML_ORDER_KICK:
        if (seat->taken_at_ms > order->at_ms)
            return false;
        dialect->lost(seat, ML_CLOSE_FORBIDDEN, order->text);
        return true;
    case ML_ORDER_TELL:
        return dialect->told && seat->state == ML_SEAT_OPEN && dialect->told(seat, order->text);
    }
    return false;
}

static uint64_t carry_out(struct ml_net *net, const struct ml_order *order, struct ml_writer *lines)
{
    uint64_t count = 0;

    ML_LIST_EACH(node, &net->sessions)
    {
        struct ml_session *session = ML_CONTAINER(node, struct ml_session, node);

        ML_LIST_EACH(at, &session->seats)
        {
            struct ml_seat *seat = ML_CONTAINER(at, struct ml_seat, node);

            if (!session->is_closing && is_meant(seat, &order->who))
                count += carry_out_at(seat, order, lines);
        }
    }
    return count;
}

/* ---- All loops --------------------------------------------------------------------------------
 */

static void parcel_free(struct parcel *parcel)
{
    ml_writer_release(&parcel->lines);
    free(parcel);
}

static void round_free(struct round *round)
{
    ml_writer_release(&round->lines);
    free(round);
}

/* On the loop that asked, or (`rooms` NULL) anywhere: it has ended. */
static void come_back(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct parcel *p = (struct parcel *)(void *)parcel;
    struct round *round = p->round;

    if (rooms) {
        round->count += p->count;
        ml_write_bytes(&round->lines, ml_writer_slice(&p->lines));
    }
    parcel_free(p);
    if (--round->pending)
        return;
    if (rooms)
        round->done(round->arg, round->count, ml_writer_slice(&round->lines));
    round_free(round);
}

static void post(struct parcel *parcel, unsigned loop)
{
    struct ml_list one;

    ml_list_init(&one);
    ml_list_append(&one, &parcel->parcel.node);
    ml_hub_post(parcel->hub, loop, &one);
}

static void arrive(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct parcel *p = (struct parcel *)(void *)parcel;
    struct ml_net *net = rooms ? ml_hub_net(p->hub, p->loop) : NULL;

    if (net)
        p->count = carry_out(net, &p->order, &p->lines);
    if (!p->round) {
        parcel_free(p);
        return;
    }
    parcel->open = come_back;
    post(p, p->round->loop);
}

static struct ml_slice keep(uint8_t **to, struct ml_slice text)
{
    struct ml_slice kept = ml_slice_make(*to, text.len);

    if (text.len)
        memcpy(*to, text.ptr, text.len);
    *to += text.len;
    return kept;
}

static struct parcel *parcel_new(struct ml_hub *hub, unsigned loop, const struct ml_order *order,
                                 struct round *round)
{
    const struct ml_who *who = &order->who;
    struct parcel *p = calloc(1, sizeof *p + who->org.len + who->user.len + who->document.len +
                                     who->session.len + order->text.len);
    uint8_t *to;

    if (!p)
        return NULL;
    p->parcel.open = arrive;
    p->hub = hub;
    p->loop = loop;
    p->round = round;
    p->order = *order;
    ml_writer_init(&p->lines, LINES_MAX);
    to = p->bytes;
    p->order.who.org = keep(&to, who->org);
    p->order.who.user = keep(&to, who->user);
    p->order.who.document = keep(&to, who->document);
    p->order.who.session = keep(&to, who->session);
    p->order.text = keep(&to, order->text);
    return p;
}

/** To all loops of this node; nobody waits. */
enum ml_err ml_order_loops(struct ml_net *net, const struct ml_order *order)
{
    struct ml_hub *hub = net->env.hub;
    struct ml_writer none;

    ml_standing_doubt(net, &order->who);
    ml_writer_init(&none, LINES_MAX);
    (void)carry_out(net, order, &none);
    ml_writer_release(&none);
    for (unsigned i = 0; hub && i < ml_hub_loops(hub); i++) {
        struct parcel *parcel;

        if (i == net->env.loop_number)
            continue;
        parcel = parcel_new(hub, i, order, NULL);
        if (!parcel)
            return ML_ELIMIT;
        post(parcel, i);
    }
    return ML_OK;
}

static void log_order(const struct ml_order *order)
{
    const struct ml_who *who = &order->who;

    ml_log(ML_LOG_INFO, order->kind == ML_ORDER_KICK ? "sessions.removed" : "sessions.doubted",
           "org=%s user=%s doc=%s session=%s", ML_LOG_TEXT(who->org), ML_LOG_TEXT(who->user),
           ML_LOG_TEXT(who->document), ML_LOG_TEXT(who->session));
}

static struct ml_order make_order(enum ml_order_kind kind, const struct ml_who *who,
                                  struct ml_slice text)
{
    return (struct ml_order){.kind = kind,
                             .who = *who,
                             .text =
                                 kind == ML_ORDER_KICK && !text.len ? ML_SLICE("removed") : text,
                             .at_ms = ml_clock_wall_ms()};
}

static enum ml_err give(struct ml_net *net, enum ml_order_kind kind, const struct ml_who *who,
                        struct ml_slice text)
{
    const struct ml_order order = make_order(kind, who, text);
    enum ml_err err = ml_order_loops(net, &order);

    log_order(&order);
    return err ? err : ml_revoked_write(net, &order);
}

enum ml_err ml_recheck(struct ml_net *net, const struct ml_who *who)
{
    return give(net, ML_ORDER_RECHECK, who, ml_slice_make(NULL, 0));
}

enum ml_err ml_kick(struct ml_net *net, const struct ml_who *who, struct ml_slice why)
{
    return give(net, ML_ORDER_KICK, who, why);
}

/* Parcels for all loops, or none. */
static bool make_parcels(struct ml_hub *hub, const struct ml_order *order, struct round *round,
                         struct parcel **out)
{
    unsigned loops = ml_hub_loops(hub);

    for (unsigned i = 0; i < loops; i++) {
        out[i] = parcel_new(hub, i, order, round);
        if (out[i])
            continue;
        while (i--)
            parcel_free(out[i]);
        return false;
    }
    round->pending = loops;
    return true;
}

enum ml_err ml_sessions_order(struct ml_net *net, enum ml_order_kind kind, const struct ml_who *who,
                              struct ml_slice text,
                              void (*done)(void *arg, uint64_t count, struct ml_slice lines),
                              void *arg)
{
    const struct ml_order order = make_order(kind, who, text);
    struct ml_hub *hub = net->env.hub;
    struct parcel *parcels[ML_LOOPS_MAX];
    struct round *round = hub ? calloc(1, sizeof *round) : NULL;

    if (!round)
        return ML_ELIMIT;
    round->hub = hub;
    round->loop = net->env.loop_number;
    round->done = done;
    round->arg = arg;
    ml_writer_init(&round->lines, LINES_MAX);
    if (!make_parcels(hub, &order, round, parcels)) {
        round_free(round);
        return ML_ELIMIT;
    }
    if (kind == ML_ORDER_RECHECK || kind == ML_ORDER_KICK)
        ml_standing_doubt(net, who);
    for (unsigned i = 0, loops = ml_hub_loops(hub); i < loops; i++)
        post(parcels[i], i);
    if (kind == ML_ORDER_RECHECK || kind == ML_ORDER_KICK) {
        log_order(&order);
        /* Here it is under way; without memory for a line the others do not hear of it. */
        (void)!ml_revoked_write(net, &order);
    }
    return ML_OK;
}
