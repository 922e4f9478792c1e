/* SPDX-License-Identifier: MIT */
/*
 * Back to an old state, and what lies between two of them.
 *
 *   restore:  which seq --> its state --> version of what is there now --> revert (worker)
 *                                           --> room, as an edit of who asks --> committed
 *
 * Nothing of the history is lost: what was there before the restore stands in it, and under a
 * version of its own. What others write meanwhile is merged like any edit.
 */
#include "net/api_versions.h"
#include "net/fields.h"

#include "base/assert.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#define STATE_MAX (512u << 20)

struct restoring {
    struct ml_call *call;
    struct ml_version_search search;
    struct ml_reading old, now;
    struct ml_versioning before;
    struct ml_writing writing;
    struct ml_writer state, update;
    uint64_t seq, expected_seq;
    int64_t at_ms;
    bool is_conditional;
};

static void release(struct restoring *restoring)
{
    ml_writer_release(&restoring->state);
    ml_writer_release(&restoring->update);
}

/* `reading` has failed: answer, and nothing was changed. */
static void fail(struct restoring *restoring, const struct ml_reading *reading)
{
    struct ml_call *call = restoring->call;

    release(restoring);
    if (reading->load.is_compacted)
        ml_call_error(call, 410, "compacted", "That moment is not kept any more.");
    else if (reading->err)
        ml_call_failed(call, reading->err);
    else if (reading->exists)
        ml_call_error(call, 404, "no_moment", "The document has no such record.");
    else
        ml_call_error(call, 404, "not_found", "There is no such document.");
}

/* ---- the edit -------------------------------------------------------------------------------- */

static void answer(struct restoring *restoring, uint64_t seq)
{
    struct ml_call *call = restoring->call;
    struct ml_writer body;
    char fields[64];

    ml_call_audit(call, "document.restored", call->name, "ok");
    ml_log(ML_LOG_INFO, "document.restored",
           "org=%s doc=%s from=%" PRIu64 " seq=%" PRIu64 " user=%s", ML_LOG_TEXT(call->org),
           ML_LOG_TEXT(call->name), restoring->old.seq, seq,
           ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
    ml_writer_init(&body, 256);
    ml_http_print(&body,
                  "{\"seq\":%" PRIu64 ",\"restored_seq\":%" PRIu64 ",\"before\":%" PRIu64 "}", seq,
                  restoring->old.seq, restoring->before.put.version);
    (void)snprintf(fields, sizeof fields, "ETag: \"%" PRIu64 "\"\r\n", seq);
    release(restoring);
    ml_call_json(call, 200, fields, &body);
}

static void on_written(struct ml_writing *writing)
{
    struct restoring *restoring = ML_CONTAINER(writing, struct restoring, writing);

    if (writing->err || writing->refused) {
        release(restoring);
        ml_call_written(restoring->call, writing);
        return;
    }
    ml_arena_release(&writing->arena);
    answer(restoring, writing->seq);
}

static ml_client_id random_client(void)
{
    ml_client_id client = 0;

    ML_ASSERT(getrandom(&client, sizeof client, 0) == (ssize_t)sizeof client);
    return (client & UINT32_MAX) | 1;
}

/* A worker's thread. */
static enum ml_err revert(struct ml_reading *reading, struct ml_doc *doc)
{
    struct restoring *restoring = ML_CONTAINER(reading, struct restoring, now);

    return ml_doc_revert(doc, ml_writer_slice(&restoring->state), random_client(),
                         &restoring->update, &reading->diag);
}

static void on_reverted(struct ml_reading *reading)
{
    struct restoring *restoring = ML_CONTAINER(reading, struct restoring, now);
    struct ml_call *call = restoring->call;

    if (reading->err || !reading->exists) {
        fail(restoring, reading);
        return;
    }
    restoring->writing = (struct ml_writing){
        .org = call->org,
        .name = call->name,
        .bytes = ml_writer_slice(&restoring->update),
        .identity = &call->visitor.identity,
        .grant = &call->visitor.grant,
        .is_conditional = restoring->is_conditional,
        .is_own = true,
        .expected_seq = restoring->expected_seq,
        .done = on_written,
    };
    ml_writing_start(call->net, &restoring->writing);
}

/* ---- what is there now gets a version -------------------------------------------------------- */

static void on_before(struct ml_versioning *before)
{
    struct restoring *restoring = ML_CONTAINER(before, struct restoring, before);

    if (before->err) {
        release(restoring);
        ml_call_not_versioned(restoring->call, before);
        return;
    }
    restoring->now = (struct ml_reading){
        .org = restoring->call->org,
        .name = restoring->call->name,
        .work = revert,
        .done = on_reverted,
    };
    ml_reading_start(restoring->call->net, &restoring->now);
}

/* A worker's thread. */
static enum ml_err keep_state(struct ml_reading *reading, struct ml_doc *doc)
{
    struct restoring *restoring = ML_CONTAINER(reading, struct restoring, old);
    enum ml_err err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &restoring->state);

    return err ? err : restoring->state.err;
}

static void on_old(struct ml_reading *reading)
{
    struct restoring *restoring = ML_CONTAINER(reading, struct restoring, old);
    struct ml_call *call = restoring->call;
    char labels[128];

    if (reading->err || !reading->exists || !reading->seq ||
        (restoring->seq && reading->seq != restoring->seq)) {
        fail(restoring, reading);
        return;
    }
    (void)snprintf(labels, sizeof labels, "{\"reason\":\"before restoring %" PRIu64 "\"}",
                   reading->seq);
    restoring->before = (struct ml_versioning){
        .org = call->org,
        .name = call->name,
        .author = ml_slice_str(call->visitor.identity.user),
        .labels = ml_arena_copy(&call->arena, ml_slice_str(labels)),
        .done = on_before,
    };
    ml_versioning_start(call->net, &restoring->before);
}

static void read_old(struct restoring *restoring)
{
    restoring->old = (struct ml_reading){
        .org = restoring->call->org,
        .name = restoring->call->name,
        .until_seq = restoring->seq,
        .until_ms = restoring->at_ms,
        .work = keep_state,
        .done = on_old,
    };
    ml_reading_start(restoring->call->net, &restoring->old);
}

static void on_found(struct ml_version_search *search, const struct ml_version *version)
{
    struct restoring *restoring = ML_CONTAINER(search, struct restoring, search);

    restoring->seq = version->seq;
    read_old(restoring);
}

/* ---- POST …/restore -------------------------------------------------------------------------- */

/* {"version": name or number} or {"seq"}. False: answered. */
static bool read_wish(struct ml_call *call, struct ml_slice *version_out, uint64_t *seq_out)
{
    static const char *const known[] = {"seq", "version", NULL};
    struct ml_slice any, seq, version;
    bool has_seq, has_version;
    uint64_t number;
    char text[24];

    if (!ml_call_body(call, known, &any))
        return false;
    has_seq = ml_fields_get(any, "seq", &seq);
    has_version = ml_fields_get(any, "version", &version);
    *version_out = ml_slice_make(NULL, 0);
    *seq_out = 0;
    if (has_seq && !has_version && ml_fields_number(seq, seq_out) && *seq_out)
        return true;
    if (has_version && !has_seq && ml_fields_text(version, version_out) && version_out->len)
        return true;
    if (has_version && !has_seq && ml_fields_number(version, &number) && number) {
        (void)snprintf(text, sizeof text, "%" PRIu64, number);
        *version_out = ml_arena_copy(&call->arena, ml_slice_str(text));
        return true;
    }
    ml_call_error(call, 400, "bad_moment", "The body is {\"seq\": 12} or {\"version\": \"name\"}.");
    return false;
}

void ml_api_restore(struct ml_call *call)
{
    struct restoring *restoring = ml_arena_alloc(&call->arena, sizeof *restoring);
    struct ml_slice version;

    if (!restoring) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *restoring = (struct restoring){.call = call};
    if (!ml_call_if_match(call, &restoring->is_conditional, &restoring->expected_seq) ||
        !read_wish(call, &version, &restoring->seq))
        return;
    ml_writer_init(&restoring->state, STATE_MAX);
    ml_writer_init(&restoring->update, STATE_MAX);
    if (version.ptr) {
        ml_version_search_start(&restoring->search, call, version, on_found);
    } else {
        ml_call_wait(call);
        read_old(restoring);
    }
}

/* ---- GET …/changes --------------------------------------------------------------------------- */

struct comparing {
    struct ml_call *call;
    struct ml_reading from, to;
    struct ml_slice root;
    struct ml_writer state, out;
};

static void comparison_failed(struct comparing *comparing, const struct ml_reading *reading)
{
    struct ml_call *call = comparing->call;

    ml_writer_release(&comparing->state);
    ml_writer_release(&comparing->out);
    if (reading->load.is_compacted)
        ml_call_error(call, 410, "compacted", "That moment is not kept any more.");
    else if (reading->err)
        ml_call_failed(call, reading->err);
    else
        ml_call_error(call, 404, "not_found", "There is no such document.");
}

static void on_compared(struct ml_reading *reading)
{
    struct comparing *comparing = ML_CONTAINER(reading, struct comparing, to);

    if (reading->err || !reading->exists) {
        comparison_failed(comparing, reading);
        return;
    }
    ml_writer_release(&comparing->state);
    ml_call_json(comparing->call, 200, "", &comparing->out);
}

/*
 * A worker's thread. The old state goes into a document that keeps what is deleted, and then what
 * has happened since: so what was deleted since is still there to be shown.
 */
static enum ml_err compare(struct ml_reading *reading, struct ml_doc *doc)
{
    struct comparing *comparing = ML_CONTAINER(reading, struct comparing, to);
    struct ml_doc *both = ml_doc_new(&(struct ml_doc_options){.keep_deleted = true});
    struct ml_writer later, bytes[2];
    struct ml_arena scratch;
    const struct ml_snapshot *moment[2];
    enum ml_err err = both ? ML_OK : ML_ELIMIT;

    ml_arena_init(&scratch, STATE_MAX);
    ml_writer_init(&later, STATE_MAX);
    for (int i = 0; i < 2; i++)
        ml_writer_init(&bytes[i], STATE_MAX);
    if (!err)
        err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &later);
    for (int i = 0; !err && i < 2; i++) {
        err = ml_doc_apply_bytes(both, ml_writer_slice(i ? &later : &comparing->state),
                                 &reading->diag);
        if (!err)
            err = ml_doc_snapshot(both, ML_UPDATE_V1, &bytes[i]);
        if (!err)
            err = ml_snapshot_decode(&scratch, ml_writer_slice(&bytes[i]), ML_UPDATE_V1, NULL,
                                     &reading->diag, &moment[i]);
    }
    if (!err)
        err = ml_doc_read_changes(both, moment[0], moment[1], comparing->root, &comparing->out,
                                  &reading->diag);
    for (int i = 0; i < 2; i++)
        ml_writer_release(&bytes[i]);
    ml_writer_release(&later);
    ml_arena_release(&scratch);
    ml_doc_free(both);
    return err;
}

static void on_from(struct ml_reading *reading)
{
    struct comparing *comparing = ML_CONTAINER(reading, struct comparing, from);

    if (reading->err || !reading->exists)
        comparison_failed(comparing, reading);
    else
        ml_reading_start(reading->net, &comparing->to);
}

static enum ml_err keep_from(struct ml_reading *reading, struct ml_doc *doc)
{
    struct comparing *comparing = ML_CONTAINER(reading, struct comparing, from);
    enum ml_err err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &comparing->state);

    return err ? err : comparing->state.err;
}

void ml_api_changes(struct ml_call *call)
{
    struct comparing *comparing = ml_arena_alloc(&call->arena, sizeof *comparing);
    struct ml_slice root = ml_call_parameter(call, "root");
    uint64_t from, to;

    if (!comparing) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    if (!ml_call_number(call, "from", 1, ML_VARUINT_MAX, 0, &from) ||
        !ml_call_number(call, "to", 1, ML_VARUINT_MAX, 0, &to))
        return;
    if (!from || (to && to < from)) {
        ml_call_error(call, 400, "bad_query", "from is a seq, and to is none before it.");
        return;
    }
    *comparing = (struct comparing){
        .call = call,
        .root = root.ptr ? root : ML_SLICE("content"),
        .from = {.org = call->org,
                 .name = call->name,
                 .until_seq = from,
                 .work = keep_from,
                 .done = on_from},
        .to = {.org = call->org,
               .name = call->name,
               .until_seq = to,
               .work = compare,
               .done = on_compared},
    };
    ml_writer_init(&comparing->state, STATE_MAX);
    ml_writer_init(&comparing->out, STATE_MAX);
    ml_call_wait(call);
    ml_reading_start(call->net, &comparing->from);
}
