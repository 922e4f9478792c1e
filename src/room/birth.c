/* SPDX-License-Identifier: MIT */
/*
 *   load_document --> bytes? --yes--> checked ---------------------------+
 *        |                                                               v
 *        +-- no --> may they? --> create_document, writes into a --> append with `creates`
 *                                 document of nobody else
 *
 * Nothing is shown to anybody before the append is through, and what a plugin could not say is
 * nothing: a document that failed to load is not made empty in its place. Two nodes may ask their
 * plugins about the same name; one record wins, the other node reads it.
 */
#include "base/log.h"
#include "room/live.h"

#include <stdio.h>
#include <stdlib.h>

#define AUTHOR_MAX 256

struct work {
    struct ml_rooms *rooms;
    struct ml_birth *birth;
    struct ml_identity identity;
    struct ml_doc *doc;
    struct ml_append append;
    struct ml_record record;
    char author[AUTHOR_MAX], session[24]; /* of the record */
    bool is_imported;
};

static struct ml_script *script_of(struct ml_rooms *rooms, struct ml_slice org,
                                   struct ml_slice name)
{
    return rooms->env.cells ? ml_cells_script(rooms->env.cells, org, name) : rooms->env.script;
}

bool ml_rooms_birth_is_asked(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name)
{
    struct ml_script *script = script_of(rooms, org, name);

    return script &&
           (ml_script_hooks(script) & (ML_HOOK_LOAD_DOCUMENT | ML_HOOK_CREATE_DOCUMENT)) != 0;
}

static void end(struct work *work, const struct ml_birth_result *result)
{
    struct ml_birth *birth = work->birth;

    work->rooms->keeping_count--;
    ml_blob_unref(work->record.bytes);
    ml_doc_free(work->doc);
    free(work);
    birth->done(birth, result);
}

static void fail(struct work *work, enum ml_err err, const struct ml_denial *denial)
{
    static const struct ml_denial none;
    const struct ml_birth_result result = {
        .err = err, .denial = denial ? denial : &none, .is_asked = true};

    end(work, &result);
}

/* ---- the record -------------------------------------------------------------------------------
 */

static void on_appended(struct ml_append *append)
{
    static const struct ml_denial none;
    struct work *work = ML_CONTAINER(append, struct work, append);
    const struct ml_birth_result result = {
        .err = append->err,
        .denial = &none,
        .is_imported = work->is_imported,
        .is_asked = true,
        .head = append->head,
    };

    if (!append->err)
        ml_log(ML_LOG_INFO, "document.created", "org=%s doc=%s by=%s%s", ML_LOG_TEXT(append->org),
               ML_LOG_TEXT(append->name), ML_LOG_TEXT(ml_slice_str(work->author)),
               work->is_imported ? " imported=1" : "");
    end(work, &result);
}

static void append(struct work *work)
{
    struct ml_rooms *rooms = work->rooms;
    struct ml_writer state;
    enum ml_err err;

    ml_writer_init(&state, SIZE_MAX / 4);
    err = ml_doc_encode_state(work->doc, ml_slice_make(NULL, 0), &state);
    if (!err)
        err = state.err;
    if (!err && state.len > rooms->env.limits.document_bytes)
        err = ML_ELIMIT;
    if (!err) {
        work->record = (struct ml_record){
            .bytes = ml_blob_new(ml_writer_slice(&state)),
            .author = ml_slice_str(work->author),
            .session = ml_slice_str(work->session),
            .message_no = 1,
            .at_ms = rooms->env.wall_ms(rooms->env.arg),
        };
        err = work->record.bytes ? ML_OK : ML_EBUSY;
    }
    /* An empty document is two zero bytes, and no record. */
    work->append = (struct ml_append){
        .org = work->birth->org,
        .name = work->birth->name,
        .records = &work->record,
        .count = state.len > 2,
        .expected_head = ML_SEQ_ANY,
        .creates = true,
        .done = on_appended,
    };
    ml_writer_release(&state);
    if (err)
        fail(work, err, NULL);
    else
        ml_journal_append(rooms->env.journal, &work->append);
}

/* ---- create_document --------------------------------------------------------------------------
 */

static enum ml_err fresh_doc(struct work *work, struct ml_slice bytes)
{
    const struct ml_room_env *env = &work->rooms->env;
    const struct ml_doc_options options = {.client = (env->random(env->arg) & UINT32_MAX) | 1,
                                           .limits = env->limits.engine};

    work->doc = ml_doc_new(&options);
    if (!work->doc)
        return ML_EBUSY;
    return bytes.len ? ml_doc_apply_bytes(work->doc, bytes, NULL) : ML_OK;
}

/* Something of it would wait for what never comes. */
static bool has_holes(const struct ml_doc *doc)
{
    struct ml_doc_stats stats;

    ml_doc_stats(doc, &stats);
    return stats.pending_structs || stats.pending_deletes;
}

static void on_created(void *arg, const struct ml_birth_answer *answer)
{
    struct work *work = arg;

    if (answer->err)
        fail(work, answer->err, &answer->denial);
    else if (ml_doc_is_broken(work->doc))
        fail(work, ML_EBUSY, NULL);
    else
        append(work);
}

static void ask_to_create(struct work *work, struct ml_script *script)
{
    const struct ml_birth *birth = work->birth;
    struct ml_who *who = birth->identity ? ml_who_new(&work->identity) : NULL;
    struct ml_script_identity identity = {0};
    struct ml_script_birth facts = {
        .org = birth->org,
        .document = birth->name,
        .identity = who ? &identity : NULL,
        .template = birth->template,
        .doc = work->doc,
    };

    if (birth->identity && !who) {
        fail(work, ML_EBUSY, NULL);
        return;
    }
    if (who) {
        const struct ml_scope *scope = ml_who_scope(who);

        identity = (struct ml_script_identity){
            .user = scope->user,
            .name = scope->user_name,
            .session = scope->session,
            .roles = scope->roles,
            .role_count = scope->role_count,
            .groups = scope->groups,
            .group_count = scope->group_count,
            .kind = scope->kind,
        };
    }
    ml_script_create_document(script, &facts, on_created, work);
    ml_who_unref(who);
}

static void create(struct work *work)
{
    static const struct ml_birth_result nothing = {.is_asked = false};
    struct ml_birth *birth = work->birth;
    struct ml_script *script = script_of(work->rooms, birth->org, birth->name);
    bool is_asked = script && (ml_script_hooks(script) & ML_HOOK_CREATE_DOCUMENT);
    enum ml_err err;

    if (!is_asked && !birth->is_wanted) {
        end(work, &nothing);
        return;
    }
    if (!birth->may_create) {
        fail(work, ML_EDENIED, NULL);
        return;
    }
    err = fresh_doc(work, birth->content);
    if (err)
        fail(work, err, NULL);
    else if (is_asked)
        ask_to_create(work, script);
    else
        append(work);
}

/* ---- load_document ----------------------------------------------------------------------------
 */

static void on_brought(void *arg, const struct ml_birth_answer *answer)
{
    struct work *work = arg;
    enum ml_err err;

    if (answer->err || !answer->bytes.ptr) {
        if (answer->err)
            fail(work, answer->err, &answer->denial);
        else
            create(work);
        return;
    }
    err = fresh_doc(work, answer->bytes);
    if (!err && has_holes(work->doc))
        err = ML_EFORMAT;
    if (err) {
        ml_log(ML_LOG_ERROR, "document.unreadable", "org=%s doc=%s plugin=%s err=%s",
               ML_LOG_TEXT(work->birth->org), ML_LOG_TEXT(work->birth->name),
               ML_LOG_TEXT(answer->plugin), ml_err_name(err));
        fail(work, ML_ESCRIPT, NULL);
        return;
    }
    work->is_imported = true;
    (void)snprintf(work->author, sizeof work->author, "plugin:%.*s", ML_PRINT(answer->plugin));
    append(work);
}

void ml_rooms_birth(struct ml_rooms *rooms, struct ml_birth *birth)
{
    static const struct ml_denial none;
    const struct ml_birth_result busy = {.err = ML_EBUSY, .denial = &none};
    struct ml_script *script;
    struct work *work = calloc(1, sizeof *work);

    if (!work) {
        birth->done(birth, &busy);
        return;
    }
    work->rooms = rooms;
    work->birth = birth;
    rooms->keeping_count++;
    if (birth->identity)
        work->identity = *birth->identity;
    (void)snprintf(work->author, sizeof work->author, "%s", work->identity.user);
    /* Not that of who asked: its own messages are numbered from 1, too. */
    (void)snprintf(work->session, sizeof work->session, "~%016llx",
                   (unsigned long long)rooms->env.random(rooms->env.arg));
    script = script_of(rooms, birth->org, birth->name);
    if (script)
        ml_script_load_document(script, birth->org, birth->name, on_brought, work);
    else
        create(work);
}
