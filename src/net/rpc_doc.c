/* SPDX-License-Identifier: MIT */
/*
 * A function of a plugin that is about a document: it reads a copy of what is committed, and what
 * it writes there is an edit of who calls: through the room like any member's, under the same grant
 * and hooks. The call is answered when that is committed.
 *
 *   turn (lane.h) --> read (worker) --> copy --> the function --> update --> room --> answered
 *                                                    | waits, or fails: nothing of it
 *                                                    v
 *                                                 next turn
 */
#include "net/rpc_doc.h"

#include "net/lane.h"
#include "script/script.h"

#include <inttypes.h>
#include <stdio.h>

#define STATE_BYTES_MAX ((size_t)16 << 20) /* it is built on the loop */

struct ml_rpc_doc {
    struct ml_turn turn;
    struct ml_call *call;
    ml_rpc_run run;
    ml_client_id client;
    struct ml_reading reading;
    struct ml_writer state, update, answer;
    struct ml_doc *doc;
    struct ml_draft draft;
    struct ml_writing writing;
};

static void release(struct ml_rpc_doc *job, bool is_known)
{
    ml_draft_release(&job->draft);
    ml_doc_free(job->doc);
    job->doc = NULL;
    ml_writer_release(&job->state);
    ml_writer_release(&job->update);
    ml_writer_release(&job->answer);
    ml_turn_end(&job->turn, is_known);
}

/* A worker's thread. Bytes change threads, documents do not. */
static enum ml_err encode(struct ml_reading *reading, struct ml_doc *doc)
{
    struct ml_rpc_doc *job = ML_CONTAINER(reading, struct ml_rpc_doc, reading);
    enum ml_err err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &job->state);

    return err ? err : job->state.err;
}

static enum ml_err build(struct ml_rpc_doc *job)
{
    const struct ml_doc_options options = {.client = job->client};
    const struct ml_doc_facts facts = {
        .seq = job->reading.seq, .epoch = 1, .bytes = job->state.len};
    enum ml_err err;

    job->doc = ml_doc_new(&options);
    if (!job->doc)
        return ML_ELIMIT;
    err = ml_doc_apply_bytes(job->doc, ml_writer_slice(&job->state), NULL);
    ml_writer_release(&job->state);
    ml_draft_init(&job->draft, job->doc, &facts);
    return err;
}

static void on_read(struct ml_reading *reading)
{
    struct ml_rpc_doc *job = ML_CONTAINER(reading, struct ml_rpc_doc, reading);
    struct ml_call *call = job->call;
    enum ml_err err = reading->err;

    if (!err && reading->exists && call->http)
        err = build(job);
    if (err) {
        release(job, true);
        ml_call_failed(call, err);
    } else if (!reading->exists || !call->http) { /* or nobody waits any more */
        release(job, true);
        ml_call_error(call, 404, "not_found", "There is no such document.");
    } else {
        job->run(call, job->doc, &job->draft.port);
    }
}

static void on_turn(struct ml_turn *turn, ml_client_id client)
{
    struct ml_rpc_doc *job = ML_CONTAINER(turn, struct ml_rpc_doc, turn);

    job->client = client;
    job->reading = (struct ml_reading){
        .org = job->call->org, .name = job->call->name, .work = encode, .done = on_read};
    ml_reading_start(job->call->net, &job->reading);
}

void ml_rpc_doc_start(struct ml_call *call, struct ml_rpc_doc **job_out, ml_rpc_run run)
{
    struct ml_rpc_doc *job = ml_arena_alloc(&call->arena, sizeof *job);

    if (!job) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *job = (struct ml_rpc_doc){.turn = {.run = on_turn}, .call = call, .run = run};
    ml_writer_init(&job->state, STATE_BYTES_MAX);
    ml_writer_init(&job->update, ML_API_IMPORT_MAX);
    ml_writer_init(&job->answer, ML_API_IMPORT_MAX);
    *job_out = job;
    ml_call_wait(call);
    if (!ml_turn_take(call->net, call->org, call->name, &job->turn))
        ml_call_error(call, 503, "overloaded", "Too much is waiting; try again later.");
}

void ml_rpc_doc_waits(struct ml_rpc_doc *job)
{
    if (!job->draft.count)
        release(job, true);
}

static void on_written(struct ml_writing *writing)
{
    struct ml_rpc_doc *job = ML_CONTAINER(writing, struct ml_rpc_doc, writing);
    struct ml_call *call = job->call;
    struct ml_writer answer = job->answer;
    char fields[64];

    ml_writer_init(&job->answer, 0);
    release(job, writing->err != ML_ECLOSED);
    if (writing->err || writing->refused) {
        ml_writer_release(&answer);
        ml_call_written(call, writing);
        return;
    }
    (void)snprintf(fields, sizeof fields, "ETag: \"%" PRIu64 "\"\r\n", writing->seq);
    ml_arena_release(&writing->arena);
    ml_call_json(call, 200, fields, &answer);
}

/* False: answered. */
static bool may_be_written(struct ml_rpc_doc *job)
{
    struct ml_call *call = job->call;

    if (ml_grant_allows(&call->visitor.grant, ML_MAY_WRITE))
        return true;
    release(job, true);
    ml_call_error(call, 403, "denied", "You may not write this document.");
    return false;
}

bool ml_rpc_doc_deliver(struct ml_rpc_doc *job, struct ml_slice value)
{
    struct ml_call *call = job->call;

    if (!job->draft.count)
        return false;
    if (!may_be_written(job))
        return true;
    ml_write_bytes(&job->answer, value);
    if (ml_draft_update(&job->draft, &call->arena, &job->update) || job->answer.err) {
        release(job, true);
        ml_call_error(call, 413, "too_large", "What the function wrote is too large.");
        return true;
    }
    job->writing = (struct ml_writing){
        .org = call->org,
        .name = call->name,
        .bytes = ml_writer_slice(&job->update),
        .identity = &call->visitor.identity,
        .grant = &call->visitor.grant,
        .is_own = true,
        .done = on_written,
    };
    ml_writing_start(call->net, &job->writing);
    return true;
}

void ml_rpc_doc_drop(struct ml_rpc_doc *job)
{
    if (job)
        release(job, true);
}
