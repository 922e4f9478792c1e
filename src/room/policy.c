/* SPDX-License-Identifier: MIT */
/*
 * Step 7 of the keystroke: what may become of an update.
 *
 *   grant by path (C) -> authorize_edit -> before_update        each sees the edits as left by
 * those |                    |                 |               before it
 *        +--------- edits refused, removed, rewritten ---> verdict (ml_doc_apply), notices
 *                             |                 |
 *                       a plugin fails: held    all of it denied: undone, or the member is fenced
 *
 * Nobody is told anything before all have answered: what is held is decided anew, from the start.
 */
#include "room/live.h"

#define HOLD_FIRST_MS   100
#define HOLD_MAX_MS     5000
#define HOLD_GIVE_UP_MS 30000
#define UNDOS_A_MINUTE  50
#define UNDO_WINDOW_MS  60000
#define NOTICES_MAX     16 /* of one update: what has other reasons is told with the last */
#define NOTICE_PATHS    32
#define PATH_MAX_BYTES  (1u << 20)

/* A plugin cannot answer: the message waits with a growing pause, then the client is sent away with
 * it. */
static enum ml_err hold(struct ml_member *member)
{
    uint64_t now = ml_room_now(member->room);

    if (!member->held_since_ms) {
        member->held_since_ms = now;
        member->retry_ms = HOLD_FIRST_MS;
    } else if (now - member->held_since_ms > HOLD_GIVE_UP_MS) {
        ml_member_close(member, ML_CLOSE_TRY_LATER, "policy_unavailable");
    } else if (member->retry_ms < HOLD_MAX_MS) {
        member->retry_ms *= 2;
    }
    member->retry_at_ms = now + member->retry_ms;
    ml_room_hurry(member->room);
    return ml_member_wait(member);
}

/* A refusal costs bytes for ever: after too many the member is fenced instead. */
static bool may_undo(struct ml_member *member)
{
    uint64_t now = ml_room_now(member->room);

    if (now - member->undo_window_ms > UNDO_WINDOW_MS) {
        member->undo_window_ms = now;
        member->undos = 0;
    }
    return ++member->undos <= UNDOS_A_MINUTE;
}

struct ml_scope ml_member_scope(struct ml_member *from, bool is_reply)
{
    struct ml_room *room = from->room;
    const struct ml_scope *author = ml_member_author(from);
    struct ml_scope scope = {0};

    if (author)
        scope = *author;
    scope.org = room->org;
    scope.document = room->name;
    scope.user = ml_slice_str(from->identity.user);
    scope.user_name = ml_slice_str(from->identity.name);
    scope.session = ml_slice_str(from->identity.session);
    scope.doc = room->doc;
    scope.port = &room->port;
    scope.origin = is_reply ? "sync" : "client";
    return scope;
}

/* ---- Telling the writer ------------------------------------------------------------------------
 */

static bool is_same(const struct ml_denial *a, const struct ml_denial *b)
{
    return ml_slice_equal(a->code, b->code) && ml_slice_equal(a->reason, b->reason);
}

/* Where an edit is, its key included. Empty: no memory. */
static struct ml_slice place_of(const struct ml_effect *effect, struct ml_arena *scratch)
{
    struct ml_writer path;
    struct ml_slice copy;

    if (!effect->key.ptr)
        return effect->path;
    ml_writer_init(&path, PATH_MAX_BYTES);
    ml_effect_write_path(effect, false, &path);
    copy = path.err ? ml_slice_make("", 0) : ml_arena_copy(scratch, ml_writer_slice(&path));
    ml_writer_release(&path);
    return copy;
}

static void add_place(struct ml_slice *places, size_t *count, struct ml_slice place)
{
    for (size_t i = 0; i < *count; i++)
        if (ml_slice_equal(places[i], place))
            return;
    if (place.len && *count < NOTICE_PATHS)
        places[(*count)++] = place;
}

static void tell(struct ml_member *member, const struct ml_notice *notice)
{
    if (member->port->refused)
        member->port->refused(member->port, notice);
}

/* One notice for each reason. */
static void tell_refusals(struct ml_member *member, const struct ml_ruling *ruling,
                          uint64_t message_no)
{
    const struct ml_script_update *u = &ruling->update;
    size_t told = 0;

    for (size_t i = 0; i < u->refusal_count && told < NOTICES_MAX; i++) {
        const struct ml_denial *denial = &u->refusals[i].denial;
        struct ml_slice places[NOTICE_PATHS];
        struct ml_notice notice = {.denial = denial, .message_no = message_no, .paths = places};
        bool is_first = true;

        for (size_t k = 0; k < i && is_first; k++)
            is_first = !is_same(&u->refusals[k].denial, denial);
        if (!is_first)
            continue;
        for (size_t k = i; k < u->refusal_count && notice.path_count < NOTICE_PATHS; k++)
            if (is_same(&u->refusals[k].denial, denial) || told == NOTICES_MAX - 1)
                add_place(places, &notice.path_count,
                          place_of(ml_effects_at(u->effects, u->refusals[k].edit), u->scratch));
        tell(member, &notice);
        told++;
    }
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

static enum ml_err ask(struct ml_script *script, const struct ml_scope *scope,
                       struct ml_script_update *update, struct ml_denial *denial)
{
    uint64_t hooks = ml_script_hooks(script);
    enum ml_err err = ML_OK;

    if (hooks & ML_HOOK_AUTHORIZE_EDIT)
        err = ml_script_authorize_edit(script, scope, update, denial);
    if (!err && (hooks & ML_HOOK_BEFORE_UPDATE))
        err = ml_script_before_update(script, scope, update, denial);
    return err;
}

/* All of it is refused, or too much was. */
static enum ml_err fence(struct ml_member *from, const struct ml_denial *denial,
                         uint64_t message_no)
{
    struct ml_notice notice = {.denial = denial, .message_no = message_no, .is_fenced = true};

    tell(from, &notice);
    from->grant.may &= ~(unsigned)ML_MAY_WRITE;
    return ML_EDENIED;
}

/* What the answers mean together. */
static enum ml_err settle(struct ml_member *from, struct ml_ruling *ruling, uint64_t message_no,
                          const struct ml_denial *denial)
{
    const struct ml_script_update *u = &ruling->update;

    if (!denial && !u->refusal_count)
        return ML_OK;
    from->room->rooms->stats.refused++;
    if ((denial && denial->fence) || !may_undo(from))
        return fence(from, denial ? denial : &u->refusals[0].denial, message_no);
    ruling->verdict.undo_all = denial != NULL;
    if (denial) {
        struct ml_notice notice = {.denial = denial, .message_no = message_no};

        tell(from, &notice);
    } else {
        tell_refusals(from, ruling, message_no);
    }
    return ML_OK;
}

bool ml_ruling_is_plain(const struct ml_ruling *ruling)
{
    return !ruling->verdict.undo_all && !ruling->verdict.undo_waiting &&
           !ml_script_update_is_judged(&ruling->update);
}

/* ---- What the grant says -----------------------------------------------------------------------
 */

/* Is it one that may be proposed, and a proposal? */
static enum ml_err check_proposal(const struct ml_member *from, struct ml_script_update *update,
                                  const struct ml_effect *effect, const struct ml_grant_edit *edit,
                                  bool *is_out)
{
    struct ml_proposer who = {.author = ml_slice_str(from->identity.user)};

    *is_out = false;
    if (!ml_grant_allows_proposal(&from->grant, edit, &who.added, &who.removed))
        return ML_OK;
    return ml_effect_is_proposal(update->effects, effect, &who, is_out);
}

/* What somebody who may only propose is told of everything else. */
static const struct ml_denial not_allowed = {
    .code = {(const uint8_t *)"grant.not_allowed", 17},
    .reason = {(const uint8_t *)"You may not change this part of the document.", 45},
};

/*
 * No proposal as it is; can a plugin make one of it? Of texts, and of a text that comes into an
 * element.
 */
static bool may_become_proposal(const struct ml_member *from, const struct ml_effect *effect,
                                const struct ml_grant_edit *edit)
{
    struct ml_slice added, removed;
    bool is_text = effect->kind <= ML_EFFECT_TEXT_FORMAT ||
                   (effect->kind == ML_EFFECT_XML_INSERT && !effect->tag.ptr);

    return is_text && !effect->key.ptr &&
           ml_grant_allows_proposal(&from->grant, edit, &added, &removed);
}

/* `defers`: a plugin will be asked that makes proposals. */
static enum ml_err check_edit(const struct ml_member *from, struct ml_script_update *update,
                              size_t number, bool defers, struct ml_writer *path,
                              struct ml_writer *by_id)
{
    const struct ml_effect *effect = ml_effects_at(update->effects, number);
    struct ml_denial denial = {0};
    struct ml_grant_edit edit = {.kinds = ml_script_edit_bits(effect)};
    bool is_proposal;

    /* Who sent what waited had to be allowed to, then. */
    if (effect->waited)
        return ML_OK;
    ml_writer_reset(path);
    ml_writer_reset(by_id);
    ml_effect_write_path(effect, false, path);
    if (effect->path_by_id.ptr)
        ml_effect_write_path(effect, true, by_id);
    if (path->err || by_id->err)
        return ML_ELIMIT;
    edit.path = ml_writer_slice(path);
    if (effect->path_by_id.ptr)
        edit.path_by_id = ml_writer_slice(by_id);
    if (ml_grant_allows_edit(&from->grant, &edit, &denial.code, &denial.reason))
        return ML_OK;
    if (!denial.code.len) {
        enum ml_err err = check_proposal(from, update, effect, &edit, &is_proposal);

        if (err || is_proposal)
            return err;
        if (defers && may_become_proposal(from, effect, &edit))
            return ml_script_update_owe(update, number, &not_allowed);
        denial = not_allowed;
    }
    return ml_script_update_refuse(update, number, &denial);
}

/*
 * Every edit against the rules of the member's grant. What cannot be told yet, because something it
 * stands beside is missing, is not let in later under somebody else's name: it is refused now.
 */
static enum ml_err check_grant(struct ml_member *from, bool defers, struct ml_ruling *ruling)
{
    struct ml_script_update *update = &ruling->update;
    struct ml_writer path, by_id;
    enum ml_err err = ml_script_update_look(update);

    if (err)
        return err;
    ruling->verdict.undo_waiting = ml_effects_wait(update->effects);
    ml_writer_init(&path, PATH_MAX_BYTES);
    ml_writer_init(&by_id, PATH_MAX_BYTES);
    for (size_t n = 0; n < ml_effects_count(update->effects) && !err; n++)
        err = check_edit(from, update, n, defers, &path, &by_id);
    ml_writer_release(&path);
    ml_writer_release(&by_id);
    /* A paragraph that is cut in two is not half a proposal. */
    if (!err && update->refusal_count)
        err = ml_script_update_refuse_owed(update);
    return err;
}

/* ---- All together ------------------------------------------------------------------------------
 */

bool ml_member_refuse(struct ml_member *member, const struct ml_denial *denial)
{
    if (ml_member_is_remote(member))
        return false;
    member->refusal = denial;
    return true;
}

enum ml_err ml_room_decide(struct ml_member *from, const struct ml_update *update,
                           struct ml_slice bytes, uint64_t message_no, bool is_reply,
                           struct ml_arena *scratch, struct ml_ruling *ruling)
{
    struct ml_room *room = from->room;
    bool has_hooks = ml_room_hooks(room) & (ML_HOOK_AUTHORIZE_EDIT | ML_HOOK_BEFORE_UPDATE);
    struct ml_script *script;
    struct ml_scope scope;
    struct ml_denial denial = {0};
    bool defers;
    enum ml_err err;

    ruling->verdict = (struct ml_verdict){0};
    ruling->amended = NULL;
    ml_script_update_init(&ruling->update, update, room->doc, scratch);
    if ((!has_hooks && !from->grant.rules.len && !from->refusal) ||
        ml_doc_contains(room->doc, update))
        return ML_OK;
    if (from->refusal)
        return settle(from, ruling, message_no, from->refusal);
    ruling->update.proposes = from->grant.rules.len && ml_grant_proposes(&from->grant);
    script = has_hooks ? ml_room_script(room) : NULL;
    defers = script && ruling->update.proposes && ml_script_proposes(script);
    err = from->grant.rules.len ? check_grant(from, defers, ruling) : ML_OK;
    if (!err && script) {
        scope = ml_member_scope(from, is_reply);
        err = ask(script, &scope, &ruling->update, &denial);
    }
    if (!err)
        err = ml_script_update_refuse_owed(&ruling->update);
    ruling->verdict.effects = ruling->update.effects;
    if (!err && ruling->update.amendment_count)
        err = ml_room_amend(room, script, &scope, bytes, ruling, &denial);
    if (script)
        ml_script_update_done(script, &ruling->update);
    if (err == ML_ESCRIPT)
        return hold(from);
    from->held_since_ms = from->retry_at_ms = 0;
    if (err && err != ML_EDENIED)
        return err;
    return settle(from, ruling, message_no, err ? &denial : NULL);
}
