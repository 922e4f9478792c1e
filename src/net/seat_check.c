/* SPDX-License-Identifier: MIT */
/*
 * Rights change while somebody is connected (SEC-WS-05, SEC-WS-06). There are three reasons to ask
 * again: somebody says so (revoke.c), the grant ends soon, the client shows a new credential.
 *
 *   is_doubted   nothing that the client sends reaches the room until there is an answer; without
 *                one for auth_ms the seat is lost: access fails closed
 *                Of many seats at once some are asked about in this turn, the others from the next
 *                tick on: nobody waits for them but they themselves
 *   a credential what the client sends behind it waits for the answer, too, and is looked at under
 *                what it gives
 *   recheck_ms   the grant ends: asked before, and once a second until it does
 *
 * The answer: rights to read at least, and the seat stays with them; or none, and it goes. Plugins
 * may take their time; doubt that comes meanwhile asks anew.
 */
#include "net/seat_check.h"

#include "net/standing.h"

#include <stdlib.h>

#define RETRY_MS  1000
#define CHECK_MAX (1u << 20)
#define TURN_NS   UINT64_C(20000000)

struct ml_seat_check {
    struct ml_ask ask;
    struct ml_asker asker;
    struct ml_arena arena;
    struct ml_seat *seat;
    struct ml_head head; /* of a new credential */
    struct ml_seat_own *own;
};

/* A copy that lasts as long as the seat. */
struct ml_seat_own {
    struct ml_own_token token;
    uint8_t bytes[];
};

static struct ml_slice keep(uint8_t **to, struct ml_slice text)
{
    struct ml_slice kept = ml_slice_make(*to, text.len);

    if (text.len)
        memcpy(*to, text.ptr, text.len);
    *to += text.len;
    return kept;
}

static struct ml_seat_own *own_new(const struct ml_own_token *token)
{
    struct ml_seat_own *own =
        malloc(sizeof *own + token->org.len + token->user.len + token->name.len + token->doc.len +
               token->session.len + token->id.len);
    uint8_t *to;

    if (!own)
        return NULL;
    to = own->bytes;
    own->token = *token;
    own->token.org = keep(&to, token->org);
    own->token.user = keep(&to, token->user);
    own->token.name = keep(&to, token->name);
    own->token.doc = keep(&to, token->doc);
    own->token.session = keep(&to, token->session);
    own->token.id = keep(&to, token->id);
    return own;
}

enum ml_err ml_seat_keep_asker(struct ml_seat *seat, const struct ml_asker *asker)
{
    struct ml_seat_own *own = NULL;

    if (asker && asker->is_own) {
        own = own_new(&asker->own);
        if (!own)
            return ML_ELIMIT;
    }
    free(seat->own);
    seat->own = own;
    if (asker && asker->age != ml_standing_age(seat->session->net))
        ml_seat_doubt(seat);
    return ML_OK;
}

static bool is_no(enum ml_err err)
{
    return err == ML_EDENIED || err == ML_ENOTFOUND || err == ML_EFORMAT;
}

static void lose(struct ml_seat *seat, enum ml_close why, struct ml_slice reason)
{
    seat->is_doubted = false;
    seat->session->dialect->lost(seat, why, reason);
}

void ml_seat_take_answer(struct ml_seat *seat, enum ml_err err, const struct ml_asker *asker,
                         const struct ml_identity *identity, const struct ml_refusal *refusal)
{
    struct ml_session *session = seat->session;
    bool could_write = seat->may_write;

    if (is_no(err)) {
        lose(seat, refusal->status == 401 ? ML_CLOSE_UNAUTHENTICATED : ML_CLOSE_FORBIDDEN,
             refusal->reason.len ? refusal->reason : ML_SLICE("permission-denied"));
        return;
    }
    if (err) { /* not now: what it has is still good until it is over */
        seat->recheck_ms = ml_net_now(session->net) + RETRY_MS;
        seat->is_asked = false;
        ml_session_mark_dirty(session);
        return;
    }
    if (!ml_member_renew(seat->member, identity, &asker->grant)) {
        lose(seat, ML_CLOSE_FORBIDDEN, ML_SLICE("permission changed"));
        return;
    }
    seat->is_doubted = false;
    if (ml_seat_keep_asker(seat, asker)) {
        lose(seat, ML_CLOSE_TRY_LATER, ML_SLICE("try again later"));
        return;
    }
    ml_limit_begin(session, seat->org, ml_slice_make(NULL, 0), ml_member_identity(seat->member));
    seat->may_write = ml_grant_allows(&asker->grant, ML_MAY_WRITE);
    session->may_write |= seat->may_write;
    ml_seat_set_expiry(seat, ml_member_identity(seat->member), &asker->grant);
    if (seat->may_write != could_write)
        session->dialect->regranted(seat);
    ml_session_mark_dirty(session);
}

static void check_free(struct ml_seat_check *check)
{
    ml_ask_drop(&check->ask);
    ml_arena_release(&check->arena);
    free(check->own);
    free(check);
}

void ml_seat_end_check(struct ml_seat *seat)
{
    struct ml_seat_check *check = seat->check;

    seat->check = NULL;
    if (check)
        check_free(check);
}

static void on_checked(struct ml_ask *ask)
{
    struct ml_seat_check *check = ML_CONTAINER(ask, struct ml_seat_check, ask);
    struct ml_seat *seat = check->seat;

    seat->check = NULL; /* what follows may end the seat */
    if (!seat->session->is_closing && seat->state == ML_SEAT_OPEN && seat->member)
        ml_seat_take_answer(seat, ask->err, &check->asker,
                            check->asker.is_known && (!ask->is_identified || check->own)
                                ? &check->asker.identity
                                : NULL,
                            &ask->refusal);
    check_free(check);
}

/* NULL: no memory. */
static struct ml_seat_check *check_new(struct ml_seat *seat)
{
    struct ml_seat_check *check = calloc(1, sizeof *check);

    if (!check)
        return NULL;
    check->seat = seat;
    ml_arena_init(&check->arena, CHECK_MAX);
    check->ask = (struct ml_ask){.net = seat->session->net,
                                 .arena = &check->arena,
                                 .asker = &check->asker,
                                 .source = {.org = seat->org, .is_websocket = true},
                                 .is_resolved = true,
                                 .action = ML_SLICE("doc.open"),
                                 .document = seat->name,
                                 .done = on_checked};
    return check;
}

static void start(struct ml_seat *seat, struct ml_seat_check *check)
{
    ml_seat_end_check(seat);
    seat->check = check;
    if (ml_ask_start(&check->ask))
        on_checked(&check->ask);
}

/* The names in a list of the identity. NULL: no memory. */
static const struct ml_slice *fill_names(struct ml_arena *arena, const char list[512],
                                         size_t *count_out)
{
    struct ml_slice *names = ml_arena_array(arena, 512 / 2, sizeof *names);
    size_t cursor = 0, count = 0;

    while (names && ml_identity_next(list, &cursor, &names[count]))
        count++;
    *count_out = count;
    return names;
}

/* What the plugins were told when the seat was taken, from what is kept of it. */
static bool fill_asker(struct ml_seat_check *check)
{
    struct ml_asker *asker = &check->asker;
    struct ml_script_identity *facts = &asker->facts;

    asker->identity = *ml_member_identity(check->seat->member);
    *facts = (struct ml_script_identity){
        .user = ml_slice_str(asker->identity.user),
        .name = ml_slice_str(asker->identity.name),
        .session = ml_slice_str(asker->identity.session),
        .kind = ml_slice_str(asker->identity.kind),
        .expires_at_ms = asker->identity.expires_at_ms,
    };
    if (check->seat->own) { /* copied: the seat's may be replaced meanwhile */
        struct ml_seat_own *own = own_new(&check->seat->own->token);

        if (!own)
            return false;
        check->own = own;
        asker->own = own->token;
        asker->is_own = asker->is_known = true;
    }
    facts->roles = fill_names(&check->arena, asker->identity.roles, &facts->role_count);
    facts->groups = fill_names(&check->arena, asker->identity.groups, &facts->group_count);
    return facts->roles && facts->groups;
}

static void ask_again(struct ml_seat *seat)
{
    struct ml_seat_check *check = check_new(seat);

    if (!check || !fill_asker(check)) {
        if (check)
            check_free(check);
        seat->recheck_ms = ml_net_now(seat->session->net) + RETRY_MS;
        return;
    }
    check->ask.is_identified = true;
    start(seat, check);
}

void ml_seat_renew(struct ml_seat *seat, struct ml_slice path, struct ml_slice token)
{
    struct ml_seat_check *check = check_new(seat);

    if (!check) {
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
        return;
    }
    check->head = (struct ml_head){.method = ML_METHOD_GET,
                                   .method_text = ML_SLICE("GET"),
                                   .path = ml_arena_copy(&check->arena, path)};
    check->ask.source.head = &check->head;
    check->ask.source.token = ml_arena_copy(&check->arena, token);
    start(seat, check);
}

void ml_seat_doubt(struct ml_seat *seat)
{
    if (seat->state != ML_SEAT_OPEN && seat->state != ML_SEAT_JOINING)
        return;
    /* An answer that is on its way may be from before. */
    if (seat->check && seat->check->ask.is_identified)
        ml_seat_end_check(seat);
    if (!seat->is_doubted)
        seat->doubted_ms = ml_net_now(seat->session->net);
    seat->is_doubted = true;
    seat->recheck_ms = 0;
    ml_session_mark_dirty(seat->session);
}

bool ml_seat_is_uncertain(const struct ml_seat *seat)
{
    return seat->is_doubted || seat->asking || (seat->check && !seat->check->ask.is_identified);
}

/* A whole org may be asked about at once: not more of it than so much time in one turn. */
static bool has_time(struct ml_net *net)
{
    uint64_t now = uv_hrtime();

    if (!net->checks_from_ns)
        net->checks_from_ns = now;
    return now - net->checks_from_ns < TURN_NS;
}

void ml_seat_settle(struct ml_seat *seat)
{
    uint64_t now = ml_net_now(seat->session->net);

    if (seat->is_doubted && !seat->check && !seat->session->is_closing && seat->member &&
        seat->state == ML_SEAT_OPEN && now >= seat->recheck_ms) {
        if (has_time(seat->session->net))
            ask_again(seat);
        else
            ml_session_mark_timed(seat->session);
    }
}

void ml_seat_visit(struct ml_seat *seat, uint64_t now)
{
    if (seat->state != ML_SEAT_OPEN || !seat->member)
        return;
    if (seat->is_doubted && now - seat->doubted_ms > seat->session->net->env.limits.auth_ms)
        lose(seat, ML_CLOSE_TRY_LATER, ML_SLICE("policy_unavailable"));
    else if (seat->is_doubted)
        ml_session_mark_dirty(seat->session);
    else if (seat->recheck_ms && now >= seat->recheck_ms && !seat->check)
        ask_again(seat);
}
