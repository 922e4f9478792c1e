/* SPDX-License-Identifier: MIT */
/*
 * Whose edits may come under which client id (SEC-AZ-08).
 *
 * The author of a change is the session that delivered it; the first user seen with a client id in
 * a document has it. Structs are judged that the document does not have yet:
 *
 *   the id is          a user           somebody who passes by (is_passing)   the server's own
 *   the user's         taken                                                  taken
 *   nobody's           taken, claimed   taken                                 taken, claimed
 *   another's          strict: fenced   strict: fenced                        -
 *                      lax: relayed     lax: relayed
 *
 * Deletions are no structs: who may write may delete. Undoing is no way to refuse here: the deleted
 * content would take clocks that the owner of the id goes on with.
 *
 * One node knows every claim of a document that it has open: they are loaded with it, and go into
 * the append of the record that makes them. Where nodes share a store, others make claims, too, and
 * what they have committed may not be here yet. So before a strict room takes structs of an id that
 * is not this user's, it asks the journal:
 *
 *   update -> ask -> answered: claimed, or another's; head -> everything up to head is here ->
 * judge (an append without records; the member waits)                              again, last
 *
 * Of two nodes that ask at the same moment one has it; nothing was integrated that would have to be
 * taken back.
 */
#include "base/log.h"
#include "room/live.h"

#include <stdlib.h>

#define ASK_AGAIN_MS 200

struct ml_claim_question {
    struct ml_list node; /* room->questions; out of it once it is answered */
    struct ml_append append;
    struct ml_room *room;
    struct ml_member *member; /* NULL: gone */
    bool is_answered;
    uint64_t message_no;
    char user[sizeof((struct ml_identity *)0)->user];
    struct ml_claim claims[];
};

/* ---- Who it is ------------------------------------------------------------------------------- */

static bool is_strict(const struct ml_room *room)
{
    const struct ml_authorship *as = &room->rooms->env.limits.authorship;

    for (size_t i = 0; i < as->except_count; i++)
        if (ml_slice_equal(room->org, ml_slice_str(as->except[i])))
            return !as->is_strict;
    return as->is_strict;
}

static bool has_others(const struct ml_room *room)
{
    return room->rooms->env.bus && !ml_bus_is_local(room->rooms->env.bus);
}

/* Under what name a member claims. */
static struct ml_slice name_of(const struct ml_member *member)
{
    return ml_slice_str(member->port->is_own ? "" : member->identity.user);
}

static bool may_claim(const struct ml_member *member)
{
    return member->port->is_own || (member->identity.user[0] && !member->identity.is_passing);
}

/* ---- Asking the journal ---------------------------------------------------------------------- */

static void go_on(struct ml_member *member)
{
    if (member->retry_at_ms || !member->is_paused || member->is_closing)
        return;
    member->is_paused = false;
    member->port->pause(member->port, false);
}

static void take_answer(struct ml_room *room, const struct ml_claim_question *q)
{
    struct ml_member *member = q->member;

    for (size_t i = 0; i < q->append.claim_count; i++)
        if (!q->claims[i].is_taken && !q->claims[i].only_look)
            /* Without memory the same is asked again, and answered the same. */
            (void)ml_owners_put(&room->claims, q->claims[i].client, q->claims[i].user);
    if (member)
        go_on(member);
}

static void on_answered(struct ml_append *append)
{
    struct ml_claim_question *q = ML_CONTAINER(append, struct ml_claim_question, append);
    struct ml_room *room = q->room;
    struct ml_member *member = q->member;

    room->question_count--;
    ml_list_remove(&q->node);
    q->is_answered = append->err == ML_OK;
    if (member && append->err)
        member->question = NULL;
    if (append->err == ML_OK) {
        take_answer(room, q);
    } else if (append->err == ML_ENOTFOUND) {
        ml_room_was_deleted(room);
    } else if (append->err == ML_EDENIED) {
        ml_room_was_shut(room);
    } else if (member) {
        member->retry_at_ms = ml_room_now(room) + ASK_AGAIN_MS;
        ml_room_hurry(room);
    }
    if (!member || append->err)
        free(q);
    ml_room_close_if_idle(room);
}

static enum ml_err ask(struct ml_member *from, uint64_t message_no, const uint64_t *ids,
                       size_t count)
{
    struct ml_room *room = from->room;
    struct ml_claim_question *q = calloc(1, sizeof *q + count * sizeof q->claims[0]);

    if (!q)
        return ML_ELIMIT;
    q->room = room;
    q->member = from;
    q->message_no = message_no;
    (void)snprintf(q->user, sizeof q->user, "%s", from->identity.user);
    for (size_t i = 0; i < count; i++)
        q->claims[i] = (struct ml_claim){
            .client = ids[i], .user = ml_slice_str(q->user), .only_look = !may_claim(from)};
    q->append = (struct ml_append){
        .org = room->org,
        .name = room->name,
        .claims = q->claims,
        .claim_count = count,
        .expected_head = ML_SEQ_ANY,
        .done = on_answered,
    };
    from->question = q;
    ml_list_append(&room->questions, &q->node);
    room->question_count++;
    ml_journal_append(room->rooms->env.journal, &q->append);
    return ml_member_wait(from);
}

/** A member goes, or its answer has served: nobody waits for one. */
void ml_member_drop_question(struct ml_member *member)
{
    struct ml_claim_question *q = member->question;

    member->question = NULL;
    if (q && q->is_answered)
        free(q);
    else if (q)
        q->member = NULL;
}

/** For simulations: the process dies, and nobody will answer. */
void ml_room_drop_questions(struct ml_room *room)
{
    ML_LIST_EACH(node, &room->questions)
    {
        struct ml_claim_question *q = ML_CONTAINER(node, struct ml_claim_question, node);

        if (q->member)
            q->member->question = NULL;
        ml_list_remove(&q->node);
        free(q);
    }
    room->question_count = 0;
}

/* ---- Judging --------------------------------------------------------------------------------- */

static enum ml_err refuse(struct ml_member *from, uint64_t message_no, uint64_t client)
{
    const struct ml_denial denial = {
        .code = ML_SLICE("author.foreign"),
        .reason = ML_SLICE("This holds edits of somebody else that the server does not have. Load "
                           "the document again."),
    };
    const struct ml_notice notice = {
        .denial = &denial, .message_no = message_no, .is_fenced = true};
    struct ml_room *room = from->room;
    const struct ml_audit_event event = {
        .kind = "author.foreign",
        .org = room->org,
        .actor = ml_slice_str(from->identity.user),
        .subject = room->name,
        .result = "denied",
    };

    room->rooms->stats.foreign++;
    ml_log(ML_LOG_WARN, "author.foreign", "org=%.*s doc=%s user=%s client=%llu",
           ML_PRINT(room->org), ML_LOG_TEXT(room->name),
           ML_LOG_TEXT(ml_slice_str(from->identity.user)), (unsigned long long)client);
    ml_audit_sampled(room->rooms, &event);
    if (from->port->refused)
        from->port->refused(from->port, &notice);
    from->grant.may &= ~(unsigned)ML_MAY_WRITE;
    return ML_EDENIED;
}

/* What an update has that is not plainly its writer's. */
struct doubts {
    uint64_t *unknown; /* in the scratch arena */
    size_t unknown_count, foreign_count;
    uint64_t foreign; /* one of them */
};

static enum ml_err look(const struct ml_member *from, const struct ml_update *update,
                        struct ml_arena *scratch, struct doubts *out)
{
    const struct ml_room *room = from->room;
    uint32_t clients = ml_update_facts(update)->clients, cursor = 0;
    struct ml_slice me = name_of(from), owner;
    bool claims = may_claim(from);
    struct ml_author part;

    *out = (struct doubts){0};
    while (ml_update_next_author(update, &cursor, &part)) {
        if (part.to <= part.from || part.to <= ml_doc_units_of(room->doc, part.client))
            continue;
        if (ml_owners_find(&room->claims, part.client, &owner)) {
            if (claims && ml_slice_equal(owner, me))
                continue;
            out->foreign = part.client;
            out->foreign_count++;
            continue;
        }
        if (!out->unknown)
            out->unknown = ml_arena_array(scratch, (size_t)clients + 1, sizeof *out->unknown);
        if (!out->unknown)
            return ML_ELIMIT;
        out->unknown[out->unknown_count++] = part.client;
    }
    return ML_OK;
}

/* What the journal has said of the ids that nobody here knows. */
static void take_others(const struct ml_claim_question *q, struct doubts *doubts)
{
    for (size_t i = 0; i < q->append.claim_count; i++)
        for (size_t k = 0; k < doubts->unknown_count && q->claims[i].is_taken; k++)
            if (doubts->unknown[k] == q->claims[i].client) {
                doubts->foreign = doubts->unknown[k];
                doubts->foreign_count++;
                doubts->unknown[k] = doubts->unknown[--doubts->unknown_count];
            }
}

/* Nodes share the store: on ML_OK all that it has is here, and the doubts are what is left. */
static enum ml_err resolve(struct ml_member *from, uint64_t message_no, struct doubts *doubts)
{
    const struct ml_claim_question *q = from->question;

    if (!q || q->message_no != message_no) {
        ml_member_drop_question(from);
        return ask(from, message_no, doubts->unknown, doubts->unknown_count);
    }
    if (from->room->head < q->append.head) {
        ml_room_fill(from->room);
        return ml_member_wait(from);
    }
    take_others(q, doubts);
    return ML_OK;
}

static enum ml_err keep(struct ml_room *room, const uint64_t *ids, size_t count)
{
    if (!count)
        return ML_OK;
    room->claiming.ids = malloc(count * sizeof *ids);
    if (!room->claiming.ids)
        return ML_ELIMIT;
    memcpy(room->claiming.ids, ids, count * sizeof *ids);
    room->claiming.count = count;
    return ML_OK;
}

/**
 * May this member bring these structs? On ML_OK the room knows what the update claims, until it is
 * staged or forgotten. The document is awake. Cost for an id that is the member's: one look into
 * the document's clients and one into the table.
 *
 * @retval ML_EBUSY    the journal is asked, the member waits
 * @retval ML_EDENIED  strict, and it has new structs under somebody else's id: fenced
 * @retval ML_ELIMIT   more ids than a document may have, or no memory
 */
enum ml_err ml_room_judge(struct ml_member *from, const struct ml_update *update,
                          uint64_t message_no, struct ml_arena *scratch)
{
    struct ml_room *room = from->room;
    struct doubts doubts;
    bool strict = false;
    enum ml_err err;

    ml_room_forget_claiming(room);
    if (from->question && !from->question->is_answered)
        return ml_member_wait(from);
    err = look(from, update, scratch, &doubts);
    if (err)
        return err;
    if (doubts.unknown_count || doubts.foreign_count) {
        strict = is_strict(room) && !from->port->is_own;
        if (room->claims.count + doubts.unknown_count > ML_CLAIMS_MAX)
            return ML_ELIMIT;
        if (strict && has_others(room))
            err = resolve(from, message_no, &doubts);
        if (err)
            return err;
    }
    ml_member_drop_question(from);
    if (doubts.foreign_count && strict)
        return refuse(from, message_no, doubts.foreign);
    room->claiming.is_relayed = doubts.foreign_count > 0;
    room->rooms->stats.relayed += room->claiming.is_relayed;
    return may_claim(from) ? keep(room, doubts.unknown, doubts.unknown_count) : ML_OK;
}

/* ---- From the update to the append ----------------------------------------------------------- */

void ml_room_forget_claiming(struct ml_room *room)
{
    free(room->claiming.ids);
    room->claiming = (struct ml_claiming){0};
}

/** The entry is the update that was judged last: it claims. False: no memory, nothing changed. */
bool ml_room_take_claiming(struct ml_room *room, struct ml_staged *entry, struct ml_slice user)
{
    size_t count = room->claiming.count;

    if (!count)
        return true;
    entry->claims = calloc(count, sizeof *entry->claims);
    if (!entry->claims)
        return false;
    for (size_t i = 0; i < count; i++) {
        entry->claims[i] = (struct ml_claim){.client = room->claiming.ids[i], .user = user};
        if (!ml_owners_put(&room->claims, room->claiming.ids[i], user)) {
            free(entry->claims);
            entry->claims = NULL;
            return false;
        }
    }
    entry->claim_count = count;
    ml_room_forget_claiming(room);
    return true;
}

static bool claim_own(struct ml_room *room, struct ml_staged *entry, uint64_t client)
{
    struct ml_claim *longer;
    struct ml_slice owner;

    if (!client || ml_owners_find(&room->claims, client, &owner))
        return true;
    longer = realloc(entry->claims, (entry->claim_count + 1) * sizeof *longer);
    if (!longer)
        return false;
    entry->claims = longer;
    longer[entry->claim_count++] = (struct ml_claim){.client = client, .user = ML_SLICE("")};
    return ml_owners_put(&room->claims, client, ML_SLICE(""));
}

/**
 * The entry has, or may have, something that the server wrote under the document's own id.
 * @param before  what that was before the update went in; 0: the same
 */
bool ml_room_claim_own(struct ml_room *room, struct ml_staged *entry, uint64_t before)
{
    return claim_own(room, entry, before) && claim_own(room, entry, ml_doc_client(room->doc));
}

/** The claims of everything that is sent, for the append. False: no memory. */
bool ml_room_gather_claims(struct ml_room *room, struct ml_claim **out, size_t *count_out)
{
    struct ml_claim *all = NULL;
    size_t count = 0;

    *out = NULL;
    *count_out = 0;
    ML_LIST_EACH(node, &room->sent)
    count += ML_CONTAINER(node, struct ml_staged, node)->claim_count;
    if (!count)
        return true;
    all = malloc(count * sizeof *all);
    if (!all)
        return false;
    ML_LIST_EACH(node, &room->sent)
    {
        const struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

        if (entry->claim_count)
            memcpy(all + *count_out, entry->claims, entry->claim_count * sizeof *all);
        *count_out += entry->claim_count;
    }
    *out = all;
    return true;
}

/** What others had claimed before is not ours; whose it is we shall be told when it counts. */
void ml_room_settle_claims(struct ml_room *room, const struct ml_append *append)
{
    for (size_t i = 0; i < append->claim_count; i++) {
        if (!append->claims[i].is_taken)
            continue;
        ml_log(ML_LOG_INFO, "author.taken", "org=%.*s doc=%s client=%llu", ML_PRINT(room->org),
               ML_LOG_TEXT(room->name), (unsigned long long)append->claims[i].client);
        ml_owners_forget(&room->claims, append->claims[i].client);
    }
}

/** What was loaded with the document. False: no memory. */
bool ml_room_load_claims(struct ml_room *room, const struct ml_load *load)
{
    struct ml_reader in =
        ml_reader_make(load->claims ? ml_blob_slice(load->claims) : ml_slice_make(NULL, 0));
    struct ml_claim claim;

    ml_owners_release(&room->claims);
    while (ml_claims_next(&in, &claim))
        if (!ml_owners_put(&room->claims, claim.client, claim.user))
            return false;
    return true;
}
