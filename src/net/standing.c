/* SPDX-License-Identifier: MIT */
/*
 * Facts that are looked up, each one value of the core's instance "-", and what of it counts:
 *
 *   org "-"  space "family"  key: handle           is the login still one?      of a login
 *   org ORG  space "member"  key: user             {"role"}                     likewise
 *   org "-"  space "ended"   key: user             {"at", "suspended"?}         a user of ours
 *   org ORG  space "share"   key: DOCUMENT-KIND-ID {"role", "expires"?}         all (auth_shares.c)
 *   org "-"  space "ticket"  key: id               is written: used once        of a ticket
 *
 *   ask --> wanted: 1 to 4 facts --> all fresh? --> judge --> over
 *                                        | no          ^
 *                                        +--> store ---+
 *
 * The table is small and direct: what falls on an occupied place takes it over. An entry is fresh
 * for FRESH_MS and as long as nobody has called ml_standing_doubt since its read began.
 */
#include "net/standing.h"

#include "net/ask.h"
#include "net/auth_own.h"
#include "net/fields.h"
#include "net/shares.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define PLACES    4096u
#define FRESH_MS  2000
#define FACTS_MAX 4
#define CORE      ML_SLICE("-")

struct fact {
    bool is_there, is_suspended;
    uint8_t role;               /* ml_role */
    char nonce[ML_SHARE_NONCE]; /* of a link */
    int64_t at_ms, expires_ms;
};

struct entry {
    char key[32]; /* digits; all zero: free */
    uint64_t age, read_ms;
    struct fact fact;
};

struct ml_standings {
    struct ml_net *net; /* NULL: closed */
    size_t reading;     /* that have not come back */
    struct entry places[PLACES];
};

enum fact_kind { SESSION, MEMBER, ENDED, SHARE };

struct wanted {
    struct standing *standing;
    enum fact_kind kind;
    struct ml_slice org, space;
    char key[32];
    struct ml_slice text; /* key in the store */
    bool is_known, is_reading;
    struct fact fact;
    uint64_t age, began_ms;
    struct ml_store_read read;
};

struct standing {
    struct ml_standings *all;
    struct ml_ask *ask; /* NULL: dropped */
    size_t count, pending;
    bool is_silent; /* the store, about something that nobody knew */
    struct wanted wanted[FACTS_MAX];
    struct ml_store_write write; /* of a ticket */
    struct ml_store_item items[2];
    struct ml_arena arena;
};

void ml_standing_doubt(struct ml_net *net)
{
    net->shared->doubts++;
}

uint64_t ml_standing_age(const struct ml_net *net)
{
    return net->shared->doubts;
}

static struct ml_standings *standings_of(struct ml_net *net)
{
    if (!net->standings) {
        net->standings = calloc(1, sizeof *net->standings);
        if (net->standings)
            net->standings->net = net;
    }
    return net->standings;
}

static void leave(struct ml_standings *all)
{
    if (!all->net && !all->reading)
        free(all);
}

void ml_standings_close(struct ml_standings *all)
{
    if (!all)
        return;
    all->net = NULL;
    leave(all);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static struct entry *place_of(struct ml_standings *all, const char key[32])
{
    return &all->places[ml_hash_bytes(ml_slice_make(key, 32)) % PLACES];
}

/* Fresh: known. Else what was known last, for a store that is silent. */
static void recall(struct wanted *w, bool *is_fresh)
{
    struct ml_standings *all = w->standing->all;
    const struct entry *entry = place_of(all, w->key);

    w->is_known = memcmp(entry->key, w->key, sizeof w->key) == 0;
    if (w->is_known)
        w->fact = entry->fact;
    *is_fresh = w->is_known && entry->age == ml_standing_age(all->net) &&
                ml_net_now(all->net) - entry->read_ms < FRESH_MS;
}

static void keep(struct ml_standings *all, const struct wanted *w)
{
    struct entry *entry = place_of(all, w->key);

    memcpy(entry->key, w->key, sizeof entry->key);
    entry->age = w->age;
    entry->read_ms = w->began_ms;
    entry->fact = w->fact;
}

/* ---- What is read ---------------------------------------------------------------------------- */

static struct fact read_fact(struct ml_slice any)
{
    struct fact fact = {.is_there = true};
    struct ml_slice value, text;
    uint64_t number;

    if (ml_fields_get(any, "role", &value) && ml_fields_text(value, &text))
        fact.role = ml_role_named(text);
    if (ml_fields_get(any, "nonce", &value) && ml_fields_text(value, &text) &&
        text.len == sizeof fact.nonce)
        memcpy(fact.nonce, text.ptr, text.len);
    if (ml_fields_get(any, "expires", &value) && ml_fields_number(value, &number))
        fact.expires_ms = (int64_t)number;
    if (ml_fields_get(any, "at", &value) && ml_fields_number(value, &number))
        fact.at_ms = (int64_t)number;
    fact.is_suspended = ml_fields_get(any, "suspended", &value);
    return fact;
}

static void standing_free(struct standing *s)
{
    struct ml_standings *all = s->all;

    ml_arena_release(&s->arena);
    free(s);
    all->reading--;
    leave(all);
}

static void judge(struct standing *s);

/* One more has come back. */
static void count_down(struct standing *s)
{
    struct ml_ask *ask = s->ask;

    if (--s->pending)
        return;
    if (ask) {
        ask->standing = NULL;
        judge(s);
        ml_list_append(&ask->net->asked, &ask->node);
    }
    standing_free(s);
}

static void on_read(struct ml_store_read *read)
{
    struct wanted *w = ML_CONTAINER(read, struct wanted, read);
    struct standing *s = w->standing;

    if (!read->err) {
        w->is_known = true;
        w->fact = read->count ? read_fact(ml_auth_json(&s->arena, read->pairs[0].value))
                              : (struct fact){0};
        if (s->all->net)
            keep(s->all, w);
    } else if (!w->is_known) {
        s->is_silent = true;
    }
    ml_store_read_release(read);
    count_down(s);
}

static void look(struct wanted *w, struct ml_journal *journal)
{
    w->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = w->org,
                                     .instance = CORE,
                                     .space = w->space,
                                     .key = w->text,
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_read};
    ml_store_look(journal, &w->read);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

static void want(struct standing *s, enum fact_kind kind, struct ml_slice org, const char *space,
                 struct ml_slice key)
{
    struct wanted *w = &s->wanted[s->count++];
    struct ml_slice parts[3];
    char digits[33];

    w->standing = s;
    w->kind = kind;
    w->org = ml_arena_copy(&s->arena, org);
    w->space = ml_slice_str(space);
    w->text = ml_arena_copy(&s->arena, key);
    parts[0] = w->org;
    parts[1] = w->space;
    parts[2] = w->text;
    ml_digest_hex(parts, 3, digits, 32);
    memcpy(w->key, digits, sizeof w->key);
}

static void want_all(struct standing *s)
{
    const struct ml_ask *ask = s->ask;
    const struct ml_own_token *own = &ask->asker->own;
    struct ml_slice nonce, link = ml_share_link_of(own->session, &nonce);
    char key[ML_SHARE_KEY_MAX + 1];

    if (!link.len && own->session.len)
        want(s, SESSION, CORE, "family", own->session);
    if (!link.len && (own->session.len || ask->asker->is_imagined))
        want(s, MEMBER, own->org, "member", own->user);
    if (!link.len)
        want(s, ENDED, CORE, "ended", own->user);
    if (!ask->document.len || !ml_own_covers(own, ask->source.org, ask->document))
        return;
    if (ml_share_key(ask->document, link.len ? ML_SHARE_LINK : ML_SHARE_USER,
                     link.len ? link : own->user, key))
        want(s, SHARE, own->org, "share", ml_slice_str(key));
}

/* ---- What comes of it ------------------------------------------------------------------------ */

static void refuse(struct ml_ask *ask, const char *code, const char *reason)
{
    ask->err = ML_EDENIED;
    ask->refusal = (struct ml_refusal){.is_spoken = true,
                                       .status = 401,
                                       .code = ml_slice_str(code),
                                       .reason = ml_slice_str(reason)};
}

static const struct fact *fact_of(const struct standing *s, enum fact_kind kind)
{
    static const struct fact none;

    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].kind == kind)
            return &s->wanted[i].fact;
    return &none;
}

static bool wants(const struct standing *s, enum fact_kind kind)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].kind == kind)
            return true;
    return false;
}

static bool is_over(const struct standing *s, const struct ml_own_token *own)
{
    const struct fact *ended = fact_of(s, ENDED);

    if (ended->is_suspended)
        return true;
    if (wants(s, SESSION))
        return !fact_of(s, SESSION)->is_there;
    return ended->is_there && own->issued_s && own->issued_s <= ended->at_ms / 1000;
}

static enum ml_role shared_role(const struct standing *s, struct ml_slice nonce)
{
    const struct fact *share = fact_of(s, SHARE);

    if (!share->is_there || (share->expires_ms && share->expires_ms <= ml_clock_wall_ms()))
        return ML_ROLE_NONE;
    /* A link that was taken back and made anew is another one. */
    if (nonce.len && memcmp(share->nonce, nonce.ptr, sizeof share->nonce) != 0)
        return ML_ROLE_NONE;
    return (enum ml_role)share->role;
}

/* ml_ask.asker: what holds now, here. */
static void judge(struct standing *s)
{
    struct ml_ask *ask = s->ask;
    struct ml_asker *asker = ask->asker;
    struct ml_own_token *own = &asker->own;
    struct ml_slice nonce;
    bool is_link = ml_share_link_of(own->session, &nonce).len > 0;
    enum ml_role in_org, shared = shared_role(s, nonce);

    if (s->is_silent) {
        ask->err = ML_ESCRIPT;
        return;
    }
    if (is_over(s, own)) {
        refuse(ask, "expired", "The session is over.");
        return;
    }
    if (wants(s, MEMBER))
        ml_own_set_role(ask->arena, asker, (enum ml_role)fact_of(s, MEMBER)->role);
    in_org = ml_own_covers(own, ask->source.org, ask->document) ? ml_role_highest(own->roles)
                                                                : ML_ROLE_NONE;
    if (is_link) /* SEC-AZ-09 */
        shared = shared > ML_ROLE_EDITOR ? ML_ROLE_EDITOR : shared;
    asker->role = shared > in_org ? shared : in_org;
    asker->from = !asker->role       ? ML_FROM_NOTHING
                  : shared <= in_org ? ML_FROM_ORG
                  : is_link          ? ML_FROM_LINK
                                     : ML_FROM_SHARE;
    /* A share that ends is asked about again in time. */
    if (shared > in_org && fact_of(s, SHARE)->expires_ms)
        asker->until_ms = fact_of(s, SHARE)->expires_ms;
    else
        asker->until_ms = 0;
}

/* ---- Tickets --------------------------------------------------------------------------------- */

#define TICKET_KEEP_MS ((uint64_t)(ML_OWN_TICKET_MAX_S + 2 * ML_TOKEN_LEEWAY_S) * 1000)

static void on_used(struct ml_store_write *write)
{
    struct standing *s = ML_CONTAINER(write, struct standing, write);

    if (s->ask && write->err == ML_ECONFLICT)
        refuse(s->ask, "used", "The ticket was used before.");
    else if (s->ask && write->err)
        s->ask->err = ML_ESCRIPT;
    ml_store_write_release(write);
    if (s->ask && s->ask->err) { /* nothing is judged any more */
        s->ask->standing = NULL;
        ml_list_append(&s->ask->net->asked, &s->ask->node);
        s->ask = NULL;
    }
    count_down(s);
}

/* Whoever writes it down first has used it, on whatever node. */
static void use_ticket(struct standing *s)
{
    struct ml_slice id = ml_arena_copy(&s->arena, s->ask->asker->own.id);

    s->items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = id};
    s->items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = id, .value = ML_SLICE("true"), .ttl_ms = TICKET_KEEP_MS};
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("ticket"),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_used};
    ml_store_commit(s->ask->net->env.journal, &s->write);
}

/* ---- The step -------------------------------------------------------------------------------- */

bool ml_standing_ask(struct ml_ask *ask)
{
    struct ml_asker *asker = ask->asker;
    struct ml_standings *all;
    struct standing *s;
    bool is_ticket = asker->is_own && asker->own.kind == ML_OWN_TICKET && !ask->is_identified;

    asker->role = ML_ROLE_NONE;
    asker->from = ML_FROM_NOTHING;
    asker->until_ms = 0;
    asker->age = ml_standing_age(ask->net);
    if (!asker->is_own || !ask->net->env.journal)
        return true;
    all = standings_of(ask->net);
    s = all ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        ask->err = ML_ESCRIPT;
        return true;
    }
    all->reading++;
    s->all = all;
    s->ask = ask;
    ml_arena_init(&s->arena, 1u << 16);
    want_all(s);
    s->pending = 1; /* ours, so that nothing is judged before all are asked */
    for (size_t i = 0; i < s->count; i++) {
        bool is_fresh;

        recall(&s->wanted[i], &is_fresh);
        s->wanted[i].is_reading = !is_fresh;
        s->wanted[i].age = asker->age;
        s->wanted[i].began_ms = ml_net_now(ask->net);
        s->pending += !is_fresh;
    }
    s->pending += is_ticket;
    if (s->pending == 1) {
        judge(s);
        standing_free(s);
        return true;
    }
    ask->standing = s;
    if (is_ticket)
        use_ticket(s);
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].is_reading)
            look(&s->wanted[i], ask->net->env.journal);
    count_down(s);
    return false;
}

void ml_standing_drop(struct ml_ask *ask)
{
    if (ask->standing)
        ask->standing->ask = NULL;
    ask->standing = NULL;
}
